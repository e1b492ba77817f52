//! Whole runs of pods and pools that say more than room: each rule shows in where pods end up and what they wait for.

mod common {
    pub mod runs;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::Outcome;
use kilopod::scenario;
use kilopod::world::cause::Cause;
use serde_json::Value;

fn prepare(text: &str) -> Prepared {
    let mut problems = Problems::default();
    let document = Document::parse("a.toml", text, &mut problems);
    let read = scenario::read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:#?}")).scenario)
}

/// A run whose books are checked after every event.
fn run(text: &str) -> Told {
    tell(&prepare(text), 1, 0, Wishes { check: true, history: true, trace: true, ..Wishes::default() })
}

/// Deployments of 1 CPU and 2 GiB in pools of m5.xlarge, which holds three of them.
fn scenario_of(deployments: &[&str], pools: &[&str]) -> String {
    let mut text = "subnet_prefix_length = 19\nhorizon = \"15 min\"\n".to_string();
    for more in deployments {
        text += &format!("[[deployments]]\ncpu = \"1\"\nmemory = \"2 GiB\"\nimage = \"0 MB\"\n{more}\n");
    }
    for more in pools {
        text += &format!(
            "[[node_pools]]\ninstance_types = [\"m5.xlarge\"]\ncapacity_types = [\"on-demand\"]\n{more}\n"
        );
    }
    text
}

/// What the trace tells of launches and of where pods went.
struct Seen {
    /// By node: zone, capacity type.
    nodes: BTreeMap<u64, (String, String)>,
    /// By pod: its node and when it was assumed there (ms).
    placed: BTreeMap<u64, (u64, f64)>,
}

impl Seen {
    fn of(told: &Told) -> Seen {
        let mut seen = Seen { nodes: BTreeMap::new(), placed: BTreeMap::new() };
        for line in &told.trace {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            match line["event"].as_str().unwrap() {
                "instance_launched" => {
                    let node = line["node"].as_u64().unwrap();
                    seen.nodes.insert(node, (text("zone"), text("capacity_type")));
                }
                "pod_assumed" => {
                    let at = (line["node"].as_u64().unwrap(), line["at_ms"].as_f64().unwrap());
                    seen.placed.insert(line["pod"].as_u64().unwrap(), at);
                }
                _ => {}
            }
        }
        seen
    }
    /// Pods by what `domain` makes of their node.
    fn pods_by<K: Ord>(&self, domain: impl Fn(u64) -> K) -> BTreeMap<K, u32> {
        let mut counts = BTreeMap::new();
        self.placed.values().for_each(|(node, _)| *counts.entry(domain(*node)).or_insert(0) += 1);
        counts
    }
    fn zone(&self, node: u64) -> String {
        self.nodes[&node].0.clone()
    }
}

/// The exact pass with a constraint that constrains nothing is the kept-up one of plain pods, to the last event.
#[test]
fn a_toleration_of_nothing_changes_nothing() {
    for more in [
        "",
        "market = \"tight\"",
        "profile = \"2022-11\"",
        "static_nodes = [{ count = 130, pods_with_address = 0 }]",
    ] {
        let text = |placement: &str| {
            let deployments = [
                format!("replicas = 150\n{placement}"),
                format!("schedule = [{{ at = \"40 s\", replicas = 60 }}]\n{placement}"),
            ];
            let spot = "capacity_types = [\"spot\"]\ninstance_types = [\"m5.xlarge\"]";
            let scenario = scenario_of(&[&deployments[0], &deployments[1]], &[]);
            format!("{more}\n{scenario}[[node_pools]]\n{spot}\n")
        };
        let told = |placement| tell(&prepare(&text(placement)), 5, 0, Wishes::default()).record;
        let constrained = told("tolerations = [{ key = \"nobody\", operator = \"Exists\" }]");
        let plain = told("");
        assert_eq!(plain.time_to_target_ms, constrained.time_to_target_ms, "{more}");
        assert!(plain == constrained, "{more}: {:x} and {:x}", plain.trace_hash, constrained.trace_hash);
    }
}

#[test]
fn a_zone_is_selected() {
    let told = run(&scenario_of(
        &["replicas = 30\nnode_selector = { \"topology.kubernetes.io/zone\" = \"us-east-1b\" }"],
        &[""],
    ));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let seen = Seen::of(&told);
    assert_eq!(seen.pods_by(|node| seen.zone(node)), BTreeMap::from([("us-east-1b".into(), 30)]));
}

/// The heavier preference is met as long as it can be; nothing at all meets it in the second run.
#[test]
fn a_preferred_zone_is_taken_and_given_up() {
    for (zone, wanted) in [("us-east-1c", Some("us-east-1c")), ("us-east-1z", None)] {
        let affinity = format!(
            "replicas = 12\n[deployments.node_affinity]\npreferred = [{{ weight = 50, expressions = [\
             {{ key = \"topology.kubernetes.io/zone\", operator = \"In\", values = [\"{zone}\"] }}] }}]"
        );
        let told = run(&scenario_of(&[&affinity], &[""]));
        assert_eq!(told.record.outcome, Outcome::Reached, "{zone}");
        let seen = Seen::of(&told);
        let zones = seen.pods_by(|node| seen.zone(node));
        assert!(wanted.is_none_or(|wanted| zones == BTreeMap::from([(wanted.into(), 12)])), "{zones:?}");
    }
}

/// Terms are alternatives: the first is impossible, the second is taken.
#[test]
fn one_required_term_is_enough() {
    let zone = |zone: &str| {
        format!(
            "{{ expressions = [{{ key = \"topology.kubernetes.io/zone\", operator = \"In\", values = [\"{zone}\"] }}] }}"
        )
    };
    let affinity = format!(
        "replicas = 9\n[deployments.node_affinity]\nrequired = [{}, {}]",
        zone("us-east-1z"),
        zone("us-east-1a")
    );
    let told = run(&scenario_of(&[&affinity], &[""]));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let seen = Seen::of(&told);
    assert_eq!(seen.pods_by(|node| seen.zone(node)), BTreeMap::from([("us-east-1a".into(), 9)]));
}

#[test]
fn a_label_that_no_pool_gives_is_waited_for_in_vain() {
    let told = run(&scenario_of(&["replicas = 3\nnode_selector = { team = \"a\" }"], &[""]));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
    let told = run(&scenario_of(
        &["replicas = 3\nnode_selector = { team = \"a\" }"],
        &["name = \"others\"\nweight = 10", "name = \"ours\"\nlabels = { team = \"a\" }"],
    ));
    assert_eq!(told.record.outcome, Outcome::Reached);
}

/// The heavier pool is tainted: those that tolerate it go there, the others to the light one.
#[test]
fn a_tainted_pool_is_for_those_that_tolerate_it() {
    let taints =
        "weight = 10\ntaints = [{ key = \"dedicated\", value = \"batch\", effect = \"NoSchedule\" }]";
    let tolerations = "replicas = 9\ntolerations = [{ key = \"dedicated\", value = \"batch\" }]";
    let spot = "capacity_types = [\"spot\"]";
    let pools = format!(
        "{}\n[[node_pools]]\ninstance_types = [\"m5.xlarge\"]\n{spot}",
        scenario_of(&[tolerations, "replicas = 12"], &[taints])
    );
    let told = run(&pools);
    assert_eq!(told.record.outcome, Outcome::Reached);
    let seen = Seen::of(&told);
    // Three a node. Where its own are not there yet, a pod that tolerates them may take a place in the light pool all the same.
    assert_eq!(seen.nodes.values().filter(|node| node.1 == "on-demand").count(), 3);
    let kind = |pod: u64| seen.nodes[&seen.placed[&pod].0].1.as_str();
    assert!((9..21).all(|pod| kind(pod) == "spot") && (0..9).any(|pod| kind(pod) == "on-demand"));
}

/// Pods without a toleration keep off a tainted pool for good, and say so.
#[test]
fn a_taint_that_nobody_tolerates_is_a_stuck_run() {
    let told = run(&scenario_of(
        &["replicas = 3"],
        &["taints = [{ key = \"dedicated\", value = \"batch\", effect = \"NoExecute\" }]"],
    ));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
}

/// Karpenter gives a preference not to schedule up; kube-scheduler only scores by it.
#[test]
fn a_soft_taint_keeps_nobody_off_in_the_end() {
    let told = run(&scenario_of(
        &["replicas = 3"],
        &["taints = [{ key = \"full\", effect = \"PreferNoSchedule\" }]"],
    ));
    assert_eq!(told.record.outcome, Outcome::Reached);
}

/// The taint goes so long after the node registered, and until then its pods wait for that.
#[test]
fn a_startup_taint_holds_its_node_back() {
    let time = |more: &str| {
        let told = run(&scenario_of(&["replicas = 6"], &[more]));
        assert_eq!(told.record.outcome, Outcome::Reached);
        (told.record.time_to_target_ms.unwrap(), told.record.cause_pod_ms[Cause::TaintRemoval as usize])
    };
    let startup = |span: &str| {
        format!(
            "startup_taints = [{{ key = \"agent\", effect = \"NoSchedule\", removed_after = \"{span}\" }}]"
        )
    };
    let ((without, _), (with, waited)) = (time(""), time(&startup("60 s")));
    assert!((with - without) > 30_000 && waited > 6 * 30_000, "{without} to {with} ms, {waited} ms waited");
    // Gone before the node is Ready it costs nothing.
    assert_eq!(time(&startup("0.1 s")).0, without);
}

/// One zone more or less: at every instant in which a pod is placed, by the counts of those placed.
#[test]
fn a_hard_zone_spread_keeps_its_skew() {
    let spread =
        "replicas = 60\ntopology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", max_skew = 1 }]";
    let told = run(&scenario_of(&[spread], &[""]));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let seen = Seen::of(&told);
    let zones = seen.pods_by(|node| seen.zone(node));
    assert_eq!(zones.values().copied().collect::<Vec<u32>>(), [20, 20, 20]);
    // At every binding, over the zones that have a node then: one without is no domain.
    let mut pods: BTreeMap<String, u32> = BTreeMap::new();
    for line in &told.trace {
        let line: Value = serde_json::from_str(line).unwrap();
        let node = || seen.zone(line["node"].as_u64().unwrap());
        match line["event"].as_str().unwrap() {
            "node_registered" => drop(pods.entry(node()).or_insert(0)),
            "pod_assumed" => {
                *pods.get_mut(&node()).unwrap() += 1;
                let (least, most) = (pods.values().min().unwrap(), pods[&node()]);
                assert!(most - least <= 1, "{pods:?}");
            }
            _ => {}
        }
    }
    assert_eq!(pods.values().sum::<u32>(), 60);
}

#[test]
fn a_spread_over_capacity_types_buys_both() {
    let spread =
        "replicas = 24\ntopology_spread = [{ topology_key = \"karpenter.sh/capacity-type\", max_skew = 1 }]";
    let text = scenario_of(&[spread], &[]);
    let told = run(&format!(
        "{text}[[node_pools]]\ninstance_types = [\"m5.xlarge\"]\ncapacity_types = [\"spot\", \"on-demand\"]"
    ));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let seen = Seen::of(&told);
    let kinds = seen.pods_by(|node| seen.nodes[&node].1.clone());
    assert_eq!(kinds, BTreeMap::from([("on-demand".into(), 12), ("spot".into(), 12)]));
}

/// Where a soft constraint cannot be met, it is not.
#[test]
fn a_soft_spread_over_zones_that_are_not_there_is_dropped() {
    let told = run(&scenario_of(
        &[
            "replicas = 30\ntopology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", when_unsatisfiable = \"ScheduleAnyway\" }]\nnode_selector = { \"topology.kubernetes.io/zone\" = \"us-east-1a\" }",
        ],
        &[""],
    ));
    assert_eq!(told.record.outcome, Outcome::Reached);
}

/// Fewer zones than `min_domains`: at most the skew in each.
#[test]
fn too_few_domains_let_max_skew_pods_into_each() {
    let told = run(&scenario_of(
        &[
            "replicas = 12\ntopology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", max_skew = 2, min_domains = 4 }]",
        ],
        &[""],
    ));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
    assert_eq!(told.record.pods_ready_at_end, 6);
}

#[test]
fn a_node_holds_one_of_pods_that_keep_apart() {
    for placement in [
        "pod_anti_affinity = [\"kubernetes.io/hostname\"]",
        "topology_spread = [{ topology_key = \"kubernetes.io/hostname\", max_skew = 1 }]",
    ] {
        let told = run(&scenario_of(&[&format!("replicas = 20\n{placement}")], &[""]));
        assert_eq!((told.record.outcome, told.record.nodes_launched), (Outcome::Reached, 20), "{placement}");
        let seen = Seen::of(&told);
        assert!(seen.pods_by(|node| node).values().all(|pods| *pods == 1));
    }
}

/// Karpenter, not knowing where a new node will be, places one pod a round; three zones hold three pods.
#[test]
fn pods_that_keep_apart_by_zone_are_one_a_zone() {
    let told =
        run(&scenario_of(&["replicas = 4\npod_anti_affinity = [\"topology.kubernetes.io/zone\"]"], &[""]));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
    let seen = Seen::of(&told);
    assert_eq!(seen.pods_by(|node| seen.zone(node)).values().copied().collect::<Vec<u32>>(), [1, 1, 1]);
    assert!(told.record.scheduling_rounds >= 3);
}

const DB: &str = "name = \"db\"\nreplicas = 6";

/// The web's pods keep off the database's, and these off theirs: kube-scheduler minds the terms of pods that are there.
#[test]
fn pods_keep_off_those_of_another_deployment() {
    let web = |placement: &str| format!("name = \"web\"\nreplicas = 12\n{placement}");
    let shared = |placement: &str| {
        let told = run(&scenario_of(&[DB, &web(placement)], &[""]));
        assert_eq!(told.record.outcome, Outcome::Reached, "{placement}");
        let hosts = |pods: std::ops::Range<u64>| {
            let seen = Seen::of(&told);
            pods.map(|pod| seen.placed[&pod].0).collect::<BTreeSet<u64>>()
        };
        hosts(0..6).intersection(&hosts(6..18)).count()
    };
    let keeps_off =
        "pod_anti_affinity = [{ topology_key = \"kubernetes.io/hostname\", deployments = [\"db\"] }]";
    assert!(shared("") > 0);
    assert_eq!(shared(keeps_off), 0);
}

/// The database's pods are on their way out for a minute and a half: until they have left the API the web's, which mind them,
/// find no place in their zone, and with them gone are tried again at once.
#[test]
fn pods_on_their_way_out_are_company_until_they_are_gone() {
    let zone = "node_selector = { \"topology.kubernetes.io/zone\" = \"us-east-1b\" }";
    let apart =
        "pod_anti_affinity = [{ topology_key = \"topology.kubernetes.io/zone\", deployments = [\"db\"] }]";
    let db = format!(
        "name = \"db\"\nschedule = [{{ at = \"0 s\", replicas = 3 }}, {{ at = \"4 min\", replicas = 0 }}]\n\
         termination_grace = {{ constant = \"90 s\" }}\n{zone}"
    );
    let placed = |apart: &str| {
        let web = format!("name = \"web\"\nschedule = [{{ at = \"250 s\", replicas = 2 }}]\n{zone}\n{apart}");
        let told = run(&format!("target_pods = 5\n{}", scenario_of(&[&db, &web], &[""])));
        let seen = Seen::of(&told);
        [3, 4].map(|pod| seen.placed[&pod].1)
    };
    assert!(placed("").iter().all(|at| *at < 320_000.0), "{:?}", placed(""));
    assert!(placed(apart).iter().all(|at| (330_000.0..342_000.0).contains(at)), "{:?}", placed(apart));
}

/// A zone with the database is shut: the web's pods that must go there have none.
#[test]
fn a_zone_of_pods_that_keep_others_off_is_shut() {
    let zone = "node_selector = { \"topology.kubernetes.io/zone\" = \"us-east-1b\" }";
    let db = format!(
        "{DB}\n{zone}\npod_anti_affinity = [{{ topology_key = \"topology.kubernetes.io/zone\", deployments = [\"web\"] }}]"
    );
    let web = format!("name = \"web\"\nschedule = [{{ at = \"3 min\", replicas = 4 }}]\n{zone}");
    let told = run(&scenario_of(&[&db, &web], &[""]));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
    assert_eq!(told.record.pods_ready_at_end, 6);
    assert!(
        told.record.cause_pod_ms[Cause::NoInstanceType as usize] > 4 * 600_000,
        "four pods for ten minutes"
    );
}

#[test]
fn pods_go_where_those_they_seek_are() {
    let db = format!("{DB}\nnode_selector = {{ \"topology.kubernetes.io/zone\" = \"us-east-1b\" }}");
    for (key, nodes) in [("topology.kubernetes.io/zone", 5), ("kubernetes.io/hostname", 0)] {
        let web = format!(
            "name = \"web\"\nschedule = [{{ at = \"1 s\", replicas = {} }}]\npod_affinity = [{{ topology_key = \"{key}\", deployments = [\"db\"] }}]",
            if nodes == 0 { 2 } else { 12 }
        );
        let db = db.replace("replicas = 6", if nodes == 0 { "replicas = 4" } else { "replicas = 6" });
        let told = run(&scenario_of(&[&db, &web], &[""]));
        assert_eq!(told.record.outcome, Outcome::Reached, "{key}");
        let seen = Seen::of(&told);
        let zones: BTreeSet<String> = seen.placed.values().map(|(node, _)| seen.zone(*node)).collect();
        assert_eq!(zones, BTreeSet::from(["us-east-1b".into()]), "{key}");
        let with_db: BTreeSet<u64> = (0..4).map(|pod| seen.placed[&pod].0).collect();
        assert!(nodes > 0 || (4..6).all(|pod| with_db.contains(&seen.placed[&pod].0)));
    }
}

/// The first goes anywhere, the others after it; whether it is there already Karpenter sees on nodes it does not manage, too.
#[test]
fn pods_that_seek_each_other_share_a_zone() {
    let pods = "replicas = 12\npod_affinity = [\"topology.kubernetes.io/zone\"]";
    for more in ["", "[[static_nodes]]\ncount = 1\ninstance_type = \"m5.xlarge\"\n"] {
        let told = run(&format!("{}{more}", scenario_of(&[pods], &[""])));
        assert_eq!(told.record.outcome, Outcome::Reached, "{more}");
        let seen = Seen::of(&told);
        let zones: BTreeSet<&String> = seen.nodes.values().map(|(zone, _)| zone).collect();
        assert_eq!(zones.len(), 1, "{more} {zones:?}");
    }
}

/// A lone database node: the web's pods prefer to be there, or anywhere else, where a static node is as empty.
#[test]
fn a_preference_for_company_is_a_score() {
    let together = |key: &str| {
        let db = "name = \"db\"\nreplicas = 1";
        let term = "{ topology_key = \"kubernetes.io/hostname\", deployments = [\"db\"], weight = 100 }";
        let web = format!("name = \"web\"\nschedule = [{{ at = \"30 s\", replicas = 1 }}]\n{key} = [{term}]");
        let nodes = "static_nodes = [{ count = 4, instance_type = \"m5.4xlarge\" }]\n";
        let told = run(&format!("{nodes}{}", scenario_of(&[db, &web], &[""])));
        assert_eq!((told.record.outcome, told.record.nodes_launched), (Outcome::Reached, 0), "{key}");
        let seen = Seen::of(&told);
        seen.placed[&0].0 == seen.placed[&1].0
    };
    assert!(together("pod_affinity") && !together("pod_anti_affinity"));
}

/// Karpenter gives a preference up that no node can meet.
#[test]
fn a_preferred_term_is_given_up() {
    let web = "replicas = 4\npod_anti_affinity = [{ topology_key = \"topology.kubernetes.io/zone\", weight = 1 }]\n\
               pod_affinity = [{ topology_key = \"kubernetes.io/hostname\", weight = 2, deployments = [\"db\"] }]";
    let db = "name = \"db\"\nschedule = [{ at = \"5 min\", replicas = 1 }]";
    let told = run(&scenario_of(&[web, db], &[""]));
    assert_eq!((told.record.outcome, told.record.pods_ready_at_end), (Outcome::Reached, 5));
}

/// Pods that tolerate everything are bound before the network is there, and start as soon as it is.
#[test]
fn a_pod_that_tolerates_everything_waits_for_the_network() {
    let scenario = scenario_of(&["replicas = 3\ntolerations = [{ operator = \"Exists\" }]"], &[""]);
    let prepared = prepare(&format!("static_nodes = []\n{scenario}"));
    let wishes = Wishes { check: true, trace: true, ..Wishes::default() };
    // Whether a pod's back-off ends before the network is there is chance.
    let bound_first = (0..10).filter(|replication| {
        let told = tell(&prepared, 1, *replication, wishes);
        assert_eq!(told.record.outcome, Outcome::Reached);
        let first = |part: &str| told.trace.iter().position(|line| line.contains(part)).unwrap();
        let bound_first = first("\"pod_bound\"") < first("\"cni_ready\"");
        assert!(!bound_first || told.record.cause_pod_ms[Cause::CniStart as usize] > 0);
        bound_first
    });
    assert!(bound_first.count() > 0);
}

/// A thousand pods over three zones on hundreds of nodes.
#[test]
fn a_thousand_spread_pods_reach() {
    let spread = "replicas = 1000\ntopology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", max_skew = 1 }]";
    let told = tell(&prepare(&scenario_of(&[spread], &[""])), 1, 0, Wishes::default());
    assert_eq!(told.record.outcome, Outcome::Reached);
    assert!(told.record.nodes_launched >= 334);
}

/// A shape's scores weigh as much as the other strategies': one that rises packs as MostAllocated does, against
/// BalancedAllocation, which would rather have the pods apart.
#[test]
fn a_rising_shape_packs() {
    let nodes_used = |scheduler: &str| {
        let nodes = "static_nodes = [{ count = 4, instance_type = \"m5.4xlarge\" }]\n";
        let told = run(&format!(
            "{nodes}{}[kube_scheduler]\ndefault_spread = false\n{scheduler}\n",
            scenario_of(&["replicas = 12"], &[""])
        ));
        assert_eq!(told.record.outcome, Outcome::Reached);
        Seen::of(&told).pods_by(|node| node).len()
    };
    let shape = "shape = [{ utilization = 0, score = 0 }, { utilization = 100, score = 10 }]";
    assert_eq!(nodes_used("scoring_strategy = \"LeastAllocated\""), 4);
    assert_eq!(nodes_used("scoring_strategy = \"MostAllocated\""), 1);
    assert_eq!(nodes_used(&format!("scoring_strategy = \"RequestedToCapacityRatio\"\n{shape}")), 1);
}

/// Two full nodes and no more to be had: three pods of higher priority take the places of three others, which stop first.
#[test]
fn higher_priority_takes_the_place_of_lower() {
    let scenario = |priority: i32| {
        let nodes = "static_nodes = [{ count = 2, instance_type = \"m5.xlarge\" }]\ntarget_pods = 9\n";
        let high = format!("schedule = [{{ at = \"2 min\", replicas = 3 }}]\npriority = {priority}");
        format!("{nodes}{}", scenario_of(&["replicas = 6", &high], &["limits = { nodes = 0 }"]))
    };
    let told = run(&scenario(1_000));
    assert_eq!((told.record.pods_ready_at_end, told.record.reason), (6, Some(Cause::PoolLimit)));
    let count = |event: &str| told.trace.iter().filter(|line| line.contains(event)).count();
    assert_eq!((count("\"pod_preempts\""), count("\"pod_gone\"")), (3, 3));
    let seen = Seen::of(&told);
    for pod in 6..9 {
        let (_, at) = seen.placed[&pod];
        assert!(
            (150_000.0..170_000.0).contains(&at),
            "pod {pod} at {at} ms: 30 s are for the victims to stop"
        );
    }
    let waited = told.record.cause_pod_ms[Cause::SchedulerBackoff as usize];
    assert!(waited >= 3 * 29_000, "{waited} ms in which victims stopped");
    // Of the same priority nobody goes.
    let told = run(&scenario(0));
    assert_eq!(told.record.pods_ready_at_end, 6);
    assert!(!told.trace.iter().any(|line| line.contains("\"pod_preempts\"")));
    assert!(Seen::of(&told).placed.keys().all(|pod| *pod < 6));
}

/// Nobody goes where the volumes of who comes do not reach.
#[test]
fn no_pod_makes_room_where_volumes_are_not() {
    let preempted = |zone: &str| {
        // One node, in the first zone.
        let nodes = "static_nodes = [{ count = 1, instance_type = \"m5.xlarge\" }]\ntarget_pods = 5\n";
        let high = "schedule = [{ at = \"2 min\", replicas = 2 }]\npriority = 10\n";
        let high = format!("{high}volumes = [{{ zone = \"{zone}\" }}]");
        let text = format!("{nodes}{}", scenario_of(&["replicas = 3", &high], &["limits = { nodes = 0 }"]));
        let told = run(&text);
        told.trace.iter().filter(|line| line.contains("\"pod_preempts\"")).count()
    };
    assert_eq!(preempted("us-east-1a"), 2);
    assert_eq!(preempted("us-east-1b"), 0);
}

/// Where Karpenter may launch, those that had to go come to be on new nodes.
#[test]
fn victims_find_new_nodes() {
    let nodes = "static_nodes = [{ count = 4, instance_type = \"m5.xlarge\" }]\n";
    let high = "schedule = [{ at = \"1 min\", replicas = 8 }]\npriority = 10";
    let told = run(&format!("{nodes}{}", scenario_of(&["replicas = 12", high], &[""])));
    assert_eq!((told.record.outcome, told.record.pods_ready_at_end), (Outcome::Reached, 20));
    assert!(told.trace.iter().any(|line| line.contains("\"pod_preempts\"")));
    assert!(told.record.nodes_launched >= 3);
}

/// Runs of every kind of constraint, tight markets and small subnets: exactly one cause a pod at every instant, the same
/// bytes for the same seed, and no run that was called stuck reaches after all.
/// Pods that come after a node was cordoned get a new one, though the cordoned has room for them.
#[test]
fn a_cordoned_node_is_not_counted_on() {
    let static_node = "[[static_nodes]]\ncount = 1\ninstance_type = \"m5.4xlarge\"\ncordon_at = \"1 s\"\n";
    for more in [
        "",
        "tolerations = [{ key = \"dedicated\", operator = \"Exists\" }]",
        "topology_spread = [{ topology_key = \"topology.kubernetes.io/zone\" }]",
    ] {
        let app = format!("schedule = [{{ at = \"5 s\", replicas = 3 }}]\n{more}");
        let told = run(&format!("{}{static_node}", scenario_of(&[&app], &[""])));
        assert_eq!(told.record.outcome, Outcome::Reached, "{more:?}");
        assert!(told.record.nodes_launched > 0, "{more:?}");
    }
}

#[test]
fn constrained_runs_keep_their_books() {
    let placements = [
        "topology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", max_skew = 2 }, { topology_key = \"kubernetes.io/hostname\", max_skew = 2, when_unsatisfiable = \"ScheduleAnyway\" }]",
        "pod_anti_affinity = [\"kubernetes.io/hostname\"]\ntolerations = [{ operator = \"Exists\", effect = \"NoSchedule\" }]",
        "node_selector = { \"karpenter.sh/capacity-type\" = \"spot\" }\npriority = 5",
        "pod_affinity = [\"topology.kubernetes.io/zone\"]\npod_anti_affinity = [{ topology_key = \"kubernetes.io/hostname\", deployments = [\"app-2\"] }]",
    ];
    let pool = "capacity_types = [\"spot\", \"on-demand\"]\nstartup_taints = [{ key = \"a\", effect = \"NoSchedule\", removed_after = \"50 s\" }]\n\
                taints = [{ key = \"b\", effect = \"PreferNoSchedule\" }]\ninstance_types = [\"m5.xlarge\"]";
    for more in
        ["market = \"tight\"", "profile = \"2022-11\"", "quotas = { on_demand_vcpus = 24, spot_vcpus = 40 }"]
    {
        let deployments = placements.map(|placement| format!("replicas = 25\n{placement}"));
        let deployments = deployments.each_ref().map(String::as_str);
        let text = format!("{more}\n{}[[node_pools]]\n{pool}\n", scenario_of(&deployments, &[]));
        let text = text.replace("subnet_prefix_length = 19", "subnet_prefix_length = 24");
        let (once, again) = (run(&text), run(&text));
        assert_eq!(once.record, again.record, "{more}");
        assert!(once.record.pods_ready_at_end > 20, "{more}: {:?}", once.record.outcome);
        let ends = once.history.iter().filter(|(_, cause, _)| cause.is_none()).count();
        assert!(ends >= once.record.pods_ready_at_end as usize);
        if once.record.outcome == Outcome::Stuck {
            let on = Wishes { stop_when_stuck: false, ..Wishes::default() };
            let later = tell(&prepare(&text), 1, 0, on).record;
            assert_eq!(later.pods_ready_at_end, once.record.pods_ready_at_end, "{more}");
        }
    }
}

/// A Deployment that affinity names and that is none is told at its line, with the nearest name.
#[test]
fn affinity_to_nobody_is_told_where_it_stands() {
    let text = "target_pods = 1\n[[deployments]]\nname = \"web\"\nreplicas = 1\n\
                pod_affinity = [{ topology_key = \"kubernetes.io/hostname\", deployments = [\"wep\"] }]\n";
    let told = common::runs::read_in_full(text).unwrap_err();
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["case.toml:5:", "deployments[0].pod_affinity", "did you mean", "web"] {
        assert!(told[0].contains(part), "{part}: {}", told[0]);
    }
}

/// An agent of 1 CPU on the nodes of one pool: two pods fit there beside it, three elsewhere. Only there does it take addresses.
#[test]
fn a_daemonset_counts_on_nodes_that_it_chooses() {
    let pools = [
        "name = \"a\"\nlabels = { team = \"a\" }\ntaints = [{ key = \"a\", effect = \"NoSchedule\" }]",
        "name = \"b\"\nlabels = { team = \"b\" }",
    ];
    let app = |pool: &str| {
        format!(
            "replicas = 12\nnode_selector = {{ team = \"{pool}\" }}\ntolerations = [{{ key = \"a\", operator = \"Exists\" }}]"
        )
    };
    let check = |choice: &str, nodes: [u32; 2]| {
        let agent = format!(
            "[[daemonsets]]\nname = \"agent\"\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"10 MB\"\n{choice}\n"
        );
        let told = run(&("until = \"horizon\"\n".to_string()
            + &scenario_of(&[&app("a"), &app("b")], &pools)
            + &agent));
        assert_eq!(told.record.outcome, Outcome::Reached, "{choice}");
        let seen = Seen::of(&told);
        let of = |deployment: u64| {
            let pods = seen.placed.iter().filter(|(pod, _)| **pod / 12 == deployment);
            pods.map(|(_, (node, _))| *node).collect::<BTreeSet<u64>>()
        };
        assert_eq!([of(0).len() as u32, of(1).len() as u32], nodes, "{choice}");
        let with_agent = |nodes: u32, least: u32| if nodes == least { 0 } else { nodes };
        let pulls: Vec<u64> = told.trace.iter().filter_map(|line| pulled_by_daemon(line)).collect();
        assert_eq!(
            pulls.len() as u32,
            nodes.map(|nodes| with_agent(nodes, 4)).iter().sum::<u32>(),
            "{choice}"
        );
        let chosen: BTreeSet<u64> =
            [of(0), of(1)].into_iter().filter(|own| own.len() > 4).flatten().collect();
        assert_eq!(pulls.into_iter().collect::<BTreeSet<u64>>(), chosen, "{choice}");
    };
    check("node_selector = { team = \"a\" }", [6, 4]);
    check("node_selector = { team = \"b\" }", [4, 6]);
    check("", [6, 6]);
    check(
        "node_affinity = { required = [{ expressions = [{ key = \"team\", operator = \"NotIn\", values = [\"a\"] }] }] }",
        [4, 6],
    );
    check(
        "node_affinity = { preferred = [{ expressions = [{ key = \"team\", operator = \"In\", values = [\"b\"] }] }] }",
        [6, 6],
    );
    check("tolerates_everything = false", [4, 6]);
    check("tolerations = [{ key = \"a\", operator = \"Exists\" }]", [6, 6]);
    check("node_selector = { team = \"a\" }\ntolerations = [{ key = \"b\", operator = \"Exists\" }]", [4, 4]);
}

fn pulled_by_daemon(line: &str) -> Option<u64> {
    let line: Value = serde_json::from_str(line).unwrap();
    (line["event"] == "daemon_image").then(|| line["node"].as_u64().unwrap())
}

/// Beside the agent of 1 CPU an m5.xlarge does not hold the pod any more: Karpenter takes a larger type, and has none where there is
/// none.
#[test]
fn types_of_a_pool_differ_by_their_daemonsets() {
    let launched = |on: &str, types: &str| {
        let agent = format!(
            "[[daemonsets]]\ncpu = \"1\"\nnode_selector = {{ \"node.kubernetes.io/instance-type\" = \"{on}\" }}\n"
        );
        let pool = format!("[[node_pools]]\ninstance_types = [{types}]\ncapacity_types = [\"on-demand\"]\n");
        let told = run(&format!(
            "[[deployments]]\nreplicas = 1\ncpu = \"3500m\"\nmemory = \"2 GiB\"\n{pool}{agent}"
        ));
        let lines = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut launches = lines.filter(|line| line["event"] == "instance_launched");
        launches
            .next()
            .map(|line| line["instance_type"].as_str().unwrap().to_owned())
            .ok_or(told.record.reason)
    };
    let both = "\"m5.xlarge\", \"m5.2xlarge\"";
    assert_eq!(launched("m5.xlarge", both), Ok("m5.2xlarge".into()));
    assert_eq!(launched("m5.2xlarge", both), Ok("m5.xlarge".into()));
    assert_eq!(launched("m5.xlarge", "\"m5.xlarge\""), Err(Some(Cause::NoInstanceType)));
}

#[test]
fn a_daemonset_without_a_node_is_told_of() {
    let read = |more: &str| {
        let mut problems = Problems::default();
        let text = scenario_of(&["replicas = 3"], &[""]) + "[[daemonsets]]\nname = \"agent\"\n" + more;
        let document = Document::parse("a.toml", &text, &mut problems);
        scenario::read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()))
    };
    let warnings = |more: &str| read(more).unwrap().warnings;
    assert_eq!(
        warnings("node_selector = { \"node.kubernetes.io/instance-type\" = \"m5.xlarge\" }"),
        Vec::<String>::new()
    );
    let told = warnings("node_selector = { disk = \"ssd\" }");
    assert!(told.len() == 1 && told[0].starts_with("no pod of daemonsets[0] (agent)"), "{told:?}");
    let both = "tolerates_everything = true\ntolerations = [{ key = \"a\", operator = \"Exists\" }]";
    assert_eq!(read(both).unwrap_err()[0].key, "daemonsets[0].tolerations");
}

/// Three would fit by CPU; of pods that want the same port each has a node of its own, and another protocol is another port.
#[test]
fn pods_with_one_host_port_share_no_node() {
    let on = |ports: &str| format!("replicas = 4\nhost_ports = {ports}");
    let nodes = |first: &str, second: &str| {
        let told = run(&scenario_of(&[&on(first), &on(second)], &[""]));
        assert_eq!(told.record.outcome, Outcome::Reached, "{first} {second}");
        Seen::of(&told).pods_by(|node| node).into_values().collect::<Vec<u32>>()
    };
    assert_eq!(nodes("[8080]", "[8080]"), [1; 8]);
    assert_eq!(nodes("[8080]", "[8081]"), [2; 4]);
    assert_eq!(nodes("[53]", "[{ port = 53, protocol = \"UDP\" }]"), [2; 4]);
    assert_eq!(nodes("[{ port = 53, ip = \"127.0.0.1\" }]", "[{ port = 53, ip = \"127.0.0.2\" }]"), [2; 4]);
    assert_eq!(nodes("[{ port = 53, ip = \"127.0.0.1\" }]", "[{ port = 53, ip = \"0.0.0.0\" }]"), [1; 8]);
}

/// As the API refuses it.
#[test]
fn a_pod_has_a_host_port_once() {
    let refused = |ports: &str| {
        let mut problems = Problems::default();
        let text = scenario_of(&[&format!("replicas = 1\nhost_ports = {ports}")], &[""]);
        let document = Document::parse("a.toml", &text, &mut problems);
        let read = scenario::read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()));
        let problems = read.err().into_iter().flatten();
        problems.map(|problem| problem.key).collect::<Vec<String>>()
    };
    assert_eq!(refused("[80, { port = 80, protocol = \"UDP\" }, { port = 80, ip = \"10.0.0.1\" }]"), [""; 0]);
    assert_eq!(refused("[80, 81, { port = 80, ip = \"0.0.0.0\" }]"), ["deployments[0].host_ports[2]"]);
    assert_eq!(refused("[0, 80, 70000]"), ["deployments[0].host_ports[0]", "deployments[0].host_ports[2]"]);
}

/// A DaemonSet's port keeps pods off its nodes for good; another pool has none of it.
#[test]
fn a_daemonsets_host_port_is_taken_on_its_nodes() {
    let agent = |choice: &str| format!("[[daemonsets]]\nname = \"agent\"\nhost_ports = [9100]\n{choice}\n");
    let app = "replicas = 3\nhost_ports = [9100]";
    let told = run(&(scenario_of(&[app], &[""]) + &agent("")));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
    let pools = ["weight = 10\nlabels = { team = \"a\" }", "name = \"b\"\nlabels = { team = \"b\" }"];
    let text = scenario_of(&[app], &pools) + &agent("node_selector = { team = \"a\" }");
    let told = run(&text);
    assert_eq!(told.record.outcome, Outcome::Reached);
    assert_eq!(Seen::of(&told).nodes.len(), 3);
    let mut problems = Problems::default();
    let document = Document::parse("a.toml", &(scenario_of(&[app], &[""]) + &agent("")), &mut problems);
    let read = scenario::read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in())).unwrap();
    assert!(read.warnings.len() == 1 && read.warnings[0].contains("DaemonSet agent"), "{:?}", read.warnings);
}

/// On the one node that both may go to: the second waits until the first has left, or sends it away.
#[test]
fn a_host_port_comes_free_with_its_pod() {
    let placed = |first: &str, second: &str| {
        let one = "static_nodes = [{ instance_type = \"m5.xlarge\", count = 1 }]\nuntil = \"horizon\"\ntarget_pods = 1\n";
        let on_it = "host_ports = [80]\nnode_selector = { \"kubernetes.io/hostname\" = \"node-0\" }\n";
        let (first, second) = (format!("{on_it}{first}"), format!("{on_it}{second}"));
        let told = run(&(one.to_string() + &scenario_of(&[&first, &second], &[])));
        let placed = Seen::of(&told).placed;
        placed.iter().map(|(pod, (_, at))| (*pod, *at)).collect::<Vec<(u64, f64)>>()
    };
    let leaves = "schedule = [{ at = \"0 s\", replicas = 1 }, { at = \"60 s\", replicas = 0 }]";
    let second = "schedule = [{ at = \"10 s\", replicas = 1 }]";
    let all = placed(leaves, second);
    // Its grace is 30 s.
    assert!(all.len() == 2 && all[0].1 < 5e3 && all[1].1 > 90e3 && all[1].1 < 100e3, "{all:?}");
    let all = placed("replicas = 1", second);
    assert_eq!(all.len(), 1, "{all:?}");
    let all = placed("replicas = 1", &format!("{second}\npriority = 10"));
    assert!(all.len() == 2 && all[1].1 > 40e3 && all[1].1 < 50e3, "{all:?}");
}

/// A volume holds its pods to its zone, on nodes that are there and on new ones.
#[test]
fn pods_go_where_their_volumes_are() {
    let zones = |volumes: &str, pools: &[&str]| {
        let one = "static_nodes = [{ instance_type = \"m5.xlarge\", count = 3 }]\n".to_string();
        let told = run(&(one + &scenario_of(&[&format!("replicas = 12\nvolumes = {volumes}")], pools)));
        let seen = Seen::of(&told);
        let nodes: BTreeSet<u64> = seen.placed.values().map(|(node, _)| *node).collect();
        let zones = nodes.iter().filter(|node| **node >= 3).map(|node| seen.zone(*node)).collect();
        (told.record.outcome, nodes.into_iter().filter(|node| *node < 3).collect::<Vec<u64>>(), zones)
    };
    // The three static nodes are one a zone.
    let in_zones =
        |zones: &[&str]| zones.iter().map(|zone| format!("us-east-1{zone}")).collect::<BTreeSet<_>>();
    let (reached, b) = (Outcome::Reached, "[{ zone = \"us-east-1b\" }]");
    assert_eq!(zones(b, &[""]), (reached, vec![1], in_zones(&["b"])));
    let two = "[{ zones = [\"us-east-1a\", \"us-east-1b\"] }, { zones = [\"us-east-1b\", \"us-east-1c\"] }]";
    assert_eq!(zones(two, &[""]), (reached, vec![1], in_zones(&["b"])));
    let in_a = "requirements = [{ key = \"topology.kubernetes.io/zone\", operator = \"In\", values = [\"us-east-1a\"] }]";
    assert_eq!(zones(b, &[in_a]), (Outcome::Stuck, vec![1], in_zones(&[])));
}

/// Spread over zones of which volumes reach but two: it is no limit of a pool that they wait for.
#[test]
fn pods_that_spreading_keeps_off_wait_for_no_limit() {
    let spread = "topology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", max_skew = 1 }]";
    let app = format!("replicas = 9\nvolumes = [{{ zones = [\"us-east-1a\", \"us-east-1b\"] }}]\n{spread}");
    let told = run(&scenario_of(&[&app], &[""]));
    // It is Karpenter that counts the third zone, which proves nothing to the scheduler.
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Horizon, Some(Cause::NoInstanceType)));
    assert_eq!(told.record.cause_pod_ms[Cause::PoolLimit as usize], 0);
}

#[test]
fn volumes_that_no_node_reaches_are_told_of() {
    let read = |volumes: &str| {
        let mut problems = Problems::default();
        let text = scenario_of(&[&format!("replicas = 3\nvolumes = {volumes}")], &[""]);
        let document = Document::parse("a.toml", &text, &mut problems);
        scenario::read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()))
    };
    let warnings = |volumes: &str| read(volumes).unwrap().warnings;
    assert_eq!(warnings("[{ zone = \"us-east-1a\" }]"), Vec::<String>::new());
    let told = warnings("[{ zone = \"us-east-1d\" }]");
    assert!(told.len() == 1 && told[0].contains("topology.kubernetes.io/zone"), "{told:?}");
    let apart = "[{ zone = \"us-east-1a\" }, { zone = \"us-east-1b\" }]";
    assert_eq!(read(apart).unwrap_err()[0].key, "deployments[0].volumes");
    for wrong in ["[{}]", "[{ zones = [] }]", "[{ zone = \"us-east-1a\", zones = [\"us-east-1a\"] }]"] {
        assert_eq!(read(wrong).unwrap_err()[0].key, "deployments[0].volumes[0].zone", "{wrong}");
    }
}

/// Karpenter forgets a DaemonSet's terms that fail for one of the pool's types; on a node under way it looks for the first that is
/// left, and only for that. Then the pods that come next are meant for room that the DaemonSet's pod will take.
#[test]
fn a_daemonset_whose_term_is_forgotten_is_not_expected_on_nodes_under_way() {
    let launches = |first: &str, second: &str| {
        let size = |size: &str| {
            format!(
                "{{ expressions = [{{ key = \"karpenter.k8s.aws/instance-size\", operator = \"In\", values = [\"{size}\"] }}] }}"
            )
        };
        let text = format!(
            "horizon = \"10 min\"\nuntil = \"horizon\"\n\
             [[deployments]]\ncpu = \"500m\"\nmemory = \"100 MiB\"\n\
             schedule = [{{ at = \"0 s\", replicas = 1 }}, {{ at = \"12 s\", replicas = 3 }}]\n\
             [[daemonsets]]\nname = \"agent\"\ncpu = \"1\"\nmemory = \"100 MiB\"\n\
             node_affinity = {{ required = [{}, {}] }}\n\
             [[node_pools]]\ninstance_types = [\"m5.large\", \"m5.xlarge\"]\ncapacity_types = [\"on-demand\"]\n",
            size(first),
            size(second)
        );
        let told = run(&text);
        assert_eq!(told.record.pods_ready_at_end, 3);
        let lines = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let claims = lines.filter(|line| line["event"] == "claim_created");
        claims.map(|line| line["at_ms"].as_f64().unwrap() / 1e3).collect::<Vec<f64>>()
    };
    // The first claim's node is an m5.large, which holds one of the pods beside the DaemonSet's.
    let (forgotten, left) = (launches("large", "xlarge"), launches("xlarge", "large"));
    assert!(left[0] < 5.0 && left[1] > 12.0 && left[1] < 20.0, "{left:?}");
    assert!(forgotten[0] < 5.0 && forgotten[1] > 25.0, "only once the node is full: {forgotten:?}");
}
