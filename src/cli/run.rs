use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{FAILED, chart, ended, waited};
use crate::catalogue::Catalogue;
use crate::components::{JobTold, Prepared, Told, Unfinished, Wishes, tell};
use crate::input::ordered_toml;
use crate::results::{Kind, Measure, Outcome, measures};
use crate::scenario::{self, Scenario};
use crate::units::SimTime;
use crate::world::cause::Cause;

/// Run one replication of a scenario, or of a cell of an experiment, and say how it went
///
/// Examples:
///   kilopod run experiments/scenarios/thousand-pods.toml --set WARM_IP_TARGET=1 --seed 7
///   kilopod run experiments/thousand-pods --cell c0017 --replication 42 --trace events.jsonl
///
/// Exit code 0 also where the pods do not come up: a run that ends stuck or at its horizon is an answer. Scripts read `outcome` of --json, or state what they want as advice (`kilopod check`).
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// A scenario, or an experiment
    #[arg(value_name = "SCENARIO|EXPERIMENT")]
    scenario: PathBuf,
    /// Which cell of the experiment: c0017
    #[arg(long, value_name = "CELL")]
    cell: Option<String>,
    /// Seed of all chance; 1, or the experiment's own, if left out
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    replication: u32,
    /// A key of the scenario by its path, places in lists from 0 on: deployments.0.cpu=2 or deployments[0].cpu=2;
    /// WARM_IP_TARGET=2 means cni.env.WARM_IP_TARGET. Lists in TOML: 'zones=["us-east-1a"]'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Write every event with its reason, and the decisions that events led to, a JSON object a line
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Check all books after every event (slow)
    #[arg(long)]
    check: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Print the scenario as it would be run, with every default, itself a valid one
    #[arg(long)]
    show_config: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let cell = arguments.cell.as_deref();
    match super::subject::read(&arguments.scenario, cell, &arguments.settings, arguments.seed) {
        Ok(subject) if arguments.show_config => {
            let catalogue = Arc::new(Catalogue::compiled_in());
            let table = scenario::spelled_out(&subject.document, &subject.name, &subject.folder, &catalogue);
            super::print(&ordered_toml(&table, &subject.document.root))
        }
        Ok(subject) => show(arguments, Prepared::new(subject.scenario), subject.seed),
        Err(code) => code,
    }
}

fn show(arguments: &Arguments, prepared: Prepared, seed: u64) -> u8 {
    let wishes = Wishes {
        trace: arguments.trace.is_some(),
        history: true,
        check: arguments.check,
        ..Wishes::default()
    };
    let told = tell(&prepared, seed, arguments.replication, wishes);
    if let Some(path) = &arguments.trace
        && let Err(error) = std::fs::write(path, told.trace.join("\n") + "\n")
        // A reader that has seen enough (`--trace /dev/stdout | head`) is no failure.
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        say!("error: {}: {error}", path.display());
        return FAILED;
    }
    if let Some(path) = &arguments.trace {
        let (lines, events) = (told.trace.len() as u64, told.record.events);
        say!(
            "{} has {lines} lines: {events} events, and {} decisions that they led to",
            path.display(),
            lines - events
        );
    }
    match arguments.json {
        true => super::print_json(&as_json(&told, &prepared.scenario, seed)),
        false => super::print(&report(&told, &prepared.scenario)),
    }
}

/// The run by the columns of `replications.csv`, its nodes by type, its subnets, Jobs and rollouts that are not done.
fn as_json(told: &Told, scenario: &Scenario, seed: u64) -> Value {
    let record = &told.record;
    let number = |raw: u64, measure: &Measure| match measure.kind {
        Kind::Instant | Kind::Count => json!(raw),
        Kind::Usd | Kind::Hours => json!(raw as f64 / measure.scale()),
    };
    let measured = |measure: Measure| {
        let value = measure.raw(record).map(|raw| number(raw, &measure));
        (measure.column(), json!(value))
    };
    let subnets = scenario.subnets.iter().zip(&record.subnets).map(|(spec, subnet)| {
        json!({
            "subnet": spec.name, "free_at_end": subnet.free_at_end, "least_free": subnet.least_free,
            "free_blocks_at_end": subnet.free_blocks_at_end, "least_free_blocks": subnet.least_free_blocks,
            "first_dry_ms": subnet.first_dry_ms,
        })
    });
    let node = |(name, kind, count): &(String, &str, u32)| json!({"instance_type": name, "capacity_type": kind, "nodes": count});
    let job = |job: &JobTold| {
        let outcome = match job.ended {
            Some((true, _)) => "complete",
            Some((false, _)) => "failed",
            None => "unfinished",
        };
        json!({"job": job.name, "outcome": outcome, "after_ms": job.ended.map(|(_, after_ms)| after_ms)})
    };
    let unfinished = |rollout: &Unfinished| json!({"deployment": rollout.deployment, "began_ms": rollout.began.map(SimTime::millis)});
    json!({
        // As text: not every reader of JSON keeps 64 bits.
        "seed": seed.to_string(),
        "replication": record.replication,
        "target_pods": scenario.target_pods,
        "wanted_at_end": told.wanted_at_end,
        "horizon_ms": scenario.horizon.millis(),
        "outcome": record.outcome.name(),
        "reason": record.reason.map(Cause::name),
        "measures": measures().into_iter().map(measured).collect::<serde_json::Map<String, Value>>(),
        "nodes_by_type": record.nodes_by_type.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "nodes_launched": told.launched.iter().map(node).collect::<Vec<Value>>(),
        "subnets": subnets.collect::<Vec<Value>>(),
        "jobs": told.jobs.iter().map(job).collect::<Vec<Value>>(),
        "unfinished_rollouts": told.unfinished_rollouts.iter().map(unfinished).collect::<Vec<Value>>(),
        "trace_hash": format!("h{:016x}", record.trace_hash),
    })
}

const WIDTH: usize = 24;

/// `3 m5.large on-demand, 2 m5.xlarge spot`
fn launched(told: &Told) -> String {
    let nodes = told.launched.iter().map(|(name, kind, count)| format!("{count} {name} {kind}"));
    let nodes: Vec<String> = nodes.collect();
    if nodes.is_empty() { "none".to_string() } else { nodes.join(", ") }
}

fn report(told: &Told, scenario: &Scenario) -> String {
    let (record, target) = (&told.record, scenario.target_pods);
    let mut text = String::new();
    let open = format!("> {}", scenario.horizon);
    let when = |at: Option<u64>| at.map_or(open.clone(), |ms| format!("{:.1} s", ms as f64 / 1e3));
    let mut line =
        |name: &str, value: String| writeln!(text, "{name:<WIDTH$}{value}").expect("text takes text");
    let outcome = match (record.outcome, record.reason) {
        (Outcome::Reached, _) => "reached".to_string(),
        (outcome, Some(cause)) => format!("{}: most wait for {}", outcome.name(), cause.name()),
        (Outcome::Stuck, None) => "stuck: a Job has failed".to_string(),
        (outcome, None) => outcome.name().to_string(),
    };
    let counted = if told.jobs.is_empty() { "Ready" } else { "Ready or succeeded" };
    line(
        &format!("pods {counted}"),
        ended::short_of_target(told, target)
            .unwrap_or_else(|| format!("{} of {target} ({outcome})", record.pods_ready_at_end)),
    );
    ended::autoscalers(told, scenario).into_iter().for_each(|text| line("autoscaler wants", text));
    let times =
        [record.time_to_50pct_ms, record.time_to_90pct_ms, record.time_to_99pct_ms, record.time_to_target_ms];
    line("time to 50/90/99/100 %", times.map(when).join(" / "));
    line("nodes launched", launched(told));
    ended::nodes_and_pods(record).into_iter().for_each(|(name, text)| line(name, text));
    let last = record.timeline.last().copied().unwrap_or_default();
    let (attached, assigned) = (last.addresses_attached, last.addresses_assigned);
    let primaries = record.nodes + scenario.static_nodes.iter().map(|group| group.count).sum::<u32>();
    let wasted = i64::from(attached) - i64::from(assigned) - i64::from(primaries);
    line(
        "addresses at the end",
        format!("{attached} attached, {assigned} assigned to pods, {wasted} wasted"),
    );
    for (spec, subnet) in scenario.subnets.iter().zip(&record.subnets) {
        let dry = subnet
            .first_dry_ms
            .map_or(String::new(), |ms| format!("; first refused a request at {:.1} s", ms as f64 / 1e3));
        let mut free = format!("{} free, {} at the least", subnet.free_at_end, subnet.least_free);
        if let Some((now, least)) = subnet.free_blocks_at_end.zip(subnet.least_free_blocks) {
            free += &format!("; {now} whole /28 free, {least} at the least");
        }
        line(&spec.name, free + &dry);
    }
    let (calls, throttled) = record
        .api_counts
        .iter()
        .fold((0, 0), |(calls, throttled), count| (calls + count.calls, throttled + count.throttled));
    line("EC2 calls", format!("{calls}, {throttled} throttled"));
    line("sandboxes failed", record.sandbox_failures.to_string());
    line("capacity errors", record.capacity_errors.to_string());
    line("interruptions", record.interruptions.to_string());
    if let Some(jobs) = record.jobs {
        let ends = jobs.longest_ms.map_or_else(
            || job_ends(&told.jobs),
            |ms| format!("all complete, the longest after {:.1} s", ms as f64 / 1e3),
        );
        line("Jobs", format!("{} pods succeeded, {} failed; {ends}", jobs.succeeded, jobs.failed));
    }
    if let Some(ms) = record.rollout_ms {
        line("longest rollout", format!("{:.1} s", ms as f64 / 1e3));
    }
    if !told.unfinished_rollouts.is_empty() {
        line("unfinished rollouts", named(told.unfinished_rollouts.iter().map(begun)));
    }
    line("Karpenter rounds", record.scheduling_rounds.to_string());
    let usd = |micro: u64| format!("{:.2} USD", micro as f64 / 1e6);
    let mut cost = format!("{} until then", usd(record.cost_to_target_micro_usd));
    if record.cost_to_horizon_micro_usd != record.cost_to_target_micro_usd {
        cost += &format!(", {} by the horizon", usd(record.cost_to_horizon_micro_usd));
    }
    line("cost", format!("{cost}, {}/h", usd(record.cost_per_hour_micro_usd)));
    line("events", format!("{}, trace hash {:016x}", record.events, record.trace_hash));
    text + &format!(
        "\n{}\n{}\n{}",
        waited::chain(told),
        waited::by_cause(told),
        chart::pods(record, scenario, counted)
    )
}

/// `batch failed after 35.2 s; 2 not ended`
fn job_ends(jobs: &[JobTold]) -> String {
    let failed = jobs.iter().filter_map(|job| match job.ended {
        Some((false, after_ms)) => Some(format!("{} failed after {:.1} s", job.name, after_ms as f64 / 1e3)),
        _ => None,
    });
    let open = jobs.iter().filter(|job| job.ended.is_none()).count();
    let open = (open > 0).then(|| format!("{open} not ended"));
    [named(failed)].into_iter().filter(|text| !text.is_empty()).chain(open).collect::<Vec<_>>().join("; ")
}

/// `app (since 600.0 s)`
fn begun(rollout: &Unfinished) -> String {
    let since = rollout.began.map_or("not begun".to_string(), |at| format!("since {:.1} s", at.secs_f64()));
    format!("{} ({since})", rollout.deployment)
}

/// The first three, and how many more there are.
fn named(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(3);
    let first = all.into_iter().take(3).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}
