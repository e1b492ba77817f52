//! Extended resources of nodes: GPUs, accelerators and adapters are there once their device plugin has registered with kubelet,
//! which begins as the node is Ready, and kubelet has told so.
//!
//! Left out: plugins' pods, which take no requests unless a DaemonSet stands for them, and devices that break.

use super::*;
use crate::scenario::AmiFamily;

impl Run<'_> {
    /// What a node of the type has, of what matters here, once its plugins have registered.
    fn devices_of(&self, instance_type: TypeId) -> ExtendedCounts {
        let found = self.scenario.catalogue.get(instance_type);
        let resources = self.scenario.node_resources(found, AmiFamily::Al2023);
        let all = resources.map_or(ExtendedCounts::ZERO, |(all, _)| all.extended);
        all.with(ExtendedResource::PodEni, 0)
    }

    /// A node that has been there for long has its devices.
    pub(super) fn settle_devices(&mut self, node: u32) {
        if self.prepared.extended.is_zero() {
            return;
        }
        let devices = self.devices_of(self.nodes[node as usize].instance_type);
        let at = &mut self.nodes[node as usize];
        at.allocatable.extended = at.allocatable.extended + devices;
    }

    /// The node is Ready, and plugins' pods may start.
    pub(super) fn await_device_plugin(&mut self, node: u32) {
        if self.prepared.extended.is_zero() {
            return;
        }
        if !self.devices_of(self.nodes[node as usize].instance_type).is_zero() {
            let takes = self.draw(Latency::DevicePluginStart, Component::Boot, node, 11);
            self.at(self.now + takes, Event::DevicesRegistered(node));
        }
    }

    /// kubelet tells of the devices: pods that ask for such may come.
    pub(super) fn devices_registered(&mut self, node: u32) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        let grown = self.devices_of(self.nodes[node as usize].instance_type);
        self.settle_devices(node);
        self.node_grew(node, grown);
    }

    /// The node's allocatable grew by these: it may be initialized now, and pods that ask for them may come.
    pub(super) fn node_grew(&mut self, node: u32, grown: ExtendedCounts) {
        let at = &self.nodes[node as usize];
        let planned = !grown.among(at.planned.extended).is_zero();
        if planned && !at.is_tainted() && self.is_initialized(node) {
            self.await_initialized(node);
        }
        self.refit(node);
        let (pods, fittings, at) = (&self.pods, &self.fittings, &self.nodes[node as usize]);
        let hints = self.queueing_hints;
        self.queue.wake_where(self.now, |pod| {
            let pod = &pods[pod as usize];
            let fitting = &fittings[pod.deployment as usize];
            // Without hints whoever lacked anything hears of it.
            let asks = !hints || fitting.asks_for(grown);
            pod.rejected_by_fit && asks && fitting.fits_empty(at)
        });
        self.refresh_nominated(node);
        self.run_scheduler();
    }

    /// What Karpenter takes a node to have until it has it: of a node that is not initialized, what its claim says.
    #[inline]
    pub(super) fn promised_extended(&self, node: u32) -> ExtendedCounts {
        if self.prepared.extended.is_zero() { ExtendedCounts::ZERO } else { self.still_to_come(node) }
    }
    fn still_to_come(&self, node: u32) -> ExtendedCounts {
        let at = &self.nodes[node as usize];
        if at.is_static() || !at.lives() || self.is_initialized(node) {
            return ExtendedCounts::ZERO;
        }
        let all = self.provisioner.offers.types[at.offered as usize].allocatable.extended;
        all - all.among(at.allocatable.extended)
    }

    /// What a pod lacks of a node on which it could come otherwise.
    pub(super) fn extended_cause(&self, pod: u32, node: u32) -> Option<Cause> {
        let (asked, at) = (self.requests(pod).extended, &self.nodes[node as usize]);
        let lacks = |resource: &ExtendedResource| at.allocatable.extended.get(*resource) == 0;
        let first = asked.present().find(lacks)?;
        Some(if first == ExtendedResource::PodEni { Cause::TrunkEni } else { Cause::DevicePlugin })
    }
}
