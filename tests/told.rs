//! What commands say of input that is another thing than they are about, and beside their answers.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{error, kilopod};

const SCENARIO: &str = r#"
target_pods = 8
[[deployments]]
name = "app"
replicas = 8
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[node_pools]]
name = "default"
instance_types = ["m5.large"]
capacity_types = ["on-demand"]
"#;
const FACTORS: &str = "[[factors]]\nname = \"warm_ip\"\nkey = \"WARM_IP_TARGET\"\nvalues = [1, 2]\n";

fn scratch(name: &str) -> PathBuf {
    let path = common::scratch(&format!("told-{name}"));
    fs::write(path.join("eight.toml"), SCENARIO).unwrap();
    fs::write(path.join("two.toml"), format!("base = \"eight.toml\"\n{FACTORS}")).unwrap();
    fs::create_dir(path.join("folder")).unwrap();
    fs::write(path.join("folder/experiment.toml"), format!("base = \"../eight.toml\"\n{FACTORS}")).unwrap();
    path
}
fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let output = kilopod(folder, arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", error(&output));
    for part in parts {
        assert!(error(&output).contains(part), "{arguments:?} lack {part:?}:\n{}", error(&output));
    }
}

#[test]
fn experiments_and_scenarios_are_told_apart() {
    let folder = scratch("kinds");
    for experiment in ["folder", "two.toml", "folder/experiment.toml"] {
        let hint = format!("kilopod sweep {experiment} runs all its cells");
        refused(&folder, &["run", experiment], &["is an experiment", &hint, "--cell c0001"]);
        refused(&folder, &["sensitivity", experiment], &["is an experiment"]);
    }
    let no_cells = "eight.toml is a scenario, not an experiment, and has no cells";
    refused(&folder, &["run", "eight.toml", "--cell", "c0001"], &[no_cells, "leave --cell out"]);
    refused(&folder, &["sweep", "eight.toml"], &[no_cells, "kilopod run eight.toml runs it"]);
    assert!(kilopod(&folder, &["run", "two.toml", "--cell", "c0002"]).status.success());
}

/// What it is about stands in the answer: nodes with how they were bought, and how many lines a trace has.
#[test]
fn a_run_tells_capacity_types_and_what_its_trace_holds() {
    let folder = scratch("run");
    let output = kilopod(&folder, &["run", "eight.toml", "--trace", "trace.jsonl"]);
    assert!(output.status.success(), "{}", error(&output));
    assert!(printed(&output).contains("8 m5.large on-demand\n"), "{}", printed(&output));
    let lines = fs::read_to_string(folder.join("trace.jsonl")).unwrap().lines().count();
    let events = printed(&output).lines().find(|line| line.starts_with("events")).unwrap().to_owned();
    let events: usize = events["events".len()..].split(',').next().unwrap().trim().parse().unwrap();
    assert!(lines > events, "{lines} lines and {events} events");
    let told = format!("trace.jsonl has {lines} lines: {events} events, and {} decisions", lines - events);
    assert!(error(&output).contains(&told), "{}", error(&output));
    let spot = ["run", "eight.toml", "--set", "node_pools.0.capacity_types=[\"spot\"]"];
    assert!(printed(&kilopod(&folder, &spot)).contains("m5.large spot"));
    // That pods do not come up is an answer.
    let stuck = kilopod(&folder, &["run", "eight.toml", "--set", "quotas.on_demand_vcpus=4", "--json"]);
    assert_eq!(stuck.status.code(), Some(0));
    assert!(printed(&stuck).contains("\"outcome\": \"stuck\""), "{}", printed(&stuck));
}

/// A run whose Job fails, and one that ends within a rollout and before another.
#[test]
fn a_run_tells_jobs_that_failed_and_rollouts_that_are_not_done() {
    let folder = scratch("jobs");
    let resources = "cpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"0 MB\"\n";
    let room = "[[static_nodes]]\ninstance_type = \"m5.4xlarge\"\n";
    let job = |name: &str, more: &str| {
        format!(
            "[[jobs]]\nname = \"{name}\"\ncompletions = 3\nwork = {{ constant = \"5 s\" }}\n{more}{resources}"
        )
    };
    let fails = job("fails", "fails = 1.0\nbackoff_limit = 0\n");
    fs::write(folder.join("jobs.toml"), format!("{}{fails}{room}", job("done", ""))).unwrap();
    let (text, json) = both(&folder, "jobs.toml");
    assert!(text.contains("pods Ready or succeeded 3 of 6 (stuck: a Job has failed)\n"), "{text}");
    assert!(text.contains("3 pods succeeded, 1 failed; fails failed after "), "{text}");
    assert!(text.contains("(# Ready or succeeded, + Running, . wanted)"), "{text}");
    let jobs = json["jobs"].as_array().unwrap();
    let outcomes: Vec<_> = jobs.iter().map(|job| (job["job"].as_str(), job["outcome"].as_str())).collect();
    assert_eq!(outcomes, [(Some("done"), Some("complete")), (Some("fails"), Some("failed"))]);
    assert!(jobs.iter().all(|job| job["after_ms"].as_u64() > Some(5_000)), "{jobs:?}");
    assert_eq!(json["measures"]["pods_ready"], 3);

    let app = |name: &str, at: &str| {
        format!(
            "[[deployments]]\nname = \"{name}\"\nreplicas = 2\nrollouts = [{{ at = \"{at}\" }}]\n{resources}"
        )
    };
    let rolled = format!("horizon = \"5 min\"\n{}{}{room}", app("early", "298 s"), app("late", "6 min"));
    fs::write(folder.join("rolled.toml"), rolled).unwrap();
    let (text, json) = both(&folder, "rolled.toml");
    assert!(text.contains("unfinished rollouts     early (since 298.0 s), late (not begun)\n"), "{text}");
    let early = serde_json::json!({"deployment": "early", "began_ms": 298_000});
    let late = serde_json::json!({"deployment": "late", "began_ms": null});
    assert_eq!(json["unfinished_rollouts"], serde_json::json!([early, late]));
}
/// What a run prints, and its `--json`.
fn both(folder: &Path, scenario: &str) -> (String, serde_json::Value) {
    let output = kilopod(folder, &["run", scenario]);
    assert!(output.status.success(), "{}", error(&output));
    let json = printed(&kilopod(folder, &["run", scenario, "--json"]));
    (printed(&output), serde_json::from_str(&json).unwrap())
}

#[test]
fn warm_pools_of_trunks_and_of_too_many_pods_have_a_note() {
    let folder = scratch("warm-pool");
    let note = |arguments: &[&str]| {
        let output = kilopod(&folder, &[&["warm-pool", "m5.large"], arguments].concat());
        assert!(output.status.success(), "{}", error(&output));
        error(&output)
    };
    assert_eq!(note(&["--pods", "0..=27"]), "");
    assert!(note(&["--pods", "28"]).contains("takes 27 such pods at most"));
    assert!(note(&["--pods", "1", "--set", "ENABLE_POD_ENI=true"]).contains("keeps one of the 3 ENIs"));
}

#[test]
fn measures_and_latencies_are_known_by_the_same_names_everywhere() {
    let folder = scratch("names");
    let swept = kilopod(&folder, &["sweep", "two.toml", "--replications", "3", "-o", "out"]);
    assert!(swept.status.success(), "{}", error(&swept));
    let compare = ["compare", "out", "--base", "c0001", "--measure"];
    let study = ["sensitivity", "eight.toml", "--trajectories", "2", "--samples", "8", "--replications", "1"];
    for measure in ["waste_peak_addresses", "waste_peak"] {
        let compared = kilopod(&folder, &[&compare[..], &[measure]].concat());
        assert!(printed(&compared).contains("waste_peak"), "{}", error(&compared));
        let more = ["--factors", "WARM_IP_TARGET=1..4", "--overwrite", "--measure", measure];
        let studied = kilopod(&folder, &[&study[..], &more].concat());
        assert!(printed(&studied).starts_with("waste_peak_addresses of eight"), "{}", error(&studied));
    }
    let hint = "did you mean \"waste_peak_addresses\"?";
    refused(&folder, &[&compare[..], &["waste_peak_adresses"]].concat(), &[hint]);
    refused(&folder, &[&study[..], &["--measure", "waste_peak_adresses"]].concat(), &[hint]);
    let latency = "did you mean \"latency.boot_system_al2023\"?";
    let setting = "boot_sytem_al2023={ constant = \"1 s\" }";
    refused(&folder, &["run", "eight.toml", "--set", setting], &[latency]);
    refused(&folder, &[&study[..], &["--factors", "boot_sytem_al2023=0.5..2"]].concat(), &[latency]);
}

/// A reader of standard error that has gone away changes neither what is done nor the exit code.
#[test]
fn nobody_need_read_standard_error() {
    use std::process::{Command, Stdio};
    let folder = scratch("no-reader");
    let code = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kilopod"));
        command.args(arguments).current_dir(&folder).stdout(Stdio::null());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stderr(writer).status().unwrap().code()
    };
    assert_eq!(code(&["sweep", "nowhere"]), Some(2));
    assert_eq!(code(&["sweep", "two.toml", "--replications", "2", "-o", "out"]), Some(0));
    assert!(folder.join("out/cells.csv").exists());
}

/// Mistakes of a design do not hide those of its scenario.
#[test]
fn what_is_wrong_with_an_experiment_and_its_scenario_comes_at_once() {
    let folder = scratch("at-once");
    let bad = |experiment: &str| fs::write(folder.join("bad.toml"), experiment).unwrap();
    let scenario =
        format!("[scenario]{}", SCENARIO.replace("[[", "[[scenario.")).replace("= 8", "= \"eight\"");
    bad(&format!("replications = 0\n{scenario}{}", FACTORS.replace("1, 2", "1, 1")));
    let parts = ["1:1, replications", "1 is there twice", ", target_pods", ", deployments[0].replicas"];
    refused(&folder, &["sweep", "bad.toml"], &parts);
    let factors = FACTORS.replace("WARM_IP_TARGET", "WARM_IP_TARGT");
    bad(&format!("{scenario}{factors}[design]\nkind = \"gird\"\n"));
    refused(
        &folder,
        &["sweep", "bad.toml"],
        &["did you mean \"grid\"", ", target_pods", "mean WARM_IP_TARGET?"],
    );
    // What levels give does not seem to be missing, and without a scenario nothing of one does.
    let scenario =
        format!("[scenario]{}", SCENARIO.replace("[[", "[[scenario.")).replace("replicas = 8\n", "");
    let factors = "[[factors]]\nname = \"pods\"\nkey = \"deployments.0.replicas\"\nvalues = [8, 9]\n";
    for design in ["kind = \"gird\"", "exclude = [{ cni = 1 }]", "kind = \"points\""] {
        bad(&format!("{scenario}{factors}[design]\n{design}\n"));
        let told = error(&kilopod(&folder, &["sweep", "bad.toml"]));
        assert!(told.contains("bad.toml:") && !told.contains("how many replicas"), "{told}");
    }
    bad(&format!("base = \"gone.toml\"\nreplications = 0\n{FACTORS}"));
    assert_eq!(error(&kilopod(&folder, &["sweep", "bad.toml"])).matches("error:").count(), 2);
}

#[test]
fn what_sets_a_key_twice_is_told_with_its_place() {
    let folder = scratch("conflicts");
    let twice = format!("base = \"eight.toml\"\n{FACTORS}{}", FACTORS.replace("warm_ip", "again"));
    fs::write(folder.join("twice.toml"), twice).unwrap();
    let parts = ["is set by the factors warm_ip and again", "twice.toml:6:1, factors[1]"];
    refused(&folder, &["sweep", "twice.toml"], &parts);
    let parts = ["would be overridden by the factor warm_ip", "two.toml:2:1, factors[0]"];
    refused(&folder, &["run", "two.toml", "--cell", "c0001", "--set", "WARM_IP_TARGET=5"], &parts);
}

#[test]
fn a_misspelt_count_of_replicas_is_told_once() {
    let folder = scratch("replica");
    fs::write(folder.join("bad.toml"), SCENARIO.replace("replicas", "replica")).unwrap();
    let told = error(&kilopod(&folder, &["run", "bad.toml"]));
    assert!(told.contains("did you mean \"replicas\"") && !told.contains("how many replicas"), "{told}");
    fs::write(folder.join("bad.toml"), SCENARIO.replace("replicas = 8\n", "")).unwrap();
    refused(&folder, &["run", "bad.toml"], &["how many replicas?"]);
}

/// Lines of a paragraph end where the next word would not fit.
#[test]
fn paragraphs_of_help_are_not_broken_in_mid_sentence() {
    let folder = scratch("help");
    for command in ["check", "compare", "decide", "merge", "plan", "run", "sensitivity", "sweep", "warm-pool"]
    {
        let help = printed(&kilopod(&folder, &[command, "--help"]));
        let about: Vec<&str> = help.lines().take_while(|line| !line.starts_with("Usage:")).collect();
        assert!(about.len() > 1, "{command}: {help}");
        for pair in about.windows(2) {
            let goes_on = !pair[0].is_empty() && !pair[0].ends_with(':') && !pair[1].starts_with(' ');
            let word = pair[1].split(' ').next().unwrap_or_default().len();
            assert!(
                !goes_on || word == 0 || pair[0].len() + word >= 100,
                "{command}: {}\n{}",
                pair[0],
                pair[1]
            );
        }
    }
    let help = printed(&kilopod(&folder, &["sweep", "--help"]));
    assert!(help.contains("if left out or 0"), "{help}");
}

/// As typed, each once, and no fewer for another mistake beside it.
#[test]
fn factors_of_a_study_are_told_one_and_all() {
    let folder = scratch("factors");
    let told = |factors: &str| {
        let output = kilopod(&folder, &["sensitivity", "eight.toml", "--factors", factors]);
        assert_eq!(output.status.code(), Some(2));
        error(&output)
    };
    let all = told("boot_sytem=0.5..2,WARM_IP_TARGET=5..1,foo=1,market=calm|tihgt");
    let places: Vec<&str> = all.lines().filter(|line| line.starts_with("  -->")).collect();
    let wanted = [
        "  --> --factors boot_sytem=0.5..2, boot_sytem",
        "  --> --factors WARM_IP_TARGET=5..1",
        "  --> --factors foo=1",
        "  --> --factors market=calm|tihgt, market",
    ];
    assert_eq!(places, wanted, "{all}");
    let one = told("boot_sytem=0.5..2");
    assert!(one.matches("error:").count() == 1 && !one.contains("--set"), "{one}");
}

#[test]
fn a_factor_without_values_is_told_beside_a_key_that_is_none() {
    let folder = scratch("no-values");
    let factor = |key: &str| format!("[[factors]]\nname = \"f\"\nkey = \"{key}\"\nvalues = []\n");
    for (key, what) in [
        ("WARM_IP", "WARM_IP is not a variable of aws-node"),
        ("target_pos", "there is no key \"target_pos\" here"),
        ("latency.boot", "there is no latency \"boot\""),
    ] {
        fs::write(folder.join("bad.toml"), format!("base = \"eight.toml\"\n{}", factor(key))).unwrap();
        refused(&folder, &["sweep", "bad.toml"], &["f has no values", what, "bad.toml:2:1"]);
    }
    fs::write(folder.join("bad.toml"), format!("base = \"eight.toml\"\n{}", factor("target_pods"))).unwrap();
    assert_eq!(error(&kilopod(&folder, &["sweep", "bad.toml"])).matches("error:").count(), 1);
    let levels = "[[factors]]\nname = \"f\"\n[[factors.levels]]\nlabel = \"a\"\n[[factors.levels]]\nlabel = \"a\"\n[[factors.levels]]\n";
    fs::write(folder.join("bad.toml"), format!("base = \"eight.toml\"\n{levels}")).unwrap();
    let parts = ["f has two levels with the label \"a\"", "this level has no label"];
    refused(&folder, &["sweep", "bad.toml"], &parts);
}

#[test]
fn a_file_that_is_no_text_is_told_as_such() {
    let folder = scratch("binary");
    fs::write(folder.join("binary.toml"), [0x7f, b'E', b'L', b'F', 0xff, 0xfe]).unwrap();
    fs::write(folder.join("on-it.toml"), format!("base = \"binary.toml\"\n{FACTORS}")).unwrap();
    for arguments in [["run", "binary.toml"], ["sweep", "binary.toml"], ["sweep", "on-it.toml"]] {
        refused(&folder, &arguments, &["binary.toml: this is no TOML: it has bytes that are no text"]);
    }
}

/// In a sweep each is told once, however many cells it is true of.
#[test]
fn warnings_of_warm_targets_are_told_once_and_in_sets_of_any_kind_of_value() {
    let folder = scratch("targets");
    let levels = "[[factors]]\nname = \"eni\"\n[[factors.levels]]\nlabel = \"two\"\nset = { WARM_ENI_TARGET = 2, ENABLE_SUBNET_DISCOVERY = true }\n\
                  [[factors.levels]]\nlabel = \"three\"\nset = { WARM_ENI_TARGET = \"3\", ENABLE_SUBNET_DISCOVERY = false }\n";
    fs::write(
        folder.join("targets.toml"),
        format!("replications = 1\nbase = \"eight.toml\"\n{FACTORS}{levels}"),
    )
    .unwrap();
    let output = kilopod(&folder, &["sweep", "targets.toml"]);
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(
        error(&output).matches("warning: WARM_ENI_TARGET changes nothing beside").count(),
        1,
        "{}",
        error(&output)
    );
}

/// What ships is meant as it is.
/// A cell by itself is warned of what it sets, and of nothing that others do.
#[test]
fn a_cell_s_own_warnings_are_told_where_it_runs_by_itself() {
    let path = scratch("cell-warned-of");
    let factors = "[[factors]]\nname = \"a\"\nkey = \"WARM_ENI_TARGET\"\nvalues = [1, 2]\n\
                   [[factors]]\nname = \"b\"\n[[factors.levels]]\nlabel = \"plain\"\n[[factors.levels]]\nlabel = \"ip\"\n\
                   set = { WARM_IP_TARGET = 2 }\n";
    fs::write(path.join("four.toml"), format!("base = \"eight.toml\"\n{factors}")).unwrap();
    for (cell, warned) in [("c0001", false), ("c0002", true)] {
        let output = kilopod(&path, &["run", "four.toml", "--cell", cell]);
        assert_eq!(output.status.code(), Some(0), "{}", error(&output));
        let told = error(&output).lines().filter(|line| line.starts_with("warning: ")).count();
        assert_eq!(told, usize::from(warned), "{cell}: {}", error(&output));
    }
}

#[test]
fn no_experiment_of_ours_is_warned_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ours = |folder: &str| {
        let entries = fs::read_dir(root.join("experiments").join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let paths = paths.map(|path| if path.is_dir() { path.join("experiment.toml") } else { path });
        let files = paths.filter(|path| path.is_file() && path.extension().is_some_and(|end| end == "toml"));
        files.map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    let (experiments, scenarios) = (ours(""), ours("scenarios"));
    assert!(experiments.len() > 10 && !scenarios.is_empty());
    let of = |command: &'static str, paths: Vec<String>| paths.into_iter().map(move |path| (command, path));
    for (command, path) in of("sweep", experiments).chain(of("run", scenarios)) {
        let output = kilopod(root, &[command, &path, "--show-config"]);
        assert!(output.status.success() && error(&output).is_empty(), "{path}: {}", error(&output));
    }
}
