//! Precision: cells stop at looks, by results alone, unless the time is over.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{error, kilopod};
use serde_json::Value;

/// Two cells: one whose node is still to come needs more replications for its median, and a third never gets there.
const SMALL: &str = r#"
replications = 3
[scenario]
target_pods = 8
horizon = "5 min"
[[scenario.deployments]]
name = "app"
replicas = 8
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[scenario.node_pools]]
name = "default"
capacity_types = ["on-demand"]
[[factors]]
name = "machines"
levels = [
    { label = "one", set."node_pools.0.instance_types" = ["m5.4xlarge"] },
    { label = "there", set.static_nodes = [{ instance_type = "m5.4xlarge", count = 1 }] },
    { label = "late", set = { horizon = "30 s" } },
]
"#;

fn scratch(name: &str) -> PathBuf {
    let path = common::scratch(&format!("precision-{name}"));
    fs::write(path.join("small.toml"), SMALL).unwrap();
    path
}
fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = kilopod(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", error(&output));
    error(&output)
}
fn manifest(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap()
}
fn cells(folder: &Path) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(folder.join("cells.csv")).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}
fn same_files(one: &Path, other: &Path) {
    for file in fs::read_dir(one).unwrap().map(|entry| entry.unwrap().path()) {
        let other = other.join(file.file_name().unwrap());
        assert!(fs::read(&file).unwrap() == fs::read(other).unwrap(), "{} differs", file.display());
    }
}

const PRECISE: [&str; 4] = ["--precision", "3%", "--replications", "600"];

#[test]
fn cells_stop_at_the_look_that_knows_them_on_any_number_of_threads_and_in_shards() {
    let folder = scratch("looks");
    let sweep = |more: &[&str]| run(&folder, &[&["sweep", "small.toml"], PRECISE.as_slice(), more].concat());
    sweep(&["--threads", "1", "-o", "1"]);
    sweep(&["--threads", "8", "-o", "8"]);
    same_files(&folder.join("1"), &folder.join("8"));
    for shard in ["0/2", "1/2"] {
        sweep(&["--shard", shard, "-o", &shard.replace('/', "-")]);
    }
    run(&folder, &["merge", "0-2", "1-2", "-o", "merged"]);
    same_files(&folder.join("1"), &folder.join("merged"));
    // Time enough goes round by round to the same.
    sweep(&["--time-budget", "1 h", "-o", "rounds"]);
    same_files(&folder.join("1"), &folder.join("rounds"));
    // So does the plan.
    run(&folder, &[&["plan", "small.toml", "--out", "plan.json"], PRECISE.as_slice()].concat());
    run(&folder, &["sweep", "plan.json", "-o", "planned"]);
    same_files(&folder.join("1"), &folder.join("planned"));
    let typed = kilopod(&folder, &["sweep", "plan.json", "--precision", "2%"]);
    assert!(error(&typed).contains("--precision 2% would change it"), "{}", error(&typed));

    let (cells, manifest) = (cells(&folder.join("1")), manifest(&folder.join("1")));
    assert_eq!(manifest["precision"]["measure"], "time_to_target_p50_ms");
    let mut needed = Vec::new();
    for cell in &cells {
        let number = |column: &str| cell[column].parse::<f64>();
        let replications: u32 = cell["replications"].parse().unwrap();
        assert!([128, 256, 512, 600].contains(&replications), "{replications} is no look");
        let by = manifest["stopped_by"][&cell["cell_id"]].as_str().unwrap();
        if let Ok(estimate) = number("time_to_target_p50_ms") {
            let half = (number("time_to_target_p50_hi_ms").unwrap()
                - number("time_to_target_p50_lo_ms").unwrap())
                / 2.0;
            assert_eq!(by == "precision", half <= 0.03 * estimate, "{cell:?}");
        }
        needed.push((replications, by.to_string()));
    }
    assert!(needed[0].0 > needed[1].0, "the first cell is meant to need more: {needed:?}");
    assert_eq!(needed[2], (128, "precision".to_string()), "what never gets there is known");
}

/// The replications that a cell has are the first of those it would have with a fixed number.
#[test]
fn a_cell_stopped_early_has_the_first_replications() {
    let folder = scratch("first");
    run(&folder, &["sweep", "small.toml", "--precision", "50%", "--measure", "nodes", "-o", "precise"]);
    run(&folder, &["sweep", "small.toml", "--replications", "128", "-o", "fixed"]);
    // Resamples are of as many replications as a cell may have.
    let cells = |name: &str| {
        let mut cells = cells(&folder.join(name));
        cells.iter_mut().for_each(|cell| drop(cell.remove("pareto_share_ppm").unwrap()));
        cells
    };
    assert_eq!(cells("precise"), cells("fixed"));
    for table in ["replications", "timeline", "comparisons"] {
        let read = |name: &str| fs::read(folder.join(name).join(format!("{table}.csv"))).unwrap();
        assert!(read("precise") == read("fixed"), "{table} differs");
    }
    let (precise, fixed) = (manifest(&folder.join("precise")), manifest(&folder.join("fixed")));
    assert_eq!(precise["precision"]["measure"], "nodes_mean");
    assert!(fixed.get("stopped_by").is_none() && fixed.get("precision").is_none());
    assert_ne!(precise["plan_id"], fixed["plan_id"]);
}

#[test]
fn a_time_budget_stops_at_a_look_and_says_so() {
    let folder = scratch("time");
    let budget = ["sweep", "small.toml", "--precision", "0.001%", "--time-budget", "1 ms", "-o", "out"];
    let told = run(&folder, &budget);
    assert!(told.contains("2 of 3 cells stopped before time_to_target_p50_ms was known to 0.001 %, as the time was over: c0001, c0002"), "{told}");
    let stopped = manifest(&folder.join("out"))["stopped_by"].clone();
    assert_eq!(stopped, serde_json::json!({"c0001": "time", "c0002": "time", "c0003": "precision"}));
    assert!(cells(&folder.join("out")).iter().all(|cell| cell["replications"] == "128"));
    let again = kilopod(&folder, &["sweep", "small.toml", "--precision", "0.001%", "-o", "out"]);
    assert!(again.status.code() == Some(2) && error(&again).contains("cut short"), "{}", error(&again));
    run(&folder, &[&budget[..], &["--overwrite"]].concat());
    let shard = ["--shard", "0/1", "-o", "part"];
    run(&folder, &[&budget[..6], &shard].concat());
    let again = kilopod(&folder, &[&budget[..4], &shard].concat());
    assert!(again.status.code() == Some(2) && error(&again).contains("cut short"), "{}", error(&again));
    let fixed = kilopod(&folder, &["sweep", "small.toml", "--time-budget", "1 min"]);
    assert!(fixed.status.code() == Some(2) && error(&fixed).contains("add --precision"), "{}", error(&fixed));
}

#[test]
fn what_cannot_be_precise_is_told() {
    let folder = scratch("bad");
    let told = |arguments: &[&str]| {
        let output = kilopod(&folder, &[&["plan", "small.toml"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        error(&output)
    };
    assert!(told(&["--precision", "5"]).contains("write it in per cent"));
    assert!(told(&["--precision", "0%"]).contains("write it in per cent"));
    assert!(told(&["--measure", "nodes"]).contains("nothing says how well"));
    assert!(
        told(&["--precision", "5%", "--measure", "time_to_target_p95"])
            .contains("did you mean \"time_to_target_p95_ms\"")
    );
    let text =
        SMALL.replace("replications = 3", "[precision]\ntarget = \"wide\"\nmeasure = \"none\"\nmost = 5\n");
    fs::write(folder.join("small.toml"), text).unwrap();
    let all = told(&[]);
    for part in ["\"wide\" is no precision", "\"none\" has no estimate", "no key \"most\""] {
        assert!(all.contains(part), "{part} is not told:\n{all}");
    }
}

#[test]
fn a_plan_foretells_the_replications_that_precision_needs() {
    let folder = scratch("foretold");
    let likely = |target: &str| -> Vec<u64> {
        let output = kilopod(&folder, &["plan", "small.toml", "--precision", target, "--json"]);
        let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
        let forecast = &plan["forecast"];
        assert_eq!(
            (&plan["replications"], &forecast["rows"]["replications"]["exact"]),
            (&2048.into(), &false.into())
        );
        let pilots = forecast["pilots"].as_array().unwrap();
        let likely: Vec<u64> = pilots.iter().map(|pilot| pilot["likely"].as_u64().unwrap()).collect();
        assert_eq!(forecast["replications"], likely.iter().sum::<u64>());
        likely
    };
    let (rough, fine) = (likely("30%"), likely("0.1%"));
    assert_eq!(rough, [128, 128, 128]);
    assert!(fine[0] > 512 && fine[1] > 512 && fine[2] == 128, "{fine:?}");
}
