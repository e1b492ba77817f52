//! How many seats each priority level may use for the next while: what it asked for lately, within what it keeps for itself
//! and what others can spare.
//!
//! Source: kubernetes, `apiserver/pkg/util/flowcontrol`, `apf_controller.go` (updateBorrowing) and `conc_alloc.go`.

use crate::units::SimDuration;

/// How slowly what a level is thought to want falls, by period.
const SMOOTHING: f64 = 0.977;
/// A level that wants nothing counts as wanting this, so that nothing is divided by 0.
const LEAST_TARGET: f64 = 0.001;

/// Seats that requests of a level held or waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    seconds: f64,
    seats: f64,
    squares: f64,
    smoothed: f64,
}

impl Demand {
    /// So many seats were wanted for so long.
    pub fn note(&mut self, seats: u32, span: SimDuration) {
        let (seats, seconds) = (f64::from(seats), span.secs_f64());
        self.seconds += seconds;
        self.seats += seats * seconds;
        self.squares += seats * seats * seconds;
    }

    /// The period is over. Mean plus standard deviation is what was wanted: at once where it rises, smoothed where it falls.
    pub fn close(&mut self) -> f64 {
        let Demand { seconds, seats, squares, smoothed } = *self;
        let mean = if seconds > 0.0 { seats / seconds } else { 0.0 };
        let variance = if seconds > 0.0 { (squares / seconds - mean * mean).max(0.0) } else { 0.0 };
        let wanted = mean + variance.sqrt();
        let smoothed = wanted.max(SMOOTHING * smoothed + (1.0 - SMOOTHING) * wanted);
        *self = Demand { smoothed, ..Demand::default() };
        smoothed
    }
}

/// What a level may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub least: f64,
    pub target: f64,
    pub most: f64,
}

impl Bounds {
    fn target(&self) -> f64 {
        self.target.max(LEAST_TARGET)
    }
    fn at(&self, fraction: f64) -> f64 {
        (fraction * self.target()).clamp(self.least, self.most)
    }
}

/// All seats, each level with the same fraction of what it wants as far as its bounds allow.
pub(super) fn share<const N: usize>(all: f64, bounds: &[Bounds; N]) -> [f64; N] {
    let sum = |fraction: f64| bounds.iter().map(|level| level.at(fraction)).sum::<f64>();
    // Between two fractions at which a level meets a bound the sum is a straight line.
    let mut knees: Vec<f64> = bounds
        .iter()
        .flat_map(|level| [level.least, level.most].map(|bound| bound / level.target()))
        .collect();
    knees.sort_by(f64::total_cmp);
    let next = knees.iter().position(|knee| sum(*knee) >= all).unwrap_or(knees.len() - 1);
    let (from, to) = (knees[next.saturating_sub(1)], knees[next]);
    let (low, high) = (sum(from), sum(to));
    let part = if high > low { ((all - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
    bounds.map(|level| level.at(from + (to - from) * part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_that_nobody_wants_go_to_who_does_and_each_keeps_its_own() {
        let level = |least, target| Bounds { least, target, most: 100.0 };
        let shares = share(100.0, &[level(10.0, 10.0), level(20.0, 20.0), level(5.0, 300.0)]);
        // A fraction of 70 / 300 leaves the first two at what they keep.
        assert_eq!(shares.map(|share| share.round()), [10.0, 20.0, 70.0]);
        let equal = share(90.0, &[level(10.0, 30.0), level(10.0, 30.0), level(10.0, 30.0)]);
        assert_eq!(equal.map(|share| share.round()), [30.0; 3]);
    }

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let mut demand = Demand::default();
        demand.note(100, SimDuration::from_secs(10));
        assert_eq!(demand.close(), 100.0);
        demand.note(0, SimDuration::from_secs(10));
        assert!((demand.close() - 97.7).abs() < 1e-9);
        // Half the time 0, half 40: mean 20, standard deviation 20.
        let mut demand = Demand::default();
        [0, 40].into_iter().for_each(|seats| demand.note(seats, SimDuration::from_secs(5)));
        assert_eq!(demand.close(), 40.0);
    }
}
