//! Karpenter 0.19's loop: of its methods the first that finds something acts, and until that is over nothing else is looked at.
//!
//! What consolidation finds it looks at again after 15 s, in which the loop waits; if it does not hold any more the next node is
//! tried, of those that could go at the begin of the pass. What is carried out, and waited for: `awaited`; since when a node is
//! empty: `emptiness`. Left out: `do-not-consolidate` of nodes. Source: aws/karpenter-core cf29e8b,
//! `pkg/controllers/deprovisioning`.

use super::super::state::PodStage;
use super::awaited::UnderWay;
use super::emptiness::Emptiness;
use super::*;
use crate::actors::karpenter::disruption::candidates::eviction_cost;
use crate::actors::karpenter::disruption::deprovisioning::{self as rules, Method, disruption_cost};
use crate::scenario::{ConsolidationPolicy, DisruptionSpec};

/// The loop's memory.
#[derive(Clone, Debug)]
pub(in super::super) struct Deprovisioning {
    /// What is looked at again.
    validating: Option<Validating>,
    pub(super) under_way: Option<UnderWay>,
    /// Errors in a row.
    pub(super) errors: u32,
    /// What `changed_at` was after the last pass in which nobody found anything.
    fruitless: Option<SimTime>,
    pub(super) emptiness: Emptiness,
}

#[derive(Clone, Debug)]
struct Validating {
    /// The method's place, the candidates in their order, and the place of the one that was tried.
    place: usize,
    candidates: Vec<Candidate>,
    attempt: usize,
    command: Command,
}

/// `ttlSecondsAfterEmpty`
pub(super) fn ttl_after_empty(spec: &DisruptionSpec) -> Option<SimDuration> {
    spec.consolidate_after.filter(|_| spec.policy == ConsolidationPolicy::WhenEmpty)
}

impl Deprovisioning {
    pub fn new(scenario: &Scenario) -> Deprovisioning {
        Deprovisioning {
            validating: None,
            under_way: None,
            errors: 0,
            fruitless: None,
            emptiness: Emptiness::new(scenario),
        }
    }
}

impl Run<'_> {
    /// The methods from this one on.
    pub(super) fn deprovision(&mut self, from: usize) {
        self.disruption.took = SimDuration::ZERO;
        for place in from..Method::ALL.len() {
            let candidates = self.deprovisionable(Method::ALL[place]);
            if self.try_candidates(place, candidates, 0) {
                return;
            }
        }
        let changed_at = self.consolidation_state();
        self.disruption.deprovisioning.fruitless = Some(changed_at);
        self.rest_and_poll();
    }
    pub(super) fn rest_and_poll(&mut self) {
        self.disruption.deprovisioning.errors = 0;
        self.at(self.now + self.disruption.took + POLL, Event::DisruptionPolled);
    }

    /// The candidates from this one on: is there something to be done about any?
    fn try_candidates(&mut self, place: usize, candidates: Vec<Candidate>, from: usize) -> bool {
        let method = Method::ALL[place];
        let mut view = None;
        for attempt in from..candidates.len() {
            let Some(command) = self.deprovisioned(method, &candidates, attempt, &mut view) else { continue };
            if method.validated_after().is_zero() {
                self.carry_out(command);
            } else {
                self.at(
                    self.now + self.disruption.took + method.validated_after(),
                    Event::DisruptionValidated,
                );
                let validating = Validating { place, candidates, attempt, command };
                self.disruption.deprovisioning.validating = Some(validating);
            }
            return true;
        }
        false
    }

    pub(super) fn deprovisioning_validated(&mut self) {
        let validating = self.disruption.deprovisioning.validating.take();
        let Validating { place, candidates, attempt, command } =
            validating.expect("a command waits to be validated");
        self.disruption.took = SimDuration::ZERO;
        if self.still_deprovisions(Method::ALL[place], &command) {
            self.carry_out(command);
        } else if !self.try_candidates(place, candidates, attempt + 1) {
            self.deprovision(place + 1);
        }
    }

    /// What is done about the candidate at this place; empty ones go together.
    fn deprovisioned(
        &mut self,
        method: Method,
        candidates: &[Candidate],
        attempt: usize,
        view: &mut Option<View>,
    ) -> Option<Command> {
        let consolidates = method == Method::Consolidation;
        let state = self.consolidation_state();
        if consolidates && self.disruption.deprovisioning.fruitless == Some(state) {
            return None;
        }
        if !consolidates || attempt == 0 {
            let empty: Vec<Candidate> = candidates.iter().filter(|c| c.pods.is_empty()).cloned().collect();
            if method != Method::Expiration && !empty.is_empty() {
                return Some(Command::of(Reason::Empty, empty));
            }
        }
        let candidate = std::slice::from_ref(&candidates[attempt]);
        if !self.can_be_terminated(&candidate[0]) {
            return None;
        }
        let view = view.get_or_insert_with(|| self.view_of_what_stays());
        let simulated = self.simulated(view, candidate);
        let new_nodes = match method {
            // It goes whether its pods find a place or not.
            Method::Emptiness | Method::Expiration => simulated.new_nodes,
            Method::Consolidation => {
                match consolidate(&mut self.provisioner.offers, candidate, &simulated, false).ok()? {
                    Action::Delete => Vec::new(),
                    Action::Replace(new) => vec![new],
                }
            }
        };
        Some(Command { new_nodes, ..Command::of(method.reason(), candidate.to_vec()) })
    }

    /// Does it still hold for those that may still go? All go if it does.
    fn still_deprovisions(&mut self, method: Method, command: &Command) -> bool {
        let named = |candidate: &Candidate| command.candidates.iter().any(|c| c.node == candidate.node);
        let left: Vec<Candidate> = self.deprovisionable(method).into_iter().filter(named).collect();
        let empty = left.iter().all(|candidate| candidate.pods.is_empty());
        if left.is_empty() || (empty && command.new_nodes.is_empty()) {
            return !left.is_empty();
        }
        let mut view = self.view_of_what_stays();
        let simulated = self.simulated(&mut view, &left);
        still_holds(&command.new_nodes, &simulated)
    }

    /// Pods that wait are not looked at, and nodes that still come up count as those that are there.
    fn view_of_what_stays(&mut self) -> View {
        let mut view = self.view(false);
        view.situation.pending.clear();
        view.situation.initialized.fill(true);
        view
    }

    /// When something last changed that consolidation looks at; after a while it counts as changed.
    fn consolidation_state(&mut self) -> SimTime {
        let disruption = &mut self.disruption;
        if self.now.since(disruption.changed_at) > LOOKS_AGAIN_AFTER {
            disruption.changed_at = self.now;
        }
        disruption.changed_at
    }

    /// Neither a budget of pods nor one of them keeps it.
    fn can_be_terminated(&self, candidate: &Candidate) -> bool {
        let node = &self.nodes[candidate.node as usize];
        let protects = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            state.is_active() && state.stage >= PodStage::Bound && self.is_protected(*pod)
        };
        let mut deployments = candidate.pods.clone();
        deployments.dedup();
        !node.disrupted
            && !node.pods.iter().any(protects)
            && !deployments.iter().any(|deployment| self.is_blocked(*deployment))
    }

    /// Nodes that the method takes, in the order in which it tries them.
    fn deprovisionable(&mut self, method: Method) -> Vec<Candidate> {
        let mut found: Vec<u32> =
            (0..self.nodes.len() as u32).filter(|node| self.may_be_disrupted(*node)).collect();
        found.retain(|node| self.should_deprovision(*node, method));
        found.sort_by_cached_key(|node| self.age_order(*node));
        let mut candidates: Vec<Candidate> =
            found.into_iter().map(|node| self.deprovisioning_candidate(node)).collect();
        match method {
            Method::Emptiness => candidates.retain(|candidate| candidate.pods.is_empty()),
            Method::Expiration => candidates.sort_by_cached_key(|candidate| self.expires_at(candidate.node)),
            Method::Consolidation => rules::sort(&mut candidates),
        }
        candidates
    }

    fn should_deprovision(&mut self, node: u32, method: Method) -> bool {
        let pool = &self.scenario.node_pools[self.nodes[node as usize].pool as usize];
        let spec = pool.disruption.as_ref();
        match method {
            Method::Emptiness => {
                let ttl = spec.and_then(ttl_after_empty);
                ttl.is_some_and(|ttl| self.emptiness_timestamp(node).is_over(ttl, self.now))
            }
            Method::Expiration => self.expires_at(node) < self.now,
            Method::Consolidation => spec.is_some_and(|spec| {
                spec.policy != ConsolidationPolicy::WhenEmpty && spec.consolidate_after.is_some()
            }),
        }
    }

    /// When its Node object was made, in whole seconds.
    fn made_at(&self, node: u32) -> SimTime {
        let made = self.launches.made.get(&node).copied().unwrap_or(self.nodes[node as usize].created_at);
        made.floor_second()
    }
    fn expires_at(&self, node: u32) -> SimTime {
        let pool = &self.scenario.node_pools[self.nodes[node as usize].pool as usize];
        pool.expire_after.map_or(SimTime::NEVER, |life| self.made_at(node) + life)
    }

    fn deprovisioning_candidate(&self, index: u32) -> Candidate {
        let node = &self.nodes[index as usize];
        let there = |pod: &&u32| {
            let pod = &self.pods[**pod as usize];
            pod.is_active() && pod.stage >= PodStage::Bound
        };
        let pods: Vec<u32> =
            node.pods.iter().filter(there).map(|pod| self.pods[*pod as usize].deployment).collect();
        let priority = |deployment: &u32| self.scenario.deployments[*deployment as usize].priority;
        let costs = pods.iter().map(|deployment| eviction_cost(0.0, priority(deployment)));
        let life = self.scenario.node_pools[node.pool as usize].expire_after;
        let cost = disruption_cost(costs, self.now.since(self.made_at(index)), life);
        self.as_candidate(index, pods, cost)
    }
}
