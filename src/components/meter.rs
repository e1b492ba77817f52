//! What something costs, from instant to instant.

use crate::units::SimTime;

/// Money paid at a rate that changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// Micro-USD an hour, now.
    rate: u64,
    /// Micro-USD an hour times nanoseconds, up to `until`.
    paid: u128,
    until: SimTime,
}

impl Meter {
    /// So much an hour more from `now` on.
    pub fn pay(&mut self, micro_usd: u64, now: SimTime) {
        (self.paid, self.until) = (self.paid_at(now), now);
        self.rate += micro_usd;
    }
    /// So much less.
    pub fn stop_paying(&mut self, micro_usd: u64, now: SimTime) {
        (self.paid, self.until) = (self.paid_at(now), now);
        self.rate -= micro_usd;
    }
    pub fn rate(&self) -> u64 {
        self.rate
    }
    fn paid_at(&self, now: SimTime) -> u128 {
        self.paid + u128::from(self.rate) * u128::from(now.since(self.until).nanos())
    }
    /// All that was paid until then, which is not before the last change (micro-USD).
    pub fn micro_usd_at(&self, now: SimTime) -> u64 {
        (self.paid_at(now) / 3_600_000_000_000) as u64
    }
}
