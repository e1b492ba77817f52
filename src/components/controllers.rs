//! The ReplicaSet controller: syncs of at most 500 pods, in batches that double, through a client's limit that
//! its own events and status writes share; too many pods are deleted at once, at most 500 a sync. One writer sends the events of all
//! ReplicaSets, each when the one before is answered: once a batch waits for the limit, the next event waits behind it.
//! Source: `pkg/controller/replicaset/replica_set.go`; `tools/record/event.go` of client-go.

use super::event_writer::EventWriter;
use super::state::{Pod, PodStage};
use super::*;
use crate::actors::replica_set::{self, ActivePod};
use crate::scenario::DeploymentSpec;

const BURST_REPLICAS: u32 = 500;
/// What draws for the writer of events, which is no Deployment's.
const WRITER: u32 = u32::MAX;
/// client-go sends so many events of one object, then hardly any.
const EVENTS_OF_AN_OBJECT: u32 = 25;
/// The ReplicaSet's own writes at the end of a sync.
const STATUS_WRITES: u32 = 2;

/// The controller's events about pods made and deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PodEvents {
    writer: EventWriter,
    draws: u32,
}

impl Run<'_> {
    pub(super) fn schedule_deployments(&mut self) {
        let scenario = self.scenario;
        for (index, deployment) in scenario.deployments.iter().enumerate() {
            // Jobs have a controller of their own.
            let events_left = if deployment.job.is_some() { 0 } else { EVENTS_OF_AN_OBJECT };
            let draws_as = index as u32;
            self.replica_sets.push(ReplicaSet { events_left, draws_as, ..Default::default() });
            for (step, (at, _)) in deployment.schedule.iter().enumerate() {
                self.at(*at, Event::Scaled { deployment: index as u32, step: step as u32 });
            }
        }
    }

    pub(super) fn scaled(&mut self, deployment: u32, step: u32) {
        let (at, replicas) = self.scenario.deployments[deployment as usize].schedule[step as usize];
        // Deployments that are scaled at one instant come through the controllers together: recorded, their first pods stand
        // in the same millisecond, and their batches alternate to the end. So they draw as the first of them.
        let of_instant = |(spec, first): (&DeploymentSpec, u32)| {
            spec.schedule.iter().position(|(other, _)| *other == at).map(|step| (first, step as u32))
        };
        let together = self.scenario.deployments.iter().zip(0..).find_map(of_instant);
        let (entity, draw) = together.expect("the Deployment itself is scaled at this instant");
        self.replica_sets[deployment as usize].draws_as = entity;
        let first = self.draw(Latency::FirstPod, Component::Controller, entity, draw);
        self.scale_deployment(deployment, replicas, first);
    }

    /// So many pods of the ReplicaSet are wanted.
    pub(super) fn want_replicas(&mut self, deployment: u32, replicas: u32) {
        let set = &mut self.replica_sets[deployment as usize];
        set.wanted = replicas;
        let more = set.lacks();
        // A sync under way makes the pods that it began with.
        let spare = set.active.saturating_sub(set.wanted).min(set.unmade.len() as u32 - set.left);
        (0..more).for_each(|_| self.want_pod(deployment));
        (0..spare).for_each(|_| self.drop_unmade(deployment));
    }

    /// A pod that is not created yet is not wanted after all.
    fn drop_unmade(&mut self, deployment: u32) {
        let set = &mut self.replica_sets[deployment as usize];
        let pod = set.unmade.pop_back().expect("no more pods are dropped than are to be made");
        self.pods[pod as usize].stage = PodStage::Gone;
        self.uncount(pod, PodStage::Wanted);
    }

    /// The pod is none of its Deployment's any more; `stage` is how far it had come.
    pub(super) fn uncount(&mut self, pod: u32, stage: PodStage) {
        self.replica_sets[self.pods[pod as usize].deployment as usize].active -= 1;
        self.books.wanted_pods -= 1;
        self.books.running_pods -= u32::from(matches!(stage, PodStage::Running | PodStage::Ready));
        self.books.ready_pods -= u32::from(stage == PodStage::Ready);
        self.note_standing(self.pods[pod as usize].deployment, stage, PodStage::Gone);
        if stage == PodStage::Ready && self.jobs.is_some() {
            self.uncount_of_job(self.pods[pod as usize].deployment);
        }
        self.waits_for(pod, None);
    }

    /// One more pod is wanted, at the start or in place of one that was deleted.
    pub(super) fn want_pod(&mut self, deployment: u32) {
        let pod = self.pods.len() as u32;
        self.pods.push(Pod::new(deployment));
        self.books.wanted_pods += 1;
        let set = &mut self.replica_sets[deployment as usize];
        set.active += 1;
        set.unmade.push_back(pod);
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
        if set.left == 0 && set.active > set.wanted {
            return self.scale_in(deployment);
        }
        if set.left == 0 {
            // Evictions may have come between while there were too many.
            (0..set.lacks()).for_each(|_| self.want_pod(deployment));
        }
        let set = &mut self.replica_sets[deployment as usize];
        if set.left == 0 {
            set.left = BURST_REPLICAS.min(set.unmade.len() as u32);
            set.batch = 1;
            if set.left == 0 {
                set.syncing = false;
                return self.replicas_changed(deployment);
            }
        }
        let set = &mut self.replica_sets[deployment as usize];
        let batch = set.batch.min(set.left);
        set.left -= batch;
        set.batch *= 2;
        set.draws += 1;
        let (entity, draws) = (set.draws_as, 1_000 + set.draws);
        let pods: Vec<u32> = set.unmade.drain(..batch as usize).collect();
        let takes = self.draw(Latency::ControllerRequest, Component::Controller, entity, draws);
        let mut answered = self.now;
        for pod in pods {
            let sent = self.controller_client.reserve(self.now);
            answered = sent + takes;
            self.send_pod(pod, sent, takes);
        }
        let ends = self.replica_sets[deployment as usize].left == 0;
        self.with_last_answer(
            answered,
            if ends { Event::ReplicaSetSynced(deployment) } else { Event::ReplicaSetSyncs(deployment) },
        );
    }

    /// A controller asks the API server for the pod.
    pub(super) fn send_pod(&mut self, pod: u32, sent: SimTime, takes: SimDuration) {
        let flow = Flow::KubeSystem(Namespace::Default);
        self.send_request(flow, RequestKind::Create, sent, takes, Event::PodCreated(pod));
    }

    /// A sync has made, or deleted, what it was to: it writes the status, and the next one begins.
    pub(super) fn replica_set_synced(&mut self, deployment: u32) {
        let set = &mut self.replica_sets[deployment as usize];
        set.draws += 1;
        let (entity, draws) = (set.draws_as, 1_000 + set.draws);
        let takes = self.draw(Latency::ControllerRequest, Component::Controller, entity, draws);
        let sent = (0..STATUS_WRITES).map(|_| self.controller_client.reserve(self.now)).last();
        let answered = sent.unwrap_or(self.now) + takes;
        self.at(answered, Event::ReplicaSetSyncs(deployment));
    }

    /// Something was done to a pod of the ReplicaSet, of which an event tells.
    pub(super) fn record_event(&mut self, deployment: u32) {
        let set = &mut self.replica_sets[deployment as usize];
        if set.events_left > 0 {
            set.events_left -= 1;
            if self.pod_events.writer.add(1) {
                self.write_controller_event();
            }
        }
    }
    /// The writer takes the next one.
    pub(super) fn write_controller_event(&mut self) {
        if self.pod_events.writer.next() {
            self.pod_events.draws += 1;
            let draws = self.pod_events.draws;
            let sent = self.controller_client.reserve(self.now);
            let takes = self.draw(Latency::ControllerRequest, Component::Controller, WRITER, draws);
            self.at(sent + takes, Event::ControllerEventWritten);
        }
    }

    /// Those that serve least are deleted, all at once; the next sync sees them gone.
    fn scale_in(&mut self, deployment: u32) {
        let victims = self.victims(deployment);
        let set = &mut self.replica_sets[deployment as usize];
        set.draws += 1;
        let (entity, draws) = (set.draws_as, 1_000 + set.draws);
        let takes = self.draw(Latency::ControllerRequest, Component::Controller, entity, draws);
        let mut answered = self.now + takes;
        for pod in victims {
            answered = self.controller_client.reserve(self.now) + takes;
            self.at(answered, Event::PodDeleted(pod));
        }
        self.at(answered, Event::ReplicaSetSynced(deployment));
    }

    fn victims(&self, deployment: u32) -> Vec<u32> {
        let set = &self.replica_sets[deployment as usize];
        let surplus = (set.active - set.wanted).min(BURST_REPLICAS);
        let of = |pod: &u32| {
            let pod = &self.pods[*pod as usize];
            pod.deployment == deployment && pod.is_active()
        };
        let active: Vec<u32> = (0..self.pods.len() as u32).filter(of).collect();
        // Pods of the Deployment's other ReplicaSets count too.
        let owner = self.owner(deployment);
        let mut on_node = BTreeMap::<u32, u32>::new();
        let related = self.pods.iter().filter(|pod| pod.is_active() && self.owner(pod.deployment) == owner);
        related.for_each(|pod| *on_node.entry(pod.node).or_default() += 1);
        let view = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            ActivePod {
                assigned: state.stage >= PodStage::Bound,
                running: state.stage >= PodStage::Running,
                ready_since: (state.stage == PodStage::Ready).then_some(state.ready_at),
                on_node: on_node[&state.node],
                created_at: state.created_at,
                uid: self.chance.bits(Component::Controller, *pod, 1 << 30),
            }
        };
        let views: Vec<ActivePod> = active.iter().map(view).collect();
        let places = replica_set::victims(&views, surplus as usize, self.now);
        places.into_iter().map(|place| active[place]).collect()
    }
}
