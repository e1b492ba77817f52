//! Runs in which pods or pools say more than requests: labels and taints of nodes, kube-scheduler's pass over them, and
//! what wakes the pods that it rejected. A run without has none of this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::expected_daemons::ExpectedDaemons;
use super::host_ports::Rivals;
use super::placing::{Placing, Present, Taken};
use super::state::{NONE, NodeStage, PodStage};
use super::volumes::Volumes;
use super::*;
use crate::actors::karpenter::labels::{
    CAPACITY_TYPE, HOSTNAME, NODE_POOL, REGION, ZONE, is_well_known, type_requirements,
};
use crate::actors::karpenter::requirement::Requirements;
use crate::actors::karpenter::reservations::RESERVATION_ID;
use crate::actors::karpenter::solve::{ExistingNode, NodeFeatures, labels_of_type};
use crate::actors::kube_scheduler::nodes_to_find;
use crate::actors::taints::{Effect, Taint, tolerated};
use crate::scenario::{DaemonSetSpec, DeploymentSpec, region};

/// What such a run keeps beside the rest.
#[derive(Clone, Debug)]
pub(super) struct Constraints {
    /// By node, from its launch on.
    labels: Vec<BTreeMap<String, String>>,
    /// By node, from its launch on: what DaemonSets' pods request; empty: the same of every node.
    daemons: Vec<Resources>,
    pub expected_daemons: ExpectedDaemons,
    /// The labels as Karpenter's solver reads them.
    features: Vec<Option<Arc<NodeFeatures>>>,
    /// By Deployment.
    pub placings: Vec<Placing>,
    /// By Deployment.
    pub rivals: Vec<Rivals>,
    /// `None`: no pod has a volume.
    pub volumes: Option<Volumes>,
    /// Deployments of which pods were taken off nodes since the scheduler was last told.
    left: BTreeSet<u32>,
}

impl Constraints {
    /// `None`: nobody asks for anything but room.
    pub fn new(prepared: &Prepared) -> Option<Box<Constraints>> {
        let (scenario, version) = (&prepared.scenario, prepared.era.filters);
        let placing = |place| {
            let images = prepared.images.of_pods(place).clone();
            Placing::new(place, &scenario.deployments, &scenario.scheduler, images, version)
        };
        let constraints = Constraints {
            labels: Vec::new(),
            daemons: Vec::new(),
            expected_daemons: ExpectedDaemons::default(),
            features: Vec::new(),
            rivals: scenario.deployments.iter().map(|spec| Rivals::of(&spec.placement, scenario)).collect(),
            placings: (0..scenario.deployments.len()).map(placing).collect(),
            volumes: Volumes::new(scenario),
            left: BTreeSet::new(),
        };
        scenario.has_constraints().then(|| Box::new(constraints))
    }
}

fn taint(key: &str, value: &str, effect: Effect) -> Taint {
    Taint { key: key.into(), value: value.into(), effect }
}

fn critical_addons() -> Taint {
    taint("CriticalAddonsOnly", "true", Effect::NoSchedule)
}

impl Run<'_> {
    /// The instance is known, and with it the labels its node will have.
    pub(super) fn label_node(&mut self, node: u32) {
        let Some(mut constraints) = self.constraints.take() else { return };
        constraints.labels.resize(self.nodes.len(), BTreeMap::new());
        constraints.labels[node as usize] = self.labels_of(node);
        constraints.features.resize(self.nodes.len(), None);
        self.constraints = Some(constraints);
        self.settle_daemons(node);
        self.tell_solver(node);
    }

    /// The labels of a node are known: so is which DaemonSets have a pod on it.
    fn settle_daemons(&mut self, node: u32) {
        if self.scenario.daemonsets.iter().all(DaemonSetSpec::is_everywhere) {
            return;
        }
        let there = self.scenario.daemonsets.iter().filter(|daemon| self.daemon_comes(node, daemon));
        let requests = there.fold(Resources::ZERO, |sum, daemon| sum + daemon.requests);
        self.nodes[node as usize].requested = requests;
        if let Some(constraints) = &mut self.constraints {
            constraints.daemons.resize(self.nodes.len(), Resources::ZERO);
            constraints.daemons[node as usize] = requests;
        }
        self.settle_expected_daemons(node);
    }
    /// Has the DaemonSet a pod on the node?
    pub(super) fn daemon_comes(&self, node: u32, daemon: &DaemonSetSpec) -> bool {
        let Some(constraints) = &self.constraints else { return true };
        daemon.is_everywhere()
            || daemon.comes_to(&constraints.labels[node as usize], &self.taints_for_good(node))
    }
    /// What DaemonSets' pods request of the node.
    pub(super) fn daemon_requests(&self, node: u32) -> Resources {
        let of_node = self.constraints.as_ref().and_then(|known| known.daemons.get(node as usize));
        of_node.copied().unwrap_or(self.prepared.daemons)
    }

    /// Karpenter's solver reads the node's labels, and the taints that stay, anew.
    pub(super) fn tell_solver(&mut self, node: u32) {
        if self.constraints.is_none() {
            return;
        }
        let (taints, host_ports) = (self.lasting_taints(node), self.daemons_ports(node));
        let Some(constraints) = &mut self.constraints else { return };
        let labels = constraints.labels[node as usize].iter();
        let labels = Requirements::of_labels(labels.map(|(key, value)| (key.as_str(), value.as_str())));
        constraints.features[node as usize] = Some(Arc::new(NodeFeatures { labels, taints, host_ports }));
    }

    pub(super) fn labels_of(&self, node: u32) -> BTreeMap<String, String> {
        let (at, scenario) = (&self.nodes[node as usize], self.scenario);
        let zone = scenario.zones[at.zone as usize].as_str();
        let region = region(zone);
        let mut labels = BTreeMap::new();
        let mut add = |key: &str, value: &str| drop(labels.insert(key.to_owned(), value.to_owned()));
        if at.is_static() {
            let found = scenario.catalogue.get(at.instance_type);
            let of_type = type_requirements(found, region, &[zone.to_owned()], &[], |_| true);
            labels_of_type(&of_type).for_each(|(key, value)| add(key, value));
        } else {
            let offers = &self.provisioner.offers;
            let of_type = &offers.types[at.offered as usize].requirements;
            // Reservations of its type are its own only where it runs in one.
            let of_type = labels_of_type(of_type).filter(|(key, _)| *key != RESERVATION_ID);
            of_type.for_each(|(key, value)| add(key, value));
            // Labels of the pool and, of the user's own, what the claim's pods asked for.
            let set = at.claim.as_ref().map(|claim| offers.set(claim.set));
            for (key, requirement) in set.iter().flat_map(|set| set.requirements.iter()) {
                let own = requirement.is_in() && !is_well_known(key);
                own.then(|| requirement.named().next())
                    .flatten()
                    .into_iter()
                    .for_each(|value| add(key, value));
            }
            add(CAPACITY_TYPE, at.capacity_type().name());
            if let Some(reservation) = offers.reservations().get(at.reservation as usize) {
                add(RESERVATION_ID, &reservation.name);
            }
            add(NODE_POOL, &scenario.node_pools[at.pool as usize].name);
        }
        add(ZONE, zone);
        add(REGION, region);
        add(HOSTNAME, &format!("node-{node}"));
        labels
    }

    /// The node's taints as kube-scheduler sees them.
    fn taints_of(&self, node: u32) -> Vec<Taint> {
        let at = &self.nodes[node as usize];
        let mut taints = self.lasting_taints(node);
        taints.extend(at.startup_taints.iter().cloned());
        if at.unregistered {
            taints.push(taint("karpenter.sh/unregistered", "", Effect::NoExecute));
        }
        if at.not_ready {
            taints.push(taint("node.kubernetes.io/not-ready", "", Effect::NoSchedule));
        }
        if at.memory_pressure {
            taints.push(taint("node.kubernetes.io/memory-pressure", "", Effect::NoSchedule));
        }
        taints
    }
    /// Those that stay: all that Karpenter minds, since it leaves others out of account until the node is initialized.
    fn lasting_taints(&self, node: u32) -> Vec<Taint> {
        let mut taints = self.taints_for_good(node);
        if self.nodes[node as usize].cordoned {
            taints.push(taint("node.kubernetes.io/unschedulable", "", Effect::NoSchedule));
        }
        taints
    }
    /// Those that it has from its first instant on; every DaemonSet's pods tolerate the others, or wait until they are gone.
    pub(super) fn taints_for_good(&self, node: u32) -> Vec<Taint> {
        let at = &self.nodes[node as usize];
        let pool = self.scenario.node_pools.get(at.pool as usize);
        let mut taints = pool.map_or_else(Vec::new, |pool| pool.taints.clone());
        if at.critical_addons_only {
            taints.push(critical_addons());
        }
        taints
    }

    /// The node changed for the filters.
    pub(super) fn refit_constrained(&mut self, node: u32) {
        let taken = |(number, spec): (u32, &DeploymentSpec)| Taken {
            promised: self.promised_to(node, spec.priority),
            expected: self.expected_on(node, spec.priority),
            ports: self.port_is_taken(node, number),
            volumes: self.exceeds_volumes(node, number),
        };
        let taken: Vec<Taken> = (0..).zip(&self.scenario.deployments).map(taken).collect();
        let staying = self.fittings.iter().map(|fitting| fitting.on_node(node));
        let mut pods: Vec<Present> = staying.map(|staying| Present { staying, going: 0 }).collect();
        self.going_on(node).for_each(|deployment| pods[deployment as usize].going += 1);
        let Some(mut constraints) = self.constraints.take() else { return };
        let (at, taints) = (&self.nodes[node as usize], self.taints_of(node));
        let Constraints { labels, placings, .. } = &mut *constraints;
        for (placing, taken) in placings.iter_mut().zip(taken) {
            if let Some(labels) = labels.get(node as usize) {
                placing.update(node, at, labels, &taints, &pods, taken);
            }
        }
        self.constraints = Some(constraints);
    }

    /// The Deployments of the node's pods that are deleted and not gone yet.
    fn going_on(&self, node: u32) -> impl Iterator<Item = u32> {
        let any = self.terminating > 0;
        let there = self.nodes[node as usize].pods.iter().filter(move |_| any);
        let pods = there.map(|pod| &self.pods[*pod as usize]);
        pods.filter(|pod| pod.stage == PodStage::Terminating).map(|pod| pod.deployment)
    }

    /// Filter and score over all nodes; one of the best by chance.
    pub(super) fn choose_node_constrained(&mut self, pod: u32) -> Option<u32> {
        if let Some(node) = self.promised_node(pod) {
            return Some(node);
        }
        let deployment = self.pods[pod as usize].deployment as usize;
        let constraints = self.constraints.as_mut().expect("a run that is constrained");
        let placing = &mut constraints.placings[deployment];
        let looked_at = placing.feasible_from(self.next_start_node, nodes_to_find, &mut self.found);
        if self.found.len() < 2 {
            self.advance_start(deployment, looked_at);
            return self.found.first().copied();
        }
        placing.scores(&self.found, &self.nodes, &mut self.scores);
        self.advance_start(deployment, looked_at);
        Some(self.pick_best(pod, &self.found))
    }
    fn advance_start(&mut self, deployment: usize, looked_at: u32) {
        let nodes = self.fittings[deployment].counts().nodes;
        if nodes > 0 && !self.found.is_empty() {
            self.next_start_node = (self.next_start_node + looked_at) % nodes;
        }
    }

    /// Notes why the pod's attempt failed; the message that is written, and the number of nodes in it.
    pub(super) fn note_rejection_constrained(&mut self, pod: u32) -> Option<(u64, u32)> {
        let state = &mut self.pods[pod as usize];
        let tally = self.constraints.as_ref()?.placings[state.deployment as usize].tally;
        state.rejected_by_fit = tally.by_fit();
        state.rejected_by_taints = tally.by_taints();
        state.rejected_by_labels = tally.by_labels();
        state.rejected_by_spread = tally.by_spread();
        state.rejected_by_pod_affinity = tally.by_pod_affinity();
        state.rejected_by_ports = tally.by_ports();
        state.rejected_by_volumes = tally.by_volumes();
        state.rejected_by_volume_limit = tally.by_volume_limit();
        Some((tally.message(), tally.nodes))
    }

    /// A Node object appeared: wakes the pods of which a plugin that rejected them says that it could help.
    pub(super) fn node_added_constrained(&mut self, node: u32) {
        let Some(constraints) = &self.constraints else { return };
        let (pods, at, hints) = (&self.pods, &self.nodes[node as usize], self.queueing_hints);
        self.queue.wake_where(self.now, |pod| {
            let pod = &pods[pod as usize];
            let placing = &constraints.placings[pod.deployment as usize];
            let (fits, tolerates, selects) =
                (placing.fits_empty(at), placing.tolerates(node), placing.selects(node));
            // Without hints a node that the pod cannot go to is no event for it.
            let heard = hints || (fits && tolerates && selects);
            let helps = (pod.rejected_by_fit && fits)
                || (pod.rejected_by_taints && tolerates)
                || (pod.rejected_by_labels && selects)
                || (pod.rejected_by_spread && placing.has_keys(node))
                || pod.rejected_by_ports
                || pod.rejected_by_volumes
                || (pod.rejected_by_pod_affinity && (!hints || placing.may_have_company(node)));
            // Its CSINode comes with it, which all hear.
            (heard && helps) || pod.rejected_by_volume_limit
        });
        self.run_scheduler();
    }

    /// A taint is gone: wakes the pods that no taint of the node keeps off any more.
    pub(super) fn taint_gone_constrained(&mut self, node: u32) {
        let before: Vec<bool> = self.tolerate(node);
        self.refit(node);
        let now_tolerated = self.tolerate(node);
        let (pods, fittings, at) = (&self.pods, &self.fittings, &self.nodes[node as usize]);
        let hints = self.queueing_hints;
        self.queue.wake_where(self.now, |pod| {
            let pod = &pods[pod as usize];
            let deployment = pod.deployment as usize;
            let news = now_tolerated[deployment] && !before[deployment];
            news && if hints { pod.rejected_by_taints } else { fittings[deployment].fits_empty(at) }
        });
        self.refresh_nominated(node);
        if before != now_tolerated {
            self.run_scheduler();
        }
    }
    /// By Deployment: do its pods tolerate the node's taints, as far as the scheduler has been told?
    fn tolerate(&self, node: u32) -> Vec<bool> {
        let placings = self.constraints.iter().flat_map(|constraints| &constraints.placings);
        placings.map(|placing| placing.tolerates(node)).collect()
    }

    /// A pod was bound: the skew of its Deployment's others may be another, and whoever seeks its company may have it.
    pub(super) fn pod_bound_constrained(&mut self, bound: u32) {
        let Some(constraints) = &self.constraints else { return };
        let deployment = self.pods[bound as usize].deployment;
        let spec = &self.scenario.deployments[deployment as usize];
        // Up to 1.24 this is an event for affinity alone.
        let spreads = self.queueing_hints && !spec.placement.topology_spread.is_empty();
        let sought = constraints.placings.iter().any(|placing| placing.seeks(deployment));
        if !spreads && !sought {
            return;
        }
        let pods = &self.pods;
        self.queue.wake_where(self.now, |pod| {
            let pod = &pods[pod as usize];
            let placing = &constraints.placings[pod.deployment as usize];
            (spreads && pod.deployment == deployment && pod.rejected_by_spread)
                || (pod.rejected_by_pod_affinity && placing.seeks(deployment))
        });
        self.run_scheduler();
    }

    /// A pod of the Deployment was taken off a node.
    pub(super) fn note_left(&mut self, deployment: u32) {
        if let Some(constraints) = &mut self.constraints {
            constraints.left.insert(deployment);
        }
    }
    /// Does it help the pod that others were deleted?
    pub(super) fn is_helped_by_deletion(
        constraints: Option<&Constraints>,
        hints: bool,
        pod: &Pod,
        left: &BTreeSet<u32>,
    ) -> bool {
        let without = |constraints: &Constraints| {
            let placing = &constraints.placings[pod.deployment as usize];
            left.iter().any(|gone| placing.is_helped_without(*gone, hints))
        };
        let frees_ports = |constraints: &Constraints| {
            let rivals = &constraints.rivals[pod.deployment as usize].deployments;
            !hints || left.iter().any(|gone| rivals.contains(gone))
        };
        let frees_volumes = |constraints: &Constraints| {
            let volumes = constraints.volumes.as_ref();
            volumes.is_some_and(|volumes| !hints || left.iter().any(|gone| volumes.of_pod(*gone) > 0))
        };
        pod.rejected_by_fit
            || (pod.rejected_by_volume_limit && constraints.is_some_and(frees_volumes))
            || (pod.rejected_by_ports && constraints.is_some_and(frees_ports))
            || (pod.rejected_by_spread && left.contains(&pod.deployment))
            || (pod.rejected_by_pod_affinity && constraints.is_some_and(without))
    }
    pub(super) fn take_left(&mut self) -> BTreeSet<u32> {
        self.constraints.as_mut().map(|constraints| std::mem::take(&mut constraints.left)).unwrap_or_default()
    }

    /// Do Deployments' pods mind each other's whereabouts? Then those on nodes that Karpenter does not try count, too.
    pub(super) fn has_company(&self) -> bool {
        self.constraints.iter().flat_map(|constraints| &constraints.placings).any(Placing::has_company)
    }

    /// The node as Karpenter tries it.
    pub(super) fn existing_node(&self, index: u32) -> ExistingNode {
        let room = self.room_for_karpenter(index);
        let Some(constraints) = &self.constraints else {
            // Nobody selects nodes, spreads or tolerates.
            return ExistingNode::plain(room);
        };
        let pods = self.fittings.iter().zip(0..).map(|(fitting, shape)| (shape, fitting.pods_on(index)));
        let pods = pods.filter(|(_, count)| *count > 0).collect();
        let going = self.going_on(index).collect();
        let features = constraints.features[index as usize].clone();
        ExistingNode { room, features, pods, going, volumes: self.volumes_left(index) }
    }

    /// Appoints when the startup taints of a node that has just registered go.
    pub(super) fn appoint_startup_taints(&mut self, node: u32) {
        let pool = self.nodes[node as usize].pool;
        if pool == NONE {
            return;
        }
        for (place, startup) in self.scenario.node_pools[pool as usize].startup_taints.iter().enumerate() {
            self.nodes[node as usize].startup_taints.push(startup.taint.clone());
            let event = Event::StartupTaintGone { node, place: place as u32 };
            self.at(self.now + startup.removed_after, event);
        }
    }
    pub(super) fn startup_taint_gone(&mut self, node: u32, place: u32) {
        let pool = self.nodes[node as usize].pool as usize;
        let gone = &self.scenario.node_pools[pool].startup_taints[place as usize].taint;
        let taints = &mut self.nodes[node as usize].startup_taints;
        if let Some(found) = taints.iter().position(|taint| taint == gone) {
            taints.remove(found);
        }
        self.taint_gone(node);
    }

    /// May pods of the Deployment ever come to the node, as far as labels, taints and DaemonSets' host ports go?
    pub(super) fn may_come_to_take(&self, node: u32, deployment: u32) -> bool {
        let at = &self.nodes[node as usize];
        let Some(constraints) = &self.constraints else {
            return !at.critical_addons_only && !at.cordoned;
        };
        let settled = at.is_settled();
        let waits = |pod: &Pod| pod.deployment == deployment && pod.stage == PodStage::Pending;
        let placing = &constraints.placings[deployment as usize];
        let open = || placing.tolerates(node) && placing.selects(node) && placing.reaches_volumes(node);
        self.pods.iter().any(waits) && !self.port_is_a_daemons(node, deployment) && (!settled || open())
    }

    /// Do others' whereabouts, or their host ports, keep the Deployment's pods off the node as long as nothing moves?
    pub(super) fn is_shut(&self, node: u32, deployment: u32) -> bool {
        let shut = |constraints: &Constraints| constraints.placings[deployment as usize].is_shut(node);
        self.constraints.as_deref().is_some_and(shut) || self.port_is_taken(node, deployment)
    }
    /// Do they keep them off new nodes in the zone?
    pub(super) fn is_zone_shut(&self, zone: u32, deployment: u32) -> bool {
        let zone = &self.scenario.zones[zone as usize];
        let shut = |constraints: &Constraints| constraints.placings[deployment as usize].is_zone_shut(zone);
        self.constraints.as_deref().is_some_and(shut)
    }

    /// Does Karpenter try nodes tainted for critical add-ons? Where nobody tolerates them they are as good as not there.
    pub(super) fn tries_addon_nodes(&self) -> bool {
        let tolerates = |spec: &DeploymentSpec| tolerated(&critical_addons(), &spec.placement.tolerations);
        self.constraints.is_some() && self.scenario.deployments.iter().any(tolerates)
    }

    /// Is the node initialized for Karpenter? What its pods were planned to request must be there too.
    pub(super) fn is_initialized(&self, node: u32) -> bool {
        let at = &self.nodes[node as usize];
        let has_all = at.allocatable.extended.has_all(at.planned.extended);
        at.stage == NodeStage::Ready && at.startup_taints.is_empty() && has_all
    }

    /// What Karpenter takes to be left of the node.
    #[inline]
    pub(super) fn room_for_karpenter(&self, node: u32) -> Resources {
        let at = &self.nodes[node as usize];
        let promised = Resources { extended: self.promised_extended(node), ..Resources::ZERO };
        let left = at.allocatable - at.requested + promised;
        let left = left + self.unexpected_daemons(node);
        let reserved = self.prepared.system_reserved;
        // Until the node is initialized Karpenter goes by its own prediction.
        if reserved == Resources::ZERO || self.is_initialized(node) { left } else { left - reserved }
    }
}
