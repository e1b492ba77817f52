//! Pods that take the places of others of lower priority.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

mod common {
    pub mod runs;
}

use common::runs::{prepare, run};
use kilopod::components::{Told, Wishes, tell};
use kilopod::results::Outcome;

/// Who told whom to go, and where pods were put, in the trace's order: (pod, node).
struct Seen {
    preempting: Vec<(u64, u64)>,
    placed: BTreeMap<u64, u64>,
    gone: BTreeSet<u64>,
}

impl Seen {
    fn of(told: &Told) -> Seen {
        let mut seen = Seen { preempting: Vec::new(), placed: BTreeMap::new(), gone: BTreeSet::new() };
        for line in &told.trace {
            let line: Value = serde_json::from_str(line).unwrap();
            let number = |key: &str| line[key].as_u64().unwrap();
            match line["event"].as_str().unwrap() {
                "pod_preempts" => seen.preempting.push((number("pod"), number("node"))),
                "pod_assumed" => drop(seen.placed.insert(number("pod"), number("node"))),
                "pod_gone" => drop(seen.gone.insert(number("pod"))),
                _ => {}
            }
        }
        seen
    }
}

/// So many nodes of four vCPUs that are there, in one zone each in turn, and no others to be had.
fn scenario_of(nodes: u32, deployments: &[&str]) -> String {
    let mut text = format!(
        "subnet_prefix_length = 19\nhorizon = \"10 min\"\nuntil = \"horizon\"\ntarget_pods = 1\n\
         static_nodes = [{{ count = {nodes}, instance_type = \"m5.xlarge\" }}]\n"
    );
    for (number, more) in deployments.iter().enumerate() {
        text += &format!("[[deployments]]\nname = \"d{number}\"\nimage = \"0 MB\"\n{more}\n");
    }
    text
}
const SMALL: &str = "cpu = \"100m\"\nmemory = \"64 MiB\"";
const LARGE: &str = "cpu = \"3\"\nmemory = \"1 GiB\"";
const LATER: &str = "schedule = [{ at = \"1 min\", replicas = 1 }]\npriority = 10";

/// On one node with room: who minds the other's company, or has its port, makes place for who is of higher priority.
#[test]
fn who_is_minded_goes() {
    let host = |other: &str| {
        format!(
            "pod_anti_affinity = [{{ topology_key = \"kubernetes.io/hostname\", deployments = [\"{other}\"] }}]"
        )
    };
    for (low, high) in [
        (host("d1"), String::new()),
        (host("d1"), host("d0")),
        ("host_ports = [80]".into(), "host_ports = [80]".into()),
        ("host_ports = [80]".into(), format!("host_ports = [80]\n{}", host("d0"))),
    ] {
        let low = format!("{SMALL}\nreplicas = 1\n{low}");
        let bystander = format!("{SMALL}\nreplicas = 2");
        let high = format!("{SMALL}\n{LATER}\n{high}");
        let seen = Seen::of(&run(&scenario_of(1, &[&low, &high, &bystander])));
        assert_eq!(seen.preempting.len(), 1, "{low}\n{high}");
        // The one of the first Deployment alone, and it does not come back while the other is there.
        let (pod, node) = seen.preempting[0];
        assert_eq!((seen.gone.len(), seen.placed.get(&pod)), (1, Some(&node)), "{low}\n{high}");
    }
}

/// Affinity is not looked at for a pod that asks for none and that nobody who is there minds, whoever is expected: its kind comes
/// back to the place that was made. Up to 1.24 it was looked at.
#[test]
fn who_is_expected_alone_keeps_nobody_off() {
    let low = format!("{SMALL}\nreplicas = 1");
    let apart = "pod_anti_affinity = [{ topology_key = \"kubernetes.io/hostname\", deployments = [\"d0\"] }]";
    let scenario = scenario_of(1, &[&low, &format!("{SMALL}\n{LATER}\n{apart}")]);
    let preempting = |profile: &str| Seen::of(&run(&format!("{profile}\n{scenario}"))).preempting.len();
    assert!(preempting("") > 5);
    assert_eq!(preempting("profile = \"2022-11\""), 1);
}

/// A node without room, which nobody leaves for a pod that could not come all the same.
#[test]
fn nobody_goes_in_vain() {
    let zone = "topology.kubernetes.io/zone";
    let two = "schedule = [{ at = \"1 min\", replicas = 1 }, { at = \"3 min\", replicas = 2 }]";
    let cpu = |millis: u32| format!("cpu = \"{millis}m\"\nmemory = \"1 GiB\"");
    let low = format!("{}\nreplicas = 2", cpu(1_500));
    for (more, gone) in [
        (String::new(), 2),
        // One zone where there are to be two.
        (format!("topology_spread = [{{ topology_key = \"{zone}\", min_domains = 2 }}]"), 1),
        (format!("pod_anti_affinity = [\"{zone}\"]"), 1),
        // Without those that would have to go it could not come.
        (format!("pod_affinity = [{{ topology_key = \"{zone}\", deployments = [\"d0\"] }}]"), 0),
        ("volumes = [{ zone = \"us-east-1b\" }]".into(), 0),
    ] {
        let high = format!("{}\n{two}\npriority = 10\n{more}", cpu(1_800));
        let seen = Seen::of(&run(&scenario_of(1, &[&low, &high])));
        assert_eq!((seen.preempting.len(), seen.gone.len()), (gone, gone), "{more}");
    }
}

/// Two that keep apart make room on a node each, though the first has not come yet as the second looks.
#[test]
fn who_is_expected_is_minded() {
    let low = format!("{LARGE}\nreplicas = 2");
    let high =
        "cpu = \"1\"\nmemory = \"1 GiB\"\nschedule = [{ at = \"1 min\", replicas = 2 }]\npriority = 10";
    let apart = "pod_anti_affinity = [\"kubernetes.io/hostname\"]";
    let spread = "topology_spread = [{ topology_key = \"kubernetes.io/hostname\" }]";
    let nodes = |more: &str| {
        let seen = Seen::of(&run(&scenario_of(2, &[&low, &format!("{high}\n{more}")])));
        let nodes: BTreeSet<u64> = seen.preempting.iter().map(|(_, node)| *node).collect();
        (seen.preempting.len(), nodes.len())
    };
    assert_eq!(nodes(apart), (2, 2));
    assert_eq!(nodes(spread), (2, 2));
    // Those that mind nobody share the first node that is made free.
    assert_eq!(nodes("").1, 1);
}

/// One Deployment's budget lets nobody go: the other's pods make room, though they are of higher priority.
#[test]
fn budgets_are_kept_where_they_can_be() {
    let low = |budget: &str, priority: u32| format!("{LARGE}\nreplicas = 1\npriority = {priority}\n{budget}");
    let high = format!("{LARGE}\n{LATER}");
    let first = |budget: &str| {
        let seen = Seen::of(&run(&scenario_of(2, &[&low(budget, 1), &low("", 2), &high])));
        (0..2).find(|pod| seen.placed[pod] == seen.preempting[0].1)
    };
    assert_eq!(first("pdb = { max_unavailable = 0 }"), Some(1));
    assert_eq!(first("pdb = { max_unavailable = 1 }"), Some(0));
    assert_eq!(first(""), Some(0));
    // Where nobody else is, the budget keeps nobody.
    let told = run(&scenario_of(1, &[&low("pdb = { max_unavailable = 0 }", 1), &high]));
    assert_eq!(Seen::of(&told).gone.into_iter().collect::<Vec<u64>>(), [0]);
}

/// On 130 full nodes a hundred candidates are enough: by chance the cheapest, which is one node, is not among them.
#[test]
fn not_every_node_is_looked_at() {
    let low = format!("{LARGE}\nreplicas = 129\npriority = 5");
    let lowest = format!("{LARGE}\nreplicas = 1\npriority = 1");
    let high = format!("{LARGE}\n{LATER}");
    let scenario = scenario_of(130, &[&low, &lowest, &high]);
    let prepared = prepare(&scenario);
    let takes_the_lowest = |replication: &u32| {
        let wishes = Wishes { trace: true, ..Wishes::default() };
        let seen = Seen::of(&tell(&prepared, 1, *replication, wishes));
        seen.preempting[0].1 == seen.placed[&129]
    };
    let lowest = (0..40).filter(takes_the_lowest).count();
    // 100 of 130 are 31 of 40 runs.
    assert!((22..=38).contains(&lowest), "{lowest} of 40");
}

/// Whoever still makes room for another is waited for before a run is called stuck.
#[test]
fn a_run_in_which_others_may_make_room_is_not_stuck() {
    let low = format!("{LARGE}\nreplicas = 1\ntermination_grace = {{ constant = \"100 s\" }}");
    let high = format!("{LARGE}\n{LATER}");
    let told =
        run(&scenario_of(1, &[&low, &high])
            .replace("until = \"horizon\"\ntarget_pods = 1", "target_pods = 1"));
    assert_eq!(told.record.outcome, Outcome::Reached);
}

/// `preemptionPolicy: Never` goes first in the queue all the same, and waits for room like others; a run that waits so is stuck.
#[test]
fn who_never_preempts_waits_for_room() {
    let low = format!("{LARGE}\nreplicas = 1");
    let high = |more: &str| format!("{LARGE}\n{LATER}\n{more}");
    for (policy, preempting) in [("PreemptLowerPriority", 1), ("Never", 0)] {
        let policy = format!("preemption_policy = \"{policy}\"");
        let seen = Seen::of(&run(&scenario_of(1, &[&low, &high(&policy)])));
        assert_eq!((seen.preempting.len(), seen.gone.len()), (preempting, preempting), "{policy}");
        let text = scenario_of(1, &[&low, &high(&policy)])
            .replace("until = \"horizon\"\ntarget_pods = 1", "target_pods = 2")
            + "[[node_pools]]\nlimits = { nodes = 0 }\n";
        let told = tell(&prepare(&text), 1, 0, Wishes::default()).record;
        assert_eq!(told.outcome, Outcome::Stuck, "{policy}");
    }
}

/// What kube-scheduler does about pods, and when [s]; (event, pod).
fn scheduler_steps(told: &Told) -> Vec<(f64, String, u64)> {
    let line = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        let event = line["event"].as_str().unwrap().to_owned();
        (line["at_ms"].as_f64().unwrap() / 1e3, event, line["pod"].as_u64().unwrap_or(u64::MAX))
    };
    let wanted =
        ["victim_patched", "victim_deleted", "pod_preempts", "pod_gone", "pod_unschedulable", "pod_assumed"];
    told.trace.iter().map(line).filter(|(_, event, _)| wanted.contains(&event.as_str())).collect()
}
/// Four pods on one node, all of which have to go for one of higher priority; one request a second.
fn slow_client(profile: &str, low: &str) -> String {
    let small =
        format!("cpu = \"900m\"\nmemory = \"1 GiB\"\ntermination_grace = {{ constant = \"0 s\" }}\n{low}");
    let text = scenario_of(1, &[&small, &format!("{LARGE}\n{LATER}")]);
    format!("{profile}\n{text}\n[kube_scheduler]\nqps = 1\nburst = 1\n")
}

/// Conditions first, three at a time, then deletions, then the last victim's; each takes a token of the client. Whoever is gone
/// meanwhile does not bring the pod back before the last has been told. Up to 1.24: deletions alone, one after the other.
#[test]
fn victims_are_told_call_by_call() {
    for (profile, calls) in [("", "PPPDDDPD"), ("profile = \"2022-11\"", "DDDD")] {
        let told = run(&slow_client(profile, "replicas = 4"));
        let steps = scheduler_steps(&told);
        let begin = steps.iter().position(|(_, event, _)| event == "pod_preempts").unwrap();
        let (since, pod) = (steps[begin].0, steps[begin].2);
        let end = steps.iter().position(|(_, event, other)| event == "pod_assumed" && *other == pod).unwrap();
        let within = &steps[begin..end];
        let of = |wanted: &str| within.iter().filter(|(_, event, _)| event == wanted).collect::<Vec<_>>();
        let told = within.iter().filter(|(_, event, _)| event.starts_with("victim"));
        let told: String =
            told.map(|(_, event, _)| if event == "victim_patched" { 'P' } else { 'D' }).collect();
        assert_eq!(told, calls);
        let last = of("victim_deleted").last().unwrap().0 - since;
        // The pod's own condition and what others ask for come between.
        let least = calls.len() as f64 - 1.0;
        assert!((least..least + 12.0).contains(&last), "{profile}: {last} s");
        let gone = of("pod_gone");
        assert_eq!(gone.len(), 4);
        if profile.is_empty() {
            let released = of("victim_deleted")[2].0;
            let tries = of("pod_unschedulable").into_iter().filter(|(_, _, other)| *other == pod);
            assert!(gone[0].0 < released && tries.skip(1).all(|(at, ..)| *at > released), "{within:?}");
        }
    }
}

/// The Deployment is scaled in while its pods are told: the first of them that is gone ends that, and the pod is tried at once.
#[test]
fn a_victim_that_is_gone_ends_the_telling() {
    let low = "schedule = [{ at = \"0 s\", replicas = 4 }, { at = \"61 s\", replicas = 0 }]";
    let steps = scheduler_steps(&run(&slow_client("", low)));
    let count = |wanted: &str| steps.iter().filter(|(_, event, _)| event == wanted).count();
    assert_eq!(count("pod_preempts"), 1);
    // The last is gone when it is to get its condition.
    assert_eq!([count("victim_patched"), count("victim_deleted"), count("pod_gone")], [4, 3, 4], "{steps:?}");
    let at = |wanted: &str| steps.iter().rfind(|(_, event, _)| event == wanted).unwrap().0;
    assert_eq!(at("pod_assumed"), at("victim_patched"));
}
