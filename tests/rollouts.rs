//! Rolling updates: bounds on pods at every instant, what surge pods do to addresses, and how a rollout ends.

mod common {
    pub mod runs;
}

use std::collections::BTreeMap;

use common::runs::{read, run, run_with};
use kilopod::components::Told;
use kilopod::results::Outcome;
use serde_json::Value;

fn app(replicas: u32, more: &str) -> String {
    format!(
        "horizon = \"40 min\"\n[[deployments]]\nreplicas = {replicas}\ncpu = \"1\"\nmemory = \"2 GiB\"\nstartup = {{ constant = \"5 s\" }}\nreadiness = {{ period = \"2 s\" }}\n{more}\n"
    )
}

fn lines(told: &Told) -> Vec<Value> {
    told.trace.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
fn at_ms(line: &Value) -> f64 {
    line["at_ms"].as_f64().unwrap()
}
fn named<'l>(lines: &'l [Value], event: &'static str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["event"] == event)
}

/// (most pods that are there, fewest Ready), from the first change of the template on.
fn extremes(told: &Told) -> (usize, usize) {
    let (mut stages, mut begun) = (BTreeMap::new(), false);
    let (mut most, mut fewest) = (0, usize::MAX);
    for line in lines(told) {
        match (line["event"].as_str().unwrap(), line["pod"].as_u64()) {
            ("pod_created", Some(pod)) => drop(stages.insert(pod, false)),
            ("pod_is_ready", Some(pod)) => drop(stages.insert(pod, true)),
            ("pod_deleted", Some(pod)) => drop(stages.remove(&pod)),
            ("rollout_began", _) => begun = true,
            _ => {}
        }
        if begun {
            most = most.max(stages.len());
            fewest = fewest.min(stages.values().filter(|ready| **ready).count());
        }
    }
    (most, fewest)
}

#[test]
fn a_rolling_update_keeps_to_surge_and_unavailable_at_every_instant() {
    for (strategy, most, least) in [
        ("", 125, 75),
        ("strategy = { max_surge = 10, max_unavailable = 0 }", 110, 100),
        ("strategy = { max_surge = 0, max_unavailable = \"33%\" }", 100, 67),
    ] {
        let told = run(&app(100, &format!("rollouts = [{{ at = \"10 min\" }}]\n{strategy}")));
        let (there, ready) = extremes(&told);
        // The bounds are those of the ReplicaSets' sizes: a create may be answered before the delete that was sent just before it.
        assert!(there <= most + 1 && ready >= least, "{strategy}: {there} pods, {ready} Ready");
        // The bounds are used.
        assert!(there > most - 3 && ready < least + 3, "{strategy}: {there} pods, {ready} Ready");
        let record = &told.record;
        assert_eq!((record.outcome, record.pods_ready_at_end), (Outcome::Reached, 100));
        assert!(
            record.rollout_ms.is_some_and(|ms| (20_000..300_000).contains(&ms)),
            "{:?}",
            record.rollout_ms
        );
        let by_template = told.history.iter().map(|(pod, ..)| *pod).max().unwrap() + 1;
        assert_eq!(by_template, 200, "100 pods of each template");
    }
}

#[test]
fn recreate_makes_no_new_pod_before_the_last_old_one_is_gone() {
    let told = run(&app(60, "rollouts = [{ at = \"10 min\" }]\nstrategy = { type = \"Recreate\" }"));
    let all = lines(&told);
    let last_gone = named(&all, "pod_gone").map(at_ms).fold(0.0, f64::max);
    let first_made = named(&all, "pod_created").map(at_ms).find(|at| *at > 600_000.0).unwrap();
    assert!(last_gone > 630_000.0 && first_made > last_gone, "{last_gone} and {first_made}");
    assert_eq!((extremes(&told).1, told.record.pods_ready_at_end), (0, 60));
}

#[test]
fn surge_pods_take_addresses_while_those_of_old_ones_cool_down() {
    let pools = "[[static_nodes]]\ncount = 10\ninstance_type = \"m5.4xlarge\"\n";
    let most_attached = |more: &str| {
        let told = run(&format!("{}{pools}", app(100, more)));
        let points = told.record.timeline.iter();
        (told.record.pods_ready_at_end, points.map(|point| point.addresses_attached).max().unwrap())
    };
    let (ready, calm) = most_attached("");
    let (rolled, surge) = most_attached("rollouts = [{ at = \"10 min\" }]");
    assert_eq!((ready, rolled), (100, 100));
    assert!(surge > calm, "{surge} against {calm}");
}

#[test]
fn what_is_told_of_the_target_does_not_hang_on_a_rollout_after_it() {
    let told = |more: &str| {
        let record = run(&app(100, more)).record;
        (record.time_to_target_ms, record.cost_to_target_micro_usd, record.cause_pod_ms)
    };
    assert_eq!(told(""), told("rollouts = [{ at = \"10 min\", cpu = \"2\" }]"));
}

#[test]
fn surge_pods_do_not_stand_in_for_those_of_another_deployment() {
    let strategy =
        "rollouts = [{ at = \"5 min\" }]\nstrategy = { max_surge = \"100%\", max_unavailable = 0 }";
    let room =
        "[[static_nodes]]\ninstance_type = \"m5.24xlarge\"\n[[node_pools]]\nlimits = { cpu = \"0\" }\n";
    // No node has room for one of these.
    let large = "[[deployments]]\nreplicas = 10\ncpu = \"500\"\nmemory = \"1 GiB\"\nimage = \"0 MB\"\n";
    let told = run(&format!("{}{large}{room}", app(20, strategy)));
    assert!(extremes(&told).0 == 50, "20 of each template, and the 10 large ones");
    let record = &told.record;
    assert_eq!((record.outcome, record.pods_ready_at_end), (Outcome::Horizon, 20));
    assert!(record.time_to_50pct_ms.is_some() && record.time_to_target_running_ms.is_none());
    assert_eq!(record.timeline.iter().map(|point| point.pods_ready).max(), Some(20));
}

#[test]
fn a_rollout_after_the_horizon_keeps_no_run_from_being_stuck() {
    let outcome = |at: &str| {
        let text = app(20, &format!("rollouts = [{{ at = \"{at}\" }}]"));
        let room =
            "[[static_nodes]]\ninstance_type = \"m5.xlarge\"\n[[node_pools]]\nlimits = { cpu = \"0\" }\n";
        run(&format!("until = \"target\"\n{text}{room}")).record.outcome
    };
    assert_eq!((outcome("50 min"), outcome("39 min")), (Outcome::Stuck, Outcome::Horizon));
}

#[test]
fn surge_pods_count_once_their_deployment_wants_as_many() {
    let schedule = "schedule = [{ at = \"0 s\", replicas = 20 }, { at = \"6 min\", replicas = 40 }]";
    let strategy = "rollouts = [{ at = \"5 min\" }]\nstrategy = { max_surge = \"100%\", max_unavailable = 0 }\nmin_ready = \"2 min\"";
    let text = app(1, "").replace("replicas = 1\n", "");
    let record = run(&format!("{text}{schedule}\n{strategy}\n")).record;
    // All 40 are Ready some ten seconds after the change.
    assert_eq!((record.time_to_target_ms, record.time_to_target_running_ms), (Some(360_000), Some(360_000)));
}

#[test]
fn a_pod_counts_once_it_has_been_ready_for_long_enough() {
    let took = |more: &str| {
        run(&app(40, &format!("rollouts = [{{ at = \"10 min\" }}]\nstrategy = {{ max_surge = 4, max_unavailable = 0 }}\n{more}")))
            .record
            .rollout_ms
            .unwrap()
    };
    let (at_once, later) = (took(""), took("min_ready = \"20 s\""));
    // Ten steps of four pods, each of which waits for 20 s more.
    assert!(later > at_once + 150_000 && later < at_once + 260_000, "{at_once} and {later}");
}

#[test]
fn a_template_that_changes_again_takes_the_first_one_s_place() {
    let told = run(&app(80, "rollouts = [{ at = \"10 min\" }, { at = \"606 s\", memory = \"3 GiB\" }]"));
    let all = lines(&told);
    assert_eq!(
        named(&all, "rollout_complete").map(|line| line["replica_set"].as_u64()).collect::<Vec<_>>(),
        [Some(2)]
    );
    let last_of = |set: u64| {
        let sizes = named(&all, "replica_set_sized").filter(|line| line["replica_set"] == set);
        sizes.last().unwrap()["replicas"].as_u64().unwrap()
    };
    assert_eq!([0, 1, 2].map(last_of), [0, 0, 80]);
    assert_eq!(told.record.pods_ready_at_end, 80);
}

#[test]
fn scaling_during_a_rollout_goes_to_all_replica_sets_in_proportion() {
    let schedule = "schedule = [{ at = \"0 s\", replicas = 40 }, { at = \"620 s\", replicas = 80 }]";
    let text = app(1, "").replace("replicas = 1\n", "");
    let told = run(&format!("{text}{schedule}\nrollouts = [{{ at = \"10 min\" }}]\nmin_ready = \"1 min\"\n"));
    let all = lines(&told);
    let at_step: Vec<u64> = named(&all, "replica_set_sized")
        .filter(|line| (620_000.0..621_000.0).contains(&at_ms(line)))
        .map(|line| line["replicas"].as_u64().unwrap())
        .collect();
    // 30 old and 20 new of 40 + 10 become 60 and 40 of 80 + 20.
    assert_eq!(at_step, [40, 60]);
    assert_eq!((told.record.pods_ready_at_end, told.record.rollout_ms.is_some()), (80, true));
}

#[test]
fn every_pod_waits_for_one_thing_at_every_instant_while_nodes_go_too() {
    let pool = "[[node_pools]]\ncapacity_types = [\"spot\"]\ninstance_types = [\"m5.xlarge\"]\n";
    let text = format!(
        "market = \"tight\"\n{}{pool}",
        app(
            60,
            "pdb = { max_unavailable = 5 }\nrollouts = [{ at = \"5 min\" }, { at = \"15 min\", image = \"0 MB\" }]"
        )
    );
    for seed in 0..6 {
        // Its books, and with them the causes, are checked after every event.
        let told = run_with(&text, seed);
        let last = told.record.timeline[180];
        assert!(
            last.pods_ready <= 75 && last.pods_pending + last.pods_running >= 60,
            "seed {seed}: {last:?}"
        );
    }
}

#[test]
fn strategies_that_replace_nothing_are_refused_with_their_key() {
    let refused = |more: &str| read(&app(1, more)).expect_err("it is refused");
    assert_eq!(
        refused("strategy = { max_surge = 0, max_unavailable = \"0%\" }"),
        ["deployments[0].strategy.max_unavailable"]
    );
    assert_eq!(
        refused("strategy = { type = \"Recreate\", max_surge = 1 }"),
        ["deployments[0].strategy.type"]
    );
    assert_eq!(refused("rollouts = [{ }]"), ["deployments[0].rollouts[0].at"]);
    assert_eq!(
        refused("rollouts = [{ at = \"2 min\" }, { at = \"1 min\" }]"),
        ["deployments[0].rollouts[1].at"]
    );
}

#[test]
fn a_surge_has_no_upper_bound_and_what_may_be_missing_has() {
    // The new ReplicaSet has all of its 20 pods at once. The same sync lets as many old ones go as may be missing: 5 of 20,
    // where nothing is said.
    for (missing, most) in [(", max_unavailable = 0", 40), ("", 35)] {
        for surge in ["4294967295", "\"150%\"", "\"4294967295%\""] {
            let strategy = format!("strategy = {{ max_surge = {surge}{missing} }}");
            let told = run(&app(20, &format!("rollouts = [{{ at = \"5 min\" }}]\n{strategy}")));
            assert_eq!(extremes(&told).0, most, "{strategy}");
        }
    }
    let refused = |strategy: &str| read(&app(1, strategy)).expect_err("it is refused");
    assert_eq!(
        refused("strategy = { max_unavailable = \"101%\" }"),
        ["deployments[0].strategy.max_unavailable"]
    );
}

#[test]
fn a_template_that_changes_at_a_rollout_s_end_is_rolled_out_too() {
    let changes = |more: &str| run(&app(4, &format!("rollouts = [{{ at = \"5 min\" }}{more}]")));
    let first = changes("");
    let done = named(&lines(&first), "rollout_complete").map(at_ms).next().unwrap();
    // The second comes while the last status of the first is on its way.
    for before in [2, 5, 10, 15, 20] {
        let at = done as u64 - before;
        let told = changes(&format!(", {{ at = \"{at} ms\" }}"));
        let all = lines(&told);
        let sized = named(&all, "replica_set_sized").filter(|line| line["replica_set"] == 2).last();
        let sized = sized.map(|line| line["replicas"].as_u64());
        assert_eq!(sized, Some(Some(4)), "{before} ms before the end");
        assert!(told.record.rollout_ms.is_some(), "{before} ms before the end");
    }
}

#[test]
fn a_rollout_that_recreates_goes_on_when_the_last_old_pod_s_instance_is_lost() {
    let pool = "[[node_pools]]\ncapacity_types = [\"spot\"]\ninstance_types = [\"m5.xlarge\"]\n";
    let more = "rollouts = [{ at = \"10 min\" }]\nstrategy = { type = \"Recreate\" }\ntermination_grace = { constant = \"30 min\" }";
    let text = app(3, more).replace("40 min", "90 min");
    let text = format!("until = \"horizon\"\nmarket = \"tight\"\n{text}{pool}");
    let mut lost = 0;
    for seed in 0..16 {
        let told = run_with(&text, seed);
        lost += told.record.pods_lost;
        assert!(told.record.rollout_ms.is_some(), "seed {seed}: {} lost", told.record.pods_lost);
    }
    assert!(lost > 0);
}
