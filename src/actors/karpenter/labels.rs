//! A type's labels, and whether one requirement lets it through.
//!
//! Source: karpenter-provider-aws v1.14.1, `computeRequirements`; kubernetes-sigs/karpenter `pkg/scheduling/requirement.go`.

use crate::catalogue::{Hypervisor, InstanceType};

/// How a requirement's values are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    Gte,
    Lte,
}

/// The value of a label; `None`: the type does not carry it.
pub fn label(instance: &InstanceType, key: &str) -> Option<String> {
    fn text<T: ToString>(value: Option<T>) -> Option<String> {
        value.map(|value| value.to_string())
    }
    let positive = |count: u32| (count > 0).then(|| count.to_string());
    match key {
        "node.kubernetes.io/instance-type" => Some(instance.name.clone()),
        "kubernetes.io/os" => Some("linux".into()),
        "kubernetes.io/arch" => instance.architecture.map(|architecture| architecture.label().into()),
        _ => match key.strip_prefix("karpenter.k8s.aws/instance-")? {
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
            "network-bandwidth" => text(instance.network_mbps),
            "local-nvme" => positive(instance.local_nvme_gb),
            "gpu-count" => positive(instance.gpu_count),
            "gpu-name" => instance.gpu_name.clone(),
            "gpu-manufacturer" => instance.gpu_manufacturer.clone(),
            "gpu-memory" => text(instance.gpu_memory_mib_each),
            "accelerator-count" => positive(instance.accelerator_count),
            "accelerator-name" => instance.accelerator_name.clone(),
            "accelerator-manufacturer" => instance.accelerator_manufacturer.clone(),
            _ => None,
        },
    }
}

/// Does a label's value pass? A missing label passes only NotIn and DoesNotExist.
pub fn passes(value: Option<&str>, operator: Operator, values: &[String]) -> bool {
    let Some(value) = value else { return matches!(operator, Operator::NotIn | Operator::DoesNotExist) };
    let listed = || values.iter().any(|known| known == value);
    let compared =
        |test: fn(&i64, &i64) -> bool| match (value.parse(), values.first().map(|bound| bound.parse())) {
            (Ok(value), Some(Ok(bound))) => test(&value, &bound),
            _ => false,
        };
    match operator {
        Operator::In => listed(),
        Operator::NotIn => !listed(),
        Operator::Exists => true,
        Operator::DoesNotExist => false,
        Operator::Gt => compared(i64::gt),
        Operator::Lt => compared(i64::lt),
        Operator::Gte => compared(i64::ge),
        Operator::Lte => compared(i64::le),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn requirements_meet_labels_as_in_karpenter() {
        let catalogue = Catalogue::compiled_in();
        let m5 = catalogue.get(catalogue.find("m5.large").unwrap());
        let check = |key: &str, operator, values: &[&str], wanted| {
            let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
            assert_eq!(
                passes(label(m5, key).as_deref(), operator, &values),
                wanted,
                "{key} {operator:?} {values:?}"
            );
        };
        check("karpenter.k8s.aws/instance-category", Operator::In, &["c", "m", "r"], true);
        check("karpenter.k8s.aws/instance-generation", Operator::Gt, &["2"], true);
        check("karpenter.k8s.aws/instance-generation", Operator::Gt, &["5"], false);
        check("karpenter.k8s.aws/instance-cpu", Operator::Lt, &["33"], true);
        check("karpenter.k8s.aws/instance-local-nvme", Operator::Gt, &["0"], false);
        check("karpenter.k8s.aws/instance-local-nvme", Operator::DoesNotExist, &[], true);
        check("karpenter.k8s.aws/instance-gpu-name", Operator::NotIn, &["t4"], true);
        check("kubernetes.io/arch", Operator::In, &["arm64"], false);
    }
}
