//! Karpenter's provisioner: the batch window, the sync gate and one round of scheduling.

use std::collections::VecDeque;

use super::prepared::Pool;
use super::state::{NONE, NodeStage, PodStage};
use super::*;

/// A pod that Karpenter may act on comes to the batcher anew after so long (`PodController.Reconcile`).
const REQUEUE: SimDuration = SimDuration::from_secs(10);

/// The batcher and the state of the provisioner's loop.
#[derive(Clone, Debug)]
pub(super) struct Batcher {
    /// When the window's first pod came; `None`: no window is open.
    opened: Option<SimTime>,
    /// When its last new pod came.
    last: SimTime,
    /// Windows so far; a pod that carries this number is in the present one.
    window: u32,
    /// Pods that come again, by rising time.
    requeued: VecDeque<(SimTime, u32)>,
    /// An appointment to look at the window.
    appointment: Option<Scheduled>,
    appointed_at: SimTime,
    /// A round is being computed or its claims are being made.
    pub solving: bool,
    /// The last window was consumed by the sync gate.
    pub gated: bool,
}

impl Batcher {
    pub fn new() -> Batcher {
        Batcher {
            opened: None,
            last: SimTime::ZERO,
            window: 1,
            requeued: VecDeque::new(),
            appointment: None,
            appointed_at: SimTime::NEVER,
            solving: false,
            gated: false,
        }
    }

    /// A new pod came at `at`.
    fn signal(&mut self, at: SimTime) {
        self.opened.get_or_insert(at);
        self.last = self.last.max(at);
    }
}

impl Run<'_> {
    /// A pod comes to the batcher: it opens a window or prolongs it, if it is not in it already.
    pub(super) fn trigger(&mut self, pod: u32, at: SimTime) {
        if !std::mem::replace(&mut self.pods[pod as usize].requeues, true) {
            self.batcher.requeued.push_back((at + REQUEUE, pod));
        }
        self.enter_window(pod, at);
        self.appoint();
    }

    /// The node of a pod being evicted comes to the batcher.
    pub(super) fn trigger_node(&mut self) {
        self.batcher.signal(self.now);
        self.appoint();
    }

    fn enter_window(&mut self, pod: u32, at: SimTime) {
        let state = &mut self.pods[pod as usize];
        if state.window != self.batcher.window {
            state.window = self.batcher.window;
            self.batcher.signal(at);
        }
    }

    /// Lets the pods that are due come to the batcher again.
    fn requeue_due(&mut self) {
        while let Some((at, pod)) = self.batcher.requeued.front().copied().filter(|(at, _)| *at <= self.now) {
            self.batcher.requeued.pop_front();
            let state = &mut self.pods[pod as usize];
            state.requeues =
                state.provisionable && matches!(state.stage, PodStage::Pending | PodStage::Assumed);
            if state.requeues {
                self.batcher.requeued.push_back((at + REQUEUE, pod));
                self.enter_window(pod, at);
            }
        }
    }

    fn window_end(&self) -> Option<SimTime> {
        let settings = &self.scenario.karpenter;
        let opened = self.batcher.opened?;
        Some((self.batcher.last + settings.batch_idle).min(opened + settings.batch_max))
    }

    /// The next look: at the window's end, or when the next pod that comes again would have opened one. While a
    /// round is under way nobody waits for a window.
    fn appoint(&mut self) {
        if self.batcher.solving {
            return;
        }
        let again = self.batcher.requeued.front().map(|(at, _)| *at + self.scenario.karpenter.batch_idle);
        let Some(at) = self.window_end().or(again) else { return };
        let at = at.max(self.now);
        if self.batcher.appointed_at <= at && self.batcher.appointment.is_some() {
            return;
        }
        if let Some(appointment) = self.batcher.appointment.take() {
            self.agenda.cancel(appointment);
        }
        self.batcher.appointed_at = at;
        self.batcher.appointment = Some(self.at(at, Event::WindowCloses));
    }

    pub(super) fn window_closes(&mut self) {
        self.batcher.appointment = None;
        self.requeue_due();
        match self.window_end() {
            Some(end) if end <= self.now => {}
            _ => return self.appoint(),
        }
        self.batcher.opened = None;
        self.batcher.window += 1;
        self.batcher.gated = self.unlaunched > 0;
        if self.batcher.gated {
            self.refresh_undecided();
            return self.appoint();
        }
        self.solve();
    }

    /// One round over all pods that wait.
    fn solve(&mut self) {
        self.rounds += 1;
        self.sweep_marks();
        let mut waiting: Vec<u32> = (0..self.pods.len() as u32)
            .filter(|pod| {
                let state = &self.pods[*pod as usize];
                state.provisionable && state.stage == PodStage::Pending
            })
            .collect();
        let key = |pod: &u32| {
            let requests = self.requests(*pod);
            (std::cmp::Reverse(requests.cpu_millis), std::cmp::Reverse(requests.memory_bytes), *pod)
        };
        waiting.sort_by_key(key);
        let prepared = self.prepared;
        let mut round = Round::new(self);
        let plan: Vec<Placed> =
            waiting.iter().map(|pod| round.place(self.requests(*pod), prepared)).collect();
        let (tries_existing, tries_new) = (round.tries_existing, round.tries_new);
        self.make_claims(&round);
        for (pod, placed) in waiting.iter().zip(&plan) {
            self.nominate(*pod, *placed);
        }
        self.batcher.solving = true;
        let cost = |latency, count: u64| {
            SimDuration::from_secs_f64(
                self.draw(latency, Component::Karpenter, 0, 0).secs_f64() * count as f64,
            )
        };
        let takes = cost(Latency::SolvePerPod, waiting.len() as u64)
            + cost(Latency::SolvePerExistingTried, tries_existing)
            + cost(Latency::SolvePerClaimTried, tries_new);
        self.at(self.now + takes, Event::Solved);
        self.refresh_undecided();
        let (pods, claims) = (waiting.len(), self.solved.len());
        self.trace(|| TraceLine::new("round").count("pods", pods).count("claims", claims));
    }

    /// The round's claims as nodes to be.
    fn make_claims(&mut self, round: &Round) {
        for open in &round.claims {
            let node = self.nodes.len() as u32;
            let planned = open.requests;
            self.nodes.push(Node { planned, planned_pods: open.pods, ..Node::claim(open.pool) });
            self.solved.push(node);
        }
    }

    fn nominate(&mut self, pod: u32, placed: Placed) {
        let before = self.pods[pod as usize].nominated;
        if before != NONE {
            super::scheduler::forget(&mut self.nodes[before as usize].nominated, pod);
        } else {
            super::scheduler::forget(&mut self.undecided, pod);
        }
        let (node, refused) = match placed {
            Placed::Existing(node) => (node, None),
            Placed::Claim(index) => (self.solved[index as usize], None),
            Placed::Nowhere(cause) => (NONE, Some(cause)),
        };
        let state = &mut self.pods[pod as usize];
        (state.nominated, state.refused) = (node, refused);
        match node {
            NONE => self.undecided.push(pod),
            node => self.nodes[node as usize].nominated.push(pod),
        }
    }

    pub(super) fn claims_exist(&mut self) {
        self.batcher.solving = false;
        for node in std::mem::take(&mut self.solved) {
            self.unlaunched += 1;
            let wait = self.draw(Latency::ClaimToLaunch, Component::Karpenter, node, 0);
            self.at(self.now + wait, Event::LaunchRequested(node));
            self.trace_claim(node);
            self.refresh_nominated(node);
        }
        // Signals that came meanwhile open the next window now.
        if self.batcher.opened.is_some() {
            self.batcher.opened = Some(self.now);
            self.batcher.last = self.now;
        }
        self.refresh_undecided();
        self.appoint();
    }

    fn trace_claim(&mut self, node: u32) {
        if !self.traces() {
            return;
        }
        let claim = &self.nodes[node as usize];
        let pool = &self.prepared.pools[claim.pool as usize];
        let types: Vec<&str> = pool
            .offered(claim.planned)
            .map(|offered| self.scenario.catalogue.get(offered.id).name.as_str())
            .collect();
        let line = TraceLine::new("claim_created")
            .node(node)
            .count("pods", claim.planned_pods as usize)
            .requests(claim.planned)
            .types(&types);
        self.trace(|| line);
    }
}

/// Where a round puts a pod.
#[derive(Clone, Copy, Debug)]
enum Placed {
    Existing(u32),
    Claim(u32),
    Nowhere(Cause),
}

/// A claim of the round under way.
#[derive(Clone, Debug)]
struct OpenClaim {
    pool: u32,
    requests: Resources,
    pods: u32,
}

/// One round: first fit onto what exists, then onto the round's claims, fewest pods first, else a new claim.
#[derive(Debug)]
struct Round {
    /// Room on nodes and launched claims.
    existing: Vec<(u32, Resources)>,
    claims: Vec<OpenClaim>,
    /// Claims that can still take the smallest pod.
    open: Vec<u32>,
    smallest: Resources,
    /// The largest types each pool has on offer now, none of which holds what another does not.
    largest: Vec<Vec<Resources>>,
    /// What is left of each pool's limits.
    left: Vec<Option<Resources>>,
    blocked: Vec<Option<Cause>>,
    last: Resources,
    from: usize,
    tries_existing: u64,
    tries_new: u64,
}

impl Round {
    fn new(run: &Run<'_>) -> Round {
        // Initialized nodes first.
        let room = |(index, node): (usize, &Node)| {
            let counts = node.lives() && !node.disrupted && !node.critical_addons_only;
            counts.then(|| (index as u32, node.allocatable - node.requested))
        };
        let all = || run.nodes.iter().enumerate().filter_map(room);
        let initialized =
            |(index, _): &(u32, Resources)| run.nodes[*index as usize].stage == NodeStage::Ready;
        let existing: Vec<(u32, Resources)> =
            all().filter(initialized).chain(all().filter(|node| !initialized(node))).collect();
        let requests = run.scenario.deployments.iter().map(|deployment| deployment.requests);
        let smallest = requests
            .reduce(|a, b: Resources| {
                Resources::new(a.cpu_millis.min(b.cpu_millis), a.memory_bytes.min(b.memory_bytes), 1)
            })
            .unwrap_or(Resources::ZERO);
        let pools = &run.prepared.pools;
        Round {
            existing,
            claims: Vec::new(),
            open: Vec::new(),
            smallest,
            largest: pools.iter().map(|pool| run.largest_on_offer(pool)).collect(),
            left: pools.iter().enumerate().map(|(index, pool)| run.limits_left(index as u32, pool)).collect(),
            blocked: pools.iter().enumerate().map(|(index, _)| run.why_not_offered(index as u32)).collect(),
            last: Resources::ZERO,
            from: 0,
            tries_existing: 0,
            tries_new: 0,
        }
    }

    fn fits(&self, pool: u32, requests: Resources) -> bool {
        self.largest[pool as usize].iter().any(|room| requests.fits(room))
    }

    fn place(&mut self, pod: Resources, prepared: &Prepared) -> Placed {
        // Rooms only shrink: where an equal pod found none, this one finds none.
        self.from = if pod == self.last { self.from } else { 0 };
        self.last = pod;
        while self.from < self.existing.len() && !pod.fits(&self.existing[self.from].1) {
            self.from += 1;
        }
        self.tries_existing += (self.from + 1).min(self.existing.len()) as u64;
        if let Some((node, room)) = self.existing.get_mut(self.from) {
            *room = *room - pod;
            return Placed::Existing(*node);
        }
        self.tries_new += self.claims.len() as u64;
        self.open.sort_by_key(|claim| self.claims[*claim as usize].pods);
        for place in 0..self.open.len() {
            let index = self.open[place];
            let claim = &self.claims[index as usize];
            let (pool, after) = (claim.pool, claim.requests + pod);
            if self.fits(pool, after) {
                let claim = &mut self.claims[index as usize];
                claim.requests = after;
                claim.pods += 1;
                if !self.fits(pool, after + self.smallest) {
                    self.open.remove(place);
                }
                return Placed::Claim(index);
            }
        }
        self.open_claim(pod, prepared)
    }

    /// A new claim of the first pool by weight that can hold the pod.
    fn open_claim(&mut self, pod: Resources, prepared: &Prepared) -> Placed {
        let mut why = Cause::NoInstanceType;
        for (index, pool) in prepared.pools.iter().enumerate() {
            let requests = prepared.daemons + pod;
            if !self.fits(index as u32, requests) {
                if pool.offered(requests).next().is_some() {
                    why = self.blocked[index].unwrap_or(Cause::CapacityUnavailable);
                }
                continue;
            }
            if let Some(left) = &mut self.left[index] {
                // Types beyond what is left are out; what the largest remaining one holds is booked.
                let within = pool.offered(requests).filter(|offered| offered.capacity.fits(left));
                let Some(most) = within.map(|offered| offered.capacity).reduce(largest) else {
                    why = Cause::PoolLimit;
                    continue;
                };
                *left = *left - most;
            }
            let claim = self.claims.len() as u32;
            self.claims.push(OpenClaim { pool: index as u32, requests, pods: 1 });
            if self.fits(index as u32, requests + self.smallest) {
                self.open.push(claim);
            }
            return Placed::Claim(claim);
        }
        Placed::Nowhere(why)
    }
}

fn largest(a: Resources, b: Resources) -> Resources {
    Resources::new(a.cpu_millis.max(b.cpu_millis), a.memory_bytes.max(b.memory_bytes), a.pods.max(b.pods))
}

impl Pool {
    /// Types that hold so much, by rising on-demand price.
    pub(super) fn offered(&self, requests: Resources) -> impl Iterator<Item = &super::prepared::Offered> {
        self.offered.iter().filter(move |offered| requests.fits(&offered.allocatable))
    }
}
