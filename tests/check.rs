//! Advice under test: the files beside the experiments hold, and verdicts turn when a claim is wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn check(arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(env!("CARGO_BIN_EXE_kilopod"))
        .current_dir(folder)
        .arg("check")
        .args(arguments)
        .output()
        .unwrap()
}

/// The file with one text replaced, checked; the exit code and what was printed.
fn with(file: &str, from: &str, to: &str) -> (i32, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/advice");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    let name = format!("{}.advice.toml", from.len() * 1_000 + to.len());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text.replace(from, to)).unwrap();
    let output = check(&[path.to_str().unwrap()]);
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn the_advice_beside_the_experiments_holds() {
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.xml");
    let output = check(&["experiments/advice", "--json", "--junit", report.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = told["files"].as_array().unwrap();
    assert_eq!(files.len(), 11);
    let claims = files.iter().flat_map(|file| file["claims"].as_array().unwrap());
    assert!(claims.clone().all(|claim| claim["verdict"] == "holds"));
    assert_eq!(fs::read_to_string(report).unwrap().matches("<testcase").count(), claims.count());
}

#[test]
fn one_address_too_many_breaks_a_claim() {
    // ipamd asked for one address more a node: the twelve nodes of C17 hold more than the claim allows.
    let (code, text) = with("c17-the-patch.advice.toml", "WARM_IP_TARGET = 10", "WARM_IP_TARGET = 11");
    assert!(code == 3 && text.contains("broken"), "{code}: {text}");
}

#[test]
fn a_limit_inside_the_interval_leaves_a_claim_undecided() {
    let (code, text) = with("c10-spot.advice.toml", "at_most = 30000", "at_most = 763");
    assert!(code == 4 && text.contains("undecided"), "{code}: {text}");
}

/// In a /27 the ten nodes' addresses do not suffice: a mean at the target would be one over what got there, of either side.
#[test]
fn a_mean_over_those_that_got_there_is_no_estimate() {
    let (file, small) = ("c15-three-warm-enis.advice.toml", "subnet_prefix_length = 27");
    let (code, text) = with(file, "subnet_prefix_length = 21", small);
    let why = "has no estimate, claimed at least 650, at most 660: 20 of 20 replications have no value";
    assert!(code == 4 && text.contains(why), "{code}: {text}");
    let claim = "at_least = 650\nat_most = 660";
    for form in ["difference", "ratio"] {
        let both = format!("form = \"{form}\"\nat_most = 660\n[set_both]\n{small}");
        let (code, text) = with(file, claim, &both);
        assert!(code == 4 && text.contains("20 of 20 replications have no value"), "{code}: {text}");
    }
    let quantile = "metric = \"time_to_target_ms\"\nstatistic = \"p50\"\nat_most = 9000\n[set_both]\n";
    let (code, text) = with(
        file,
        "metric = \"attached_at_target_addresses\"\nat_least = 650\nat_most = 660",
        &format!("{quantile}{small}"),
    );
    let beyond = "is beyond the horizon (beyond the horizon to beyond the horizon)";
    assert!(code == 3 && text.contains(beyond), "{code}: {text}");
}

#[test]
fn bad_advice_is_told_whole_and_not_tried() {
    let (code, text) =
        with("c15-three-warm-enis.advice.toml", "attached_at_target_addresses", "attached_at_target");
    assert!(code == 2 && text.contains("attached_at_target_addresses"), "{code}: {text}");
    let (code, text) = with("c15-three-warm-enis.advice.toml", "at_least = 650\nat_most = 660", "");
    assert!(code == 2 && text.contains("limit"), "{code}: {text}");
    let (code, text) = with("c15-three-warm-enis.advice.toml", "at_least = 650", "at_least = 661");
    assert!(code == 2 && text.contains("at_least = 661 is above at_most = 660"), "{code}: {text}");
}

/// Looks end where all is decided; the verdict and all figures do not hang on threads.
#[test]
fn looks_decide_with_as_many_replications_as_it_takes() {
    let file = "experiments/advice/c10-spot.advice.toml";
    let told = |threads: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_kilopod"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("RAYON_NUM_THREADS", threads)
            .args(["check", file, "--looks-up-to", "512", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (one, three) = (told("1"), told("3"));
    assert!(one == three);
    let told: serde_json::Value = serde_json::from_slice(&one).unwrap();
    let claims = told["files"][0]["claims"].as_array().unwrap();
    assert!(
        claims.iter().all(|claim| claim["verdict"] == "holds" && claim["replications"] == 128),
        "{claims:?}"
    );
    let (code, text) =
        with("c10-spot.advice.toml", "replications = 40", "replications = 40\nlooks_up_to = 256");
    assert!(code == 2 && text.contains("leave one of them out"), "{text}");
}

const SWEPT: &str = r#"
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
instance_types = ["m5.large"]
[[factors]]
name = "warm_ip"
key = "WARM_IP_TARGET"
values = [1, 4]
"#;

const ADVICE: &str = r#"
title = "more warm addresses waste more"
experiment = "swept.toml"
cell = "c0001"
set = { WARM_IP_TARGET = 4 }
[[claims]]
says = "they do"
metric = "waste_peak_addresses"
form = "difference"
at_least = 1
[[claims]]
says = "all come up"
metric = "time_to_target_ms"
statistic = "share"
at_least = 0.5
"#;

#[test]
fn stored_results_judge_claims_of_their_plan_and_no_others() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-stored");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("swept.toml"), SWEPT).unwrap();
    let run = |arguments: &[&str]| {
        let kilopod =
            Command::new(env!("CARGO_BIN_EXE_kilopod")).current_dir(&folder).args(arguments).output();
        let output = kilopod.unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code().unwrap(), text.concat())
    };
    let judged = |advice: &str, results: &str| {
        fs::write(folder.join("a.advice.toml"), advice).unwrap();
        run(&["check", "a.advice.toml", "--results", results])
    };
    assert_eq!(run(&["sweep", "swept.toml", "--replications", "30", "--seed", "5", "-o", "out"]).0, 0);
    let (code, text) = judged(ADVICE, "out");
    assert!(code == 0 && text.contains("(30 replications)") && text.contains("2 hold"), "{code}: {text}");
    // The same runs, made anew.
    let anew = ADVICE.replace("experiment =", "replications = 30\nseed = 5\nexperiment =");
    fs::write(folder.join("anew.advice.toml"), anew).unwrap();
    let lines = |text: String| {
        text.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(text), lines(run(&["check", "anew.advice.toml"]).1));
    // Of a whole folder what fits is judged, and the rest is told and counted.
    fs::create_dir(folder.join("all")).unwrap();
    let elsewhere = ADVICE.replace("swept.toml", "../swept.toml");
    fs::write(folder.join("all/fits.advice.toml"), &elsewhere).unwrap();
    fs::write(folder.join("all/odd.advice.toml"), elsewhere.replace("TARGET = 4", "TARGET = 3")).unwrap();
    let (code, text) = run(&["check", "all", "--results", "out", "--junit", "all.xml"]);
    assert!(
        code == 4 && text.contains("2 hold, 0 broken, 0 undecided; skipped 1 of 2 files"),
        "{code}: {text}"
    );
    assert!(text.contains("odd.advice.toml: not judged by these results"), "{text}");
    assert!(fs::read_to_string(folder.join("all.xml")).unwrap().contains("skipped=\"1\""));
    let (_, text) = run(&["check", "all", "--results", "out", "--json"]);
    let told: serde_json::Value =
        serde_json::from_str(&text[text.find('{').unwrap()..=text.rfind('}').unwrap()]).unwrap();
    assert!(
        told["files"].as_array().unwrap().len() == 1 && told["skipped"][0]["file"] == "all/odd.advice.toml"
    );
    let (code, text) = judged(&ADVICE.replace("TARGET = 4", "TARGET = 3"), "out");
    assert!(code == 2 && text.contains("no cell like the advice's candidate"), "{text}");
    assert_eq!(
        run(&["sweep", "swept.toml", "--set", "target_pods=7", "--replications", "30", "-o", "other"]).0,
        0
    );
    let (code, text) = judged(ADVICE, "other");
    assert!(code == 2 && text.contains("are of plan"), "{text}");
    fs::write(folder.join("namesake.toml"), SWEPT).unwrap();
    let (code, text) = judged(&ADVICE.replace("swept", "namesake"), "out");
    assert!(code == 2 && text.contains("of the experiment \"swept\", and namesake.toml is wanted"), "{text}");
    let hurried = ["sweep", "swept.toml", "--precision", "0.001%", "--time-budget", "1 ms", "-o", "cut"];
    assert_eq!(run(&hurried).0, 0);
    let (code, text) = judged(ADVICE, "cut");
    assert!(code == 2 && text.contains("stopped as the time was over"), "{text}");
}

#[test]
fn a_base_is_one_thing_and_what_is_wrong_with_its_experiment_is_told_where_it_stands() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-base");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("swept.toml"), SWEPT).unwrap();
    let broken = SWEPT.replace("target_pods = 8", "target_pods = 0").replace("[1, 4]", "[1, 1]");
    fs::write(folder.join("broken.toml"), broken).unwrap();
    let path = folder.join("a.advice.toml");
    let told = |advice: String| {
        fs::write(&path, advice).unwrap();
        let output = check(&[path.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        text
    };
    let beside = ADVICE.replace("[[claims]]\nsays = \"they do\"", "[scenario]\nhorizon = \"x\"\n[[claims]]");
    let text = told(beside);
    assert!(text.contains("scenario names another") && text.contains("advice.toml:6:2, scenario"), "{text}");
    let text = told(ADVICE.replace("cell =", "base = \"b.toml\"\ncell ="));
    assert!(text.contains("base names another"), "{text}");
    let text = told(ADVICE.replace("cell = \"c0001\"\n", ""));
    assert!(text.contains("which cell of swept.toml is the base?") && text.contains("up to c0002"), "{text}");
    let text = told(ADVICE.replace("c0001", "c0003"));
    assert!(text.contains("\"c0003\" is no cell of swept.toml"), "{text}");
    let text = told(ADVICE.replace("experiment = \"swept.toml\"\n", ""));
    assert!(text.contains("a cell of which experiment?"), "{text}");
    let text = told(ADVICE.replace("swept", "broken"));
    let places = ["a.advice.toml:3:1, experiment", "broken.toml:3:1, target_pods", "broken.toml:16:14"];
    assert!(places.iter().all(|place| text.contains(place)), "{text}");
}

#[test]
fn what_is_wrong_with_the_advice_does_not_hide_what_is_wrong_with_its_scenario() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/advice/c02-spot-quota.advice.toml");
    let text = fs::read_to_string(folder).unwrap();
    let wrong = [("replications = 40", "replications = 0"), ("target_pods = 100", "target_pods = 0")];
    let wrong = wrong.into_iter().fold(text, |text, (from, to)| text.replace(from, to));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("both-wrong.advice.toml");
    fs::write(&path, wrong.replace("at_most = 48.4", "")).unwrap();
    let output = check(&[path.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    let places = [":2:1, replications", ":4:1, target_pods", "a claim needs a limit"];
    assert!(output.status.code() == Some(2) && told.matches("error:").count() == 3, "{told}");
    assert!(places.iter().all(|place| told.contains(place)), "{told}");
}

#[test]
fn a_limit_that_is_no_number_is_told_once() {
    let (code, text) = with("c10-spot.advice.toml", "at_most = 30000", "at_most = \"30 s\"");
    assert!(
        code == 2 && text.matches("error:").count() == 1 && text.contains("a number is wanted"),
        "{text}"
    );
}
