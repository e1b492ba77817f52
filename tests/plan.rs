//! Plans: kept in a file, run as they are or refused, and foretold rightly.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{error, kilopod};
use serde_json::Value;

/// Keys of levels are not in the order of the alphabet, and one value is a list of tables: columns follow the order in the file.
const SMALL: &str = r#"
replications = 5
[scenario]
target_pods = 40
horizon = "20 min"
[[scenario.deployments]]
name = "app"
replicas = 40
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[scenario.node_pools]]
name = "default"
[[factors]]
name = "instances"
[[factors.levels]]
label = "large"
set."node_pools.0.requirements" = [{ key = "node.kubernetes.io/instance-type", operator = "In", values = ["m5.large"] }]
set."node_pools.0.capacity_types" = ["on-demand"]
[[factors.levels]]
label = "xlarge"
set."node_pools.0.instance_types" = ["m5.xlarge"]
[[factors]]
name = "cni"
[[factors.levels]]
label = "default"
[[factors.levels]]
label = "ip-1"
set = { WARM_IP_TARGET = 1, MINIMUM_IP_TARGET = 1 }
"#;

fn scratch(name: &str) -> PathBuf {
    let path = common::scratch(&format!("plan-{name}"));
    fs::write(path.join("small.toml"), SMALL).unwrap();
    path
}
fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = kilopod(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", error(&output));
    String::from_utf8(output.stdout).unwrap()
}
fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}
fn same_files(one: &Path, other: &Path) {
    let files: Vec<PathBuf> = fs::read_dir(one).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), fs::read_dir(other).unwrap().count());
    for file in files {
        let other = other.join(file.file_name().unwrap());
        assert!(fs::read(&file).unwrap() == fs::read(other).unwrap(), "{} differs", file.display());
    }
}

#[test]
fn a_plan_gives_the_bytes_of_its_experiment_also_in_shards() {
    let folder = scratch("same");
    run(
        &folder,
        &[
            "plan",
            "small.toml",
            "--seed",
            "18446744073709551615",
            "--set",
            "zones=[\"a\"]",
            "--out",
            "plan.json",
        ],
    );
    run(
        &folder,
        &["sweep", "small.toml", "--seed", "18446744073709551615", "--set", "zones=[\"a\"]", "-o", "whole"],
    );
    // Nothing but the plan is needed.
    fs::remove_file(folder.join("small.toml")).unwrap();
    run(&folder, &["sweep", "plan.json", "-o", "planned"]);
    same_files(&folder.join("whole"), &folder.join("planned"));
    for shard in ["0/2", "1/2"] {
        run(&folder, &["sweep", "plan.json", "--shard", shard, "-o", &shard.replace('/', "-")]);
    }
    run(&folder, &["merge", "0-2", "1-2", "-o", "merged"]);
    same_files(&folder.join("whole"), &folder.join("merged"));
    let plan = json(&folder.join("plan.json"));
    assert_eq!(plan["plan_id"], json(&folder.join("whole/manifest.json"))["plan_id"]);
    assert_eq!(plan["plan_id"].as_str().unwrap().len(), 64, "SHA-256 has 64 digits");
    let again = kilopod(&folder, &["sweep", "plan.json", "-o", "whole"]);
    assert!(error(&again).contains("is complete"), "{}", error(&again));
    let cell = run(&folder, &["run", "plan.json", "--cell", "c0002", "--replication", "3"]);
    assert!(cell.contains("trace hash"));
}

#[test]
fn what_decides_results_decides_the_hash() {
    let folder = scratch("hash");
    let id = |arguments: &[&str]| {
        let text = run(&folder, &[&["plan", "small.toml", "--json"], arguments].concat());
        serde_json::from_str::<Value>(&text).unwrap()["plan_id"].as_str().unwrap().to_string()
    };
    let first = id(&[]);
    assert_eq!(first, id(&[]));
    for other in [["--seed", "2"], ["--replications", "6"], ["--set", "horizon=\"21 min\""]] {
        assert_ne!(first, id(&other), "{other:?}");
    }
    // The order in which a level sets its keys is the order of columns.
    let turned = SMALL
        .replace("WARM_IP_TARGET = 1, MINIMUM_IP_TARGET = 1", "MINIMUM_IP_TARGET = 1, WARM_IP_TARGET = 1");
    fs::write(folder.join("small.toml"), turned).unwrap();
    assert_ne!(first, id(&[]));
    fs::write(folder.join("small.toml"), format!("# Only a remark.\n{SMALL}")).unwrap();
    assert_eq!(first, id(&[]));
}

#[test]
fn a_plan_that_was_changed_or_is_of_another_version_is_refused() {
    let folder = scratch("refused");
    run(&folder, &["plan", "small.toml", "--out", "plan.json"]);
    let text = fs::read_to_string(folder.join("plan.json")).unwrap();
    let sweep = |text: &str, arguments: &[&str]| {
        fs::write(folder.join("changed.json"), text).unwrap();
        let output = kilopod(&folder, &[&["sweep", "changed.json", "-o", "out"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", error(&output));
        assert!(!folder.join("out").exists());
        error(&output)
    };
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in\n{text}");
        sweep(&text.replacen(from, to, 1), &[])
    };
    assert!(change("\"replications\": 5", "\"replications\": 6").contains("replications does not fit"));
    assert!(change("\"horizon\": \"20 min\"", "\"horizon\": \"30 min\"").contains("plan_id does not fit"));
    assert!(change("\"seed\": \"1\"", "\"seed\": \"2\"").contains("seed does not fit"));
    assert!(change("\"labels\":[\"large\",", "\"labels\":[\"larger\",").contains("cells does not fit"));
    assert!(
        change("\"results_version\": ", "\"results_version\": 9")
            .contains("the plan is of results_version 9")
    );
    assert!(change("\"kilopod\": \"", "\"kilopod\": \"9").contains("the plan is of kilopod \"9"));
    assert!(sweep("{}", &[]).contains("the plan is of plan_version null"));
    assert!(sweep("replications = 3", &[]).contains("this is no plan"));
    let typed = sweep(&text, &["--seed", "2", "--set", "WARM_IP_TARGET=2"]);
    assert!(typed.contains("--set WARM_IP_TARGET=2, --seed 2 would change it"), "{typed}");
}

#[test]
fn a_plan_that_is_there_is_not_replaced_by_another() {
    let folder = scratch("kept");
    run(&folder, &["plan", "small.toml", "--out", "plan.json"]);
    run(&folder, &["plan", "small.toml", "--out", "plan.json"]);
    let before = fs::read(folder.join("plan.json")).unwrap();
    for (arguments, what) in [
        (["--seed", "2", "--out", "plan.json"], "is not this plan"),
        (["--seed", "2", "--out", "plan"], ".json"),
    ] {
        let output = kilopod(&folder, &[&["plan", "small.toml"], arguments.as_slice()].concat());
        assert!(output.status.code() == Some(2) && error(&output).contains(what), "{}", error(&output));
    }
    assert!(fs::read(folder.join("plan.json")).unwrap() == before);
}

#[test]
fn plan_and_dry_run_show_the_same() {
    let folder = scratch("dry");
    let timeless = |text: String| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("about ")).map(str::to_string).collect()
    };
    let plan = timeless(run(&folder, &["plan", "small.toml"]));
    assert_eq!(plan, timeless(run(&folder, &["sweep", "small.toml", "--dry-run"])));
    assert!(plan.iter().any(|line| line == "4 cells x 5 replications = 20"), "{plan:?}");
    assert!(plan.iter().any(|line| line.starts_with("  c0004 xlarge | ip-1")), "{plan:?}");
    assert!(!folder.join("results").exists());
}

/// Rows said to be exact are those written, the others of their size; the trial's estimate lies near the sweep's.
/// Twelve cells, of which every other is tried; where subnets are too small none gets there.
#[test]
fn cells_of_which_nothing_is_known_say_why() {
    let folder = scratch("unknown");
    let more = "[[factors]]\nname = \"subnets\"\nkey = \"subnet_prefix_length\"\nvalues = [28, 21, 20]\n";
    fs::write(folder.join("twelve.toml"), format!("{SMALL}{more}")).unwrap();
    let told = run(&folder, &["plan", "twelve.toml", "--set", "control_plane_interfaces=0"]);
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("  c0")).collect();
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!((lines.len(), count("not tried")), (12, 6), "{told}");
    let unknown = lines.iter().filter(|line| line.contains("none reached the target"));
    assert!(unknown.clone().count() > 0 && unknown.clone().all(|line| line.contains("| 28 ")), "{told}");
    assert_eq!(count("not tried") + count("unknown: ") + count(" +- "), 12, "{told}");
    // Of many only some are listed.
    let lengths = more.replace("[28, 21, 20]", "[28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16]");
    fs::write(folder.join("many.toml"), format!("{SMALL}{lengths}")).unwrap();
    let told = run(&folder, &["plan", "many.toml"]);
    assert_eq!(told.matches("   not tried\n").count(), 10, "{told}");
    let last = told.lines().last().unwrap();
    assert!(
        last.starts_with("  and ") && last.ends_with(" more that were not tried; --json lists them"),
        "{told}"
    );
}

#[test]
fn what_is_foretold_comes() {
    let folder = scratch("foretold");
    let text = run(&folder, &["plan", "small.toml", "--replications", "60", "--json"]);
    let plan: Value = serde_json::from_str(&text).unwrap();
    run(&folder, &["sweep", "small.toml", "--replications", "60", "-o", "out"]);
    let files = &json(&folder.join("out/manifest.json"))["files"];
    for (table, foretold) in plan["forecast"]["rows"].as_object().unwrap() {
        let (rows, written) =
            (foretold["rows"].as_u64().unwrap(), files[format!("{table}.csv")]["rows"].as_u64().unwrap());
        match foretold["exact"] == true {
            true => assert_eq!(rows, written, "{table}"),
            false => assert!(written > 0 && rows >= written, "{table}: {rows} foretold, {written} written"),
        }
    }
    assert_eq!(plan["forecast"]["replications"], 240);
    assert!(plan["forecast"]["seconds"].as_f64().unwrap() > 0.0);
    let mut reader = csv::Reader::from_path(folder.join("out/cells.csv")).unwrap();
    let cells: Vec<std::collections::BTreeMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    for (pilot, cell) in plan["forecast"]["pilots"].as_array().unwrap().iter().zip(&cells) {
        assert_eq!(pilot["cell"], cell["cell_id"].as_str());
        let number = |column: &str| cell[column].parse::<f64>().unwrap();
        let half = (number("time_to_target_p50_hi_ms") - number("time_to_target_p50_lo_ms")) / 2.0;
        let (estimate, foretold) =
            (pilot["estimate"].as_f64().unwrap(), pilot["half_width"].as_f64().unwrap());
        assert!((estimate / number("time_to_target_p50_ms") - 1.0).abs() < 0.15, "{pilot} {cell:?}");
        assert!((0.1..10.0).contains(&(foretold / half)), "{foretold} foretold, {half} found");
    }
}

#[test]
fn too_few_replications_for_a_percentile_are_told() {
    let folder = scratch("few");
    let warnings = |replications: &str| {
        error(&kilopod(&folder, &["plan", "small.toml", "--replications", replications]))
    };
    assert!(warnings("200").contains("p99 with 200 replications has no upper bound: needs 368"));
    assert!(!warnings("200").contains("p95"));
    assert!(warnings("71").contains("p95 with 71 replications has no upper bound: needs 72"));
    assert!(!warnings("368").contains("warning"), "{}", warnings("368"));
}
