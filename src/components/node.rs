//! A node from its instance to the moment pods may be bound to it.

use super::state::{NONE, NodeStage};
use super::*;
use crate::catalogue::Hypervisor;
use crate::scenario::{AmiFamily, CniMode, StaticNodes};

impl Run<'_> {
    /// Nodes that were there before: settled, their pods in place.
    pub(super) fn start_static_nodes(&mut self) {
        let scenario = self.scenario;
        for group in &scenario.static_nodes {
            (0..group.count).for_each(|_| self.add_static_node(group));
        }
        // Each has its primary address before the first takes more for a pool.
        let mut node = 0;
        for group in &scenario.static_nodes {
            for number in 0..group.count {
                if scenario.cni.mode == CniMode::Vpc {
                    self.settle_trunk(node);
                    let share = group.pods_with_address / group.count.max(1);
                    let more = u32::from(number < group.pods_with_address % group.count.max(1));
                    self.settle_ipamd(node, share + more);
                    self.settle_cleaner(node);
                }
                self.label_node(node);
                self.settle_devices(node);
                if self.prepared.has_volumes() {
                    self.settle_volume_limit(node);
                }
                self.refit(node);
                if let Some(at) = group.cordon_at {
                    self.at(at, Event::NodeCordoned(node));
                }
                node += 1;
            }
        }
    }

    fn add_static_node(&mut self, group: &StaticNodes) {
        let (scenario, node) = (self.scenario, self.nodes.len() as u32);
        let found = scenario.catalogue.get(group.instance_type);
        let mut for_nodes = scenario.subnets.iter().filter(|subnet| subnet.nodes).cycle();
        let subnet = for_nodes.nth(node as usize).expect("a checked scenario has a subnet for nodes");
        let own = scenario.node_resources(found, AmiFamily::Al2023).map(|(_, left)| left);
        self.nodes.push(Node {
            stage: NodeStage::Ready,
            instance_type: group.instance_type,
            zone: subnet.zone,
            allocatable: Resources {
                extended: ExtendedCounts::ZERO,
                ..group.allocatable.or(own).unwrap_or(Resources::ZERO)
            },
            requested: self.prepared.daemons,
            kubelet_client: super::kubelet_client::bucket(self.prepared.era.kubelet_client),
            launched: SimTime::ZERO,
            unregistered: false,
            not_ready: false,
            critical_addons_only: group.critical_addons_only,
            ..Node::claim(NONE)
        });
        self.start_status_loop(node);
        self.vcpus[0] += found.vcpus.unwrap_or(0);
        let attached = self.attach_primary(node, subnet.zone);
        assert!(attached, "a checked scenario's subnets hold its static nodes");
    }

    /// Somebody cordons the node: no more pods come, and its pool grows no more.
    pub(super) fn node_cordoned(&mut self, node: u32) {
        let settings = self.settings(node);
        let at = &mut self.nodes[node as usize];
        at.cordoned = true;
        if let Some(ipamd) = &mut at.ipamd {
            ipamd.cordon(settings, true);
        }
        self.tell_solver(node);
        self.refit(node);
        self.forsake(node);
        self.refresh_addressless(node);
    }

    pub(super) fn boot(&mut self, node: u32, family: AmiFamily) {
        let found = self.scenario.catalogue.get(self.nodes[node as usize].instance_type);
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
        let own = self.factor(Latency::BootNodeFactor, Component::Boot, node, 2);
        let (zone, minute) = (self.nodes[node as usize].zone, (self.now.millis() / 60_000) as u32);
        let common = self.factor(Latency::BootZoneFactor, Component::ZoneFactor, zone, minute);
        self.at(self.now + boot.mul_f64(own * common), Event::Booted(node));
    }

    pub(super) fn booted(&mut self, node: u32) {
        if self.step_to(node, NodeStage::Joining) {
            self.nodes[node as usize].joined_at = Some(self.now);
            let takes = self.draw(Latency::KubeletRegister, Component::Boot, node, 3);
            let (sent, registered) = (self.now + takes, Event::NodeRegistered(node));
            self.send_request(
                Flow::NodeStatus(node),
                RequestKind::Create,
                sent,
                SimDuration::ZERO,
                registered,
            );
        }
    }

    /// Takes the node to a stage, unless it is gone.
    fn step_to(&mut self, node: u32, stage: NodeStage) -> bool {
        if !self.nodes[node as usize].lives() {
            return false;
        }
        self.nodes[node as usize].stage = stage;
        self.provisioning.seen.look_again(node);
        self.refresh_nominated(node);
        true
    }

    /// There is a Node object, with its taints.
    pub(super) fn node_registered(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        (at.unknown, at.unregistered) = (false, self.prepared.era.unregistered_taint);
        if !self.step_to(node, NodeStage::Registered) {
            return;
        }
        self.start_status_loop(node);
        self.node_comes_or_goes();
        self.appoint_startup_taints(node);
        if self.prepared.era.unregistered_taint {
            let taint = self.draw(Latency::UnregisteredTaint, Component::Karpenter, node, 1);
            let (sent, gone) = (self.now + taint, Event::UnregisteredTaintGone(node));
            self.send_request(
                Flow::KubeSystem(Namespace::None),
                RequestKind::Patch,
                sent,
                SimDuration::ZERO,
                gone,
            );
        }
        if self.scenario.cni.mode == CniMode::None {
            let takes = self.draw(Latency::OtherCniStart, Component::Boot, node, 4);
            self.at(self.now + takes, Event::CniReady(node));
        } else {
            let mut starts = self.draw(Latency::AwsNodeStart, Component::Boot, node, 4);
            let pool = &self.prepared.pools[self.nodes[node as usize].pool as usize];
            if pool.family == AmiFamily::Bottlerocket {
                starts += self.draw(Latency::AwsNodePull, Component::Boot, node, 7);
            }
            self.at(self.now + starts, Event::AwsNodeStarted(node));
        }
        self.tell_solver(node);
        self.node_added(node);
        self.start_daemons(node, true);
    }

    pub(super) fn unregistered_taint_gone(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        at.unregistered = false;
        at.unregistered_gone_at = self.now;
        self.taint_gone(node);
    }

    pub(super) fn cni_ready(&mut self, node: u32) {
        if self.step_to(node, NodeStage::CniReady) {
            let takes = if self.prepared.era.tells_ready_at_once {
                self.draw(Latency::NodeReady, Component::Boot, node, 6)
            } else {
                self.draw(Latency::NodeRuntimePoll, Component::Boot, node, 8)
                    + self.draw(Latency::NodeStatusLoop, Component::Boot, node, 9)
            };
            let (sent, ready) = (self.now + takes, Event::NodeReady(node));
            self.send_request(Flow::NodeStatus(node), RequestKind::Patch, sent, SimDuration::ZERO, ready);
        }
    }

    /// The Ready condition is there: the node lifecycle controller takes its taint off.
    pub(super) fn node_ready(&mut self, node: u32) {
        if self.step_to(node, NodeStage::Ready) {
            self.await_lifecycle(node);
            self.await_csi_driver(node);
            self.await_device_plugin(node);
        }
    }

    pub(super) fn taint_gone(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        if !at.lives() {
            return;
        }
        let usable = !at.is_tainted() && at.stage == NodeStage::Ready;
        self.untainted(node);
        if usable {
            if !std::mem::replace(&mut self.nodes[node as usize].was_usable, true) {
                self.nodes[node as usize].usable_at = self.now;
                self.start_daemons(node, false);
                self.start_agent(node);
            }
            if self.is_initialized(node) {
                self.await_initialized(node);
            }
            let (name, types) = (node, &self.scenario.catalogue);
            let kind = types.get(self.nodes[node as usize].instance_type).name.as_str();
            self.trace(|| TraceLine::new("node_usable").node(name).text("instance_type", kind));
        }
    }

    /// kube-scheduler hears that the node has a taint less.
    pub(super) fn untainted(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        if self.constraints.is_some() {
            self.taint_gone_constrained(node);
        } else if !at.is_tainted() && at.stage == NodeStage::Ready {
            self.node_usable(node);
        } else {
            self.refit(node);
            self.refresh_nominated(node);
        }
    }
}
