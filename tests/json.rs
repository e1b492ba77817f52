//! `--json`: the same answers for machines, and nothing else on standard output.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{error, kilopod};
use serde_json::{Value, json};

const SMALL: &str = r#"
replications = 6
[scenario]
target_pods = 8
[[scenario.deployments]]
name = "app"
replicas = 8
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[scenario.node_pools]]
name = "default"
[[factors]]
name = "horizon"
key = "horizon"
values = [1, 300]
unit = "s"
"#;

fn scratch(name: &str) -> PathBuf {
    let path = common::scratch(&format!("json-{name}"));
    fs::write(path.join("small.toml"), SMALL).unwrap();
    path
}
/// All of standard output as one value.
fn answer(folder: &Path, arguments: &[&str]) -> Value {
    let output = kilopod(folder, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", error(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn sweep_and_merge_answer_with_their_cells() {
    let folder = scratch("sweep");
    let whole = answer(&folder, &["sweep", "small.toml", "-o", "out"]);
    assert_eq!(
        (&whole["folder"], &whole["seed"], &whole["failures"]),
        (&json!("out"), &json!("1"), &json!(0))
    );
    let cells = whole["cells"].as_array().unwrap();
    assert_eq!((cells.len(), &cells[1]["cell_id"]), (2, &json!("c0002")));
    assert_eq!(cells[0]["levels"], json!({"horizon": "1 s"}));
    assert_eq!(cells[0]["time_to_target_p50_ms"], json!({"estimate": null, "low": null, "high": null}));
    let mut reader = csv::Reader::from_path(folder.join("out/cells.csv")).unwrap();
    let row: std::collections::BTreeMap<String, String> = reader.deserialize().nth(1).unwrap().unwrap();
    let median = &cells[1]["time_to_target_p50_ms"];
    for (end, column) in [("estimate", "p50"), ("low", "p50_lo"), ("high", "p50_hi")] {
        assert_eq!(median[end].to_string(), row[&format!("time_to_target_{column}_ms")]);
    }
    for shard in ["0/2", "1/2"] {
        let part =
            answer(&folder, &["sweep", "small.toml", "--shard", shard, "-o", &shard.replace('/', "-")]);
        assert_eq!(part["cells"].as_array().unwrap().len(), 1);
    }
    let mut merged = answer(&folder, &["merge", "0-2", "1-2", "-o", "merged"]);
    assert_eq!(answer(&folder, &["merge", "0-2", "1-2", "-o", "merged"]), merged, "merged before");
    merged["folder"] = json!("out");
    assert_eq!(merged, whole);
    // What is complete answers from its files.
    assert_eq!(answer(&folder, &["sweep", "small.toml", "-o", "out"]), whole);
    let part = answer(&folder, &["sweep", "small.toml", "--shard", "1/2", "-o", "1-2"]);
    assert_eq!(part["cells"], json!([whole["cells"][1]]));
    let dry = answer(&folder, &["sweep", "small.toml", "--dry-run"]);
    assert_eq!((&dry["plan_id"], &dry["forecast"]["replications"]), (&whole["plan_id"], &json!(12)));
}

/// Cells that stop at their precision say so again, and a table that was changed is told.
#[test]
fn a_complete_sweep_answers_from_its_files() {
    let folder = scratch("complete");
    let arguments = ["sweep", "small.toml", "--precision", "5%", "-o", "out"];
    let whole = answer(&folder, &arguments);
    let stopped = |answer: &Value| answer["cells"][1]["stopped_by"].clone();
    assert_eq!((stopped(&whole), &whole["cells"][1]["replications"]), (json!("precision"), &json!(128)));
    assert_eq!(answer(&folder, &arguments), whole);
    let path = folder.join("out/replications.csv");
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen("reached", "stuck", 1)).unwrap();
    let changed = kilopod(&folder, &arguments);
    assert_eq!(changed.status.code(), Some(1), "{}", error(&changed));
    assert!(error(&changed).contains("not as the sweep wrote it") && changed.stdout.is_empty());
    // So are tables of which nothing is read back, all at once.
    answer(&folder, &[&arguments[..], &["--overwrite"]].concat());
    for table in ["cells", "subnets"] {
        let path = folder.join(format!("out/{table}.csv"));
        fs::write(&path, fs::read_to_string(&path).unwrap() + "\n").unwrap();
    }
    let changed = kilopod(&folder, &arguments);
    assert_eq!(changed.status.code(), Some(1), "{}", error(&changed));
    for table in ["cells", "subnets"] {
        assert!(
            error(&changed).contains(&format!("{table}.csv: it is not as the sweep wrote it")),
            "{}",
            error(&changed)
        );
    }
}

#[test]
fn run_answers_with_the_row_of_its_replication() {
    let folder = scratch("run");
    answer(&folder, &["sweep", "small.toml", "-o", "out"]);
    let run = answer(&folder, &["run", "small.toml", "--cell", "c0002", "--replication", "3"]);
    let mut reader = csv::Reader::from_path(folder.join("out/replications.csv")).unwrap();
    let rows = reader.deserialize().map(Result::unwrap);
    let row: std::collections::BTreeMap<String, String> = rows
        .filter(|row: &std::collections::BTreeMap<String, String>| {
            row["cell_id"] == "c0002" && row["replication"] == "3"
        })
        .last()
        .unwrap();
    assert_eq!(run["trace_hash"], row["trace_hash"].as_str());
    let measures = run["measures"].as_object().unwrap();
    assert!(measures.len() > 40, "{measures:?}");
    for (column, value) in measures {
        let printed = &row[column];
        match value.as_f64() {
            None => assert_eq!(printed, "", "{column}"),
            // Hours are printed with four decimals.
            Some(value) => assert!(
                (value - printed.parse::<f64>().unwrap()).abs() < 1e-4,
                "{column}: {value}, {printed}"
            ),
        }
    }
}

#[test]
fn the_small_answers_are_numbers_by_name() {
    let folder = scratch("small");
    let pods = answer(&folder, &["max-pods", "m5.large", "c5.4xlarge"]);
    assert_eq!(
        pods[0],
        json!({"instance_type": "m5.large", "max_enis": 3, "ipv4_per_eni": 10, "max_pods": 29})
    );
    assert_eq!(pods[1]["max_pods"], 234);
    let types = answer(&folder, &["instances", "m5.large"]);
    assert_eq!((&types[0]["instance_type"], &types[0]["vcpus"]), (&json!("m5.large"), &json!(2)));
    assert!(types[0]["on_demand_usd_per_hour"].as_f64().unwrap() > 0.0);
    assert_eq!(answer(&folder, &["instances", "--min-vcpus", "100000"]), json!([]));
    let rests = answer(&folder, &["warm-pool", "m5.large", "--pods", "0..=9"]);
    assert_eq!(rests.as_array().unwrap().len(), 10);
    let nine = &rests[9];
    assert_eq!(
        (&nine["pods"], &nine["enis"], &nine["addresses_attached"]),
        (&json!(9), &json!(2), &json!(20))
    );
    // Each ENI keeps its primary to itself.
    assert_eq!((&nine["per_eni"], &nine["period_s"]), (&json!([9, 9]), &Value::Null));
}
