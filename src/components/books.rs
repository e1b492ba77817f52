//! What is counted as it happens: addresses over the cluster, pods by state, and the timeline's grid.

use super::meter::Meter;
use crate::results::{AddressBooks, TIMELINE_POINTS, TimelinePoint};
use crate::units::{SimDuration, SimTime};

/// Addresses on ENIs, pods and nodes at this instant, with what has been integrated up to it.
#[derive(Clone, Debug)]
pub(super) struct Books {
    /// All addresses on ENIs; a prefix counts 16.
    pub attached: u64,
    pub assigned: u64,
    /// Instances that hold a primary address.
    pub instances: u64,
    /// Addresses still free in all subnets.
    pub free: u64,
    pub wanted_pods: u32,
    pub running_pods: u32,
    pub ready_pods: u32,
    /// Of these, those that a Deployment has beyond its replicas while it is rolled out: the target does not count them.
    pub surplus: Standing,
    /// Ready pods of Jobs, which the target does not count either, and those that have succeeded, which it does.
    pub jobs_ready: u32,
    pub succeeded: u32,
    /// Karpenter's nodes that have an instance.
    pub nodes: u32,
    /// What they cost.
    pub bill: Meter,
    /// What places of capacity reservations cost in which nobody runs anything.
    pub unused: Meter,
    waste_peak: u64,
    attached_peak: u64,
    /// Address-nanoseconds.
    waste_integral: u128,
    attached_integral: u128,
    since: SimTime,
    step: SimDuration,
    timeline: Vec<TimelinePoint>,
    /// The instant of its next point.
    pub next_point: SimTime,
}

impl Books {
    pub fn new(horizon: SimDuration) -> Books {
        Books {
            attached: 0,
            assigned: 0,
            instances: 0,
            free: 0,
            wanted_pods: 0,
            running_pods: 0,
            ready_pods: 0,
            surplus: Standing::default(),
            jobs_ready: 0,
            succeeded: 0,
            nodes: 0,
            bill: Meter::default(),
            unused: Meter::default(),
            waste_peak: 0,
            attached_peak: 0,
            waste_integral: 0,
            attached_integral: 0,
            since: SimTime::ZERO,
            step: SimDuration::from_nanos(horizon.nanos() / (TIMELINE_POINTS as u64 - 1)),
            timeline: Vec::with_capacity(TIMELINE_POINTS),
            next_point: SimTime::ZERO,
        }
    }

    /// Pods that the target counts as Running: of a Deployment no more than its replicas, of Jobs also those that have succeeded.
    pub fn counted_running(&self) -> u32 {
        self.running_pods - self.surplus.running + self.succeeded
    }
    /// The same as Ready; of Jobs only those that have succeeded.
    pub fn counted_ready(&self) -> u32 {
        self.ready_pods - self.surplus.ready - self.jobs_ready + self.succeeded
    }

    /// Attached, less what pods hold, less one primary for each instance.
    pub fn waste(&self) -> u64 {
        self.attached - self.assigned - self.instances
    }

    /// What is told of the instant at which the target is reached.
    pub fn at_target(&mut self, now: SimTime) -> AtTarget {
        self.settle(now);
        AtTarget {
            attached: self.attached,
            assigned: self.assigned,
            waste: self.waste(),
            waste_integral: self.waste_integral,
            attached_integral: self.attached_integral,
            micro_usd: self.bill.micro_usd_at(now),
            unused_micro_usd: self.unused.micro_usd_at(now),
        }
    }

    /// Books what held up to `now`; to be called before addresses change.
    pub fn settle(&mut self, now: SimTime) {
        let span = u128::from(now.since(self.since).nanos());
        self.waste_integral += u128::from(self.waste()) * span;
        self.attached_integral += u128::from(self.attached) * span;
        self.since = now;
    }
    /// To be called after addresses have changed.
    pub fn note_peaks(&mut self) {
        self.waste_peak = self.waste_peak.max(self.waste());
        self.attached_peak = self.attached_peak.max(self.attached);
    }

    /// All subnets together have so many addresses more, and had from the start on.
    pub fn enlarge(&mut self, addresses: u32) {
        self.free += u64::from(addresses);
        self.timeline.iter_mut().for_each(|point| point.addresses_free += addresses);
    }

    /// Notes the state for every point of the grid before `now`.
    pub fn pass_points(&mut self, now: SimTime) {
        while self.next_point < now && self.timeline.len() < TIMELINE_POINTS {
            self.timeline.push(self.point());
            self.next_point += self.step;
        }
    }
    fn point(&self) -> TimelinePoint {
        TimelinePoint {
            pods_pending: self.wanted_pods - self.running_pods,
            pods_running: self.counted_running(),
            pods_ready: self.counted_ready(),
            nodes: self.nodes,
            addresses_attached: self.attached as u32,
            addresses_assigned: self.assigned as u32,
            addresses_free: self.free as u32,
            cents_per_hour: (self.bill.rate() / 10_000) as u32,
        }
    }

    /// The books of a run that ended at `end`; the rest of the grid keeps the last state.
    pub fn close(mut self, end: SimTime, horizon: SimDuration, target: Option<AtTarget>) -> Closed {
        self.pass_points(end);
        let last = self.point();
        self.timeline.resize(TIMELINE_POINTS, last);
        let reached = target.is_some();
        let until = target.unwrap_or_else(|| self.at_target(end));
        self.settle(end);
        let rest = u128::from((SimTime::ZERO + horizon).saturating_since(end).nanos());
        let millis = |integral: u128| (integral / 1_000_000) as u64;
        // What is there at the end stays until then.
        let horizon = end.max(SimTime::ZERO + horizon);
        let at_target = |count: u64| reached.then_some(count);
        Closed {
            cost_to_target_micro_usd: until.micro_usd,
            cost_to_horizon_micro_usd: self.bill.micro_usd_at(horizon),
            unused_micro_usd: [until.unused_micro_usd, self.unused.micro_usd_at(horizon)],
            books: AddressBooks {
                attached_at_target: at_target(until.attached),
                assigned_at_target: at_target(until.assigned),
                waste_at_target: at_target(until.waste),
                waste_peak: self.waste_peak,
                attached_peak: self.attached_peak,
                attached_at_end: self.attached,
                waste_address_ms: millis(until.waste_integral),
                waste_address_ms_to_horizon: millis(self.waste_integral + u128::from(self.waste()) * rest),
                attached_address_ms: millis(until.attached_integral),
                attached_address_ms_to_horizon: millis(
                    self.attached_integral + u128::from(self.attached) * rest,
                ),
            },
            timeline: self.timeline,
        }
    }
}

/// Running and Ready pods; those that are Ready are Running too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    pub running: u32,
    pub ready: u32,
}

/// Addresses and money at the instant of the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtTarget {
    attached: u64,
    assigned: u64,
    waste: u64,
    waste_integral: u128,
    attached_integral: u128,
    micro_usd: u64,
    unused_micro_usd: u64,
}

/// The books of a run that has ended.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub books: AddressBooks,
    pub cost_to_target_micro_usd: u64,
    pub cost_to_horizon_micro_usd: u64,
    /// Of places of reservations that nobody uses: to the target, to the horizon.
    pub unused_micro_usd: [u64; 2],
    pub timeline: Vec<TimelinePoint>,
}
