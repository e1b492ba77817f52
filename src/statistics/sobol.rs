//! Shares of a response's variance: what a factor explains alone (first order) and with all its interactions (total).
//!
//! Method: Saltelli's design of N (k + 2) points from N rows of 2 k coordinates, the halves of which are the matrices A
//! and B, beside A with one column of B for each factor (Saltelli and others, Computer Physics Communications 181,
//! 2010, table 2: first order by (b), total by (f), which is Jansen's). Jansen's first order is not taken: for a factor
//! of little effect it subtracts two numbers as large as the variance, and most factors are such. Intervals are
//! percentile bootstrap over rows, which is on the wide side where the rows are quasi-random, since these are spread
//! more evenly than the resamples suppose.

use super::quantile::quantile_of_sorted;
use crate::chance::{Chance, Component};

/// Resamples of the bootstrap; the 2.5 % point is then the 25th smallest.
const RESAMPLES: u32 = 1_000;

/// A design: points in the unit cube, row by row, each A, B, then A with one coordinate of B.
#[derive(Clone, PartialEq, Debug)]
pub struct VarianceDesign {
    factors: usize,
    points: Vec<Vec<f64>>,
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Share {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// What a factor explains of the response's variance.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Indices {
    pub first: Share,
    pub total: Share,
}

/// Sums over rows from which all indices follow.
#[derive(Clone, PartialEq, Debug)]
struct Sums {
    rows: f64,
    response: f64,
    square: f64,
    /// By factor: B times the change from A to the point that mixes them, and half the square of that change.
    with_b: Vec<f64>,
    squared: Vec<f64>,
}

impl VarianceDesign {
    /// `rows`: uniforms, twice as many in each as there are factors.
    ///
    /// # Panics
    /// If a row has another length.
    pub fn new(factors: usize, rows: &[Vec<f64>]) -> Self {
        let mut points = Vec::with_capacity(rows.len() * (factors + 2));
        for row in rows {
            assert_eq!(row.len(), 2 * factors, "a row holds two points");
            let (a, b) = row.split_at(factors);
            points.extend([a.to_vec(), b.to_vec()]);
            for factor in 0..factors {
                let mut mixed = a.to_vec();
                mixed[factor] = b[factor];
                points.push(mixed);
            }
        }
        VarianceDesign { factors, points }
    }

    pub fn points(&self) -> &[Vec<f64>] {
        &self.points
    }

    /// Indices by factor, from the response at each point; `None` where it does not vary.
    ///
    /// # Panics
    /// If there is not one response a point.
    pub fn indices(&self, responses: &[f64], chance: &Chance) -> Option<Vec<Indices>> {
        assert_eq!(responses.len(), self.points.len(), "a response for each point");
        // Squares of what is left of the mean keep their digits.
        let mean = responses.iter().sum::<f64>() / responses.len().max(1) as f64;
        let centred: Vec<f64> = responses.iter().map(|response| response - mean).collect();
        let rows: Vec<&[f64]> = centred.chunks(self.factors + 2).collect();
        let estimates = Sums::of(rows.iter().copied(), self.factors).indices()?;
        let mut resampled: Vec<Vec<(f64, f64)>> = Vec::new();
        for resample in 0..RESAMPLES {
            let drawn = (0..rows.len()).map(|draw| {
                let row = chance.below(Component::Resample, resample, draw as u32, rows.len() as u64);
                rows[row as usize]
            });
            // A resample of rows that are all alike tells nothing.
            resampled.extend(Sums::of(drawn, self.factors).indices());
        }
        let share = |estimate: f64, mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            let end = |p| if values.is_empty() { estimate } else { quantile_of_sorted(&values, p) };
            Share { estimate, low: end(0.025), high: end(0.975) }
        };
        let both = |(factor, (first, total)): (usize, &(f64, f64))| Indices {
            first: share(*first, resampled.iter().map(|all| all[factor].0).collect()),
            total: share(*total, resampled.iter().map(|all| all[factor].1).collect()),
        };
        Some(estimates.iter().enumerate().map(both).collect())
    }
}

impl Sums {
    fn of<'r>(rows: impl Iterator<Item = &'r [f64]>, factors: usize) -> Sums {
        let mut sums = Sums {
            rows: 0.0,
            response: 0.0,
            square: 0.0,
            with_b: vec![0.0; factors],
            squared: vec![0.0; factors],
        };
        for row in rows {
            let (a, b) = (row[0], row[1]);
            sums.rows += 1.0;
            sums.response += a + b;
            sums.square += a * a + b * b;
            for (factor, mixed) in row[2..].iter().enumerate() {
                sums.with_b[factor] += b * (mixed - a);
                sums.squared[factor] += 0.5 * (mixed - a) * (mixed - a);
            }
        }
        sums
    }

    /// (first, total) by factor; `None` where A and B do not vary.
    fn indices(&self) -> Option<Vec<(f64, f64)>> {
        let mean = self.response / (2.0 * self.rows);
        let variance = self.square / (2.0 * self.rows) - mean * mean;
        if variance.is_nan() || variance <= 1e-12 * self.square {
            return None;
        }
        let share = |sum: &f64| sum / self.rows / variance;
        Some(self.with_b.iter().map(share).zip(self.squared.iter().map(share)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::functions::{g_function, g_indices, ishigami, ishigami_indices};
    use super::*;

    /// Independent rows: what the bootstrap supposes.
    fn plain_rows(factors: usize, rows: u32, seed: u64) -> Vec<Vec<f64>> {
        let chance = Chance::new(seed, 0);
        let row =
            |row| (0..2 * factors).map(|i| chance.uniform(Component::Screening, row, i as u32)).collect();
        (0..rows).map(row).collect()
    }
    fn indices(rows: &[Vec<f64>], factors: usize, function: &dyn Fn(&[f64]) -> f64) -> Vec<Indices> {
        let design = VarianceDesign::new(factors, rows);
        let responses: Vec<f64> = design.points().iter().map(|point| function(point)).collect();
        design.indices(&responses, &Chance::new(3, 0)).unwrap()
    }

    /// The mean of estimates from 20 designs lies within four of its standard errors of the truth, and 0.01 for
    /// the bias of a quotient.
    fn check(truth: &[(f64, f64)], function: &dyn Fn(&[f64]) -> f64) {
        let factors = truth.len();
        let designs: Vec<Vec<Indices>> =
            (0..20).map(|seed| indices(&plain_rows(factors, 512, seed), factors, function)).collect();
        for (factor, (first, total)) in truth.iter().enumerate() {
            let near = |name: &str, truth: f64, get: &dyn Fn(&Indices) -> Share| {
                let found: Vec<f64> = designs.iter().map(|all| get(&all[factor]).estimate).collect();
                let mean = found.iter().sum::<f64>() / 20.0;
                let variance = found.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 19.0;
                let error = (variance / 20.0).sqrt();
                assert!((mean - truth).abs() <= 4.0 * error + 0.01, "{name} {factor}: {mean}, not {truth}");
                assert!(error < 0.05, "{name} {factor} is too uncertain to be tested: {error}");
            };
            near("first", *first, &|indices| indices.first);
            near("total", *total, &|indices| indices.total);
        }
    }

    #[test]
    fn indices_of_ishigamis_function_are_those_of_the_formula() {
        check(&ishigami_indices(), &ishigami);
    }

    #[test]
    fn indices_of_sobols_g_function_are_those_of_the_formula() {
        let a = [0.0, 0.5, 3.0, 9.0, 99.0, 99.0];
        check(&g_indices(&a), &|x| g_function(x, &a));
    }

    /// 3 standard errors of a share of 600 about 95 % are 2.7 %; the bootstrap may lose as much again at N = 256.
    #[test]
    fn bootstrap_intervals_cover_nearly_as_often_as_they_say() {
        let truth = ishigami_indices();
        let mut covered = 0;
        for seed in 0..100 {
            for (found, (first, total)) in
                indices(&plain_rows(3, 256, 1_000 + seed), 3, &ishigami).iter().zip(&truth)
            {
                let inside = |share: Share, truth: f64| share.low <= truth && truth <= share.high;
                covered += u32::from(inside(found.first, *first)) + u32::from(inside(found.total, *total));
            }
        }
        assert!((537..=592).contains(&covered), "{covered} of 600 intervals hold the truth");
    }

    #[test]
    fn what_does_not_vary_has_no_indices() {
        let design = VarianceDesign::new(2, &plain_rows(2, 8, 1));
        assert_eq!(design.points().len(), 8 * 4);
        assert_eq!(design.indices(&[5.0; 32], &Chance::new(1, 0)), None);
    }
}
