//! `[[node_pools]]`: what Karpenter makes nodes from.

use super::checked::*;
use super::workload::known_type;
use super::{disruption, extended, placement};
use crate::catalogue::Catalogue;
use crate::input::{Problems, Section, nearest};
use crate::units::SimTime;

/// Left out, one of any type that is not bare metal, on-demand.
pub(super) fn node_pools(
    root: &mut Section<'_>,
    profile: Profile,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Vec<NodePoolSpec> {
    // Amazon Linux 2023 came in 2023.
    let family = if profile == Profile::Nov2022 { AmiFamily::Al2 } else { AmiFamily::Al2023 };
    let clock = disruption::Clock::read(root, problems);
    let Some(sections) = root.sections("node_pools", problems) else {
        return vec![NodePoolSpec {
            name: "default".into(),
            weight: 0,
            requirements: vec![is_in("karpenter.sh/capacity-type", vec!["on-demand".into()])],
            cpu_limit_millis: None,
            memory_limit_bytes: None,
            node_limit: None,
            extended_limits: Vec::new(),
            labels: Default::default(),
            taints: Vec::new(),
            startup_taints: Vec::new(),
            ami_family: family,
            disruption: None,
            expire_after: None,
            termination_grace_period: None,
            drift_at: None,
        }];
    };
    let each = |(index, mut section): (usize, Section<'_>)| {
        let requirements = requirements(&mut section, catalogue, problems);
        let (mut limits, mut extended_limits) = ((None, None, None), Vec::new());
        if let Some(mut part) = section.section("limits", problems) {
            limits = read_limits(&mut part, problems);
            extended_limits = extended::limits(&mut part, problems);
            part.finish(problems);
        }
        let (cpu_limit_millis, memory_limit_bytes, node_limit) = limits;
        let families = [
            ("AL2", AmiFamily::Al2),
            ("AL2023", AmiFamily::Al2023),
            ("Bottlerocket", AmiFamily::Bottlerocket),
        ];
        let pool = NodePoolSpec {
            name: section.text("name", problems).unwrap_or_else(|| format!("pool-{}", index + 1)),
            weight: section.whole("weight", 0, 100, problems).unwrap_or(0),
            requirements,
            cpu_limit_millis,
            memory_limit_bytes,
            node_limit,
            extended_limits,
            labels: placement::pool_labels(&mut section, problems),
            taints: placement::taints(&mut section, problems),
            startup_taints: placement::startup_taints(&mut section, problems),
            ami_family: section.choice("ami_family", &families, problems).unwrap_or(family),
            disruption: section
                .section("disruption", problems)
                .map(|part| disruption::read(part, clock, problems)),
            expire_after: disruption::expire_after(&mut section, problems),
            termination_grace_period: section.span("termination_grace_period", problems),
            drift_at: section.span("drift_at", problems).map(|at| SimTime::ZERO + at),
        };
        section.finish(problems);
        pool
    };
    sections.into_iter().enumerate().map(each).collect()
}

/// `requirements`, and those that `instance_types` and `capacity_types` stand for.
fn requirements(
    section: &mut Section<'_>,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Vec<NodeSelectorRequirement> {
    let mut requirements = Vec::new();
    if let Some(types) = section.texts("instance_types", problems) {
        for name in &types {
            known_type(name, catalogue, section, "instance_types", problems);
        }
        requirements.push(is_in("node.kubernetes.io/instance-type", types));
    }
    if let Some(capacity) = section.texts("capacity_types", problems) {
        let known = ["spot", "on-demand", "reserved"];
        if let Some(odd) = capacity.iter().find(|name| !known.contains(&name.as_str())) {
            let what = format!("{odd:?} is not one of {}", known.join(", "));
            let hint = nearest(odd, &known).map(|near| format!("did you mean {near:?}?"));
            problems.add(section.origin_of("capacity_types"), &section.key("capacity_types"), what, hint);
        }
        requirements.push(is_in("karpenter.sh/capacity-type", capacity));
    }
    for mut entry in section.sections("requirements", problems).unwrap_or_default() {
        requirements.extend(requirement(&mut entry, problems));
        entry.finish(problems);
    }
    requirements
}

/// `limits`: thousandths of a CPU, bytes of memory, nodes.
fn read_limits(limits: &mut Section<'_>, problems: &mut Problems) -> (Option<i64>, Option<i64>, Option<i64>) {
    let cpu = limits.cpu("cpu", problems);
    let memory = limits.bytes("memory", problems);
    let nodes = limits.whole("nodes", 0, 1_000_000, problems).map(i64::from);
    (cpu, memory, nodes)
}

fn is_in(key: &str, values: Vec<String>) -> NodeSelectorRequirement {
    NodeSelectorRequirement { key: key.to_string(), operator: Operator::In, values, min_values: None }
}

pub(super) fn requirement(
    entry: &mut Section<'_>,
    problems: &mut Problems,
) -> Option<NodeSelectorRequirement> {
    let key = entry.text("key", problems);
    let operator = entry.choice("operator", &Operator::ALL, problems);
    let values = entry.texts("values", problems).unwrap_or_default();
    let min_values = entry.whole("min_values", 1, 50, problems);
    let (Some(key), Some(operator)) = (key, operator) else {
        problems.add(
            entry.origin_of("key"),
            &entry.key("key"),
            "a requirement has a key, an operator and values",
            None,
        );
        return None;
    };
    let bound = matches!(operator, Operator::Gt | Operator::Lt | Operator::Gte | Operator::Lte);
    let wrong = match operator {
        Operator::In if values.is_empty() => Some("In needs values"),
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            Some("this operator takes no values")
        }
        _ if bound && (values.len() != 1 || values[0].parse::<u64>().is_err()) => {
            Some("a bound takes exactly one whole number, in quotes")
        }
        _ => None,
    };
    if let Some(what) = wrong {
        problems.add(entry.origin_of("values"), &entry.key("values"), what, None);
    }
    Some(NodeSelectorRequirement { key, operator, values, min_values })
}
