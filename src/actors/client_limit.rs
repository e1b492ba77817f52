//! client-go's own limit on a Kubernetes client: a request without a token waits for it, in order.
//!
//! Source: kubernetes/client-go, `util/flowcontrol`, which is golang.org/x/time/rate: a reservation may
//! take the bucket below zero and waits until it would be back.

use crate::units::{SimDuration, SimTime};

/// `qps` requests a second, `burst` at once. Whole-number arithmetic in billionths of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientBucket {
    qps: i64,
    full: i64,
    level: i64,
    at: SimTime,
}

const TOKEN: i64 = 1_000_000_000;

impl ClientBucket {
    /// A full bucket.
    ///
    /// # Panics
    /// If `qps` is 0: client-go has no such limit, and nothing would ever be sent.
    pub fn new(qps: u32, burst: u32) -> ClientBucket {
        assert!(qps > 0, "a client of 0 requests a second never sends one");
        let full = i64::from(burst) * TOKEN;
        ClientBucket { qps: i64::from(qps), full, level: full, at: SimTime::ZERO }
    }

    /// When a request made `now` goes out. Requests must be made in order of time.
    #[inline]
    pub fn reserve(&mut self, now: SimTime) -> SimTime {
        self.reserve_many(1, now)
    }

    /// When the last of so many requests made `now` goes out.
    pub fn reserve_many(&mut self, requests: u32, now: SimTime) -> SimTime {
        let gained = i64::try_from(now.since(self.at).nanos()).unwrap_or(i64::MAX).saturating_mul(self.qps);
        self.level = self.level.saturating_add(gained).min(self.full) - i64::from(requests) * TOKEN;
        self.at = now;
        let debt = u64::try_from(-self.level).unwrap_or(0);
        now + SimDuration::from_nanos(debt.div_ceil(self.qps as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_in_step() {
        let mut bucket = ClientBucket::new(20, 30);
        let sent: Vec<SimTime> = (0..1_000).map(|_| bucket.reserve(SimTime::ZERO)).collect();
        assert!(sent[..30].iter().all(|at| *at == SimTime::ZERO));
        assert_eq!(sent[30], SimTime::from_millis(50));
        assert_eq!(sent[999], SimTime::from_millis(50 * 970));
    }

    #[test]
    fn a_rest_refills_up_to_the_burst() {
        let mut bucket = ClientBucket::new(20, 30);
        for _ in 0..40 {
            bucket.reserve(SimTime::ZERO);
        }
        let later = SimTime::from_secs(60);
        assert!((0..30).all(|_| bucket.reserve(later) == later));
        assert_eq!(bucket.reserve(later), later + SimDuration::from_millis(50));
    }
}
