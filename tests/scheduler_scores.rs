//! kube-scheduler's scores against those of the real plugins (v1.34.4): resources, and the default topology spread.
//!
//! Cases of pods of one container that declares cpu and memory, default profile. Of a case the nodes that the real
//! filters let pass are scored; what a run does not model (images, soft taints, own constraints) is not compared.

use std::collections::BTreeMap;
use std::path::Path;

use kilopod::actors::kube_scheduler::score::{balanced_allocation, least_allocated};
use kilopod::actors::kube_scheduler::spread::{Candidate, default_scores};
use kilopod::units::Resources;
use serde_json::Value;

fn resources(value: &Value) -> Resources {
    let of = |key: &str| value[key].as_i64().unwrap_or(0);
    Resources::new(of("cpu_millis"), of("memory_bytes"), of("pods"))
}

fn cases() -> Vec<(Value, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kube-scheduler/scores.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    text.lines().map(parse).map(|both| (both["case"].clone(), both["answer"].clone())).collect()
}

#[test]
fn resource_scores_are_the_real_ones() {
    let mut compared = 0;
    for (case, answer) in cases() {
        let pod = resources(&case["pod"]);
        for (node, told) in case["nodes"].as_array().unwrap().iter().zip(answer["nodes"].as_array().unwrap())
        {
            if told["feasible"] != true {
                continue;
            }
            let (all, requested) = (resources(&node["allocatable"]), resources(&node["requested"]));
            let non_zero = if node["non_zero_requested"].is_null() {
                requested
            } else {
                resources(&node["non_zero_requested"])
            };
            let got = (least_allocated(non_zero + pod, all), balanced_allocation(requested + pod, all));
            let scores = &told["scores"];
            let wanted = (
                scores["NodeResourcesFit"].as_i64().unwrap(),
                scores["NodeResourcesBalancedAllocation"].as_i64().unwrap(),
            );
            assert_eq!(got, wanted, "{} {}", case["id"], node["name"]);
            compared += 1;
        }
    }
    assert!(compared > 500, "only {compared} nodes");
}

#[test]
fn default_spreading_is_the_real_one() {
    let mut compared = 0;
    for (case, answer) in cases() {
        let own = case["pod"]["topology_spread"].as_array().is_some_and(|list| !list.is_empty());
        let nodes = case["nodes"].as_array().unwrap();
        let told = answer["nodes"].as_array().unwrap();
        // A run's nodes all have a zone, and its pods all an owner.
        if own || case["pod"]["owner"].is_null() || nodes.iter().any(|node| node["zone"].is_null()) {
            continue;
        }
        // Counts of other keys than hostname leave out nodes that the pod's selector excludes; runs have none.
        if case["pod"]["node_selector"].as_object().is_some_and(|map| !map.is_empty()) {
            continue;
        }
        let matching = |node: &Value| node["matching_pods"].as_u64().unwrap_or(0) as u32;
        let mut in_zone = BTreeMap::<&str, u32>::new();
        nodes
            .iter()
            .for_each(|node| *in_zone.entry(node["zone"].as_str().unwrap()).or_default() += matching(node));
        let passed: Vec<(&Value, &Value)> =
            nodes.iter().zip(told).filter(|(_, told)| told["feasible"] == true).collect();
        let candidates: Vec<Candidate> = passed
            .iter()
            .map(|(node, _)| Candidate {
                on_node: matching(node),
                in_zone: in_zone[node["zone"].as_str().unwrap()],
            })
            .collect();
        let mut zones: Vec<&str> = passed.iter().map(|(node, _)| node["zone"].as_str().unwrap()).collect();
        zones.sort_unstable();
        zones.dedup();
        let mut scores = Vec::new();
        default_scores(&candidates, zones.len(), &mut scores);
        for ((node, told), got) in passed.iter().zip(scores) {
            assert_eq!(
                told["scores"]["PodTopologySpread"].as_i64(),
                Some(got),
                "{} {}",
                case["id"],
                node["name"]
            );
            compared += 1;
        }
    }
    assert!(compared > 100, "only {compared} nodes");
}
