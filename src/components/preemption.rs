//! A pod that found no node takes the place of others of lower priority: they are told to go, and once they have, it is
//! tried again on that node first. Until then the room is promised to it.

mod dry_run;
mod telling;

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use self::dry_run::DryRun;
pub(super) use self::telling::Tellings;
use super::placing::Placing;
use super::state::{NONE, PodStage};
use super::*;
use crate::actors::kube_scheduler::preemption::{Candidate, Victim, candidate, candidates_to_find, cost};
use crate::actors::kube_scheduler::view::Version;
use crate::scenario::DeploymentSpec;

/// What came of a failed attempt's look for others that could go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PostFilter {
    /// Nothing that the message would tell: some are told to go, or nobody is asked.
    Silent,
    /// The loop waits until they have been told.
    Waits,
    /// Others are going for its sake already.
    NotEligible,
    /// Nobody's going would help, with pods of lower priority on so many nodes that are short.
    Unhelpful(u32),
}

impl PostFilter {
    /// The message of the attempt with what is told of this.
    pub fn in_message(self, message: u64) -> u64 {
        let told = match self {
            PostFilter::Silent | PostFilter::Waits => return message,
            PostFilter::NotEligible => 1,
            PostFilter::Unhelpful(nodes) => 2 + u64::from(nodes),
        };
        (message ^ told).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
    }
}

impl Run<'_> {
    pub(super) fn priority(&self, pod: u32) -> i32 {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].priority
    }

    fn never_preempts(&self, pod: &Pod) -> bool {
        self.scenario.deployments[pod.deployment as usize].never_preempts
    }

    /// Looks for a node to which the pod could come without others of lower priority, and has them told to go.
    pub(super) fn preempt(&mut self, pod: u32) -> PostFilter {
        if !self.scenario.has_priorities() || self.never_preempts(&self.pods[pod as usize]) {
            return PostFilter::Silent;
        }
        if !self.may_ask_others_to_go(pod) {
            return PostFilter::NotEligible;
        }
        let Pod { promised: before, message, .. } = self.pods[pod as usize];
        self.withdraw_promise(pod);
        let mut candidates = self.preemption_candidates(pod, &self.disruptions_allowed());
        let Some(least) = candidates.iter().map(|(_, candidate)| cost(candidate)).min() else {
            let has_lower = |node: &u32| self.lower_on(*node, pod).next().is_some();
            let nodes = self.nodes_to_free(pod).iter().filter(|node| has_lower(node)).count();
            return PostFilter::Unhelpful(nodes as u32);
        };
        candidates.retain(|(_, candidate)| cost(candidate) == least);
        let (ties, draw) = (candidates.len() as u64, (1 << 24) + self.queue.attempts(pod));
        let pick = if ties == 1 { 0 } else { self.chance.below(Component::SchedulerTie, pod, draw, ties) };
        let (node, candidate) = candidates.swap_remove(pick as usize);
        self.preemptions += 1;
        self.trace(|| TraceLine::new("pod_preempts").pod(pod).node(node));
        let victims = candidate.victims.iter().map(|victim| victim.pod).collect();
        if self.prepared.era.preempts_in_background {
            self.promise(pod, node);
            if node == before {
                // A nomination that stays is no change of the pod's status.
                self.pods[pod as usize].message = message;
            }
            self.tell_in_background(pod, node, victims);
            PostFilter::Silent
        } else {
            self.tell_in_loop(pod, node, before, victims);
            PostFilter::Waits
        }
    }

    /// Not as long as others are going for its sake, unless they would go in vain.
    fn may_ask_others_to_go(&mut self, pod: u32) -> bool {
        let (node, version) = (self.pods[pod as usize].promised, self.prepared.era.filters);
        let go_for_it = |other: u32| {
            let other = &self.pods[other as usize];
            // Up to 1.24 anybody that goes will do.
            other.stage == PodStage::Terminating && (other.preempted || version == Version::V1_24)
        };
        if node == NONE || !self.lower_on(node, pod).any(go_for_it) {
            return true;
        }
        !self.beside_its_promise(pod, |placing| placing.may_be_freed(node))
    }

    /// Nodes that could give up pods for it, and which: of so many nodes from some place on as are asked for.
    fn preemption_candidates(&self, pod: u32, budgets: &BTreeMap<u32, u32>) -> Vec<(u32, Candidate)> {
        let mut nodes = self.nodes_to_free(pod);
        let wanted = candidates_to_find(nodes.len());
        if wanted < nodes.len() {
            self.shuffle(&mut nodes, pod);
        }
        let (mut violating, mut others) = (Vec::new(), Vec::new());
        for node in nodes {
            let Some(candidate) = self.candidate_on(node, pod, budgets) else { continue };
            if candidate.violations == 0 {
                others.push((node, candidate));
            } else if violating.len() < wanted {
                violating.push((node, candidate));
            }
            if !others.is_empty() && others.len() + violating.len() >= wanted {
                break;
            }
        }
        others.append(&mut violating);
        others
    }
    /// In the order in which they are looked at: that of a Go map; up to 1.24 their own, from some place on.
    fn shuffle(&self, nodes: &mut [u32], pod: u32) {
        let attempt = self.queue.attempts(pod) << 20;
        if self.prepared.era.filters > Version::V1_24 {
            nodes.sort_by_key(|node| self.chance.bits(Component::Preemption, pod, attempt | *node));
        } else {
            let all = nodes.len() as u64;
            nodes.rotate_left(self.chance.below(Component::Preemption, pod, attempt, all) as usize);
        }
    }
    fn nodes_to_free(&self, pod: u32) -> Vec<u32> {
        let deployment = self.pods[pod as usize].deployment as usize;
        let placing = self.constraints.as_ref().map(|constraints| &constraints.placings[deployment]);
        placing.map_or_else(Vec::new, Placing::nodes_to_free)
    }

    /// Could a pod that waits take the place of others when it is tried again, or do others go for one?
    pub(super) fn may_preempt(&self) -> bool {
        if !self.scenario.has_priorities() {
            return false;
        }
        if self.tellings.any_under_way() {
            return true;
        }
        let budgets = BTreeMap::new();
        let waits = |pod: &Pod| pod.stage == PodStage::Pending && !self.never_preempts(pod);
        let waiting = (0..).zip(&self.pods).filter(|(_, pod)| waits(pod));
        // Pods of a Deployment fare alike.
        let mut asked = BTreeSet::new();
        let mut new = waiting.filter(|(_, pod)| pod.promised != NONE || asked.insert(pod.deployment));
        // A taint that will be gone hides what there is behind it.
        let unsettled = |node: &u32| {
            let at = &self.nodes[*node as usize];
            at.is_registered() && !at.is_settled()
        };
        new.any(|(index, pod)| {
            let mut unsettled = (0..self.nodes.len() as u32).filter(unsettled);
            let mut nodes = self.nodes_to_free(index).into_iter();
            pod.promised != NONE
                || unsettled.any(|node| self.lower_on(node, index).next().is_some())
                || nodes.any(|node| self.candidate_on(node, index, &budgets).is_some())
        })
    }

    /// The node that is promised to the pod, if it fits there now: it is looked at before all others.
    pub(super) fn promised_node(&mut self, pod: u32) -> Option<u32> {
        let node = self.pods[pod as usize].promised;
        (node != NONE && self.beside_its_promise(pod, |placing| placing.fits(node))).then_some(node)
    }

    /// What its Deployment's placing says where its own promise does not stand in its way.
    fn beside_its_promise(&mut self, pod: u32, says: impl Fn(&Placing) -> bool) -> bool {
        let state = &self.pods[pod as usize];
        let (node, deployment) = (state.promised, state.deployment as usize);
        self.nodes[node as usize].promised.retain(|other| *other != pod);
        self.refit(node);
        let placing = self.constraints.as_ref().map(|constraints| &constraints.placings[deployment]);
        let said = placing.is_some_and(says);
        self.nodes[node as usize].promised.push(pod);
        self.refit(node);
        said
    }

    /// Pods on the node of lower priority than `pod`, those that are going included.
    fn lower_on(&self, node: u32, pod: u32) -> impl Iterator<Item = u32> {
        let lower = move |other: &u32| self.priority(*other) < self.priority(pod);
        self.nodes[node as usize].pods.iter().copied().filter(lower)
    }

    fn candidate_on(&self, node: u32, pod: u32, budgets: &BTreeMap<u32, u32>) -> Option<Candidate> {
        let victim = |other: u32| {
            let state = &self.pods[other as usize];
            Victim {
                pod: other,
                kind: state.deployment,
                priority: self.priority(other),
                since: self.start_time(other),
                budget: Some(self.owner(state.deployment)).filter(|owner| budgets.contains_key(owner)),
            }
        };
        let lower: Vec<Victim> = self.lower_on(node, pod).map(victim).collect();
        if lower.is_empty() {
            return None;
        }
        let mut site = DryRun::new(self, node, pod)?;
        candidate(lower, budgets, &mut site, self.prepared.era.filters)
    }
    /// `status.startTime`, which has whole seconds; never, if kubelet has not seen to it yet.
    fn start_time(&self, pod: u32) -> SimTime {
        match self.pods[pod as usize].synced_at {
            start if start > self.now => SimTime::NEVER,
            start => (start + self.queue.phase()).floor_second(),
        }
    }
    /// By Deployment with a budget.
    fn disruptions_allowed(&self) -> BTreeMap<u32, u32> {
        let budgets =
            (0..).zip(&self.scenario.deployments).filter(|(number, _)| self.owner(*number) == *number);
        let allowed = |(number, spec): (u32, &DeploymentSpec)| {
            Some((number, spec.pdb?.disruptions_allowed(self.covered(number))))
        };
        budgets.filter_map(allowed).collect()
    }

    /// Room of the node that is promised to pods of so high a priority.
    pub(super) fn promised_to(&self, node: u32, priority: i32) -> Resources {
        let promised = self.nodes[node as usize].promised.iter();
        let heeded = promised.filter(|pod| self.priority(**pod) >= priority);
        heeded.fold(Resources::ZERO, |sum, pod| sum + self.requests(*pod))
    }

    /// Deployments of pods to which room of the node is promised, of so high a priority.
    pub(super) fn expected_on(&self, node: u32, priority: i32) -> SmallVec<[u32; 2]> {
        let promised = self.nodes[node as usize].promised.iter();
        let heeded = promised.filter(|pod| self.priority(**pod) >= priority);
        heeded.map(|pod| self.pods[*pod as usize].deployment).collect()
    }

    /// The pod is Karpenter's no more.
    fn promise(&mut self, pod: u32, node: u32) {
        let state = &mut self.pods[pod as usize];
        let nominated = std::mem::replace(&mut state.nominated, NONE);
        let undecided = std::mem::replace(&mut state.provisionable, false) && nominated == NONE;
        // The nomination is written with the condition.
        (state.promised, state.message) = (node, 0);
        if nominated != NONE {
            scheduler::forget(&mut self.nodes[nominated as usize].nominated, pod);
        }
        if undecided {
            scheduler::forget(&mut self.undecided, pod);
        }
        self.nodes[node as usize].promised.push(pod);
        self.refit(node);
        self.refresh_pending(pod);
    }
    /// Forgets what was promised to the pod; it will be told to Karpenter anew.
    pub(super) fn withdraw_promise(&mut self, pod: u32) {
        let node = std::mem::replace(&mut self.pods[pod as usize].promised, NONE);
        if node != NONE {
            self.pods[pod as usize].message = 0;
            scheduler::forget(&mut self.nodes[node as usize].promised, pod);
            self.refit(node);
            self.refresh_pending(pod);
        }
    }
}

#[cfg(test)]
mod tests;
