//! The profile of November 2022: what Karpenter 0.19, Kubernetes 1.23 and its clients did otherwise, seen in whole runs.

mod common {
    pub mod runs;
}

use common::runs::{run, run_with};
use kilopod::actors::karpenter::launch::{self, Rules};
use kilopod::actors::karpenter::offers::{Offered, Offers, all_available};
use kilopod::actors::karpenter::requirement::{Requirement, Requirements};
use kilopod::actors::karpenter::solve::{ByName, Limits, NodePool, Provisioner, Shape};
use kilopod::actors::karpenter::{NodeSettings, allocatable, capacity};
use kilopod::catalogue::Catalogue;
use kilopod::components::Told;
use kilopod::results::{ApiCount, Outcome};
use kilopod::units::{MIB, Resources};
use serde_json::Value;

/// Pods of one CPU, one a node of an m5.large.
fn one_a_node(pods: u32, profile: &str, more: &str) -> String {
    format!(
        "profile = \"{profile}\"\ntarget_pods = {pods}\n{more}\n\
         [[deployments]]\nreplicas = {pods}\ncpu = \"1\"\nmemory = \"1 GiB\"\n\
         [[node_pools]]\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n"
    )
}

fn lines(told: &Told) -> impl Iterator<Item = Value> {
    told.trace.iter().map(|line| serde_json::from_str(line).unwrap())
}
/// When events of this name were, in seconds.
fn times(told: &Told, name: &str) -> Vec<f64> {
    let named = lines(told).filter(|line| line["event"] == name);
    named.map(|line| line["at_ms"].as_f64().unwrap() / 1e3).collect()
}
/// Of each node: when it was so far.
fn by_node(told: &Told, name: &str) -> std::collections::BTreeMap<u64, f64> {
    let named = lines(told).filter(|line| line["event"] == name);
    named.map(|line| (line["node"].as_u64().unwrap(), line["at_ms"].as_f64().unwrap() / 1e3)).collect()
}

/// A round launches all that it planned at once, and the next is not begun before every one of its Node objects is there.
#[test]
fn the_loop_waits_for_all_its_launches() {
    let told = run(&one_a_node(300, "2022-11", ""));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let (mut open, mut rounds) = (0, 0);
    for line in lines(&told) {
        match line["event"].as_str().unwrap() {
            "claim_created" => open += 1,
            "node_created" => open -= 1,
            "round" => {
                assert_eq!(open, 0, "a round at {} while launches are under way", line["at_ms"]);
                rounds += 1;
            }
            _ => {}
        }
    }
    assert!(rounds > 2, "{rounds} rounds");
    // Today a controller of its own asks for each, spread over some time; then the round itself did.
    let asked = |told: &Told| {
        let solved = times(told, "solved")[0];
        times(told, "fleet_answered").into_iter().find(|at| *at > solved).unwrap() - solved
    };
    assert!(times(&told, "launch_requested").is_empty());
    assert!(asked(&told) > 0.01);
}

/// CreateFleet's batcher of that time made one call after the other.
#[test]
fn calls_of_one_window_are_made_one_after_the_other() {
    // Two kinds of pods that no node type serves both make two calls a round.
    let text = |profile: &str| {
        format!(
            "profile = \"{profile}\"\ntarget_pods = 20\n\
             [latency]\ncreate_fleet_on_demand = {{ constant = \"2 s\" }}\n\
             [[deployments]]\nreplicas = 10\ncpu = \"1\"\nmemory = \"1 GiB\"\nnode_selector = {{ kind = \"a\" }}\n\
             [[deployments]]\nreplicas = 10\ncpu = \"1\"\nmemory = \"1 GiB\"\nnode_selector = {{ kind = \"b\" }}\n\
             [[node_pools]]\nname = \"a\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\nlabels = {{ kind = \"a\" }}\n\
             [[node_pools]]\nname = \"b\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\nlabels = {{ kind = \"b\" }}\n"
        )
    };
    let gap = |profile: &str| {
        let answered = times(&run(&text(profile)), "fleet_answered");
        answered[1] - answered[0]
    };
    let (then, now) = (gap("2022-11"), gap("current"));
    assert!((then - 2.0).abs() < 1e-6, "{then} s apart");
    assert!(now < 0.2, "{now} s apart");
}

/// Each instance was described by a call of its own: a hundred at once, twenty a second, and what was throttled came again.
#[test]
fn every_instance_is_described_by_itself() {
    let told = run(&one_a_node(400, "2022-11", ""));
    let calls = |told: &Told| told.record.api_counts[ApiCount::DESCRIBE_INSTANCES];
    let then = calls(&told);
    assert_eq!(then.calls - then.throttled, 400);
    assert!(then.throttled > 300, "{then:?}");
    assert_eq!(calls(&run(&one_a_node(400, "current", ""))), ApiCount::default());
    let created = times(&told, "node_created");
    assert_eq!(created.len(), 400);
}

/// A launch whose instance could not be described is an error: the loop begins anew at once, plans for its pods again, and the
/// node that comes nevertheless is one too many.
#[test]
fn what_cannot_be_described_is_launched_again() {
    let limits = "[ec2_limits]\nDescribeInstances = { size = 20, refill_per_s = 1 }\n\
                  [latency]\nboot_instance = { constant = \"2 min\" }\n";
    let told = run(&one_a_node(150, "2022-11", limits));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let (launched, created) = (told.record.nodes_launched, times(&told, "node_created").len());
    assert!(created < launched as usize, "{created} of {launched}");
    assert!(launched > 150, "{launched} nodes for 150 pods");
    let today = run(&one_a_node(150, "current", limits));
    assert_eq!(today.record.nodes_launched, 150);
}

/// After a capacity error the loop begins anew at once; a claim had to be found gone first.
#[test]
fn an_error_begins_the_loop_anew() {
    let quota = "quotas = { on_demand_vcpus = 40, raises = [{ at = \"60 s\", on_demand_vcpus = 400 }] }\n";
    let told = run(&one_a_node(40, "2022-11", quota));
    assert_eq!(told.record.outcome, Outcome::Reached);
    let (errors, rounds) = (times(&told, "capacity_error"), times(&told, "round"));
    let next = rounds.iter().find(|at| **at > errors[0]).unwrap();
    // The window of a second, and the other launches of the same round.
    assert!(next - errors[0] < 6.0, "error at {}, next round at {next}", errors[0]);
}

/// Without NodeClaims there is no `karpenter.sh/unregistered`; kubelet tells that it is Ready at its runtime's next poll and its
/// next status, 7.7 s on average.
#[test]
fn nodes_are_ready_late_and_registered_at_once() {
    let waits: Vec<f64> = (0..4)
        .flat_map(|seed| {
            let told = run_with(&one_a_node(100, "2022-11", ""), seed);
            assert!(times(&told, "unregistered_taint_gone").is_empty());
            let (up, ready) = (by_node(&told, "cni_ready"), by_node(&told, "node_ready"));
            ready.iter().map(|(node, at)| at - up[node]).collect::<Vec<f64>>()
        })
        .collect();
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    // Its standard error is 0.17 s.
    assert!((mean - 7.7).abs() < 0.6, "{mean} s on average");
    assert!(waits.iter().all(|wait| (0.0..15.5).contains(wait)));
}

/// kubelet's ten calls a second: 3.4 for each of a hundred pods on one node, less the burst of twenty.
#[test]
fn pods_that_start_together_share_kubelets_calls() {
    let text = |profile: &str| {
        format!(
            "profile = \"{profile}\"\ntarget_pods = 100\n\
             [latency]\nstatus_update = {{ constant = \"0 s\" }}\n\
             [cni]\nmode = \"none\"\n\
             [[deployments]]\nreplicas = 100\ncpu = \"100m\"\nmemory = \"64 MiB\"\nimage = \"0 MB\"\n\
             [[node_pools]]\ninstance_types = [\"m5.4xlarge\"]\n"
        )
    };
    let spread = |profile: &str| {
        let told = run(&text(profile));
        assert_eq!((told.record.outcome, told.record.nodes_launched), (Outcome::Reached, 1), "{profile}");
        let (bound, ready) = (times(&told, "pod_bound"), times(&told, "pod_is_ready"));
        ready[99] - bound[0]
    };
    let (then, now) = (spread("2022-11"), spread("current"));
    let calls = (3.4 * 100.0 - 20.0) / 10.0;
    assert!((calls..calls + 6.0).contains(&then), "{then} s, {calls} s of calls");
    assert!(now < 12.0, "{now} s");
}

/// Karpenter took a node to have 100m and 100 MiB less than it has.
#[test]
fn nodes_are_taken_to_hold_less_than_they_do() {
    // Two pods of 915m fill 1,830m, what was left of an m5.large's 1,930m.
    let text = |cpu: u32| {
        format!(
            "profile = \"2022-11\"\ntarget_pods = 20\n\
             [[deployments]]\nreplicas = 20\ncpu = \"{cpu}m\"\nmemory = \"256 MiB\"\n\
             [[daemonsets]]\nname = \"none\"\ncpu = \"0\"\nmemory = \"0 MiB\"\n\
             [[node_pools]]\ninstance_types = [\"m5.large\"]\n"
        )
    };
    assert_eq!(run(&text(915)).record.nodes_launched, 10);
    assert_eq!(run(&text(916)).record.nodes_launched, 20);
}

/// A request named the twenty cheapest types, where today it names sixty. Spot dearer than the cheapest on-demand was counted too,
/// which changes the order of types.
#[test]
fn requests_named_twenty_types() {
    let zones = vec!["us-east-1a".to_string()];
    let settings = NodeSettings::default();
    let catalogue = Catalogue::compiled_in();
    let offered = |found| {
        let resources = (capacity(found, &settings)?, allocatable(found, &settings)?);
        Offered::new(found, "us-east-1", &zones, resources, |_| true)
    };
    let types: Vec<Offered> =
        catalogue.types().iter().filter(|found| found.complete).filter_map(offered).collect();
    let request = |rules: Rules, kinds: &[&str]| {
        let available = all_available(&types, 1);
        let offers = Offers::new(types.clone(), zones.clone(), available, Resources::ZERO).with_rules(rules);
        let mut requirements = Requirements::default();
        let kinds = Requirement::any_of(kinds.iter().map(|kind| kind.to_string()));
        requirements.add("karpenter.sh/capacity-type", &kinds);
        let pool = NodePool {
            name: "default".into(),
            weight: 0,
            requirements,
            labels: Default::default(),
            taints: Vec::new(),
            types: None,
            reservations: None,
        };
        let shape = Shape::plain(Resources::new(1_000, 1_024 * MIB, 1));
        let mut provisioner = Provisioner::new(offers, vec![pool], &[shape]);
        let solution = provisioner.solve(&[0], &[], &[Limits::default()], &mut ByName);
        let claim = &solution.claims[0];
        let options = provisioner.options(claim);
        let spec = launch::claim(&provisioner.offers, claim.set, &options).unwrap();
        launch::request(&provisioner.offers, &spec).unwrap().types
    };
    let both = |kinds: &[&str]| (request(Rules::V0_19, kinds), request(Rules::V1_14, kinds));
    let (then, now) = both(&["on-demand"]);
    assert_eq!((then.len(), now.len()), (20, 60));
    assert_eq!(then, now[..20]);
    let (then, now) = both(&["on-demand", "spot"]);
    assert_ne!(then, now[..20]);
}

/// Nodes that are not initialized yet take the first pods that seek each other's zone; today the first that was made, then any
/// of one second.
#[test]
fn existing_nodes_of_one_second_were_tried_in_any_order() {
    let text = |profile: &str| {
        format!(
            "profile = \"{profile}\"\nuntil = \"horizon\"\nhorizon = \"5 min\"\n[[deployments]]\nname = \"base\"\nreplicas = 3\n\
             cpu = \"700m\"\nmemory = \"1 GiB\"\ntopology_spread = [{{ topology_key = \"topology.kubernetes.io/zone\" }}]\n\
             tolerations = [{{ key = \"a\", operator = \"Exists\" }}]\npod_anti_affinity = [\"kubernetes.io/hostname\"]\n\
             [[deployments]]\nname = \"friends\"\nschedule = [{{ at = \"2 min\", replicas = 4 }}]\ncpu = \"700m\"\nmemory = \"1 GiB\"\n\
             pod_affinity = [\"topology.kubernetes.io/zone\"]\n\
             [[node_pools]]\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n\
             startup_taints = [{{ key = \"a\", effect = \"NoSchedule\", removed_after = \"10 min\" }}]\n"
        )
    };
    // Which of the three the friends' own nodes stand beside.
    let beside = |profile: &str, seed: u64| {
        let told = run_with(&text(profile), seed);
        let launched: Vec<(u64, String)> = lines(&told)
            .filter(|line| line["event"] == "instance_launched")
            .map(|line| (line["node"].as_u64().unwrap(), line["zone"].as_str().unwrap().to_owned()))
            .collect();
        let (base, friends) = launched.split_at(3);
        let mut base = base.to_vec();
        base.sort();
        assert!(!friends.is_empty());
        base.iter().position(|(_, zone)| *zone == friends[0].1).unwrap()
    };
    let places =
        |profile: &str| (1..=10).map(|seed| beside(profile, seed)).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(places("current").into_iter().collect::<Vec<_>>(), [0]);
    assert!(places("2022-11").len() > 1);
}
