//! A pod that found no node takes the place of others of lower priority: they are told to go, and once they have, it is
//! tried again on that node first. Until then the room is promised to it.

use super::state::{NONE, PodStage};
use super::*;
use crate::actors::kube_scheduler::preemption::{Room, Victim, cost, victims};

/// Calls of the scheduler's client for each victim: its condition, its deletion.
const CALLS: u32 = 2;

impl Run<'_> {
    pub(super) fn priority(&self, pod: u32) -> i32 {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].priority
    }

    /// Looks for a node on which the pod would fit without others of lower priority, and sends them away.
    pub(super) fn preempt(&mut self, pod: u32) {
        if !self.scenario.has_priorities() {
            return;
        }
        let promised = self.pods[pod as usize].promised;
        // Pods are going for its sake already.
        let is_going = |other: u32| self.pods[other as usize].stage == PodStage::Terminating;
        if promised != NONE && self.lower_on(promised, pod).any(is_going) {
            return;
        }
        self.withdraw_promise(pod);
        let Some(constraints) = &self.constraints else { return };
        let placing = &constraints.placings[self.pods[pod as usize].deployment as usize];
        let nodes = placing.lacking_only_room().into_iter();
        let found: Vec<(u32, Vec<Victim>)> =
            nodes.filter_map(|node| Some((node, self.victims_on(node, pod)?))).collect();
        let Some(least) = found.iter().map(|(_, victims)| cost(victims)).min() else { return };
        let mut cheapest: Vec<(u32, Vec<Victim>)> =
            found.into_iter().filter(|(_, victims)| cost(victims) == least).collect();
        let draw = (1 << 24) + self.queue.attempts(pod);
        let ties = cheapest.len() as u64;
        let pick = if ties == 1 { 0 } else { self.chance.below(Component::SchedulerTie, pod, draw, ties) };
        let (node, victims) = cheapest.swap_remove(pick as usize);
        self.promise(pod, node);
        // Those that are going already are not told again.
        let told = |victim: &Victim| self.pods[victim.pod as usize].is_active();
        let victims: Vec<Victim> = victims.into_iter().filter(told).collect();
        for victim in victims {
            (0..CALLS).for_each(|_| {
                self.scheduler_client.reserve(self.now);
            });
            let deployment = self.pods[victim.pod as usize].deployment;
            self.delete_pod(victim.pod);
            self.replace_pod(deployment, victim.pod, SimTime::NEVER);
        }
        self.trace(|| TraceLine::new("pod_preempts").pod(pod).node(node));
    }

    /// The node that is promised to the pod, if it fits there now: it is looked at before all others.
    pub(super) fn promised_node(&mut self, pod: u32) -> Option<u32> {
        let state = &self.pods[pod as usize];
        let (node, deployment) = (state.promised, state.deployment as usize);
        if node == NONE {
            return None;
        }
        // Its own promise does not stand in its way.
        self.nodes[node as usize].promised.retain(|other| *other != pod);
        self.refit(node);
        let placing = self.constraints.as_ref().map(|constraints| &constraints.placings[deployment]);
        let fits = placing.is_some_and(|placing| placing.fits(node));
        self.nodes[node as usize].promised.push(pod);
        self.refit(node);
        fits.then_some(node)
    }

    /// Pods on the node of lower priority than `pod`, those that are going included.
    fn lower_on(&self, node: u32, pod: u32) -> impl Iterator<Item = u32> {
        let lower = move |other: &u32| self.priority(*other) < self.priority(pod);
        self.nodes[node as usize].pods.iter().copied().filter(lower)
    }

    fn victims_on(&self, node: u32, pod: u32) -> Option<Vec<Victim>> {
        let at = &self.nodes[node as usize];
        let own = self.pods[pod as usize].deployment;
        let is_lower = |other: &u32| self.priority(*other) < self.priority(pod);
        let mut others = at.pods.iter().filter(|other| !is_lower(other));
        let for_good = self.port_is_a_daemons(node, own) || self.port_is_promised(node, own);
        if for_good || others.any(|other| self.are_rivals(own, *other)) {
            return None;
        }
        let victim = |other: u32| Victim {
            pod: other,
            priority: self.priority(other),
            takes: self.takes(other),
            in_the_way: self.are_rivals(own, other),
            since: self.pods[other as usize].assumed_at,
        };
        let lower: Vec<Victim> = self.lower_on(node, pod).map(victim).collect();
        let room = Room {
            resources: at.allocatable - at.requested - self.promised_to(node, self.priority(pod)),
            volumes: self.volumes_left_to(node, own).unwrap_or(i64::MAX),
        };
        victims(&lower, self.takes(pod), room)
    }

    fn takes(&self, pod: u32) -> Room {
        let volumes = self.volumes_of(self.pods[pod as usize].deployment).into();
        Room { resources: self.requests(pod), volumes }
    }

    /// Room of the node that is promised to pods of so high a priority.
    pub(super) fn promised_to(&self, node: u32, priority: i32) -> Resources {
        let promised = self.nodes[node as usize].promised.iter();
        let heeded = promised.filter(|pod| self.priority(**pod) >= priority);
        heeded.fold(Resources::ZERO, |sum, pod| sum + self.requests(*pod))
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
    }
    /// Forgets what was promised to the pod; it will be told to Karpenter anew.
    pub(super) fn withdraw_promise(&mut self, pod: u32) {
        let node = std::mem::replace(&mut self.pods[pod as usize].promised, NONE);
        if node != NONE {
            self.pods[pod as usize].message = 0;
            scheduler::forget(&mut self.nodes[node as usize].promised, pod);
            self.refit(node);
        }
    }
}
