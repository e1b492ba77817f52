//! The filters that the simulated pods meet, in the order of the default configuration.
//!
//! Source: kubernetes v1.34.4, v1.30.14 and v1.24.17, `pkg/scheduler/framework/plugins`.

use super::pod_affinity::Company;
use super::spread::HardCounts;
use super::view::{Node, Pod, Version};
use crate::actors::host_port::{HostPort, keep_apart};
use crate::actors::taints::{Effect, Taint, first_untolerated, tolerated};
use crate::units::Resources;

/// The plugin that rejects a node, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    pub plugin: &'static str,
    pub reasons: Vec<String>,
}

impl Rejection {
    fn of(plugin: &'static str, reason: impl Into<String>) -> Option<Rejection> {
        Some(Rejection { plugin, reasons: vec![reason.into()] })
    }
}

/// The first rejection, `None` if the pod may go to the node. `hard` are the counts of the pod's hard constraints,
/// `company` where pods are that it minds or that mind it.
pub fn first_rejection(
    pod: &Pod,
    node: &Node,
    hard: &HardCounts,
    company: &Company,
    version: Version,
) -> Option<Rejection> {
    unschedulable(pod, node)
        .or_else(|| taints(pod, node, version))
        .or_else(|| selector(pod, node))
        .or_else(|| ports(pod, node))
        .or_else(|| {
            let reasons = lacking(pod.requests(), node.requested, node.allocatable, version);
            let reasons: Vec<String> = reasons.into_iter().flatten().map(str::to_owned).collect();
            (!reasons.is_empty()).then_some(Rejection { plugin: "NodeResourcesFit", reasons })
        })
        .or_else(|| spread(node, hard))
        .or_else(|| Rejection::of("InterPodAffinity", company.objection(node)?))
}

fn unschedulable(pod: &Pod, node: &Node) -> Option<Rejection> {
    let taint = || Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: String::new(),
        effect: Effect::NoSchedule,
    };
    if !node.unschedulable || tolerated(&taint(), &pod.tolerations) {
        return None;
    }
    Rejection::of("NodeUnschedulable", "node(s) were unschedulable")
}

fn taints(pod: &Pod, node: &Node, version: Version) -> Option<Rejection> {
    let taint = first_untolerated(&node.taints, &pod.tolerations)?;
    // The text no longer names the taint from 1.34.2 on.
    let reason = match version {
        Version::V1_34 => "node(s) had untolerated taint(s)".to_owned(),
        Version::V1_30 | Version::V1_24 => {
            format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value)
        }
    };
    Rejection::of("TaintToleration", reason)
}

/// Does the node carry every label that the pod asks for?
pub fn selected(pod: &Pod, node: &Node) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod.node_affinity.admits(&node.labels)
}

fn selector(pod: &Pod, node: &Node) -> Option<Rejection> {
    if selected(pod, node) {
        return None;
    }
    Rejection::of("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
}

fn ports(pod: &Pod, node: &Node) -> Option<Rejection> {
    if !keep_apart(&pod.host_ports, &node.used_ports, HostPort::clashes) {
        return None;
    }
    Rejection::of("NodePorts", "node(s) didn't have free ports for the requested pod ports")
}

/// NodeResourcesFit: what of the node does not suffice, in the order of the real message. Equality fits.
pub fn lacking(
    pod: Resources,
    requested: Resources,
    allocatable: Resources,
    version: Version,
) -> [Option<&'static str>; 4] {
    let room = allocatable - requested;
    let mut reasons = [None; 4];
    if pod.pods > room.pods {
        reasons[0] = Some("Too many pods");
    }
    if pod.cpu_millis == 0 && pod.memory_bytes == 0 && pod.pod_enis == 0 {
        return reasons;
    }
    // Up to 1.24 a pod that asks for one of them is held against both, which matters on an overcommitted node.
    let asks = |amount: i64| amount > 0 || version == Version::V1_24;
    if asks(pod.cpu_millis) && pod.cpu_millis > room.cpu_millis {
        reasons[1] = Some("Insufficient cpu");
    }
    if asks(pod.memory_bytes) && pod.memory_bytes > room.memory_bytes {
        reasons[2] = Some("Insufficient memory");
    }
    if pod.pod_enis > 0 && pod.pod_enis > room.pod_enis {
        reasons[3] = Some("Insufficient vpc.amazonaws.com/pod-eni");
    }
    reasons
}

fn spread(node: &Node, hard: &HardCounts) -> Option<Rejection> {
    const REASON: &str = "node(s) didn't match pod topology spread constraints";
    let missing = hard.first_violation(node)?;
    let suffix = if missing { " (missing required label)" } else { "" };
    Rejection::of("PodTopologySpread", format!("{REASON}{suffix}"))
}
