//! Runs in which others' whereabouts keep the last pods off for good, and how such a run is told.

mod common {
    pub mod runs;
}

use common::runs::{prepare, run};
use kilopod::components::{Wishes, tell};
use kilopod::results::Outcome;
use kilopod::world::cause::Cause;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

fn scenario_of(more: &str, deployments: &[String], pool: &str) -> String {
    let mut text = format!("subnet_prefix_length = 19\nhorizon = \"15 min\"\n{more}\n");
    for deployment in deployments {
        text +=
            &format!("[[deployments]]\ncpu = \"1\"\nmemory = \"2 GiB\"\nimage = \"0 MB\"\n{deployment}\n");
    }
    text + "[[node_pools]]\ninstance_types = [\"m5.xlarge\"]\ncapacity_types = [\"on-demand\"]\n"
        + pool
        + "\n"
}

/// What keeps a Deployment's pods off, its own or the other's.
fn placements(other: &str) -> [String; 8] {
    [
        format!("pod_anti_affinity = [\"{ZONE}\"]"),
        format!("topology_spread = [{{ topology_key = \"{ZONE}\", min_domains = 4 }}]"),
        format!("topology_spread = [{{ topology_key = \"{ZONE}\" }}, {{ topology_key = \"{HOST}\" }}]"),
        format!("pod_anti_affinity = [{{ topology_key = \"{ZONE}\", deployments = [\"{other}\"] }}]"),
        format!("pod_affinity = [{{ topology_key = \"{ZONE}\", deployments = [\"{other}\"] }}]"),
        format!("node_selector = {{ \"{ZONE}\" = \"us-east-1b\" }}\npod_anti_affinity = [\"{HOST}\"]"),
        format!("pod_affinity = [\"{HOST}\"]\nhost_ports = [80]"),
        "priority = 5\nhost_ports = [80]".to_owned(),
    ]
}

/// Two Deployments in every mix, the second often of higher priority: a run that is called stuck gets no further when it goes on
/// all the same.
#[test]
fn pods_that_are_kept_off_for_good_never_come() {
    let mut stuck = 0;
    for (place, a) in placements("b").into_iter().enumerate() {
        for b in placements("a") {
            let node = "static_nodes = [{ count = 1, instance_type = \"m5.xlarge\" }]";
            for (more, pool) in [("", ""), ("", "limits = { nodes = 4 }"), (node, "limits = { nodes = 1 }")] {
                let priority = if b.contains("priority") || place % 2 == 0 { "" } else { "priority = 3" };
                let a = format!("name = \"a\"\nreplicas = 5\n{a}");
                let b =
                    format!("name = \"b\"\nschedule = [{{ at = \"20 s\", replicas = 4 }}]\n{priority}\n{b}");
                let text = scenario_of(more, &[a, b], pool);
                let prepared = prepare(&text);
                let called = tell(&prepared, 1, 0, Wishes::default()).record;
                if called.outcome != Outcome::Stuck {
                    continue;
                }
                stuck += 1;
                let on = Wishes { stop_when_stuck: false, ..Wishes::default() };
                let later = tell(&prepared, 1, 0, on).record;
                assert_eq!(later.pods_ready_at_end, called.pods_ready_at_end, "{text}");
                assert_ne!(later.outcome, Outcome::Reached, "{text}");
            }
        }
    }
    assert!(stuck >= 60, "{stuck} runs were stuck");
}

/// What keeps a pod off is told, not a limit that leaves room.
#[test]
fn a_limit_that_leaves_room_is_not_told_for_a_spread() {
    let spread = format!("{{ topology_key = \"{ZONE}\", max_skew = 2, min_domains = 4 }}");
    let app = format!("replicas = 12\ntopology_spread = [{spread}]");
    for (nodes, cause) in [(40, Cause::NoInstanceType), (1, Cause::PoolLimit)] {
        let pool = format!("limits = {{ nodes = {nodes} }}");
        let told = run(&scenario_of("", std::slice::from_ref(&app), &pool));
        assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(cause)), "{nodes}");
    }
}

/// A host port of which each of three nodes has but one, which is no want of addresses.
#[test]
fn a_host_port_that_nobody_gives_back_ends_a_run() {
    let nodes = "static_nodes = [{ count = 3, instance_type = \"m5.xlarge\" }]";
    let app = "replicas = 5\nhost_ports = [80]".to_owned();
    let told = run(&scenario_of(nodes, &[app], "limits = { nodes = 0 }"));
    assert_eq!((told.record.outcome, told.record.pods_ready_at_end), (Outcome::Stuck, 3));
    assert_eq!(told.record.reason, Some(Cause::PoolLimit));
}

/// Room in zones that a pod cannot go to does not help it.
#[test]
fn a_dry_zone_is_told_to_those_that_can_go_nowhere_else() {
    let selects = format!("node_selector = {{ \"{ZONE}\" = \"us-east-1a\" }}");
    let volume = "volumes = [{ zones = [\"us-east-1a\"] }]".to_owned();
    for placement in [selects, volume] {
        let subnets: String = [("a", 27), ("b", 22)]
            .map(|(zone, length)| {
                format!("[[subnets]]\nzone = \"us-east-1{zone}\"\nprefix_length = {length}\n")
            })
            .concat();
        let text = scenario_of("", &[format!("replicas = 60\n{placement}\n{subnets}")], "");
        let text = text.replace("subnet_prefix_length = 19\n", "");
        let told = run(&text);
        let (outcome, reason) = (told.record.outcome, told.record.reason);
        assert_eq!((outcome, reason), (Outcome::Stuck, Some(Cause::AddressSubnetDry)), "{text}");
    }
}
