//! Pods of DaemonSets that need more of a new node than requests and a pod slot: an address, or an image.
//!
//! The DaemonSet controller creates one through its own client's limit, as the node registers or, where it tolerates not
//! every taint, once the node is usable. kube-scheduler binds it through the client that the Deployments' pods need too;
//! its image is pulled in turn with theirs. Left out: its requests are on the node from the start, its container's start
//! ends nothing, and a replaced or deleted one does not come again.
//! Source: kubernetes 1.34, `pkg/controller/daemon`, `pkg/kubelet/kubelet.go` (network not ready).

use super::event::DaemonStep;
use super::kubelet::NETWORK_RETRY;
use super::state::NodeStage;
use super::*;
use crate::scenario::{CniMode, DaemonSetSpec};

/// Images of DaemonSets are numbered down from here, those of Deployments up from 0.
const FIRST_IMAGE: u32 = u32::MAX;

impl Run<'_> {
    /// Creates the node's pods of those DaemonSets that tolerate everything, or else of the others.
    pub(super) fn start_daemons(&mut self, node: u32, tolerant: bool) {
        let scenario = self.scenario;
        for (daemon, spec) in (0u16..).zip(&scenario.daemonsets) {
            let due = spec.takes_part() && spec.tolerates_everything == tolerant;
            if due && self.daemon_comes(node, spec) {
                let sent = self.daemon_client.reserve(self.now);
                let takes = self.draw_of_daemon(node, Latency::ControllerRequest);
                let created = Event::DaemonPod { node, daemon, step: DaemonStep::Created };
                self.send_request(
                    Flow::KubeSystem(Namespace::KubeSystem),
                    RequestKind::Create,
                    sent,
                    takes,
                    created,
                );
            }
        }
    }

    pub(super) fn daemon_pod(&mut self, node: u32, daemon: u16, step: DaemonStep) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        match step {
            DaemonStep::Created => {
                let sent = self.scheduler_client.reserve(self.now);
                let takes = self.draw_of_daemon(node, Latency::BindRequest);
                let bound = Event::DaemonPod { node, daemon, step: DaemonStep::Bound };
                self.send_request(
                    Flow::Scheduler(Namespace::KubeSystem),
                    RequestKind::Bind,
                    sent,
                    takes,
                    bound,
                );
            }
            DaemonStep::Bound => {
                let takes = self.draw_of_daemon(node, Latency::KubeletSync);
                self.daemon_step(node, daemon, DaemonStep::SandboxDue, self.now + takes);
            }
            DaemonStep::SandboxDue => self.daemon_sandbox(node, daemon),
            DaemonStep::SandboxReady if self.images.is_some() => self.pull_for_daemon(node, daemon),
            DaemonStep::SandboxReady => {
                let bytes = self.scenario.daemonsets[usize::from(daemon)].image_bytes;
                let at = &mut self.nodes[node as usize];
                at.draws += 2;
                let (image, draw) = (FIRST_IMAGE - u32::from(daemon), at.draws - 1);
                let stored = self.image_stored(node, image, bytes, Component::Daemon, node, draw);
                let pulled = stored.since(self.now).millis() as usize;
                self.trace(|| TraceLine::new("daemon_image").node(node).count("pull_ms", pulled));
            }
        }
    }

    /// On the pod network the sandbox waits for the network, then for an address.
    fn daemon_sandbox(&mut self, node: u32, daemon: u16) {
        let needs_network = !self.scenario.daemonsets[usize::from(daemon)].host_network;
        let again = if needs_network && self.nodes[node as usize].stage < NodeStage::CniReady {
            let at = &mut self.nodes[node as usize];
            at.draws += 1;
            let late = self.chance.uniform(Component::Daemon, node, at.draws) / 2.0;
            Some(NETWORK_RETRY.mul_f64(1.0 + late))
        } else if needs_network
            && self.scenario.cni.mode == CniMode::Vpc
            && self.assign_address(node).is_none()
        {
            let lack = AddressLack::of(Some(self.address_cause(node)));
            self.sandbox_failures[lack as usize] += 1;
            Some(self.draw_of_daemon(node, Latency::SandboxRetry))
        } else {
            None
        };
        match again {
            Some(wait) => self.daemon_step(node, daemon, DaemonStep::SandboxDue, self.now + wait),
            None => {
                let setup = self.draw_of_daemon(node, Latency::SandboxSetup);
                self.daemon_step(node, daemon, DaemonStep::SandboxReady, self.now + setup);
            }
        }
    }

    fn daemon_step(&mut self, node: u32, daemon: u16, step: DaemonStep, at: SimTime) {
        self.at(at, Event::DaemonPod { node, daemon, step });
    }
    /// On nodes that Karpenter launched.
    pub(super) fn daemon_pods(&self) -> u32 {
        let daemonsets = &self.scenario.daemonsets;
        if daemonsets.iter().all(DaemonSetSpec::is_everywhere) {
            return daemonsets.len() as u32 * self.books.nodes;
        }
        let has_instance = |node: &Node| !node.is_static() && node.lives() && node.stage > NodeStage::Claim;
        let launched = (0..).zip(&self.nodes).filter(|(_, node)| has_instance(node));
        let on = |node| daemonsets.iter().filter(|daemon| self.daemon_comes(node, daemon)).count() as u32;
        launched.map(|(node, _)| on(node)).sum()
    }
    pub(super) fn draw_of_daemon(&mut self, node: u32, latency: Latency) -> SimDuration {
        self.nodes[node as usize].draws += 1;
        self.draw(latency, Component::Daemon, node, self.nodes[node as usize].draws)
    }
}
