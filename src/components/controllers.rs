//! The ReplicaSet controller: syncs of at most 500 pods, in batches that double, through a client's limit that
//! its own events and status writes share. Source: `pkg/controller/replicaset/replica_set.go`.

use super::state::{NONE, Pod, PodStage};
use super::*;

const BURST_REPLICAS: u32 = 500;
/// client-go sends so many events of one object, then hardly any.
const EVENTS_OF_AN_OBJECT: u32 = 25;
/// The Deployment's and the ReplicaSet's own writes at the start of a sync, and between two syncs.
const STATUS_WRITES: u32 = 2;

impl Run<'_> {
    pub(super) fn schedule_deployments(&mut self) {
        let scenario = self.scenario;
        for (index, deployment) in scenario.deployments.iter().enumerate() {
            self.replica_sets.push(ReplicaSet { events_left: EVENTS_OF_AN_OBJECT, ..Default::default() });
            for (step, (at, _)) in deployment.schedule.iter().enumerate() {
                self.at(*at, Event::Scaled { deployment: index as u32, step: step as u32 });
            }
        }
    }

    pub(super) fn scaled(&mut self, deployment: u32, step: u32) {
        let (_, replicas) = self.scenario.deployments[deployment as usize].schedule[step as usize];
        self.want_replicas(deployment, replicas);
        let first = self.draw(Latency::FirstPod, Component::Controller, deployment, step);
        self.start_sync(deployment, first);
    }

    /// So many pods are wanted, or as many as before if that is more.
    pub(super) fn want_replicas(&mut self, deployment: u32, replicas: u32) {
        let set = &mut self.replica_sets[deployment as usize];
        let more = replicas.saturating_sub(set.wanted);
        set.wanted = set.wanted.max(replicas);
        (0..more).for_each(|_| self.want_pod(deployment));
    }

    /// One more pod is wanted, at the start or in place of one that was deleted.
    pub(super) fn want_pod(&mut self, deployment: u32) {
        let pod = self.pods.len() as u32;
        self.pods.push(Pod::new(deployment));
        self.books.wanted_pods += 1;
        self.replica_sets[deployment as usize].unmade.push_back(pod);
        self.waits_for(pod, Some(Cause::PodCreation));
    }

    pub(super) fn start_sync(&mut self, deployment: u32, after: SimDuration) {
        let set = &mut self.replica_sets[deployment as usize];
        if !set.syncing {
            set.syncing = true;
            self.at(self.now + after, Event::ReplicaSetSyncs(deployment));
        }
    }

    /// One batch goes out; the next when this one is answered.
    pub(super) fn replica_set_syncs(&mut self, deployment: u32) {
        let set = &mut self.replica_sets[deployment as usize];
        if set.left == 0 {
            set.left = BURST_REPLICAS.min(set.unmade.len() as u32);
            set.batch = 1;
            if set.left == 0 {
                set.syncing = false;
                return;
            }
            (0..STATUS_WRITES).for_each(|_| {
                self.controller_client.reserve(self.now);
            });
        }
        let set = &mut self.replica_sets[deployment as usize];
        let batch = set.batch.min(set.left);
        set.left -= batch;
        set.batch *= 2;
        set.draws += 1;
        let draws = set.draws;
        let pods: Vec<u32> = set.unmade.drain(..batch as usize).collect();
        let takes = self.draw(Latency::ControllerRequest, Component::Controller, deployment, 1_000 + draws);
        let mut answered = self.now;
        for pod in pods {
            answered = self.controller_client.reserve(self.now) + takes;
            self.at(answered, Event::PodCreated(pod));
        }
        let set = &mut self.replica_sets[deployment as usize];
        if set.events_left > 0 {
            set.events_left -= 1;
            self.controller_client.reserve(self.now);
        }
        self.at(answered, Event::ReplicaSetSyncs(deployment));
    }

    /// A pod is deleted; its ReplicaSet makes another at once.
    pub(super) fn delete_pod(&mut self, pod: u32) {
        if self.pods[pod as usize].stage == PodStage::Gone {
            return self.victim_gone(pod);
        }
        let state = &mut self.pods[pod as usize];
        let (deployment, stage, node) = (state.deployment, state.stage, state.node);
        let (address, nominated) = (state.address.take(), state.nominated);
        state.stage = PodStage::Gone;
        state.node = NONE;
        state.nominated = NONE;
        self.books.wanted_pods -= 1;
        self.books.running_pods -= u32::from(matches!(stage, PodStage::Running | PodStage::Ready));
        self.books.ready_pods -= u32::from(stage == PodStage::Ready);
        self.waits_for(pod, None);
        if nominated != NONE {
            self.nodes[nominated as usize].nominated.retain(|other| *other != pod);
        }
        if node != NONE {
            let at = &mut self.nodes[node as usize];
            at.pods.retain(|other| *other != pod);
            at.without_address.retain(|other| *other != pod);
            self.unassume(node, pod);
            if let Some(address) = address {
                self.release_address(node, address);
            }
        }
        self.replace_pod(deployment, pod);
    }

    /// A pod goes: its ReplicaSet makes another.
    pub(super) fn replace_pod(&mut self, deployment: u32, pod: u32) {
        self.want_pod(deployment);
        let takes = self.draw(Latency::ControllerRequest, Component::Controller, deployment, 1 << 20 | pod);
        self.start_sync(deployment, takes);
    }
}
