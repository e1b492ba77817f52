use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{BAD_INPUT, FAILED};
use crate::experiment::{Factor, Forecast, Overrides, Pilot, Plan, forecast, parse_share, plan_file};
use crate::results::Kind;

/// Say what a sweep would run, how long it might take and how well it would know, and keep it as a plan
///
/// A plan kept with --out is run by `kilopod sweep plan.json`, on this machine or, shard by shard, on others: all of them run the same, or refuse it.
///
/// Examples:
///   kilopod plan experiments/thousand-pods
///   kilopod plan experiments/thousand-pods --replications 400 --out plan.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// Write the plan to a file, which a sweep runs as it is
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Print the plan as JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What makes a plan.
#[derive(clap::Args)]
pub(super) struct PlanArguments {
    /// A folder with an experiment.toml, such a file, or a plan.json of `kilopod plan`
    #[arg(value_name = "EXPERIMENT|PLAN")]
    experiment: PathBuf,
    /// Replications of each cell, instead of the experiment's own number; with --precision at most, 2048 if left out
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    replications: Option<u32>,
    /// Seed of all chance, instead of the experiment's own
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// A key of the scenario by its path, places in lists from 0 on: deployments.0.cpu=2 or deployments[0].cpu=2;
    /// WARM_IP_TARGET=2 means cni.env.WARM_IP_TARGET. Lists in TOML: 'zones=["us-east-1a"]'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Run each cell until half of its interval is within this share of the estimate: 5%
    #[arg(long, value_name = "PERCENT", value_parser = parse_share)]
    precision: Option<f64>,
    /// What is to be that precise, a column of cells.csv; time_to_target_p50_ms if left out
    #[arg(long, value_name = "NAME")]
    measure: Option<String>,
    /// The cell that comparisons.csv compares with, such as c0005; or a level that takes its place: with subnets=/19 each cell is
    /// compared with the one that has /19 and is else as it is. May be given for several factors
    #[arg(long, value_name = "CELL|FACTOR=LEVEL")]
    compare_with: Vec<String>,
}

impl PlanArguments {
    /// The plan; everything wrong with it is told, and the exit code comes back.
    pub(super) fn read(&self) -> Result<Plan, u8> {
        let overrides = Overrides {
            replications: self.replications,
            seed: self.seed,
            precision: self.precision,
            measure: self.measure.clone(),
            compare_with: self.compare_with.clone(),
        };
        super::read_plan(&self.experiment, &self.settings, &overrides)
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    let plan = match arguments.plan.read() {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let forecast = tried(&plan);
    let text = plan_file(&plan, &forecast.to_json(threads()));
    if let Some(path) = &arguments.out
        && let Err(code) = keep(path, &plan, &text)
    {
        return code;
    }
    super::print(&if arguments.json { text } else { as_text(&plan, &forecast) })
}

/// What `sweep --dry-run` shows: the same.
pub(super) fn show(plan: &Plan, json: bool) -> u8 {
    let forecast = tried(plan);
    super::print(&if json { plan_file(plan, &forecast.to_json(threads())) } else { as_text(plan, &forecast) })
}

/// Tries some cells, and tells what is to be known before the run.
fn tried(plan: &Plan) -> Forecast {
    let began = super::clock();
    let forecast = forecast(plan, &|| began.elapsed().as_secs_f64());
    forecast.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    forecast
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Writes the plan; another one that is there stays.
fn keep(path: &Path, plan: &Plan, text: &str) -> Result<(), u8> {
    if path.exists() {
        let known = std::fs::read_to_string(path).unwrap_or_default();
        let known: Value = serde_json::from_str(&known).unwrap_or_default();
        if known["plan_id"] != plan.id.as_str() {
            say!("error: {} is there already and is not this plan", path.display());
            say!("hint: a plan that others may be running is not replaced; give another name");
            return Err(BAD_INPUT);
        }
    }
    if path.extension().is_none_or(|ending| ending != "json") {
        say!("error: {} does not end in .json, by which a sweep knows a plan", path.display());
        return Err(BAD_INPUT);
    }
    std::fs::write(path, text).map_err(|error| {
        say!("error: {}: {error}", path.display());
        FAILED
    })?;
    say!("{0} holds the plan; kilopod sweep {0} runs it", path.display());
    Ok(())
}

fn as_text(plan: &Plan, forecast: &Forecast) -> String {
    let mut text = format!("{} (plan {})\n", plan.name, plan.id);
    let mut line = |line: String| writeln!(text, "{line}").expect("text takes text");
    for factor in &plan.factors {
        line(format!("  {:<12} {}", factor.name, levels(factor)));
    }
    line(match &plan.precision {
        None => format!(
            "{} cells x {} replications = {}",
            plan.cells.len(),
            plan.replications,
            forecast.replications
        ),
        Some(precision) => format!(
            "{} cells x at most {} replications, about {} until {} is known to {}",
            plan.cells.len(),
            plan.replications,
            forecast.replications,
            precision.of.column(),
            precision.target_text()
        ),
    });
    let tried: u32 = forecast.pilots.iter().map(|pilot| pilot.replications).sum();
    line(format!(
        "about {} on {} threads ({:.1} ms a replication, from a trial of {tried} in {} cells)",
        in_words(forecast.seconds(threads())),
        threads(),
        forecast.seconds_each * 1e3,
        forecast.pilots.len()
    ));
    let rows: Vec<String> = forecast
        .rows
        .iter()
        .map(|(table, rows)| format!("{} {} in {table}.csv", rows.word(), rows.count()).trim().to_string())
        .collect();
    line(format!("rows: {}", rows.join(", ")));
    line(format!(
        "cells, with {} and half of its interval as far as the trial can tell:",
        forecast.of.column()
    ));
    let mut untried = 0;
    for cell in &plan.cells {
        let pilot = forecast.pilots.iter().find(|pilot| pilot.cell == cell.id());
        untried += u32::from(pilot.is_none());
        let known = match pilot {
            Some(pilot) => foreseen(pilot, forecast),
            None if untried <= MOST_UNTRIED => "not tried".to_string(),
            None => continue,
        };
        line(format!("  {} {}   {known}", cell.id(), cell.labels.join(" | ")));
    }
    if untried > MOST_UNTRIED {
        line(format!("  and {} more that were not tried; --json lists them", untried - MOST_UNTRIED));
    }
    text
}

/// Cells without a trial that are listed; an experiment may have thousands.
const MOST_UNTRIED: u32 = 10;

/// `45 s`, `12 min`, `3.5 h` or `407 days`.
pub(super) fn in_words(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.1} h", seconds / 3_600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// What a trial of a cell tells: `164.8 s +- 2.9 s (1.7 %)`, or why it tells nothing.
fn foreseen(pilot: &Pilot, forecast: &Forecast) -> String {
    let Some((estimate, half)) = pilot.expected else {
        let runs = pilot.replications;
        return match pilot.reached {
            0 if forecast.of.measure.kind == Kind::Instant => {
                format!("unknown: of {runs} tried none reached the target")
            }
            _ => format!("unknown: {runs} tried are too few for the interval's ends"),
        };
    };
    let share = 100.0 * half / estimate.abs().max(f64::MIN_POSITIVE);
    let unit = forecast.of.measure.unit;
    format!("{} +- {} ({share:.1} %)", amount(estimate, unit), amount(half, unit))
}

/// Of a range its ends, else all labels.
fn levels(factor: &Factor) -> String {
    if let Some(range) = factor.range {
        return format!("{} to {}, {} of them taken", range.from, range.to, factor.levels.len());
    }
    factor.levels.iter().map(|level| level.label.as_str()).collect::<Vec<&str>>().join(", ")
}

/// A number with its unit; times in seconds.
fn amount(value: f64, unit: &str) -> String {
    match unit {
        "ms" => format!("{:.1} s", value / 1e3),
        _ => format!("{value:.2} {unit}").trim_end().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_spans_are_told_in_units_that_people_plan_with() {
        let spans = [0.4, 119.0, 120.0, 7_199.0, 12_600.0, 172_800.0, 35_180_252.0].map(in_words);
        assert_eq!(spans, ["0 s", "119 s", "2 min", "120 min", "3.5 h", "2 days", "407 days"]);
    }
}
