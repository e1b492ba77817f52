//! ENIs that leak in whole runs, and cleaners that find them. Books are checked after every event.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::{ApiCount, ReplicationRecord};
use kilopod::scenario;

fn run(text: &str) -> ReplicationRecord {
    let mut problems = Problems::default();
    let document = Document::parse("case.toml", text, &mut problems);
    assert!(problems.is_empty(), "{text}");
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    let scenario = read.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).scenario;
    tell(&Prepared::new(scenario), 7, 0, Wishes { check: true, ..Wishes::default() }).record
}

fn calls(record: &ReplicationRecord, api: &str) -> ApiCount {
    let place = ApiCount::names().position(|(name, caller)| name == api && caller == "ipamd").unwrap();
    record.api_counts[place]
}

/// One pod, hence one node; to the horizon.
fn one_pod(horizon: &str, pool: &str, more: &str) -> String {
    format!(
        "target_pods = 1\nuntil = \"horizon\"\nhorizon = \"{horizon}\"\nzones = [\"us-east-1a\"]\n\
         control_plane_interfaces = 0\nstatic_nodes = []\nsubnet_prefix_length = 24\n\
         [[deployments]]\nname = \"app\"\nreplicas = 1\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"1 MB\"\n\
         [[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n{pool}\n{more}\n"
    )
}

/// A look within five minutes of the start, the next an hour and up to five minutes after each.
#[test]
fn a_node_looks_for_leaks_every_hour() {
    let off = "[cni.env]\nDISABLE_LEAKED_ENI_CLEANUP = \"true\"\n";
    let describes =
        |horizon, more| calls(&run(&one_pod(horizon, "", more)), "DescribeNetworkInterfaces").calls;
    let looks = |horizon| describes(horizon, "") - describes(horizon, off);
    assert_eq!(["10 min", "50 min", "150 min"].map(looks), [1, 1, 3]);
}

/// Interfaces that are attached and not yet bound to their instance stay behind when it goes: no Modify has its token, so
/// that ipamd wants rid of them, and no Detach after the first has one.
const UNBOUND: &str = "[ec2_limits]\nModifyNetworkInterfaceAttribute = { size = 1, refill_per_s = 0 }\n\
                       DetachNetworkInterface = { size = 1, refill_per_s = 0 }\n";

#[test]
fn interfaces_without_delete_on_termination_leak_and_the_next_node_deletes_them() {
    let pool = "expire_after = \"30 min\"";
    let off = format!("{UNBOUND}[cni.env]\nDISABLE_LEAKED_ENI_CLEANUP = \"true\"\n");
    let left = run(&one_pod("50 min", pool, &off));
    // One interface of ten addresses beside the first node's primary: a reconcile has taken it up, and no other is made.
    assert_eq!((left.nodes_launched, left.enis_leaked, left.enis_cleaned), (2, 1, 0));
    assert_eq!(left.waste_at_end.leaked, 10);
    let cleaned = run(&one_pod("120 min", pool, UNBOUND));
    assert!(cleaned.enis_cleaned >= 2, "{} cleaned", cleaned.enis_cleaned);
    assert!(calls(&cleaned, "DeleteNetworkInterface").calls > cleaned.enis_cleaned);
    // As many addresses are free as if the first nodes had never been.
    let kept = run(&one_pod("120 min", "", UNBOUND));
    assert_eq!(kept.enis_cleaned, 0);
}

/// ipamd tries twelve times, of three each; then the interface is left to cleaners, which have no tokens either.
#[test]
fn an_interface_that_cannot_be_deleted_stays_taken() {
    let limits = "[ec2_limits]\nAttachNetworkInterface = { size = 1, refill_per_s = 0 }\n\
                  DeleteNetworkInterface = { size = 1, refill_per_s = 0 }\n[cni.env]\nWARM_ENI_TARGET = \"3\"\n";
    let record = run(&one_pod("40 min", "", limits));
    assert!(record.enis_leaked >= 1 && record.enis_cleaned == 0, "{} leaked", record.enis_leaked);
    assert_eq!(record.waste_at_end.leaked, 10 * record.enis_leaked);
    assert!(calls(&record, "DeleteNetworkInterface").throttled >= 36);
    let split = record.waste_at_end;
    let parts = split.warm + split.cooling + split.eni_primaries + split.prefix_remainder + split.leaked;
    let subnet = &record.subnets[0];
    assert_eq!(u64::from(subnet.free_at_end) + parts + 1 + 1, 251, "primary, pod and the rest");
}

/// The second Unassign has no token: the store has dropped addresses that EC2 has on the node. Each minute's reconcile takes
/// them up again, and ipamd tries again to give them back.
#[test]
fn addresses_that_a_failed_unassign_leaves_are_found_again() {
    let more = "[cni.env]\nWARM_IP_TARGET = \"1\"\nDISABLE_LEAKED_ENI_CLEANUP = \"true\"\n\
                [ec2_limits]\nUnassignPrivateIpAddresses = { size = 1, refill_per_s = 0 }\n";
    let text = one_pod("30 min", "", more);
    let schedule = "[{ at = \"0 s\", replicas = 7 }, { at = \"5 min\", replicas = 4 }, { at = \"10 min\", replicas = 1 }]";
    let small = format!("schedule = {schedule}\ncpu = \"1m\"\nmemory = \"1 MiB\"");
    let record = run(&text.replacen("replicas = 1\ncpu = \"1\"\nmemory = \"1 GiB\"", &small, 1));
    assert_eq!((record.nodes_launched, record.pods_ready_at_end), (1, 1));
    let unassigns = calls(&record, "UnassignPrivateIpAddresses");
    assert!(unassigns.throttled >= 3 * 10, "{} throttled", unassigns.throttled);
    assert!(calls(&record, "DescribeNetworkInterfaces").calls >= 10);
}

/// No Modify and no Detach after the first has its token: ipamd gives the interface up, and a reconcile finds it attached. It
/// does not make one after the other in vain.
#[test]
fn an_interface_that_cannot_be_detached_is_found_again() {
    let record = run(&one_pod("60 min", "", UNBOUND));
    assert_eq!(record.pods_ready_at_end, 1);
    assert!(record.enis_created <= 3, "{} made", record.enis_created);
}
