//! How many volumes nodes take: a limit that kube-scheduler (NodeVolumeLimits) and Karpenter know once the node's EBS CSI driver
//! has written it into CSINode. Before that, and on claims under way, there is none for them; the instance has its slots all the
//! same, and whose volumes find none waits on its node, as everybody does until the driver mounts.
//!
//! Source: kubernetes 1.34, `pkg/kubelet/volumemanager`, `pkg/controller/volume/attachdetach` and
//! `pkg/util/goroutinemap/exponentialbackoff`. Left out: attaching and detaching take no time.

use super::*;
use crate::actors::ebs_csi::EbsCsiSettings;
use crate::scenario::AmiFamily;

/// What a run whose pods have volumes keeps.
#[derive(Clone, Debug)]
pub(super) struct Volumes {
    /// By Deployment: of each of its pods.
    of_pod: Vec<u32>,
    /// By node, once its driver has registered.
    limits: Vec<Option<u32>>,
    /// Pods whose volumes are attached to their nodes.
    attached: BTreeSet<u32>,
    /// Pods whose volumes kubelet failed to mount, and how often.
    failed: BTreeMap<u32, u32>,
}

/// What failed for a volume is tried again after so long, then twice as long each time.
const FIRST_RETRY: SimDuration = SimDuration::from_millis(500);
const LAST_RETRY: SimDuration = SimDuration::from_secs(122);

impl Volumes {
    /// `None`: no pod has one.
    pub fn new(scenario: &Scenario) -> Option<Volumes> {
        let count = |spec: &crate::scenario::DeploymentSpec| spec.placement.volumes.len() as u32;
        let of_pod: Vec<u32> = scenario.deployments.iter().map(count).collect();
        of_pod.iter().any(|count| *count > 0).then(|| Volumes {
            of_pod,
            limits: Vec::new(),
            attached: BTreeSet::new(),
            failed: BTreeMap::new(),
        })
    }
    pub fn of_pod(&self, deployment: u32) -> u32 {
        self.of_pod[deployment as usize]
    }
    fn limit(&self, node: u32) -> Option<u32> {
        self.limits.get(node as usize).copied().flatten()
    }
}

impl Run<'_> {
    fn volumes(&self) -> Option<&Volumes> {
        self.constraints.as_ref()?.volumes.as_ref()
    }

    /// The node is Ready: its CSI driver's pod gets a network, starts and registers.
    pub(super) fn await_csi_driver(&mut self, node: u32) {
        if self.volumes().is_some() {
            let takes = self.draw(Latency::CsiDriverStart, Component::Boot, node, 10);
            self.at(self.now + takes, Event::CsiDriverRegistered(node));
        }
    }

    /// CSINode has the limit.
    pub(super) fn csi_driver_registered(&mut self, node: u32) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        self.settle_volume_limit(node);
        self.refit(node);
        // Up to 1.24 an update of CSINode wakes nobody.
        if self.queueing_hints {
            let pods = &self.pods;
            self.queue.wake_where(self.now, |pod| pods[pod as usize].rejected_by_volume_limit);
            self.run_scheduler();
        }
    }

    /// What driver settings make of the instance's slots, as it is now.
    fn volume_limit(&self, node: u32, settings: EbsCsiSettings) -> Option<u32> {
        let at = &self.nodes[node as usize];
        let family = self.prepared.pools.get(at.pool as usize).map(|pool| pool.family);
        // Bottlerocket keeps its data on a second volume.
        let own = if family == Some(AmiFamily::Bottlerocket) { 2 } else { 1 };
        let slots = self.prepared.volume_slots.get(at.instance_type.index())?;
        Some(settings.limit(*slots, self.interfaces_in_metadata(node), own))
    }

    /// The driver counts what the instance has now.
    pub(super) fn settle_volume_limit(&mut self, node: u32) {
        let Some(limit) = self.volume_limit(node, self.scenario.ebs_csi_driver) else { return };
        let nodes = self.nodes.len();
        let limits = &mut self.volumes_mut().limits;
        limits.resize(nodes, None);
        limits[node as usize] = Some(limit);
    }

    fn volumes_mut(&mut self) -> &mut Volumes {
        let volumes = self.constraints.as_mut().and_then(|constraints| constraints.volumes.as_mut());
        volumes.expect("a pod has volumes")
    }

    /// The attach/detach controller sees the pod on its node: its volumes take slots of the instance, if there are enough.
    pub(super) fn attach_volumes(&mut self, pod: u32) {
        if self.volumes_of(self.pods[pod as usize].deployment) == 0 {
            return;
        }
        let volumes = self.volumes_mut();
        volumes.attached.remove(&pod);
        volumes.failed.remove(&pod);
        self.try_to_attach(pod);
    }
    fn try_to_attach(&mut self, pod: u32) {
        let (node, deployment) = (self.pods[pod as usize].node, self.pods[pod as usize].deployment);
        let need = self.volumes_of(deployment);
        // EC2 knows nothing of what the driver's flags say.
        let slots = self.volume_limit(node, EbsCsiSettings::default());
        let volumes = self.volumes().expect("a pod has volumes");
        let attached = self.nodes[node as usize].pods.iter().filter(|other| volumes.attached.contains(other));
        let of = |other: &u32| volumes.of_pod(self.pods[*other as usize].deployment);
        let taken: u32 = attached.map(of).sum();
        if slots.is_none_or(|slots| taken + need <= slots) {
            self.volumes_mut().attached.insert(pod);
        }
    }

    /// kubelet wants the pod's volumes mounted before its sandbox. After how long it tries again; `None`: they are.
    pub(super) fn awaits_volumes(&mut self, pod: u32) -> Option<SimDuration> {
        let (node, deployment) = (self.pods[pod as usize].node, self.pods[pod as usize].deployment);
        if self.volumes_of(deployment) == 0 {
            return None;
        }
        if !self.is_attached(pod) {
            self.try_to_attach(pod);
        }
        let mounted = self.is_attached(pod) && self.drives_volumes(node);
        let volumes = self.volumes_mut();
        if mounted {
            volumes.failed.remove(&pod);
            return None;
        }
        let failures = volumes.failed.entry(pod).or_insert(0);
        *failures += 1;
        let doubled = FIRST_RETRY * 2u64.pow((*failures - 1).min(8));
        Some(doubled.min(LAST_RETRY))
    }
    fn is_attached(&self, pod: u32) -> bool {
        self.volumes().is_some_and(|volumes| volumes.attached.contains(&pod))
    }
    /// Has the node's driver registered with kubelet, or does nobody ask?
    fn drives_volumes(&self, node: u32) -> bool {
        let known = self.prepared.volume_slots.get(self.nodes[node as usize].instance_type.index());
        known.is_none() || self.volumes().is_some_and(|volumes| volumes.limit(node).is_some())
    }

    /// Does the pod wait for slots of its instance, which only come back as others leave it?
    pub(super) fn lacks_volume_slots(&self, pod: u32) -> bool {
        let state = &self.pods[pod as usize];
        state.cause == Some(Cause::VolumeAttach) && self.drives_volumes(state.node) && !self.is_attached(pod)
    }

    /// Volumes that the node still takes, its pods' counted until they have left the API; `None`: there is no limit.
    pub(super) fn volumes_left(&self, node: u32) -> Option<i64> {
        let volumes = self.volumes()?;
        let limit = volumes.limit(node)?;
        let of = |pod: &u32| i64::from(volumes.of_pod(self.pods[*pod as usize].deployment));
        Some(i64::from(limit) - self.nodes[node as usize].pods.iter().map(of).sum::<i64>())
    }
    /// The same before pods of the Deployment, with those that are promised a place there.
    pub(super) fn volumes_left_to(&self, node: u32, deployment: u32) -> Option<i64> {
        let (left, volumes) = (self.volumes_left(node)?, self.volumes()?);
        let priority = self.scenario.deployments[deployment as usize].priority;
        let heeded = self.nodes[node as usize].promised.iter().filter(|pod| self.priority(**pod) >= priority);
        let of = |pod: &u32| i64::from(volumes.of_pod(self.pods[*pod as usize].deployment));
        Some(left - heeded.map(of).sum::<i64>())
    }
    /// Do volumes keep pods of the Deployment off?
    pub(super) fn exceeds_volumes(&self, node: u32, deployment: u32) -> bool {
        let need = self.volumes_of(deployment);
        need > 0 && self.volumes_left_to(node, deployment).is_some_and(|left| i64::from(need) > left)
    }
    /// How many each of the Deployment's pods has.
    pub(super) fn volumes_of(&self, deployment: u32) -> u32 {
        self.volumes().map_or(0, |volumes| volumes.of_pod(deployment))
    }
}
