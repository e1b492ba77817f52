//! aws-node restarted in the middle of whole runs. Books are checked after every event.

#[path = "common/runs.rs"]
mod runs;

use kilopod::components::{Told, Wishes, tell};
use kilopod::results::{ApiCount, Outcome, ReplicationRecord};
use kilopod::world::cause::Cause;
use proptest::prelude::*;
use runs::{prepare, read_in_full};

fn told(text: &str, replication: u32) -> Told {
    tell(&prepare(text), 7, replication, Wishes { check: true, history: true, ..Wishes::default() })
}
fn run(text: &str) -> ReplicationRecord {
    told(text, 0).record
}

fn calls(record: &ReplicationRecord, api: &str) -> u64 {
    let place = ApiCount::names().position(|(name, caller)| name == api && caller == "ipamd").unwrap();
    record.api_counts[place].calls
}

/// A Deployment on m5.large, to the horizon; without leak cleaners, whose looks a restart would begin anew.
fn pods(schedule: &str, cpu: &str, more: &str) -> String {
    format!(
        "target_pods = 1\nuntil = \"horizon\"\nhorizon = \"20 min\"\nzones = [\"us-east-1a\"]\n\
         control_plane_interfaces = 0\nstatic_nodes = []\nsubnet_prefix_length = 22\n\
         [[deployments]]\nname = \"app\"\nschedule = [{schedule}]\ncpu = \"{cpu}\"\nmemory = \"1 MiB\"\nimage = \"1 MB\"\n\
         [[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n\
         [cni.env]\nDISABLE_LEAKED_ENI_CLEANUP = \"true\"\n{more}\n"
    )
}

/// One DescribeNetworkInterfaces, and DescribeSubnets and groups for each ENI; tags are there already, and nothing is lacking.
#[test]
fn a_restart_costs_two_calls_an_interface_and_one_more() {
    let before = run(&pods("{ at = \"0 s\", replicas = 5 }", "1m", ""));
    let after = run(&pods("{ at = \"0 s\", replicas = 5 }", "1m", "[cni]\nrestarts = [{ at = \"10 min\" }]"));
    let more = |api| calls(&after, api) - calls(&before, api);
    assert_eq!((before.enis_created, before.nodes), (1, 1));
    let apis = ["DescribeNetworkInterfaces", "DescribeSubnets", "ModifyNetworkInterfaceAttribute"];
    assert_eq!(apis.map(more), [1, 2, 2]);
    for api in ["CreateTags", "AssignPrivateIpAddresses", "CreateNetworkInterface", "DetachNetworkInterface"]
    {
        assert_eq!(more(api), 0, "{api}");
    }
    assert_eq!(after.pods_ready_at_end, 5);
}

/// Pods whose sandboxes ask while no process serves come again 10 to 15 s later.
#[test]
fn pods_that_come_while_aws_node_is_away_wait_for_it() {
    let schedule = "{ at = \"0 s\", replicas = 5 }, { at = \"599900 ms\", replicas = 8 }";
    let told = told(&pods(schedule, "1m", "[cni]\nrestarts = [{ at = \"10 min\" }]"), 0);
    let waited =
        told.history.iter().filter(|(_, cause, at)| *cause == Some(Cause::CniStart) && at.millis() > 599_000);
    assert_eq!(waited.count(), 3, "{:?}", told.history.iter().rev().take(20).collect::<Vec<_>>());
    assert_eq!((told.record.pods_ready_at_end, told.record.sandbox_failures >= 3), (8, true));
}

/// Addresses of pods that go in the meantime are free at once, where they would cool for half a minute.
#[test]
fn coolings_are_forgotten() {
    let schedule = "{ at = \"0 s\", replicas = 27 }, { at = \"595 s\", replicas = 9 }, { at = \"612 s\", replicas = 27 }";
    let text = |more| {
        pods(schedule, "1m", more).replace("cpu = ", "termination_grace = { constant = \"1 s\" }\ncpu = ")
    };
    let cooled = run(&text(""));
    let restarted = run(&text("[cni]\nrestarts = [{ at = \"10 min\" }]"));
    assert_eq!((cooled.pods_ready_at_end, restarted.pods_ready_at_end), (27, 27));
    assert!(
        cooled.sandbox_failures > restarted.sandbox_failures,
        "{} {}",
        cooled.sandbox_failures,
        restarted.sandbox_failures
    );
}

/// Node after node: the tenth of them that may be away at once takes longer than all together.
#[test]
fn a_rolling_update_goes_node_after_node() {
    let last = |most: &str| {
        let more = format!("[cni]\nrestarts = [{{ at = \"10 min\"{most} }}]");
        let prepared = prepare(&pods("{ at = \"0 s\", replicas = 20 }", "1500m", &more));
        let told = tell(&prepared, 7, 0, Wishes { trace: true, ..Wishes::default() });
        let lines = told.trace.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let replaced: Vec<f64> = lines
            .filter(|line| line["event"] == "aws_node_replaced")
            .map(|line| line["at_ms"].as_f64().unwrap() / 1e3)
            .collect();
        assert_eq!(replaced.len(), 20);
        replaced[19] - replaced[0]
    };
    assert_eq!(last(", max_unavailable = \"100%\""), 0.0);
    let by_tenths = last("");
    // Two at a time; each is Ready at its probe of 1, 11, ... s.
    assert!((30.0..300.0).contains(&by_tenths), "{by_tenths} s");
    assert!(last(", max_unavailable = 1") > by_tenths);
}

/// Each tick makes an interface that is never attached; a process that ends in between leaves it behind.
#[test]
fn a_restart_between_create_and_attach_leaks_an_interface() {
    let more = "[cni]\nrestarts = [{ at = \"10 min\", max_unavailable = \"100%\" }]\n\
                [ec2_limits]\nAttachNetworkInterface = { size = 1, refill_per_s = 0 }";
    let record = run(&pods("{ at = \"0 s\", replicas = 20 }", "1500m", more));
    assert!(record.enis_leaked > 0 && record.enis_leaked < 20, "{}", record.enis_leaked);
    assert_eq!(record.waste_at_end.leaked, 10 * record.enis_leaked);
}

/// An interface that grows as the process ends is there all the same: the next process, or its reconcile, takes it up.
#[test]
fn a_restart_while_an_interface_comes_loses_none() {
    let kept = |call: &str, at: u32| {
        let more = format!(
            "[cni]\nrestarts = [{{ at = \"{at} s\" }}]\n[latency]\naws_node_start = {{ constant = \"8 s\" }}\n\
             eni_in_metadata = {{ constant = \"1 s\" }}\n{call}\n"
        );
        let record =
            run(&pods("{ at = \"0 s\", replicas = 5 }, { at = \"300 s\", replicas = 12 }", "1m", &more));
        assert_eq!(record.pods_ready_at_end, 12);
        let kept = record.enis_created - record.enis_deleted - record.enis_leaked;
        // One that nobody finds keeps its slot, and others are made for it in vain, again and again.
        assert!(record.enis_created <= 4, "{} made, restarted at {at} s", record.enis_created);
        kept
    };
    let modify = "modify_network_interface_attribute = { constant = \"4 s\" }";
    let attach = "attach_network_interface = { constant = \"14 s\" }";
    for at in 301..316 {
        // Warm are nine addresses beside twelve pods'.
        assert_eq!((kept(modify, at), kept(attach, at)), (2, 2), "restarted at {at} s");
    }
}

/// The first update's node serves again, and is not Ready, as the second comes: both go on to the last node.
#[test]
fn updates_that_overlap_both_go_on() {
    for second in 606..614 {
        let more = format!(
            "[cni]\nrestarts = [{{ at = \"10 min\", max_unavailable = 1 }}, {{ at = \"{second} s\", max_unavailable = 1 }}]\n\
             [latency]\naws_node_start = {{ constant = \"2 s\" }}\n"
        );
        let prepared = prepare(&pods("{ at = \"0 s\", replicas = 6 }", "1500m", &more));
        let told = tell(&prepared, 7, 0, Wishes { trace: true, ..Wishes::default() });
        let replaced = told.trace.iter().filter(|line| line.contains("\"aws_node_replaced\"")).count();
        // One that is being replaced as the second update comes to it is left out.
        assert!((11..=12).contains(&replaced), "{replaced} replaced, the second update at {second} s");
    }
}

/// More than there are nodes is all of them.
#[test]
fn a_huge_count_of_nodes_is_all_nodes() {
    let more = "[cni]\nrestarts = [{ at = \"10 min\", max_unavailable = 4_000_000_000 }]";
    assert_eq!(run(&pods("{ at = \"0 s\", replicas = 5 }", "1m", more)).pods_ready_at_end, 5);
}

/// An update that never comes holds no verdict up.
#[test]
fn a_restart_after_the_horizon_hinders_no_stuck_run() {
    let outcome = |at: &str| {
        let more = format!("[quotas]\non_demand_vcpus = 4\n[cni]\nrestarts = [{{ at = \"{at}\" }}]");
        let text = pods("{ at = \"0 s\", replicas = 8 }", "1500m", &more);
        let text = text.replacen("target_pods = 1\nuntil = \"horizon\"", "target_pods = 8", 1);
        run(&text).outcome
    };
    assert_eq!((outcome("2 h"), outcome("20 min")), (Outcome::Stuck, Outcome::Horizon));
}

#[test]
fn bad_restarts_are_refused() {
    let more = "[cni]\nrestarts = [{ max_unavailable = \"120%\" }, { at = \"1 min\", nodes = 3 }]";
    let problems = read_in_full(&pods("{ at = \"0 s\", replicas = 1 }", "1", more)).unwrap_err().join("\n");
    for part in ["a restart has an instant", "\\\"0%\\\" to \\\"100%\\\"", "nodes"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]
    /// Whatever is throttled and whenever aws-node restarts or nodes go, addresses are held, used or free, and leaks are counted.
    #[test]
    fn books_balance_through_throttles_restarts_and_leaks(
        sizes in prop::collection::vec(1u32..12, 5),
        refill in prop::sample::select(vec![0u32, 1, 5]),
        restarts in prop::collection::vec(100u64..1_100, 0..3),
        expires in prop::bool::ANY,
        mode in 0usize..5,
        replication in 0u32..1_000,
    ) {
        let apis = ["AttachNetworkInterface", "DetachNetworkInterface", "DeleteNetworkInterface",
            "ModifyNetworkInterfaceAttribute", "AssignPrivateIpAddresses"];
        let limit = |(api, size): (&&str, &u32)| format!("{api} = {{ size = {size}, refill_per_s = {refill} }}\n");
        let limits: String = apis.iter().zip(&sizes).map(limit).collect();
        let entry = |at: &u64| format!("{{ at = \"{at} s\", max_unavailable = 2 }}");
        let restarts: Vec<String> = restarts.iter().map(entry).collect();
        let env = ["", "WARM_IP_TARGET = \"2\"\n", "ENABLE_PREFIX_DELEGATION = \"true\"\nWARM_PREFIX_TARGET = \"1\"\n",
            "WARM_IP_TARGET = \"1\"\nMINIMUM_IP_TARGET = \"12\"\n", "WARM_ENI_TARGET = \"0\"\n"][mode];
        let schedule = "{ at = \"0 s\", replicas = 40 }, { at = \"5 min\", replicas = 6 }, { at = \"7 min\", replicas = 45 }, \
                        { at = \"12 min\", replicas = 3 }";
        let text = pods(schedule, "100m", &format!("{env}[cni]\nrestarts = [{}]\n[ec2_limits]\n{limits}", restarts.join(", ")));
        let expiry = if expires { "capacity_types = [\"on-demand\"]\nexpire_after = \"6 min\"" } else { "capacity_types = [\"on-demand\"]" };
        let text = text.replace("capacity_types = [\"on-demand\"]", expiry).replace("DISABLE_LEAKED_ENI_CLEANUP = \"true\"\n", "");
        let record = told(&text, replication).record;
        prop_assert!(record.enis_created >= record.enis_deleted + record.enis_cleaned + record.enis_leaked);
    }
}
