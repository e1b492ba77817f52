//! Karpenter's packing: one round of a run against the real solver's claims, as a multiset of pods and requests.
//!
//! Cases of one pool without limits and taints, no existing node, pods that differ in size only.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::scenario;
use serde_json::Value;

/// The case as a scenario whose pods all come into one batch.
fn scenario_text(case: &Value) -> String {
    let total: u64 = case["pods"].as_array().unwrap().iter().map(|pod| pod["count"].as_u64().unwrap()).sum();
    let mut text = format!("target_pods = {total}\nsubnet_prefix_length = 17\nzones = {}\n", case["zones"]);
    if case["daemonsets"].as_array().is_none_or(Vec::is_empty) {
        text += "daemonsets = []\n";
    }
    text += "quotas = { on_demand_vcpus = 1000000, spot_vcpus = 1000000 }\n[cni]\nmode = \"none\"\n";
    if let Some(most) = case["max_pods"].as_u64() {
        text += &format!("max_pods = {most}\n");
    }
    text += "[karpenter]\nbatch_idle = \"300 s\"\nbatch_max = \"600 s\"\n";
    if let Some(reserved) = case["reserved_enis"].as_u64() {
        text += &format!("reserved_enis = {reserved}\n");
    }
    let sizes = |of: &Value| {
        let number = |key: &str| of[key].as_u64().unwrap_or(0);
        format!("cpu = \"{}m\"\nmemory = \"{} B\"\n", number("cpu_millis"), number("memory_bytes"))
    };
    for (index, pod) in case["pods"].as_array().unwrap().iter().enumerate() {
        text += &format!("[[deployments]]\nname = \"d{index}\"\nreplicas = {}\n{}", pod["count"], sizes(pod));
    }
    // The first pod of an entry has all of its request.
    for daemonset in case["daemonsets"].as_array().into_iter().flatten() {
        text += &format!("[[daemonsets]]\n{}", sizes(daemonset));
        for _ in 1..daemonset["pods"].as_u64().unwrap() {
            text += "[[daemonsets]]\ncpu = \"0m\"\nmemory = \"0 B\"\n";
        }
    }
    text += "[[node_pools]]\nname = \"default\"\n";
    if let Some(family) = case["ami_family"].as_str() {
        text += &format!("ami_family = \"{family}\"\n");
    }
    if case["instance_types"].is_array() {
        text += &format!("instance_types = {}\n", case["instance_types"]);
    }
    for requirement in case["node_pools"][0]["requirements"].as_array().into_iter().flatten() {
        let (key, operator, values) = (&requirement["key"], &requirement["operator"], &requirement["values"]);
        let values = if values.is_null() { "[]".to_string() } else { values.to_string() };
        text +=
            &format!("[[node_pools.requirements]]\nkey = {key}\noperator = {operator}\nvalues = {values}\n");
    }
    text
}

fn bytes(quantity: &Value) -> i64 {
    let Some(text) = quantity.as_str() else { return 0 };
    let units = [("Gi", 1 << 30), ("Mi", 1 << 20), ("", 1)];
    let (number, unit) =
        units.iter().find_map(|(end, unit)| text.strip_suffix(end).map(|n| (n, unit))).unwrap();
    number.parse::<i64>().unwrap() * unit
}
fn millis(quantity: &Value) -> i64 {
    let text = quantity.as_str().unwrap();
    text.strip_suffix('m')
        .map_or_else(|| text.parse::<i64>().unwrap() * 1_000, |millis| millis.parse().unwrap())
}

/// Is it a case of what scenarios can say: one pool without limits, taints and labels, pods that differ in size only?
fn in_scope(case: &Value) -> bool {
    let none = |value: &Value| {
        value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let pools = case["node_pools"].as_array().unwrap();
    let pods = case["pods"].as_array().unwrap();
    let varied = |pool: &Value| {
        pool["requirements"].as_array().is_some_and(|all| all.iter().any(|one| !none(&one["min_values"])))
    };
    pools.len() == 1
        && ["limits", "taints", "labels"].iter().all(|key| none(&pools[0][*key]))
        && !varied(&pools[0])
        && ["existing_nodes", "unavailable"].iter().all(|key| none(&case[*key]))
        && case["ami_family"] != "Custom"
        && pods
            .iter()
            .all(|pod| ["node_selector", "tolerations", "topology_spread"].iter().all(|key| none(&pod[*key])))
}

fn recorded() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/karpenter");
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

#[test]
fn a_round_packs_as_the_real_solver() {
    let catalogue = Arc::new(Catalogue::compiled_in());
    let (mut cases, mut differing) = (0, Vec::new());
    for recorded in recorded().into_iter().filter(|recorded| in_scope(&recorded["case"])) {
        let (case, answer) = (&recorded["case"], &recorded["answer"]);
        let mut problems = Problems::default();
        let document = Document::parse("case.toml", &scenario_text(case), &mut problems);
        let read = scenario::read(&document, "case", Path::new("."), &catalogue);
        let prepared =
            Prepared::new(read.unwrap_or_else(|problems| panic!("{}: {problems:?}", case["id"])).scenario);
        let trace = tell(&prepared, 1, 0, Wishes { trace: true, ..Wishes::default() }).trace;
        let lines =
            trace.iter().filter(|line| line.contains("claim_created") || line.contains(r#""event":"round""#));
        let mut rounds = 0;
        let mut got: Vec<(i64, i64, i64)> = Vec::new();
        for line in lines {
            let line: Value = serde_json::from_str(line).unwrap();
            rounds += u32::from(line["event"] == "round");
            if line["event"] == "claim_created" && rounds == 1 {
                let requests = &line["requests"];
                got.push((
                    line["pods"].as_i64().unwrap(),
                    millis(&requests["cpu"]),
                    bytes(&requests["memory"]),
                ));
            }
        }
        let claim = |claim: &Value| {
            let requests = &claim["requests"];
            let number = |value: &Value| value.as_i64().unwrap_or(0);
            (number(&claim["pods"]), number(&requests["cpu_millis"]), number(&requests["memory_bytes"]))
        };
        let mut wanted: Vec<(i64, i64, i64)> =
            answer["claims"].as_array().unwrap().iter().map(claim).collect();
        got.sort_unstable();
        wanted.sort_unstable();
        cases += 1;
        if got != wanted {
            differing.push(format!("{}\n  got    {got:?}\n  wanted {wanted:?}", case["id"]));
        }
    }
    assert!(cases > 100, "only {cases} cases");
    assert!(differing.is_empty(), "{} of {cases} differ: {}", differing.len(), differing.join("\n"));
}
