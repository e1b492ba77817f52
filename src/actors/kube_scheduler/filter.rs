//! The filters that the simulated pods meet, in the order of the default configuration.
//!
//! Source: kubernetes v1.34.4, v1.30.14 and v1.24.17, `pkg/scheduler/framework/plugins`.

use super::pod_affinity::Company;
use super::spread::HardCounts;
use super::view::{Node, Pod, Version};
use crate::actors::host_port::{HostPort, keep_apart};
use crate::actors::taints::{Effect, Taint, first_untolerated, tolerated};
use crate::units::{ExtendedResource, Resources};

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
            let lacking = lacking(pod.requests(), node.requested, node.allocatable, version);
            lacking.any().then(|| Rejection { plugin: "NodeResourcesFit", reasons: lacking.reasons() })
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

/// What of a node does not suffice: a bit each, in the order of the real message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lacking(u16);

impl Lacking {
    /// Places of what may lack: pod slots, CPU, memory, and the extended resources in their order.
    pub const COUNT: usize = 3 + ExtendedResource::COUNT;
    pub const PODS: usize = 0;
    pub const CPU: usize = 1;
    pub const MEMORY: usize = 2;
    pub const EXTENDED: usize = 3;

    pub const fn any(self) -> bool {
        self.0 != 0
    }
    /// By place, from the lowest on.
    pub const fn bits(self) -> u16 {
        self.0
    }
    fn note(&mut self, place: usize, lacks: bool) {
        self.0 |= u16::from(lacks) << place;
    }
    fn reasons(self) -> Vec<String> {
        let name = |place: usize| match place {
            Lacking::PODS => "Too many pods".to_owned(),
            Lacking::CPU => "Insufficient cpu".to_owned(),
            Lacking::MEMORY => "Insufficient memory".to_owned(),
            other => format!("Insufficient {}", ExtendedResource::ALL[other - Lacking::EXTENDED].name()),
        };
        (0..Lacking::COUNT).filter(|place| self.0 >> place & 1 == 1).map(name).collect()
    }
}

/// NodeResourcesFit. Equality fits.
pub fn lacking(pod: Resources, requested: Resources, allocatable: Resources, version: Version) -> Lacking {
    let room = allocatable - requested;
    let mut lacking = Lacking::default();
    lacking.note(Lacking::PODS, pod.pods > room.pods);
    if pod.cpu_millis == 0 && pod.memory_bytes == 0 && pod.extended.is_zero() {
        return lacking;
    }
    // Up to 1.24 a pod that asks for one of them is held against both, which matters on an overcommitted node.
    let asks = |amount: i64| amount > 0 || version == Version::V1_24;
    lacking.note(Lacking::CPU, asks(pod.cpu_millis) && pod.cpu_millis > room.cpu_millis);
    lacking.note(Lacking::MEMORY, asks(pod.memory_bytes) && pod.memory_bytes > room.memory_bytes);
    for one in pod.extended.present() {
        lacking.note(Lacking::EXTENDED + one as usize, pod.extended.get(one) > room.extended.get(one));
    }
    lacking
}

fn spread(node: &Node, hard: &HardCounts) -> Option<Rejection> {
    const REASON: &str = "node(s) didn't match pod topology spread constraints";
    let missing = hard.first_violation(node)?;
    let suffix = if missing { " (missing required label)" } else { "" };
    Rejection::of("PodTopologySpread", format!("{REASON}{suffix}"))
}
