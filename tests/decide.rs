//! `kilopod decide` against recorded answers of the real programs.

use std::fs;
use std::path::Path;

use kilopod::catalogue::Catalogue;
use kilopod::decide::{Program, answer_line};
use serde_json::Value;

/// Every line of every file of the folder must be answered as the real program did.
fn check(program: Program, folder: &str, least_cases: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let catalogue = Catalogue::compiled_in();
    let (mut cases, mut differing) = (0, Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let recorded: Value = serde_json::from_str(line).unwrap();
            let (answer, _) = answer_line(program, &recorded["case"].to_string(), &catalogue);
            cases += 1;
            if serde_json::from_str::<Value>(&answer).unwrap() != recorded["answer"] {
                differing.push(format!(
                    "{}\n  got    {answer}\n  wanted {}",
                    recorded["case"]["id"], recorded["answer"]
                ));
            }
        }
    }
    assert!(cases >= least_cases, "only {cases} cases in {}", folder.display());
    assert!(differing.is_empty(), "{} of {cases} differ; the first: {}", differing.len(), differing[0]);
}

#[test]
fn ipamd_decides_as_the_real_one() {
    check(Program::Ipamd, "ipamd", 700);
}

/// All settings at once: small and odd nodes, dry subnets, numbers that wrap, metadata that is late.
#[test]
fn ipamd_decides_combinations_as_the_real_one() {
    check(Program::Ipamd, "ipamd-combined", 160);
}

/// The solver of Karpenter 1.14 and the AWS provider's launch filters, claims in the order of opening.
#[test]
fn karpenter_decides_as_the_real_one() {
    check(Program::Karpenter, "karpenter", 460);
}

/// The same programs on keys in combinations that the cases above do not have.
#[test]
fn karpenter_decides_combinations_as_the_real_one() {
    check(Program::Karpenter, "karpenter-combined", 220);
}

/// The real plugins of 1.34.4, 1.30.14 and 1.24.17.
#[test]
fn kube_scheduler_decides_as_the_real_one() {
    check(Program::KubeScheduler, "kube-scheduler", 660);
}

/// The real controller of 1.34.4; `hpa-huge` are numbers that do not fit an int32, from a program of 1.34.4 on amd64.
#[test]
fn the_autoscaler_decides_as_the_real_one() {
    check(Program::Hpa, "hpa", 791);
}

/// The metric comes after the bounds in the controller's sync, so that a count out of them needs none.
#[test]
fn the_autoscaler_answers_a_count_out_of_its_bounds_without_a_metric() {
    let catalogue = Catalogue::compiled_in();
    for (line, wanted) in [
        (r#"{"id":"a","current":5,"max":3}"#, r#"{"id":"a","desired":3}"#),
        (r#"{"id":"a","current":0,"max":3}"#, r#"{"id":"a","desired":0}"#),
        (r#"{"id":"a","current":1,"min":2,"max":3}"#, r#"{"id":"a","desired":2}"#),
    ] {
        assert_eq!(answer_line(Program::Hpa, line, &catalogue), (wanted.to_owned(), true));
    }
}

#[test]
fn a_bad_line_is_answered_with_its_error_and_id() {
    let catalogue = Catalogue::compiled_in();
    for (program, line, part) in [
        (Program::Ipamd, r#"{"id":"x","instance_type":"m5.huge","until_ms":1}"#, "m5.huge"),
        (Program::Ipamd, r#"{"id":"x","instance_type":"m5.large","until_ms":1,"colour":1}"#, "colour"),
        (
            Program::Ipamd,
            r#"{"id":"x","instance_type":"m5.large","until_ms":1,"env":{"WARM_TARGET":"1"}}"#,
            "WARM_TARGET",
        ),
        (
            Program::Ipamd,
            r#"{"id":"x","instance_type":"m5.large","until_ms":1,"time":{"latency_ms":{"Reboot":1}}}"#,
            "Reboot",
        ),
        (Program::Ipamd, r#"{"id":"x","until_ms":1}"#, "instance_type or limits"),
        (
            Program::Ipamd,
            r#"{"id":"x","instance_type":"m5.large","until_ms":99999999999999}"#,
            "more than a year",
        ),
        (
            Program::Karpenter,
            r#"{"id":"x","instance_types":"all","zones":["a"],"node_pools":[],"pods":[{"count":4000000000}]}"#,
            "more than 150000",
        ),
        (Program::Hpa, r#"{"id":"x","current":1,"max":2}"#, "metric_ratio"),
        (Program::Hpa, r#"{"id":"x","current":1,"max":2,"target_percent":30}"#, "pods"),
        (Program::KubeScheduler, r#"{"id":"x","nodes":[],"pod":{},"profile":"fast"}"#, "fast"),
        (Program::KubeScheduler, r#"{"id":"x","nodes":[],"pod":{"gpu":1}}"#, "gpu"),
        (Program::KubeScheduler, r#"{"id":"x","nodes":[],"pod":{"cpu_millis":-1}}"#, "not within 0"),
        (
            Program::KubeScheduler,
            r#"{"id":"x","nodes":[{"name":"n","allocatable":{"memory_bytes":9000000000000000000}}],"pod":{}}"#,
            "not within 0",
        ),
        (
            Program::KubeScheduler,
            r#"{"id":"x","nodes":[],"pod":{"tolerations":[{"effect":"Never"}]}}"#,
            "Never",
        ),
    ] {
        let (answer, good) = answer_line(program, line, &catalogue);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(!good && answer["id"] == "x", "{line}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{line} gives {answer}");
    }
}
