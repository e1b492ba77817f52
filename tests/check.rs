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

#[test]
fn bad_advice_is_told_whole_and_not_tried() {
    let (code, text) =
        with("c15-three-warm-enis.advice.toml", "attached_at_target_addresses", "attached_at_target");
    assert!(code == 2 && text.contains("attached_at_target_addresses"), "{code}: {text}");
    let (code, text) = with("c15-three-warm-enis.advice.toml", "at_least = 650\nat_most = 660", "");
    assert!(code == 2 && text.contains("limit"), "{code}: {text}");
}
