//! When kubelet probes a container, and hence when a probe passes or fails.
//!
//! A probe's worker is there from the pod's first sync on. If kubelet itself is younger than the probe's period then, it
//! sleeps for a random part of it. From then on it probes once a period; as long as the container is not known to run that comes
//! to nothing, and until the initial delay has passed it tells nothing. A readiness probe is made beside when a sync of the pod
//! finds the container started and not ready: the sync that follows the first relist with the container in it, and the one that the
//! probe's own first result causes a relist later. From 1.32 on its periods count anew from there.
//!
//! Source: Kubernetes 1.34.4, 1.30.14 and 1.24.17, `pkg/kubelet/prober/worker.go` (run, doProbe) and `prober_manager.go`
//! (UpdatePodStatus, which wakes the workers of readiness probes only).

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

/// What a probe asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Startup,
    Readiness {
        /// Its periods count from its last attempt, not from the worker's creation.
        anew: bool,
    },
}

/// The attempts at one container.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attempts {
    /// Before it they tell nothing: the container's start with the initial delay.
    counts_from: SimTime,
    /// Those that a sync causes.
    caused: Option<[SimTime; 2]>,
    /// The first of those that come once a period.
    first_tick: SimTime,
    period: SimDuration,
}

impl Attempts {
    /// A container that started at `started`, and was first seen to run at `seen`; until `awake` the worker sleeps.
    pub fn new(
        kind: Kind,
        probe: &Probe,
        started: SimTime,
        seen: SimTime,
        relist: SimDuration,
        awake: SimTime,
    ) -> Attempts {
        let second = (seen + relist).max(awake);
        let ticks = Attempts {
            counts_from: started + probe.initial_delay,
            caused: None,
            first_tick: awake,
            period: probe.period,
        };
        let own = Attempts { first_tick: ticks.tick(seen), ..ticks };
        match kind {
            Kind::Startup => own,
            Kind::Readiness { anew } => Attempts {
                caused: Some([seen.max(awake), second]),
                first_tick: if anew { second } else { own.first_tick },
                ..own
            },
        }
    }

    /// The first tick at or after an instant.
    fn tick(&self, at: SimTime) -> SimTime {
        let late = at.saturating_since(self.first_tick).nanos();
        self.first_tick + self.period * late.div_ceil(self.period.nanos().max(1))
    }
    /// The first attempt at or after an instant.
    fn at_or_after(&self, at: SimTime) -> SimTime {
        let caused = self.caused.iter().flatten().copied().find(|caused| *caused >= at);
        caused.map_or(self.tick(at), |caused| caused.min(self.tick(at)))
    }

    /// The first attempt at or after an instant that tells anything.
    fn from(&self, at: SimTime) -> SimTime {
        self.at_or_after(at.max(self.counts_from))
    }
    /// The attempt that comes `more` after one of them.
    fn later(&self, attempt: SimTime, more: u32) -> SimTime {
        (0..more).fold(attempt, |attempt, _| self.at_or_after(attempt + SimDuration::from_nanos(1)))
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
    const TODAY: Kind = Kind::Readiness { anew: true };

    #[test]
    fn the_first_attempts_come_with_the_relists_and_then_one_a_period() {
        let probe = probe(0, 1);
        let attempts = Attempts::new(TODAY, &probe, at(5_000), at(5_400), RELIST, SimTime::ZERO);
        let passes = |up| attempts.passes(&probe, at(up)).millis();
        assert_eq!([5_000, 5_400, 5_401, 6_400].map(passes), [5_400, 5_400, 6_400, 6_400]);
        assert_eq!([6_401, 16_400, 16_401].map(passes), [16_400, 16_400, 26_400]);
        assert_eq!(attempts.fails(&probe), at(16_400));
    }

    /// With an initial delay the first that counts is at the first period's end after it.
    #[test]
    fn an_initial_delay_costs_up_to_a_period_more() {
        let probe = probe(12, 2);
        let attempts = Attempts::new(TODAY, &probe, at(0), at(400), RELIST, SimTime::ZERO);
        assert_eq!(attempts.passes(&probe, at(0)), at(31_400));
        assert_eq!(attempts.fails(&probe), at(41_400));
    }

    #[test]
    fn a_young_kubelet_sleeps_before_its_first_probe() {
        let probe = probe(0, 1);
        let attempts = Attempts::new(TODAY, &probe, at(1_000), at(1_500), RELIST, at(8_000));
        assert_eq!(attempts.passes(&probe, at(1_000)), at(8_000));
        assert_eq!(attempts.passes(&probe, at(8_001)), at(18_000));
    }

    /// The worker's ticks are at 3 s and every ten after; the container is seen at 5.4 s.
    #[test]
    fn periods_counted_from_the_worker_come_beside_what_a_sync_causes() {
        let probe = probe(0, 1);
        let of = |kind| Attempts::new(kind, &probe, at(5_000), at(5_400), RELIST, at(3_000));
        let passes = |kind, up: [u64; 5]| up.map(|up| of(kind).passes(&probe, at(up)).millis());
        let ups = [5_000, 5_401, 6_401, 13_000, 13_001];
        let before = Kind::Readiness { anew: false };
        assert_eq!(passes(before, ups), [5_400, 6_400, 13_000, 13_000, 23_000]);
        assert_eq!(passes(TODAY, ups), [5_400, 6_400, 16_400, 16_400, 16_400]);
        // A start-up probe waits for the next tick in any release.
        assert_eq!(passes(Kind::Startup, ups), [13_000, 13_000, 13_000, 13_000, 23_000]);
        assert_eq!(
            [before, TODAY, Kind::Startup].map(|kind| of(kind).fails(&probe).millis()),
            [13_000, 16_400, 33_000]
        );
    }
}
