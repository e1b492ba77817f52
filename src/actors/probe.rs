//! When kubelet probes a container, and hence when a probe passes or fails.
//!
//! A probe's worker is there from the pod's first sync on. If kubelet itself is younger than the probe's period then, it
//! sleeps for a random part of it. It probes when a sync of the pod finds the container running and not started or not ready:
//! the sync that follows the first relist with the container in it, and the one that the probe's own first result causes a
//! relist later; then once a period after the last. Until the initial delay has passed an attempt tells nothing. Source:
//! Kubernetes 1.34.1 `pkg/kubelet/prober/worker.go` (run, doProbe) and `prober_manager.go` (UpdatePodStatus); up to 1.31 the
//! periods count from the worker's creation.

use crate::units::{SimDuration, SimTime};

/// A start-up or readiness probe.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Probe {
    pub initial_delay: SimDuration,
    pub period: SimDuration,
    /// Attempts that must pass, or fail, in a row.
    pub success_threshold: u32,
    pub failure_threshold: u32,
}

/// The attempts at one container.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attempts {
    /// Before it they tell nothing: the container's start with the initial delay.
    counts_from: SimTime,
    first: SimTime,
    second: SimTime,
    period: SimDuration,
}

impl Attempts {
    /// A container that started at `started`, and was first seen to run at `seen`; until `awake` the worker sleeps.
    pub fn new(
        probe: &Probe,
        started: SimTime,
        seen: SimTime,
        relist: SimDuration,
        awake: SimTime,
    ) -> Attempts {
        Attempts {
            counts_from: started + probe.initial_delay,
            first: seen.max(awake),
            second: (seen + relist).max(awake),
            period: probe.period,
        }
    }

    /// The first attempt at or after an instant that tells anything.
    fn from(&self, at: SimTime) -> SimTime {
        let at = at.max(self.counts_from);
        if at <= self.first {
            return self.first;
        }
        if at <= self.second {
            return self.second;
        }
        let periods = at.since(self.second).nanos().div_ceil(self.period.nanos().max(1));
        self.second + self.period * periods
    }
    /// The attempt that comes `more` after one of them.
    fn later(&self, attempt: SimTime, more: u32) -> SimTime {
        match more {
            0 => attempt,
            // Where both come at once the worker has probed twice.
            _ if attempt == self.first && self.first < self.second => self.later(self.second, more - 1),
            _ => attempt + self.period * u64::from(more),
        }
    }

    /// When the probe has passed of an application that is up from then on.
    pub fn passes(&self, probe: &Probe, up: SimTime) -> SimTime {
        self.later(self.from(up), probe.success_threshold - 1)
    }
    /// When it has failed of one that does not come up.
    pub fn fails(&self, probe: &Probe) -> SimTime {
        self.later(self.from(self.counts_from), probe.failure_threshold - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> SimTime {
        SimTime::from_millis(millis)
    }
    fn probe(initial_delay: u64, success_threshold: u32) -> Probe {
        Probe {
            initial_delay: SimDuration::from_secs(initial_delay),
            period: SimDuration::from_secs(10),
            success_threshold,
            failure_threshold: 3,
        }
    }
    const RELIST: SimDuration = SimDuration::from_secs(1);

    #[test]
    fn the_first_attempts_come_with_the_relists_and_then_one_a_period() {
        let probe = probe(0, 1);
        let attempts = Attempts::new(&probe, at(5_000), at(5_400), RELIST, SimTime::ZERO);
        let passes = |up| attempts.passes(&probe, at(up)).millis();
        assert_eq!([5_000, 5_400, 5_401, 6_400].map(passes), [5_400, 5_400, 6_400, 6_400]);
        assert_eq!([6_401, 16_400, 16_401].map(passes), [16_400, 16_400, 26_400]);
        assert_eq!(attempts.fails(&probe), at(16_400));
    }

    /// With an initial delay the first that counts is at the first period's end after it.
    #[test]
    fn an_initial_delay_costs_up_to_a_period_more() {
        let probe = probe(12, 2);
        let attempts = Attempts::new(&probe, at(0), at(400), RELIST, SimTime::ZERO);
        assert_eq!(attempts.passes(&probe, at(0)), at(31_400));
        assert_eq!(attempts.fails(&probe), at(41_400));
    }

    #[test]
    fn a_young_kubelet_sleeps_before_its_first_probe() {
        let probe = probe(0, 1);
        let attempts = Attempts::new(&probe, at(1_000), at(1_500), RELIST, at(8_000));
        assert_eq!(attempts.passes(&probe, at(1_000)), at(8_000));
        assert_eq!(attempts.passes(&probe, at(8_001)), at(18_000));
    }
}
