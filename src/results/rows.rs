//! The rows of one cell in every table: estimates with their intervals from its replications.

use std::cmp::Ordering;

use super::measures::{Kind, Measure, measures};
use super::record::{ApiCount, Outcome, RESOURCE_CONTROLLER, ReplicationRecord, TIMELINE_POINTS};
use super::tables::{QUANTILES, SERIES, Series, TABLES, is_cause, table_place};
use crate::statistics::{
    Bound, MeanInterval, QuantileInterval, TFactors, clopper_pearson, quantile_of_sorted,
};
use crate::world::cause::Cause;

/// Two-sided, of every interval in the tables.
pub const CONFIDENCE: f64 = 0.95;

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
    /// A table's rows, the cell's keys before each.
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
    /// What is to be small: share not reached, 95th percentile of the time (beyond the horizon: the largest number),
    /// waste, cost to the target.
    fn costs(&self) -> [f64; 4] {
        let failed = 1.0 - self.reached as f64 / self.replications.max(1) as f64;
        let time = self.p95[0].map_or(f64::MAX, |ms| ms as f64);
        [failed, time, self.waste, self.cost_to_target_usd]
    }
}

/// By cell: is no other at least as good in everything and better in something?
pub fn pareto(cells: &[&CellSummary]) -> Vec<bool> {
    let costs: Vec<[f64; 4]> = cells.iter().map(|cell| cell.costs()).collect();
    not_beaten(&costs)
}

/// The same of what is to be small, by cell.
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
    best.into_iter().for_each(|cell| marks[cell] = true);
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

/// Every row of a cell, each after the cell's keys, and its figures for the terminal.
pub fn cell_rows(
    keys: &[String],
    horizon_ms: u64,
    subnets: &[String],
    records: &[ReplicationRecord],
    factors: &mut TFactors,
) -> (CellRows, CellSummary) {
    let mut writer = Rows::new(keys);
    replication_rows(&mut writer, records);
    let summary = cell_row(&mut writer, records, factors);
    subnet_rows(&mut writer, subnets, records);
    node_rows(&mut writer, records);
    call_rows(&mut writer, records);
    timeline_rows(&mut writer, horizon_ms, records);
    (writer.finish(), summary)
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

fn replication_rows(rows: &mut Rows<'_>, records: &[ReplicationRecord]) {
    let all = measures();
    for record in records {
        let mut fields = vec![
            record.replication.to_string(),
            record.outcome.name().to_string(),
            record.reason.map_or(String::new(), |cause| cause.name().to_string()),
        ];
        fields.extend(all.iter().map(|measure| print_option(measure, measure.raw(record))));
        fields.push(format!("h{:016x}", record.trace_hash));
        rows.add("replications", &fields);
    }
}

fn print_option(measure: &Measure, raw: Option<u64>) -> String {
    raw.map_or(String::new(), |raw| measure.print(raw))
}

fn ppm(share: f64) -> String {
    format!("{:.0}", share * 1e6)
}

fn cell_row(rows: &mut Rows<'_>, records: &[ReplicationRecord], factors: &mut TFactors) -> CellSummary {
    let n = records.len();
    let mut fields = vec![n.to_string()];
    let with = |outcome| records.iter().filter(|record| record.outcome == outcome).count() as u64;
    for outcome in [Outcome::Reached, Outcome::Stuck, Outcome::Horizon] {
        let share = clopper_pearson(with(outcome), n as u64, CONFIDENCE);
        fields.extend([share.estimate, share.low, share.high].map(ppm));
    }
    fields.push(main_reason(records));
    let mut summary = CellSummary {
        reached: with(Outcome::Reached),
        replications: n as u64,
        p50: [None; 3],
        p95: [None; 3],
        pods_ready: 0.0,
        nodes: 0.0,
        waste: 0.0,
        least_free: 0,
        cost_to_target_usd: 0.0,
        cost_per_hour_usd: 0.0,
    };
    for measure in measures().iter().filter(|measure| !is_cause(measure)) {
        let raw: Vec<Option<u64>> = records.iter().map(|record| measure.raw(record)).collect();
        let mut finite: Vec<u64> = raw.iter().flatten().copied().collect();
        if measure.kind == Kind::Instant {
            finite.sort_unstable();
            for (name, p) in [("p50", 0.5), ("p95", 0.95)] {
                let found = QuantileInterval::of_sorted(&finite, n, p, CONFIDENCE);
                let three = [found.estimate, found.low, found.high].map(Bound::value);
                fields.extend(three.map(|value| print_option(measure, value)));
                fields.push(u8::from(found.estimate == Bound::Beyond).to_string());
                if measure.name == "time_to_target" {
                    if name == "p50" { summary.p50 = three } else { summary.p95 = three }
                }
            }
            continue;
        }
        let values: Vec<f64> = finite.iter().map(|raw| *raw as f64).collect();
        let mean = MeanInterval::of(&values, factors);
        let ends = [mean.map(|m| m.mean), mean.and_then(|m| m.low()), mean.and_then(|m| m.high())];
        fields.extend(ends.map(|end| end.map_or(String::new(), |end| measure.print_mean(end))));
        finite.sort_unstable();
        let p95 = (!finite.is_empty()).then(|| quantile_of_sorted(&finite, 0.95));
        fields.push(print_option(measure, p95));
        let average = mean.map_or(0.0, |mean| mean.mean / measure.scale());
        match measure.name.as_str() {
            "pods_ready" => summary.pods_ready = average,
            "nodes" => summary.nodes = average,
            "waste_at_target" if mean.is_some() => summary.waste = average,
            "waste_average" if summary.reached == 0 => summary.waste = average,
            "least_free" => summary.least_free = finite.first().copied().unwrap_or(0),
            "cost_to_target" => summary.cost_to_target_usd = average,
            "cost_per_hour" => summary.cost_per_hour_usd = average,
            _ => {}
        }
    }
    fields.extend(cause_shares(records));
    rows.add("cells", &fields);
    summary
}

fn main_reason(records: &[ReplicationRecord]) -> String {
    let count = |cause: &Cause| records.iter().filter(|record| record.reason == Some(*cause)).count();
    let most = Cause::ALL.iter().max_by_key(|cause| (count(cause), std::cmp::Reverse(**cause)));
    most.filter(|cause| count(cause) > 0).map_or(String::new(), |cause| cause.name().to_string())
}

fn cause_shares(records: &[ReplicationRecord]) -> Vec<String> {
    let sum = |cause: Cause| records.iter().map(|record| record.cause_pod_ms[cause as usize]).sum::<u64>();
    let sums = Cause::ALL.map(sum);
    let total = sums.iter().sum::<u64>().max(1);
    sums.iter().map(|sum| ppm(*sum as f64 / total as f64)).collect()
}

fn subnet_rows(rows: &mut Rows<'_>, subnets: &[String], records: &[ReplicationRecord]) {
    let n = records.len();
    for (index, name) in subnets.iter().enumerate() {
        let of = || records.iter().map(|record| &record.subnets[index]);
        let mut dry: Vec<u64> = of().filter_map(|subnet| subnet.first_dry_ms).collect();
        dry.sort_unstable();
        let median = QuantileInterval::of_sorted(&dry, n, 0.5, CONFIDENCE).estimate;
        let mut least: Vec<u32> = of().map(|subnet| subnet.least_free).collect();
        least.sort_unstable();
        rows.add(
            "subnets",
            &[
                name.clone(),
                ppm(dry.len() as f64 / n as f64),
                median.value().map_or(String::new(), |ms| ms.to_string()),
                u8::from(median == Bound::Beyond).to_string(),
                quantile_of_sorted(&least, 0.5).to_string(),
                least[0].to_string(),
            ],
        );
    }
}

fn node_rows(rows: &mut Rows<'_>, records: &[ReplicationRecord]) {
    let mut by_type = std::collections::BTreeMap::<&str, (u64, u32)>::new();
    for (name, count) in records.iter().flat_map(|record| &record.nodes_by_type) {
        let slot = by_type.entry(name).or_default();
        *slot = (slot.0 + u64::from(*count), slot.1.max(*count));
    }
    let mut sorted: Vec<(&str, (u64, u32))> = by_type.into_iter().collect();
    sorted.sort_by_key(|(name, (sum, _))| (std::cmp::Reverse(*sum), *name));
    for (name, (sum, most)) in sorted {
        let mean = sum as f64 / records.len() as f64;
        rows.add("nodes", &[name.to_string(), format!("{mean:.2}"), most.to_string()]);
    }
}

fn call_rows(rows: &mut Rows<'_>, records: &[ReplicationRecord]) {
    for (place, (api, caller)) in ApiCount::names().enumerate() {
        let of = || records.iter().map(|record| record.api_counts[place]);
        let mean = |get: fn(ApiCount) -> u64| {
            format!("{:.2}", of().map(get).sum::<u64>() as f64 / records.len() as f64)
        };
        let most = of().map(|count| count.calls).max().unwrap_or(0);
        if caller == RESOURCE_CONTROLLER && most == 0 {
            continue;
        }
        let counts = [mean(|c| c.calls), most.to_string(), mean(|c| c.throttled), mean(|c| c.refused)];
        let fields: Vec<String> = [api.to_string(), caller.to_string()].into_iter().chain(counts).collect();
        rows.add("ec2_calls", &fields);
    }
}

fn timeline_rows(rows: &mut Rows<'_>, horizon_ms: u64, records: &[ReplicationRecord]) {
    // Where all runs have ended, later rows would repeat the last.
    let last = records.iter().map(|record| record.ended_ms).max().unwrap_or(0);
    let mut values = Vec::with_capacity(records.len());
    for point in 0..TIMELINE_POINTS {
        let at = horizon_ms * point as u64 / (TIMELINE_POINTS as u64 - 1);
        let mut fields = vec![at.to_string()];
        for Series { get, .. } in SERIES {
            values.clear();
            values.extend(records.iter().map(|record| get(&record.timeline[point])));
            values.sort_unstable();
            fields.extend(QUANTILES.map(|(_, p)| quantile_of_sorted(&values, p).to_string()));
        }
        rows.add("timeline", &fields);
        if at >= last {
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
            let figure = |cell, place| chance.below(Component::Resample, cell, place, 4) as f64;
            let costs: Vec<[f64; 4]> =
                (0..40).map(|cell| [0, 1, 2, 3].map(|place| figure(cell, place))).collect();
            let beaten = |cell: &[f64; 4]| {
                let at_least_as_good = |other: &&[f64; 4]| (0..4).all(|place| other[place] <= cell[place]);
                costs.iter().filter(at_least_as_good).any(|other| other != cell)
            };
            let marks: Vec<bool> = costs.iter().map(|cell| !beaten(cell)).collect();
            assert_eq!(not_beaten(&costs), marks, "round {round}");
        }
    }
}
