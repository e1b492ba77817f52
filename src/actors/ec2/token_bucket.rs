//! EC2's request limits: a bucket of tokens per API; a call without its token is refused at once.
//!
//! Refilled continuously, where AWS says "each second": off by at most one second's tokens.
//! Source: AWS, "Request throttling for the Amazon EC2 API"; the model in karpenter-provider-aws
//! @1d92708, `kwok/ec2/ratelimiting.go`.

use crate::units::SimTime;

/// `size` tokens at most, `refill_per_s` more each second. Whole-number arithmetic in billionths of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenBucket {
    full: u64,
    refill_per_s: u64,
    level: u64,
    at: SimTime,
}

const TOKEN: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    pub fn new(size: u32, refill_per_s: u32) -> TokenBucket {
        let full = u64::from(size) * TOKEN;
        TokenBucket { full, refill_per_s: u64::from(refill_per_s), level: full, at: SimTime::ZERO }
    }

    /// Takes `tokens` if all are there.
    pub fn try_take(&mut self, tokens: u32, now: SimTime) -> bool {
        // A token a second is a billionth of one a nanosecond.
        let gained = now.since(self.at).nanos().saturating_mul(self.refill_per_s);
        self.level = self.level.saturating_add(gained).min(self.full);
        self.at = now;
        let asked = u64::from(tokens) * TOKEN;
        let enough = asked <= self.level;
        if enough {
            self.level -= asked;
        }
        enough
    }

    /// When `tokens` will be there if nobody else takes any; `None`: never.
    pub fn ready_at(&self, tokens: u32, now: SimTime) -> Option<SimTime> {
        let asked = u64::from(tokens) * TOKEN;
        if asked > self.full || (asked > self.level && self.refill_per_s == 0) {
            return None;
        }
        let missing = asked.saturating_sub(self.level);
        let wait = missing.div_ceil(self.refill_per_s.max(1));
        Some(now.max(self.at + crate::units::SimDuration::from_nanos(wait)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instant at which the last of `calls` gets its token if each waits for its own.
    fn last_of(calls: u32, size: u32, refill_per_s: u32) -> SimTime {
        let mut bucket = TokenBucket::new(size, refill_per_s);
        let mut now = SimTime::ZERO;
        for _ in 0..calls {
            while !bucket.try_take(1, now) {
                now = bucket.ready_at(1, now).unwrap();
            }
        }
        now
    }

    #[test]
    fn published_sizes_give_the_derived_waits() {
        // 1,000 nodes that each create one interface; 1,500 instances of instant fleets.
        assert_eq!(last_of(1_000, 100, 5), SimTime::from_secs(180));
        assert_eq!(last_of(1_500, 1_000, 2), SimTime::from_secs(250));
        assert_eq!(last_of(50, 100, 5), SimTime::ZERO);
    }

    #[test]
    fn a_refused_call_takes_nothing_and_a_full_bucket_stays_full() {
        let mut bucket = TokenBucket::new(2, 1);
        assert!(!bucket.try_take(3, SimTime::ZERO));
        assert!(bucket.try_take(2, SimTime::from_secs(100)));
        assert!(!bucket.try_take(1, SimTime::from_secs(100)));
        assert!(!bucket.try_take(1, SimTime::from_nanos(100_999_999_999)));
        assert!(bucket.try_take(1, SimTime::from_secs(101)));
        assert_eq!(bucket.ready_at(3, SimTime::from_secs(101)), None);
    }
}
