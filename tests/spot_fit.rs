//! The spot market's parameters against the traces, through the program.

mod common;

use std::fs;
use std::path::Path;

use common::{error, kilopod, scratch};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_report_is_what_the_fit_prints() {
    let output = kilopod(root(), &["fit-spot"]);
    assert!(output.status.success(), "{}", error(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let path = root().join("models/spot/report.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == printed,
        "models/spot/report.md is old; write it with UPDATE_DOCS=1 cargo test --test spot_fit"
    );
}

#[test]
fn the_traces_reject_no_committed_figure() {
    let output = kilopod(root(), &["fit-spot", "--check"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
}

/// The same pools with every time three times as long: the committed figures cannot be theirs.
#[test]
fn other_traces_reject_them() {
    let folder = scratch("other-traces");
    let text = fs::read_to_string(root().join("models/spot/traces.csv")).unwrap();
    let tripled = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let times = |text: &str| (3.0 * text.parse::<f64>().unwrap()).to_string();
        [&cells[..5].join(","), &times(cells[5]), &times(cells[6]), &cells[7..].join(",")]
            .map(String::as_str)
            .join(",")
    };
    let mut lines = text.lines();
    let header = lines.next().unwrap().to_string();
    let rows: Vec<String> = std::iter::once(header).chain(lines.map(tripled)).collect();
    fs::write(folder.join("slow.csv"), rows.join("\n") + "\n").unwrap();
    let output = kilopod(&folder, &["fit-spot", "--traces", "slow.csv", "--check"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("spot.cpu: up times") && told.lines().count() == 4, "{told}");
}

#[test]
fn traces_that_are_none_are_told_with_file_and_line() {
    let folder = scratch("bad-traces");
    let row = "availability,c,z,m5.large,1,ten,10,up,3 1 2\n";
    let header = "kind,collection,zone,instance_type,nodes_requested,gap_s,look_s,first,run_lengths\n";
    fs::write(folder.join("bad.csv"), format!("{header}{row}")).unwrap();
    for (file, wanted) in [("bad.csv", "bad.csv: line 2, column gap_s"), ("none.csv", "none.csv: ")] {
        let output = kilopod(&folder, &["fit-spot", "--traces", file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(error(&output).contains(wanted), "{}", error(&output));
    }
    fs::write(folder.join("few.csv"), format!("{header}{}", row.replace("ten", "10"))).unwrap();
    let output = kilopod(&folder, &["fit-spot", "--traces", "few.csv"]);
    assert!(
        output.status.code() == Some(2) && error(&output).contains("fewer than 20"),
        "{}",
        error(&output)
    );
}
