//! Names by which things are told apart: the API refuses two objects of a kind with one name.

use super::checked::{DaemonSetSpec, DeploymentSpec, NodePoolSpec, Scenario, SubnetSpec};
use crate::input::{Node, Problems};

/// Tells names that two of a kind have. Subnets may share theirs, a tag, but not in tables of results.
pub(super) fn check(scenario: &Scenario, root: &Node, problems: &mut Problems) {
    let of = |specs: &[DeploymentSpec]| specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
    let pools = scenario.node_pools.iter().map(|NodePoolSpec { name, .. }| name.clone()).collect();
    let daemons = scenario.daemonsets.iter().map(|DaemonSetSpec { name, .. }| name.clone()).collect();
    // Of those that nobody wrote, zones that end alike have the same.
    let written = if root.get("subnets").is_some() { scenario.subnets.as_slice() } else { &[] };
    let subnets = written.iter().map(|SubnetSpec { name, .. }| name.clone()).collect();
    let lists: [(&str, &str, Vec<String>); 5] = [
        ("deployments", "Deployments", of(&scenario.deployments)),
        ("jobs", "Jobs", of(&scenario.jobs)),
        ("daemonsets", "DaemonSets", daemons),
        ("node_pools", "NodePools", pools),
        ("subnets", "subnets, which tables of results tell apart by it", subnets),
    ];
    for zone in scenario.zones.iter().enumerate().filter(|(at, zone)| scenario.zones[..*at].contains(zone)) {
        let what = format!("{:?} is there twice", zone.1);
        problems.add(
            root.origin_of("zones"),
            "zones",
            what,
            Some("a zone may have several [[subnets]]".into()),
        );
    }
    for (list, kind, names) in lists {
        for (index, name) in names.iter().enumerate().filter(|(index, name)| names[..*index].contains(name)) {
            let key = format!("{list}[{index}].name");
            let what = format!("{name:?} is the name of two {kind}");
            problems.add(root.origin_of(&key), &key, what, Some("give one of them another".into()));
        }
    }
}
