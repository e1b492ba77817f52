//! Who uses how much memory of each node, and when that next changes anything. The rules are
//! [`crate::actors::memory_pressure`]; the events are in `memory`.

use crate::actors::memory_pressure::MemoryUser;
use crate::engine::Scheduled;
use crate::results::MemoryRecord;
use crate::scenario::Scenario;
use crate::units::{SimDuration, SimTime};

/// Usage this near a bound is at it (bytes): instants are whole nanoseconds.
const NOTHING: f64 = 1.0;

/// Usage that goes from one amount to another in a straight line, and stays (bytes).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Ramp {
    pub begins: SimTime,
    pub from: f64,
    pub ends: SimTime,
    pub to: f64,
}

impl Ramp {
    pub fn level(&self, now: SimTime) -> f64 {
        if now >= self.ends {
            return self.to;
        }
        let part = now.since(self.begins).secs_f64() / self.ends.since(self.begins).secs_f64();
        self.from + part * (self.to - self.from)
    }
    /// Bytes a second.
    pub fn slope(&self, now: SimTime) -> f64 {
        if now >= self.ends {
            return 0.0;
        }
        (self.to - self.from) / self.ends.since(self.begins).secs_f64()
    }
}

/// A sum that rises or falls in a straight line from now on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Line {
    pub level: f64,
    pub slope: f64,
}

impl Line {
    /// Is it beyond the bound, or about to be in this instant?
    pub fn exceeds(&self, bound: f64) -> bool {
        self.level > bound + NOTHING || (self.slope > 0.0 && self.level > bound - NOTHING)
    }
    /// When it comes to a bound that it does not exceed yet.
    pub fn reaches(&self, bound: f64, now: SimTime) -> Option<SimTime> {
        let rises = self.slope > 0.0 && self.level <= bound;
        let secs = (bound - self.level) / self.slope;
        // A ramp that is so slow ends before.
        (rises && secs < 1e6).then(|| now + SimDuration::from_secs_f64(secs) + SimDuration::from_nanos(1))
    }
}

/// A pod whose container runs.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub pod: u32,
    pub request: i64,
    pub priority: i32,
    pub limit: Option<i64>,
    pub oom_score_adj: i64,
    /// This container's factor on all that its Deployment says.
    pub factor: f64,
    pub ramp: Ramp,
    /// When its application is up, where nothing else tells.
    pub up_at: Option<SimTime>,
}

impl Tenant {
    pub fn line(&self, now: SimTime) -> Line {
        Line { level: self.ramp.level(now), slope: self.ramp.slope(now) }
    }
    /// Does it want more than its limit?
    pub fn exceeds_limit(&self, now: SimTime) -> bool {
        let line = self.line(now);
        self.beyond().is_some_and(|limit| line.exceeds(limit))
    }
    /// Its limit, if it comes to want more.
    fn beyond(&self) -> Option<f64> {
        let limit = self.limit? as f64;
        (self.ramp.from.max(self.ramp.to) > limit + NOTHING).then_some(limit)
    }
    pub fn user(&self, now: SimTime) -> MemoryUser {
        MemoryUser {
            usage: self.ramp.level(now) as i64,
            request: self.request,
            priority: self.priority,
            oom_score_adj: self.oom_score_adj,
        }
    }
    /// When it next does something that counts.
    fn next(&self, now: SimTime) -> Option<SimTime> {
        let bends = (self.ramp.ends > now).then_some(self.ramp.ends);
        let limit = self.beyond().and_then(|limit| self.line(now).reaches(limit, now));
        [bends, limit, self.up_at].into_iter().flatten().min()
    }
}

/// One node's memory, as far as pods of Deployments use it.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeMemory {
    pub tenants: Vec<Tenant>,
    /// The next change.
    pub due: Option<(SimTime, Scheduled)>,
    /// kubelet's next look is appointed.
    pub watched: bool,
    /// kubelet's own condition MemoryPressure: since when there was pressure last.
    pub pressed_at: Option<SimTime>,
    pub was_pressed: bool,
    /// The condition as the API server has it.
    pub reported: bool,
}

impl NodeMemory {
    pub fn line(&self, now: SimTime) -> Line {
        let sum = |line: Line, tenant: &Tenant| {
            let own = tenant.line(now);
            Line { level: line.level + own.level, slope: line.slope + own.slope }
        };
        self.tenants.iter().fold(Line { level: 0.0, slope: 0.0 }, sum)
    }
    /// When pods next do something, or come to one of the bounds all together.
    pub fn next(&self, bounds: &[f64], now: SimTime) -> Option<SimTime> {
        let line = self.line(now);
        let together = bounds.iter().filter_map(|bound| line.reaches(*bound, now));
        self.tenants.iter().filter_map(|tenant| tenant.next(now)).chain(together).min()
    }
}

/// All nodes' memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// By node, as far as pods have come.
    pub nodes: Vec<NodeMemory>,
    pub counts: MemoryRecord,
}

impl Memory {
    pub fn new(scenario: &Scenario) -> Option<Box<Memory>> {
        let any = scenario.deployments.iter().any(|deployment| deployment.memory_usage.is_some());
        any.then(Box::default)
    }
}
