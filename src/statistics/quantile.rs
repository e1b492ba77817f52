//! Quantiles and their intervals by order statistics.
//!
//! The estimate is the inverse of the empirical distribution (type 1 of Hyndman and Fan): an observed
//! value, never a mean of two, so that it cannot interpolate into "later than observed". The interval's
//! ends are observed values too, at ranks l and u with P(B(n, p) <= l - 1) <= alpha / 2 and
//! P(B(n, p) >= u) <= alpha / 2 (David and Nagaraja, Order Statistics, 7.1): exact for any distribution,
//! conservative with ties, valid with infinite entries.
//!
//! Two-sided 95 % intervals close from 6 values on for the median, 36 for p90, 72 for p95, 368 for p99.

use super::beta::binomial_at_most;

/// One end of an interval, or an estimate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bound<T> {
    /// An observed value.
    Value(T),
    /// Beyond every value that was observed: a run that did not get there before the horizon.
    Beyond,
    /// There are too few replications for an end at this confidence.
    TooFew,
}

impl<T> Bound<T> {
    pub fn value(self) -> Option<T> {
        match self {
            Bound::Value(value) => Some(value),
            Bound::Beyond | Bound::TooFew => None,
        }
    }
}

/// Places in the sorted values, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranks {
    pub estimate: usize,
    /// `None`: below the first.
    pub low: Option<usize>,
    /// `None`: above the last.
    pub high: Option<usize>,
}

impl Ranks {
    /// Ranks of the `p` quantile of `n` values and of its two-sided interval.
    ///
    /// # Panics
    /// If there are no values, or `p` or `confidence` lies outside (0, 1).
    pub fn of(n: usize, p: f64, confidence: f64) -> Ranks {
        assert!(n > 0, "a quantile of no values was asked for");
        assert!(p > 0.0 && p < 1.0, "{p} is no quantile: it must lie between 0 and 1");
        assert!(confidence > 0.0 && confidence < 1.0, "{confidence} is no confidence between 0 and 1");
        let tail = 0.5 * (1.0 - confidence);
        let at_most = |k: usize| binomial_at_most(k as u64, n as u64, p);
        // The lowest k whose sum exceeds the tail is also the highest l with P(B <= l - 1) <= tail.
        let low = first(n + 1, |k| at_most(k) > tail);
        // P(B >= u) = 1 - P(B <= u - 1) <= tail first holds at this u.
        let high = 1 + first(n, |k| 1.0 - at_most(k) <= tail);
        Ranks {
            estimate: rank(n, p),
            low: (low > 0).then_some(low),
            high: (high <= n && at_most(high - 1) < 1.0).then_some(high),
        }
    }
}

/// From how many values on the two-sided interval of the `p` quantile has both its ends.
///
/// All of n values lie below the quantile with probability p^n, which must not exceed the tail; likewise above.
///
/// # Panics
/// If `p` or `confidence` lies outside (0, 1).
pub fn least_replications(p: f64, confidence: f64) -> usize {
    assert!(p > 0.0 && p < 1.0, "{p} is no quantile: it must lie between 0 and 1");
    assert!(confidence > 0.0 && confidence < 1.0, "{confidence} is no confidence between 0 and 1");
    let tail = 0.5 * (1.0 - confidence);
    libm::ceil(libm::log(tail) / libm::log(f64::max(p, 1.0 - p))) as usize
}

/// The least `k` below `end` for which the rising condition holds; `end` if for none.
fn first(end: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = (low + high) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// ceil(n p), from 1 to n. The small amount taken off keeps 0.95 x 100 at rank 95, though the product of
/// doubles may lie a hair above it.
pub(super) fn rank(n: usize, p: f64) -> usize {
    (libm::ceil(n as f64 * p - 1e-9) as usize).clamp(1, n)
}

/// The type-1 `p` quantile of values sorted upwards.
///
/// # Panics
/// If there are none.
pub fn quantile_of_sorted<T: Copy>(sorted: &[T], p: f64) -> T {
    assert!(!sorted.is_empty(), "a quantile of no values was asked for");
    sorted[rank(sorted.len(), p) - 1]
}

/// A quantile with its interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QuantileInterval<T> {
    pub estimate: Bound<T>,
    pub low: Bound<T>,
    pub high: Bound<T>,
}

impl<T: Copy + Ord> QuantileInterval<T> {
    /// From one value a replication; `None` stands for later than anything observed.
    ///
    /// # Panics
    /// If there are no values, or `p` or `confidence` lies outside (0, 1).
    pub fn of(values: &[Option<T>], p: f64, confidence: f64) -> Self {
        let mut finite: Vec<T> = values.iter().flatten().copied().collect();
        finite.sort_unstable();
        Self::of_sorted(&finite, values.len(), p, confidence)
    }

    /// The same from the finite values in rising order, out of `n` in all.
    pub fn of_sorted(finite: &[T], n: usize, p: f64, confidence: f64) -> Self {
        Self::of_ranked(|rank| finite.get(rank - 1).copied(), n, p, confidence)
    }

    /// The same from a look-up of the finite values by their places in rising order, from 1.
    pub fn of_ranked(finite: impl Fn(usize) -> Option<T>, n: usize, p: f64, confidence: f64) -> Self {
        let ranks = Ranks::of(n, p, confidence);
        let at = |rank: usize| finite(rank).map_or(Bound::Beyond, Bound::Value);
        QuantileInterval {
            estimate: at(ranks.estimate),
            low: ranks.low.map_or(Bound::TooFew, at),
            high: ranks.high.map_or(Bound::TooFew, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, Distribution};

    #[test]
    fn ranks_are_those_of_the_binomial_tables() {
        for (n, p, low, high) in [
            (100, 0.5, Some(40), Some(61)),
            (100, 0.9, Some(84), Some(96)),
            (100, 0.95, Some(90), Some(100)),
            (100, 0.99, Some(97), None),
            (400, 0.95, Some(371), Some(389)),
            (400, 0.99, Some(392), Some(400)),
            (1000, 0.95, Some(936), Some(964)),
            (1000, 0.99, Some(983), Some(997)),
        ] {
            let ranks = Ranks::of(n, p, 0.95);
            assert_eq!((ranks.low, ranks.high), (low, high), "n = {n}, p = {p}");
        }
    }

    #[test]
    fn intervals_close_from_the_known_number_of_replications_on() {
        for (p, least) in [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)] {
            let closed = |n| {
                let ranks = Ranks::of(n, p, 0.95);
                ranks.low.is_some() && ranks.high.is_some()
            };
            assert!(closed(least), "p = {p} should close at {least}");
            assert!(!closed(least - 1), "p = {p} should be open at {}", least - 1);
            assert_eq!((least_replications(p, 0.95), least_replications(1.0 - p, 0.95)), (least, least));
        }
    }

    #[test]
    fn ranks_hold_against_the_rule_summed_term_by_term() {
        for n in 1..40usize {
            for p in [0.05, 0.5, 0.9, 0.95] {
                let pmf = |k: usize| {
                    let choose = (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
                    let mut value = choose;
                    (0..k).for_each(|_| value *= p);
                    (k..n).for_each(|_| value *= 1.0 - p);
                    value
                };
                let below = |l: usize| (0..l).map(pmf).sum::<f64>();
                let from = |u: usize| (u..=n).map(pmf).sum::<f64>();
                let low = (1..=n).rev().find(|l| below(*l) <= 0.025);
                let high = (1..=n).find(|u| from(*u) <= 0.025);
                let ranks = Ranks::of(n, p, 0.95);
                assert_eq!((ranks.low, ranks.high), (low, high), "n = {n}, p = {p}");
            }
        }
    }

    #[test]
    fn the_estimate_is_an_observed_value() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile_of_sorted(&values, 0.95), 95);
        assert_eq!(quantile_of_sorted(&values, 0.5), 50);
        assert_eq!(quantile_of_sorted(&values[..1], 0.01), 1);
        assert_eq!(quantile_of_sorted(&values[..10], 0.05), 1);
    }

    #[test]
    fn runs_that_never_get_there_count_as_later_than_all() {
        let mut values: Vec<Option<u64>> = (1..=90).map(Some).collect();
        values.extend([None; 10]);
        let median = QuantileInterval::of(&values, 0.5, 0.95);
        assert_eq!((median.estimate, median.low), (Bound::Value(50), Bound::Value(40)));
        let p95 = QuantileInterval::of(&values, 0.95, 0.95);
        assert_eq!((p95.estimate, p95.low, p95.high), (Bound::Beyond, Bound::Value(90), Bound::Beyond));
        let few = QuantileInterval::of(&values[..5], 0.5, 0.95);
        assert_eq!((few.estimate, few.low, few.high), (Bound::Value(3), Bound::TooFew, Bound::TooFew));
    }

    #[test]
    fn the_interval_covers_as_often_as_it_says() {
        let law = Distribution::LogNormal { median: 60.0, p95: 120.0 };
        for (p, least) in [(0.5, 0.94), (0.95, 0.965)] {
            let truth = (law.quantile(p) * 1000.0) as u64;
            let studies = 1000;
            let covered = (0..studies)
                .filter(|study| {
                    let chance = Chance::new(99, *study);
                    let values: Vec<Option<u64>> = (0..100)
                        .map(|i| law.quantile(chance.uniform(Component::Boot, i, 0)))
                        .map(|seconds| Some((seconds * 1000.0) as u64))
                        .collect();
                    let interval = QuantileInterval::of(&values, p, 0.95);
                    interval.low.value().unwrap() <= truth && truth <= interval.high.value().unwrap()
                })
                .count();
            let share = covered as f64 / f64::from(studies);
            assert!(share >= least, "the interval of p = {p} covered {share} of the studies");
        }
    }
}
