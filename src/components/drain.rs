//! A node from its claim's deletion on: taint, drain through the Eviction API, termination of the instance.
//!
//! No replacement is launched ahead: Karpenter plans for the pods of a node that is being drained as for pending ones
//! (`karpenter`). In which order its pods go: `drain_waves`.
//! Left out: volumes that are detached.
//! Source: karpenter core v1.14.0, `pkg/controllers/node/termination`.

use super::state::{Leaving, NONE, NodeStage, PodStage};
use super::*;
use crate::actors::eviction::Covered;
use crate::actors::karpenter::disruption::Reason;

/// A drain lasts so long at least, and is looked at so often.
const MIN_DRAIN: SimDuration = SimDuration::from_secs(5);
const DRAIN_LOOK: SimDuration = SimDuration::from_secs(1);
/// A node that is tainted comes to Karpenter's batcher so often.
const NODE_AGAIN: SimDuration = SimDuration::from_secs(10);
/// A refused eviction is tried again after so long, doubled each time up to the longest.
const EVICTION_RETRY: SimDuration = SimDuration::from_millis(100);
const EVICTION_RETRY_MAX: SimDuration = SimDuration::from_secs(10);

impl Run<'_> {
    /// The claim is deleted, unless it is already.
    pub(super) fn delete_claim(&mut self, node: u32, reason: Reason) {
        let at = &mut self.nodes[node as usize];
        if !at.lives() || at.leaving.is_some() {
            return;
        }
        at.leaving = Some(Leaving { since: self.now, terminates: false });
        let registered = at.is_registered();
        self.nodes_removed[reason as usize] += 1;
        self.taint_disrupted(node);
        if self.prepared.era.drains_in_waves {
            self.trigger_node();
        }
        self.trace(|| TraceLine::new("claim_deleted").node(node).text("reason", reason.name()));
        if registered {
            self.drain_checked(node);
        } else {
            self.terminate_instance(node);
        }
    }

    /// A pool's nodes may go when they have come of age. In 2022 the loop saw to that.
    pub(super) fn watch_age(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        let after = self.scenario.node_pools[at.pool as usize].expire_after;
        if let Some(after) = after.filter(|_| !self.prepared.era.deprovisioning) {
            let expires = (at.created_at + after).max(self.now);
            self.at(expires, Event::ClaimExpired(node));
        }
    }

    /// `karpenter.sh/disrupted`: no pod comes any more, and none is planned for it.
    pub(super) fn taint_disrupted(&mut self, node: u32) {
        self.has_disrupted = true;
        if std::mem::replace(&mut self.nodes[node as usize].disrupted, true) {
            return;
        }
        self.refit(node);
        self.forsake(node);
    }

    /// Karpenter plans anew for the pods for which it counted the node.
    pub(super) fn forsake(&mut self, node: u32) {
        for pod in std::mem::take(&mut self.nodes[node as usize].nominated) {
            self.pods[pod as usize].nominated = NONE;
            self.undecided.push(pod);
            self.refresh_pending(pod);
        }
    }

    /// Pods that are there and not in the eviction queue come into it; once none is left, the instance may go.
    pub(super) fn drain_checked(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        let Some(leaving) = at.leaving.filter(|leaving| at.lives() && !leaving.terminates) else { return };
        if !self.prepared.era.drains_in_waves {
            return self.drain_serially(node);
        }
        self.delete_expiring(node);
        match self.wave_to_go(node) {
            None if self.now >= leaving.since + MIN_DRAIN => return self.terminate_instance(node),
            None => {}
            Some(wave) if wave.daemons => self.evict_daemons(node, wave.critical),
            Some(wave) => self.evict_pods(node, wave.critical),
        }
        let drains = self.now.since(leaving.since);
        if !drains.is_zero() && drains.nanos().is_multiple_of(NODE_AGAIN.nanos()) {
            self.trigger_node();
        }
        self.at(self.now + DRAIN_LOOK, Event::DrainChecked(node));
    }

    /// Those of the wave that are not in the eviction queue yet and may be.
    pub(super) fn evict_pods(&mut self, node: u32, critical: bool) {
        let waits = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            let new = state.is_active() && state.stage >= PodStage::Bound && state.evictions == 0;
            new && self.is_critical(*pod) == critical && !self.is_protected(*pod)
        };
        let pods: Vec<u32> = self.nodes[node as usize].pods.iter().copied().filter(waits).collect();
        for pod in pods {
            let sent = self.karpenter_client.reserve(self.now);
            if self.prepared.era.drains_in_waves {
                self.send_eviction(pod, sent);
            } else {
                self.evict_next(pod, sent);
            }
        }
    }

    /// When the Eviction API answers.
    pub(super) fn send_eviction(&mut self, pod: u32, sent: SimTime) -> SimTime {
        let tries = &mut self.pods[pod as usize].evictions;
        *tries += 1;
        let draw = *tries;
        let takes = self.draw(Latency::ControllerRequest, Component::Karpenter, pod, 1_000 + draw);
        self.at(sent + takes, Event::EvictionAnswered(pod));
        sent + takes
    }

    pub(super) fn eviction_answered(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        if !state.is_active() {
            return;
        }
        let (deployment, tries) = (state.deployment, state.evictions);
        let (running, ready) = (state.stage >= PodStage::Running, state.stage == PodStage::Ready);
        let budget = self.scenario.deployments[deployment as usize].pdb;
        if budget.is_none_or(|budget| budget.evicts(self.covered(deployment), running, ready)) {
            return self.evict(pod);
        }
        let wait = (EVICTION_RETRY * (1 << (tries - 1).min(10))).min(EVICTION_RETRY_MAX);
        let limited = match self.prepared.era.drains_in_waves {
            true => self.eviction_retries.reserve(self.now),
            false => self.now,
        };
        self.send_eviction(pod, limited.max(self.now + wait));
    }

    /// The pod is deleted for its node's sake.
    pub(super) fn evict(&mut self, pod: u32) {
        let (deployment, node) = (self.pods[pod as usize].deployment, self.pods[pod as usize].node);
        self.pods_evicted += 1;
        let since = self.replaced_since(pod, node);
        self.delete_pod(pod);
        self.replace_pod(deployment, pod, since);
    }

    /// Pods on nodes that go, but for those that are protected and those whose budget will never let them; 0.19 knew no such
    /// exceptions.
    pub(super) fn pods_to_move(&self) -> Vec<u32> {
        if !self.has_disrupted {
            return Vec::new();
        }
        let goes =
            |(node, index): &(&Node, u32)| node.disrupted && node.lives() && !self.is_only_cordoned(*index);
        let all = !self.prepared.era.drains_in_waves;
        let moves = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            let budget = self.scenario.deployments[state.deployment as usize].pdb;
            state.is_active()
                && state.stage >= PodStage::Bound
                && (all || !self.is_protected(*pod) && !budget.is_some_and(|budget| budget.blocks_fully()))
        };
        let nodes = self.nodes.iter().zip(0..).filter(goes);
        nodes.flat_map(|(node, _)| &node.pods).copied().filter(moves).collect()
    }

    /// What the budget over pods of the number looks at: all of their Deployment.
    pub(super) fn covered(&self, deployment: u32) -> Covered {
        let owner = self.owner(deployment);
        let of = |pod: &&Pod| self.owner(pod.deployment) == owner && pod.stage == PodStage::Ready;
        let healthy = self.pods.iter().filter(of).count() as u32;
        Covered { replicas: self.replicas_of(owner), healthy }
    }

    /// Since when an interruption has kept somebody without this pod; never, if none has.
    fn replaced_since(&self, pod: u32, node: u32) -> SimTime {
        let state = &self.pods[pod as usize];
        if state.stage == PodStage::Ready {
            self.nodes[node as usize].noticed_at
        } else {
            state.replaces_since
        }
    }

    /// The pod's ReplicaSet makes another in its place, if it has too few.
    pub(super) fn replace_pod(&mut self, deployment: u32, pod: u32, since: SimTime) {
        if self.is_job(deployment) {
            // One that was lost with its instance before it had told of its end has failed.
            let state = &self.pods[pod as usize];
            return self.job_pod_ended(deployment, state.succeeds && state.node != NONE);
        }
        if self.replica_sets[deployment as usize].lacks() == 0 {
            return;
        }
        self.want_pod(deployment);
        self.pods.last_mut().expect("one was made").replaces_since = since;
        let takes = self.draw(Latency::ControllerRequest, Component::Controller, deployment, 1 << 20 | pod);
        self.start_sync(deployment, takes);
    }

    /// EC2 shuts the instance down: from now on it costs nothing.
    pub(super) fn instance_stopping(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        if !at.lives() || std::mem::replace(&mut at.stopped, true) {
            return;
        }
        let price = at.price_micro_usd;
        self.books.bill.stop_paying(price, self.now);
        // Its place is paid for by whoever has reserved it.
        if at.reservation != NONE {
            self.books.unused.pay(price, self.now);
        }
        self.lose_pods(node);
        // 0.19's finalizer has gone, and its Node with it; today's goes with the instance.
        if self.prepared.era.deprovisioning {
            self.disruption.changed_at = self.now;
        }
        let takes = self.draw(Latency::InstanceShutdown, Component::Karpenter, node, 4);
        self.at(self.now + takes, Event::InstanceGone(node));
    }

    /// What an instance that stops still has is lost; its ReplicaSets know once the control plane has missed the node.
    fn lose_pods(&mut self, node: u32) {
        for pod in std::mem::take(&mut self.nodes[node as usize].pods) {
            let stage = self.pods[pod as usize].stage;
            self.pods_lost += 1;
            self.frees_cpu(node, pod);
            self.frees_memory(node, pod);
            if stage == PodStage::Terminating {
                self.terminating -= 1;
            } else {
                let since = self.replaced_since(pod, node);
                self.uncount(pod, stage);
                let (deployment, zone) = (self.pods[pod as usize].deployment, self.nodes[node as usize].zone);
                self.fittings[deployment as usize].place(node, zone, -1);
                self.replica_sets[deployment as usize].unnoticed += 1;
                self.pods[pod as usize].replaces_since = since;
            }
            if stage != PodStage::Terminating || self.pods[pod as usize].failed {
                let takes = self.draw(Latency::PodLossNoticed, Component::Karpenter, pod, 5);
                self.at(self.now + takes, Event::PodLossNoticed(pod));
            }
            let state = &mut self.pods[pod as usize];
            (state.stage, state.node, state.address) = (PodStage::Gone, NONE, None);
            if stage == PodStage::Terminating && !state.failed {
                self.note_gone(pod);
            }
        }
        let daemons = self.daemon_requests(node);
        let at = &mut self.nodes[node as usize];
        at.requested = daemons;
        at.without_address.clear();
        self.provisioning.seen.look_again(node);
    }

    pub(super) fn pod_loss_noticed(&mut self, pod: u32) {
        let (deployment, since) =
            (self.pods[pod as usize].deployment, self.pods[pod as usize].replaces_since);
        self.replica_sets[deployment as usize].unnoticed -= 1;
        self.replicas_changed(deployment);
        self.pod_left(deployment);
        self.replace_pod(deployment, pod, since);
    }

    /// The instance is terminated, with all that it held.
    pub(super) fn instance_gone(&mut self, node: u32) {
        self.books.nodes -= 1;
        self.release_all(node);
        self.aws_node_gone(node);
        let at = &self.nodes[node as usize];
        match at.reservation {
            NONE => {
                let kind = self.scenario.catalogue.get(at.instance_type);
                self.vcpus[usize::from(at.spot)] -= kind.vcpus.unwrap_or(0);
                // What EC2 takes back nobody else may buy.
                if at.noticed_at == SimTime::NEVER {
                    self.give_back_capacity(node);
                }
            }
            reservation => self.reservation_freed(reservation),
        }
        if self.nodes[node as usize].is_registered() {
            self.node_comes_or_goes();
        }
        let at = &mut self.nodes[node as usize];
        at.stage = NodeStage::Gone;
        if let Some(wakes) = at.wakes.take() {
            self.agenda.cancel(wakes);
        }
        self.refit(node);
        if !self.prepared.era.deprovisioning {
            self.disruption.changed_at = self.now;
        }
        self.trace(|| TraceLine::new("node_gone").node(node));
    }
}
