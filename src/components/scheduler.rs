//! kube-scheduler's loop: one pod at a time, a Binding or a condition through the client's limit.

use super::preemption::PostFilter;
use super::state::{NONE, PodList, PodStage};
use super::*;
use crate::actors::kube_scheduler::queue::Failure;

impl Run<'_> {
    pub(super) fn pod_created(&mut self, pod: u32) {
        self.pods[pod as usize].stage = PodStage::Pending;
        self.pods[pod as usize].created_at = self.now;
        let deployment = self.pods[pod as usize].deployment as usize;
        self.queue.add(pod, self.scenario.deployments[deployment].priority, self.now);
        self.refresh_pending(pod);
        self.job_pod_changed(deployment as u32);
        self.record_event(deployment as u32);
        self.run_scheduler();
    }

    /// Tries pods as long as the loop is free and there are any.
    pub(super) fn run_scheduler(&mut self) {
        while !self.scheduler_busy {
            let Some(pod) = self.queue.pop(self.now) else { break };
            if self.pods[pod as usize].stage == PodStage::Pending {
                self.attempt(pod);
            }
        }
        self.await_timer();
    }

    /// An idle scheduler is woken by the queue's own timers too.
    fn await_timer(&mut self) {
        if self.scheduler_busy {
            return;
        }
        let next = self.queue.next_timer(self.now).unwrap_or(SimTime::NEVER);
        if next < self.queue_timer_at {
            self.queue_timer_at = next;
            self.at(next, Event::QueueTimer);
        }
    }
    pub(super) fn queue_timer(&mut self) {
        if self.queue_timer_at <= self.now {
            self.queue_timer_at = SimTime::NEVER;
        }
        self.run_scheduler();
    }

    fn attempt(&mut self, pod: u32) {
        self.snapshot_images();
        match self.choose_node(pod) {
            Some(node) => self.assume(pod, node),
            None => match self.preempt(pod) {
                PostFilter::Waits => {}
                said => self.reject(pod, said),
            },
        }
    }

    fn assume(&mut self, pod: u32, node: u32) {
        let requests = self.requests(pod);
        let at = &mut self.nodes[node as usize];
        at.requested += requests;
        at.pods.push(pod);
        let zone = at.zone;
        let state = &mut self.pods[pod as usize];
        let nominated = std::mem::replace(&mut state.nominated, NONE);
        let undecided = state.provisionable && nominated == NONE;
        (state.node, state.stage, state.assumed_at) = (node, PodStage::Assumed, self.now);
        let deployment = state.deployment;
        if nominated != NONE {
            forget(&mut self.nodes[nominated as usize].nominated, pod);
        }
        if undecided {
            forget(&mut self.undecided, pod);
        }
        self.fittings[deployment as usize].place(node, zone, 1);
        self.withdraw_promise(pod);
        self.refit(node);
        self.waits_for(pod, Some(Cause::Bind));
        self.write_pod(pod, 1, RequestKind::Bind, Event::PodBound(pod));
        self.trace(|| TraceLine::new("pod_assumed").pod(pod).node(node));
    }

    /// A request about a pod, through the scheduler's client.
    pub(super) fn write_pod(&mut self, pod: u32, draw: u32, kind: RequestKind, answered: Event) {
        let takes = self.draw(Latency::BindRequest, Component::SchedulerTie, pod, draw);
        self.write_pod_in(takes, kind, answered);
    }
    fn write_pod_in(&mut self, takes: SimDuration, kind: RequestKind, answered: Event) {
        let sent = self.scheduler_client.reserve(self.now);
        self.send_request(Flow::Scheduler(Namespace::Default), kind, sent, takes, answered);
    }
    /// Its condition; all patches of one pod take equally long.
    fn write_condition(&mut self, pod: u32) {
        let known = self.pods[pod as usize].patch_takes;
        let takes = known.unwrap_or_else(|| self.draw(Latency::BindRequest, Component::SchedulerTie, pod, 2));
        self.pods[pod as usize].patch_takes = Some(takes);
        self.write_pod_in(takes, RequestKind::Patch, Event::ConditionPatched(pod));
    }

    /// A pod leaves the node it was assumed on.
    pub(super) fn unassume(&mut self, node: u32, pod: u32) {
        let (requests, deployment) = (self.requests(pod), self.pods[pod as usize].deployment);
        let at = &mut self.nodes[node as usize];
        at.requested = at.requested - requests;
        let zone = at.zone;
        self.fittings[deployment as usize].place(node, zone, -1);
        self.note_left(deployment);
        self.refit(node);
    }

    /// Nothing fits: back into the queue; a message that differs from the last is written, and holds the loop.
    pub(super) fn reject(&mut self, pod: u32, said: PostFilter) {
        let state = &mut self.pods[pod as usize];
        let fitting = &mut self.fittings[state.deployment as usize];
        let message = fitting.message();
        let counts = fitting.counts();
        state.rejected_by_fit = counts.rejected_by_fit();
        state.rejected_by_taints = counts.tainted > 0;
        let plain = (message, counts.nodes);
        let (message, nodes) = self.note_rejection_constrained(pod).unwrap_or(plain);
        // Up to 1.23 the message told nothing of it.
        let message =
            if self.prepared.era.preempts_in_background { said.in_message(message) } else { message };
        let failure = if nodes == 0 { Failure::Error } else { Failure::Rejected };
        let state = &mut self.pods[pod as usize];
        let changed = state.message != message;
        state.message = message;
        self.queue.fail(pod, failure, self.now);
        if changed {
            self.scheduler_busy = true;
            self.write_condition(pod);
        }
        self.refresh_queued(pod);
        self.trace(|| TraceLine::new("pod_unschedulable").pod(pod));
    }

    pub(super) fn condition_patched(&mut self, pod: u32) {
        self.scheduler_busy = false;
        if self.pods[pod as usize].stage == PodStage::Pending {
            if self.pods[pod as usize].promised == NONE {
                self.mark_provisionable(pod);
            }
            self.trigger(pod, self.now);
            self.refresh_queued(pod);
            self.job_pod_changed(self.pods[pod as usize].deployment);
        }
        self.run_scheduler();
    }

    /// Karpenter reads in the API that no node takes the pod.
    pub(super) fn mark_provisionable(&mut self, pod: u32) {
        if !std::mem::replace(&mut self.pods[pod as usize].provisionable, true) {
            self.provisioning.marked.push(pod);
            self.undecided.push(pod);
        }
    }

    pub(super) fn requests(&self, pod: u32) -> Resources {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].requests
    }

    /// Scores the feasible nodes and takes one of the best by chance.
    fn choose_node(&mut self, pod: u32) -> Option<u32> {
        if self.constraints.is_some() {
            return self.choose_node_constrained(pod);
        }
        let fitting = &mut self.fittings[self.pods[pod as usize].deployment as usize];
        if !fitting.any() {
            return None;
        }
        let (chance, attempt) = (self.chance, 16 + self.queue.attempts(pod));
        let pick = |ties| chance.below(Component::SchedulerTie, pod, attempt, ties);
        let choice = fitting.choose(self.next_start_node, pick)?;
        self.next_start_node = (self.next_start_node + choice.looked_at) % fitting.counts().nodes;
        Some(choice.node)
    }

    /// One of the nodes with the highest score by chance.
    pub(super) fn pick_best(&self, pod: u32, found: &[u32]) -> u32 {
        let best = self.scores.iter().copied().max().expect("there are candidates");
        let ties = self.scores.iter().filter(|score| **score == best).count() as u64;
        let attempt = 16 + self.queue.attempts(pod);
        let pick = if ties == 1 { 0 } else { self.chance.below(Component::SchedulerTie, pod, attempt, ties) };
        let tied = found.iter().zip(&self.scores).filter(|(_, score)| **score == best);
        *tied.map(|(node, _)| node).nth(pick as usize).expect("the pick is below the number of ties")
    }

    /// The node changed for the filters.
    pub(super) fn refit(&mut self, node: u32) {
        self.provisioning.seen.look_again(node);
        self.hear_of_node(node);
        let at = &self.nodes[node as usize];
        self.fittings.iter_mut().for_each(|fitting| fitting.update(node, at));
        if self.constraints.is_some() {
            self.refit_constrained(node);
        }
    }

    /// A Node object appeared: wakes what lacked resources and would fit it empty.
    pub(super) fn node_added(&mut self, node: u32) {
        self.refit(node);
        if self.constraints.is_some() {
            return self.node_added_constrained(node);
        }
        let (pods, fittings, at) = (&self.pods, &self.fittings, &self.nodes[node as usize]);
        let tainted = at.is_tainted();
        let hints = self.queueing_hints;
        self.queue.wake_where(self.now, |pod| {
            let pod = &pods[pod as usize];
            let fits = fittings[pod.deployment as usize].fits_empty(at);
            // Without hints a node that the pod does not tolerate is no event for it.
            let fit = pod.rejected_by_fit && fits && (hints || !tainted);
            fit || (pod.rejected_by_taints && !tainted)
        });
        self.run_scheduler();
    }

    /// The last taint that kept pods off is gone.
    pub(super) fn node_usable(&mut self, node: u32) {
        self.refit(node);
        let (pods, fittings, at) = (&self.pods, &self.fittings, &self.nodes[node as usize]);
        let hints = self.queueing_hints;
        self.queue.wake_where(self.now, |pod| {
            let pod = &pods[pod as usize];
            let fits = fittings[pod.deployment as usize].fits_empty(at);
            if hints { pod.rejected_by_taints } else { fits }
        });
        self.refresh_nominated(node);
        self.run_scheduler();
    }

    /// A pod left a node.
    pub(super) fn pod_deleted_event(&mut self) {
        let left = self.take_left();
        let (pods, constraints) = (&self.pods, self.constraints.as_deref());
        let hints = self.queueing_hints;
        let helps = |pod: u32| Self::is_helped_by_deletion(constraints, hints, &pods[pod as usize], &left);
        self.queue.wake_after_deletion(self.now, helps);
        self.run_scheduler();
    }
}

/// Takes a pod off a list that keeps no order.
#[inline]
pub(super) fn forget(list: &mut PodList, pod: u32) {
    let place = list.iter().position(|other| *other == pod).expect("a pod is on the list it belongs to");
    list.swap_remove(place);
}
