//! kubelet's back-off before it starts a dead container again: none at first, then 10 s, doubled each time up to 5 min.
//!
//! Source: Kubernetes 1.34.1 `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (doBackOff) and client-go's
//! `util/flowcontrol/backoff.go`.

use crate::units::{SimDuration, SimTime};

const FIRST: SimDuration = SimDuration::from_secs(10);
const LONGEST: SimDuration = SimDuration::from_secs(300);

/// The back-off of one container. Default: it has not died yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CrashLoop {
    /// Now to be waited out, and since when it is that long.
    wait: Option<(SimDuration, SimTime)>,
}

impl CrashLoop {
    /// kubelet looks at a container that died at `died`. May it start again? Then the next wait is longer, or the shortest
    /// again after a container that lived for ten minutes.
    pub fn restarts(&mut self, died: SimTime, now: SimTime) -> bool {
        let fresh = |since: SimTime| died > since + LONGEST * 2;
        if self.wait.is_some_and(|(wait, since)| !fresh(since) && now < died + wait) {
            return false;
        }
        let next = match self.wait {
            Some((wait, since)) if !fresh(since) => (wait * 2).min(LONGEST),
            _ => FIRST,
        };
        self.wait = Some((next, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> SimTime {
        SimTime::from_secs(secs)
    }

    /// The seconds that pass until a container that dies as soon as it runs is started for the first, second, ... time.
    #[test]
    fn waits_double_up_to_five_minutes() {
        let (mut crash, mut died, mut waits) = (CrashLoop::default(), at(100), Vec::new());
        for _ in 0..8 {
            let restart = (0..).map(|second| died + SimDuration::from_secs(second));
            let now = restart.into_iter().find(|now| crash.restarts(died, *now)).unwrap();
            waits.push(now.since(died).millis() / 1_000);
            died = now;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_container_that_lived_for_ten_minutes_starts_anew() {
        let mut crash = CrashLoop::default();
        assert!(crash.restarts(at(0), at(0)) && crash.restarts(at(20), at(30)));
        assert!(!crash.restarts(at(629), at(640)));
        assert!(crash.restarts(at(631), at(631)));
        assert!(!crash.restarts(at(632), at(641)) && crash.restarts(at(632), at(642)));
    }
}
