//! Every replication of every cell, on as many threads as there are; results depend on neither their number nor
//! their order.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;

use super::design::{Cell, Plan};
use super::folder::{Folder, FolderError};
use super::meta::Shard;
use crate::components::{Prepared, simulate};
use crate::results::ReplicationRecord;
use crate::results::rows::{CONFIDENCE, CellRows, CellSummary, cell_rows, failure_rows};
use crate::results::tables::{CellKeys, Column, ColumnType};
use crate::statistics::TFactors;

/// A cell with all its replications done.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Finished {
    /// Replications that failed.
    pub failures: u64,
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

/// Simulates a replication.
pub(super) type Simulate<'a> = &'a (dyn Fn(u32) -> ReplicationRecord + Sync);

fn run_cell(plan: &Plan, cell: &Cell, done: &(dyn Fn(u64) + Sync)) -> Finished {
    let prepared = Prepared::new(cell.scenario.clone());
    let one = |replication| simulate(&prepared, plan.seed, replication);
    summed_up(plan, cell, &one, done)
}

/// All replications of a cell. One that panics is told of and left out; the others go on.
fn summed_up(plan: &Plan, cell: &Cell, simulate: Simulate<'_>, done: &(dyn Fn(u64) + Sync)) -> Finished {
    let one = |replication| {
        let outcome = attempt(simulate, replication);
        done(1);
        outcome.map_err(|message| (replication, message))
    };
    let outcomes: Vec<Result<ReplicationRecord, (u32, String)>> =
        (0..plan.replications).into_par_iter().map(one).collect();
    let (mut records, mut failures) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(record) => records.push(record),
            Err((replication, message)) => {
                let replay = format!(
                    "kilopod run {} --cell {} --replication {replication} --seed {}",
                    plan.name,
                    cell.id(),
                    plan.seed
                );
                failures.push((replication, message, replay));
            }
        }
    }
    let keys = keys_of(cell);
    let mut finished = Finished { failures: failures.len() as u64, ..Finished::default() };
    let failed = failure_rows(&keys, &failures);
    if !records.is_empty() {
        let subnets: Vec<String> = cell.scenario.subnets.iter().map(|subnet| subnet.name.clone()).collect();
        let horizon = cell.scenario.horizon.millis();
        let mut factors = TFactors::new(CONFIDENCE);
        (finished.rows, finished.summary) = cell_rows(&keys, horizon, &subnets, &records, &mut factors);
    }
    finished.rows.append(failed);
    finished
}

/// One replication; if it panics, what it said.
pub(super) fn attempt(simulate: Simulate<'_>, replication: u32) -> Result<ReplicationRecord, String> {
    catch_unwind(AssertUnwindSafe(|| simulate(replication))).map_err(|panic| message(&*panic))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::design::{Overrides, read_file};
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::results::tables::table_place;

    #[test]
    fn a_replication_that_panics_is_told_of_and_the_others_count() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/two-sizes");
        let overrides = Overrides { replications: Some(3), ..Overrides::default() };
        let catalogue = Arc::new(Catalogue::compiled_in());
        let settings = ["target_pods=20".to_string(), "horizon=\"5 min\"".to_string()];
        let plan = read_file(&folder, &settings, &overrides, &catalogue).unwrap();
        let cell = &plan.cells[0];
        let prepared = Prepared::new(cell.scenario.clone());
        let broken = |replication| {
            assert!(replication != 1, "the books do not balance");
            simulate(&prepared, plan.seed, replication)
        };
        let finished = summed_up(&plan, cell, &broken, &|_| {});
        let rows = |name: &str| {
            let place = table_place(name);
            (finished.rows.rows[place], finished.rows.text[place].as_str())
        };
        assert_eq!((finished.failures, rows("replications").0, rows("cells").0), (1, 2, 1));
        let (count, text) = rows("failures");
        assert!(count == 1 && text.contains("the books do not balance") && text.contains("--replication 1"));
        let all_broken = summed_up(&plan, cell, &|_| panic!("no"), &|_| {});
        assert_eq!((all_broken.failures, all_broken.rows.rows[1]), (3, 0));
    }
}
