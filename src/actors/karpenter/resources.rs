//! Capacity and allocatable of an instance type as Karpenter predicts them before a node exists.
//!
//! Left out: memory learned from nodes that have joined, user-set reservations and eviction thresholds,
//! hugepages. Source: karpenter-provider-aws v1.14.1, `pkg/providers/instancetype/types.go`.

use crate::catalogue::{Architecture, InstanceType};
use crate::units::{ExtendedCounts, MIB, Resources};

/// How the AMI family lets kubelet reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeFamily {
    /// AL2, AL2023 and custom AMIs: memory is reserved by the pods the interfaces allow.
    Amazon,
    /// Bottlerocket: by the pods kubelet allows.
    Bottlerocket,
}

/// What bears on every type of a node class.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NodeSettings {
    pub family: NodeFamily,
    /// kubelet's `maxPods`, where the node class sets it.
    pub max_pods: Option<u32>,
    /// `RESERVED_ENIS`.
    pub reserved_enis: u32,
    /// `VM_MEMORY_OVERHEAD_PERCENT`, a fraction in spite of its name: 0.075.
    pub vm_memory_overhead_percent: f64,
    /// Extended resources that are counted: those of which there are any here. Karpenter counts all; it matters to pods that
    /// ask for them, and to pools that limit them.
    pub extended: ExtendedCounts,
}

impl Default for NodeSettings {
    /// AL2023 with Karpenter's default settings.
    fn default() -> Self {
        NodeSettings {
            family: NodeFamily::Amazon,
            max_pods: None,
            reserved_enis: 0,
            vm_memory_overhead_percent: 0.075,
            extended: ExtendedCounts::ZERO,
        }
    }
}

/// kubelet's eviction threshold on free memory (MiB).
const EVICTION_MIB: i64 = 100;

/// What the node's status will say it has. `None`: the catalogue does not know the type well enough.
pub fn capacity(instance: &InstanceType, settings: &NodeSettings) -> Option<Resources> {
    let cpu_millis = i64::from(instance.vcpus?) * 1_000;
    // The firmware of arm64 machines keeps 64 MiB.
    let firmware = if instance.architecture? == Architecture::Arm64 { 64 } else { 0 };
    let raw = (i64::try_from(instance.memory_mib?).ok()? - firmware) * MIB;
    // In double precision, multiplied and divided in the program's order, then rounded up to whole MiB.
    let lost = raw as f64 * settings.vm_memory_overhead_percent / 1024.0 / 1024.0;
    let pods = match settings.max_pods {
        Some(pods) => pods,
        None => eni_limited_pods(instance, settings.reserved_enis)?,
    };
    let capacity = Resources::new(cpu_millis, raw - lost.ceil() as i64 * MIB, i64::from(pods));
    let counted = settings.extended.present();
    let extended = counted.fold(ExtendedCounts::ZERO, |all, resource| {
        all.with(resource, instance.devices(resource).min(ExtendedCounts::MOST).into())
    });
    Some(Resources { extended, ..capacity })
}

/// What kubelet keeps back for itself and the container runtime.
pub fn kube_reserved(instance: &InstanceType, settings: &NodeSettings) -> Option<Resources> {
    let millis = i64::from(instance.vcpus?) * 1_000;
    // Each band: up to this many millicores, this share in 1/10,000, cut to whole millicores by itself.
    let bands = [(1_000, 600), (2_000, 100), (4_000, 50), (i64::MAX, 25)];
    let (mut reserved, mut below) = (0, 0);
    for (up_to, share) in bands {
        reserved += (millis.min(up_to) - below).max(0) * share / 10_000;
        below = up_to;
    }
    let pods = match settings.family {
        NodeFamily::Amazon => i64::from(eni_limited_pods(instance, 0)?),
        NodeFamily::Bottlerocket => capacity(instance, settings)?.pods,
    };
    Some(Resources::new(reserved, (11 * pods + 255) * MIB, 0))
}

/// What pods may request on a node of this type.
pub fn allocatable(instance: &InstanceType, settings: &NodeSettings) -> Option<Resources> {
    let eviction = Resources::new(0, EVICTION_MIB * MIB, 0);
    Some(capacity(instance, settings)? - kube_reserved(instance, settings)? - eviction)
}

/// Pods that the default card's interfaces allow; 0 if `reserved` leaves none.
fn eni_limited_pods(instance: &InstanceType, reserved: u32) -> Option<u32> {
    let usable = instance.max_enis?.saturating_sub(reserved);
    Some(if usable == 0 { 0 } else { usable * instance.ipv4_per_eni?.checked_sub(1)? + 2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn check(name: &str, settings: NodeSettings, reserved_mib: i64, pods: i64) {
        let catalogue = Catalogue::compiled_in();
        let instance = catalogue.get(catalogue.find(name).unwrap());
        let reserved = kube_reserved(instance, &settings).unwrap();
        let got = (reserved.memory_bytes / MIB, capacity(instance, &settings).unwrap().pods);
        assert_eq!(got, (reserved_mib, pods), "{name}, {settings:?}");
    }

    #[test]
    fn bottlerocket_reserves_by_max_pods_and_others_by_interfaces() {
        let standard = NodeSettings::default();
        check("t3.large", NodeSettings { max_pods: Some(10), ..standard }, 640, 10);
        let family = NodeFamily::Bottlerocket;
        check("t3.large", NodeSettings { family, max_pods: Some(10), ..standard }, 365, 10);
        check("m5.xlarge", standard, 893, 58);
    }

    #[test]
    fn reserved_enis_lower_the_pods_but_not_the_reservation() {
        check("m5.xlarge", NodeSettings { reserved_enis: 1, ..NodeSettings::default() }, 893, 44);
        check("m5.xlarge", NodeSettings { reserved_enis: 9, ..NodeSettings::default() }, 893, 0);
    }
}
