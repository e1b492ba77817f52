use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::BAD_INPUT;
use crate::catalogue::Catalogue;
use crate::components::{Prepared, Summary, simulate};
use crate::input::{Document, Problems};
use crate::scenario;

/// Run one replication of a scenario and say how it went
///
/// Example: kilopod run experiments/scenarios/thousand-pods.toml --set WARM_IP_TARGET=1 --seed 7
#[derive(clap::Args)]
pub struct Arguments {
    /// The scenario
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 0, value_name = "N")]
    replication: u32,
    /// A key of the scenario; WARM_IP_TARGET=2 means cni.env.WARM_IP_TARGET
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub fn run(arguments: &Arguments) -> u8 {
    let path = &arguments.scenario;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            return BAD_INPUT;
        }
    };
    let mut problems = Problems::default();
    let mut document = Document::parse(&path.display().to_string(), &text, &mut problems);
    arguments.settings.iter().for_each(|setting| document.set(setting, &mut problems));
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    let read = match problems.is_empty() {
        true => scenario::read(&document, &name, folder, &Arc::new(Catalogue::compiled_in())),
        false => Err(problems.into_vec()),
    };
    match read {
        Ok(read) => {
            read.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            let target = read.scenario.target_pods;
            let horizon = read.scenario.horizon;
            let summary = simulate(&Prepared::new(read.scenario), arguments.seed, arguments.replication);
            super::print(&report(&summary, target, &format!("> {horizon}")))
        }
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            BAD_INPUT
        }
    }
}

fn report(summary: &Summary, target: u32, open: &str) -> String {
    let mut text = String::new();
    let when = |pods: u32| match summary.ready.get(pods.max(1) as usize - 1) {
        Some(at) => format!("{:.1} s", at.secs_f64()),
        None => open.to_string(),
    };
    let outcome = if summary.reached { "reached" } else { "not reached" };
    let share = |percent: u32| when((u64::from(target) * u64::from(percent)).div_ceil(100) as u32);
    let write = &mut text;
    let mut line = |name: &str, value: String| writeln!(write, "{name:<22}{value}").expect("text takes text");
    line(
        "pods Ready",
        format!(
            "{} of {target} ({outcome}), run ended at {:.1} s",
            summary.ready.len(),
            summary.ended.secs_f64()
        ),
    );
    line("time to 50 / 90 / 100 %", format!(" {} / {} / {}", share(50), share(90), share(100)));
    let types: Vec<String> =
        summary.nodes_by_type.iter().map(|(name, count)| format!("{count} {name}")).collect();
    line("nodes launched", types.join(", "));
    line(
        "addresses",
        format!(
            "{} attached, {} assigned to pods, {} wasted",
            summary.attached, summary.assigned, summary.wasted
        ),
    );
    for (name, free, least) in &summary.subnets {
        line(name, format!("{free} free, {least} at the least"));
    }
    line("EC2 calls", format!("{}, {} throttled", summary.ec2_calls, summary.ec2_throttles));
    line("sandboxes failed", summary.sandbox_failures.to_string());
    line("Karpenter rounds", summary.scheduling_rounds.to_string());
    line("cost", format!("{:.2} USD/h", summary.cost_per_hour_micro_usd as f64 / 1e6));
    line("events", summary.events.to_string());
    text
}
