//! The labels that Karpenter knows of an instance type, and which labels a pod may name.
//!
//! Source: karpenter-provider-aws v1.14.1, `computeRequirements` and `pkg/apis/v1/labels.go`; kubernetes-sigs/karpenter
//! v1.14.0, `pkg/apis/v1/labels.go`.

use super::requirement::{Requirement, Requirements};
use crate::catalogue::{Hypervisor, InstanceType};

pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
pub const ZONE: &str = "topology.kubernetes.io/zone";
pub const REGION: &str = "topology.kubernetes.io/region";
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Labels of Kubernetes and Karpenter that have a meaning beside those of the instance.
const WELL_KNOWN: [&str; 14] = [
    NODE_POOL,
    ZONE,
    REGION,
    INSTANCE_TYPE,
    "kubernetes.io/arch",
    "kubernetes.io/os",
    CAPACITY_TYPE,
    "node.kubernetes.io/windows-build",
    "topology.k8s.aws/zone-id",
    "karpenter.k8s.aws/capacity-reservation-id",
    "karpenter.k8s.aws/capacity-reservation-type",
    "karpenter.k8s.aws/capacity-reservation-interruptible",
    "karpenter.k8s.aws/placement-group-id",
    "karpenter.k8s.aws/placement-group-partition",
];

/// Well known, and on no Linux type without a capacity reservation.
const NOT_ON_TYPES: [&str; 4] = [
    "node.kubernetes.io/windows-build",
    "karpenter.k8s.aws/capacity-reservation-id",
    "karpenter.k8s.aws/capacity-reservation-type",
    "karpenter.k8s.aws/capacity-reservation-interruptible",
];

const INSTANCE: &str = "karpenter.k8s.aws/instance-";
/// Labels of instances; a type carries those that apply to it.
const INSTANCE_LABELS: [&str; 21] = [
    "karpenter.k8s.aws/instance-hypervisor",
    "karpenter.k8s.aws/instance-encryption-in-transit-supported",
    "karpenter.k8s.aws/instance-category",
    "karpenter.k8s.aws/instance-capability-flex",
    "karpenter.k8s.aws/instance-family",
    "karpenter.k8s.aws/instance-generation",
    "karpenter.k8s.aws/instance-size",
    "karpenter.k8s.aws/instance-local-nvme",
    "karpenter.k8s.aws/instance-cpu",
    "karpenter.k8s.aws/instance-cpu-manufacturer",
    "karpenter.k8s.aws/instance-cpu-sustained-clock-speed-mhz",
    "karpenter.k8s.aws/instance-memory",
    "karpenter.k8s.aws/instance-ebs-bandwidth",
    "karpenter.k8s.aws/instance-network-bandwidth",
    "karpenter.k8s.aws/instance-gpu-name",
    "karpenter.k8s.aws/instance-gpu-manufacturer",
    "karpenter.k8s.aws/instance-gpu-count",
    "karpenter.k8s.aws/instance-gpu-memory",
    "karpenter.k8s.aws/instance-accelerator-name",
    "karpenter.k8s.aws/instance-accelerator-manufacturer",
    "karpenter.k8s.aws/instance-accelerator-count",
];
const TENANCY: &str = "karpenter.k8s.aws/instance-tenancy";

/// May a pod name the label though nothing defines it?
pub fn is_well_known(key: &str) -> bool {
    key == TENANCY || WELL_KNOWN.contains(&key) || INSTANCE_LABELS.contains(&key)
}

/// The present name of a label.
pub fn normalized(key: &str) -> &str {
    match key {
        "failure-domain.beta.kubernetes.io/zone" => ZONE,
        "failure-domain.beta.kubernetes.io/region" => REGION,
        "beta.kubernetes.io/arch" => "kubernetes.io/arch",
        "beta.kubernetes.io/os" => "kubernetes.io/os",
        "beta.kubernetes.io/instance-type" => INSTANCE_TYPE,
        _ => key,
    }
}

/// May a pod select this? Karpenter leaves pods that may not out of its rounds.
pub fn may_select(key: &str, value: &str) -> bool {
    let key = normalized(key);
    let known_value = match key {
        CAPACITY_TYPE => matches!(value, "spot" | "on-demand" | "reserved"),
        TENANCY => matches!(value, "default" | "dedicated"),
        _ => true,
    };
    known_value && !is_restricted(key) && is_label_value(value)
}

fn is_restricted(key: &str) -> bool {
    if is_well_known(key) {
        return false;
    }
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let inside =
        |own: &str| domain == own || domain.strip_suffix(own).is_some_and(|rest| rest.ends_with('.'));
    key == HOSTNAME || inside("karpenter.sh") || inside("karpenter.k8s.aws")
}

/// At most 63 letters, digits and `-_.`, the first and last of them a letter or digit; or nothing.
pub fn is_label_value(value: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && ends(value.chars().next())
        && ends(value.chars().last())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The value of a label of the instance; `None`: the type does not carry it.
fn instance_label(instance: &InstanceType, rest: &str) -> Option<String> {
    fn text<T: ToString>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let positive = |count: u32| (count > 0).then(|| count.to_string());
    match rest {
        "category" => Some(instance.category.clone()),
        "family" => Some(instance.family.clone()),
        "size" => Some(instance.size.clone()),
        "generation" => text(instance.generation),
        "cpu" => text(instance.vcpus),
        "memory" => text(instance.memory_mib),
        "cpu-manufacturer" => instance.cpu_manufacturer.clone(),
        "cpu-sustained-clock-speed-mhz" => Some(instance.cpu_mhz.unwrap_or(0).to_string()),
        "hypervisor" => instance.hypervisor.map(|hypervisor| match hypervisor {
            Hypervisor::Nitro => "nitro".into(),
            Hypervisor::Xen => "xen".into(),
            Hypervisor::Metal => String::new(),
        }),
        "capability-flex" => Some(instance.flex.to_string()),
        "ebs-bandwidth" => text(instance.ebs_mbps),
        // f1 is not in Karpenter's own table (karpenter-provider-aws 1d92708, `zz_generated.bandwidth.go`).
        "network-bandwidth" => text(instance.network_mbps.filter(|_| instance.family != "f1")),
        "local-nvme" => positive(instance.local_nvme_gb),
        // A part of a GPU (g6f) is a GPU of which there are none.
        "gpu-count" => instance.gpu_name.as_ref().map(|_| instance.gpu_count.to_string()),
        "gpu-name" => instance.gpu_name.clone(),
        "gpu-manufacturer" => instance.gpu_manufacturer.clone(),
        "gpu-memory" => text(instance.gpu_memory_mib_each),
        "accelerator-count" => positive(instance.accelerator_count),
        "accelerator-name" => instance.accelerator_name.clone(),
        "accelerator-manufacturer" => instance.accelerator_manufacturer.clone(),
        // The catalogue does not know it.
        _ => None,
    }
}

/// A type's labels as requirements: zones and capacity types are those it is offered in, and a label of instances that
/// it does not carry must not be there. Only labels that are `wanted`; of others nobody asks.
pub fn type_requirements(
    instance: &InstanceType,
    region: &str,
    zones: &[String],
    capacity_types: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> Requirements {
    let mut requirements = Requirements::default();
    let mut add = |key: &str, values: &[String]| {
        if wanted(key) {
            requirements.add(key, &Requirement::any_of(values.to_vec()));
        }
    };
    add(INSTANCE_TYPE, std::slice::from_ref(&instance.name));
    add("kubernetes.io/os", &["linux".into()]);
    add(REGION, &[region.into()]);
    add(ZONE, zones);
    add(CAPACITY_TYPE, &capacity_types.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>());
    let architecture = instance.architecture.map(|architecture| architecture.label().to_owned());
    add("kubernetes.io/arch", architecture.as_slice());
    for key in INSTANCE_LABELS {
        let rest = key.strip_prefix(INSTANCE).expect("a label of instances");
        add(key, instance_label(instance, rest).as_slice());
    }
    add(TENANCY, &["default".into(), "dedicated".into()]);
    NOT_ON_TYPES.iter().for_each(|absent| add(absent, &[]));
    requirements
}

#[cfg(test)]
mod tests {
    use super::super::requirement::Operator;
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn requirements_meet_labels_as_in_karpenter() {
        let catalogue = Catalogue::compiled_in();
        let m5 = catalogue.get(catalogue.find("m5.large").unwrap());
        let labels =
            type_requirements(m5, "us-east-1", &["us-east-1a".into()], &["on-demand", "spot"], |_| true);
        let check = |key: &str, operator, values: &[&str], wanted| {
            let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
            let mut pool = Requirements::default();
            pool.add(key, &Requirement::new(operator, &values, None));
            assert_eq!(labels.intersects(&pool), wanted, "{key} {operator:?} {values:?}");
        };
        check("karpenter.k8s.aws/instance-category", Operator::In, &["c", "m", "r"], true);
        check("karpenter.k8s.aws/instance-generation", Operator::Gt, &["2"], true);
        check("karpenter.k8s.aws/instance-generation", Operator::Gt, &["5"], false);
        check("karpenter.k8s.aws/instance-cpu", Operator::Lt, &["33"], true);
        check("karpenter.k8s.aws/instance-local-nvme", Operator::Gt, &["0"], false);
        check("karpenter.k8s.aws/instance-local-nvme", Operator::DoesNotExist, &[], true);
        check("karpenter.k8s.aws/instance-gpu-name", Operator::NotIn, &["t4"], true);
        check("kubernetes.io/arch", Operator::In, &["arm64"], false);
        check("karpenter.k8s.aws/capacity-reservation-id", Operator::Exists, &[], false);
    }

    #[test]
    fn restricted_labels_cannot_be_selected() {
        let check =
            |key: &str, value: &str, wanted| assert_eq!(may_select(key, value), wanted, "{key}={value}");
        check(HOSTNAME, "n1", false);
        check("karpenter.sh/initialized", "true", false);
        check("karpenter.k8s.aws/ec2nodeclass", "default", false);
        check("karpenter.sh/nodepool", "default", true);
        check(CAPACITY_TYPE, "cheap", false);
        check("team", "a", true);
        check("team", "-a", false);
    }
}
