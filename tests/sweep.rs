//! Sweeps: the same bytes on any number of threads, folders that are whole, and input that is refused.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{error, kilopod, scratch};

/// An experiment small enough for a test, with every kind of outcome.
const SMALL: &str = r#"
replications = 6
[scenario]
target_pods = 60
horizon = "20 min"
[[scenario.deployments]]
name = "app"
replicas = 60
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[scenario.node_pools]]
name = "default"
[[factors]]
name = "instances"
[[factors.levels]]
label = "m5.large"
set."node_pools.0.instance_types" = ["m5.large"]
[[factors.levels]]
label = "mixed"
set."node_pools.0.instance_types" = ["m5.xlarge", "c5.4xlarge", "r5.2xlarge"]
[[factors]]
name = "cni"
[[factors.levels]]
label = "default"
[[factors.levels]]
label = "ip-1"
set = { WARM_IP_TARGET = 1, MINIMUM_IP_TARGET = 1 }
[[factors]]
name = "subnets"
[[factors.levels]]
label = "/25"
set = { subnet_prefix_length = 25 }
[[factors.levels]]
label = "/21"
set = { subnet_prefix_length = 21 }
"#;

#[test]
fn one_thread_and_eight_give_the_same_bytes() {
    let folder = scratch("threads");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    for threads in ["1", "8"] {
        let output = kilopod(&folder, &["sweep", "small.toml", "--threads", threads, "-o", threads]);
        assert!(output.status.success(), "{}", error(&output));
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join("1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 13, "{files:?}");
    for file in files {
        let other = folder.join("8").join(file.file_name().unwrap());
        assert!(fs::read(&file).unwrap() == fs::read(other).unwrap(), "{} differs", file.display());
    }
    let text = fs::read_to_string(folder.join("1/replications.csv")).unwrap();
    assert_eq!(text.lines().count(), 1 + 8 * 6);
    assert!(text.contains(",reached,") && text.contains(",stuck,"), "both outcomes are meant to occur");
    assert!(!text.contains("NaN") && !text.contains("inf"));
}

#[test]
fn rows_have_as_many_fields_as_headers_and_no_number_has_three_decimals() {
    let folder = scratch("fields");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let output = kilopod(&folder, &["sweep", "small.toml", "--replications", "3", "-o", "out"]);
    assert!(output.status.success(), "{}", error(&output));
    for table in
        ["replications", "cells", "subnets", "nodes", "ec2_calls", "timeline", "comparisons", "effects"]
    {
        let path = folder.join(format!("out/{table}.csv"));
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let mut rows = 0;
        for record in reader.records() {
            let record = record.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            rows += 1;
            for field in record.iter().filter(|field| field.parse::<f64>().is_ok()) {
                let decimals = field.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                assert_ne!(decimals, 3, "{}: {field}", path.display());
            }
        }
        assert!(rows > 0, "{} is empty", path.display());
    }
}

#[test]
fn comparisons_are_differences_of_pairs() {
    let folder = scratch("comparisons");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let output = kilopod(&folder, &["sweep", "small.toml", "-o", "out"]);
    assert!(output.status.success(), "{}", error(&output));
    let table = |name: &str| -> Vec<std::collections::BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(folder.join("out").join(name)).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    };
    let mut ready = std::collections::BTreeMap::<String, f64>::new();
    for row in table("replications.csv") {
        *ready.entry(row["cell_id"].clone()).or_default() += row["pods_ready"].parse::<f64>().unwrap() / 6.0;
    }
    let rows = table("comparisons.csv");
    assert_eq!(rows.len(), 7 * 4, "every cell but the first, four measures each");
    for row in &rows {
        let number = |column: &str| row[column].parse::<f64>().unwrap();
        assert_eq!((row["base_cell_id"].as_str(), row["pairs"].as_str()), ("c0001", "6"));
        let ends = ["difference_all_lo", "difference_mean_lo", "difference_mean", "difference_mean_hi"];
        let ends: Vec<f64> =
            ends.iter().map(|end| number(end)).chain([number("difference_all_hi")]).collect();
        assert!(ends.is_sorted(), "what holds for all cells at once is wider: {row:?}");
        if row["measure"] == "pods_ready" {
            let apart = ready[&row["cell_id"]] - ready["c0001"];
            assert!((ends[2] - apart).abs() <= 0.005001, "{row:?} against {apart}");
        }
    }
    assert!(ready.values().any(|mean| (mean - ready["c0001"]).abs() > 1.0), "cells are meant to differ");
}

/// Effects of a factor sum to 0, those of a pair at each level too, and the mean over all cells with the main effects and
/// pairs of a cell is that cell's mean but for what three factors do together.
#[test]
fn effects_of_a_grid_add_up_to_its_cells() {
    let folder = scratch("effects");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let output = kilopod(&folder, &["sweep", "small.toml", "-o", "out"]);
    assert!(output.status.success(), "{}", error(&output));
    let mut reader = csv::Reader::from_path(folder.join("out/effects.csv")).unwrap();
    let rows: Vec<std::collections::BTreeMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    // Three factors of two levels: 6 main effects and 3 x 4 of pairs, of four measures.
    assert_eq!(rows.len(), 4 * (6 + 12));
    let of = |term: &str| -> Vec<f64> {
        let rows = rows.iter().filter(|row| row["measure"] == "unreached_share" && row["term"] == term);
        rows.map(|row| row["effect"].parse().unwrap()).collect()
    };
    let (subnets, pair) = (of("subnets"), of("instances x subnets"));
    assert!(subnets[0] > 0.0, "a /25 is too small for some: {subnets:?}");
    for sum in [subnets[0] + subnets[1], pair[0] + pair[1], pair[0] + pair[2]] {
        assert!(sum.abs() <= 1.0, "{subnets:?}, {pair:?}");
    }
    let shares = |measure: &str| -> f64 {
        let mut terms: Vec<(&str, f64)> = rows
            .iter()
            .filter(|row| row["measure"] == measure)
            .map(|row| (row["term"].as_str(), row["variance_share_ppm"].parse::<f64>().unwrap()))
            .collect();
        terms.dedup();
        assert_eq!(terms.len(), 6);
        terms.iter().map(|(_, share)| share).sum()
    };
    for measure in ["time_restricted", "waste_to_horizon", "cost_to_target", "unreached_share"] {
        assert!((500_000.0..=1_000_003.0).contains(&shares(measure)), "{measure}: {}", shares(measure));
    }
    assert!(rows.iter().any(|row| row["levels"] == "mixed x /25" && row["instances"] == "mixed"));
}

/// Pairs of resamples are of the same runs: a cell whose every run is beaten is beaten in all of them.
#[test]
fn cells_that_no_other_beats_stay_so_in_most_resamples() {
    let folder = scratch("pareto");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let output = kilopod(&folder, &["sweep", "small.toml", "--replications", "20", "-o", "out"]);
    assert!(output.status.success(), "{}", error(&output));
    let mut reader = csv::Reader::from_path(folder.join("out/cells.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|column| column == name).unwrap();
    let shares: Vec<(bool, f64)> = reader
        .records()
        .map(Result::unwrap)
        .map(|row| {
            (&row[place("pareto")] == "1", row[place("pareto_share_ppm")].parse::<f64>().unwrap() / 1e6)
        })
        .collect();
    assert_eq!(shares.len(), 8);
    assert!(shares.iter().any(|(best, _)| *best) && shares.iter().any(|(best, _)| !*best), "{shares:?}");
    for (best, share) in &shares {
        assert!(if *best { *share > 0.4 } else { *share < 0.6 }, "{shares:?}");
    }
    assert!(shares.contains(&(false, 0.0)), "some cell is beaten whatever is drawn: {shares:?}");
}

#[test]
fn a_finished_sweep_is_known_and_another_plan_is_refused() {
    let folder = scratch("folder");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let sweep = |more: &[&str]| {
        let mut arguments = vec!["sweep", "small.toml", "--replications", "2", "-o", "out"];
        arguments.extend(more);
        kilopod(&folder, &arguments)
    };
    let first = sweep(&[]);
    assert!(first.status.success(), "{}", error(&first));
    let before = fs::read(folder.join("out/replications.csv")).unwrap();
    let again = sweep(&[]);
    assert!(again.status.success() && error(&again).contains("is complete"), "{}", error(&again));
    // The same table, but for how it came about.
    let cells = |output: &Output| -> Vec<String> {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.starts_with(" c0")).map(str::to_owned).collect()
    };
    assert!(cells(&first).len() == 8 && cells(&first) == cells(&again), "{:?}", cells(&again));
    assert!(String::from_utf8_lossy(&again.stdout).contains("16 replications, all of them run before."));
    let other = sweep(&["--seed", "2"]);
    assert_eq!(other.status.code(), Some(2), "{}", error(&other));
    assert!(fs::read(folder.join("out/replications.csv")).unwrap() == before, "what was there is untouched");
    assert!(sweep(&["--seed", "2", "--overwrite"]).status.success());
    assert!(fs::read(folder.join("out/replications.csv")).unwrap() != before);
    // What lost a file is not taken for whole, and an empty folder is as none.
    fs::remove_file(folder.join("out/nodes.csv")).unwrap();
    let lacks = sweep(&["--seed", "2"]);
    assert!(lacks.status.code() == Some(1) && error(&lacks).contains("nodes.csv"), "{}", error(&lacks));
    fs::remove_dir_all(folder.join("out")).unwrap();
    fs::create_dir(folder.join("out")).unwrap();
    let empty = sweep(&["--threads", "100000"]);
    assert!(empty.status.success() && folder.join("out/cells.csv").exists(), "{}", error(&empty));
    // What is no results is never replaced, a file or the folder that one works in no more than others.
    fs::create_dir(folder.join("mine")).unwrap();
    fs::write(folder.join("mine/notes.txt"), "mine").unwrap();
    for taken in ["mine", "mine/notes.txt", "."] {
        let refused = kilopod(&folder, &["sweep", "small.toml", "-o", taken, "--overwrite"]);
        assert_eq!(refused.status.code(), Some(2), "{taken}: {}", error(&refused));
        assert!(error(&refused).contains("no results of kilopod"), "{}", error(&refused));
    }
    assert_eq!(fs::read_to_string(folder.join("mine/notes.txt")).unwrap(), "mine");
}

/// Whatever is no TOML: a few errors, and at once.
#[test]
fn other_files_are_told_as_such() {
    let folder = scratch("other-files");
    fs::write(folder.join("trace.jsonl"), "{\"event\":\"scaled\"}\n".repeat(5_000)).unwrap();
    fs::write(folder.join("prose.txt"), "This is no scenario.\n".repeat(500)).unwrap();
    let told = |file: &str| {
        let refused = kilopod(&folder, &["run", file]);
        assert_eq!(refused.status.code(), Some(2), "{}", error(&refused));
        error(&refused)
    };
    assert!(told("trace.jsonl").contains("this is JSON, not TOML"));
    let prose = told("prose.txt");
    assert!(prose.contains("more places that are no TOML") && prose.lines().count() < 80, "{prose}");
}

#[test]
fn an_interrupted_sweep_goes_on_and_ends_with_the_same_bytes() {
    let folder = scratch("resume");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    assert!(kilopod(&folder, &["sweep", "small.toml", "-o", "whole"]).status.success());
    // Killed as soon as the first cell is kept; on a fast machine it may be done already.
    let arguments = ["sweep", "small.toml", "--threads", "1", "-o", "cut"];
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_kilopod")).current_dir(&folder).args(arguments).spawn().unwrap();
    while !folder.join(".cut.unfinished/c0001.json").exists() && !folder.join("cut").exists() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(kilopod(&folder, &arguments).status.success());
    for file in ["replications.csv", "cells.csv", "manifest.json"] {
        let read = |name: &str| fs::read(folder.join(name).join(file)).unwrap();
        assert!(read("whole") == read("cut"), "{file} differs");
    }
    assert!(!folder.join(".cut.unfinished").exists());
}

/// Whoever comes second is told who is there, and leaves everything as it is; a lock whose holder was killed is none.
#[test]
fn two_do_not_write_into_one_folder() {
    let folder = scratch("locked");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    for shard in ["0/2", "1/2"] {
        let output = &shard.replace('/', "-");
        assert!(kilopod(&folder, &["sweep", "small.toml", "--shard", shard, "-o", output]).status.success());
    }
    let commands: [&[&str]; 3] = [
        &["sweep", "small.toml", "-o", "out"],
        &["sweep", "small.toml", "--shard", "0/2", "-o", "out"],
        &["merge", "0-2", "1-2", "-o", "out"],
    ];
    let path = folder.join(".out.lock");
    fs::write(&path, "4711").unwrap();
    let lock = fs::File::open(&path).unwrap();
    lock.try_lock().unwrap();
    for command in commands {
        let refused = kilopod(&folder, command);
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {}", error(&refused));
        for part in ["(process 4711)", "is writing out", ".out.lock", "kill 4711", "-o DIR"] {
            assert!(error(&refused).contains(part), "{part}: {}", error(&refused));
        }
        assert!(!folder.join("out").exists() && !folder.join(".out.unfinished").exists());
    }
    drop(lock);
    for command in commands {
        assert!(path.exists() || fs::write(&path, "4711").is_ok());
        let done = kilopod(&folder, command);
        assert!(done.status.success(), "{command:?}: {}", error(&done));
        assert!(folder.join("out").exists() && !path.exists());
        fs::remove_dir_all(folder.join("out")).unwrap();
    }
}

#[test]
fn everything_wrong_with_an_experiment_is_told_at_once() {
    let folder = scratch("bad");
    let text = SMALL
        .replace("label = \"mixed\"", "label = \"1-2\"")
        .replace("name = \"cni\"", "name = \"CNI\"")
        .replace("replications = 6", "name = \"../away\"\nreplications = 6")
        .replace("WARM_IP_TARGET = 1", "WARM_IP_TARGT = 1")
        .replace("replications = 6", "replicatons = 6");
    fs::write(folder.join("bad.toml"), text).unwrap();
    let output = kilopod(&folder, &["sweep", "bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    for part in ["1-2", "CNI", "replicatons", "replications", "\"../away\" is no name"] {
        assert!(error(&output).contains(part), "{part} is not told:\n{}", error(&output));
    }
    assert!(!folder.join("results").exists());
    // Two columns of one name could not be told apart.
    fs::write(folder.join("bad.toml"), SMALL.replace("name = \"cni\"", "name = \"nodes\"")).unwrap();
    let output = kilopod(&folder, &["sweep", "bad.toml"]);
    let told = error(&output);
    assert!(output.status.code() == Some(2) && told.contains("has a column \"nodes\" already"), "{told}");
}

#[test]
fn a_cell_can_be_run_by_itself() {
    let folder = scratch("cell");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    assert!(kilopod(&folder, &["sweep", "small.toml", "-o", "out"]).status.success());
    let text = fs::read_to_string(folder.join("out/replications.csv")).unwrap();
    let row = text.lines().find(|line| line.starts_with("c0003,") && line.contains(",4,")).unwrap();
    let hash = row.rsplit(',').next().unwrap().trim_start_matches('h');
    let output = kilopod(&folder, &["run", "small.toml", "--cell", "c0003", "--replication", "4"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains(hash), "{hash} is not in\n{shown}{}", error(&output));
}

/// `docs/columns.md` is made from the registry; `UPDATE_DOCS=1 cargo test` makes it anew.
#[test]
fn the_page_of_columns_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/columns.md");
    let page = kilopod::results::columns_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(known == page, "docs/columns.md is out of date; UPDATE_DOCS=1 cargo test makes it anew");
}

/// Parts run apart and merged are the files of one run; parts that are missing or foreign are told, with exit code 5.
#[test]
fn shards_merge_to_the_bytes_of_one_run() {
    let folder = scratch("shards");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let run = |arguments: &[&str]| {
        let output = kilopod(&folder, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", error(&output));
    };
    run(&["sweep", "small.toml", "-o", "whole"]);
    for shard in ["0/3", "1/3", "2/3"] {
        run(&["sweep", "small.toml", "--shard", shard, "-o", &shard.replace('/', "-")]);
    }
    run(&["merge", "2-3", "0-3", "1-3", "-o", "merged"]);
    for file in fs::read_dir(folder.join("whole")).unwrap().map(|entry| entry.unwrap().path()) {
        let other = folder.join("merged").join(file.file_name().unwrap());
        assert!(fs::read(&file).unwrap() == fs::read(other).unwrap(), "{} differs", file.display());
    }
    let incomplete = kilopod(&folder, &["merge", "0-3", "1-3", "-o", "incomplete"]);
    assert_eq!(incomplete.status.code(), Some(5));
    assert!(error(&incomplete).contains("are missing") && !folder.join("incomplete").exists());
    run(&["sweep", "small.toml", "--seed", "9", "--shard", "2/3", "-o", "foreign"]);
    let foreign = kilopod(&folder, &["merge", "0-3", "1-3", "foreign", "-o", "mixed"]);
    assert_eq!(foreign.status.code(), Some(5));
    assert!(error(&foreign).contains("of another plan"));
    let wrong = kilopod(&folder, &["sweep", "small.toml", "--shard", "3/3"]);
    assert_eq!(wrong.status.code(), Some(2));
    let no_part = kilopod(&folder, &["merge", "whole", "-o", "again"]);
    assert_eq!(no_part.status.code(), Some(2));
}

/// The page needs nothing but itself, and holds every cell.
#[test]
fn the_report_is_whole() {
    let folder = scratch("report");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let output = kilopod(&folder, &["sweep", "small.toml", "--replications", "3", "-o", "out"]);
    assert!(output.status.success(), "{}", error(&output));
    let page = fs::read_to_string(folder.join("out/report.html")).unwrap();
    let without_name_of_svg = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http://", "https://", "src=", "@import", "fetch("] {
        assert!(!without_name_of_svg.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<tr").count(), 2 + 8, "two headers and the cells");
    let start = page.find("const data = ").unwrap() + "const data = ".len();
    let data = &page[start..page[start..].find(";\n").unwrap() + start];
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let cells = data["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 8);
    assert!(cells.iter().any(|cell| cell["best"] == true) && cells.iter().any(|cell| cell["best"] == false));
    for cell in cells {
        let points = cell["t"].as_array().unwrap().len();
        assert_eq!(cell["ready50"].as_array().unwrap().len(), points);
        assert_eq!(cell["times"].as_array().unwrap().len() as u64, cell["reached"].as_u64().unwrap());
        // Pods that are Ready at the last point of a cell that always gets there: all, or it was over just before.
        let ready = cell["ready95"].as_array().unwrap().last().unwrap().as_u64().unwrap();
        assert!(ready <= 60);
    }
}

/// What it says remakes it does, whatever was typed and wherever the experiment lay: the folder comes out byte by byte.
#[test]
fn the_report_says_what_remakes_it() {
    let folder = scratch("remade");
    let unsorted = SMALL
        .replace("WARM_IP_TARGET = 1, MINIMUM", "WARM_IP_TARGET = 1, ENABLE_POD_ENI = \"false\", MINIMUM");
    fs::write(folder.join("my pods.toml"), unsorted).unwrap();
    let typed =
        ["--set", "target_pods=40", "--compare-with", "subnets=/21", "--seed", "7", "--replications", "2"];
    let output = kilopod(&folder, &[&["sweep", "my pods.toml", "-o", "first"], &typed[..]].concat());
    assert!(output.status.success(), "{}", error(&output));
    let page = fs::read_to_string(folder.join("first/report.html")).unwrap();
    let shown = |from: &str| {
        let start = page.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
        let text = &page[start..start + page[start..].find("</pre>").unwrap()];
        text.replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&")
    };
    assert_eq!(shown(", by:</p>\n<pre>"), "kilopod sweep './my pods.toml'");
    fs::create_dir(folder.join("elsewhere")).unwrap();
    fs::write(folder.join("elsewhere/my pods.toml"), shown("The whole input</summary><pre>")).unwrap();
    let again = kilopod(&folder.join("elsewhere"), &["sweep", "./my pods.toml"]);
    assert!(again.status.success(), "{}", error(&again));
    for file in ["replications.csv", "comparisons.csv", "manifest.json", "report.html"] {
        let read = |path: &str| fs::read_to_string(folder.join(path).join(file)).unwrap();
        assert!(read("first") == read("elsewhere/results/my pods"), "{file} differs");
    }
}

/// A browser without a window draws the charts. Skipped where there is none.
#[test]
fn the_report_is_drawn_by_a_browser() {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let runs = |name: &&&str| Command::new(**name).arg("--version").output().is_ok();
    let Some(browser) = browsers.iter().find(runs) else {
        eprintln!("skipped: none of {browsers:?} is installed");
        return;
    };
    let folder = scratch("browser");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let output = kilopod(&folder, &["sweep", "small.toml", "--replications", "3", "-o", "out"]);
    assert!(output.status.success(), "{}", error(&output));
    let page = format!("file://{}", folder.join("out/report.html").display());
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", &page]);
    command.env("HOME", &folder).env("XDG_CONFIG_HOME", &folder).env("XDG_CACHE_HOME", &folder);
    let drawn = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let chart = |id: &str| {
        let start = drawn.find(&format!("id=\"{id}\"")).unwrap();
        &drawn[start..start + drawn[start..].find("</svg>").unwrap()]
    };
    for (id, part) in [
        ("pods", "<path"),
        ("ecdf", "<path"),
        ("addresses", "<path"),
        ("plane", "<circle"),
        ("heat", "<rect"),
    ] {
        assert!(chart(id).contains(part), "{id}: {}", chart(id));
        assert!(!chart(id).contains("NaN"), "{id}");
    }
    // Three factors and three pairs of them.
    assert_eq!(drawn.matches("class=\"bar\"").count(), 6);
}

type Row = std::collections::BTreeMap<String, String>;

/// A sibling with the level that is named, or one cell for all; and two cells of a finished sweep by themselves.
#[test]
fn cells_are_compared_with_whom_the_user_names() {
    let folder = scratch("compare-with");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let run = |arguments: &[&str]| {
        let output = kilopod(&folder, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", error(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let rows = |out: &str| -> Vec<Row> {
        let mut reader = csv::Reader::from_path(folder.join(out).join("comparisons.csv")).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    };
    run(&["sweep", "small.toml", "--compare-with", "subnets=/21", "-o", "level"]);
    let by_level = rows("level");
    assert_eq!(by_level.len(), 4 * 4, "the cells with /25, four measures each");
    for row in &by_level {
        let (cell, base) = (&row["cell_id"], &row["base_cell_id"]);
        let number = |id: &str| id[1..].parse::<u32>().unwrap();
        assert!(row["subnets"] == "/25" && number(base) == number(cell) + 1, "{cell} with {base}");
    }
    // As a key of the experiment, and shard by shard.
    let written = format!("compare_with = {{ subnets = \"/21\" }}\n{SMALL}");
    fs::write(
        folder.join("written.toml"),
        written.replace("replications = 6", "name = \"small\"\nreplications = 6"),
    )
    .unwrap();
    run(&["sweep", "written.toml", "--shard", "0/2", "-o", "0"]);
    run(&["sweep", "written.toml", "--shard", "1/2", "-o", "1"]);
    run(&["merge", "1", "0", "-o", "merged"]);
    assert!(rows("merged") == by_level);
    run(&["sweep", "small.toml", "--compare-with", "c0003", "-o", "cell"]);
    let by_cell = rows("cell");
    assert_eq!(by_cell.len(), 7 * 4);
    assert!(by_cell.iter().all(|row| row["base_cell_id"] == "c0003" && row["cell_id"] != "c0003"));
    // One of them again, from the results, in the same figures.
    let told =
        run(&["compare", "level", "--base", "c0003", "c0001", "--measure", "cost_to_target", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let found = &told["comparisons"][0];
    let row =
        by_cell.iter().find(|row| row["cell_id"] == "c0001" && row["measure"] == "cost_to_target").unwrap();
    for (column, told) in [
        ("difference_mean", &found["difference"]["estimate"]),
        ("difference_mean_lo", &found["difference"]["low"]),
        ("ratio_hi", &found["ratio"]["high"]),
    ] {
        let (told, written) = (told.as_f64().unwrap(), row[column].parse::<f64>().unwrap());
        assert!((told - written).abs() < 1e-4, "{column}: {told} and {written}");
    }
    // Alone it needs no allowance for others.
    assert_eq!(found["difference"]["low"], found["difference_all"]["low"]);
    for (arguments, problem) in [
        (&["compare", "level", "--base", "c0009"][..], "is no cell"),
        (&["compare", "level", "--base", "c0001", "--measure", "time_to_target"], "has no mean"),
        (&["compare", ".", "--base", "c0001"], "not the folder of a finished sweep"),
        (&["sweep", "small.toml", "--compare-with", "c0099"], "is no cell"),
        (&["sweep", "small.toml", "--compare-with", "subnets=/24"], "has no level"),
        (&["sweep", "small.toml", "--compare-with", "subnet=/21"], "did you mean \"subnets\""),
    ] {
        let output = kilopod(&folder, arguments);
        assert!(output.status.code() == Some(2) && error(&output).contains(problem), "{}", error(&output));
    }
    fs::write(folder.join("level/replications.csv"), "cell_id,replication\n").unwrap();
    let changed = kilopod(&folder, &["compare", "level", "--base", "c0001"]);
    assert!(changed.status.code() == Some(1) && error(&changed).contains("not as the sweep wrote it"));
}

/// Rows that were cut short by a crash are not taken for a cell's.
#[test]
fn a_cell_whose_rows_are_not_whole_is_run_again() {
    let folder = scratch("torn");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let run = |arguments: &[&str]| {
        let output = kilopod(&folder, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", error(&output));
    };
    run(&["sweep", "small.toml", "-o", "whole"]);
    run(&["sweep", "small.toml", "--shard", "0/1", "-o", "part"]);
    // What an interrupted sweep leaves.
    fs::create_dir(folder.join(".out.unfinished")).unwrap();
    for file in fs::read_dir(folder.join("part")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, folder.join(".out.unfinished").join(file.file_name().unwrap())).unwrap();
    }
    let manifest = fs::read_to_string(folder.join("whole/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    fs::write(folder.join(".out.unfinished/plan_id"), manifest["plan_id"].as_str().unwrap()).unwrap();
    let rows = folder.join(".out.unfinished/c0004.replications.csv");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, &text[..text.len() / 2]).unwrap();
    let told = kilopod(&folder, &["sweep", "small.toml", "-o", "out"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("48 replications: 42 kept from before, 6 run now"), "{told}");
    for file in fs::read_dir(folder.join("whole")).unwrap().map(|entry| entry.unwrap().path()) {
        let other = folder.join("out").join(file.file_name().unwrap());
        assert!(fs::read(&file).unwrap() == fs::read(other).unwrap(), "{} differs", file.display());
    }
    let rows = folder.join("part/c0004.replications.csv");
    fs::write(&rows, text.replacen("reached", "stuck", 1)).unwrap();
    let forged = kilopod(&folder, &["merge", "part", "-o", "merged"]);
    assert!(
        !forged.status.success() && error(&forged).contains("not as it was written"),
        "{}",
        error(&forged)
    );
}

/// What `--show-config` prints says every default, and is an experiment with the same results; a cell's is a scenario.
#[test]
fn what_is_spelled_out_gives_the_same_results() {
    let folder = scratch("spelled-out");
    fs::write(folder.join("small.toml"), SMALL).unwrap();
    let printed = |arguments: &[&str]| {
        let output = kilopod(&folder, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", error(&output));
        output.stdout
    };
    let whole = printed(&["sweep", "small.toml", "--show-config"]);
    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("[scenario.kube_scheduler]") && text.starts_with("name = \"small\"\n"), "{text}");
    fs::write(folder.join("whole.toml"), whole).unwrap();
    printed(&["sweep", "small.toml", "--replications", "2", "-o", "one"]);
    printed(&["sweep", "whole.toml", "--replications", "2", "-o", "two"]);
    // Levels keep the order of their keys, which columns follow.
    let header = |out: &str| {
        let text = fs::read_to_string(folder.join(out).join("replications.csv")).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    assert_eq!(header("one"), header("two"));
    let rows = |out: &str| -> Vec<std::collections::BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(folder.join(out).join("replications.csv")).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    };
    assert!(rows("one") == rows("two") && rows("one").len() == 16);
    let cell = ["--cell", "c0003", "--replication", "1"];
    fs::write(
        folder.join("cell.toml"),
        printed(&[&["run", "small.toml", "--show-config"], &cell[..]].concat()),
    )
    .unwrap();
    let hash = |arguments: &[&str]| {
        let told = String::from_utf8(printed(arguments)).unwrap();
        told.lines().find(|line| line.contains("trace hash")).unwrap().to_owned()
    };
    assert_eq!(
        hash(&[&["run", "small.toml"], &cell[..]].concat()),
        hash(&["run", "cell.toml", "--replication", "1", "--seed", "1"])
    );
}
