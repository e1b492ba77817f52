//! What kube-scheduler sees of a node and of the pod it places.

use std::collections::BTreeMap;

use super::spread::Constraint;
use crate::actors::host_port::HostPort;
use crate::actors::node_affinity::NodeAffinity;
use crate::actors::pod_affinity::PodAffinity;
use crate::actors::taints::{Taint, Toleration};
use crate::units::{MIB, Resources};

/// The versions whose filters and scores differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    V1_24,
    V1_30,
    V1_34,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    pub name: String,
    pub size_bytes: i64,
}

/// A node as the scheduler's cache holds it.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub allocatable: Resources,
    /// What the pods on it declare, and their number.
    pub requested: Resources,
    /// The same, with [`MISSING_CPU_MILLIS`] and [`MISSING_MEMORY_BYTES`] for what a container does not declare.
    pub non_zero_requested: Resources,
    /// Pods on it that the selector of the pod's spreading matches.
    pub matching_pods: i64,
    /// Pods on it that have to do with affinity between pods.
    pub pods: Vec<Others>,
    /// Host ports that pods on it have.
    pub used_ports: Vec<HostPort>,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub images: Vec<Image>,
}

/// Pods of one kind on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Others {
    pub kind: u32,
    pub count: i64,
    pub pod_affinity: PodAffinity,
}

/// What a container that does not declare cpu or memory counts for in the scores of NodeResourcesFit.
pub const MISSING_CPU_MILLIS: i64 = 100;
pub const MISSING_MEMORY_BYTES: i64 = 200 * MIB;

/// `None`: not declared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Container {
    pub cpu_millis: Option<i64>,
    pub memory_bytes: Option<i64>,
    pub image: Option<String>,
}

/// Where the constraints of a pod's topology spread come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spreading {
    /// No constraints of its own, and no owner or service to derive a selector from.
    None,
    /// The system's defaults with the owner's selector.
    Defaults,
    Own(Vec<Constraint>),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Pod {
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
    pub node_selector: BTreeMap<String, String>,
    pub node_affinity: NodeAffinity,
    pub tolerations: Vec<Toleration>,
    pub host_ports: Vec<HostPort>,
    pub spreading: Spreading,
    /// By which terms of affinity tell it.
    pub kind: u32,
    pub pod_affinity: PodAffinity,
}

impl Pod {
    /// The larger of all containers together and the largest init container; one pod.
    pub fn requests(&self) -> Resources {
        self.sum(0, 0)
    }
    /// The same, with the defaults for what is not declared, container by container.
    pub fn non_zero_requests(&self) -> Resources {
        self.sum(MISSING_CPU_MILLIS, MISSING_MEMORY_BYTES)
    }

    fn sum(&self, missing_cpu: i64, missing_memory: i64) -> Resources {
        let of = |container: &Container| {
            let cpu = container.cpu_millis.unwrap_or(missing_cpu);
            Resources::new(cpu, container.memory_bytes.unwrap_or(missing_memory), 0)
        };
        let together = self.containers.iter().map(of).fold(Resources::ZERO, |sum, one| sum + one);
        let most = self.init_containers.iter().map(of).fold(together, |most, one| {
            Resources::new(most.cpu_millis.max(one.cpu_millis), most.memory_bytes.max(one.memory_bytes), 0)
        });
        Resources { pods: 1, ..most }
    }
}
