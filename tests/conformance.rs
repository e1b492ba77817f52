//! The tables of `tests/tables/*.jsonl`: cases of `decide`, each with what the answer must say.
//!
//! `expect` goes from places in the answer to values. A place is a JSON pointer, in which `*` stands for all elements
//! of a list in their order, and which may end in `#` for a list's length. What a pointer does not find is null.

use std::path::Path;

use kilopod::catalogue::Catalogue;
use kilopod::decide::{Program, answer_line};
use serde_json::{Value, json};

/// What the answer has at a place.
fn at(answer: &Value, place: &str) -> Value {
    if let Some(list) = place.strip_suffix('#') {
        return json!(at(answer, list).as_array().map(Vec::len));
    }
    match place.split_once("/*") {
        None => answer.pointer(place).cloned().unwrap_or(Value::Null),
        Some((list, rest)) => {
            let list = answer.pointer(list).and_then(Value::as_array);
            list.into_iter().flatten().map(|element| at(element, rest)).collect()
        }
    }
}

/// What is wrong with the answer to a row's case.
fn faults(program: Program, row: &Value, catalogue: &Catalogue) -> Vec<String> {
    let mut case = row["case"].clone();
    case["id"] = row["id"].clone();
    let (answer, good) = answer_line(program, &case.to_string(), catalogue);
    if !good {
        return vec![answer];
    }
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let expected = row["expect"].as_object().unwrap();
    assert!(!expected.is_empty(), "{} expects nothing", row["id"]);
    let wrong = expected.iter().map(|(place, wanted)| (place, at(&answer, place), wanted));
    wrong
        .filter(|(_, got, wanted)| got != *wanted)
        .map(|(place, got, wanted)| format!("{place}: {got}, stated {wanted}"))
        .collect()
}

/// All rows of a table hold, or those that do not are told by name.
fn check(program: Program, table: &str, cases: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(table);
    let text = std::fs::read_to_string(path).unwrap();
    let catalogue = Catalogue::compiled_in();
    let mut failed = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(row["source"].is_string(), "{line} names no source");
        let faults = faults(program, &row, &catalogue);
        if !faults.is_empty() {
            failed.push(format!("{}: {}", row["id"].as_str().unwrap(), faults.join("; ")));
        }
    }
    assert!(failed.is_empty(), "{} of {table} fail:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(text.lines().count(), cases, "rows of {table}");
}

#[test]
fn ipamd_goes_as_its_documents_and_tests_say() {
    check(Program::Ipamd, "ipamd.jsonl", 31);
}

#[test]
fn karpenter_decides_as_the_providers_tests_say() {
    check(Program::Karpenter, "karpenter.jsonl", 13);
}

#[test]
fn kube_scheduler_scores_and_filters_as_its_tests_say() {
    check(Program::KubeScheduler, "kube-scheduler.jsonl", 54);
}

#[test]
fn the_autoscaler_decides_as_its_tests_say() {
    check(Program::Hpa, "hpa.jsonl", 83);
}
