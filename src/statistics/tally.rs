//! Values of one number over replications in memory that does not grow with their number: one by one while they are few, then counted
//! in bins. Bins are of integers and whole counts, so that neither the order of replications nor the number of threads matters.

use super::mean::{MeanInterval, TFactors};
use super::quantile::{QuantileInterval, rank};

/// Values below 8,192 have bins of their own. Above, bins are as wide as keeps their middle within 1 / 8,192 (0.013 %) of every value
/// in them.
const BITS: u32 = 13;

/// One number's values so far.
#[derive(Clone, Debug)]
pub struct Tally<T> {
    /// So many values are kept one by one.
    limit: usize,
    /// In the order they came, not in `bins` yet.
    values: Vec<T>,
    /// Middle and count, by middle; empty until there are more values than the limit.
    bins: Vec<(u64, u64)>,
    /// Of the values in bins: how many, the first one, and sums of distances from it and of their squares.
    binned: u64,
    origin: i128,
    sum: i128,
    squares: i128,
}

impl<T: Copy + Ord + Into<u64>> Tally<T> {
    /// Exact up to `limit` values.
    pub fn new(limit: usize) -> Self {
        let (values, bins) = (Vec::new(), Vec::new());
        Tally { limit, values, bins, binned: 0, origin: 0, sum: 0, squares: 0 }
    }

    pub fn add(&mut self, value: T) {
        // Bins are gone through as a whole, so the more there are, the more has to come together first.
        if self.values.len() >= self.limit.max(self.bins.len()) {
            self.fold();
        }
        self.values.push(value);
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.binned == 0
    }

    /// Puts what came one by one into bins.
    fn fold(&mut self) {
        if self.binned == 0 {
            self.origin = self.values.first().map_or(0, |first| i128::from((*first).into()));
        }
        for value in &self.values {
            let distance = i128::from((*value).into()) - self.origin;
            self.sum += distance;
            self.squares += distance * distance;
        }
        self.binned += self.values.len() as u64;
        let mut middles: Vec<u64> = self.values.drain(..).map(|value| middle(value.into())).collect();
        middles.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.bins.len());
        let mut known = std::mem::take(&mut self.bins).into_iter().peekable();
        let mut fresh = middles.into_iter().map(|middle| (middle, 1)).peekable();
        loop {
            let next = match (known.peek(), fresh.peek()) {
                (Some(old), Some(new)) if old.0 <= new.0 => known.next(),
                (_, Some(_)) => fresh.next(),
                (Some(_), None) => known.next(),
                (None, None) => break,
            };
            let (middle, count) = next.expect("it was seen");
            match merged.last_mut() {
                Some(last) if last.0 == middle => last.1 += count,
                _ => merged.push((middle, count)),
            }
        }
        self.bins = merged;
    }

    /// The values in rising order.
    pub fn sorted(&self) -> Sorted {
        if self.bins.is_empty() {
            let mut values: Vec<u64> = self.values.iter().map(|value| (*value).into()).collect();
            values.sort_unstable();
            return Sorted::Values(values);
        }
        let mut all = self.clone();
        all.fold();
        let mut up_to = 0;
        let bins = all.bins.into_iter().map(|(middle, count)| {
            up_to += count;
            (up_to, middle)
        });
        Sorted::Bins(bins.collect())
    }

    /// Mean and interval; exact however many values there are. `None` of no values.
    pub fn mean(&self, factors: &mut TFactors) -> Option<MeanInterval> {
        if self.bins.is_empty() {
            let values: Vec<f64> = self.values.iter().map(|value| (*value).into() as f64).collect();
            return MeanInterval::of(&values, factors);
        }
        let mut all = self.clone();
        all.fold();
        let (n, sum) = (all.binned as f64, all.sum as f64);
        let squares = (all.squares as f64 - sum / n * sum).max(0.0);
        Some(MeanInterval::of_sums(all.binned as usize, all.origin as f64 + sum / n, squares, factors))
    }
}

/// The middle of a value's bin.
fn middle(value: u64) -> u64 {
    let width = (u64::BITS - value.leading_zeros()).saturating_sub(BITS);
    if width == 0 { value } else { (value >> width << width) + (1 << (width - 1)) }
}

/// Values in rising order.
#[derive(Clone, PartialEq, Debug)]
pub enum Sorted {
    Values(Vec<u64>),
    /// (values up to the bin's end, its middle).
    Bins(Vec<(u64, u64)>),
}

impl Sorted {
    pub fn len(&self) -> usize {
        match self {
            Sorted::Values(values) => values.len(),
            Sorted::Bins(bins) => bins.last().map_or(0, |(up_to, _)| *up_to as usize),
        }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The value at a place, from 1.
    pub fn at(&self, rank: usize) -> Option<u64> {
        match self {
            Sorted::Values(values) => values.get(rank - 1).copied(),
            Sorted::Bins(bins) => {
                let bin = bins.partition_point(|(up_to, _)| *up_to < rank as u64);
                bins.get(bin).map(|(_, middle)| *middle)
            }
        }
    }
    /// The type-1 `p` quantile; `None` of no values.
    pub fn quantile(&self, p: f64) -> Option<u64> {
        if self.is_empty() { None } else { self.at(rank(self.len(), p)) }
    }
    /// A quantile with its interval, out of `n` values of which these are the finite ones.
    pub fn interval(&self, n: usize, p: f64, confidence: f64) -> QuantileInterval<u64> {
        QuantileInterval::of_ranked(|rank| self.at(rank), n, p, confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component};
    use crate::statistics::quantile_of_sorted;

    fn draws(n: u32, below: u64) -> Vec<u64> {
        (0..n).map(|i| Chance::new(3, 0).below(Component::Resample, i, 0, below)).collect()
    }
    fn tally(values: &[u64], limit: usize) -> Tally<u64> {
        let mut tally = Tally::new(limit);
        values.iter().for_each(|value| tally.add(*value));
        tally
    }

    #[test]
    fn up_to_the_limit_it_is_as_if_there_were_no_bins() {
        let values = draws(500, 1_000_000);
        let tally = tally(&values, 500);
        let mut sorted = values.clone();
        sorted.sort_unstable();
        assert_eq!(tally.sorted(), Sorted::Values(sorted));
        let values: Vec<f64> = values.iter().map(|value| *value as f64).collect();
        let mut factors = TFactors::new(0.95);
        assert_eq!(tally.mean(&mut factors), MeanInterval::of(&values, &mut factors));
    }

    #[test]
    fn beyond_it_quantiles_err_by_no_more_than_half_a_bin_and_small_ones_not_at_all() {
        for below in [8_000, 140_000, 1_000_000, 1 << 40] {
            let values = draws(5_000, below);
            let binned = tally(&values, 64).sorted();
            let mut sorted = values;
            sorted.sort_unstable();
            assert_eq!(binned.len(), 5_000);
            for p in [0.001, 0.05, 0.5, 0.95, 1.0] {
                let (told, truth) = (binned.quantile(p).unwrap(), quantile_of_sorted(&sorted, p));
                let allowed = if below < 8_192 { 0 } else { truth / 8_192 };
                assert!(told.abs_diff(truth) <= allowed, "{p} of {below}: {told} for {truth}");
            }
            assert_eq!(binned.at(5_001), None);
        }
    }

    #[test]
    fn the_order_in_which_values_come_does_not_matter_and_means_stay_exact() {
        let values = draws(3_000, 1 << 36);
        let backwards: Vec<u64> = values.iter().rev().copied().collect();
        let (one, other) = (tally(&values, 100), tally(&backwards, 100));
        assert_eq!(one.sorted(), other.sorted());
        let mut factors = TFactors::new(0.95);
        let (mean, exact) =
            (one.mean(&mut factors).unwrap(), tally(&values, 3_000).mean(&mut factors).unwrap());
        assert!((mean.mean / exact.mean - 1.0).abs() < 1e-12, "{mean:?}, {exact:?}");
        assert!(
            (mean.standard_deviation / exact.standard_deviation - 1.0).abs() < 1e-9,
            "{mean:?}, {exact:?}"
        );
        let constant = tally(&[7_654_321; 1_000], 10).mean(&mut factors).unwrap();
        assert_eq!((constant.mean, constant.half_width), (7_654_321.0, Some(0.0)));
    }
}
