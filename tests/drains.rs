//! Whom drains wait for in whole runs: waves, protected pods, and the end of a claim's grace period.

use std::path::Path;
use std::sync::Arc;

use kilopod::actors::karpenter::disruption::Reason;
use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problem, Problems};
use kilopod::scenario;
use serde_json::Value;

/// Six pods, two a node, for half an hour; the pool and the Deployment say more.
fn read(pool: &str, deployment: &str) -> Result<Prepared, Vec<Problem>> {
    let text = format!(
        "horizon = \"40 min\"\nuntil = \"horizon\"\n[cni]\nmode = \"none\"\n[[deployments]]\nname = \"app\"\ncpu = \"1500m\"\n\
         memory = \"2 GiB\"\n{deployment}\n[[node_pools]]\ninstance_types = [\"m5.xlarge\"]\ncapacity_types = [\"on-demand\"]\n{pool}\n"
    );
    let mut problems = Problems::default();
    let document = Document::parse("drains.toml", &text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    scenario::read(&document, "drains", Path::new("."), &Arc::new(Catalogue::compiled_in()))
        .map(|read| Prepared::new(read.scenario))
}
fn run(pool: &str, deployment: &str) -> Told {
    let prepared = read(pool, deployment).unwrap_or_else(|problems| panic!("{problems:#?}"));
    tell(&prepared, 5, 0, Wishes { check: true, trace: true, ..Wishes::default() })
}
/// When this happened (s), and to which pod or node.
fn times(told: &Told, event: &str, whom: &str) -> Vec<(f64, u64)> {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let those = all.filter(|line| line["event"] == event);
    those.map(|line| (line["at_ms"].as_f64().unwrap() / 1e3, line[whom].as_u64().unwrap_or(0))).collect()
}
const SIX: &str = "replicas = 6\n";

/// Two of four pods go, so that one node could take all that are left.
#[test]
fn a_protected_pod_keeps_its_node() {
    let shrinks = "schedule = [{ at = \"0 s\", replicas = 6 }, { at = \"10 min\", replicas = 2 }]\n";
    let free = "disruption = { budgets = [{ nodes = \"100%\" }] }";
    let removed = |protection: &str| {
        let told = run(free, &format!("{shrinks}{protection}"));
        let first = times(&told, "disrupting", "nodes").first().map_or(f64::INFINITY, |(at, _)| *at);
        let empty = told.record.nodes_removed[Reason::Empty as usize];
        (told.record.nodes_removed.iter().sum::<u64>() - empty, told.record.pods_evicted, first)
    };
    let (underutilized, evicted, _) = removed("");
    let (kept, of_kept, _) = removed("do_not_disrupt = true");
    assert_eq!((kept, of_kept), (0, 0));
    // Three nodes of two pods: either one is empty, or pods are moved.
    assert_eq!(underutilized > 0, evicted > 0);
    let drifts = |more: &str| {
        let pool = format!("drift_at = \"8 min\"\n{free}\n{more}");
        run(&pool, &format!("{SIX}do_not_disrupt = \"15 min\""))
    };
    // From 15 min after the pods' start on nobody keeps the nodes back.
    let late = times(&drifts(""), "claim_deleted", "node");
    assert!(late.len() >= 3 && late[0].0 > 900.0 && late[0].0 < 1_100.0, "{late:?}");
    // Where claims come to an end nobody does from the first.
    let soon = times(&drifts("termination_grace_period = \"30 min\""), "claim_deleted", "node");
    assert!(soon[0].0 > 480.0 && soon[0].0 < 640.0, "{soon:?}");
}

#[test]
fn a_claims_grace_period_ends_what_nobody_may_evict() {
    let (age, protected) = ("expire_after = \"10 min\"\n", format!("{SIX}do_not_disrupt = true\n"));
    let stays = run(age, &protected);
    assert_eq!(times(&stays, "claim_deleted", "node").len(), 3);
    assert_eq!((times(&stays, "node_gone", "node").len(), stays.record.pods_evicted), (0, 0));
    // Karpenter plans for no pod that it may not evict.
    assert_eq!(stays.record.nodes_launched, 3);
    let most = "termination_grace_period = \"5 min\"\n";
    let ends = run(&format!("{age}{most}"), &protected);
    let (begins, outlast) =
        (times(&ends, "claim_deleted", "node"), times(&ends, "pod_outlasts_claim", "pod"));
    let stops = times(&ends, "instance_stopping", "node");
    assert!(outlast.len() >= 6 && stops.len() >= 3);
    for (at, _) in &outlast[..6] {
        // 30 s before the end, at a look each second.
        let after = at - begins[0].0;
        assert!((270.0..275.0).contains(&after), "{after}");
    }
    for ((stops, _), (begins, _)) in stops.iter().zip(&begins).take(3) {
        assert!((300.0..312.0).contains(&(stops - begins)), "{stops} {begins}");
    }
    assert_eq!(ends.record.pods_lost, 0);
    // What does not stop in the time that is left is killed.
    let slow = format!("{protected}termination_grace = {{ constant = \"8 min\" }}\n");
    let killed = run(&format!("{age}{most}"), &slow);
    let (begins, stops) =
        (times(&killed, "claim_deleted", "node"), times(&killed, "instance_stopping", "node"));
    assert!((300.0..312.0).contains(&(stops[0].0 - begins[0].0)), "{stops:?} {begins:?}");
    assert_eq!(killed.record.pods_lost, 0);
}

#[test]
fn kubelet_kills_what_outlasts_its_own_grace_period() {
    let gone = |more: &str| {
        let steps = "schedule = [{ at = \"0 s\", replicas = 6 }, { at = \"10 min\", replicas = 0 }]\n";
        let told = run("", &format!("{steps}termination_grace = {{ constant = \"5 min\" }}\n{more}"));
        times(&told, "pod_gone", "pod")[0].0
    };
    let (free, killed) = (gone(""), gone("termination_grace_period = \"20 s\""));
    assert!((free - killed - 280.0).abs() < 0.01, "{free} {killed}");
}

#[test]
fn a_drain_takes_daemon_sets_after_others_and_the_systems_classes_last() {
    let critical = "[[deployments]]\nname = \"critical\"\ncpu = \"100m\"\nmemory = \"1 MiB\"\nreplicas = 3\npriority = 2000000000\n\
                    termination_grace = { constant = \"7 s\" }\n";
    let agents = "[[daemonsets]]\nname = \"agent\"\nhost_network = true\ntolerates_everything = false\n\
                  termination_grace = { constant = \"40 s\" }\n";
    let told = run("expire_after = \"10 min\"", &format!("{SIX}{critical}{agents}"));
    let (gone, agents) = (times(&told, "pod_gone", "pod"), times(&told, "daemons_evicted", "node"));
    let evictions = times(&told, "eviction_answered", "pod");
    let first = evictions[0].0;
    let of_critical: Vec<f64> =
        evictions.iter().filter(|(_, pod)| (6..9).contains(pod)).map(|(at, _)| *at).collect();
    let of_app: Vec<f64> = gone.iter().filter(|(_, pod)| *pod < 6).map(|(at, _)| *at).collect();
    assert!(of_app.len() == 6 && !of_critical.is_empty() && agents.len() >= 3, "{evictions:?}");
    // The agents of a node go once its own pods have, 30 s after their eviction; the critical 40 s after those.
    assert!((30.0..36.0).contains(&(agents[0].0 - first)), "{agents:?} {first}");
    assert!((70.0..80.0).contains(&(of_critical[0] - first)), "{of_critical:?} {first}");
    // A DaemonSet that tolerates all keeps no node.
    let tolerant = "[[daemonsets]]\nname = \"agent\"\nhost_network = true\n";
    let told = run("expire_after = \"10 min\"", &format!("{SIX}{critical}{tolerant}"));
    assert!(times(&told, "daemons_evicted", "node").is_empty());
}

#[test]
fn what_protects_pods_is_read_with_care() {
    let key = |deployment: &str| read("", &format!("{SIX}{deployment}")).unwrap_err()[0].key.clone();
    assert_eq!(key("do_not_disrupt = \"0 s\""), "deployments[0].do_not_disrupt");
    assert_eq!(key("do_not_disrupt = \"often\""), "deployments[0].do_not_disrupt");
    assert_eq!(key("priority = 1500000000"), "deployments[0].priority");
    assert!(read("", &format!("{SIX}do_not_disrupt = false\npriority = 2000001000")).is_ok());
}
