//! Screening by elementary effects: which of many factors move a response, for one run of it a factor and trajectory.
//!
//! Method: Morris, "Factorial sampling plans for preliminary computational experiments", Technometrics 33 (1991), with
//! the mean of absolute effects (mu*) of Campolongo, Cariboni and Saltelli (2007). Factors live in [0, 1] on a grid of
//! four levels; a trajectory begins somewhere on it and moves each factor once, in random order, by two thirds.
//!
//! mu* tells how much a factor moves the response, mu on balance in which direction, sigma how much that hangs on where
//! the others (or it) stand. Trajectories are independent, hence Student's intervals over them.

use super::mean::{MeanInterval, TFactors};
use crate::chance::{Chance, Component};

/// The step: from the first level to the third, or from the second to the fourth.
const STEP: f64 = 2.0 / 3.0;
/// Where an upward step begins.
const STARTS: [f64; 2] = [0.0, 1.0 / 3.0];

/// A design: points in the unit cube, trajectory by trajectory, each one point longer than there are factors.
#[derive(Clone, PartialEq, Debug)]
pub struct Screening {
    factors: usize,
    points: Vec<Vec<f64>>,
    /// By trajectory: which factors move, in order.
    orders: Vec<Vec<usize>>,
}

/// Effects of one factor over all trajectories: change of the response for the factor's whole range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Effect {
    /// Its mean is mu*.
    pub absolute: MeanInterval,
    /// Its mean is mu, its standard deviation sigma.
    pub signed: MeanInterval,
}

impl Screening {
    /// Draws `trajectories` of `factors`, addressed by trajectory.
    pub fn new(factors: usize, trajectories: u32, chance: &Chance) -> Self {
        let (mut points, mut orders) = (Vec::new(), Vec::new());
        for trajectory in 0..trajectories {
            let draw = |draw: usize, bound: usize| {
                chance.below(Component::Screening, trajectory, draw as u32, bound as u64) as usize
            };
            // From low to high, or back.
            let ends: Vec<(f64, f64)> = (0..factors)
                .map(|factor| match draw(factor, 4) {
                    choice @ (0 | 1) => (STARTS[choice], STARTS[choice] + STEP),
                    choice => (STARTS[choice - 2] + STEP, STARTS[choice - 2]),
                })
                .collect();
            let mut order: Vec<usize> = (0..factors).collect();
            for place in (1..factors).rev() {
                order.swap(place, draw(factors + place, place + 1));
            }
            let mut point: Vec<f64> = ends.iter().map(|(from, _)| *from).collect();
            points.push(point.clone());
            for factor in &order {
                point[*factor] = ends[*factor].1;
                points.push(point.clone());
            }
            orders.push(order);
        }
        Screening { factors, points, orders }
    }

    pub fn points(&self) -> &[Vec<f64>] {
        &self.points
    }

    /// Effects by factor, from the response at each point.
    ///
    /// # Panics
    /// If there is not one response a point, or no trajectory.
    pub fn effects(&self, responses: &[f64], factors: &mut TFactors) -> Vec<Effect> {
        assert_eq!(responses.len(), self.points.len(), "a response for each point");
        let mut by_factor = vec![Vec::new(); self.factors];
        for (trajectory, order) in self.orders.iter().enumerate() {
            let first = trajectory * (self.factors + 1);
            for (step, factor) in order.iter().enumerate() {
                let (before, after) = (first + step, first + step + 1);
                let up = self.points[after][*factor] > self.points[before][*factor];
                let change = (responses[after] - responses[before]) / STEP;
                by_factor[*factor].push(if up { change } else { -change });
            }
        }
        let effect = |signed: &Vec<f64>| {
            let absolute: Vec<f64> = signed.iter().map(|change| change.abs()).collect();
            let mut of = |values: &[f64]| MeanInterval::of(values, factors).expect("there are trajectories");
            Effect { absolute: of(&absolute), signed: of(signed) }
        };
        by_factor.iter().map(effect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::functions::{g_function, ishigami};
    use super::*;

    fn effects(factors: usize, trajectories: u32, function: impl Fn(&[f64]) -> f64) -> Vec<Effect> {
        let design = Screening::new(factors, trajectories, &Chance::new(5, 0));
        let responses: Vec<f64> = design.points().iter().map(|point| function(point)).collect();
        design.effects(&responses, &mut TFactors::new(0.95))
    }

    /// The mean absolute effect over all places of the grid: what an endless number of trajectories would find.
    fn exact(factors: usize, moved: usize, function: &dyn Fn(&[f64]) -> f64) -> f64 {
        let grid = [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0];
        let places = 4usize.pow(factors as u32);
        let effect = |place: usize| {
            let mut point: Vec<f64> = (0..factors).map(|f| grid[place / 4usize.pow(f as u32) % 4]).collect();
            point[moved] = STARTS[place / 4usize.pow(moved as u32) % 2];
            let before = function(&point);
            point[moved] += STEP;
            ((function(&point) - before) / STEP).abs()
        };
        (0..places).map(effect).sum::<f64>() / places as f64
    }

    #[test]
    fn a_line_has_its_slopes_for_effects_whatever_the_trajectory() {
        let slopes = [3.0, -2.0, 0.0];
        let line = |x: &[f64]| 7.0 + x.iter().zip(slopes).map(|(x, slope)| x * slope).sum::<f64>();
        for (effect, slope) in effects(3, 6, line).iter().zip(slopes) {
            assert!((effect.signed.mean - slope).abs() < 1e-12, "{effect:?}");
            assert!((effect.absolute.mean - slope.abs()).abs() < 1e-12, "{effect:?}");
            assert!(effect.signed.standard_deviation < 1e-12, "{effect:?}");
        }
    }

    #[test]
    fn effects_of_known_functions_are_those_of_the_whole_grid_within_four_standard_errors() {
        let check = |factors: usize, function: &dyn Fn(&[f64]) -> f64| {
            for (moved, effect) in effects(factors, 400, function).iter().enumerate() {
                let error = effect.absolute.standard_deviation / (400f64).sqrt();
                let (found, truth) = (effect.absolute.mean, exact(factors, moved, function));
                assert!((found - truth).abs() <= 4.0 * error + 1e-9, "factor {moved}: {found}, not {truth}");
            }
        };
        check(3, &ishigami);
        check(6, &|x| g_function(x, &[0.0, 0.5, 3.0, 9.0, 99.0, 99.0]));
        // On this grid the second factor of Ishigami's function always moves it by 7 sin^2(pi / 3).
        let second = effects(3, 10, ishigami)[1];
        assert!((second.absolute.mean - 7.875).abs() < 1e-9 && second.absolute.half_width < Some(1e-9));
    }

    #[test]
    fn every_trajectory_moves_each_factor_once_and_stays_inside() {
        let design = Screening::new(5, 50, &Chance::new(1, 0));
        assert_eq!(design.points().len(), 50 * 6);
        assert!(design.points().iter().flatten().all(|x| (0.0..=1.0).contains(x)));
        for trajectory in design.points().chunks(6) {
            for factor in 0..5 {
                let moves = trajectory.windows(2).filter(|pair| pair[0][factor] != pair[1][factor]).count();
                assert_eq!(moves, 1, "{trajectory:?}");
            }
        }
        let orders: std::collections::BTreeSet<_> = design.orders.iter().collect();
        assert!(orders.len() > 20, "the order is drawn anew for each trajectory");
    }
}
