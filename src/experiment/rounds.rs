//! A sweep within a time: every cell has its first look before any has its second, and so on, so that the time is spent on
//! all of them alike.
//!
//! Between two looks what a cell's replications came to stays in memory, some megabytes a cell; without a limit of time cells run one
//! after another and need not.

use rayon::prelude::*;

use super::design::{Cell, Plan};
use super::folder::{Folder, FolderError};
use super::meta::Shard;
use super::precision::StoppedBy;
use super::sweep::{Done, Finished, Runs, kept, looks, part};
use crate::components::{Prepared, simulate};

/// A cell on its way.
enum Progress {
    Open(Box<(Prepared, Runs)>),
    Finished(Box<Finished>),
}

/// As [`super::sweep()`], for a plan with a precision; at each look but a cell's first, a cell that is not known well enough stops
/// if the time `is_over`.
///
/// # Errors
/// If a finished cell cannot be kept.
pub fn sweep_within(
    plan: &Plan,
    shard: Option<Shard>,
    folder: &Folder,
    done: Done<'_>,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<(String, Finished)>, FolderError> {
    let begun = |cell: &Cell| match kept(plan, cell, folder, done) {
        Some(finished) => Progress::Finished(Box::new(finished)),
        None => Progress::Open(Box::new((Prepared::new(cell.scenario.clone()), Runs::new(cell)))),
    };
    let mut cells: Vec<(&Cell, Progress)> =
        part(plan, shard).into_par_iter().map(|cell| (cell, begun(cell))).collect();
    for look in looks(plan) {
        cells.par_iter_mut().try_for_each(|(cell, progress)| {
            let Progress::Open(open) = progress else { return Ok(()) };
            let (prepared, runs) = &mut **open;
            let stopped_by = if runs.count() > 0 && is_over() {
                Some(StoppedBy::Time)
            } else {
                let mut out = folder.rows_of(&cell.id(), runs.count() == 0)?;
                let simulate = |replication| simulate(prepared, plan.seed, replication);
                runs.extend(look, &simulate, done, &mut out)
                    .map_err(|error| folder.no_room(&cell.id(), error))?;
                runs.stopped_by(plan)
            };
            let Some(stopped_by) = stopped_by else { return Ok(()) };
            let runs = std::mem::replace(runs, Runs::new(cell));
            let finished = runs.finished(plan, cell, stopped_by, done);
            // What stopped for want of time goes on where there is more.
            if stopped_by != StoppedBy::Time {
                folder.store(&cell.id(), &finished)?;
            }
            *progress = Progress::Finished(Box::new(finished));
            Ok(())
        })?;
    }
    let finished = |(cell, progress): (&Cell, Progress)| match progress {
        Progress::Finished(finished) => (cell.id(), *finished),
        Progress::Open(_) => unreachable!("the last look is at all replications"),
    };
    Ok(cells.into_iter().map(finished).collect())
}
