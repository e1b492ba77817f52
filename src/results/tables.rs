//! The tables of a sweep and their columns; `rows` fills them.

use super::measures::{Kind, Measure, measures};
use super::record::TimelinePoint;
use crate::world::cause::Cause;

/// What stands in a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum ColumnType {
    Text,
    Integer,
    Number,
}

/// A column of a table.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    /// Empty where there is none.
    pub unit: String,
    pub meaning: String,
}

/// The tables, by file.
pub const TABLES: [(&str, &str); 9] = [
    ("replications", "One row a replication of a cell: what happened."),
    ("cells", "One row a cell: estimates with their 95 % intervals."),
    ("subnets", "One row a subnet of a cell: when it ran dry, how little it had left."),
    ("nodes", "One row an instance type of a cell: how many were launched."),
    ("ec2_calls", "One row an API of EC2 of a cell: who called it how often, and how that went."),
    ("timeline", "One row an instant of a cell, at most 181: pods, nodes and addresses over time."),
    (
        "comparisons",
        "One row a measure of each cell but the one compared with, which is the first unless the experiment says `compare_with`: how it differs from that one, pair by pair of replications.",
    ),
    (
        "effects",
        "One row a level of a factor, or a pair of levels, and a measure: what it adds to the mean over all cells, and a pair to what its levels add alone. Of full grids only.",
    ),
    (
        "failures",
        "One row a replication that failed, which no other table counts: why, and how to see it again.",
    ),
];

/// What identifies a cell in every table: its id, each factor's label, each key a factor sets.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct CellKeys {
    pub columns: Vec<Column>,
}

pub(super) fn column(
    name: impl Into<String>,
    kind: ColumnType,
    unit: &str,
    meaning: impl Into<String>,
) -> Column {
    Column { name: name.into(), kind, unit: unit.to_string(), meaning: meaning.into() }
}

/// A line of the timeline.
pub(super) struct Series {
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    pub(super) get: fn(&TimelinePoint) -> u32,
}

const fn series(
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    get: fn(&TimelinePoint) -> u32,
) -> Series {
    Series { name, unit, meaning, get }
}

pub(super) const SERIES: [Series; 8] = [
    series("pending", "pods", "Pods wanted and not Running.", |p| p.pods_pending),
    series(
        "running",
        "pods",
        "Pods Running, as N counts them: those Ready included, and of a Job those that have succeeded.",
        |p| p.pods_running,
    ),
    series("ready", "pods", "Pods Ready, as N counts them.", |p| p.pods_ready),
    series("nodes", "", "Karpenter's nodes with an instance.", |p| p.nodes),
    series("attached", "addresses", "Addresses on ENIs.", |p| p.addresses_attached),
    series("assigned", "addresses", "Addresses held by pods.", |p| p.addresses_assigned),
    series("free", "addresses", "Addresses free in all subnets.", |p| p.addresses_free),
    series("cost_per_hour", "cents", "What Karpenter's nodes cost an hour.", |p| p.cents_per_hour),
];
pub(super) const QUANTILES: [(&str, f64); 3] = [("p5", 0.05), ("p50", 0.50), ("p95", 0.95)];

/// The place of a table in [`TABLES`].
///
/// # Panics
/// If there is no such table.
pub fn table_place(table: &str) -> usize {
    TABLES
        .iter()
        .position(|(name, _)| *name == table)
        .unwrap_or_else(|| panic!("there is no table {table:?}"))
}

/// The place of a table's column after the cell's keys.
///
/// # Panics
/// If the table has no such column.
pub fn column_place(table: &str, name: &str) -> usize {
    let place = columns(table).iter().position(|column| column.name == name);
    place.unwrap_or_else(|| panic!("{table} has no column {name:?}"))
}

/// Columns of a table beside the cell's keys.
pub fn columns(table: &str) -> Vec<Column> {
    use ColumnType::{Integer, Text};
    match table {
        "replications" => {
            let mut all = vec![
                column("replication", Integer, "", "Number of the replication, from 0."),
                column("outcome", Text, "", "reached, stuck (nothing pending can help any more) or horizon."),
                column("reason", Text, "", "What most pods waited for at the end; empty if reached."),
            ];
            all.extend(measures().iter().map(|measure| {
                column(measure.column(), measure_type(measure), measure.unit, measure.meaning.as_str())
            }));
            all.push(column("trace_hash", Text, "", "Hash of every event in order, after the letter h."));
            all
        }
        "cells" => cell_columns(),
        "subnets" => vec![
            column("subnet", Text, "", "The subnet."),
            column("dry_share_ppm", Integer, "ppm", "Share of replications in which it refused a request."),
            column(
                "first_dry_p50_ms",
                Integer,
                "ms",
                "Median time of its first refusal; empty if half the runs had none.",
            ),
            column("first_dry_p50_open", Integer, "", "1 if the median lies beyond the end of the runs."),
            column("least_free_p50_addresses", Integer, "addresses", "Median of the least free addresses."),
            column("least_free_min_addresses", Integer, "addresses", "The least of all replications."),
        ],
        "nodes" => vec![
            column("instance_type", Text, "", "The type."),
            column(
                "launched_mean",
                ColumnType::Number,
                "",
                "Instances launched in a replication, on average.",
            ),
            column("launched_max", Integer, "", "The most in any replication."),
        ],
        "ec2_calls" => {
            let mean = |name: &str, meaning: &str| column(name, ColumnType::Number, "", meaning);
            vec![
                column("api", Text, "", "The call."),
                column("caller", Text, "", "Who makes it."),
                mean("calls_mean", "Calls in a replication, retries included, on average."),
                column("calls_max", Integer, "", "The most in any replication."),
                mean("throttled_mean", "Of these, refused for the account's request limits."),
                mean("refused_mean", "Of these, refused for want of addresses, capacity or quota."),
            ]
        }
        "timeline" => {
            let mut all = vec![column("time_ms", Integer, "ms", "Since the scale command.")];
            for Series { name, unit, meaning, .. } in SERIES {
                for (quantile, _) in QUANTILES {
                    let parts = [name, quantile, unit];
                    let name: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                    all.push(column(
                        name.join("_"),
                        Integer,
                        unit,
                        format!("{meaning} {quantile} over replications."),
                    ));
                }
            }
            all
        }
        "comparisons" => vec![
            column("base_cell_id", Text, "", "The cell compared with."),
            column("measure", Text, "", "What is compared; always there, also in runs that do not reach."),
            column("unit", Text, "", "Unit of the differences."),
            column("pairs", Integer, "", "Replications that both cells have."),
            column("difference_mean", ColumnType::Number, "", "Mean of this cell's value minus the other's."),
            column(
                "difference_mean_lo",
                ColumnType::Number,
                "",
                "Lower end of its 95 % interval, for this row alone.",
            ),
            column(
                "difference_mean_hi",
                ColumnType::Number,
                "",
                "Upper end of its 95 % interval, for this row alone.",
            ),
            column(
                "difference_all_lo",
                ColumnType::Number,
                "",
                "Lower end of an interval that holds for all cells at once.",
            ),
            column(
                "difference_all_hi",
                ColumnType::Number,
                "",
                "Upper end of an interval that holds for all cells at once.",
            ),
            column(
                "pairing_gain",
                ColumnType::Number,
                "",
                "How many times more runs unpaired replications would need.",
            ),
            column(
                "variance_saved_ppm",
                Integer,
                "ppm",
                "Share of the variance of independent replications' difference that common chance saves; below 0: it did harm.",
            ),
            column(
                "ratio_of_means",
                ColumnType::Number,
                "",
                "This cell's mean over the other's; empty where the other's may be 0.",
            ),
            column(
                "ratio_lo",
                ColumnType::Number,
                "",
                "Lower end of its 95 % interval (Fieller's), for this row alone.",
            ),
            column("ratio_hi", ColumnType::Number, "", "Upper end of its 95 % interval, for this row alone."),
            column(
                "ratio_all_lo",
                ColumnType::Number,
                "",
                "Lower end of an interval that holds for all cells at once.",
            ),
            column(
                "ratio_all_hi",
                ColumnType::Number,
                "",
                "Upper end of an interval that holds for all cells at once.",
            ),
        ],
        "effects" => vec![
            column(
                "measure",
                Text,
                "",
                "Whose means are taken apart; always there, also in runs that do not reach.",
            ),
            column("unit", Text, "", "Unit of the effect."),
            column(
                "term",
                Text,
                "",
                "A factor, or two of them; the cell's columns of factors hold the levels.",
            ),
            column("levels", Text, "", "The levels in one."),
            column(
                "effect",
                ColumnType::Number,
                "",
                "What they add to the mean; the effects of a factor sum to 0.",
            ),
            column(
                "variance_share_ppm",
                Integer,
                "ppm",
                "Share of the cells' sum of squares that the whole term explains; what all terms leave is due to three factors and more.",
            ),
        ],
        "failures" => vec![
            column("replication", Integer, "", "Number of the replication."),
            column("message", Text, "", "What the program said."),
            column(
                "replay",
                Text,
                "",
                "The command that runs it alone, where the input that manifest.json holds is kept in the file that it names.",
            ),
        ],
        other => panic!("there is no table {other:?}"),
    }
}

fn measure_type(measure: &Measure) -> ColumnType {
    match measure.kind {
        Kind::Instant | Kind::Count => ColumnType::Integer,
        Kind::Usd | Kind::Hours => ColumnType::Number,
    }
}

/// Is it one of the times that pods waited for a cause? Cells have their shares instead.
pub(crate) fn is_cause(measure: &Measure) -> bool {
    measure.name.starts_with("waited_")
}

/// What an estimate's other two columns are.
const INTERVAL_LOW: &str = ", lower end of its 95 % interval";
const INTERVAL_HIGH: &str = ", upper end of its 95 % interval";

fn cell_columns() -> Vec<Column> {
    use ColumnType::{Integer, Number, Text};
    let mut all = vec![column("replications", Integer, "", "Replications of the cell.")];
    for (outcome, meaning) in [
        ("reached", "Share of replications that reached the target."),
        ("stuck", "Share in which nothing that was pending could help any more."),
        ("horizon", "Share that met the horizon first."),
    ] {
        for end in ["", "lo_", "hi_"] {
            all.push(column(format!("{outcome}_share_{end}ppm"), Integer, "ppm", meaning));
        }
    }
    all.push(column(
        "reason",
        Text,
        "",
        "What most unreached runs waited for at the end; empty if all reached.",
    ));
    for measure in measures().iter().filter(|measure| !is_cause(measure)) {
        let kind = measure_type(measure);
        let about = measure.meaning.as_str();
        if measure.kind == Kind::Instant {
            for (quantile, name) in [("p50", "Median"), ("p95", "95th percentile")] {
                for (end, of) in [("", ""), ("_lo", INTERVAL_LOW), ("_hi", INTERVAL_HIGH)] {
                    let about = format!("{name} over replications{of}. {about}");
                    all.push(column(measure.with(&format!("{quantile}{end}")), Integer, measure.unit, about));
                }
                all.push(column(
                    format!("{}_{quantile}_open", measure.name),
                    Integer,
                    "",
                    "1 if the quantile lies beyond the horizon; then it is empty.",
                ));
            }
        } else {
            for (end, of) in [("mean", ""), ("mean_lo", INTERVAL_LOW), ("mean_hi", INTERVAL_HIGH)] {
                let about = format!("Mean over replications{of}. {about}");
                all.push(column(measure.with(end), Number, measure.unit, about));
            }
            let about = format!("95th percentile over replications. {about}");
            all.push(column(measure.with("p95"), kind, measure.unit, about));
        }
    }
    all.extend(Cause::ALL.map(|cause| {
        let about =
            format!("Share of all waiting of all pods that was for {}.", cause.name().replace('_', " "));
        column(format!("waited_{}_share_ppm", cause.name()), Integer, "ppm", about)
    }));
    all.push(column(
        "pareto",
        Integer,
        "",
        "1 if the cell ever reaches the target and no other is at least as good in all of: share reached, 95th percentile of the time, waste and cost at the target; and better in one.",
    ));
    all.push(column(
        "pareto_share_ppm",
        Integer,
        "ppm",
        "Share of 200 resamples of the replications, the same ones for all cells, in which that is so.",
    ));
    all
}

/// The header line of a table.
pub fn header(table: &str, keys: &CellKeys) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let own = columns(table);
    let names = keys.columns.iter().chain(&own).map(|column| column.name.as_str());
    writer.write_record(names).expect("a header is written to memory");
    String::from_utf8(writer.into_inner().expect("memory takes all")).expect("names are text")
}
