//! The rows of one cell in every table: estimates with their intervals from its replications.

use std::cmp::Ordering;
use std::fmt::Write;

use super::gathered::Gathered;
use super::measures::{Kind, Measure, measures};
use super::record::{ApiCount, Outcome, ReplicationRecord, TIMELINE_POINTS};
use super::tables::{QUANTILES, SERIES, TABLES, table_place};
use crate::statistics::{Bound, MeanInterval, Sorted, TFactors, Tally, clopper_pearson};
use crate::world::cause::Cause;

/// Two-sided, of every interval in the tables.
pub const CONFIDENCE: f64 = 0.95;

/// The measures that [`CellSummary`] is made of.
pub const SUMMARISED: [&str; 8] = [
    "time_to_target",
    "pods_ready",
    "nodes",
    "waste_at_target",
    "waste_average",
    "least_free",
    "cost_to_target",
    "cost_per_hour",
];

/// The rows of one cell, without headers, by [`super::tables::TABLES`].
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct CellRows {
    pub text: [String; TABLES.len()],
    pub rows: [u64; TABLES.len()],
}

/// A cell's figures for the terminal.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct CellSummary {
    pub reached: u64,
    pub replications: u64,
    /// (estimate, low, high) in ms; `None`: beyond the horizon, or too few replications.
    pub p50: [Option<u64>; 3],
    pub p95: [Option<u64>; 3],
    pub pods_ready: f64,
    pub nodes: f64,
    /// Waste at the target, or at the end where none reached it.
    pub waste: f64,
    pub least_free: u64,
    pub cost_to_target_usd: f64,
    pub cost_per_hour_usd: f64,
}

impl CellRows {
    /// A table's rows, the cell's keys before each; those of its replications are elsewhere.
    pub fn records(&self, table: &str) -> Vec<csv::StringRecord> {
        let text = self.text[table_place(table)].as_bytes();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
        reader.records().map(|record| record.expect("our own rows are CSV")).collect()
    }
    /// The same rows with others after them.
    pub fn append(&mut self, others: CellRows) {
        for (text, other) in self.text.iter_mut().zip(&others.text) {
            text.push_str(other);
        }
        self.rows.iter_mut().zip(others.rows).for_each(|(rows, other)| *rows += other);
    }
}

impl CellSummary {
    /// Of so many replications with these values of the measures of [`SUMMARISED`]: what [`cell_rows`] gave as they were run.
    pub fn of(replications: u64, measures: &[(Measure, Tally<u64>)]) -> CellSummary {
        let mut factors = TFactors::new(CONFIDENCE);
        let mut summary = CellSummary { replications, ..CellSummary::default() };
        for (measure, values) in measures {
            let sorted = values.sorted();
            if measure.name == "time_to_target" {
                // A run has a time if it got there, and only then.
                summary.reached = sorted.len() as u64;
                let three = |p| {
                    let found = sorted.interval(replications as usize, p, CONFIDENCE);
                    [found.estimate, found.low, found.high].map(Bound::value)
                };
                (summary.p50, summary.p95) = (three(0.5), three(0.95));
            } else {
                summary.note(measure, &sorted, values.mean(&mut factors));
            }
        }
        summary
    }

    /// Takes what a measure came to, if it is one of the figures that are no times; runs that reached the target are counted before.
    fn note(&mut self, measure: &Measure, sorted: &Sorted, mean: Option<MeanInterval>) {
        let average = mean.map_or(0.0, |mean| mean.mean / measure.scale());
        match measure.name.as_str() {
            "pods_ready" => self.pods_ready = average,
            "nodes" => self.nodes = average,
            "waste_at_target" if mean.is_some() => self.waste = average,
            "waste_average" if self.reached == 0 => self.waste = average,
            "least_free" => self.least_free = sorted.at(1).unwrap_or(0),
            "cost_to_target" => self.cost_to_target_usd = average,
            "cost_per_hour" => self.cost_per_hour_usd = average,
            _ => {}
        }
    }

    /// What is to be small: share not reached, 95th percentile of the time (beyond the horizon: the largest number),
    /// waste, cost to the target.
    fn costs(&self) -> [f64; 4] {
        let failed = 1.0 - self.reached as f64 / self.replications.max(1) as f64;
        let time = self.p95[0].map_or(f64::MAX, |ms| ms as f64);
        [failed, time, self.waste, self.cost_to_target_usd]
    }
}

/// By cell: does it ever reach the target, and is no other at least as good in everything and better in something?
pub fn pareto(cells: &[&CellSummary]) -> Vec<bool> {
    let costs: Vec<[f64; 4]> = cells.iter().map(|cell| cell.costs()).collect();
    not_beaten(&costs)
}

/// The same of what is to be small, by cell, the share of runs that fail first. What has never a target costs and wastes as
/// little as one likes.
pub fn not_beaten(costs: &[[f64; 4]]) -> Vec<bool> {
    let beats = |a: &[f64; 4], b: &[f64; 4]| a.iter().zip(b).all(|(a, b)| a <= b) && a != b;
    // What beats a cell stands before it in dictionary order, and so does something that nothing beats.
    let mut order: Vec<usize> = (0..costs.len()).collect();
    let compare = |a: &[f64; 4], b: &[f64; 4]| {
        a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    order.sort_by(|a, b| compare(&costs[*a], &costs[*b]));
    let mut best: Vec<usize> = Vec::new();
    for cell in order {
        if !best.iter().any(|other| beats(&costs[*other], &costs[cell])) {
            best.push(cell);
        }
    }
    let mut marks = vec![false; costs.len()];
    best.into_iter().for_each(|cell| marks[cell] = costs[cell][0] < 1.0);
    marks
}

/// Rows of replications that failed, given as (replication, message, replay).
pub fn failure_rows(keys: &[String], failures: &[(u32, String, String)]) -> CellRows {
    let mut rows = Rows::new(keys);
    for (replication, message, replay) in failures {
        rows.add("failures", &[replication.to_string(), message.clone(), replay.clone()]);
    }
    rows.finish()
}

/// Every row of a cell but those of its replications, each after the cell's keys, and its figures for the terminal.
///
/// # Panics
/// If the cell has no replication.
pub fn cell_rows(
    keys: &[String],
    horizon_ms: u64,
    subnets: &[String],
    of: &Gathered,
    factors: &mut TFactors,
) -> (CellRows, CellSummary) {
    let mut writer = Rows::new(keys);
    writer.rows[table_place("replications")] = of.replications;
    let summary = cell_row(&mut writer, of, factors);
    subnet_rows(&mut writer, subnets, of);
    node_rows(&mut writer, of);
    call_rows(&mut writer, of);
    timeline_rows(&mut writer, horizon_ms, of);
    (writer.finish(), summary)
}

/// Rows of `replications.csv`, which are written as they come: of many replications they would not fit into memory.
pub struct ReplicationRows {
    /// The cell's keys as they stand before each row, with a comma after each.
    keys: String,
    measures: Vec<Measure>,
}

impl ReplicationRows {
    pub fn new(keys: &[String]) -> Self {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // The field that is empty leaves the last comma.
        let fields = keys.iter().map(String::as_str).chain([""]);
        writer.write_record(fields).expect("a row is written to memory");
        let text = String::from_utf8(writer.into_inner().expect("memory takes all")).expect("keys are text");
        ReplicationRows { keys: text.trim_end_matches('\n').to_owned(), measures: measures() }
    }
    /// The rows of some replications as text. Behind the keys nothing needs quotes: names, numbers and a hash.
    pub fn text(&self, records: &[&ReplicationRecord]) -> String {
        let mut text = String::new();
        for record in records {
            let reason = record.reason.map_or("", Cause::name);
            let (keys, replication, outcome) = (&self.keys, record.replication, record.outcome.name());
            write!(text, "{keys}{replication},{outcome},{reason},").expect("a text takes all");
            for measure in &self.measures {
                if let Some(raw) = measure.raw(record) {
                    measure.print_to(raw, &mut text);
                }
                text.push(',');
            }
            writeln!(text, "h{:016x}", record.trace_hash).expect("a text takes all");
        }
        text
    }
}

/// Rows of all tables in the making.
struct Rows<'a> {
    keys: &'a [String],
    writers: [csv::Writer<Vec<u8>>; TABLES.len()],
    rows: [u64; TABLES.len()],
}

impl<'a> Rows<'a> {
    fn new(keys: &'a [String]) -> Self {
        let writer = |_| csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        Rows { keys, writers: std::array::from_fn(writer), rows: [0; TABLES.len()] }
    }
    fn add(&mut self, table: &str, fields: &[String]) {
        let table = table_place(table);
        let all = self.keys.iter().chain(fields);
        self.writers[table].write_record(all).expect("a row is written to memory");
        self.rows[table] += 1;
    }
    fn finish(self) -> CellRows {
        let text = |writer: csv::Writer<Vec<u8>>| {
            String::from_utf8(writer.into_inner().expect("memory takes all")).expect("fields are text")
        };
        CellRows { text: self.writers.map(text), rows: self.rows }
    }
}

fn print_option(measure: &Measure, raw: Option<u64>) -> String {
    raw.map_or(String::new(), |raw| measure.print(raw))
}

fn ppm(share: f64) -> String {
    format!("{:.0}", share * 1e6)
}

fn cell_row(rows: &mut Rows<'_>, of: &Gathered, factors: &mut TFactors) -> CellSummary {
    let n = of.replications;
    let mut fields = vec![n.to_string()];
    for outcome in [Outcome::Reached, Outcome::Stuck, Outcome::Horizon] {
        let share = clopper_pearson(of.with(outcome), n, CONFIDENCE);
        fields.extend([share.estimate, share.low, share.high].map(ppm));
    }
    fields.push(main_reason(&of.reasons));
    let mut summary =
        CellSummary { reached: of.with(Outcome::Reached), replications: n, ..CellSummary::default() };
    for (measure, values) in &of.measures {
        let sorted = values.sorted();
        if measure.kind == Kind::Instant {
            for (name, p) in [("p50", 0.5), ("p95", 0.95)] {
                let found = sorted.interval(n as usize, p, CONFIDENCE);
                let three = [found.estimate, found.low, found.high].map(Bound::value);
                fields.extend(three.map(|value| print_option(measure, value)));
                fields.push(u8::from(found.estimate == Bound::Beyond).to_string());
                if measure.name == "time_to_target" {
                    if name == "p50" { summary.p50 = three } else { summary.p95 = three }
                }
            }
            continue;
        }
        let mean = values.mean(factors);
        let ends =
            [mean.map(|m| m.mean), mean.and_then(|m| m.low_of_magnitudes()), mean.and_then(|m| m.high())];
        fields.extend(ends.map(|end| end.map_or(String::new(), |end| measure.print_mean(end))));
        fields.push(print_option(measure, sorted.quantile(0.95)));
        summary.note(measure, &sorted, mean);
    }
    fields.extend(cause_shares(&of.cause_pod_ms));
    rows.add("cells", &fields);
    summary
}

fn main_reason(reasons: &[u64; Cause::COUNT]) -> String {
    let count = |cause: &Cause| reasons[*cause as usize];
    let most = Cause::ALL.iter().max_by_key(|cause| (count(cause), std::cmp::Reverse(**cause)));
    most.filter(|cause| count(cause) > 0).map_or(String::new(), |cause| cause.name().to_string())
}

fn cause_shares(sums: &[u64; Cause::COUNT]) -> Vec<String> {
    let total = sums.iter().sum::<u64>().max(1);
    Cause::ALL.iter().map(|cause| ppm(sums[*cause as usize] as f64 / total as f64)).collect()
}

fn subnet_rows(rows: &mut Rows<'_>, subnets: &[String], of: &Gathered) {
    let n = of.replications as usize;
    for (name, subnet) in subnets.iter().zip(&of.subnets) {
        let (dry, least) = (subnet.first_dry_ms.sorted(), subnet.least_free.sorted());
        let median = dry.interval(n, 0.5, CONFIDENCE).estimate;
        let print = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
        rows.add(
            "subnets",
            &[
                name.clone(),
                ppm(dry.len() as f64 / n as f64),
                print(median.value()),
                u8::from(median == Bound::Beyond).to_string(),
                print(least.quantile(0.5)),
                print(least.at(1)),
            ],
        );
    }
}

fn node_rows(rows: &mut Rows<'_>, of: &Gathered) {
    let mut sorted: Vec<(&String, &(u64, u32))> = of.nodes_by_type.iter().collect();
    sorted.sort_by_key(|(name, (sum, _))| (std::cmp::Reverse(*sum), *name));
    for (name, (sum, most)) in sorted {
        let mean = *sum as f64 / of.replications as f64;
        rows.add("nodes", &[name.clone(), format!("{mean:.2}"), most.to_string()]);
    }
}

fn call_rows(rows: &mut Rows<'_>, of: &Gathered) {
    for ((api, caller), (sums, most)) in ApiCount::names().zip(of.api_counts) {
        if ApiCount::is_rare(api, caller) && most == 0 {
            continue;
        }
        let mean = |sum: u64| format!("{:.2}", sum as f64 / of.replications as f64);
        let counts = [mean(sums.calls), most.to_string(), mean(sums.throttled), mean(sums.refused)];
        let fields: Vec<String> = [api.to_string(), caller.to_string()].into_iter().chain(counts).collect();
        rows.add("ec2_calls", &fields);
    }
}

fn timeline_rows(rows: &mut Rows<'_>, horizon_ms: u64, of: &Gathered) {
    for (point, series) in of.timeline.chunks(SERIES.len()).enumerate() {
        let at = horizon_ms * point as u64 / (TIMELINE_POINTS as u64 - 1);
        let mut fields = vec![at.to_string()];
        for values in series {
            let sorted = values.sorted();
            fields.extend(QUANTILES.map(|(_, p)| sorted.quantile(p).unwrap_or(0).to_string()));
        }
        rows.add("timeline", &fields);
        // Where all runs have ended, later rows would repeat the last.
        if at >= of.ended_ms {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component};

    /// Against the rule as it is said, on random figures with many ties.
    #[test]
    fn what_no_other_beats_is_found_as_by_comparing_all_pairs() {
        for round in 0..50 {
            let chance = Chance::new(6, round);
            let figure = |cell, place| chance.below(Component::Resample, cell, place, 4) as f64 / 3.0;
            let costs: Vec<[f64; 4]> =
                (0..40).map(|cell| [0, 1, 2, 3].map(|place| figure(cell, place))).collect();
            let beaten = |cell: &[f64; 4]| {
                let at_least_as_good = |other: &&[f64; 4]| (0..4).all(|place| other[place] <= cell[place]);
                costs.iter().filter(at_least_as_good).any(|other| other != cell)
            };
            // What fails always is no way to go, whatever it saves.
            let marks: Vec<bool> = costs.iter().map(|cell| cell[0] < 1.0 && !beaten(cell)).collect();
            assert_eq!(not_beaten(&costs), marks, "round {round}");
        }
    }
}
