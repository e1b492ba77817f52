//! Nodes that Karpenter 0.19 took away, in whole runs; what it began it waited for. Figures are those of its own tests, where
//! one is named.

mod common {
    pub mod runs;
}

use common::runs::{run, run_with};
use kilopod::actors::karpenter::disruption::Reason;
use kilopod::components::Told;
use serde_json::Value;

/// Pods of one CPU with 5 s of grace on on-demand nodes, with the programs of 2022; what more there is to the Deployment and the pool.
fn scenario(deployment: &str, pool: &str) -> String {
    format!(
        "profile = \"2022-11\"\nhorizon = \"40 min\"\nuntil = \"horizon\"\n\
         [[deployments]]\nname = \"app\"\ncpu = \"1\"\nmemory = \"2 GiB\"\n\
         termination_grace = {{ constant = \"5 s\" }}\n{deployment}\n\
         [[node_pools]]\nname = \"default\"\n{pool}\n"
    )
}
const SMALL: &str = "instance_types = [\"m5.xlarge\"]\ncapacity_types = [\"on-demand\"]\n";
const DOWN: &str = "schedule = [{ at = \"0 s\", replicas = 90 }, { at = \"10 min\", replicas = 20 }]";
const STEADY: &str = "replicas = 9";

fn lines<'a>(told: &'a Told, event: &'a str) -> impl Iterator<Item = Value> + 'a {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(move |line| line["event"] == event)
}
fn at_s(line: &Value) -> f64 {
    line["at_ms"].as_f64().unwrap() / 1e3
}
fn times(told: &Told, event: &str) -> Vec<f64> {
    lines(told, event).map(|line| at_s(&line)).collect()
}
fn removed(told: &Told, reason: Reason) -> u64 {
    told.record.nodes_removed[reason as usize]
}
/// What was begun: when, why, nodes that go and replacements.
fn begun(told: &Told) -> Vec<(f64, String, u64, u64)> {
    let one = |line: Value| {
        let count = |key: &str| line[key].as_u64().unwrap();
        (at_s(&line), line["reason"].as_str().unwrap().to_string(), count("nodes"), count("replacements"))
    };
    lines(told, "disrupting").map(one).collect()
}

/// "can delete empty nodes with TTLSecondsAfterEmpty": all at once, no sooner than their time is over, without a second look.
#[test]
fn empty_nodes_went_together_after_their_time() {
    let pool = format!(
        "{SMALL}disruption = {{ consolidation_policy = \"WhenEmpty\", consolidate_after = \"60 s\" }}"
    );
    let told = run(&scenario(DOWN, &pool));
    let all = begun(&told);
    assert!(all.iter().all(|(_, reason, ..)| reason == "Empty") && all[0].2 >= 3, "{all:?}");
    // The last pod of the first node is gone some 6 s after the scale-in; then its time, in whole seconds, and up to a poll.
    let first = all[0].0;
    let gone = 600.0 + 5.0;
    assert!(first > gone + 59.0 && first < gone + 60.0 + 25.0, "{first}");
    assert_eq!(told.record.pods_evicted, 0);
    let went: u64 = all.iter().map(|(_, _, nodes, _)| nodes).sum();
    assert_eq!(u64::from(told.record.nodes), 30 - went);
}

/// "can delete multiple empty nodes with Consolidation" and "should wait for the node TTL": 15 s in which the loop does nothing
/// else, then all empty nodes, however many: no budget.
#[test]
fn consolidation_took_empty_nodes_first_and_then_one_after_the_other() {
    let told = run(&scenario(DOWN, &format!("{SMALL}disruption = {{}}")));
    let all = begun(&told);
    let first = all.iter().find(|(at, ..)| *at > 600.0).unwrap();
    assert!(first.1 == "Empty" && first.2 > 3, "{all:?}");
    assert!(first.0 > 605.0 + 15.0 && first.0 < 605.0 + 15.0 + 15.0, "{first:?}");
    let rest: Vec<_> = all.iter().filter(|(at, ..)| *at > first.0).collect();
    let one = |(_, reason, nodes, replacements): &&(f64, String, u64, u64)| {
        reason == "Underutilized" && (*nodes, *replacements) == (1, 0)
    };
    assert!(rest.len() > 2 && rest.iter().all(one), "{rest:?}");
    // Each is gone before the next is looked for, 10 s later, and looked at again after 15 s.
    assert!(rest.windows(2).all(|pair| pair[1].0 - pair[0].0 > 25.0), "{rest:?}");
    assert_eq!((told.record.pods_ready_at_end, told.record.nodes), (20, 7), "three pods a node");
}

/// "can replace node": one that costs less comes up first, and only then the large one is deleted.
#[test]
fn a_cheaper_node_was_waited_for() {
    let pool =
        "instance_types = [\"m5.large\", \"m5.4xlarge\"]\ncapacity_types = [\"on-demand\"]\ndisruption = {}";
    let down = "schedule = [{ at = \"0 s\", replicas = 14 }, { at = \"10 min\", replicas = 1 }]";
    let told = run(&scenario(down, pool));
    let all = begun(&told);
    let (at, .., nodes, new) = all.iter().find(|(at, ..)| *at > 600.0).unwrap().clone();
    assert_eq!((nodes, new), (1, 1), "{all:?}");
    let after = |event: &str| *times(&told, event).iter().find(|found| **found >= at).unwrap();
    let (launched, ready, deleted) =
        (after("instance_launched"), after("node_usable"), after("claim_deleted"));
    assert!(at < launched && launched < ready && ready < deleted, "{at} {launched} {ready} {deleted}");
    // Looked at after 2, 6, 14 s and then each ten.
    assert!(deleted - ready < 12.0, "{ready} {deleted}");
    assert_eq!((told.record.nodes, told.record.pods_ready_at_end), (1, 1));
    let kinds: Vec<Value> = lines(&told, "instance_launched").collect();
    assert_eq!(kinds.last().unwrap()["instance_type"], "m5.large");
}

/// "should uncordon nodes when expiration replacement partially fails": an error, after which the loop begins anew within
/// milliseconds. By then the type is known not to be had, and an expired node went whether its pods found a place or not.
#[test]
fn a_replacement_that_cannot_be_launched_is_an_error() {
    // Beside the two nodes of the system three of four vCPUs, and no more may run.
    let pool = format!("{SMALL}expire_after = \"10 min\"");
    let told = run(&format!("quotas = {{ on_demand_vcpus = 16 }}\n{}", scenario(STEADY, &pool)));
    let (tries, refused) = (begun(&told), times(&told, "capacity_error"));
    let sizes: Vec<(u64, u64)> = tries.iter().map(|(.., nodes, new)| (*nodes, *new)).collect();
    assert_eq!(sizes[..2], [(1, 1), (1, 0)], "{tries:?}");
    assert!(tries[0].0 < refused[0] && tries[1].0 - refused[0] < 0.01, "{tries:?} {refused:?}");
    assert!(times(&told, "claim_deleted")[0] >= tries[1].0, "the first was given back");
}

/// "should expire one node at a time, starting with most expired", and "can replace node for expiration".
#[test]
fn expired_nodes_were_replaced_one_after_the_other() {
    let told = run(&scenario(STEADY, &format!("{SMALL}expire_after = \"20 min\"")));
    let all = begun(&told);
    assert_eq!(removed(&told, Reason::Expired), 3, "{all:?}");
    assert!(all.iter().all(|(_, reason, nodes, new)| (reason.as_str(), *nodes, *new) == ("Expired", 1, 1)));
    let made = times(&told, "node_created");
    assert!(all[0].0 > made[0] + 1_199.0 && all[0].0 < made[0] + 1_211.0, "{made:?} {all:?}");
    // Up to a minute for the next node to come up, and its pods' grace.
    assert!(all.windows(2).all(|pair| pair[1].0 - pair[0].0 > 30.0), "{all:?}");
    let ready = told.record.timeline[20..].iter().map(|point| point.pods_ready).min().unwrap();
    assert!(ready >= 6, "one node's pods at a time: {ready}");
    assert_eq!((told.record.pods_ready_at_end, told.record.nodes_launched), (9, 6));
}

/// "can delete nodes, considers PDB", "considers do-not-evict": such nodes stay, whatever is the reason.
#[test]
fn protected_pods_and_budgets_of_pods_kept_nodes() {
    for kept in ["pdb = { max_unavailable = 0 }", "do_not_disrupt = true"] {
        for pool in ["disruption = {}", "expire_after = \"15 min\""] {
            let down = format!("{DOWN}\n{kept}");
            let told = run(&scenario(&down, &format!("{SMALL}{pool}")));
            let moved = removed(&told, Reason::Underutilized) + removed(&told, Reason::Expired);
            // Those that are empty nobody keeps.
            let empty = u64::from(pool.starts_with("expire")) * (30 - u64::from(told.record.nodes));
            assert_eq!((moved, told.record.pods_evicted), (empty, 0), "{kept} {pool}");
        }
    }
}

/// Spot nodes are not replaced by spot, however much less it costs; on-demand ones are.
#[test]
fn spot_was_not_replaced_by_spot() {
    let down = "schedule = [{ at = \"0 s\", replicas = 14 }, { at = \"10 min\", replicas = 1 }]";
    let replaced = |kinds: &str| {
        let types = "instance_types = [\"m5.large\", \"m5.4xlarge\"]";
        let pool = format!("{types}\ncapacity_types = [{kinds}]\ndisruption = {{}}");
        begun(&run_with(&scenario(down, &pool), 3)).iter().filter(|(.., new)| *new > 0).count()
    };
    assert_eq!((replaced("\"spot\""), replaced("\"on-demand\"")), (0, 1));
}

/// A drain stops before a node with a protected pod, its others included; today it goes past it.
#[test]
fn a_drain_stopped_before_a_protected_pod() {
    let evicted = |profile: &str| {
        let text = format!(
            "profile = \"{profile}\"\nhorizon = \"30 min\"\nuntil = \"horizon\"\nmarket = \"tight\"\n\
             [[deployments]]\nname = \"app\"\ncpu = \"1\"\nreplicas = 60\n\
             [[deployments]]\nname = \"kept\"\ncpu = \"10m\"\nreplicas = 60\ndo_not_disrupt = true\n\
             [[node_pools]]\ninstance_types = [\"m5.4xlarge\"]\ncapacity_types = [\"spot\"]\n"
        );
        (1..9).fold((0, 0), |(notices, evicted), seed| {
            let record = run_with(&text, seed).record;
            (notices + record.nodes_removed[Reason::Interrupted as usize], evicted + record.pods_evicted)
        })
    };
    let (then, now) = (evicted("2022-11"), evicted("current"));
    assert!(then.0 > 0 && now.0 > 0, "{then:?} {now:?}");
    assert_eq!(then.1, 0);
    assert!(now.1 > 0);
}
