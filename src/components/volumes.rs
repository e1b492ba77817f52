//! How many volumes nodes take: a limit that kube-scheduler (NodeVolumeLimits) and Karpenter know once the node's EBS CSI driver
//! has written it into CSINode. Before that, and on claims under way, there is none for them.
//!
//! Left out: attaching and detaching take no time, and what was bound before the limit was known is attached all the same.

use super::*;
use crate::scenario::AmiFamily;

/// What a run whose pods have volumes keeps.
#[derive(Clone, Debug)]
pub(super) struct Volumes {
    /// By Deployment: of each of its pods.
    of_pod: Vec<u32>,
    /// By node, once its driver has registered.
    limits: Vec<Option<u32>>,
}

impl Volumes {
    /// `None`: no pod has one.
    pub fn new(scenario: &Scenario) -> Option<Volumes> {
        let count = |spec: &crate::scenario::DeploymentSpec| spec.placement.volumes.len() as u32;
        let of_pod: Vec<u32> = scenario.deployments.iter().map(count).collect();
        of_pod.iter().any(|count| *count > 0).then(|| Volumes { of_pod, limits: Vec::new() })
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

    /// The driver counts what the instance has now.
    pub(super) fn settle_volume_limit(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        let family = self.prepared.pools.get(at.pool as usize).map(|pool| pool.family);
        // Bottlerocket keeps its data on a second volume.
        let own = if family == Some(AmiFamily::Bottlerocket) { 2 } else { 1 };
        let interfaces = self.interfaces_in_metadata(node);
        let Some(slots) = self.prepared.volume_slots.get(at.instance_type.index()) else { return };
        let limit = self.scenario.ebs_csi_driver.limit(*slots, interfaces, own);
        let nodes = self.nodes.len();
        let volumes = self.constraints.as_mut().and_then(|constraints| constraints.volumes.as_mut());
        let limits = &mut volumes.expect("slots are known where pods have volumes").limits;
        limits.resize(nodes, None);
        limits[node as usize] = Some(limit);
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
