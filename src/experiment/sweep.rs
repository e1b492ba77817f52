//! Every replication of every cell, on as many threads as there are; results depend on neither their number nor
//! their order.

use rayon::prelude::*;

use super::design::{Cell, Plan};
use super::folder::{Folder, FolderError};
use super::meta::Shard;
use crate::components::{Prepared, simulate};
use crate::results::ReplicationRecord;
use crate::results::rows::{CONFIDENCE, CellRows, CellSummary, cell_rows};
use crate::results::tables::{CellKeys, Column, ColumnType};
use crate::statistics::TFactors;

/// A cell with all its replications done.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Finished {
    pub rows: CellRows,
    pub summary: CellSummary,
}

/// The columns that identify a cell.
pub fn cell_keys(plan: &Plan) -> CellKeys {
    let text =
        |name: String, meaning: String| Column { name, kind: ColumnType::Text, unit: String::new(), meaning };
    let mut columns = vec![text("cell_id".into(), "The cell.".into())];
    for factor in &plan.factors {
        columns.push(text(factor.name.clone(), format!("Level of the factor {}.", factor.name)));
    }
    for factor in &plan.factors {
        for key in &factor.keys {
            let name = key.strip_prefix("cni.env.").unwrap_or(key).replace('.', "_");
            columns.push(text(name, format!("What the level sets {key} to; empty: left alone.")));
        }
    }
    CellKeys { columns }
}

fn keys_of(cell: &Cell) -> Vec<String> {
    let mut keys = vec![cell.id()];
    keys.extend(cell.labels.iter().chain(&cell.values).cloned());
    keys
}

/// Runs what `folder` does not have already of the plan, or of a part of it, and keeps each cell there as it finishes. `done` hears of each
/// replication.
///
/// # Errors
/// If a finished cell cannot be kept.
pub fn sweep(
    plan: &Plan,
    shard: Option<Shard>,
    folder: &Folder,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<(String, Finished)>, FolderError> {
    let wanted = |(index, _): &(usize, &Cell)| shard.is_none_or(|shard| shard.has(*index));
    plan.cells
        .par_iter()
        .enumerate()
        .filter(wanted)
        .map(|(_, cell)| {
            let id = cell.id();
            if let Some(finished) = folder.load(&id) {
                done(u64::from(plan.replications));
                return Ok((id, finished));
            }
            let finished = run_cell(plan, cell, done);
            folder.store(&id, &finished)?;
            Ok((id, finished))
        })
        .collect()
}

fn run_cell(plan: &Plan, cell: &Cell, done: &(dyn Fn(u64) + Sync)) -> Finished {
    let prepared = Prepared::new(cell.scenario.clone());
    let one = |replication| {
        let record = simulate(&prepared, plan.seed, replication);
        done(1);
        record
    };
    let records: Vec<ReplicationRecord> = (0..plan.replications).into_par_iter().map(one).collect();
    let subnets: Vec<String> = cell.scenario.subnets.iter().map(|subnet| subnet.name.clone()).collect();
    let horizon = cell.scenario.horizon.millis();
    let mut factors = TFactors::new(CONFIDENCE);
    let (rows, summary) = cell_rows(&keys_of(cell), horizon, &subnets, &records, &mut factors);
    Finished { rows, summary }
}
