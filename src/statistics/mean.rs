//! Means with Student's interval, for values that are finite in every replication: waste, cost, and the
//! restricted mean of min(T, horizon), which is the headline where some runs never get there.

use std::collections::BTreeMap;

use super::beta::student_t_quantile;

/// A mean and its two-sided interval; the interval is `None` below two values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MeanInterval {
    pub n: usize,
    pub mean: f64,
    /// Of the sample, with n - 1.
    pub standard_deviation: f64,
    pub half_width: Option<f64>,
}

impl MeanInterval {
    /// `None` of no values. Sums run in the order given, hence give the same digits every time.
    pub fn of(values: &[f64], factors: &mut TFactors) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        Some(Self::of_sums(n, mean, squares, factors))
    }
    /// Of `n` values with this mean, whose distances from it have this sum of squares.
    pub(super) fn of_sums(n: usize, mean: f64, squares: f64, factors: &mut TFactors) -> Self {
        let standard_deviation = if n > 1 { libm::sqrt(squares / (n - 1) as f64) } else { 0.0 };
        let half_width = (n > 1).then(|| factors.of(n) * standard_deviation / libm::sqrt(n as f64));
        MeanInterval { n, mean, standard_deviation, half_width }
    }
    pub fn low(&self) -> Option<f64> {
        self.half_width.map(|half| self.mean - half)
    }
    /// [`MeanInterval::low`] of values of which none can be below zero.
    pub fn low_of_magnitudes(&self) -> Option<f64> {
        self.low().map(|low| low.max(0.0))
    }
    pub fn high(&self) -> Option<f64> {
        self.half_width.map(|half| self.mean + half)
    }
}

/// The factors t of n - 1 degrees of freedom at one confidence, each worked out once.
#[derive(Clone, Debug)]
pub struct TFactors {
    confidence: f64,
    by_n: BTreeMap<usize, f64>,
}

impl TFactors {
    /// # Panics
    /// If `confidence` (two-sided) lies outside (0, 1).
    pub fn new(confidence: f64) -> Self {
        assert!(confidence > 0.0 && confidence < 1.0, "{confidence} is no confidence between 0 and 1");
        TFactors { confidence, by_n: BTreeMap::new() }
    }
    /// For the mean of `n` values.
    ///
    /// # Panics
    /// Below two values.
    pub fn of(&mut self, n: usize) -> f64 {
        assert!(n > 1, "{n} value has no spread");
        let share = 0.5 * (1.0 + self.confidence);
        *self.by_n.entry(n).or_insert_with(|| student_t_quantile(share, (n - 1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, Distribution, normal_quantile};

    #[test]
    fn the_interval_is_that_worked_out_by_hand() {
        // Mean 3, variance 2.5, t(0.975, 4) = 2.7764: half-width 2.7764 x sqrt(2.5 / 5) = 1.9632.
        let interval = MeanInterval::of(&[1.0, 2.0, 3.0, 4.0, 5.0], &mut TFactors::new(0.95)).unwrap();
        assert_eq!((interval.n, interval.mean), (5, 3.0));
        assert!((interval.half_width.unwrap() - 1.9632).abs() < 1e-4, "{interval:?}");
    }

    #[test]
    fn one_value_has_a_mean_and_no_interval() {
        let mut factors = TFactors::new(0.95);
        assert_eq!(MeanInterval::of(&[], &mut factors), None);
        let one = MeanInterval::of(&[7.0], &mut factors).unwrap();
        assert_eq!((one.mean, one.low(), one.high()), (7.0, None, None));
        let same = MeanInterval::of(&[7.0; 10], &mut factors).unwrap();
        assert_eq!((same.low(), same.high()), (Some(7.0), Some(7.0)));
    }

    #[test]
    fn the_interval_covers_as_often_as_it_says() {
        let mut factors = TFactors::new(0.95);
        let mut check = |name: &str, truth: f64, least: f64, draw: &dyn Fn(f64) -> f64| {
            let covered = (0..1000)
                .filter(|study| {
                    let chance = Chance::new(7, *study);
                    let values: Vec<f64> =
                        (0..30).map(|i| draw(chance.uniform(Component::Start, i, 0))).collect();
                    let interval = MeanInterval::of(&values, &mut factors).unwrap();
                    interval.low().unwrap() <= truth && truth <= interval.high().unwrap()
                })
                .count();
            assert!((least..=0.975).contains(&(covered as f64 / 1000.0)), "{name}: {covered} of 1000");
        };
        check("normal", 0.0, 0.93, &normal_quantile);
        // Skewness costs some coverage at n = 30; that is why more replications are advised.
        let law = Distribution::Exponential { mean: 5.0 };
        check("exponential", 5.0, 0.90, &|u| law.quantile(u));
    }
}
