//! The Deployment controller at work on a changed pod template: it syncs whenever a ReplicaSet of its has changed, sizes
//! them through its client's limit, and tells in the Deployment's status how far it is.
//!
//! A ReplicaSet's status is kept while its Deployment is rolled out: the ReplicaSet controller writes it after its pods have
//! changed, one write at a time, through the limit that it makes and deletes pods through. Source: Kubernetes 1.34,
//! `pkg/controller/deployment`; the decisions are [`crate::actors::deployment`].

use std::collections::VecDeque;

use super::books::Standing;
use super::state::PodStage;
use super::*;
use crate::actors::deployment::{self, SetView, Sizes, Strategy};

/// Events of a Deployment that client-go sends.
const EVENTS_OF_AN_OBJECT: u32 = 25;

/// All Deployments whose template ever changes.
#[derive(Clone, Debug)]
pub(super) struct Rollouts {
    client: ClientBucket,
    /// By Deployment.
    of: Vec<Rollout>,
    /// How long those that are done took (ms).
    done_ms: Vec<u64>,
}

/// A Deployment that is not rolled out at a run's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfinished {
    pub deployment: String,
    /// When its template changed, if it has.
    pub began: Option<SimTime>,
}

/// A ReplicaSet that was made.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    set: u32,
    view: SetView,
    /// The status that is on its way to the API.
    writes: Option<SetView>,
}

#[derive(Clone, Debug, Default)]
struct Rollout {
    /// `spec.replicas`
    replicas: u32,
    /// Its pods, of all templates.
    standing: Standing,
    /// Its own replicas changed while it is rolled out; they were so many, with their surge, before.
    scaled_from: Option<u32>,
    /// The ReplicaSet of the present template.
    template: u32,
    /// By age.
    made: Vec<Tracked>,
    /// Of the present template's change, while it is not done.
    since: Option<SimTime>,
    /// Template changes to come.
    to_come: usize,
    syncs: bool,
    /// Of the sync under way.
    writes: VecDeque<Write>,
    /// Something changed since the sync began.
    dirty: bool,
    /// The status as it stands in the API.
    told: Status,
    events_left: u32,
    draws: u32,
}

/// A request of the controller.
#[derive(Clone, Copy, Debug)]
enum Write {
    /// A ReplicaSet's size, or the ReplicaSet itself.
    Size {
        set: u32,
        replicas: u32,
    },
    /// The Deployment's revision, after a ReplicaSet was made.
    Revision,
    Status(Status),
}

/// Of a Deployment: pods that are there, those of the present template, and available ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Status {
    replicas: u32,
    updated: u32,
    available: u32,
}

impl Rollout {
    fn new_view(&self) -> Option<SetView> {
        self.made.iter().find(|tracked| tracked.set == self.template).map(|tracked| tracked.view)
    }
    fn old(&self) -> impl Iterator<Item = &Tracked> {
        self.made.iter().filter(|tracked| tracked.set != self.template)
    }
    fn status(&self) -> Status {
        let sum = |of: fn(&SetView) -> u32| self.made.iter().map(|tracked| of(&tracked.view)).sum();
        Status {
            replicas: sum(|view| view.there),
            updated: self.new_view().map_or(0, |view| view.there),
            available: sum(|view| view.available),
        }
    }
    /// Is the template still to change, or a change not done?
    fn is_ahead(&self) -> bool {
        self.to_come > 0 || self.since.is_some()
    }
    /// `DeploymentComplete`, and nothing is left to do: the status was written for the present template, and no old
    /// ReplicaSet will make a pod again.
    fn is_complete(&self) -> bool {
        let whole = Status { replicas: self.replicas, updated: self.replicas, available: self.replicas };
        self.since.is_some()
            && self.scaled_from.is_none()
            && self.told == whole
            && self.status() == self.told
            && self.old().all(|tracked| tracked.view.replicas == 0)
    }
}

impl Rollouts {
    /// `None`: no template ever changes.
    pub fn new(prepared: &Prepared) -> Option<Box<Rollouts>> {
        let revisions = prepared.revisions.as_ref()?;
        let limit = prepared.scenario.controller_manager;
        let of = |deployment| Rollout {
            template: deployment,
            to_come: revisions.sets(deployment).len() - 1,
            events_left: EVENTS_OF_AN_OBJECT,
            ..Rollout::default()
        };
        Some(Box::new(Rollouts {
            client: ClientBucket::new(limit.qps, limit.burst),
            of: (0..revisions.deployments()).map(of).collect(),
            done_ms: Vec::new(),
        }))
    }
    pub fn standing(&self, deployment: u32) -> Standing {
        self.of[deployment as usize].standing
    }
    pub fn standing_mut(&mut self, deployment: u32) -> &mut Standing {
        &mut self.of[deployment as usize].standing
    }
    /// Over all Deployments: pods that they have beyond their replicas.
    pub fn surplus(&self) -> Standing {
        self.of.iter().fold(Standing::default(), |sum, rollout| {
            let beyond = rollout.standing.beyond(rollout.replicas);
            Standing { running: sum.running + beyond.running, ready: sum.ready + beyond.ready }
        })
    }
    pub fn any_under_way(&self) -> bool {
        self.of.iter().any(|rollout| rollout.since.is_some())
    }
    /// The longest of all that the templates' changes took; `None` unless all are done.
    pub fn longest_ms(&self) -> Option<u64> {
        self.done_ms.iter().max().copied().filter(|_| !self.of.iter().any(Rollout::is_ahead))
    }
}

impl Run<'_> {
    pub(super) fn schedule_rollouts(&mut self) {
        let Some(revisions) = &self.prepared.revisions else { return };
        for deployment in 0..revisions.deployments() {
            let changes = &self.scenario.deployments[deployment as usize].rollouts.changes;
            for (change, set) in changes.iter().zip(&revisions.sets(deployment)[1..]) {
                self.at(change.at, Event::TemplateChanged(*set));
            }
        }
    }

    /// Deployments whose template is still to change, or whose change is not done.
    pub(super) fn unfinished_rollouts(&self) -> Vec<Unfinished> {
        let Some(rollouts) = &self.rollouts else { return Vec::new() };
        let ahead =
            self.scenario.deployments.iter().zip(&rollouts.of).filter(|(_, rollout)| rollout.is_ahead());
        ahead
            .map(|(spec, rollout)| Unfinished { deployment: spec.name.clone(), began: rollout.since })
            .collect()
    }

    /// The Deployment to which pods of the number belong.
    pub(super) fn owner(&self, set: u32) -> u32 {
        self.prepared.revisions.as_ref().map_or(set, |revisions| revisions.owner(set))
    }
    /// The replicas that a Deployment itself wants.
    pub(super) fn replicas_of(&self, deployment: u32) -> u32 {
        match &self.rollouts {
            Some(rollouts) => rollouts.of[deployment as usize].replicas,
            None => self.replica_sets[deployment as usize].wanted,
        }
    }
    fn strategy(&self, deployment: u32) -> Strategy {
        self.scenario.deployments[deployment as usize].rollouts.strategy
    }

    /// Somebody scales the Deployment; a ReplicaSet that is alone is scaled as it is seen, `first` later.
    pub(super) fn scale_deployment(&mut self, deployment: u32, replicas: u32, first: SimDuration) {
        let only_adds = self.scenario.deployments[deployment as usize].autoscaler.is_some();
        let before = self.replicas_of(deployment);
        let replicas = if only_adds { replicas.max(before) } else { replicas };
        let strategy = self.strategy(deployment);
        let mut set = deployment;
        if let Some(rollouts) = &mut self.rollouts {
            let rollout = &mut rollouts.of[deployment as usize];
            rollout.replicas = replicas;
            set = rollout.template;
            let rolls = rollout.since.is_some();
            if rolls {
                rollout.scaled_from.get_or_insert(before.saturating_add(strategy.max_surge(before)));
            }
            self.count_surplus();
            // What was surplus may count now.
            self.mark_time(true);
            self.mark_time(false);
            // What was surplus may count now.
            if rolls {
                return self.at_deployment(deployment);
            }
        }
        self.want_replicas(set, replicas);
        self.start_sync(set, first);
    }

    /// The pod template changes: the Deployment's ReplicaSets are looked after until the change is done.
    pub(super) fn template_changed(&mut self, set: u32) {
        let deployment = self.owner(set);
        let (now, present) = (self.now, self.rollout(deployment).template);
        let tracked = Tracked { set: present, view: self.view_of(present), writes: None };
        let rollout = self.rollout(deployment);
        if rollout.since.replace(now).is_none() {
            rollout.made = vec![tracked];
            rollout.told = rollout.status();
        }
        rollout.template = set;
        rollout.to_come -= 1;
        self.trace(|| TraceLine::new("rollout_began").count("replica_set", set as usize));
        self.at_deployment(deployment);
    }

    fn rollout(&mut self, deployment: u32) -> &mut Rollout {
        let rollouts = self.rollouts.as_mut().expect("a template changes in this run");
        &mut rollouts.of[deployment as usize]
    }
    /// If it is rolled out: the Deployment of a ReplicaSet, and the ReplicaSet's place in it.
    fn tracked(&self, set: u32) -> Option<(u32, usize)> {
        let deployment = self.prepared.revisions.as_ref()?.owner(set);
        let rollout = &self.rollouts.as_ref()?.of[deployment as usize];
        let place = rollout.made.iter().position(|tracked| tracked.set == set)?;
        rollout.since.is_some().then_some((deployment, place))
    }

    /// The ReplicaSet's size, and its pods as its controller counts them.
    fn view_of(&self, set: u32) -> SetView {
        let min_ready = self.scenario.deployments[self.owner(set) as usize].rollouts.min_ready;
        let state = &self.replica_sets[set as usize];
        let own = || self.pods.iter().filter(|pod| pod.deployment == set && pod.is_active());
        let available = |pod: &&Pod| pod.stage == PodStage::Ready && pod.ready_at + min_ready <= self.now;
        SetView {
            replicas: state.wanted,
            there: own().count() as u32 + state.unnoticed,
            available: own().filter(available).count() as u32,
        }
    }

    /// Pods of the ReplicaSet have changed: its controller writes its status, unless it is at work on it already.
    #[inline]
    pub(super) fn replicas_changed(&mut self, set: u32) {
        if self.rollouts.is_some() {
            self.write_status(set);
        }
    }
    fn write_status(&mut self, set: u32) {
        let Some((deployment, place)) = self.tracked(set) else { return };
        let Tracked { view: told, writes, .. } = self.rollout(deployment).made[place];
        if self.replica_sets[set as usize].syncing || writes.is_some() {
            return;
        }
        let view = self.view_of(set);
        if (view.there, view.available) != (told.there, told.available) {
            self.rollout(deployment).made[place].writes = Some(view);
            let takes = self.rollout_draw(deployment);
            let sent = self.controller_client.reserve(self.now);
            self.at(sent + takes, Event::ReplicaSetReported(set));
        }
    }
    pub(super) fn replica_set_reported(&mut self, set: u32) {
        let Some((deployment, place)) = self.tracked(set) else { return };
        let tracked = &mut self.rollout(deployment).made[place];
        if let Some(SetView { there, available, .. }) = tracked.writes.take() {
            tracked.view = SetView { there, available, ..tracked.view };
        }
        self.replicas_changed(set);
        self.sync_deployment(deployment);
    }
    /// A pod has been Ready for as long as the Deployment wants it to be.
    pub(super) fn await_availability(&mut self, pod: u32) {
        let set = self.pods[pod as usize].deployment;
        let min_ready = self.scenario.deployments[self.owner(set) as usize].rollouts.min_ready;
        if self.rollouts.is_some() && !min_ready.is_zero() {
            self.at(self.now + min_ready, Event::ReplicaSetLooks(set));
        }
        self.replicas_changed(set);
    }

    /// A pod of the ReplicaSet has left the API. A Deployment that recreates its pods waits for the last.
    pub(super) fn pod_left(&mut self, set: u32) {
        let Some((deployment, _)) = self.tracked(set) else { return };
        if self.strategy(deployment) == Strategy::Recreate && self.pods_in_api(deployment, None) == 0 {
            self.sync_deployment(deployment);
        }
    }
    /// Pods of the Deployment that the API has, but for those of one ReplicaSet.
    fn pods_in_api(&self, deployment: u32, but: Option<u32>) -> u32 {
        let revisions = self.prepared.revisions.as_ref().expect("a template changes in this run");
        let sets = revisions.sets(deployment).iter().copied().filter(|set| Some(*set) != but);
        let there = |set: u32| {
            let of = |pod: &&Pod| {
                pod.deployment == set && pod.stage > PodStage::Wanted && pod.stage < PodStage::Gone
            };
            self.pods.iter().filter(of).count() as u32 + self.replica_sets[set as usize].unnoticed
        };
        sets.map(there).sum()
    }

    fn rollout_draw(&mut self, deployment: u32) -> SimDuration {
        let rollout = self.rollout(deployment);
        rollout.draws += 1;
        let draw = rollout.draws;
        self.draw(Latency::ControllerRequest, Component::Rollout, deployment, draw)
    }

    /// The controller hears of a change of the Deployment itself.
    fn at_deployment(&mut self, deployment: u32) {
        let heard = self.rollout_draw(deployment);
        self.at(self.now + heard, Event::DeploymentSyncs(deployment));
    }

    /// One sync; while one is under way the next waits for its end.
    pub(super) fn sync_deployment(&mut self, deployment: u32) {
        if self.rollout(deployment).since.is_none() {
            return;
        }
        let syncs = std::mem::replace(&mut self.rollout(deployment).syncs, true);
        self.rollout(deployment).dirty = syncs;
        if syncs {
            return;
        }
        let sizes = self.sizes(deployment);
        self.rollout(deployment).writes = self.writes(deployment, &sizes);
        self.write_next(deployment);
    }

    /// What the sync makes of the ReplicaSets' sizes.
    fn sizes(&mut self, deployment: u32) -> Sizes {
        let strategy = self.strategy(deployment);
        let template = self.rollout(deployment).template;
        let recreates = strategy == Strategy::Recreate;
        let old_pods = if recreates { self.pods_in_api(deployment, Some(template)) } else { 0 };
        let rollout = self.rollout(deployment);
        let (replicas, new) = (rollout.replicas, rollout.new_view());
        let old: Vec<SetView> = rollout.old().map(|tracked| tracked.view).collect();
        match rollout.scaled_from.take() {
            Some(before) => {
                // Its ReplicaSets know of it now; the rollout goes on with the next sync.
                rollout.dirty = true;
                deployment::scale(strategy, replicas, before, &old, new)
            }
            None => deployment::rollout(strategy, replicas, &old, new, old_pods),
        }
    }

    /// What the sync writes, in order: sizes that differ, the new ReplicaSet's first, and its own status if it has changed.
    fn writes(&mut self, deployment: u32, sizes: &Sizes) -> VecDeque<Write> {
        let rollout = self.rollout(deployment);
        let mut writes = VecDeque::new();
        let (set, view) = (rollout.template, rollout.new_view());
        if let Some(replicas) = sizes.new.filter(|size| view.is_none_or(|view| view.replicas != *size)) {
            writes.push_back(Write::Size { set, replicas });
            if view.is_none() {
                writes.push_back(Write::Revision);
            }
        }
        for (tracked, replicas) in rollout.old().zip(sizes.old.iter().copied()) {
            if tracked.view.replicas != replicas {
                writes.push_back(Write::Size { set: tracked.set, replicas });
            }
        }
        let status = rollout.status();
        if status != rollout.told {
            writes.push_back(Write::Status(status));
        }
        writes
    }

    /// Sends what is to be written next; after the last the sync is done.
    fn write_next(&mut self, deployment: u32) {
        if self.rollout(deployment).writes.is_empty() {
            return self.end_sync(deployment);
        }
        let takes = self.rollout_draw(deployment);
        let rollouts = self.rollouts.as_mut().expect("a template changes in this run");
        let sent = rollouts.client.reserve(self.now);
        self.at(sent + takes, Event::DeploymentWrote(deployment));
    }
    pub(super) fn deployment_wrote(&mut self, deployment: u32) {
        let rollout = self.rollout(deployment);
        match rollout.writes.pop_front().expect("something was written") {
            Write::Size { set, replicas } => self.size_replica_set(deployment, set, replicas),
            Write::Revision => {}
            Write::Status(status) => rollout.told = status,
        }
        self.write_next(deployment);
    }
    fn end_sync(&mut self, deployment: u32) {
        let now = self.now;
        let rollout = self.rollout(deployment);
        rollout.syncs = false;
        if rollout.is_complete() {
            let since = rollout.since.take().expect("it is rolled out");
            rollout.made.clear();
            let set = rollout.template;
            self.rollouts.as_mut().expect("one is done").done_ms.push(now.since(since).millis());
            self.trace(|| TraceLine::new("rollout_complete").count("replica_set", set as usize));
        } else if rollout.dirty {
            self.sync_deployment(deployment);
        }
    }

    /// The API has the ReplicaSet with its new size, of which both controllers hear.
    fn size_replica_set(&mut self, deployment: u32, set: u32, replicas: u32) {
        let rollouts = self.rollouts.as_mut().expect("a template changes in this run");
        let rollout = &mut rollouts.of[deployment as usize];
        rollout.dirty = true;
        if rollout.events_left > 0 {
            // The event ScalingReplicaSet.
            rollout.events_left -= 1;
            rollouts.client.reserve(self.now);
        }
        match rollout.made.iter_mut().find(|tracked| tracked.set == set) {
            Some(tracked) => tracked.view.replicas = replicas,
            None => {
                let view = SetView { replicas, ..SetView::default() };
                rollout.made.push(Tracked { set, view, writes: None });
            }
        }
        self.trace(|| {
            let line = TraceLine::new("replica_set_sized").count("replica_set", set as usize);
            line.count("replicas", replicas as usize)
        });
        self.want_replicas(set, replicas);
        let heard = self.rollout_draw(deployment);
        self.start_sync(set, heard);
    }
}
