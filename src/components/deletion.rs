//! A pod from its deletion on: kubelet stops it, its address goes back to ipamd's pool, then it leaves the API.
//!
//! Its ReplicaSet counts it no more from the first of these steps on; its requests hold their place on the node until
//! the last. Source: Kubernetes 1.34, `pkg/kubelet/pod_workers.go`, `pkg/kubelet/status`.

use super::state::{Crashed, NONE, PodStage};
use super::*;

impl Run<'_> {
    /// Its ReplicaSet has deleted the pod, if nobody else did before.
    pub(super) fn pod_deleted(&mut self, pod: u32) {
        if self.pods[pod as usize].is_active() {
            self.delete_pod(pod);
            self.job_pod_changed(self.pods[pod as usize].deployment);
            self.record_event(self.pods[pod as usize].deployment);
        }
    }

    /// Deletes a pod that is active. What runs nowhere is gone at once, the rest when kubelet has stopped it.
    pub(super) fn delete_pod(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        let (stage, node) = (state.stage, state.node);
        self.uncount(pod, stage);
        self.unplan(pod);
        if stage < PodStage::Bound {
            self.pods[pod as usize].stage = PodStage::Gone;
            if stage == PodStage::Assumed {
                self.leave_node(pod);
                self.unassume(node, pod);
            }
            return self.note_gone(pod);
        }
        let mut takes = self.draw(Latency::KubeletSync, Component::Kubelet, pod, 1);
        // A container that is dead already is not waited for.
        let dead = |crashed: &Crashed| crashed.dead && !crashed.stopping;
        let dead = self.pods[pod as usize].crashed.as_deref().is_some_and(dead);
        if stage >= PodStage::Running && !dead {
            let grace = self.termination_grace(pod);
            takes += self.grace_left(node).map_or(grace, |left| grace.min(left));
        }
        self.stop_pod(pod, takes);
    }

    /// What the pod's container takes to stop; at the end of its grace period kubelet kills it.
    pub(super) fn termination_grace(&self, pod: u32) -> SimDuration {
        let uniform = self.chance.uniform(Component::Start, pod, 2);
        let spec = &self.scenario.deployments[self.pods[pod as usize].deployment as usize];
        let takes = SimDuration::from_secs_f64(spec.termination_grace.quantile(uniform));
        spec.termination_grace_period.map_or(takes, |most| takes.min(most))
    }

    /// kubelet evicts a pod on its own account, and gives it no more than `grace`. Tells when it is gone: then its
    /// ReplicaSet, which sees it Failed, makes another.
    pub(super) fn fail_pod(&mut self, pod: u32, grace: SimDuration) -> SimTime {
        let (stage, deployment) = (self.pods[pod as usize].stage, self.pods[pod as usize].deployment);
        self.uncount(pod, stage);
        self.replica_sets[deployment as usize].unnoticed += 1;
        self.pods[pod as usize].failed = true;
        let takes = self.termination_grace(pod).min(grace);
        self.stop_pod(pod, takes);
        self.now + takes + self.draw(Latency::StatusUpdate, Component::Start, pod, 3)
    }

    pub(super) fn stop_pod(&mut self, pod: u32, takes: SimDuration) {
        let state = &mut self.pods[pod as usize];
        state.stage = PodStage::Terminating;
        let (node, deployment) = (state.node, state.deployment);
        let at = &mut self.nodes[node as usize];
        at.without_address.retain(|other| *other != pod);
        let zone = at.zone;
        // The default spread leaves out pods that are being deleted.
        self.fittings[deployment as usize].place(node, zone, -1);
        self.terminating += 1;
        self.refit(node);
        self.note_deletion(node);
        self.at(self.now + takes, Event::PodStopped(pod));
        self.replicas_changed(deployment);
    }

    /// The API has the pod no more.
    pub(super) fn note_gone(&mut self, pod: u32) {
        let set = self.pods[pod as usize].deployment;
        self.replicas_changed(set);
        self.pod_left(set);
        self.job_pod_changed(set);
    }

    /// Karpenter and the autoscaling queue plan for it no more.
    fn unplan(&mut self, pod: u32) {
        self.withdraw_promise(pod);
        let state = &mut self.pods[pod as usize];
        let undecided = state.stage == PodStage::Pending && state.provisionable;
        let nominated = std::mem::replace(&mut state.nominated, NONE);
        if nominated != NONE {
            super::scheduler::forget(&mut self.nodes[nominated as usize].nominated, pod);
        } else if undecided {
            super::scheduler::forget(&mut self.undecided, pod);
        }
    }

    fn leave_node(&mut self, pod: u32) {
        let node = std::mem::replace(&mut self.pods[pod as usize].node, NONE);
        self.nodes[node as usize].pods.retain(|other| *other != pod);
    }

    /// The CNI plugin's DEL: the address cools down.
    pub(super) fn pod_stopped(&mut self, pod: u32) {
        let state = &mut self.pods[pod as usize];
        if state.stage != PodStage::Terminating {
            return;
        }
        let node = state.node;
        let address = state.address.take();
        self.frees_cpu(node, pod);
        self.frees_memory(node, pod);
        if let Some(address) = address {
            self.release_address(node, address);
        }
        let update = self.draw(Latency::StatusUpdate, Component::Start, pod, 3);
        self.at(self.now + update, Event::PodGone(pod));
    }

    pub(super) fn pod_gone(&mut self, pod: u32) {
        if self.pods[pod as usize].stage != PodStage::Terminating {
            return;
        }
        self.terminating -= 1;
        let (node, requests) = (self.pods[pod as usize].node, self.requests(pod));
        if self.pods[pod as usize].failed {
            self.pod_loss_noticed(pod);
        }
        self.pods[pod as usize].stage = PodStage::Gone;
        self.release_branch(pod);
        self.leave_node(pod);
        let at = &mut self.nodes[node as usize];
        at.requested = at.requested - requests;
        self.note_left(self.pods[pod as usize].deployment);
        self.refit(node);
        self.disruption.changed_at = self.now;
        self.look_at_emptiness(node);
        self.pod_deleted_event();
        self.note_gone(pod);
    }
}
