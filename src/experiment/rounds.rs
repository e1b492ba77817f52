//! A sweep within a time: every cell has its first look before any has its second, and so on, so that the time is spent on
//! all of them alike.
//!
//! Between two looks what a cell's replications came to stays in memory, some megabytes a cell; without a limit of time cells run one
//! after another and need not.

use rayon::prelude::*;

use super::design::{Cell, Plan};
use super::folder::{Folder, FolderError};
use super::groups::groups;
use super::meta::Shard;
use super::sweep::{Done, Finished, Group, in_order, kept, looks};

/// As [`super::sweep()`], for a plan with a precision; at each look but a cell's first, a cell that is not known well enough stops
/// if the time `is_over`.
///
/// # Errors
/// If a finished cell cannot be kept.
pub fn sweep_within<'a>(
    plan: &'a Plan,
    shard: Option<Shard>,
    folder: &Folder,
    done: Done<'_>,
    is_over: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<(String, Finished)>, FolderError> {
    let (mut finished, missing) = kept(plan, shard, folder, done);
    let begun = |cells: Vec<&'a Cell>| Group::new(plan, &cells);
    let mut groups: Vec<Group<'_>> = groups(plan, missing).into_par_iter().map(begun).collect();
    for (number, look) in looks(plan).into_iter().enumerate() {
        groups.par_iter_mut().try_for_each(|group| {
            if number > 0 && is_over() {
                group.run_out_of_time(plan, done);
                return Ok(());
            }
            group.go_on(look, plan, folder, done)
        })?;
    }
    finished.extend(groups.into_iter().flat_map(|group| group.finished));
    Ok(in_order(finished))
}
