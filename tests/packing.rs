//! Karpenter's packing: one round of a run against the real solver's claims, as a multiset of pods and requests.
//!
//! Cases without existing nodes and unavailable offerings; of spreads those over hosts, since equal zones are drawn.

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
    // Pods that tolerate everything would go onto the nodes that are there.
    text += "static_nodes = []\n";
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
        for key in ["node_selector", "tolerations"].into_iter().filter(|key| !none(&pod[*key])) {
            text += &format!("{key} = {}\n", inline(&pod[key]));
        }
        let spread: Vec<String> =
            pod["topology_spread"].as_array().into_iter().flatten().map(spread).collect();
        text += &format!("topology_spread = [{}]\n", spread.join(", "));
    }
    // The first pod of an entry has all of its request.
    for daemonset in case["daemonsets"].as_array().into_iter().flatten() {
        text += &format!("[[daemonsets]]\n{}", sizes(daemonset));
        for _ in 1..daemonset["pods"].as_u64().unwrap() {
            text += "[[daemonsets]]\ncpu = \"0m\"\nmemory = \"0 B\"\n";
        }
    }
    case["node_pools"].as_array().unwrap().iter().for_each(|pool| text += &pool_text(case, pool));
    text
}

fn pool_text(case: &Value, pool: &Value) -> String {
    let mut text = format!("[[node_pools]]\nname = {}\n", pool["name"]);
    text += &format!("weight = {}\n", pool["weight"].as_i64().unwrap_or(0));
    if let Some(family) = case["ami_family"].as_str() {
        text += &format!("ami_family = \"{family}\"\n");
    }
    if case["instance_types"].is_array() {
        text += &format!("instance_types = {}\n", case["instance_types"]);
    }
    for key in ["labels", "taints", "requirements"].into_iter().filter(|key| !none(&pool[*key])) {
        text += &format!("{key} = {}\n", inline(&pool[key]));
    }
    let limits = &pool["limits"];
    let named = [("cpu", "cpu_millis", "m"), ("memory", "memory_bytes", " B")];
    let given = named.iter().filter_map(|(name, key, unit)| {
        limits[*key].as_i64().map(|amount| format!("{name} = \"{amount}{unit}\""))
    });
    let nodes = limits["nodes"].as_i64().map(|nodes| format!("nodes = {nodes}"));
    text + &format!("limits = {{ {} }}\n", given.chain(nodes).collect::<Vec<_>>().join(", "))
}

fn spread(case: &Value) -> String {
    let when = case["when_unsatisfiable"].as_str().unwrap_or("DoNotSchedule");
    let least =
        case["min_domains"].as_i64().map_or(String::new(), |least| format!(", min_domains = {least}"));
    let (key, skew) = (&case["key"], case["max_skew"].as_i64().unwrap_or(1));
    format!("{{ topology_key = {key}, max_skew = {skew}, when_unsatisfiable = \"{when}\"{least} }}")
}

/// The value as TOML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| format!("{key:?} = {}", inline(value));
            let said = entries.iter().filter(|(_, value)| !value.is_null() && *value != "");
            format!("{{ {} }}", said.map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Is nothing said?
fn none(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
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

/// Is it a case of what a run's first round meets?
fn in_scope(case: &Value) -> bool {
    let pods = case["pods"].as_array().unwrap();
    let spreads = pods.iter().flat_map(|pod| pod["topology_spread"].as_array().into_iter().flatten());
    ["existing_nodes", "unavailable"].iter().all(|key| none(&case[*key]))
        && case["ami_family"] != "Custom"
        && spreads.into_iter().all(|spread| spread["key"] == "kubernetes.io/hostname")
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
    assert!(cases > 200, "only {cases} cases");
    assert!(differing.is_empty(), "{} of {cases} differ: {}", differing.len(), differing.join("\n"));
}
