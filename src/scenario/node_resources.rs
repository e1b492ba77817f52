//! What a node of an instance type has and leaves to pods, by the scenario's settings.

use super::checked::{AmiFamily, NodeOverhead, Scenario};
use crate::actors::karpenter::{NodeFamily, NodeSettings, allocatable, capacity};
use crate::catalogue::InstanceType;
use crate::units::{ExtendedCounts, ExtendedResource, Resources};

impl Scenario {
    /// Capacity and allocatable of a node of this type; `None` where the catalogue does not say enough.
    pub fn node_resources(&self, found: &InstanceType, family: AmiFamily) -> Option<(Resources, Resources)> {
        let settings = NodeSettings {
            family: match family {
                AmiFamily::Bottlerocket => NodeFamily::Bottlerocket,
                AmiFamily::Al2 | AmiFamily::Al2023 => NodeFamily::Amazon,
            },
            max_pods: self.cni.max_pods,
            reserved_enis: self.karpenter.reserved_enis,
            vm_memory_overhead_percent: self.karpenter.vm_memory_overhead_percent,
            extended: self.extended_asked(),
        };
        let all = capacity(found, &settings)?;
        let left = match self.overhead {
            NodeOverhead::Eks => allocatable(found, &settings)?,
            NodeOverhead::Fixed { cpu_millis, memory_bytes } => {
                all - Resources::new(cpu_millis, memory_bytes, 0)
            }
        };
        Some((all, left))
    }
    /// Extended resources that matter here: pods ask for them, or pools limit them.
    pub fn extended_asked(&self) -> ExtendedCounts {
        let pods = self.deployments.iter().chain(&self.jobs).map(|spec| spec.requests.extended);
        let limited = self.node_pools.iter().flat_map(|pool| pool.extended_limits.iter());
        let asked = limited
            .fold(pods.fold(ExtendedCounts::ZERO, ExtendedCounts::most), |all, (resource, _)| {
                all.with(*resource, 1)
            });
        asked.with(ExtendedResource::PodEni, self.cni.pod_eni.into())
    }
    /// What DaemonSets' pods ask for on every node whose taints keep none of them off: those that choose nodes by labels
    /// are not among them.
    pub fn daemon_requests(&self) -> Resources {
        let daemons = self.daemonsets.iter().filter(|daemon| daemon.placement.takes_any_labels());
        daemons.fold(Resources::ZERO, |sum, daemon| sum + daemon.requests)
    }
}
