//! Causes of waiting: which one each pod has, and pod-time by cause.
//!
//! A pod's time with a cause is the instant it leaves it less the instant it came to it; the sums are kept,
//! modulo 2^64, as sums of the first less sums of the second, so that a change costs two additions.

use super::state::{NONE, NodeStage, PodStage};
use super::*;
use crate::actors::kube_scheduler::queue::QueueState;

/// Pod-nanoseconds by cause.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    sums: [u64; Cause::COUNT],
    pods: [u32; Cause::COUNT],
    /// (pod, cause or `None`, since), where somebody wants it.
    pub history: Option<Vec<(u32, Option<Cause>, SimTime)>>,
}

impl Ledger {
    pub fn new(keeps_history: bool) -> Ledger {
        Ledger { sums: [0; Cause::COUNT], pods: [0; Cause::COUNT], history: keeps_history.then(Vec::new) }
    }

    fn change(&mut self, pod: u32, from: Option<Cause>, to: Option<Cause>, now: SimTime) {
        if let Some(cause) = from {
            self.sums[cause as usize] = self.sums[cause as usize].wrapping_add(now.nanos());
            self.pods[cause as usize] -= 1;
        }
        if let Some(cause) = to {
            self.sums[cause as usize] = self.sums[cause as usize].wrapping_sub(now.nanos());
            self.pods[cause as usize] += 1;
        }
        if let Some(history) = &mut self.history {
            history.push((pod, to, now));
        }
    }

    /// All of these pods come from one cause to another.
    fn change_all(&mut self, pods: &[u32], from: Cause, to: Cause, now: SimTime) {
        let time = now.nanos().wrapping_mul(pods.len() as u64);
        self.sums[from as usize] = self.sums[from as usize].wrapping_add(time);
        self.sums[to as usize] = self.sums[to as usize].wrapping_sub(time);
        self.pods[from as usize] -= pods.len() as u32;
        self.pods[to as usize] += pods.len() as u32;
        if let Some(history) = &mut self.history {
            history.extend(pods.iter().map(|pod| (*pod, Some(to), now)));
        }
    }

    /// Pods with this cause now.
    pub fn pods(&self, cause: Cause) -> u32 {
        self.pods[cause as usize]
    }
    /// Pod-milliseconds up to `now`, by cause.
    pub fn millis_until(&self, now: SimTime) -> [u64; Cause::COUNT] {
        let mut millis = [0; Cause::COUNT];
        for (cause, slot) in millis.iter_mut().enumerate() {
            let open = u64::from(self.pods[cause]).wrapping_mul(now.nanos());
            *slot = self.sums[cause].wrapping_add(open) / 1_000_000;
        }
        millis
    }
}

impl Run<'_> {
    /// From now on the pod waits for this; `None`: it waits no more.
    pub(super) fn waits_for(&mut self, pod: u32, cause: Option<Cause>) {
        let before = std::mem::replace(&mut self.pods[pod as usize].cause, cause);
        if before != cause {
            self.ledger.change(pod, before, cause, self.now);
        }
    }

    /// What a pod in kube-scheduler's hands waits for.
    pub(super) fn pending_cause(&self, pod: u32) -> Cause {
        let state = &self.pods[pod as usize];
        let queued = match self.queue.state(pod) {
            QueueState::Backoff => Cause::SchedulerBackoff,
            // Those that make room for it have not stopped yet.
            _ if state.promised != NONE => Cause::SchedulerBackoff,
            _ => Cause::SchedulerQueue,
        };
        if !state.provisionable {
            return queued;
        }
        if state.nominated != NONE {
            let node = &self.nodes[state.nominated as usize];
            if node.stage != NodeStage::Gone && !node.disrupted {
                let unmet = node.unmet_step().or_else(|| self.extended_cause(pod, state.nominated));
                return unmet.unwrap_or(queued);
            }
        }
        state.refused.unwrap_or(self.karpenter_cause())
    }

    /// Why Karpenter has not decided on a pod.
    pub(super) fn karpenter_cause(&self) -> Cause {
        if self.provisioning.solving {
            Cause::Solve
        } else if (self.provisioning.gated || self.launches.under_way) && self.unlaunched > 0 {
            Cause::SyncGate
        } else {
            Cause::BatchWindow
        }
    }

    pub(super) fn refresh_pending(&mut self, pod: u32) {
        if self.pods[pod as usize].stage == PodStage::Pending {
            let cause = self.pending_cause(pod);
            self.waits_for(pod, Some(cause));
        }
    }

    /// The same where nothing has changed but where the pod is in the scheduling queue.
    #[inline]
    pub(super) fn refresh_queued(&mut self, pod: u32) {
        let hangs_on_queue = |cause| matches!(cause, Cause::SchedulerQueue | Cause::SchedulerBackoff);
        if self.pods[pod as usize].cause.is_none_or(hangs_on_queue) {
            self.refresh_pending(pod);
        }
    }

    /// Pods that the scheduling queue has moved by itself.
    #[inline]
    pub(super) fn refresh_moved(&mut self) {
        while let Some(pod) = self.queue.next_moved() {
            self.refresh_queued(pod);
        }
    }

    /// The node took a step: those planned for it wait for the next one.
    pub(super) fn refresh_nominated(&mut self, node: u32) {
        let nominated = std::mem::take(&mut self.nodes[node as usize].nominated);
        nominated.iter().for_each(|pod| self.refresh_pending(*pod));
        self.nodes[node as usize].nominated = nominated;
    }

    /// Karpenter's batcher took a step: those it has not decided on wait for the next one.
    pub(super) fn refresh_undecided(&mut self) {
        let undecided = std::mem::take(&mut self.undecided);
        undecided.iter().for_each(|pod| self.refresh_pending(*pod));
        self.undecided = undecided;
    }

    /// ipamd took a step: those without an address wait for the next one.
    #[inline]
    pub(super) fn refresh_addressless(&mut self, node: u32) {
        if !self.nodes[node as usize].without_address.is_empty() {
            self.refresh_address_cause(node);
        }
    }
    fn refresh_address_cause(&mut self, node: u32) {
        let cause = self.address_cause(node);
        let at = &mut self.nodes[node as usize];
        let before = std::mem::replace(&mut at.address_cause, cause);
        if before == cause {
            return;
        }
        for pod in &at.without_address {
            let own = self.pods[*pod as usize].cause.replace(cause);
            debug_assert_eq!(own, Some(before), "what pod {pod} waits for at {}", self.now);
        }
        self.ledger.change_all(&at.without_address, before, cause, self.now);
    }

    /// A pod's sandbox found no address.
    pub(super) fn lacks_address(&mut self, pod: u32, node: u32) {
        self.refresh_address_cause(node);
        self.nodes[node as usize].without_address.push(pod);
        self.waits_for(pod, Some(self.nodes[node as usize].address_cause));
    }

    #[inline]
    pub(super) fn address_cause(&self, node: u32) -> Cause {
        let settings = self.settings(node);
        let at = &self.nodes[node as usize];
        let Some(ipamd) = &at.ipamd else { return Cause::AddressWarmPool };
        if at.ipamd_down {
            Cause::CniStart
        } else if ipamd.pool().assignable(self.now) > 0 {
            Cause::AddressKubeletRetry
        } else if at.ipamd_throttled {
            Cause::AddressThrottled
        } else if ipamd.calls() {
            Cause::AddressEc2Call
        } else if !ipamd.may_grow(settings, self.now) {
            Cause::AddressNodeFull
        } else if ipamd.paused_until(self.now).is_some() {
            Cause::AddressSubnetDry
        } else {
            Cause::AddressWarmPool
        }
    }
}
