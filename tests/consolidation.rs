//! Nodes that Karpenter takes away in whole runs: emptiness, consolidation, drift, expiry; budgets and validation.

use std::path::Path;
use std::sync::Arc;

use kilopod::actors::karpenter::disruption::Reason;
use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, simulate, tell};
use kilopod::input::{Document, Problem, Problems};
use kilopod::scenario;
use serde_json::Value;

/// 90 pods on on-demand nodes, three or so a node, scaled to 20 after ten minutes; the pool says more.
fn read(pool: &str, deployment: &str) -> Result<Prepared, Vec<Problem>> {
    let text = format!(
        "horizon = \"40 min\"\n[[deployments]]\nname = \"app\"\ncpu = \"1\"\nmemory = \"2 GiB\"\n\
         termination_grace = {{ constant = \"5 s\" }}\n{deployment}\n\
         [[node_pools]]\nname = \"default\"\ncapacity_types = [\"on-demand\"]\n{pool}\n"
    );
    let mut problems = Problems::default();
    let document = Document::parse("consolidation.toml", &text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    scenario::read(&document, "consolidation", Path::new("."), &Arc::new(Catalogue::compiled_in()))
        .map(|read| Prepared::new(read.scenario))
}
const SMALL: &str = "instance_types = [\"m5.xlarge\"]\n";
const DOWN: &str = "schedule = [{ at = \"0 s\", replicas = 90 }, { at = \"10 min\", replicas = 20 }]";
const STEADY: &str = "schedule = [{ at = \"0 s\", replicas = 90 }]";

/// The run with its books checked after every event.
fn run(pool: &str, deployment: &str) -> Told {
    let prepared = read(pool, deployment).unwrap_or_else(|problems| panic!("{problems:#?}"));
    tell(&prepared, 11, 0, Wishes { check: true, trace: true, ..Wishes::default() })
}
fn lines<'a>(told: &'a Told, event: &'a str) -> impl Iterator<Item = Value> + 'a {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(move |line| line["event"] == event)
}
fn removed(told: &Told, reason: Reason) -> u64 {
    told.record.nodes_removed[reason as usize]
}
fn at_s(line: &Value) -> f64 {
    line["at_ms"].as_f64().unwrap() / 1e3
}
const FREE: &str = "budgets = [{ nodes = \"100%\" }]";

#[test]
fn nothing_goes_unless_the_pool_says_so() {
    let told = run(SMALL, DOWN);
    assert_eq!((told.record.nodes, told.record.nodes_removed), (30, [0; 5]));
    let never = run(&format!("{SMALL}disruption = {{ consolidate_after = \"Never\" }}"), DOWN);
    assert_eq!((never.record.nodes, never.record.nodes_removed), (30, [0; 5]));
}

#[test]
fn empty_nodes_go_after_a_second_look_and_give_back_money_and_addresses() {
    let told = run(&format!("{SMALL}disruption = {{ consolidation_policy = \"WhenEmpty\", {FREE} }}"), DOWN);
    let record = &told.record;
    let empty = removed(&told, Reason::Empty);
    assert!(empty >= 5 && record.pods_evicted == 0, "{:?}", record.nodes_removed);
    assert_eq!((u64::from(record.nodes), record.pods_ready_at_end), (30 - empty, 20));
    let first = lines(&told, "disrupting").next().unwrap();
    // No node is empty before its pods have used up their grace; then the loop comes round, and waits 15 s.
    assert!(at_s(&first) > 620.0 && at_s(&first) < 640.0, "{first}");
    let (before, after) = (record.timeline[44], record.timeline[180]);
    assert_eq!(after.cents_per_hour, before.cents_per_hour * record.nodes / 30);
    assert!(after.addresses_free > before.addresses_free + 15 * empty as u32);
}

#[test]
fn underutilized_nodes_go_too_and_their_pods_come_up_elsewhere() {
    let told = run(&format!("{SMALL}disruption = {{ {FREE} }}"), DOWN);
    let record = &told.record;
    // 20 pods of which three fit on a node.
    assert_eq!((record.nodes, record.pods_ready_at_end), (7, 20), "{:?}", record.nodes_removed);
    let underutilized = removed(&told, Reason::Underutilized);
    assert!(underutilized >= 4 && record.pods_evicted >= underutilized, "{:?}", record.nodes_removed);
    assert_eq!(record.pods_lost, 0);
}

#[test]
fn a_node_that_costs_less_takes_the_place_of_a_large_one() {
    let down = "schedule = [{ at = \"0 s\", replicas = 14 }, { at = \"10 min\", replicas = 2 }]";
    let pool =
        format!("instance_types = [\"m5.4xlarge\", \"m5.large\", \"m5.xlarge\"]\ndisruption = {{ {FREE} }}");
    let told = run(&pool, down);
    let launched: Vec<Value> = lines(&told, "instance_launched").collect();
    assert_eq!(launched.last().unwrap()["instance_type"], "m5.xlarge", "{launched:?}");
    assert_eq!((told.record.nodes, told.record.pods_ready_at_end), (1, 2));
    // The old node goes once the new one is initialized.
    let (gone, replaced) =
        (lines(&told, "claim_deleted").last().unwrap(), lines(&told, "disrupting").last().unwrap());
    assert_eq!(replaced["replacements"], 1);
    let usable = lines(&told, "node_usable").last().unwrap();
    assert!(at_s(&replaced) < at_s(&usable) && at_s(&usable) < at_s(&gone), "{replaced} {usable} {gone}");
}

#[test]
fn a_budget_of_pods_keeps_nodes_and_a_budget_of_nodes_slows_the_loop() {
    let pool = format!("{SMALL}disruption = {{ {FREE} }}");
    let blocked = run(&pool, &format!("{DOWN}\npdb = {{ max_unavailable = 0 }}"));
    assert_eq!((removed(&blocked, Reason::Underutilized), blocked.record.pods_evicted), (0, 0));
    assert!(removed(&blocked, Reason::Empty) > 0);
    let paused = run(
        &format!(
            "{SMALL}disruption = {{ budgets = [{{ nodes = \"10%\" }}, {{ nodes = 0, from = \"10 min\", lasts = \"10 min\" }}] }}"
        ),
        DOWN,
    );
    let first = lines(&paused, "disrupting").next().unwrap();
    assert!(at_s(&first) >= 1_200.0, "{first}");
}

/// Evictions while the ReplicaSet still deletes are no loss to it; once it has done, it makes good what they took too much.
#[test]
fn evictions_in_the_middle_of_a_scale_in_are_made_good() {
    let down = "schedule = [{ at = \"0 s\", replicas = 600 }, { at = \"10 min\", replicas = 60 }]";
    let pool = "instance_types = [\"m5.4xlarge\"]\ndisruption = {}";
    let prepared = read(pool, down).unwrap_or_else(|problems| panic!("{problems:#?}"));
    for replication in 0..6 {
        let record = simulate(&prepared, 1, replication);
        assert!(record.nodes_removed[Reason::Underutilized as usize] > 0, "{:?}", record.nodes_removed);
        assert_eq!(record.pods_ready_at_end, 60, "replication {replication}");
    }
}

/// By the instants of the trace, the most nodes of the pool that were tainted and not gone at once.
fn most_disrupted(told: &Told) -> usize {
    let (mut out, mut most) = (0usize, 0);
    for line in &told.trace {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["event"].as_str().unwrap() {
            "disrupting" => out += line["nodes"].as_u64().unwrap() as usize,
            "instance_stopping" => out -= 1,
            _ => {}
        }
        most = most.max(out);
    }
    most
}

#[test]
fn budgets_are_never_exceeded() {
    for (budget, most) in [("\"10%\"", 3), ("2", 2), ("\"34%\"", 11)] {
        let told = run(&format!("{SMALL}disruption = {{ budgets = [{{ nodes = {budget} }}] }}"), DOWN);
        let disrupted = most_disrupted(&told);
        assert!(disrupted > 0 && disrupted <= most, "{disrupted} at once with {budget}");
    }
}

#[test]
fn drifted_nodes_are_replaced_before_they_go() {
    let text = "instance_types = [\"m5.4xlarge\"]\ndrift_at = \"10 min\"";
    let on = "schedule = [{ at = \"0 s\", replicas = 91 }, { at = \"9 min\", replicas = 90 }]";
    let told = run(text, on);
    let record = &told.record;
    assert_eq!((removed(&told, Reason::Drifted), record.nodes, record.pods_ready_at_end), (7, 6, 90));
    // Seven of which the last holds one pod, then six that are full.
    assert_eq!(record.nodes_launched, 13);
    assert!(most_disrupted(&told) == 1, "a tenth of seven nodes, rounded up");
    let ready = record.timeline[46..].iter().map(|point| point.pods_ready).min().unwrap();
    assert!(ready >= 90 - 15, "one node's pods at a time: {ready} Ready at the least");
}

#[test]
fn expired_nodes_go_without_a_budget_and_their_pods_come_back() {
    let on = "schedule = [{ at = \"0 s\", replicas = 91 }, { at = \"9 min\", replicas = 90 }]";
    let told = run("instance_types = [\"m5.4xlarge\"]\nexpire_after = \"15 min\"", on);
    let record = &told.record;
    assert_eq!(
        (removed(&told, Reason::Expired), record.pods_ready_at_end),
        (13, 90),
        "seven nodes, then the six that follow them"
    );
    assert_eq!(record.nodes, 6);
}

#[test]
fn what_pools_say_of_disruption_is_read_whole() {
    let problems = |pool: &str| -> Vec<String> {
        let told = read(pool, STEADY).expect_err("it is refused");
        told.into_iter().map(|problem| problem.key).collect()
    };
    let keys = problems(
        "expire_after = \"1 min\"\ndisruption = { consolidation_policy = \"WhenIdle\", consolidate_after = \"30\", \
         budgets = [{ nodes = \"1000a%\", reasons = [\"Idle\"], from = \"1 min\" }] }",
    );
    let wanted = [
        "node_pools[0].expire_after",
        "node_pools[0].disruption.consolidation_policy",
        "node_pools[0].disruption.consolidate_after",
        "node_pools[0].disruption.budgets[0].nodes",
        "node_pools[0].disruption.budgets[0].reasons",
        "node_pools[0].disruption.budgets[0].from",
    ];
    assert_eq!(keys, wanted);
}
