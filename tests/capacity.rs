//! Pools of EC2 capacity that have an end, what EC2 says before it takes an instance, and claims' measures.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::Outcome;
use kilopod::scenario;
use serde_json::Value;

fn read(text: &str) -> Result<Prepared, Vec<String>> {
    let mut problems = Problems::default();
    let document = Document::parse("capacity.toml", text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    scenario::read(&document, "capacity", Path::new("."), &Arc::new(Catalogue::compiled_in()))
        .map(|read| Prepared::new(read.scenario))
        .map_err(|problems| {
            problems.into_iter().map(|problem| format!("{}: {}", problem.key, problem.what)).collect()
        })
}

fn run(text: &str) -> Told {
    replication(text, 0)
}
fn replication(text: &str, replication: u32) -> Told {
    let wishes = Wishes { check: true, trace: true, ..Wishes::default() };
    tell(&read(text).unwrap_or_else(|problems| panic!("{problems:#?}")), 7, replication, wishes)
}

fn lines(told: &Told, event: &str) -> Vec<Value> {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|line| line["event"] == event).collect()
}

/// Pods of which one fits on an m5.large, of on-demand capacity in three zones.
fn one_a_node(pods: u32, more: &str) -> String {
    format!(
        "horizon = \"25 min\"\n{more}\n[[deployments]]\nreplicas = {pods}\ncpu = \"1500m\"\nmemory = \"2 GiB\"\n\
         [[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n"
    )
}

#[test]
fn a_pool_sells_what_it_has_and_no_more() {
    let told = run(&one_a_node(30, "[pool_depth]\non_demand = { constant = 5 }\nrefill = \"10000 h\""));
    assert_eq!(
        (told.record.outcome, told.record.nodes_launched),
        (Outcome::Horizon, 15),
        "5 in each of 3 zones"
    );
    for zone in ["us-east-1a", "us-east-1b", "us-east-1c"] {
        let of_zone = lines(&told, "instance_launched").iter().filter(|line| line["zone"] == zone).count();
        assert_eq!(of_zone, 5, "{zone}");
    }
    assert!(told.record.capacity_errors > 0);
}

#[test]
fn a_pool_that_refills_serves_them_all_later() {
    let endless = run(&one_a_node(30, ""));
    let refilling = run(&one_a_node(30, "[pool_depth]\non_demand = { constant = 5 }\nrefill = \"5 min\""));
    // What the depth of spot pools is does not matter to on-demand ones.
    let other = run(&one_a_node(30, "[pool_depth]\nspot = { constant = 5 }"));
    assert_eq!(refilling.record.outcome, Outcome::Reached);
    let seconds = |told: &Told| told.record.time_to_target_ms.unwrap() / 1_000;
    // Five of each zone at first; the last five of a zone take a refill, and what is refused is left alone for 3 min.
    assert!(
        seconds(&refilling) > seconds(&endless) + 180,
        "{} and {}",
        seconds(&refilling),
        seconds(&endless)
    );
    assert_eq!(other.record.trace_hash, endless.record.trace_hash);
}

#[test]
fn what_is_no_depth_is_told() {
    let text = one_a_node(3, "[pool_depth]\non_demand = { constant = 0.5 }\nrefill = \"0 s\"\nspott = 3");
    let told = read(&text).map(|_| ()).unwrap_err();
    let wanted = ["pool_depth.on_demand", "pool_depth.refill", "pool_depth.spott"];
    assert!(
        told.len() == 3 && wanted.iter().all(|key| told.iter().any(|line| line.starts_with(key))),
        "{told:?}"
    );
}

#[test]
fn a_rebalance_recommendation_comes_with_the_notice_or_before() {
    let text = "market = \"tight\"\nhorizon = \"2 h\"\nuntil = \"horizon\"\n[[deployments]]\nreplicas = 60\ncpu = \"1\"\n\
                memory = \"2 GiB\"\n[[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"spot\"]\n";
    // One in which pools tighten; in others nothing happens for two hours.
    let told = replication(text, 3);
    let recommended = lines(&told, "rebalance_recommended");
    assert_eq!(recommended.len() as u64, told.record.rebalance_recommendations);
    let notices = lines(&told, "instance_reclaimed");
    assert!(notices.len() > 5, "{} instances reclaimed", notices.len());
    let (mut together, mut before) = (0, 0);
    for notice in &notices {
        // An instance goes two minutes after its notice.
        let noticed = notice["at_ms"].as_f64().unwrap() - 120_000.0;
        let first = recommended.iter().find(|line| line["node"] == notice["node"]);
        let lead = noticed - first.expect("it was recommended to go")["at_ms"].as_f64().unwrap();
        // Longer than three minutes where the pool tightened before without taking this instance.
        assert!(lead > -0.001, "{lead} ms before the notice");
        if lead < 0.001 { together += 1 } else { before += 1 }
    }
    assert!(before > 0, "{together} with the notice, {before} before");
}

/// The spot advisor's bands end at 5, 10, 15 and 20 % a month; a day of 60 instances is two instance-months.
#[test]
fn in_a_calm_market_instances_are_taken_back_as_often_as_the_spot_advisor_says() {
    let interruptions = |market: &str| {
        let text = format!(
            "market = \"{market}\"\nhorizon = \"24 h\"\nuntil = \"horizon\"\n[[deployments]]\nreplicas = 60\ncpu = \"10\"\n\
             memory = \"20 GiB\"\n[[node_pools]]\nname = \"default\"\ninstance_types = [\"m7i.4xlarge\", \"c5a.4xlarge\"]\n\
             capacity_types = [\"spot\"]\n[cni]\nmode = \"none\"\n"
        );
        let runs = (0..12).map(|number| replication(&text, number).record.interruptions);
        runs.sum::<u64>()
    };
    // Of 24 instance-months between 1 % and 30 %, mostly in waves; a tight market takes them every other hour.
    let (calm, tight) = (interruptions("calm"), interruptions("tight"));
    assert!(calm <= 30 && tight > 1_000, "{calm} in a calm market, {tight} in a tight one");
}

#[test]
fn claims_phases_and_packing_are_those_of_the_trace() {
    let told = run(&one_a_node(10, "[cni]\nmode = \"none\""));
    let claims = told.record.claims;
    let at = |event: &str, node: &Value| {
        let of_node = |line: &&Value| line["node"] == *node;
        lines(&told, event).iter().find(of_node).unwrap()["at_ms"].as_f64().unwrap()
    };
    let launched = lines(&told, "instance_launched");
    let mean = |from: &str, until: &str| {
        let each = launched.iter().map(|line| at(until, &line["node"]) - at(from, &line["node"]));
        each.sum::<f64>() / launched.len() as f64
    };
    for (got, wanted) in [
        (claims.launch_ms, mean("claim_created", "instance_launched")),
        (claims.registration_ms, mean("instance_launched", "unregistered_taint_gone")),
        (claims.usable_ms, mean("unregistered_taint_gone", "node_usable")),
    ] {
        assert!((got.unwrap() as f64 - wanted).abs() < 2.0, "{got:?} and {wanted}");
    }
    // Ten m5.large of 1930m each; aws-node's and kube-proxy's requests come to the pods'.
    assert_eq!(claims.allocatable_cpu_m, 19_300);
    assert!((15_000..19_300).contains(&claims.requested_cpu_m), "{claims:?}");
    // No second pod of 1500m fits anywhere.
    assert_eq!(claims.stranded_cpu_m, claims.allocatable_cpu_m - claims.requested_cpu_m);
}

#[test]
fn spot_falls_back_to_on_demand_in_a_later_round_only() {
    let told = run(
        "horizon = \"10 min\"\nzones = [\"us-east-1a\"]\nquotas = { spot_vcpus = 8 }\n[[deployments]]\nreplicas = 60\n\
                    cpu = \"1\"\nmemory = \"1 GiB\"\n[[node_pools]]\nname = \"both\"\ninstance_types = [\"m5.2xlarge\"]\n\
                    capacity_types = [\"spot\", \"on-demand\"]\n",
    );
    assert_eq!(told.record.outcome, Outcome::Reached);
    let first_error = lines(&told, "capacity_error")[0]["at_ms"].as_f64().unwrap();
    let launched = lines(&told, "instance_launched");
    let of = |kind: &str| launched.iter().filter(|line| line["capacity_type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("spot").len(), 1, "the quota has room for one m5.2xlarge");
    assert!(of("on-demand").len() >= 7);
    let claims = lines(&told, "claim_created");
    for line in of("on-demand") {
        let claim = claims.iter().find(|claim| claim["node"] == line["node"]).unwrap();
        assert!(claim["at_ms"].as_f64().unwrap() > first_error, "{claim}");
    }
}
