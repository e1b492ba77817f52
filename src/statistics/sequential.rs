//! Sequential stopping: looks at fixed numbers of replications, and when an interval is narrow enough.
//!
//! Looks are few and each twice the one before, so that plain 95 % intervals keep their coverage (about 0.95 where looking after every
//! replication gives 0.90 to 0.94); that is right for precision. A decision at several looks shares its probability of error out
//! over them (`advice`). The number depends on
//! data at fixed looks alone, hence neither on threads nor on machines.

use super::mean::MeanInterval;
use super::quantile::{Bound, QuantileInterval};

/// Replications at the first look.
pub const FIRST_LOOK: u32 = 128;

/// 128, 256, 512, ... and at last `most`.
pub fn looks(most: u32) -> impl Iterator<Item = u32> {
    let doubled = std::iter::successors(Some(FIRST_LOOK), |look| look.checked_mul(2));
    doubled.take_while(move |look| *look < most).chain([most])
}

/// Is half the interval within `target` times the estimate? One that lies beyond everything observed is as narrow as can
/// be: more replications of the same length could not say more.
pub fn quantile_is_narrow(interval: &QuantileInterval<u64>, target: f64) -> bool {
    match (interval.estimate, interval.low, interval.high) {
        (_, Bound::Beyond, _) => true,
        (Bound::Value(estimate), Bound::Value(low), Bound::Value(high)) => {
            (high - low) as f64 / 2.0 <= target * estimate as f64
        }
        _ => false,
    }
}

/// The same of a mean, of which the true one is to be within `target`: the estimate errs too, so less of it is allowed
/// (Law, Simulation Modeling and Analysis, 9.4.1).
pub fn mean_is_narrow(interval: &MeanInterval, target: f64) -> bool {
    interval.half_width.is_some_and(|half| half <= target / (1.0 + target) * interval.mean.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, Distribution};
    use crate::statistics::TFactors;

    #[test]
    fn looks_double_up_to_the_most() {
        assert_eq!(looks(2_048).collect::<Vec<u32>>(), [128, 256, 512, 1_024, 2_048]);
        assert_eq!(looks(1_000).collect::<Vec<u32>>(), [128, 256, 512, 1_000]);
        assert_eq!(looks(5).collect::<Vec<u32>>(), [5]);
        assert_eq!(looks(u32::MAX).last(), Some(u32::MAX));
    }

    #[test]
    fn what_lies_beyond_the_horizon_for_sure_needs_no_more_replications() {
        let never = QuantileInterval::<u64>::of(&[None; 128], 0.5, 0.95);
        assert!(quantile_is_narrow(&never, 0.01));
        let half: Vec<Option<u64>> = (0..128).map(|i| (i % 2 == 0).then_some(100)).collect();
        assert!(!quantile_is_narrow(&QuantileInterval::of(&half, 0.5, 0.95), 0.5), "it may be either");
        let few = QuantileInterval::of(&[Some(100), Some(100)], 0.5, 0.95);
        assert!(!quantile_is_narrow(&few, 0.5), "two values have no interval");
    }

    #[test]
    fn a_mean_may_be_exact_or_unknown() {
        let mut factors = TFactors::new(0.95);
        let mut narrow =
            |values: &[f64], target| mean_is_narrow(&MeanInterval::of(values, &mut factors).unwrap(), target);
        assert!(narrow(&[0.0; 10], 0.01) && !narrow(&[7.0], 0.5));
        // Mean 3, half-width 1.9632: 65.4 %, which a target of 0.654 / (1 - 0.654) = 1.89 allows.
        assert!(narrow(&[1.0, 2.0, 3.0, 4.0, 5.0], 1.90) && !narrow(&[1.0, 2.0, 3.0, 4.0, 5.0], 1.88));
    }

    /// Stopping when the interval is narrow does not cost its coverage, as it would after every replication.
    #[test]
    fn intervals_at_the_look_that_stopped_cover_as_often_as_they_say() {
        let law = Distribution::LogNormal { median: 300.0, p95: 600.0 };
        for (p, target) in [(0.5, 0.05), (0.95, 0.10)] {
            let truth = (law.quantile(p) * 1e3) as u64;
            let (mut covered, mut looked) = (0, [0; 2]);
            for study in 0..400 {
                let chance = Chance::new(17, study);
                let draw = |i| Some((law.quantile(chance.uniform(Component::Boot, i, 0)) * 1e3) as u64);
                for look in looks(2_048) {
                    let values: Vec<Option<u64>> = (0..look).map(draw).collect();
                    let interval = QuantileInterval::of(&values, p, 0.95);
                    if quantile_is_narrow(&interval, target) || look == 2_048 {
                        let (low, high) = (interval.low.value().unwrap(), interval.high.value().unwrap());
                        covered += u32::from(low <= truth && truth <= high);
                        looked[usize::from(look > FIRST_LOOK)] += 1;
                        break;
                    }
                }
            }
            assert!(looked[1] > 50, "p = {p}: some are to go beyond the first look: {looked:?}");
            assert!(covered >= 372, "p = {p}: {covered} of 400 covered");
        }
    }
}
