//! What a plan comes to before it is run: rows, time and widths of intervals, from a few replications of some cells.

use serde_json::{Value, json};

use super::comparisons::COMPARED;
use super::design::Plan;
use super::estimand::Estimand;
use super::sweep::{attempt, looks};
use crate::components::{Prepared, simulate};
use crate::results::rows::CONFIDENCE;
use crate::results::{ApiCount, ReplicationRecord, TIMELINE_POINTS};
use crate::scenario::{Profile, Scenario};
use crate::statistics::least_replications;

/// Cells that are tried, spread over the plan.
const PILOTS: usize = 10;
/// Replications of each, as far as the time allows; the first always.
const REPLICATIONS: u32 = 8;
/// After so many seconds no further replication of a cell is begun.
const SECONDS: f64 = 5.0;

/// What is to be expected.
#[derive(Clone, Debug)]
pub struct Forecast {
    pub replications: u64,
    /// Of one replication on one thread (s), on average.
    pub seconds_each: f64,
    /// Of cells tried, by the plan's order.
    pub pilots: Vec<Pilot>,
    /// Rows by table.
    pub rows: Vec<(&'static str, Rows)>,
    /// What is estimated.
    pub of: Estimand,
    pub warnings: Vec<String>,
}

/// A cell that was tried.
#[derive(Clone, PartialEq, Debug)]
pub struct Pilot {
    pub cell: String,
    pub replications: u32,
    /// Replications that reached the target.
    pub reached: u32,
    /// Replications that the cell is likely to need.
    pub likely: u32,
    /// The estimate, and half of the interval that these are likely to give, in the measure's unit; `None` where so few
    /// cannot tell.
    pub expected: Option<(f64, f64)>,
}

/// How many rows a table gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows {
    Exactly(u64),
    About(u64),
    AtMost(u64),
}

impl Rows {
    pub const fn count(self) -> u64 {
        match self {
            Rows::Exactly(count) | Rows::About(count) | Rows::AtMost(count) => count,
        }
    }
    /// Nothing, `about` or `at most`.
    pub const fn word(self) -> &'static str {
        match self {
            Rows::Exactly(_) => "",
            Rows::About(_) => "about",
            Rows::AtMost(_) => "at most",
        }
    }
}

impl Forecast {
    /// On so many threads (s).
    pub fn seconds(&self, threads: usize) -> f64 {
        self.seconds_each * self.replications as f64 / threads.max(1) as f64
    }
    pub fn to_json(&self, threads: usize) -> Value {
        let pilot = |pilot: &Pilot| {
            let (estimate, half_width) = pilot.expected.unzip();
            json!({
                "cell": pilot.cell, "replications": pilot.replications, "reached": pilot.reached, "likely": pilot.likely,
                "estimate": estimate, "half_width": half_width,
            })
        };
        let rows: serde_json::Map<String, Value> = self
            .rows
            .iter()
            .map(|(table, rows)| {
                (table.to_string(), json!({"rows": rows.count(), "exact": rows.word().is_empty()}))
            })
            .collect();
        json!({
            "replications": self.replications,
            "threads": threads,
            "seconds": self.seconds(threads),
            "seconds_each": self.seconds_each,
            "rows": rows,
            "measure": self.of.column(),
            "unit": self.of.measure.unit,
            "pilots": self.pilots.iter().map(pilot).collect::<Vec<Value>>(),
            "warnings": self.warnings,
        })
    }
}

/// Tries some cells of a plan. `seconds` is a clock (s).
pub fn forecast(plan: &Plan, seconds: &dyn Fn() -> f64) -> Forecast {
    let of = plan.precision.as_ref().map_or_else(Estimand::default, |precision| precision.of.clone());
    let step = plan.cells.len().div_ceil(PILOTS).max(1);
    let (mut pilots, mut types) = (Vec::new(), 0);
    let began = seconds();
    let mut ran = 0;
    for cell in plan.cells.iter().step_by(step) {
        let prepared = Prepared::new(cell.scenario.clone());
        let mut records: Vec<ReplicationRecord> = Vec::new();
        for replication in 0..REPLICATIONS.min(plan.replications) {
            if replication > 0 && seconds() - began > SECONDS {
                break;
            }
            records.extend(attempt(|| simulate(&prepared, plan.seed, replication)).ok());
            ran += 1;
        }
        types += records.iter().map(|record| record.nodes_by_type.len()).max().unwrap_or(0);
        let likely = likely(plan, &of, &records);
        pilots.push(Pilot {
            cell: cell.id(),
            replications: records.len() as u32,
            reached: records.iter().filter(|record| record.time_to_target_ms.is_some()).count() as u32,
            likely,
            expected: of.expected(&records, likely),
        });
    }
    let seconds_each = (seconds() - began) / f64::from(ran.max(1));
    let types = (types * plan.cells.len()).div_ceil(pilots.len().max(1)) as u64;
    let warnings = plan.warnings.iter().cloned().chain(warnings(plan, &pilots)).collect();
    let likely: u64 = pilots.iter().map(|pilot| u64::from(pilot.likely)).sum();
    let replications = (likely * plan.cells.len() as u64).div_ceil(pilots.len().max(1) as u64);
    Forecast { replications, seconds_each, rows: rows(plan, replications, types), pilots, of, warnings }
}

/// Replications that a cell needs, by a few of them: those of the first look at which its interval is likely to be narrow enough.
fn likely(plan: &Plan, of: &Estimand, few: &[ReplicationRecord]) -> u32 {
    let Some(precision) = &plan.precision else { return plan.replications };
    let enough = |look: &u32| match of.expected(few, *look) {
        Some((estimate, half)) => half <= precision.target * estimate.abs(),
        None => of.is_beyond(few),
    };
    looks(plan).into_iter().find(enough).unwrap_or(plan.replications)
}

fn rows(plan: &Plan, replications: u64, types: u64) -> Vec<(&'static str, Rows)> {
    let cells = plan.cells.len() as u64;
    let subnets = plan.cells.iter().map(|cell| cell.scenario.subnets.len() as u64).sum();
    let compared = match &plan.bases {
        None => cells.saturating_sub(1),
        Some(bases) => {
            (0..).zip(bases).filter(|(own, base)| base.is_some_and(|base| base != *own)).count() as u64
        }
    };
    // Calls of the VPC resource controller, TerminateInstances and Karpenter's DescribeInstances have rows where there are any.
    let always = |(api, caller): &(&str, &str)| !ApiCount::is_rare(api, caller);
    let any = |of: fn(&Scenario) -> bool| plan.cells.iter().any(|cell| of(&cell.scenario));
    let more = u64::from(any(Scenario::may_terminate)) + u64::from(any(|of| of.profile == Profile::Nov2022));
    let calls = match ApiCount::names().filter(always).count() as u64 {
        _ if any(|of| of.cni.pod_eni) => Rows::AtMost(cells * ApiCount::names().count() as u64),
        least if more > 0 => Rows::AtMost(cells * (least + more)),
        least => Rows::Exactly(cells * least),
    };
    vec![
        (
            "replications",
            if plan.precision.is_some() { Rows::About(replications) } else { Rows::Exactly(replications) },
        ),
        ("cells", Rows::Exactly(cells)),
        ("subnets", Rows::Exactly(subnets)),
        ("nodes", Rows::About(types)),
        ("ec2_calls", calls),
        ("timeline", Rows::AtMost(cells * TIMELINE_POINTS as u64)),
        ("comparisons", Rows::Exactly(compared * COMPARED.len() as u64)),
    ]
}

/// What so many replications cannot tell, and cells that do not seem to get there.
fn warnings(plan: &Plan, pilots: &[Pilot]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, p) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let least = least_replications(p, CONFIDENCE);
        // A cell may stop at its first look.
        let least_run = looks(plan)[0];
        if (least_run as usize) < least {
            warnings.push(format!("{name} with {least_run} replications has no upper bound: needs {least}"));
        }
    }
    let never: Vec<&str> =
        pilots.iter().filter(|pilot| pilot.reached == 0).map(|pilot| pilot.cell.as_str()).collect();
    if !never.is_empty() {
        warnings.push(format!(
            "of {} cells tried {} never reach the target: {}",
            pilots.len(),
            never.len(),
            never.join(", ")
        ));
    }
    warnings
}
