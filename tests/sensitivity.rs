//! `kilopod sensitivity`: known shares come out, the same bytes on any number of threads, and input that is refused.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{error, kilopod};
use serde_json::Value;

const SCENARIO: &str = r#"
target_pods = 20
[[deployments]]
name = "app"
replicas = 20
cpu = "1"
memory = "2 GiB"
image = "300 MB"
[[node_pools]]
name = "default"
instance_types = ["m5.xlarge"]
capacity_types = ["on-demand"]
"#;

fn scratch(name: &str) -> PathBuf {
    let path = common::scratch(&format!("sensitivity-{name}"));
    fs::write(path.join("twenty.toml"), SCENARIO).unwrap();
    path
}
fn sensitivity(folder: &Path, arguments: &[&str]) -> Output {
    kilopod(folder, &[&["sensitivity", "twenty.toml"], arguments].concat())
}
fn number(row: &Value, column: &str) -> f64 {
    row[column].as_f64().unwrap_or_else(|| panic!("{column} of {row}"))
}

#[test]
fn one_thread_and_eight_give_the_same_bytes() {
    let folder = scratch("threads");
    let factors = "estimated,WARM_IP_TARGET=1..5,karpenter.batch_idle=0.5 s..2 s,market=calm|tight";
    let small = ["--factors", factors, "--trajectories", "3", "--samples", "8", "--replications", "2"];
    let mut printed = Vec::new();
    for threads in ["1", "8"] {
        let more = ["--threads", threads, "-o", threads];
        let output = sensitivity(&folder, &[&small[..], &more].concat());
        assert!(output.status.success(), "{}", error(&output));
        printed.push(String::from_utf8(output.stdout).unwrap());
    }
    // So few rows may come to more than all.
    let alone = printed[0].split("alone they explain ").nth(1).unwrap();
    let (share, rest) = alone.split_once(" %, ").unwrap();
    let can_be = (0.0..=100.0).contains(&share.parse::<f64>().unwrap());
    let wanted = if can_be { "their interactions the rest\n" } else { "which no shares do: so few rows" };
    assert!(rest.starts_with(wanted), "{alone}");
    let table = |text: &str| text.lines().take_while(|line| !line.contains("report.html")).count();
    assert_eq!(table(&printed[0]), table(&printed[1]));
    for file in ["report.html", "morris.csv", "sobol.csv", "points.csv", "manifest.json", "datapackage.json"]
    {
        let read = |threads: &str| fs::read(folder.join(threads).join(file)).unwrap();
        assert!(read("1") == read("8"), "{file} differs");
    }
    let points = fs::read_to_string(folder.join("1/points.csv")).unwrap();
    let header = points.lines().next().unwrap();
    assert!(header.starts_with("design,point,") && header.contains(",WARM_IP_TARGET,karpenter_batch_idle,"));
    let morris = fs::read_to_string(folder.join("1/morris.csv")).unwrap();
    let factors = morris.lines().count() - 1;
    let kept = fs::read_to_string(folder.join("1/sobol.csv")).unwrap().lines().count() - 1;
    assert!((1..=8).contains(&kept), "{kept} of {factors} factors were kept");
    assert_eq!(points.lines().count() - 1, 3 * (factors + 1) + 8 * (kept + 2));
}

/// With few rows shares come out above 1, which is told wherever they are printed; and what a study takes is known before.
#[test]
fn shares_above_all_have_a_remark_and_work_is_foreseen() {
    let folder = scratch("remark");
    let small = ["--factors", "estimated", "--trajectories", "2", "--samples", "8", "--replications", "1"];
    let dry = sensitivity(&folder, &[&small[..], &["--dry-run", "--json"]].concat());
    let foreseen: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert!(number(&foreseen, "seconds_at_most") > 0.0 && !folder.join("results").exists());
    assert_eq!(number(&foreseen, "sharing_replications_at_most"), 8.0 * 10.0);
    let mut remarks = 0;
    // Six studies at least, and as many more as it takes.
    for study in 1..=30 {
        let seed = &study.to_string();
        let more = ["--seed", seed, "--json", "-o", seed];
        let output = sensitivity(&folder, &[&small[..], &more].concat());
        assert!(output.status.success(), "{}", error(&output));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = found["sobol"].as_array().unwrap();
        let above = rows.iter().any(|row| number(row, "first") > 1.0 || number(row, "total") > 1.0);
        let sum: f64 = rows.iter().map(|row| number(row, "first")).sum();
        let remark = found["remark"].as_str().unwrap_or_default();
        // Printed with four decimals.
        assert!((above || sum > 1.001) <= remark.contains("--samples 16"), "{rows:?}: {remark}");
        let page = fs::read_to_string(folder.join(seed).join("report.html")).unwrap();
        assert_eq!(page.contains("no share is above 100 %"), !remark.is_empty());
        remarks += usize::from(!remark.is_empty());
        if remarks > 0 && study >= 6 {
            break;
        }
    }
    assert!(remarks > 0, "with eight rows some share is meant to come out too large");
}

/// Two constant latencies of 40 s and 20 s add up on the way to the one node's Ready. Times 2^x with x uniform in -1..1,
/// a constant c has a standard deviation of 0.4264 c, hence shares of 4/5 and 1/5, no interaction, and a screened
/// change of c (2 - 0.5^(1/3)) / (2/3) = 1.81 c or c (2^(1/3) - 0.5) / (2/3) = 1.14 c. What node and pods do meanwhile
/// on ticks of their own blurs that by a few seconds; chance is the same at every point.
#[test]
fn what_adds_up_has_the_shares_of_its_squares_and_what_is_never_drawn_none() {
    let folder = scratch("known");
    let output = sensitivity(
        &folder,
        &[
            "--set",
            "latency.boot_instance={constant=\"40 s\"}",
            "--set",
            "latency.boot_system_al2023={constant=\"20 s\"}",
            "--set",
            "latency.boot_node_factor={constant=1.0}",
            "--set",
            "latency.boot_zone_factor={constant=1.0}",
            "--factors",
            "boot_system_al2023,boot_instance_metal,boot_instance",
            "--replications",
            "4",
            "--samples",
            "64",
            "--json",
        ],
    );
    assert!(output.status.success(), "{}", error(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> =
        found["morris"].as_array().unwrap().iter().map(|row| row["factor"].as_str().unwrap()).collect();
    assert_eq!(names, ["boot_instance", "boot_system_al2023", "boot_instance_metal"]);
    for (row, constant_ms) in found["morris"].as_array().unwrap().iter().zip([40_000.0, 20_000.0, 0.0]) {
        let (low, high) = (1.10 * constant_ms, 1.85 * constant_ms);
        let star = number(row, "mu_star");
        assert!((low..=high).contains(&star) && star == number(row, "mu"), "{row}");
    }
    let shares = found["sobol"].as_array().unwrap();
    assert_eq!(shares.len(), 2, "a factor without effect is not kept");
    for (row, share) in shares.iter().zip([0.8, 0.2]) {
        assert!((number(row, "first") - share).abs() < 0.06, "{row}");
        assert!((number(row, "total") - share).abs() < 0.06, "{row}");
        assert!(number(row, "noise_paired") < 0.01, "{row}");
    }
    let page = fs::read_to_string(folder.join("results/twenty-sensitivity/report.html")).unwrap();
    let bars: Vec<f64> = page
        .split("<i class=\"total\" style=\"left:0;width:")
        .skip(1)
        .map(|rest| rest.split('%').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(bars.len(), 2);
    for (bar, row) in bars.iter().zip(shares) {
        assert!((bar - 100.0 * number(row, "total")).abs() < 0.011, "{bar} for {row}");
    }
    assert!(
        page.contains("hangs most on boot_instance") && page.contains("any effect: boot_instance_metal.")
    );
}

#[test]
fn everything_wrong_is_told_at_once_and_nothing_is_written() {
    let folder = scratch("refused");
    let refused = |arguments: &[&str], parts: &[&str]| {
        let output = sensitivity(&folder, arguments);
        let told = error(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for part in parts {
            assert!(told.contains(part), "{told:?} lacks {part:?}");
        }
    };
    refused(
        &["--factors", "kubelet_sink,WARM_IP_TARGET=5..1", "--measure", "time"],
        &["did you mean \"kubelet_sync\"", "5 is not below 1", "\"time\" is no column"],
    );
    refused(
        &["--factors", "karpenter.batch_idel=1 s..2 s,market=calm|brisk"],
        &["there is no key \"batch_idel\"", "\"brisk\" is not one of calm, tight"],
    );
    refused(&["--measure", "waste_at_target_p95_addresses"], &["take waste_at_target_addresses"]);
    refused(&["--samples", "100"], &["powers of two"]);
    fs::create_dir(folder.join("taken")).unwrap();
    fs::write(folder.join("taken/manifest.json"), r#"{"plan_id": "another"}"#).unwrap();
    refused(&["-o", "taken"], &["holds something else", "--overwrite"]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "the scenario and the folder that was there");
}
