//! Security groups for pods in whole runs: trunk and branch interfaces, and what pods wait for on their way.

#[path = "common/runs.rs"]
mod runs;

use kilopod::results::{ApiCount, ReplicationRecord};
use kilopod::world::cause::Cause;
use runs::read_in_full;

fn run(text: &str) -> ReplicationRecord {
    runs::run(text).record
}

const ON: &str = "[cni.env]\nENABLE_POD_ENI = \"true\"\n";

/// So many tiny pods with security groups, on nodes of the type, in one zone with nothing else in it.
fn pods(kind: &str, count: u32, more: &str) -> String {
    format!(
        "target_pods = {count}\nzones = [\"us-east-1a\"]\ncontrol_plane_interfaces = 0\nstatic_nodes = []\n{more}\n\
         [[deployments]]\nname = \"app\"\nreplicas = {count}\ncpu = \"1m\"\nmemory = \"1 MiB\"\nimage = \"0 MB\"\n\
         security_groups = true\n\
         [[node_pools]]\nname = \"default\"\ninstance_types = [\"{kind}\"]\ncapacity_types = [\"on-demand\"]\n"
    )
}

/// Calls of the VPC resource controller.
fn calls(record: &ReplicationRecord, api: &str) -> ApiCount {
    let of = |(name, caller)| name == api && caller == "vpc-resource-controller";
    record.api_counts[ApiCount::names().position(of).unwrap()]
}
fn waited_ms(record: &ReplicationRecord, cause: Cause) -> u64 {
    record.cause_pod_ms[cause as usize]
}

/// m5.large has room for 9 branch interfaces, whatever else would fit: 20 pods take three nodes.
#[test]
fn scheduler_and_karpenter_count_branch_interfaces() {
    let record = run(&pods("m5.large", 20, ON));
    assert_eq!((record.pods_ready_at_end, record.nodes), (20, 3));
    let enis = record.branch_enis.unwrap();
    assert_eq!((enis.created, enis.deleted), (20, 0));
    // A trunk a node, an interface a pod; a permission for each of them.
    assert_eq!(calls(&record, "CreateNetworkInterface").calls, 23);
    assert_eq!(calls(&record, "CreateNetworkInterfacePermission").calls, 23);
    assert_eq!(calls(&record, "AssociateTrunkInterface").calls, 20);
    assert_eq!(calls(&record, "AttachNetworkInterface").calls, 3);
    assert_eq!(calls(&record, "DescribeInstances").calls, 6);
    // 3 x (primary, 9 warm, trunk), and 20 branches; no pod took of the warm ones, so that no second ENI came.
    assert_eq!(record.books.attached_at_end, 3 * (1 + 9 + 1) + 20);
    assert_eq!(record.books.assigned_at_target, Some(20));
    assert_eq!((record.waste_at_end.eni_primaries, record.waste_at_end.warm), (3, 27));
    assert_eq!(record.enis_created, 0);
}

/// A pod is bound only once its node has its trunk, and the branch interface is often not there when kubelet first asks.
#[test]
fn pods_wait_for_the_trunk_and_then_for_kubelets_next_try() {
    let record = run(&pods("m5.large", 9, ON));
    assert_eq!(record.nodes, 1);
    assert!(waited_ms(&record, Cause::TrunkEni) > 0, "{:?}", record.cause_pod_ms);
    assert!(record.sandbox_failures > 0);
    assert!(waited_ms(&record, Cause::AddressKubeletRetry) > 8_000);
    // Each failed sandbox is one try of 10 to 15 s.
    let address = [Cause::TrunkEni, Cause::BranchEniQueue, Cause::AddressEc2Call, Cause::AddressKubeletRetry];
    assert!(
        address.iter().map(|cause| waited_ms(&record, *cause)).sum::<u64>()
            >= record.sandbox_failures * 10_000
    );
}

/// Without the trunk nothing is bound: the trace has the order.
#[test]
fn the_order_is_trunk_then_bind_then_branch() {
    let told = runs::run(&pods("m5.large", 1, ON));
    let line = |wanted: &str| told.trace.iter().position(|line| line.contains(wanted));
    let (registered, answered) = (line("node_registered").unwrap(), line("resource_job_answered").unwrap());
    let (assumed, ready) = (line("pod_assumed").unwrap(), line("\"pod_ready\"").unwrap());
    assert!(
        registered < answered && answered < assumed && assumed < ready,
        "{registered} {answered} {assumed}"
    );
    let causes: Vec<Cause> = told.history.iter().filter_map(|(_, cause, _)| *cause).collect();
    let place = |cause: Cause| causes.iter().position(|other| *other == cause);
    assert!(place(Cause::TrunkEni) < place(Cause::Bind), "{causes:?}");
}

#[test]
fn types_without_a_trunk_are_of_no_use() {
    let record = run(&pods("t3.large", 3, &format!("horizon = \"5 min\"\n{ON}")));
    assert_eq!((record.pods_ready_at_end, record.nodes_launched), (0, 0));
    assert_eq!(record.reason, Some(Cause::NoInstanceType));
}

#[test]
fn security_groups_need_the_switch() {
    let problems = read_in_full(&pods("m5.large", 3, "")).unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains("ENABLE_POD_ENI")), "{problems:?}");
}

/// Pods of other Deployments take addresses of the warm pool as ever; the trunk takes one of three slots: 18, not 27.
#[test]
fn a_trunk_takes_a_slot_from_other_pods() {
    let text =
        pods("m5.large", 25, &format!("horizon = \"10 min\"\n{ON}")).replace("security_groups = true\n", "");
    let record = run(&text);
    assert_eq!((record.nodes, record.pods_ready_at_end), (1, 18));
    assert_eq!(record.reason, Some(Cause::AddressNodeFull));
}

/// Nine pods go and nine others come at once: their node has room for the scheduler, not for the controller before the
/// first ones' interfaces have cooled down for 60 s and been deleted.
#[test]
fn branch_interfaces_of_deleted_pods_cool_down() {
    let text = "target_pods = 9\nhorizon = \"8 min\"\nuntil = \"horizon\"\nzones = [\"us-east-1a\"]\n\
        control_plane_interfaces = 0\n[cni.env]\nENABLE_POD_ENI = \"true\"\n\
        [[static_nodes]]\ncount = 1\ninstance_type = \"m5.large\"\n\
        [[deployments]]\nname = \"app\"\nschedule = [{ at = \"0 s\", replicas = 9 }, { at = \"60 s\", replicas = 0 }, { at = \"70 s\", replicas = 9 }]\n\
        cpu = \"1m\"\nmemory = \"1 MiB\"\nimage = \"0 MB\"\nsecurity_groups = true\ntermination_grace = { constant = \"0 s\" }\n\
        [[node_pools]]\nname = \"none\"\nlimits = { nodes = 0 }\n";
    let record = run(text);
    assert_eq!(record.pods_ready_at_end, 9);
    let enis = record.branch_enis.unwrap();
    assert_eq!((enis.created, enis.deleted), (18, 9));
    assert_eq!(calls(&record, "DisassociateTrunkInterface").calls, 9);
    assert_eq!(calls(&record, "DeleteNetworkInterface").calls, 9);
    let told = runs::run(text);
    let cooled = told.history.iter().filter(|(_, cause, _)| *cause == Some(Cause::BranchEniCoolDown));
    assert_eq!(cooled.map(|(pod, ..)| *pod).collect::<std::collections::BTreeSet<_>>().len(), 9);
    // Ready again only after cool-down and the controller's return to the pod.
    let ready = told.trace.iter().filter(|line| line.contains("pod_is_ready"));
    let times: Vec<f64> = ready
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["at_ms"].as_f64().unwrap())
        .collect();
    assert!(times[..9].iter().all(|at| *at < 60_000.0), "{times:?}");
    assert!(times[9..].iter().all(|at| *at > 130_000.0), "{times:?}");
}

/// Five permissions a second after a burst of fifty: 300 interfaces take at least 50 s, and some pods' jobs fail six times in
/// a row, after which the controller lets the pods be until its resync each half hour.
#[test]
fn ec2_throttles_the_controller() {
    let record = run(&pods("m5.24xlarge", 300, &format!("horizon = \"20 min\"\n{ON}")));
    let permissions = calls(&record, "CreateNetworkInterfacePermission");
    assert!(
        permissions.throttled > 100 && permissions.calls - permissions.throttled >= 250,
        "{permissions:?}"
    );
    assert!(waited_ms(&record, Cause::AddressThrottled) > 0 && waited_ms(&record, Cause::BranchEniQueue) > 0);
    assert_eq!(record.nodes, 3);
    assert!((250..=300).contains(&record.pods_ready_at_end), "{}", record.pods_ready_at_end);
    let half = record.time_to_50pct_ms.expect("half are Ready");
    let most = record.time_to_90pct_ms.unwrap_or(u64::MAX);
    // From 150 to 270: 120 tokens.
    assert!(most > half + 15_000, "{half} {most}");
}

/// A /28 has 11 addresses: a node takes one, its pool as many as it gets, its trunk one.
#[test]
fn a_dry_subnet_refuses_branch_interfaces_until_the_resync() {
    let more = format!("horizon = \"20 min\"\nsubnet_prefix_length = 28\n{ON}WARM_IP_TARGET = \"5\"\n");
    let record = run(&pods("m5.large", 9, &more));
    // 1 primary, 5 warm ones, 1 trunk; the four that are left are branch interfaces.
    assert_eq!(record.pods_ready_at_end, 4);
    assert_eq!(record.reason, Some(Cause::AddressSubnetDry));
    // Five pods, six tries each, then the controller lets them be for up to half an hour.
    assert_eq!(calls(&record, "CreateNetworkInterface").refused, 5 * 6);
}
