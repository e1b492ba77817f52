//! Host ports of a round: pods that want the same one share no node, and no pod goes where a DaemonSet's pod has its own.
//!
//! On a new claim a DaemonSet's ports keep a pod off the types only that get this DaemonSet.
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/scheduling`, `nodeclaim.go` and `existingnode.go`.

use std::collections::BTreeMap;

use super::topology::Host;
use super::{ExistingNode, Prepared};
use crate::actors::host_port::{HostPort, keep_apart};

/// Which pods with ports are where.
#[derive(Clone, Debug, Default)]
pub(super) struct HostPorts {
    /// By shape: those beside whose pods its own have no place.
    clashes: Vec<Vec<u32>>,
    /// Shapes with ports on a host.
    there: BTreeMap<Host, Vec<u32>>,
}

impl HostPorts {
    pub fn new(shapes: &[Prepared], nodes: &[ExistingNode]) -> HostPorts {
        if shapes.iter().all(|shape| shape.host_ports.is_empty()) {
            return HostPorts::default();
        }
        let clash = |a: &Prepared, b: &Prepared| clash(&a.host_ports, &b.host_ports);
        let of = |own: &Prepared| {
            (0..).zip(shapes).filter(|(_, other)| clash(own, other)).map(|(number, _)| number).collect()
        };
        let mut ports = HostPorts { clashes: shapes.iter().map(of).collect(), there: BTreeMap::new() };
        for (place, node) in (0..).zip(nodes) {
            let bound = node.pods.iter().filter(|(_, count)| *count > 0);
            bound.for_each(|(shape, _)| ports.record(*shape, Host::Node(place)));
        }
        ports
    }

    /// Has a pod on the host a port that one of the shape wants?
    pub fn are_taken(&self, shape: u32, host: Host) -> bool {
        let Some(clashes) = self.clashes.get(shape as usize).filter(|clashes| !clashes.is_empty()) else {
            return false;
        };
        self.there.get(&host).is_some_and(|there| there.iter().any(|other| clashes.contains(other)))
    }

    /// A pod of the shape went to the host.
    pub fn record(&mut self, shape: u32, host: Host) {
        if self.clashes.get(shape as usize).is_some_and(|clashes| !clashes.is_empty()) {
            self.there.entry(host).or_default().push(shape);
        }
    }
}

/// Can pods with these ports not share a node?
pub(super) fn clash(some: &[HostPort], others: &[HostPort]) -> bool {
    keep_apart(some, others, HostPort::clashes_for_karpenter)
}
