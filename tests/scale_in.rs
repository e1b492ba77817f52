//! Scale-ins and interruptions: pods go in Kubernetes' order, drains keep to budgets, what is held comes back, and money is
//! the integral of prices.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, simulate, tell};
use kilopod::input::{Document, Problem, Problems};
use kilopod::results::{Outcome, ReplicationRecord};
use kilopod::scenario;

/// 90 pods in ten minutes, then what `rest` says.
fn read(rest: &str) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Problems::default();
    let document = Document::parse("scale-in.toml", rest, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    scenario::read(&document, "scale-in", Path::new("."), &Arc::new(Catalogue::compiled_in()))
        .map(|read| Prepared::new(read.scenario))
}
fn prepare(rest: &str) -> Prepared {
    read(rest).unwrap_or_else(|problems| panic!("{problems:#?}"))
}
fn checked(prepared: &Prepared, replication: u32) -> Told {
    let wishes = Wishes { check: true, trace: true, ..Wishes::default() };
    tell(prepared, 7, replication, wishes)
}

const DOWN: &str = "schedule = [{ at = \"0 s\", replicas = 90 }, { at = \"10 min\", replicas = 20 }]";

fn deployment(schedule: &str, more: &str) -> String {
    format!("[[deployments]]\nname = \"app\"\ncpu = \"1\"\nmemory = \"2 GiB\"\n{schedule}\n{more}\n")
}

#[test]
fn a_schedule_that_goes_down_takes_pods_and_their_addresses_away() {
    let text = format!(
        "horizon = \"20 min\"\n{}",
        deployment(DOWN, "termination_grace = { low = \"1 s\", high = \"20 s\" }")
    );
    let told = checked(&prepare(&text), 0);
    let record = &told.record;
    assert_eq!((record.outcome, record.pods_ready_at_end), (Outcome::Reached, 20));
    let at = |minutes: usize| record.timeline[minutes * 9];
    assert_eq!((at(9).pods_ready, at(9).addresses_assigned), (90, 92), "90 pods and two of the system's");
    assert_eq!((at(11).pods_ready, at(11).addresses_assigned), (20, 22));
    assert!(at(19).addresses_attached < at(9).addresses_attached, "{record:?}");
    // Nobody takes nodes away: Karpenter's disruption is off.
    assert_eq!((record.nodes_removed, record.pods_evicted), ([0; 5], 0));
    assert_eq!(at(19).nodes, at(9).nodes);
}

#[test]
fn what_is_told_of_the_target_does_not_hang_on_what_comes_after_it() {
    let up = deployment("replicas = 90", "");
    let to_target = simulate(&prepare(&up), 7, 0);
    let on = simulate(&prepare(&format!("until = \"horizon\"\n{up}")), 7, 0);
    let told = |r: &ReplicationRecord| {
        (
            r.time_to_target_ms,
            r.observed_ms,
            r.cost_to_target_micro_usd,
            r.books.waste_at_target,
            r.cause_pod_ms,
        )
    };
    assert_eq!(told(&to_target), told(&on));
    assert_eq!(to_target.books.waste_address_ms, on.books.waste_address_ms);
    assert!(on.events > to_target.events && on.cost_to_horizon_micro_usd > on.cost_to_target_micro_usd);
}

#[test]
fn pods_that_are_not_made_yet_are_not_made() {
    let schedule = "schedule = [{ at = \"0 s\", replicas = 2000 }, { at = \"5 s\", replicas = 10 }]";
    let told = checked(
        &prepare(&format!("target_pods = 10\nhorizon = \"10 min\"\n{}", deployment(schedule, ""))),
        0,
    );
    let created = told.trace.iter().filter(|line| line.contains("\"event\":\"pod_created\"")).count();
    assert_eq!(told.record.pods_ready_at_end, 10);
    // A sync that has begun makes its 500.
    assert_eq!(created, 500);
}

/// Many interruptions: spot in a tight market, looked at until long after.
fn storm(more: &str) -> String {
    let pool = "[[node_pools]]\nname = \"spot\"\ninstance_types = [\"m5.xlarge\", \"m5a.xlarge\", \"m6i.xlarge\"]\ncapacity_types = [\"spot\"]\n";
    format!(
        "until = \"horizon\"\nhorizon = \"60 min\"\nmarket = \"tight\"\n{}{pool}",
        deployment("replicas = 90", more)
    )
}

#[test]
fn pods_of_interrupted_nodes_all_come_back() {
    let prepared = prepare(&storm(""));
    let mut interrupted = 0;
    for replication in 0..12 {
        let record = checked(&prepared, replication).record;
        interrupted += record.interruptions;
        let last = record.timeline[180];
        assert_eq!(last.pods_pending + last.pods_running, 90, "pods are wanted as before");
        assert_eq!(record.pods_lost, 0, "30 s of grace and no budget: the drain ends in time");
        assert!(record.replacement_p95_ms.is_none_or(|ms| ms > 30_000), "{:?}", record.replacement_p95_ms);
        let settled = record.timeline[150..].iter().filter(|point| point.pods_ready == 90).count();
        assert!(settled > 0, "replication {replication}: {:?}", &record.timeline[150..]);
    }
    assert!(interrupted > 20, "{interrupted} interruptions");
}

#[test]
fn what_a_budget_or_a_long_grace_holds_is_lost_when_the_instance_goes() {
    let lost = |more: &str| -> (u64, u64) {
        let prepared = prepare(&storm(more));
        let records = (0..12).map(|replication| checked(&prepared, replication).record);
        records.fold((0, 0), |(lost, evicted), r| (lost + r.pods_lost, evicted + r.pods_evicted))
    };
    let (blocked, evicted) = lost("pdb = { max_unavailable = 0 }");
    assert!(blocked > 20 && evicted < blocked, "{blocked} lost, {evicted} evicted");
    let (slow, _) = lost("termination_grace = { constant = \"5 min\" }");
    assert!(slow > 20, "{slow} lost");
}

/// What instances cost, from the trace: each from its launch until EC2 stops it or the horizon.
fn paid_usd(told: &Told, horizon_ms: f64) -> f64 {
    let catalogue = Catalogue::compiled_in();
    let mut running = BTreeMap::new();
    let mut paid = 0.0;
    for line in &told.trace {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let (at, node) = (line["at_ms"].as_f64().unwrap(), line["node"].as_u64());
        match line["event"].as_str().unwrap() {
            "instance_launched" => {
                let found = catalogue.get(catalogue.find(line["instance_type"].as_str().unwrap()).unwrap());
                let spot = line["capacity_type"] == "spot";
                let price = if spot { found.spot_usd_per_hour() } else { found.on_demand_usd_per_hour };
                running.insert(node, (price.unwrap(), at));
            }
            "instance_stopping" | "instance_reclaimed" => {
                if let Some((price, since)) = running.remove(&node) {
                    paid += price * (at - since) / 3.6e6;
                }
            }
            _ => {}
        }
    }
    paid + running.values().map(|(price, since)| price * (horizon_ms - since) / 3.6e6).sum::<f64>()
}

#[test]
fn money_is_the_integral_of_prices() {
    let prepared = prepare(&storm(""));
    for replication in 0..6 {
        let told = checked(&prepared, replication);
        let (own, booked) = (paid_usd(&told, 3.6e6), told.record.cost_to_horizon_micro_usd as f64 / 1e6);
        assert!((own - booked).abs() < 1e-4, "replication {replication}: {own} against {booked}");
    }
}

#[test]
fn budgets_of_pods_are_refused_with_their_key() {
    let problems = |more: &str| {
        let told = read(&deployment("replicas = 1", more)).expect_err("it is refused");
        told.into_iter().map(|problem| problem.key).collect::<Vec<String>>()
    };
    assert_eq!(problems("pdb = { max_unavailable = \"110%\" }"), ["deployments[0].pdb.max_unavailable"]);
    assert_eq!(problems("pdb = { }"), ["deployments[0].pdb.min_available"]);
    assert_eq!(
        problems("pdb = { min_available = 1, max_unavailable = 1 }"),
        ["deployments[0].pdb.min_available"]
    );
    assert_eq!(problems("pdb = { max_available = 1 }").len(), 2);
}
