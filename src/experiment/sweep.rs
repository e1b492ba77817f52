//! Every replication of every cell, on as many threads as there are; results depend on neither their number nor
//! their order.

use std::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::design::{Cell, Plan};
use super::folder::{Folder, FolderError, hex};
use super::groups::{Outcome, Simulator, groups};
use super::meta::{Shard, file_of};
use super::precision::StoppedBy;
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
pub fn sweep<'a>(
    plan: &'a Plan,
    shard: Option<Shard>,
    folder: &Folder,
    done: &(dyn Fn(Step) + Sync),
) -> Result<Vec<(String, Finished)>, FolderError> {
    let (mut finished, missing) = kept(plan, shard, folder, done);
    let run = |cells: Vec<&'a Cell>| {
        let mut group = Group::new(plan, &cells);
        looks(plan).into_iter().try_for_each(|look| group.go_on(look, plan, folder, done))?;
        Ok(group.finished)
    };
    let groups = groups(plan, missing).into_par_iter().map(run);
    finished.extend(groups.collect::<Result<Vec<_>, FolderError>>()?.into_iter().flatten());
    Ok(in_order(finished))
}

/// Cells that an interrupted sweep finished, and those that it did not.
pub(super) fn kept<'a>(
    plan: &'a Plan,
    shard: Option<Shard>,
    folder: &Folder,
    done: Done<'_>,
) -> (Vec<(&'a Cell, Finished)>, Vec<&'a Cell>) {
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    for cell in part(plan, shard) {
        match folder.load(&cell.id()) {
            Some(finished) => {
                done(Step::Kept(u64::from(plan.replications)));
                kept.push((cell, finished));
            }
            None => missing.push(cell),
        }
    }
    (kept, missing)
}

/// Cells as the plan has them.
pub(super) fn in_order(mut finished: Vec<(&Cell, Finished)>) -> Vec<(String, Finished)> {
    finished.sort_by_key(|(cell, _)| cell.number);
    finished.into_iter().map(|(cell, finished)| (cell.id(), finished)).collect()
}

/// The cells of a plan, or of a part of it.
fn part(plan: &Plan, shard: Option<Shard>) -> Vec<&Cell> {
    let wanted = |(index, _): &(usize, &Cell)| shard.is_none_or(|shard| shard.has(*index));
    plan.cells.iter().enumerate().filter(wanted).map(|(_, cell)| cell).collect()
}

/// The numbers of replications at which it is seen whether a cell goes on; the last is the most.
pub(super) fn looks(plan: &Plan) -> Vec<u32> {
    match plan.precision {
        Some(_) => statistics::looks(plan.replications).collect(),
        None => vec![plan.replications],
    }
}

/// Cells that are simulated together, on their way.
pub(super) struct Group<'a> {
    simulator: Simulator,
    /// Those that want more replications, all of them equally many.
    open: Vec<Open<'a>>,
    pub finished: Vec<(&'a Cell, Finished)>,
}

/// A cell that wants more replications.
struct Open<'a> {
    /// In its group.
    place: usize,
    cell: &'a Cell,
    runs: Runs,
}

impl<'a> Group<'a> {
    pub fn new(plan: &Plan, cells: &[&'a Cell]) -> Group<'a> {
        let begun = |(place, cell): (usize, &&'a Cell)| Open { place, cell, runs: Runs::new(cell) };
        let open = cells.iter().enumerate().map(begun).collect();
        Group { simulator: Simulator::new(cells, plan.seed), open, finished: Vec::new() }
    }

    /// Goes on to so many replications; cells for which they are enough are kept.
    ///
    /// # Errors
    /// If a cell cannot be kept.
    pub fn go_on(
        &mut self,
        look: u32,
        plan: &Plan,
        folder: &Folder,
        done: Done<'_>,
    ) -> Result<(), FolderError> {
        let write = |cell: &Cell, anew, text: &str| {
            let mut rows = folder.rows_of(&cell.id(), anew)?;
            rows.write_all(text.as_bytes()).map_err(|error| folder.no_room(&cell.id(), error))
        };
        let simulate = |cells: &[usize], replication| self.simulator.outcomes(cells, replication);
        extend(&mut self.open, look, &simulate, done, &write)?;
        for open in std::mem::take(&mut self.open) {
            let Some(stopped_by) = open.runs.stopped_by(plan) else {
                self.open.push(open);
                continue;
            };
            let finished = open.runs.finished(plan, open.cell, stopped_by, done);
            folder.store(&open.cell.id(), &finished)?;
            self.finished.push((open.cell, finished));
        }
        Ok(())
    }

    /// No cell goes on, for want of time; where there is more they do, so that they are not kept.
    pub fn run_out_of_time(&mut self, plan: &Plan, done: Done<'_>) {
        for Open { cell, runs, .. } in std::mem::take(&mut self.open) {
            self.finished.push((cell, runs.finished(plan, cell, StoppedBy::Time, done)));
        }
    }
}

/// Simulates a replication of some cells of a group, told by their places in it.
type Simulate<'a> = &'a (dyn Fn(&[usize], u32) -> Vec<Outcome> + Sync);

/// Keeps more rows of a cell, which are its first or come after the others. A group may have more cells than a process may have
/// files open.
type Write<'a> = &'a dyn Fn(&Cell, bool, &str) -> Result<(), FolderError>;

/// Goes on to so many replications of cells that have equally many.
fn extend(
    open: &mut [Open<'_>],
    to: u32,
    simulate: Simulate<'_>,
    done: Done<'_>,
    write: Write<'_>,
) -> Result<(), FolderError> {
    let places: Vec<usize> = open.iter().map(|open| open.place).collect();
    let Some(mut count) = open.first().map(|open| open.runs.count()) else { return Ok(()) };
    while count < to {
        let next = to.min(count + (AT_ONCE / places.len() as u32).max(1));
        let one = |replication| {
            let outcomes = simulate(&places, replication);
            outcomes.iter().for_each(|_| done(Step::Made));
            outcomes
        };
        let outcomes: Vec<Vec<Outcome>> = (count..next).into_par_iter().map(one).collect();
        let mut by_cell: Vec<Vec<Outcome>> = places.iter().map(|_| Vec::new()).collect();
        for outcomes in outcomes {
            by_cell.iter_mut().zip(outcomes).for_each(|(cell, outcome)| cell.push(outcome));
        }
        for (open, outcomes) in open.iter_mut().zip(by_cell) {
            write(open.cell, count == 0, &open.runs.add(outcomes))?;
        }
        count = next;
    }
    Ok(())
}

/// Replications whose records are in memory at once, those of all cells of a group together; some 6 KB each.
const AT_ONCE: u32 = 1_024;

/// A cell's replications so far. One that panics is told of and left out; the others go on.
struct Runs {
    gathered: Gathered,
    rows: ReplicationRows,
    hash: Sha256,
    /// Replication and what it said.
    failures: Vec<(u32, String)>,
}

impl Runs {
    fn new(cell: &Cell) -> Self {
        Runs {
            gathered: Gathered::new(cell.scenario.subnets.len()),
            rows: ReplicationRows::new(&keys_of(cell)),
            hash: Sha256::new(),
            failures: Vec::new(),
        }
    }
    fn count(&self) -> u32 {
        self.gathered.replications() as u32 + self.failures.len() as u32
    }

    /// What came of the next replications; their rows.
    fn add(&mut self, outcomes: Vec<Outcome>) -> String {
        let first = self.count();
        let records: Vec<&ReplicationRecord> = outcomes.iter().flatten().collect();
        let text = self.rows.text(&records);
        records.iter().for_each(|record| self.gathered.add(record));
        let failed = (first..).zip(outcomes);
        self.failures.extend(
            failed.filter_map(|(replication, outcome)| outcome.err().map(|message| (replication, message))),
        );
        self.hash.update(&text);
        text
    }

    /// Why these are enough; `None` if they are not.
    fn stopped_by(&self, plan: &Plan) -> Option<StoppedBy> {
        match &plan.precision {
            Some(precision) if precision.is_met(&self.gathered) => Some(StoppedBy::Precision),
            _ if self.count() >= plan.replications => Some(StoppedBy::Replications),
            _ => None,
        }
    }

    /// The cell's rows.
    fn finished(self, plan: &Plan, cell: &Cell, stopped_by: StoppedBy, done: Done<'_>) -> Finished {
        done(Step::Spared(u64::from(plan.replications - self.count())));
        let replay = |(replication, message): (u32, String)| {
            let replay = format!(
                "kilopod run {} --cell {} --replication {replication} --seed {}",
                file_of(&plan.name),
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

/// What `simulate` gives; if it panics, what it said.
pub(super) fn attempt<T>(simulate: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(simulate)).map_err(|panic| message(&*panic))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell as Counter, RefCell};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::design::{Overrides, read_file};
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::components::{Prepared, simulate};
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
        let broken = |_: &[usize], replication| {
            vec![attempt(|| {
                assert!(replication != 1, "the books do not balance");
                simulate(&prepared, plan.seed, replication)
            })]
        };
        let run = |simulate: Simulate<'_>| {
            let mut open = [Open { place: 0, cell, runs: Runs::new(cell) }];
            let text = RefCell::new(String::new());
            let write = |_: &Cell, anew, rows: &str| {
                assert_eq!(anew, text.borrow().is_empty());
                text.borrow_mut().push_str(rows);
                Ok(())
            };
            extend(&mut open, plan.replications, simulate, &|_| {}, &write).unwrap();
            let [Open { runs, .. }] = open;
            let stopped_by = runs.stopped_by(&plan).unwrap();
            (runs.finished(&plan, cell, stopped_by, &|_| {}), text.into_inner())
        };
        let (finished, text) = run(&broken);
        let rows = |name: &str| {
            let place = table_place(name);
            (finished.rows.rows[place], finished.rows.text[place].as_str())
        };
        assert_eq!((finished.failures, rows("replications").0, rows("cells").0), (1, 2, 1));
        assert_eq!(text.lines().count(), 2);
        let (count, text) = rows("failures");
        assert!(count == 1 && text.contains("the books do not balance"));
        assert!(text.contains("kilopod run two-sizes.toml --cell c0001 --replication 1 --seed "), "{text}");
        let (all_broken, _) = run(&|_, _| vec![attempt(|| panic!("no"))]);
        assert_eq!((all_broken.failures, all_broken.rows.rows[1]), (3, 0));
    }

    #[test]
    fn a_groups_cells_share_what_may_be_in_memory() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/two-sizes");
        let catalogue = Arc::new(Catalogue::compiled_in());
        let plan = read_file(&folder, &[], &Overrides::default(), &catalogue).unwrap();
        let begun = |(place, cell)| Open { place, cell, runs: Runs::new(cell) };
        let mut open: Vec<Open<'_>> = plan.cells.iter().enumerate().map(begun).collect();
        let cells = open.len() as u32;
        assert!(cells > 1);
        let (made, written, looks) = (AtomicU32::new(0), Counter::new(0), Counter::new(0));
        let simulate = |cells: &[usize], _| {
            made.fetch_add(cells.len() as u32, Ordering::Relaxed);
            cells.iter().map(|_| Err("no".to_owned())).collect()
        };
        let write = |_: &Cell, anew, _: &str| {
            // Each cell writes once for all that it has got.
            if looks.get() % cells == 0 {
                assert!(made.load(Ordering::Relaxed) - written.get() <= AT_ONCE);
                written.set(made.load(Ordering::Relaxed));
            }
            assert_eq!(anew, looks.get() < cells);
            looks.set(looks.get() + 1);
            Ok(())
        };
        let each = AT_ONCE / cells;
        extend(&mut open, 3 * each, &simulate, &|_| {}, &write).unwrap();
        assert_eq!((made.into_inner(), looks.get()), (3 * each * cells, 3 * cells));
    }
}
