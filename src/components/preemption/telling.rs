//! Victims are told to go, call by call, through the scheduler's client and its limit.
//!
//! From 1.33 on beside the loop (`prepareCandidateAsync`): the nominations of pods of lower priority are cleared, one after the
//! other; then all victims but the last get their condition and are deleted, by sixteen workers; until then PreEnqueue holds
//! the pod back. The last victim's calls come after, so that its deletion finds the pod ready to be woken. A victim that is gone
//! before it gets its condition ends all this, and the pod is tried again at once.
//! Up to 1.24 in the loop, which waits (`prepareCandidate`): the victims are deleted, one after the other and without a
//! condition, then nominations are cleared; the pod is nominated and goes back to the queue after that, and nothing is nominated
//! if a victim is gone.
//!
//! Calls that are under way as a victim turns out to be gone are answered all the same. Source: kubernetes v1.34.4 and v1.23.17,
//! `pkg/scheduler/framework/preemption/preemption.go`; v1.34.4 `framework/parallelize`.

use super::super::state::{NONE, PodStage};
use super::*;
use crate::actors::kube_scheduler::preemption::{WORKERS, chunk_size};

/// For one pod.
#[derive(Clone, Debug)]
struct Telling {
    preemptor: u32,
    node: u32,
    /// What was promised to the pod before.
    before: u32,
    victims: Vec<u32>,
    /// Pods of lower priority that the node is promised to, of which so many are done with.
    lower: Vec<u32>,
    cleared: usize,
    /// The first victim that no worker has taken, of those before the last.
    next: usize,
    /// Workers that have victims.
    busy: usize,
    /// A victim was gone: no more are told.
    cancelled: bool,
    failed: bool,
}

/// All of a run, by number.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Tellings {
    all: Vec<Telling>,
    under_way: u32,
}

impl Tellings {
    pub fn any_under_way(&self) -> bool {
        self.under_way > 0
    }
    fn begin(&mut self, preemptor: u32, node: u32, before: u32, victims: Vec<u32>) -> u32 {
        let (lower, cleared, next, busy) = (Vec::new(), 0, 0, 0);
        let (cancelled, failed) = (false, false);
        let telling =
            Telling { preemptor, node, before, victims, lower, cleared, next, busy, cancelled, failed };
        self.all.push(telling);
        self.under_way += 1;
        self.all.len() as u32 - 1
    }
}

impl Run<'_> {
    pub(super) fn tell_in_background(&mut self, pod: u32, node: u32, victims: Vec<u32>) {
        let number = self.tellings.begin(pod, node, NONE, victims);
        self.queue.hold(pod);
        self.find_lower(number);
        self.clear_next(number);
    }
    pub(super) fn tell_in_loop(&mut self, pod: u32, node: u32, before: u32, victims: Vec<u32>) {
        let first = victims[0];
        let number = self.tellings.begin(pod, node, before, victims);
        self.scheduler_busy = true;
        self.queue.goes_on(pod);
        self.delete_victim(number, first);
    }

    fn telling(&mut self, number: u32) -> &mut Telling {
        &mut self.tellings.all[number as usize]
    }
    fn is_gone(&self, pod: u32) -> bool {
        self.pods[pod as usize].stage == PodStage::Gone
    }

    /// What was promised to pods of lower priority may not be there any more.
    fn find_lower(&mut self, number: u32) {
        let Telling { preemptor, node, .. } = self.tellings.all[number as usize];
        let promised = self.nodes[node as usize].promised.iter().copied();
        let lower = promised.filter(|other| self.priority(*other) < self.priority(preemptor)).collect();
        self.telling(number).lower = lower;
    }
    /// The next of them; with the last of them goes on what comes after.
    fn clear_next(&mut self, number: u32) {
        let telling = self.telling(number);
        match telling.lower.get(telling.cleared).copied() {
            Some(pod) => {
                let cleared = Event::NominationCleared { preemption: number, pod };
                self.write_pod(pod, 5, RequestKind::Patch, cleared);
            }
            None if self.prepared.era.preempts_in_background => self.start_workers(number),
            None => self.told_in_loop(number),
        }
    }
    /// The pod is Karpenter's again.
    pub(in super::super) fn nomination_cleared(&mut self, number: u32, pod: u32) {
        let gone = self.is_gone(pod);
        let telling = self.telling(number);
        telling.cleared += 1;
        // One that could not be cleared hinders nothing.
        telling.failed |= gone;
        let node = telling.node;
        if self.pods[pod as usize].promised == node {
            self.withdraw_promise(pod);
            self.mark_provisionable(pod);
            self.trigger(pod, self.now);
            self.refresh_pending(pod);
        }
        self.clear_next(number);
    }

    fn start_workers(&mut self, number: u32) {
        (0..WORKERS).for_each(|_| self.take_chunk(number));
        if self.telling(number).busy == 0 {
            self.tell_last(number);
        }
    }
    /// A worker without victims takes some.
    fn take_chunk(&mut self, number: u32) {
        let telling = self.telling(number);
        let (all, first) = (telling.victims.len() - 1, telling.next);
        if first >= all || telling.cancelled {
            return;
        }
        telling.next = (first + chunk_size(all)).min(all);
        telling.busy += 1;
        let victim = telling.victims[first];
        self.tell_victim(number, victim);
    }
    fn tell_last(&mut self, number: u32) {
        let telling = self.telling(number);
        let (preemptor, cancelled) = (telling.preemptor, telling.cancelled);
        let last = *telling.victims.last().expect("a candidate has victims");
        self.queue.release(preemptor, self.now);
        if cancelled { self.told(number) } else { self.tell_victim(number, last) }
    }
    /// One that has the condition already is deleted at once.
    fn tell_victim(&mut self, number: u32, victim: u32) {
        if self.pods[victim as usize].preempted {
            self.delete_victim(number, victim);
        } else {
            let patched = Event::VictimPatched { preemption: number, pod: victim };
            self.write_pod(victim, 3, RequestKind::Patch, patched);
        }
    }
    /// A deletion takes as long as other writes.
    fn delete_victim(&mut self, number: u32, victim: u32) {
        let deleted = Event::VictimDeleted { preemption: number, pod: victim };
        self.write_pod(victim, 4, RequestKind::Patch, deleted);
    }

    pub(in super::super) fn victim_patched(&mut self, number: u32, victim: u32) {
        if self.is_gone(victim) {
            let telling = self.telling(number);
            (telling.cancelled, telling.failed) = (true, true);
            return self.victim_told(number, victim);
        }
        self.pods[victim as usize].preempted = true;
        if self.telling(number).cancelled {
            self.victim_told(number, victim);
        } else {
            self.delete_victim(number, victim);
        }
    }
    pub(in super::super) fn victim_deleted(&mut self, number: u32, victim: u32) {
        let gone = self.is_gone(victim);
        // Those that are going already are told again, which changes nothing.
        if self.pods[victim as usize].is_active() {
            let state = &mut self.pods[victim as usize];
            state.preempted = true;
            let deployment = state.deployment;
            self.pods_preempted += 1;
            self.delete_pod(victim);
            self.replace_pod(deployment, victim, SimTime::NEVER);
        }
        if self.prepared.era.preempts_in_background {
            return self.victim_told(number, victim);
        }
        let telling = self.telling(number);
        telling.next += 1;
        let (preemptor, next) = (telling.preemptor, telling.victims.get(telling.next).copied());
        if gone {
            self.telling(number).failed = true;
            return self.told_in_loop(number);
        }
        if next.is_none() {
            self.find_lower(number);
        }
        if next.is_some() || !self.telling(number).lower.is_empty() {
            // The watch tells of the victim while the loop still waits.
            self.queue.event_in_cycle(preemptor);
        }
        match next {
            Some(next) => self.delete_victim(number, next),
            None => self.clear_next(number),
        }
    }

    /// All is done about a victim: its worker goes on.
    fn victim_told(&mut self, number: u32, victim: u32) {
        let telling = self.telling(number);
        let place = telling.victims.iter().position(|other| *other == victim).expect("it is one of them");
        let (all, next) = (telling.victims.len() - 1, place + 1);
        if place == all {
            return self.told(number);
        }
        if next < all && next % chunk_size(all) != 0 && !telling.cancelled {
            let victim = telling.victims[next];
            return self.tell_victim(number, victim);
        }
        telling.busy -= 1;
        self.take_chunk(number);
        if self.telling(number).busy == 0 {
            self.tell_last(number);
        }
    }
    fn told(&mut self, number: u32) {
        self.tellings.under_way -= 1;
        let Telling { preemptor, failed, .. } = self.tellings.all[number as usize];
        if failed && self.pods[preemptor as usize].stage == PodStage::Pending {
            self.queue.force(preemptor, self.now);
            self.run_scheduler();
        }
    }
    /// The pod's attempt ends.
    fn told_in_loop(&mut self, number: u32) {
        self.tellings.under_way -= 1;
        self.scheduler_busy = false;
        let Telling { preemptor, node, before, failed, .. } = self.tellings.all[number as usize];
        if self.pods[preemptor as usize].stage == PodStage::Pending {
            let promised = if failed { before } else { node };
            if promised != NONE {
                self.promise(preemptor, promised);
            }
            self.reject(preemptor, PostFilter::Silent);
        }
        self.run_scheduler();
    }
}
