//! A node from the fleet's answer to the moment pods may be bound to it.

use super::*;
use crate::catalogue::{Hypervisor, InstanceType};
use crate::scenario::{AmiFamily, CniMode};

impl Run<'_> {
    pub(super) fn start_static_nodes(&mut self) {
        let scenario = self.scenario;
        for group in &scenario.static_nodes {
            for _ in 0..group.count {
                let node = self.nodes.len() as u32;
                let found = scenario.catalogue.get(group.instance_type);
                let own =
                    Prepared::allocatable(scenario, found, AmiFamily::Al2023).unwrap_or(Resources::ZERO);
                self.nodes.push(Node {
                    zone: scenario.subnets[node as usize % scenario.subnets.len()].zone,
                    allocatable: group.allocatable.unwrap_or(own),
                    requested: self.prepared.daemons,
                    usable: !group.critical_addons_only,
                    static_node: true,
                    ..Node::new(vec![group.instance_type])
                });
                assert!(self.attach_primary(node), "a checked scenario's subnets hold its static nodes");
                if scenario.cni.mode == CniMode::Vpc {
                    self.aws_node_starts(node);
                }
            }
        }
    }

    pub(super) fn boot(&mut self, node: u32, family: AmiFamily) {
        let found = self.instance(node);
        let first = match (found.gpu_count > 0, found.hypervisor) {
            (true, _) => Latency::BootInstanceGpu,
            (_, Some(Hypervisor::Metal)) => Latency::BootInstanceMetal,
            (_, Some(Hypervisor::Xen)) => Latency::BootInstanceXen,
            _ => Latency::BootInstance,
        };
        let second = match family {
            AmiFamily::Al2 => Latency::BootSystemAl2,
            AmiFamily::Al2023 => Latency::BootSystemAl2023,
            AmiFamily::Bottlerocket => Latency::BootSystemBottlerocket,
        };
        let boot = self.draw(first, Component::Boot, node, 0) + self.draw(second, Component::Boot, node, 1);
        let minute = (self.now.millis() / 60_000) as u32;
        let factor = |latency, uniform| self.scenario.latencies.get(latency).law.quantile(uniform);
        let own = factor(Latency::BootNodeFactor, self.chance.uniform(Component::Boot, node, 2));
        let zone = self.nodes[node as usize].zone;
        let common =
            factor(Latency::BootZoneFactor, self.chance.uniform(Component::ZoneFactor, zone, minute));
        let registers = self.draw(Latency::KubeletRegister, Component::Boot, node, 3);
        self.at(self.now + boot.mul_f64(own * common) + registers, Event::NodeRegisters(node));
    }

    fn instance(&self, node: u32) -> &InstanceType {
        self.scenario.catalogue.get(self.nodes[node as usize].types[0])
    }

    pub(super) fn node_registers(&mut self, node: u32) {
        if self.scenario.cni.mode == CniMode::None {
            let takes = self.draw(Latency::OtherCniStart, Component::Boot, node, 4);
            self.at(self.now + takes, Event::CniReady(node));
            return;
        }
        let starts = self.draw(Latency::AwsNodeStart, Component::Boot, node, 4);
        self.at(self.now + starts, Event::AwsNodeStarts(node));
    }

    pub(super) fn cni_ready(&mut self, node: u32) {
        let ready = self.draw(Latency::NodeReady, Component::Boot, node, 6);
        self.at(self.now + ready, Event::NodeReady(node));
    }

    /// The node lifecycle controller reads the node and patches it, both through its own client's limit.
    pub(super) fn node_ready(&mut self, node: u32) {
        self.lifecycle_client.reserve(self.now);
        let sent = self.lifecycle_client.reserve(self.now);
        self.at(sent, Event::TaintRemoved(node));
    }

    pub(super) fn taint_removed(&mut self, node: u32) {
        self.nodes[node as usize].usable = true;
        self.wake_unschedulable();
    }
}
