//! The API server's priority and fairness: seats by priority level, a queue for who finds none, and seats that idle
//! levels lend.
//!
//! A request holds its seats while it is served. Each level has its share of the server's seats; a request that finds too
//! few of them free waits behind those of its level that came before, unless its flow has as many waiting as its queues
//! hold, and gives up after [`WAITS_AT_MOST`]. Every [`LENT_EVERY`] the seats are shared anew by what levels asked for
//! (`lending`). Left out: within a level the queues are one, so that flows are not served in fair turn; exempt
//! requests; and the catch-all level's refusal of whoever must wait, since nothing here comes to it.
//!
//! Source: kubernetes, `apiserver/pkg/util/flowcontrol` and `pkg/apis/flowcontrol/bootstrap/default.go`.

mod lending;

use std::collections::VecDeque;

use crate::units::{SimDuration, SimTime};
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
/// Places in each queue.
const QUEUE_LENGTH: u32 = 50;
/// Queues among which one flow's requests are dealt.
const HAND: u32 = 6;
/// Queues of the nodes' levels, where each node is a flow.
const QUEUES_OF_NODES: u32 = 64;

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

    /// Its seats of `all` that the server has: its share, rounded up.
    pub fn seats(self, all: u32) -> u32 {
        let shares: u32 = Level::ALL.iter().map(|level| level.shares().0).sum();
        (all * self.shares().0).div_ceil(shares)
    }
}

/// Who sends: the flow schema that requests match, which says their level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Flow {
    /// kubelets but for their nodes' status and leases.
    Nodes,
    /// kubelets' updates of their nodes.
    NodeStatus,
    Scheduler,
    /// Service accounts in kube-system: the controllers', Karpenter's, and an agent's that is installed there.
    KubeSystem,
    /// Service accounts elsewhere.
    ServiceAccounts,
    /// Everybody else.
    Others,
}

impl Flow {
    pub const fn level(self) -> Level {
        match self {
            Flow::Nodes => Level::System,
            Flow::NodeStatus => Level::NodeHigh,
            Flow::Scheduler | Flow::KubeSystem => Level::WorkloadHigh,
            Flow::ServiceAccounts => Level::WorkloadLow,
            Flow::Others => Level::GlobalDefault,
        }
    }
    /// Places in the queues that its requests may take.
    const fn most_waiting(self) -> u32 {
        match self {
            Flow::Nodes | Flow::NodeStatus => QUEUES_OF_NODES * QUEUE_LENGTH,
            _ => HAND * QUEUE_LENGTH,
        }
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

#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: u32,
    flow: Flow,
    width: u32,
}

/// One level's seats and queue.
#[derive(Clone, Debug)]
struct Queue {
    nominal: u32,
    /// Seats that it never lends.
    kept: u32,
    /// Seats it may use now.
    limit: u32,
    busy: u32,
    waiting: VecDeque<Waiting>,
    wanted_by_waiting: u32,
    demand: Demand,
    /// So long no seat was free.
    full: SimDuration,
    at: SimTime,
}

impl Queue {
    fn new(level: Level, all: u32) -> Queue {
        let nominal = level.seats(all);
        // Rounded as the server rounds what may be lent.
        let lendable = (nominal * level.shares().1 + 50) / 100;
        Queue {
            nominal,
            kept: nominal - lendable,
            limit: nominal,
            busy: 0,
            waiting: VecDeque::new(),
            wanted_by_waiting: 0,
            demand: Demand::default(),
            full: SimDuration::ZERO,
            at: SimTime::ZERO,
        }
    }

    fn is_full(&self) -> bool {
        self.busy >= self.limit || !self.waiting.is_empty()
    }

    /// Books the time since the last change.
    fn pass(&mut self, now: SimTime) {
        let span = now.since(self.at);
        self.demand.note(self.busy + self.wanted_by_waiting, span);
        if self.is_full() {
            self.full += span;
        }
        self.at = now;
    }

    /// A request wider than its level is served once it is alone there.
    fn has_room(&self, width: u32) -> bool {
        self.busy + width <= self.limit || self.busy == 0
    }

    /// Gives seats to those at the head as long as there are enough, and tells who they are.
    fn seat(&mut self, seated: &mut Vec<u32>) {
        while let Some(head) = self.waiting.front().copied()
            && self.has_room(head.width)
        {
            self.waiting.pop_front();
            self.wanted_by_waiting -= head.width;
            self.busy += head.width;
            seated.push(head.request);
        }
    }
}

/// The server's levels. Its methods must be called in order of time.
#[derive(Clone, Debug)]
pub struct ApiServer {
    queues: [Queue; Level::ALL.len()],
}

impl ApiServer {
    /// A server of so many seats, none of them taken; 600 is the default of `--max-requests-inflight` (400) and
    /// `--max-mutating-requests-inflight` (200).
    pub fn new(seats: u32) -> ApiServer {
        ApiServer { queues: Level::ALL.map(|level| Queue::new(level, seats)) }
    }

    /// Seats that a list of so many objects takes.
    pub fn seats_of_list(&self, flow: Flow, objects: u32) -> u32 {
        let most = (self.queues[flow.level() as usize].nominal * LIST_PERCENT).div_ceil(100);
        objects.div_ceil(OBJECTS_PER_SEAT).clamp(1, most.clamp(1, MOST_SEATS_OF_A_LIST))
    }

    /// A request that takes `width` seats arrives.
    pub fn arrive(&mut self, request: u32, flow: Flow, width: u32, now: SimTime) -> Arrival {
        let queue = &mut self.queues[flow.level() as usize];
        queue.pass(now);
        if queue.waiting.is_empty() && queue.has_room(width) {
            queue.busy += width;
            return Arrival::Seated;
        }
        let of_flow = queue.waiting.iter().filter(|other| other.flow == flow).count();
        if of_flow >= flow.most_waiting() as usize {
            return Arrival::Refused;
        }
        queue.waiting.push_back(Waiting { request, flow, width });
        queue.wanted_by_waiting += width;
        Arrival::Waits
    }

    /// A request that held `width` seats is done; who has seats now is added to `seated`.
    pub fn leave(&mut self, level: Level, width: u32, now: SimTime, seated: &mut Vec<u32>) {
        let queue = &mut self.queues[level as usize];
        queue.pass(now);
        queue.busy -= width;
        queue.seat(seated);
    }

    /// A request has waited for too long.
    ///
    /// # Panics
    /// If it does not wait.
    pub fn give_up(&mut self, request: u32, level: Level, now: SimTime, seated: &mut Vec<u32>) {
        let queue = &mut self.queues[level as usize];
        queue.pass(now);
        let place = queue.waiting.iter().position(|other| other.request == request);
        let gone = queue.waiting.remove(place.expect("who gives up waits")).expect("the place is within");
        queue.wanted_by_waiting -= gone.width;
        queue.seat(seated);
    }

    /// Shares the seats anew, by what the levels asked for since the last time.
    pub fn lend(&mut self, now: SimTime, seated: &mut Vec<u32>) {
        let all: u32 = self.queues.iter().map(|queue| queue.nominal).sum();
        let bounds = self.queues.each_mut().map(|queue| {
            queue.pass(now);
            let (kept, wanted) = (f64::from(queue.kept), queue.demand.close());
            Bounds { least: kept, target: wanted.max(kept), most: f64::from(all) }
        });
        for (queue, share) in self.queues.iter_mut().zip(lending::share(f64::from(all), &bounds)) {
            // Rounded down, so that together they never have more than there are.
            queue.limit = share as u32;
            queue.seat(seated);
        }
    }

    /// How long, up to now, a request of this level would have found no seat free.
    pub fn full_until(&self, level: Level, now: SimTime) -> SimDuration {
        let queue = &self.queues[level as usize];
        let open = if queue.is_full() { now.since(queue.at) } else { SimDuration::ZERO };
        queue.full + open
    }
}

#[cfg(test)]
mod tests;
