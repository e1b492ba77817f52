//! The API server's priority and fairness: seats by priority level, a queue for who finds none, and seats that idle
//! levels lend.
//!
//! A request holds its seats while it is served. Each level has its share of the server's seats; a request that finds too
//! few of them free waits in one of its flow's queues, which are served in fair turn (`fair`), unless that is full, and gives up
//! after [`WAITS_AT_MOST`]. Every [`LENT_EVERY`] the seats are shared anew by what levels asked for (`lending`). Left out: exempt
//! requests; and the catch-all level's refusal of whoever must wait, since nothing here comes to it.
//!
//! Source: kubernetes, `apiserver/pkg/util/flowcontrol` and `pkg/apis/flowcontrol/bootstrap/default.go`.

mod fair;
mod lending;

use sha2::{Digest, Sha256};

use crate::units::{SimDuration, SimTime};
use fair::Queues;
use lending::{Bounds, Demand};

/// A quarter of the time that a request may take in all, 60 s.
pub const WAITS_AT_MOST: SimDuration = SimDuration::from_secs(15);
/// How often seats are shared anew.
pub const LENT_EVERY: SimDuration = SimDuration::from_secs(10);
/// A refused request is sent again so long after: the answer's `Retry-After`.
pub const RETRIED_AFTER: SimDuration = SimDuration::from_secs(1);
/// A list takes a seat for so many objects.
const OBJECTS_PER_SEAT: u32 = 100;
/// But never more than this.
const MOST_SEATS_OF_A_LIST: u32 = 10;
/// Nor more than this share of its level's seats (%).
const LIST_PERCENT: u32 = 15;

/// A priority level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Level {
    System,
    NodeHigh,
    LeaderElection,
    WorkloadHigh,
    WorkloadLow,
    GlobalDefault,
    CatchAll,
}

impl Level {
    pub const ALL: [Level; 7] = [
        Level::System,
        Level::NodeHigh,
        Level::LeaderElection,
        Level::WorkloadHigh,
        Level::WorkloadLow,
        Level::GlobalDefault,
        Level::CatchAll,
    ];

    /// Its nominal shares, and how much of its seats it lends (%).
    const fn shares(self) -> (u32, u32) {
        match self {
            Level::System => (30, 33),
            Level::NodeHigh => (40, 25),
            Level::LeaderElection => (10, 0),
            Level::WorkloadHigh => (40, 50),
            Level::WorkloadLow => (100, 90),
            Level::GlobalDefault => (20, 50),
            Level::CatchAll => (5, 0),
        }
    }

    /// Its queues, and to how many of them a flow's requests go.
    const fn queues(self) -> (u32, u32) {
        match self {
            Level::System | Level::NodeHigh => (64, 6),
            Level::LeaderElection => (16, 4),
            _ => (128, 6),
        }
    }
    /// Its seats of `all` that the server has: its share, rounded up.
    pub fn seats(self, all: u32) -> u32 {
        let shares: u32 = Level::ALL.iter().map(|level| level.shares().0).sum();
        (all * self.shares().0).div_ceil(shares)
    }
}

/// Who sends: the flow schema that requests match, which says their level, and what tells its flows apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// A node's kubelet but for its status and leases.
    Node(u32),
    /// A kubelet's updates of its node.
    NodeStatus(u32),
    Scheduler(Namespace),
    /// Service accounts in kube-system: the controllers', Karpenter's, and an agent's that is installed there.
    KubeSystem(Namespace),
    /// A service account elsewhere.
    ServiceAccounts,
    /// Everybody else, who are one user.
    Others,
}

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Namespace {
    /// What is in none, or in all.
    None,
    /// The workload's pods.
    Default,
    KubeSystem,
}

impl Namespace {
    const fn name(self) -> &'static str {
        match self {
            Namespace::None => "",
            Namespace::Default => "default",
            Namespace::KubeSystem => "kube-system",
        }
    }
}

impl Flow {
    pub const fn level(self) -> Level {
        match self {
            Flow::Node(_) => Level::System,
            Flow::NodeStatus(_) => Level::NodeHigh,
            Flow::Scheduler(_) | Flow::KubeSystem(_) => Level::WorkloadHigh,
            Flow::ServiceAccounts => Level::WorkloadLow,
            Flow::Others => Level::GlobalDefault,
        }
    }

    /// What deals its queues to it: of its schema's name and of the user or the namespace that tells its flows apart.
    fn hash(self) -> u64 {
        let of_node = |node: u32| format!("system:node:node-{node}");
        let (schema, flow) = match self {
            Flow::Node(node) => ("system-nodes", of_node(node)),
            Flow::NodeStatus(node) => ("system-node-high", of_node(node)),
            Flow::Scheduler(namespace) => ("kube-scheduler", namespace.name().to_owned()),
            Flow::KubeSystem(namespace) => ("kube-system-service-accounts", namespace.name().to_owned()),
            Flow::ServiceAccounts => ("service-accounts", "system:serviceaccount:agents:agent".to_owned()),
            Flow::Others => ("global-default", "agent".to_owned()),
        };
        let digest = Sha256::digest([schema.as_bytes(), &[0], flow.as_bytes()].concat());
        u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
    }
}

/// What becomes of a request that arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    Seated,
    Waits,
    /// Its flow's queues are full.
    Refused,
}

/// Where a request waits or is served.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    queue: u32,
    width: u32,
    since: SimTime,
}

/// One level's seats and queues.
#[derive(Clone, Debug)]
struct Seats {
    nominal: u32,
    /// Seats that it never lends.
    kept: u32,
    /// Seats it may use now.
    limit: u32,
    queues: Queues,
    demand: Demand,
    /// So long no seat was free.
    full: SimDuration,
    at: SimTime,
}

impl Seats {
    fn new(level: Level, all: u32) -> Seats {
        let nominal = level.seats(all);
        // Rounded as the server rounds what may be lent.
        let lendable = (nominal * level.shares().1 + 50) / 100;
        let (queues, hand) = level.queues();
        Seats {
            nominal,
            kept: nominal - lendable,
            limit: nominal,
            queues: Queues::new(queues, hand),
            demand: Demand::default(),
            full: SimDuration::ZERO,
            at: SimTime::ZERO,
        }
    }

    fn is_full(&self) -> bool {
        self.queues.busy >= self.limit || self.queues.any_waiting()
    }

    /// Books the time since the last change.
    fn pass(&mut self, now: SimTime) {
        let span = now.since(self.at);
        self.demand.note(self.queues.busy + self.queues.seats_waiting, span);
        self.queues.pass(span, self.limit);
        if self.is_full() {
            self.full += span;
        }
        self.at = now;
    }

    /// Gives seats in fair turn as long as there are enough, and tells who has them.
    fn seat(&mut self, places: &mut [Place], seated: &mut Vec<u32>) {
        // A level that has lent all it has still serves one at a time.
        while let Some((request, queue, width)) = self.queues.dispatch(self.limit.max(1)) {
            places[request as usize] = Place { queue, width, since: self.at };
            seated.push(request);
        }
    }
}

/// The server's levels. Its methods must be called in order of time.
#[derive(Clone, Debug)]
pub struct ApiServer {
    levels: [Seats; Level::ALL.len()],
    /// By request.
    places: Vec<Place>,
}

impl ApiServer {
    /// A server of so many seats, none of them taken; 600 is the default of `--max-requests-inflight` (400) and
    /// `--max-mutating-requests-inflight` (200).
    pub fn new(seats: u32) -> ApiServer {
        ApiServer { levels: Level::ALL.map(|level| Seats::new(level, seats)), places: Vec::new() }
    }

    /// Seats that a list of so many objects takes.
    pub fn seats_of_list(&self, flow: Flow, objects: u32) -> u32 {
        let most = (self.levels[flow.level() as usize].nominal * LIST_PERCENT).div_ceil(100);
        objects.div_ceil(OBJECTS_PER_SEAT).clamp(1, most.clamp(1, MOST_SEATS_OF_A_LIST))
    }

    /// A request that takes `width` seats arrives; who has seats now, itself perhaps, is added to `seated`. Requests are numbered by
    /// the caller, who may use a number again once it is done.
    pub fn arrive(
        &mut self,
        request: u32,
        flow: Flow,
        width: u32,
        now: SimTime,
        seated: &mut Vec<u32>,
    ) -> Arrival {
        let level = &mut self.levels[flow.level() as usize];
        level.pass(now);
        let Some(queue) = level.queues.enqueue(request, flow.hash(), width, level.limit) else {
            return Arrival::Refused;
        };
        if self.places.len() <= request as usize {
            self.places.resize(request as usize + 1, Place::default());
        }
        self.places[request as usize] = Place { queue, width, since: now };
        level.seat(&mut self.places, seated);
        if seated.contains(&request) { Arrival::Seated } else { Arrival::Waits }
    }

    /// A request that had seats is done; who has seats now is added to `seated`.
    pub fn leave(&mut self, request: u32, level: Level, now: SimTime, seated: &mut Vec<u32>) {
        let level = &mut self.levels[level as usize];
        level.pass(now);
        let Place { queue, width, since } = self.places[request as usize];
        level.queues.finish(queue, width, now.since(since));
        level.seat(&mut self.places, seated);
    }

    /// A request has waited for too long. Whom it kept waiting, being wider, has seats when the next one leaves or comes.
    ///
    /// # Panics
    /// If it does not wait.
    pub fn give_up(&mut self, request: u32, level: Level, now: SimTime) {
        let level = &mut self.levels[level as usize];
        level.pass(now);
        level.queues.remove(self.places[request as usize].queue, request);
    }

    /// Shares the seats anew, by what the levels asked for since the last time.
    pub fn lend(&mut self, now: SimTime, seated: &mut Vec<u32>) {
        let all: u32 = self.levels.iter().map(|level| level.nominal).sum();
        let bounds = self.levels.each_mut().map(|level| {
            level.pass(now);
            let (kept, wanted) = (f64::from(level.kept), level.demand.close());
            Bounds { least: kept, target: wanted.max(kept), most: f64::from(all) }
        });
        for (level, share) in self.levels.iter_mut().zip(lending::share(f64::from(all), &bounds)) {
            // Rounded down, so that together they never have more than there are.
            level.limit = share as u32;
            level.seat(&mut self.places, seated);
        }
    }

    /// How long, up to now, a request of this level would have found no seat free.
    pub fn full_until(&self, level: Level, now: SimTime) -> SimDuration {
        let level = &self.levels[level as usize];
        let open = if level.is_full() { now.since(level.at) } else { SimDuration::ZERO };
        level.full + open
    }
}

#[cfg(test)]
mod tests;
