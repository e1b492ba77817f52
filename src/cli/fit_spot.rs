use std::path::{Path, PathBuf};

use serde_json::json;

use super::{BAD_INPUT, FAILED, OK};
use crate::calibration::depth::Partial;
use crate::calibration::traces::Series;
use crate::calibration::{Inputs, advisor, depth, report, traces};
use crate::catalogue::{Catalogue, FileProblem};

/// Fit the spot market's episodes to traces, and hold models/capacity.toml to them
///
/// Prints the laws by maximum likelihood, how well they fit, what they miss and what is committed beside
/// them: the page models/spot/report.md. Without --traces the built-in ones are fitted, which is what that
/// page tells.
///
/// Exit code: 0; 1 where --check finds a committed figure outside the data's joint 95 % region; 2 the traces are wrong.
///
/// Example: kilopod fit-spot --check
#[derive(clap::Args)]
pub struct Arguments {
    /// Traces in the columns of models/spot/traces.csv
    #[arg(long, value_name = "FILE")]
    traces: Option<PathBuf>,
    /// Say only which figures of models/capacity.toml the traces reject
    #[arg(long)]
    check: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let read = series(arguments.traces.as_deref());
    let result = read.and_then(|traces| {
        let capacity: toml::Table =
            include_str!("../../models/capacity.toml").parse().expect("models/capacity.toml is TOML");
        let bands = advisor::counts(include_str!("../../models/spot/advisor-bands.csv"));
        report(&Inputs {
            traces: &traces,
            partial: &partial(),
            bands: bands.expect("models/spot/advisor-bands.csv is a table of counts"),
            capacity: &capacity,
            catalogue: &Catalogue::compiled_in(),
        })
    });
    match result {
        Ok((page, findings)) => tell(arguments, &page, &findings),
        Err(problems) => {
            problems.iter().for_each(|problem| say!("error: {problem}"));
            BAD_INPUT
        }
    }
}

fn tell(arguments: &Arguments, page: &str, findings: &[String]) -> u8 {
    let printed = match (arguments.json, arguments.check) {
        (true, true) => super::print_json(&json!({ "rejected": findings })),
        (true, false) => super::print_json(&json!({ "rejected": findings, "report": page })),
        (false, true) if findings.is_empty() => {
            super::print("models/capacity.toml: the traces reject nothing\n")
        }
        (false, true) => super::print(&(findings.join("\n") + "\n")),
        (false, false) => super::print(page),
    };
    if printed == OK && arguments.check && !findings.is_empty() { FAILED } else { printed }
}

fn partial() -> Vec<Partial> {
    depth::read(include_str!("../../models/spot/partial-capacity.csv"))
        .expect("models/spot/partial-capacity.csv has its columns")
}

/// The traces of a file, or those built in.
fn series(file: Option<&Path>) -> Result<Vec<Series>, Vec<String>> {
    let (name, text) = match file {
        None => ("models/spot/traces.csv".into(), include_str!("../../models/spot/traces.csv").to_string()),
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{name}: {error}")])?;
            (name, text)
        }
    };
    let told = |problem: &FileProblem| format!("{name}: {problem}");
    traces::read(&text).map_err(|problems| problems.iter().map(told).collect())
}
