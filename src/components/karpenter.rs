//! Karpenter's provisioner: the batch window, the sync gate and one round of scheduling.

use std::sync::Arc;

use super::state::{NONE, PodStage};
use super::tried_nodes::{Seen, Tried};
use super::*;
use crate::actors::karpenter::launch;
use crate::actors::karpenter::reservations::Mode;
use crate::actors::karpenter::solve::{Existing, Limits, Placed, Solution, Ties, Why};

/// The provisioner's loop.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    /// An appointment to look at the window.
    appointment: Option<Scheduled>,
    appointed_at: SimTime,
    /// A round is being computed or its claims are being made.
    pub solving: bool,
    /// The last window was consumed by the sync gate.
    pub gated: bool,
    /// Until when the offerings that were last told the provisioner hold.
    pub offers_hold_until: SimTime,
    /// How often that has changed.
    pub offers_view: u32,
    /// Pods that were marked unschedulable, those that have been bound since the last round included.
    pub marked: Vec<u32>,
    pub seen: Seen,
}

impl Loop {
    pub fn new() -> Loop {
        Loop {
            appointment: None,
            appointed_at: SimTime::NEVER,
            solving: false,
            gated: false,
            offers_hold_until: SimTime::NEVER,
            offers_view: 0,
            marked: Vec::new(),
            seen: Seen::default(),
        }
    }
}

/// Equal domains are drawn, anew at every attempt.
struct Drawn {
    chance: Chance,
    round: u32,
    draws: u32,
}

impl Ties for Drawn {
    fn pick(&mut self, count: usize) -> usize {
        self.draws += 1;
        self.chance.below(Component::DomainTie, self.round, self.draws, count as u64) as usize
    }
    fn by_name(&self) -> bool {
        false
    }
}

impl Run<'_> {
    /// A pod comes to the batcher.
    pub(super) fn trigger(&mut self, pod: u32, at: SimTime) {
        self.batcher.trigger(pod, at);
        self.appoint();
    }
    /// The node of a pod being evicted comes to the batcher.
    pub(super) fn trigger_node(&mut self) {
        self.batcher.trigger_node(self.now);
        self.appoint();
    }

    /// The next look at the window. While a round is under way nobody waits for one.
    pub(super) fn appoint(&mut self) {
        if self.provisioning.solving || self.launches.under_way {
            return;
        }
        let Some(at) = self.batcher.next_look() else { return };
        let at = at.max(self.now);
        if self.provisioning.appointed_at <= at && self.provisioning.appointment.is_some() {
            return;
        }
        if let Some(appointment) = self.provisioning.appointment.take() {
            self.agenda.cancel(appointment);
        }
        self.provisioning.appointed_at = at;
        self.provisioning.appointment = Some(self.at(at, Event::WindowCloses));
    }

    pub(super) fn window_closes(&mut self) {
        self.provisioning.appointment = None;
        let pods = &self.pods;
        self.batcher.requeue_due(self.now, |pod| {
            let state = &pods[pod as usize];
            state.provisionable && matches!(state.stage, PodStage::Pending | PodStage::Assumed)
        });
        if !self.batcher.close(self.now) {
            return self.appoint();
        }
        let was_gated = self.provisioning.gated;
        self.provisioning.gated = self.unlaunched > 0 && self.prepared.era.node_claims;
        if self.provisioning.gated {
            // Those it waits out already wait for the very same.
            if !was_gated {
                self.refresh_undecided();
            }
            return self.appoint();
        }
        self.solve();
    }

    /// One round over all pods that wait.
    fn solve(&mut self) {
        self.rounds += 1;
        self.sweep_marks();
        self.refresh_offers();
        let waiting = self.waiting();
        // Those of nodes that go are planned for as if they waited, and stay where they are until they are evicted.
        let moving = self.pods_to_move();
        let shape = |pod: &u32| self.pods[*pod as usize].deployment;
        let mut shapes: Vec<u32> = waiting.iter().map(shape).collect();
        shapes.extend(moving.iter().map(shape));
        let Tried { indices, nodes, rooms, places, count, elsewhere } =
            self.existing_nodes(self.least_of(&shapes));
        let existing =
            Existing { nodes: &nodes, rooms: &rooms, places: Some(&places), count, elsewhere: &elsewhere };
        let limits = self.limits_left();
        let mut ties = Drawn { chance: self.chance, round: self.rounds as u32, draws: 0 };
        let solution = self.provisioner.solve_among(Mode::Strict, &shapes, existing, &limits, &mut ties);
        let made = self.make_claims(&solution);
        // Every pod without a plan is among those that wait, and is decided on anew.
        debug_assert!(self.undecided.iter().all(|pod| waiting.binary_search(pod).is_ok()));
        self.undecided.clear();
        for (pod, placed) in waiting.iter().zip(&solution.placed) {
            let placed = match placed {
                Placed::Existing(place) => Ok(indices[*place as usize]),
                Placed::Claim(index) => made[*index as usize].ok_or(Why::NoFit),
                Placed::Nowhere(why) => Err(*why),
            };
            self.nominate(*pod, placed);
        }
        self.provisioning.solving = true;
        let cost = |latency, count: u64| {
            SimDuration::from_secs_f64(
                self.draw(latency, Component::Karpenter, 0, 0).secs_f64() * count as f64,
            )
        };
        let takes = cost(Latency::SolvePerPod, shapes.len() as u64)
            + cost(Latency::SolvePerExistingTried, solution.tries_existing)
            + cost(Latency::SolvePerClaimTried, solution.tries_new);
        self.at(self.now + takes, Event::Solved);
        self.refresh_undecided();
        let (pods, claims) = (waiting.len(), self.solved.len());
        self.trace(|| TraceLine::new("round").count("pods", pods).count("claims", claims));
    }

    /// Pods for which a node is wanted.
    fn waiting(&mut self) -> Vec<u32> {
        let (marked, pods) = (&mut self.provisioning.marked, &self.pods);
        marked.retain(|pod| pods[*pod as usize].provisionable);
        if !marked.is_sorted_by(|one, next| one < next) {
            marked.sort();
            marked.dedup();
        }
        let mut waiting = Vec::with_capacity(marked.len());
        let waits = |pod: &u32| pods[*pod as usize].stage == PodStage::Pending;
        waiting.extend(marked.iter().copied().filter(waits));
        waiting
    }

    /// What is left of each pool's limits.
    pub(super) fn limits_left(&self) -> Vec<Limits> {
        let mut left: Vec<Limits> = self.prepared.pools.iter().map(|pool| pool.limits).collect();
        if left.iter().all(|limits| *limits == Limits::default()) {
            return left;
        }
        for node in self
            .nodes
            .iter()
            .filter(|node| node.lives() && !node.unknown && !node.disrupted && !node.is_static())
        {
            let capacity = self.provisioner.offers.types[node.offered as usize].capacity;
            left[node.pool as usize] = left[node.pool as usize].less(capacity, 1);
        }
        left
    }

    /// The round's claims as nodes to be, by the order of opening. A claim whose types, cut to the cheapest, lack the
    /// variety that its pool wants is not made.
    fn make_claims(&mut self, solution: &Solution) -> Vec<Option<u32>> {
        let mut made = Vec::with_capacity(solution.claims.len());
        for claim in &solution.claims {
            let planned = self.provisioner.requests(claim);
            // Claims of one round that ask for the same, under no limits, have the same types.
            let alike = |node: &u32| {
                let before = &self.nodes[*node as usize];
                let spec = before.claim.as_ref()?;
                let same = before.pool == claim.pool && spec.set == claim.set && before.planned == planned;
                same.then(|| spec.clone())
            };
            let known = self.solved.last().filter(|_| !claim.is_limited()).and_then(alike);
            let spec = known.or_else(|| {
                let options = self.provisioner.options(claim);
                launch::claim(&self.provisioner.offers, claim.set, &options).map(Arc::new)
            });
            made.push(spec.map(|spec| {
                let node = self.nodes.len() as u32;
                self.solved.push(node);
                self.nodes.push(Node {
                    planned,
                    planned_pods: claim.pods,
                    claim: Some(spec),
                    created_at: SimTime::NEVER,
                    ..Node::claim(claim.pool)
                });
                node
            }));
        }
        made
    }

    /// Karpenter means the pod for a node, or has none for it. Whoever asks has emptied the list of the undecided.
    fn nominate(&mut self, pod: u32, placed: Result<u32, Why>) {
        let refused = placed.err().map(|why| self.cause_of(why));
        let node = placed.unwrap_or(NONE);
        let state = &mut self.pods[pod as usize];
        state.refused = refused;
        let before = std::mem::replace(&mut state.nominated, node);
        if node == NONE {
            self.undecided.push(pod);
        } else {
            self.note_nominated(node);
        }
        if before != node {
            if before != NONE {
                super::scheduler::forget(&mut self.nodes[before as usize].nominated, pod);
            }
            if node != NONE {
                self.nodes[node as usize].nominated.push(pod);
                self.refresh_pending(pod);
            }
        }
    }

    fn cause_of(&self, why: Why) -> Cause {
        match why {
            Why::LeftOut | Why::NoFit => Cause::NoInstanceType,
            Why::Limits => Cause::PoolLimit,
            Why::Booked => Cause::ReservationBooked,
            Why::Unavailable if self.marks.values().any(|mark| mark.quota) => Cause::Quota,
            Why::Unavailable => Cause::CapacityUnavailable,
        }
    }

    pub(super) fn claims_exist(&mut self) {
        self.provisioning.solving = false;
        if !self.prepared.era.node_claims {
            self.launch_planned();
        }
        for node in std::mem::take(&mut self.solved) {
            self.claim_exists(node);
        }
        self.batcher.reopen(self.now);
        self.refresh_undecided();
        self.appoint();
    }

    /// The claim stands in the API, to be launched.
    pub(super) fn claim_exists(&mut self, node: u32) {
        self.unlaunched += 1;
        self.nodes[node as usize].created_at = self.now;
        let wait = self.draw(Latency::ClaimToLaunch, Component::Karpenter, node, 0);
        let requested = Event::LaunchRequested(node);
        self.send_request(Flow::KubeSystem(Namespace::None), RequestKind::Create, self.now, wait, requested);
        self.trace_claim(node);
        self.refresh_nominated(node);
    }

    pub(super) fn trace_claim(&mut self, node: u32) {
        if !self.traces() {
            return;
        }
        let claim = &self.nodes[node as usize];
        let types = claim.claim.iter().flat_map(|spec| &spec.types);
        let types: Vec<&str> =
            types.map(|place| self.provisioner.offers.types[*place].name.as_str()).collect();
        let line = TraceLine::new("claim_created")
            .node(node)
            .count("pods", claim.planned_pods as usize)
            .requests(claim.planned)
            .types(&types);
        self.trace(|| line);
    }
}
