//! Tables of kube-scheduler and the ReplicaSet controller that are not cases of `decide`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilopod::actors::deployment::{self, SetView, Strategy};
use kilopod::actors::int_or_percent::IntOrPercent;
use kilopod::actors::kube_scheduler::pod_affinity;
use kilopod::actors::kube_scheduler::queue::{Failure, QueueState, QueueVersion, SchedulingQueue};
use kilopod::actors::kube_scheduler::spread::{Constraint, HOSTNAME, ZONE, scores};
use kilopod::actors::kube_scheduler::view::{Container, Node, Others, Pod, Spreading, Version};
use kilopod::actors::node_affinity::NodeAffinity;
use kilopod::actors::pod_affinity::{PodAffinity, PodTerm};
use kilopod::actors::taints::{Effect, Taint};
use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::scenario;
use kilopod::units::{Resources, SimDuration, SimTime};
use serde::Deserialize;
use serde_json::Value;

/// All rows of a table hold, or those that do not are told by name; `got` gives what is stated in the last column.
fn check(table: &str, count: usize, got: impl Fn(&BTreeMap<String, String>) -> String, stated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(table);
    let rows: Vec<BTreeMap<String, String>> =
        csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect();
    let differing = rows.iter().map(|row| (row, got(row))).filter(|(row, got)| row[stated] != *got);
    let failed: Vec<String> =
        differing.map(|(row, got)| format!("{}: {got:?}, stated {:?}", row["id"], row[stated])).collect();
    assert!(failed.is_empty(), "{} of {table} fail:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(rows.len(), count, "rows of {table}");
}

/// `replicas/there/available`
fn set_view(text: &str) -> SetView {
    let mut numbers = text.split('/').map(|number| number.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    SetView { replicas: next(), there: next(), available: next() }
}

#[test]
fn deployments_are_rolled_out_and_scaled_as_by_the_real_controller() {
    let sync = |row: &BTreeMap<String, String>| {
        let strategy = match row["strategy"].split_once(' ') {
            None => Strategy::Recreate,
            Some((surge, unavailable)) => Strategy::RollingUpdate {
                max_surge: IntOrPercent::parse(surge).unwrap(),
                max_unavailable: IntOrPercent::parse(unavailable).unwrap(),
            },
        };
        let (replicas, before) = (row["replicas"].parse().unwrap(), row["before"].parse().unwrap());
        let old: Vec<SetView> = row["old"].split(' ').map(set_view).collect();
        let new = (row["new"] != "-").then(|| set_view(&row["new"]));
        let old_pods = old.iter().map(|set| set.there).sum();
        let sizes = match row["kind"].as_str() {
            "scale" => deployment::scale(strategy, replicas, before, &old, new),
            _ => deployment::rollout(strategy, replicas, &old, new, old_pods),
        };
        let old: Vec<String> = sizes.old.iter().map(u32::to_string).collect();
        format!("{} > {}", old.join(" "), sizes.new.map_or("-".to_string(), |size| size.to_string()))
    };
    check("deployment.csv", 300, sync, "expected");
}

/// `key:max_skew[:min_domains[:honor]]`, with short keys; the last is the policy for taints.
fn constraint(text: &str) -> Constraint {
    let mut parts = text.split(':');
    let key = match parts.next().unwrap() {
        "host" => HOSTNAME,
        "zone" => ZONE,
        other => other,
    };
    Constraint {
        key: key.to_owned(),
        max_skew: parts.next().unwrap().parse().unwrap(),
        hard: false,
        min_domains: parts.next().map_or(1, |number| number.parse().unwrap()),
        honor_affinity: true,
        honor_taints: parts.next().is_some(),
    }
}

/// `name[/zone][=matching]` and then `!` for no candidate, `~` for not selected, `^` for tainted.
fn node(text: &str) -> (Node, bool) {
    let (plain, marks) = text.split_at(text.find(['!', '~', '^']).unwrap_or(text.len()));
    let (place, matching) = plain.split_once('=').unwrap_or((plain, "0"));
    let (name, zone) = place.split_once('/').unwrap_or((place, ""));
    let mut labels = BTreeMap::from([(HOSTNAME.to_owned(), name.to_owned()), ("node".into(), name.into())]);
    if !zone.is_empty() {
        labels.insert(ZONE.into(), zone.into());
    }
    if !marks.contains('~') {
        labels.insert("selected".into(), "yes".into());
    }
    let taint = Taint { key: "foo".into(), value: String::new(), effect: Effect::NoSchedule };
    let node = Node {
        name: name.into(),
        labels,
        allocatable: Resources::new(4_000, 1 << 30, 110),
        requested: Resources::ZERO,
        non_zero_requested: Resources::ZERO,
        matching_pods: matching.parse().unwrap(),
        pods: Vec::new(),
        used_ports: Vec::new(),
        unschedulable: false,
        taints: if marks.contains('^') { vec![taint] } else { Vec::new() },
        images: Vec::new(),
    };
    (node, !marks.contains('!'))
}

fn bare_pod() -> Pod {
    Pod {
        containers: vec![Container::default()],
        init_containers: Vec::new(),
        node_selector: BTreeMap::new(),
        node_affinity: NodeAffinity::default(),
        kind: 0,
        pod_affinity: PodAffinity::default(),
        tolerations: Vec::new(),
        host_ports: Vec::new(),
        spreading: Spreading::None,
    }
}

/// The candidates are given, as in the real tests, whether they would pass the filters or not.
#[test]
fn soft_spreading_scores_candidates_as_its_tests_say() {
    let got = |row: &BTreeMap<String, String>| {
        let (nodes, candidates): (Vec<Node>, Vec<bool>) = row["nodes"].split_whitespace().map(node).unzip();
        let selects = row["nodes"].contains('~');
        let pod = Pod {
            node_selector: selects.then(|| ("selected".to_owned(), "yes".to_owned())).into_iter().collect(),
            spreading: Spreading::Own(row["constraints"].split_whitespace().map(constraint).collect()),
            ..bare_pod()
        };
        let passed: Vec<usize> = (0..nodes.len()).filter(|place| candidates[*place]).collect();
        let scores = scores(&pod, &nodes, &passed, Version::V1_34).unwrap();
        scores.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
    };
    check("spread-scores.csv", 15, got, "expected");
}

/// Pods for whose sake victims are told to go (from `preempt` on until `release`) stay with those that wait, whatever happens,
/// and thereafter until a pod is deleted. Where each pod is after each step: active, in back-off, unschedulable.
#[test]
fn preempting_pods_are_held_back_as_in_the_real_queue() {
    let got = |row: &BTreeMap<String, String>| {
        let priorities: Vec<i32> = row["priorities"].split(' ').map(|text| text.parse().unwrap()).collect();
        let mut queue = SchedulingQueue::new(QueueVersion::V1_34, SimDuration::ZERO);
        let mut now = SimTime::ZERO;
        let mut step = |text: &str| {
            let mut parts = text.split(':');
            let mut next = || parts.next().unwrap();
            now += SimDuration::from_millis(next().parse().unwrap());
            let (what, pods) = (next(), next());
            let pods: Vec<u32> = pods.split('+').filter_map(|pod| pod.parse().ok()).collect();
            match what {
                "add" => queue.add(pods[0], priorities[pods[0] as usize], now),
                "attempt" | "preempt" => {
                    assert_eq!(queue.pop(now), Some(pods[0]), "{text} of {}", row["id"]);
                    if what == "preempt" {
                        queue.hold(pods[0]);
                    }
                    queue.fail(pods[0], Failure::Rejected, now);
                }
                "release" => queue.release(pods[0], now),
                "force" => queue.force(pods[0], now),
                "node" => queue.wake_where(now, |pod| pods.contains(&pod)),
                "deleted" => queue.wake_after_deletion(now, |pod| pods.contains(&pod)),
                _ => queue.wake_where(now, |_| false),
            }
            // The timers of this instant.
            queue.wake_where(now, |_| false);
            let state = |pod: usize| match queue.state(pod as u32) {
                QueueState::Active => 'A',
                QueueState::Backoff => 'B',
                QueueState::Unschedulable => 'U',
                QueueState::Out => '-',
            };
            (0..priorities.len()).map(state).collect::<String>()
        };
        row["steps"].split(' ').map(&mut step).collect::<Vec<String>>().join(" ")
    };
    check("held-back.csv", 60, got, "expected");
}

/// Each pod failed once at so many seconds from now and waits out its back-off; who has by now?
#[test]
fn back_offs_end_as_the_queues_tests_say() {
    let now = SimTime::from_secs(100);
    let got = |row: &BTreeMap<String, String>| {
        let mut queue = SchedulingQueue::new(QueueVersion::V1_34, SimDuration::ZERO);
        let mut names = Vec::new();
        for (pod, text) in (0u32..).zip(row["pods"].split_whitespace()) {
            let parts: Vec<&str> = text.split(':').collect();
            let from_now = (parts[1].parse::<f64>().unwrap() * 1_000.0).round() as i64;
            let at = SimTime::from_millis((now.millis() as i64 + from_now) as u64);
            queue.add(pod, parts[3].parse().unwrap(), SimTime::from_secs(90));
            assert_eq!(queue.pop_active(SimTime::from_secs(90)), Some(pod));
            queue.event_in_cycle(pod);
            let failure = if parts[2] == "error" { Failure::Error } else { Failure::Rejected };
            queue.fail(pod, failure, at);
            names.push(parts[0]);
        }
        queue.wake_where(now, |_| false);
        let active = |pod: &usize| queue.state(*pod as u32) == QueueState::Active;
        let mut left: Vec<&str> = (0..names.len()).filter(active).map(|pod| names[pod]).collect();
        left.sort_unstable();
        left.join(" ")
    };
    check("back-off.csv", 6, got, "leave");
}

/// SS-2 (pkg/controller/replicaset/replica_set_test.go, TestSlowStartBatch): ten pods come in batches of 1, 2, 4 and 3.
#[test]
fn a_replica_set_makes_its_pods_in_batches_that_double() {
    let mut problems = Problems::default();
    let text =
        "target_pods = 10\n[[deployments]]\nname = \"app\"\nreplicas = 10\ncpu = \"1\"\nmemory = \"1 GiB\"\n";
    let document = Document::parse("case.toml", text, &mut problems);
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    let prepared = Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:?}")).scenario);
    let told = tell(&prepared, 1, 0, Wishes { trace: true, ..Wishes::default() });
    let mut created = BTreeMap::<u64, u32>::new();
    for line in &told.trace {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["event"] == "pod_created" {
            *created.entry((line["at_ms"].as_f64().unwrap() * 1e3) as u64).or_default() += 1;
        }
    }
    assert_eq!(created.values().copied().collect::<Vec<_>>(), [1, 2, 4, 3]);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AffinityRow {
    id: String,
    #[serde(rename = "source")]
    _source: String,
    pod: AffinityPod,
    nodes: Vec<AffinityNode>,
    scores: Vec<i64>,
}

/// Terms as (kind, topology key, weight).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AffinityPod {
    kind: String,
    prefers: Vec<(String, String, i64)>,
    avoids: Vec<(String, String, i64)>,
    count: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AffinityNode {
    labels: BTreeMap<String, String>,
    pods: Vec<AffinityPod>,
}

impl AffinityPod {
    fn kind(name: &str) -> u32 {
        ["", "S1", "S2"].iter().position(|known| *known == name).unwrap() as u32
    }
    fn terms(&self) -> PodAffinity {
        let read = |terms: &[(String, String, i64)]| {
            let term = |(name, key, weight): &(String, String, i64)| {
                (*weight, PodTerm::new(key, [AffinityPod::kind(name)]))
            };
            terms.iter().map(term).collect()
        };
        PodAffinity {
            preferred: read(&self.prefers),
            preferred_anti: read(&self.avoids),
            ..PodAffinity::default()
        }
    }
}

#[test]
fn affinity_between_pods_scores_as_the_real_tests_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables/pod-affinity-scores.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    for line in text.lines() {
        let row: AffinityRow = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let others = |pod: &AffinityPod| Others {
            kind: AffinityPod::kind(&pod.kind),
            count: pod.count.unwrap_or(1),
            pod_affinity: pod.terms(),
        };
        let nodes: Vec<Node> = (row.nodes.iter())
            .map(|row| Node {
                labels: row.labels.clone(),
                pods: row.pods.iter().map(others).collect(),
                ..node("n").0
            })
            .collect();
        let pod = Pod { kind: AffinityPod::kind(&row.pod.kind), pod_affinity: row.pod.terms(), ..bare_pod() };
        let passed: Vec<usize> = (0..nodes.len()).collect();
        assert_eq!(pod_affinity::scores(&pod, &nodes, &passed), row.scores, "{}", row.id);
    }
    assert_eq!(text.lines().count(), 11);
}
