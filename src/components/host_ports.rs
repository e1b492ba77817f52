//! Host ports in a run: whose pods share no node, as kube-scheduler's NodePorts and Karpenter see it.
//!
//! Left out: DaemonSets' pods have their ports from the node's start on, whoever is there; in Karpenter's books they stand once
//! the node has registered.

use super::*;
use crate::actors::host_port::{HostPort, keep_apart};
use crate::scenario::{DaemonSetSpec, Placement};

/// Who wants a port that a Deployment's pods want.
#[derive(Clone, Debug, Default)]
pub(super) struct Rivals {
    pub deployments: Vec<u32>,
    /// Places in the scenario's list.
    daemonsets: Vec<usize>,
}

impl Rivals {
    pub fn of(own: &Placement, scenario: &Scenario) -> Rivals {
        let clashes = |other: &Placement| keep_apart(&own.host_ports, &other.host_ports, HostPort::clashes);
        let deployments = (0..).zip(&scenario.deployments).filter(|(_, spec)| clashes(&spec.placement));
        let daemonsets = (0..).zip(&scenario.daemonsets).filter(|(_, spec)| clashes(&spec.placement));
        Rivals {
            deployments: deployments.map(|(number, _)| number).collect(),
            daemonsets: daemonsets.map(|(place, _)| place).collect(),
        }
    }
    /// Nobody, not even another pod of its own, wants what its pods want.
    fn are_none(&self) -> bool {
        self.deployments.is_empty() && self.daemonsets.is_empty()
    }
}

impl Run<'_> {
    /// Does a port keep pods of the Deployment off the node, those promised a place there included?
    pub(super) fn port_is_taken(&self, node: u32, deployment: u32) -> bool {
        if self.rivals(deployment).is_none_or(Rivals::are_none) {
            return false;
        }
        // Those that are deleted have their ports until they are gone.
        self.nodes[node as usize].pods.iter().any(|pod| self.are_rivals(deployment, *pod))
            || self.port_is_a_daemons(node, deployment)
            || self.port_is_promised(node, deployment)
    }
    /// Has a DaemonSet's pod a port there that pods of the Deployment want?
    pub(super) fn port_is_a_daemons(&self, node: u32, deployment: u32) -> bool {
        let comes = |place: &usize| self.daemon_comes(node, &self.scenario.daemonsets[*place]);
        self.rivals(deployment).is_some_and(|rivals| rivals.daemonsets.iter().any(comes))
    }
    /// Is such a port promised to a pod of as high a priority?
    pub(super) fn port_is_promised(&self, node: u32, deployment: u32) -> bool {
        let priority = self.scenario.deployments[deployment as usize].priority;
        let heeded = |pod: &&u32| self.priority(**pod) >= priority;
        let mut promised = self.nodes[node as usize].promised.iter().filter(heeded);
        promised.any(|pod| self.are_rivals(deployment, *pod))
    }
    /// Does the pod want a port that pods of the Deployment want?
    pub(super) fn are_rivals(&self, deployment: u32, pod: u32) -> bool {
        let other = self.pods[pod as usize].deployment;
        self.rivals(deployment).is_some_and(|rivals| rivals.deployments.contains(&other))
    }
    fn rivals(&self, deployment: u32) -> Option<&Rivals> {
        Some(&self.constraints.as_ref()?.rivals[deployment as usize])
    }

    /// Host ports that DaemonSets' pods have on the node as Karpenter sees it.
    pub(super) fn daemons_ports(&self, node: u32) -> Vec<HostPort> {
        let there = |daemon: &&DaemonSetSpec| {
            !daemon.placement.host_ports.is_empty() && self.daemon_comes(node, daemon)
        };
        if !self.nodes[node as usize].is_registered() {
            return Vec::new();
        }
        let daemonsets = self.scenario.daemonsets.iter().filter(there);
        daemonsets.flat_map(|daemon| daemon.placement.host_ports.iter().copied()).collect()
    }
}
