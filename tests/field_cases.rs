//! What people reported of real clusters, as the real programs' rules decide it; each test names its report. Those of
//! address pools at rest stand in `tables/warm-pool.csv`, those of whole runs in `addresses.rs`.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, simulate};
use kilopod::decide::{Program, answer_line};
use kilopod::input::{Document, Problems};
use kilopod::results::{Outcome, ReplicationRecord};
use kilopod::scenario;
use kilopod::world::cause::Cause;
use serde_json::{Value, json};

/// One replication of a scenario.
fn run(text: &str) -> ReplicationRecord {
    let mut problems = Problems::default();
    let document = Document::parse("f.toml", text, &mut problems);
    let read = scenario::read(&document, "f", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    simulate(&Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:#?}")).scenario), 1, 0)
}

fn decide(program: Program, case: &Value) -> Value {
    let (answer, good) = answer_line(program, &case.to_string(), &Catalogue::compiled_in());
    assert!(good, "{case} gives {answer}");
    serde_json::from_str(&answer).unwrap()
}

fn one_pool(kinds: &[&str], capacity_types: &[&str], limits: Value, pods: Value) -> Value {
    let requirement =
        json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": capacity_types});
    let pool = json!({"name": "default", "requirements": [requirement], "limits": limits});
    json!({"id": "f", "instance_types": kinds, "zones": ["us-east-1a"], "node_pools": [pool], "pods": pods})
}

/// F21, aws/karpenter-provider-aws#4163: the prediction lets the claim onto a c5.large.
#[test]
fn a_c5_large_is_predicted_to_hold_what_it_cannot() {
    const MIB: i64 = 1 << 20;
    let mut case = one_pool(
        &["c5.large"],
        &["spot"],
        json!({}),
        json!([{"cpu_millis": 1600, "memory_bytes": 3000 * MIB}]),
    );
    case["daemonsets"] = json!([{"cpu_millis": 225, "memory_bytes": 100 * MIB, "pods": 5}]);
    let answer = decide(Program::Karpenter, &case);
    assert_eq!(answer["claims"][0]["instance_types"], json!(["c5.large"]));
    assert_eq!(
        answer["claims"][0]["requests"],
        json!({"cpu_millis": 1825, "memory_bytes": 3100 * MIB, "pods": 6})
    );
    case["pods"][0]["memory_bytes"] = json!(3015 * MIB);
    assert_eq!(decide(Program::Karpenter, &case)["unschedulable"], 1, "3,114 MiB are allocatable");
}

/// F23, aws/karpenter-provider-aws#4301: spot dearer than the cheapest on-demand is not bought.
#[test]
fn dear_spot_offerings_are_dropped_but_not_their_types() {
    let kinds = ["c5a.8xlarge", "m5a.4xlarge", "r5a.xlarge"];
    let mut case = one_pool(
        &kinds,
        &["spot", "on-demand"],
        json!({}),
        json!([{"cpu_millis": 3720, "memory_bytes": 29_117i64 << 20}]),
    );
    case["daemonsets"] = json!([{"pods": 5}]);
    let claim = decide(Program::Karpenter, &case)["claims"][0].clone();
    assert_eq!(claim["capacity_type"], "spot");
    assert_eq!(claim["instance_types"], json!(["r5a.xlarge", "m5a.4xlarge", "c5a.8xlarge"]));
}

/// F24, aws/karpenter-provider-aws#6328: 2,063 is 64 nodes of 32 and 15 left.
#[test]
fn a_cpu_limit_that_the_size_does_not_divide_leaves_a_rest() {
    let pods = json!([{"count": 100, "cpu_millis": 20_000, "memory_bytes": 1 << 30}]);
    let case = one_pool(&["r6a.8xlarge"], &["on-demand"], json!({"cpu_millis": 2_063_000}), pods);
    let answer = decide(Program::Karpenter, &case);
    assert_eq!(answer["claims"].as_array().unwrap().len(), 64);
    assert_eq!(answer["unschedulable"], 36);
}

/// F24 as a whole run: the rest waits for the limit.
#[test]
fn a_run_waits_at_the_limit_that_the_size_does_not_divide() {
    let record = run("horizon = \"10 min\"\nsubnet_prefix_length = 19\n\
        [[deployments]]\nreplicas = 100\ncpu = \"20\"\nmemory = \"1 GiB\"\n\
        [[node_pools]]\ninstance_types = [\"r6a.8xlarge\"]\nlimits = { cpu = \"2063\" }\n");
    assert_eq!((record.nodes_launched, record.pods_ready_at_end), (64, 64));
    assert_eq!((record.outcome, record.reason), (Outcome::Stuck, Some(Cause::PoolLimit)));
}

/// F25, kubernetes-sigs/karpenter#2915 and #2657: opening a claim does not lower what is left of `nodes`.
#[test]
fn a_limit_of_nodes_does_not_bind_inside_a_round() {
    let pods = |count: u32| json!([{"count": count, "cpu_millis": 1500, "memory_bytes": 1 << 20}]);
    let claims = |case: &Value| decide(Program::Karpenter, case)["claims"].as_array().unwrap().len();
    let first = one_pool(&["m5.large"], &["on-demand"], json!({"nodes": 1}), pods(2));
    assert_eq!(claims(&first), 2);
    let present = |count: usize| -> Vec<Value> {
        let node = |name: usize| {
            json!({"name": format!("n{name}"), "instance_type": "m5.large", "zone": "us-east-1a",
                "capacity_type": "on-demand", "used_cpu_millis": 1900, "used_pods": 1, "initialized": true})
        };
        (0..count).map(node).collect()
    };
    let mut later = one_pool(&["m5.large"], &["on-demand"], json!({"nodes": 3}), pods(3));
    later["existing_nodes"] = json!(present(2));
    assert_eq!(claims(&later), 3);
    later["existing_nodes"] = json!(present(5));
    assert_eq!(claims(&later), 0);
}

/// F25 as a whole run: one batch overshoots, a later one finds the pool full.
#[test]
fn a_run_overshoots_a_limit_of_nodes_once() {
    let text = |schedule: &str| {
        format!(
            "horizon = \"10 min\"\nsubnet_prefix_length = 19\n\
        [[deployments]]\n{schedule}\ncpu = \"1500m\"\nmemory = \"1 MiB\"\n\
        [[node_pools]]\ninstance_types = [\"m5.large\"]\nlimits = {{ nodes = 1 }}\n"
        )
    };
    let record = run(&text("replicas = 2"));
    assert_eq!((record.outcome, record.nodes_launched), (Outcome::Reached, 2));
    let record = run(&text("schedule = [{ at = \"0 s\", replicas = 2 }, { at = \"3 min\", replicas = 3 }]"));
    assert_eq!((record.pods_ready_at_end, record.nodes_launched), (2, 2));
    assert_eq!((record.outcome, record.reason), (Outcome::Stuck, Some(Cause::PoolLimit)));
}

/// F33, amazon-vpc-cni-k8s#730: one pod away and back costs two calls, or none within a step.
#[test]
fn a_replaced_pod_costs_two_calls() {
    let calls = |deleted_for_ms: u64| {
        let case = json!({"id": "f", "instance_type": "m5.large", "env": {"WARM_IP_TARGET": "5"}, "events": [
            {"at_ms": 0, "add": 1}, {"at_ms": 60_000, "del": 1}, {"at_ms": 60_000 + deleted_for_ms, "add": 1}],
            "until_ms": 120_000});
        let answer = decide(Program::Ipamd, &case);
        let late = |call: &&Value| call["at_ms"].as_i64().unwrap() > 60_000;
        let calls = answer["calls"].as_array().unwrap().iter().filter(late);
        calls
            .map(|call| (call["api"].as_str().unwrap().to_owned(), call["count"].as_u64()))
            .collect::<Vec<_>>()
    };
    let one = |api: &str| (api.to_owned(), Some(1));
    assert_eq!(calls(10_000), [one("UnassignPrivateIpAddresses"), one("AssignPrivateIpAddresses")]);
    assert_eq!(calls(1_000), []);
}

/// F34, amazon-vpc-cni-k8s#1451: without a warm ENI an idle one is freed and made again for ever.
#[test]
fn an_idle_eni_comes_and_goes_every_65_seconds() {
    let case = json!({"id": "f", "instance_type": "m5.large", "until_ms": 200_000,
        "env": {"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true", "WARM_ENI_TARGET": "0"}});
    let answer = decide(Program::Ipamd, &case);
    let at = |api: &str| {
        let calls = answer["calls"].as_array().unwrap().iter();
        calls
            .filter(|call| call["api"] == api)
            .map(|call| call["at_ms"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(at("DeleteNetworkInterface"), [62_500, 127_500, 192_500]);
    assert_eq!(at("CreateNetworkInterface")[1..], [67_500, 132_500, 197_500]);
}

/// F38, kedacore/keda#7398: 57 of 60 lie inside the tolerance.
#[test]
fn a_scale_up_stops_inside_the_tolerance() {
    let chain = |wanted: f64| {
        let (mut current, mut seen) = (21, Vec::new());
        let policy = json!({"scaleUp": {"policies": [{"type": "Pods", "value": 9, "periodSeconds": 60}]}});
        let mut events = Vec::new();
        for sync in 0..20 {
            let at = sync * 61_000;
            let case = json!({"id": "f", "current": current, "max": 100, "metric_ratio": wanted / f64::from(current),
                "behavior": policy, "history": [], "scale_events": events, "at_ms": at});
            let desired = decide(Program::Hpa, &case)["desired"].as_i64().unwrap() as i32;
            if desired != current {
                events.push(json!({"at_ms": at, "change": desired - current}));
                seen.push(desired);
            }
            current = desired;
        }
        seen
    };
    assert_eq!(chain(60.0), [30, 39, 48, 57]);
    // 57 times the double 63 / 57 is a little more than 63, hence one replica more.
    assert_eq!(chain(63.0), [30, 39, 48, 57, 64]);
}

/// F39, kubernetes/kubernetes#116984: one more task is no more pod.
#[test]
fn one_more_task_is_no_more_pod() {
    let check = |replicas: i32, tasks: f64, expected: i64| {
        let ratio = tasks / (4.0 * f64::from(replicas));
        let case = json!({"id": "f", "current": replicas, "max": 100, "metric_ratio": ratio, "history": []});
        assert_eq!(decide(Program::Hpa, &case)["desired"], expected, "{tasks} tasks on {replicas}");
    };
    check(9, 37.0, 9);
    check(9, 40.0, 10);
    (41..=44).for_each(|tasks| check(10, f64::from(tasks), 10));
    check(10, 45.0, 12);
}

/// F05, amazon-vpc-cni-k8s#1477: a minimum of one prefix without a warm target serves 16 pods; the next never gets one.
#[test]
fn a_minimum_alone_serves_sixteen_pods_of_one_prefix() {
    let case = json!({"id": "f", "instance_type": "m5.large", "max_pods": 110, "time": {}, "events": [{"at_ms": 0, "add": 17}],
        "env": {"ENABLE_PREFIX_DELEGATION": "true", "MINIMUM_IP_TARGET": "16", "WARM_PREFIX_TARGET": "1"},
        "until_ms": 3_600_000});
    let answer = decide(Program::Ipamd, &case);
    let mut served = vec![json!(0); 16];
    served.push(Value::Null);
    assert_eq!(answer["assigned_ms"], json!(served));
    assert_eq!(answer["steps"].as_array().unwrap().last().unwrap()["prefixes"], 1);
}
