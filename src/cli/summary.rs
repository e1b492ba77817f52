//! What `sweep` and `merge` both tell: the cells as JSON, and the files.

use std::path::Path;

use serde_json::{Value, json};

use crate::experiment::{Finished, Meta};
use crate::results::tables::TABLES;

/// What a sweep came to: its folder and plan, and the figures of each cell. Times that lie beyond the horizon and ends that too few
/// replications give are null.
pub(super) fn as_json<'a>(
    folder: &Path,
    meta: &Meta,
    cells: impl IntoIterator<Item = (&'a String, &'a Finished)>,
) -> String {
    let cells: Vec<(&String, &Finished)> = cells.into_iter().collect();
    let answer = json!({
        "folder": folder.display().to_string(),
        "plan_id": meta.plan_id,
        "name": meta.name,
        "seed": meta.seed,
        "failures": cells.iter().map(|(_, cell)| cell.failures).sum::<u64>(),
        "cells": cells.iter().map(|(id, cell)| of_cell(meta, id, cell)).collect::<Vec<Value>>(),
    });
    serde_json::to_string_pretty(&answer).expect("JSON is text") + "\n"
}

/// The line that names a folder's files.
pub(super) fn files(folder: &Path) -> String {
    let tables = TABLES.map(|(name, _)| format!("{name}.csv")).join(", ");
    format!("{}: report.html, results.xlsx, {tables}, manifest.json, datapackage.json\n", folder.display())
}

fn of_cell(meta: &Meta, id: &str, cell: &Finished) -> Value {
    let place = meta.cell_ids.iter().position(|known| known == id).expect("a cell of the plan");
    let levels: serde_json::Map<String, Value> =
        meta.factors.iter().cloned().zip(meta.labels[place].iter().map(|label| json!(label))).collect();
    let s = &cell.summary;
    let three = |three: &[Option<u64>; 3]| json!({"estimate": three[0], "low": three[1], "high": three[2]});
    json!({
        "cell_id": id,
        "levels": levels,
        "replications": s.replications,
        "failures": cell.failures,
        "stopped_by": cell.stopped_by.name(),
        "reached": s.reached,
        "time_to_target_p50_ms": three(&s.p50),
        "time_to_target_p95_ms": three(&s.p95),
        "pods_ready": s.pods_ready,
        "nodes": s.nodes,
        "waste_addresses": s.waste,
        "least_free_addresses": s.least_free,
        "cost_to_target_usd": s.cost_to_target_usd,
        "cost_per_hour_usd": s.cost_per_hour_usd,
    })
}
