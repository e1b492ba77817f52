//! Who runs on each node, what CPU they want and get, and what has been summed of it. The rules are
//! [`crate::actors::cpu_shares`]; the events are in `cpu`.

use crate::actors::cpu_shares::Claim;
use crate::engine::Scheduled;
use crate::results::CpuRecord;
use crate::scenario::{Scenario, UsageSpec};
use crate::units::{SimDuration, SimTime};

/// Less work than this [s] is none: instants are whole nanoseconds.
const NOTHING: f64 = 2e-9;

/// An application on its way up.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartUp {
    pub began: SimTime,
    /// It takes with all the CPU it wants.
    pub full: SimDuration,
    /// What it has lost so far by getting less [s].
    pub lost: f64,
}

impl StartUp {
    /// When it is up at so much of what it wants (0 to 1).
    pub fn due(&self, now: SimTime, part: f64) -> SimTime {
        if part == 1.0 {
            return (self.began + self.full + SimDuration::from_secs_f64(self.lost)).max(now);
        }
        now + SimDuration::from_secs_f64(self.left(now) / part)
    }
    /// Has it done its work?
    pub fn is_done(&self, now: SimTime) -> bool {
        self.left(now) < NOTHING
    }
    /// Work left [s at full CPU].
    fn left(&self, now: SimTime) -> f64 {
        (self.full.secs_f64() + self.lost - now.since(self.began).secs_f64()).max(0.0)
    }
}

/// A pod whose container runs.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub pod: u32,
    pub deployment: u32,
    pub claim: Claim,
    /// Of the node's CPU (millicores).
    pub gets: f64,
    pub starting: Option<StartUp>,
    /// Does its Deployment say what it uses?
    pub counts: bool,
    /// Spells so far, if they are its own.
    pub spells: u32,
    pub busy: bool,
    /// When its spell ends, if it is its own.
    pub turns_at: SimTime,
}

impl Tenant {
    /// It is up, and idle or busy from now on.
    pub fn turn(&mut self, busy: bool, usage: &UsageSpec) {
        self.busy = busy;
        self.claim.demand = if busy { usage.busy } else { usage.idle };
    }
}

/// One node's CPU.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeCpu {
    pub tenants: Vec<Tenant>,
    settled: SimTime,
    /// The next start-up's end.
    pub due: Option<(SimTime, Scheduled)>,
}

/// Busy spells that the pods of a Deployment have together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Together {
    pub busy: bool,
    pub spells: u32,
}

/// All nodes' CPU, with what pods wanted and got up to the last change.
#[derive(Clone, Debug)]
pub(super) struct Contention {
    /// By node, as far as pods have come.
    pub nodes: Vec<NodeCpu>,
    /// By Deployment.
    pub together: Vec<Together>,
    sums: Sums,
}

/// Times in nanoseconds, CPU in millicores.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    pod_time: u64,
    short: u64,
    throttled: u64,
    wanted: f64,
    missing: f64,
    starting: f64,
    worked: f64,
}

impl Contention {
    pub fn new(scenario: &Scenario) -> Option<Box<Contention>> {
        let any = scenario.deployments.iter().any(|deployment| deployment.usage.is_some());
        let together = vec![Together::default(); scenario.deployments.len()];
        any.then(|| Box::new(Contention { nodes: Vec::new(), together, sums: Sums::default() }))
    }

    /// Books what the node's pods got up to now; to be called before anything changes.
    pub fn settle(&mut self, node: u32, now: SimTime) {
        let at = &mut self.nodes[node as usize];
        let span = now.since(at.settled);
        at.settled = now;
        if span.is_zero() {
            return;
        }
        for tenant in &mut at.tenants {
            self.sums.add(tenant, span);
            if let Some(start) = &mut tenant.starting {
                start.lost += (1.0 - tenant.gets / tenant.claim.demand as f64) * span.secs_f64();
            }
        }
    }

    /// What pods wanted and got until then, or until the last change.
    pub fn record(&mut self, until: Option<SimTime>) -> CpuRecord {
        if let Some(now) = until {
            (0..self.nodes.len() as u32).for_each(|node| self.settle(node, now));
        }
        let sums = self.sums;
        CpuRecord {
            pod_ms: sums.pod_time / 1_000_000,
            short_ms: sums.short / 1_000_000,
            throttled_ms: sums.throttled / 1_000_000,
            wanted_cpu_ms: (sums.wanted / 1e9) as u64,
            missing_cpu_ms: (sums.missing / 1e9) as u64,
            starting_ms: (sums.starting / 1e6) as u64,
            starting_alone_ms: (sums.worked / 1e6) as u64,
        }
    }
}

impl Sums {
    fn add(&mut self, tenant: &Tenant, span: SimDuration) {
        if !tenant.counts {
            return;
        }
        let (demand, cap) = (tenant.claim.demand as f64, tenant.claim.cap() as f64);
        let nanos = span.nanos() as f64;
        self.pod_time += span.nanos();
        self.wanted += demand * nanos;
        self.missing += (demand - tenant.gets) * nanos;
        if tenant.gets < demand {
            self.short += span.nanos();
            // The node would give more.
            self.throttled += if tenant.gets == cap { span.nanos() } else { 0 };
        }
        if tenant.starting.is_some() {
            self.starting += nanos;
            self.worked += tenant.gets / demand * nanos;
        }
    }
}
