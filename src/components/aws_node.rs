//! aws-node's pods are replaced while nodes run pods: by a rolling update, node after node.
//!
//! The process ends at once, and with it whatever it waited for; a call that EC2 has it carries out. Until the next
//! process serves, sandboxes that ask for an address fail and come again; addresses that are given back meanwhile are free
//! with its start. Source: amazon-vpc-cni-k8s v1.23.1, `config/master/aws-k8s-cni.yaml` (update strategy, readiness
//! probe), `cmd/routed-eni-cni-plugin`.

use std::collections::VecDeque;

use super::state::NodeStage;
use super::*;
use crate::actors::ipamd::{Attached, CidrSerial};

/// aws-node's readiness probe: the first look, and the next ones.
const FIRST_PROBE: SimDuration = SimDuration::from_secs(1);
const PROBE_PERIOD: SimDuration = SimDuration::from_secs(10);
/// Draws of a node's boot from here on are for later starts of aws-node.
const RESTART_DRAWS: u32 = 1_000;

/// Rolling updates under way and to come, and what ended processes left.
#[derive(Clone, Debug, Default)]
pub(super) struct Restarts {
    to_come: usize,
    /// By rolling update: nodes whose turn is still to come.
    waiting: Vec<VecDeque<u32>>,
    /// Nodes whose aws-node is not ready: its update, and when its container started.
    down: BTreeMap<u32, (u32, SimTime)>,
    /// CIDRs of an Unassign that was under way as the process ended.
    unassigning: BTreeMap<u32, Vec<CidrSerial>>,
}

impl Restarts {
    /// Is one under way, or still to come?
    pub fn go_on(&self) -> bool {
        self.to_come > 0 || !self.down.is_empty()
    }
    /// What the Unassign of a process that ended gives back.
    pub fn take_unassigning(&mut self, node: u32) -> Vec<CidrSerial> {
        self.unassigning.remove(&node).unwrap_or_default()
    }
}

impl Run<'_> {
    pub(super) fn schedule_restarts(&mut self) {
        let scenario = self.scenario;
        for (update, restart) in scenario.cni.restarts.iter().enumerate() {
            self.restarts.waiting.push(VecDeque::new());
            // What comes after the horizon does not come.
            if restart.at <= SimTime::ZERO + scenario.horizon {
                self.restarts.to_come += 1;
                self.at(restart.at, Event::AwsNodesUpdated(update as u32));
            }
        }
    }

    /// A rolling update begins: nodes whose aws-node is not there yet have the new one.
    pub(super) fn aws_nodes_updated(&mut self, update: u32) {
        self.restarts.to_come -= 1;
        let serves =
            |node: &u32| self.nodes[*node as usize].ipamd.as_ref().is_some_and(|ipamd| ipamd.serves());
        let nodes: VecDeque<u32> =
            (0..self.nodes.len() as u32).filter(|node| self.is_replaceable(*node) && serves(node)).collect();
        let all = nodes.len() as u32;
        let most = self.scenario.cni.restarts[update as usize].max_unavailable;
        let first = most.of(all).max(1).min(all);
        self.restarts.waiting[update as usize] = nodes;
        (0..first).for_each(|_| self.update_next(update));
    }
    fn update_next(&mut self, update: u32) {
        while let Some(node) = self.restarts.waiting[update as usize].pop_front() {
            if self.is_replaceable(node) {
                return self.replace_aws_node(node, update);
            }
        }
    }
    /// One that another update has just replaced stays: it is not Ready yet, though it may serve.
    fn is_replaceable(&self, node: u32) -> bool {
        let at = &self.nodes[node as usize];
        at.lives() && !at.ipamd_down && !self.restarts.down.contains_key(&node)
    }

    /// The pod is deleted, and another one is created.
    fn replace_aws_node(&mut self, node: u32, update: u32) {
        self.end_process(node);
        let draw = RESTART_DRAWS + u32::from(self.nodes[node as usize].process);
        let started = self.now + self.draw(Latency::AwsNodeStart, Component::Boot, node, draw);
        self.restarts.down.insert(node, (update, started));
        self.at(started, Event::AwsNodeStarted(node));
        self.refresh_addressless(node);
        self.trace(|| TraceLine::new("aws_node_replaced").node(node));
    }

    /// What ipamd waited for does not come to it any more.
    pub(super) fn end_process(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        at.process = at.process.wrapping_add(1);
        (at.ipamd_down, at.ipamd_throttled, at.idle_since) = (true, false, None);
        at.wakes_at = SimTime::NEVER;
        if let Some(wakes) = at.wakes.take() {
            self.agenda.cancel(wakes);
        }
        if let Some(ipamd) = at.ipamd.as_ref().filter(|ipamd| ipamd.unassigns()) {
            self.restarts.unassigning.insert(node, ipamd.unassigning().to_vec());
        }
    }

    /// A process on a node where one ran before or others have attached ENIs: it finds what is attached, and whose pods hold what.
    pub(super) fn recover_ipamd(&mut self, node: u32) -> Ipamd {
        self.store_differs(node);
        let enis = self.attached_enis(node);
        let at = &mut self.nodes[node as usize];
        let old = at.ipamd.take();
        let tagged = old.as_ref().is_some_and(|old| old.has_tagged());
        let untagged = if tagged { Vec::new() } else { enis.iter().map(|(eni, _)| *eni).collect() };
        let pods = old.map_or_else(Vec::new, |old| old.pool().in_use().collect());
        let unmanaged = at.held.iter().filter(|held| held.unmanaged).count() as u32;
        let settings = self.settings(node);
        let mut machine = Ipamd::recover(settings, Attached { enis, untagged, unmanaged, pods });
        machine.cordon(settings, self.nodes[node as usize].cordoned);
        machine
    }

    /// ipamd serves: a fresh node gets its network, and a rolling update goes on once the pod is Ready.
    pub(super) fn ipamd_serves(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        at.ipamd_down = false;
        if at.stage < NodeStage::CniReady {
            let writes = self.draw(Latency::CniConfigWrite, Component::Boot, node, 5);
            self.at(self.now + writes, Event::CniReady(node));
        }
        if let Some((update, started)) = self.restarts.down.get(&node).copied() {
            let probes =
                self.now.saturating_since(started + FIRST_PROBE).nanos().div_ceil(PROBE_PERIOD.nanos());
            let ready = started + FIRST_PROBE + PROBE_PERIOD * probes;
            self.at(ready, Event::AwsNodeReady { node, update });
        }
    }
    pub(super) fn aws_node_ready(&mut self, node: u32, update: u32) {
        if self.restarts.down.remove(&node).is_some() {
            self.update_next(update);
        }
    }
    /// A node that goes holds no rolling update up.
    pub(super) fn aws_node_gone(&mut self, node: u32) {
        if let Some((update, _)) = self.restarts.down.remove(&node) {
            self.update_next(update);
        }
    }
}
