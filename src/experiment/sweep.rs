//! Every replication of every cell, on as many threads as there are; results depend on neither their number nor
//! their order.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::design::{Cell, Plan};
use super::folder::{Folder, FolderError, hex};
use super::meta::Shard;
use super::precision::StoppedBy;
use crate::components::{Prepared, simulate};
use crate::results::ReplicationRecord;
use crate::results::gathered::Gathered;
use crate::results::rows::{CONFIDENCE, CellRows, CellSummary, ReplicationRows, cell_rows, failure_rows};
use crate::results::tables::{CellKeys, Column, ColumnType};
use crate::statistics::{self, TFactors};

/// A cell with all its replications done.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Finished {
    /// Replications that failed.
    pub failures: u64,
    /// Why there are no more.
    pub stopped_by: StoppedBy,
    /// Those of its replications lie in a file of their own, of this SHA-256.
    pub rows: CellRows,
    pub replications_sha256: String,
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

/// What became of replications.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// One was run.
    Made,
    /// So many belong to a cell that an interrupted sweep had finished; with a precision, at most.
    Kept(u64),
    /// So many are not needed any more.
    Spared(u64),
}

impl Step {
    /// How many replications it is about.
    pub fn count(self) -> u64 {
        match self {
            Step::Made => 1,
            Step::Kept(count) | Step::Spared(count) => count,
        }
    }
}

/// Hears what becomes of replications.
pub(super) type Done<'a> = &'a (dyn Fn(Step) + Sync);

/// Runs what `folder` does not have already of the plan, or of a part of it, and keeps each cell there as it finishes. `done` hears of each
/// replication.
///
/// # Errors
/// If a finished cell cannot be kept.
pub fn sweep(
    plan: &Plan,
    shard: Option<Shard>,
    folder: &Folder,
    done: &(dyn Fn(Step) + Sync),
) -> Result<Vec<(String, Finished)>, FolderError> {
    part(plan, shard)
        .into_par_iter()
        .map(|cell| {
            if let Some(finished) = kept(plan, cell, folder, done) {
                return Ok((cell.id(), finished));
            }
            let prepared = Prepared::new(cell.scenario.clone());
            let simulate = |replication| simulate(&prepared, plan.seed, replication);
            let finished = run_cell(plan, cell, &simulate, done, &mut folder.rows_of(&cell.id(), true)?)
                .map_err(|error| folder.no_room(&cell.id(), error))?;
            folder.store(&cell.id(), &finished)?;
            Ok((cell.id(), finished))
        })
        .collect()
}

/// The cells of a plan, or of a part of it.
pub(super) fn part(plan: &Plan, shard: Option<Shard>) -> Vec<&Cell> {
    let wanted = |(index, _): &(usize, &Cell)| shard.is_none_or(|shard| shard.has(*index));
    plan.cells.iter().enumerate().filter(wanted).map(|(_, cell)| cell).collect()
}

/// A cell that an interrupted sweep finished.
pub(super) fn kept(plan: &Plan, cell: &Cell, folder: &Folder, done: Done<'_>) -> Option<Finished> {
    let finished = folder.load(&cell.id())?;
    done(Step::Kept(u64::from(plan.replications)));
    Some(finished)
}

/// The numbers of replications at which it is seen whether a cell goes on; the last is the most.
pub(super) fn looks(plan: &Plan) -> Vec<u32> {
    match plan.precision {
        Some(_) => statistics::looks(plan.replications).collect(),
        None => vec![plan.replications],
    }
}

/// Simulates a replication.
pub(super) type Simulate<'a> = &'a (dyn Fn(u32) -> ReplicationRecord + Sync);

/// All replications of a cell, as many as it needs; their rows go to `out`.
fn run_cell(
    plan: &Plan,
    cell: &Cell,
    simulate: Simulate<'_>,
    done: Done<'_>,
    out: &mut dyn Write,
) -> io::Result<Finished> {
    let mut runs = Runs::new(cell);
    let mut stopped_by = None;
    for look in looks(plan) {
        runs.extend(look, simulate, done, out)?;
        stopped_by = runs.stopped_by(plan);
        if stopped_by.is_some() {
            break;
        }
    }
    Ok(runs.finished(plan, cell, stopped_by.unwrap_or_default(), done))
}

/// Replications whose records are in memory at once, some 6 KB each.
const AT_ONCE: u32 = 1_024;

/// A cell's replications so far. One that panics is told of and left out; the others go on.
pub(super) struct Runs {
    gathered: Gathered,
    rows: ReplicationRows,
    hash: Sha256,
    /// Replication and what it said.
    failures: Vec<(u32, String)>,
}

impl Runs {
    pub(super) fn new(cell: &Cell) -> Self {
        Runs {
            gathered: Gathered::new(cell.scenario.subnets.len()),
            rows: ReplicationRows::new(&keys_of(cell)),
            hash: Sha256::new(),
            failures: Vec::new(),
        }
    }
    pub(super) fn count(&self) -> u32 {
        self.gathered.replications() as u32 + self.failures.len() as u32
    }

    /// Goes on to so many replications, whose rows go to `out`.
    pub(super) fn extend(
        &mut self,
        to: u32,
        simulate: Simulate<'_>,
        done: Done<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        while self.count() < to {
            self.next(to.min(self.count() + AT_ONCE), simulate, done, out)?;
        }
        Ok(())
    }

    fn next(
        &mut self,
        to: u32,
        simulate: Simulate<'_>,
        done: Done<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let one = |replication| {
            let outcome = attempt(simulate, replication);
            done(Step::Made);
            outcome.map_err(|message| (replication, message))
        };
        let outcomes: Vec<Result<ReplicationRecord, (u32, String)>> =
            (self.count()..to).into_par_iter().map(one).collect();
        let records: Vec<&ReplicationRecord> = outcomes.iter().flatten().collect();
        let text = self.rows.text(&records);
        records.iter().for_each(|record| self.gathered.add(record));
        self.failures.extend(outcomes.into_iter().filter_map(Result::err));
        self.hash.update(&text);
        out.write_all(text.as_bytes())
    }

    /// Why these are enough; `None` if they are not.
    pub(super) fn stopped_by(&self, plan: &Plan) -> Option<StoppedBy> {
        match &plan.precision {
            Some(precision) if precision.is_met(&self.gathered) => Some(StoppedBy::Precision),
            _ if self.count() >= plan.replications => Some(StoppedBy::Replications),
            _ => None,
        }
    }

    /// The cell's rows.
    pub(super) fn finished(
        self,
        plan: &Plan,
        cell: &Cell,
        stopped_by: StoppedBy,
        done: Done<'_>,
    ) -> Finished {
        done(Step::Spared(u64::from(plan.replications - self.count())));
        let replay = |(replication, message): (u32, String)| {
            let replay = format!(
                "kilopod run {} --cell {} --replication {replication} --seed {}",
                plan.name,
                cell.id(),
                plan.seed
            );
            (replication, message, replay)
        };
        let failures: Vec<(u32, String, String)> = self.failures.into_iter().map(replay).collect();
        let keys = keys_of(cell);
        let mut finished = Finished {
            failures: failures.len() as u64,
            stopped_by,
            replications_sha256: hex(self.hash),
            ..Finished::default()
        };
        let failed = failure_rows(&keys, &failures);
        if self.gathered.replications() > 0 {
            let subnets: Vec<String> =
                cell.scenario.subnets.iter().map(|subnet| subnet.name.clone()).collect();
            let horizon = cell.scenario.horizon.millis();
            let mut factors = TFactors::new(CONFIDENCE);
            (finished.rows, finished.summary) =
                cell_rows(&keys, horizon, &subnets, &self.gathered, &mut factors);
        }
        finished.rows.append(failed);
        finished
    }
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
        let mut text = Vec::new();
        let finished = run_cell(&plan, cell, &broken, &|_| {}, &mut text).unwrap();
        let rows = |name: &str| {
            let place = table_place(name);
            (finished.rows.rows[place], finished.rows.text[place].as_str())
        };
        assert_eq!((finished.failures, rows("replications").0, rows("cells").0), (1, 2, 1));
        assert_eq!(String::from_utf8(text).unwrap().lines().count(), 2);
        let (count, text) = rows("failures");
        assert!(count == 1 && text.contains("the books do not balance") && text.contains("--replication 1"));
        let all_broken = run_cell(&plan, cell, &|_| panic!("no"), &|_| {}, &mut Vec::new()).unwrap();
        assert_eq!((all_broken.failures, all_broken.rows.rows[1]), (3, 0));
    }
}
