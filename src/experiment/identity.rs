//! The one hash of a plan: shards, resumed sweeps, merges and plan files are of the same plan if it is the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::design::Cell;
use super::factors::Factor;
use crate::catalogue::Catalogue;
use crate::results::RESULTS_VERSION;

/// Raised when the same experiment is to have another hash.
pub(super) const PLAN_VERSION: u32 = 1;

/// SHA-256, in hexadecimal digits, of all that results hang on: the version of results, the input with everything laid over it,
/// the columns and cells it comes to, and catalogues.
pub(super) fn identity(
    name: &str,
    resolved: &str,
    factors: &[Factor],
    cells: &[Cell],
    standard: &Arc<Catalogue>,
) -> String {
    let mut hash = Sha256::new();
    // Debug's quotes keep one field's end from being taken for the next one's beginning.
    hash.update(format!("plan {PLAN_VERSION} results {RESULTS_VERSION}\n{name:?}\n{resolved:?}\n"));
    for factor in factors {
        hash.update(format!("{:?} {:?}\n", factor.name, factor.keys));
    }
    for cell in cells {
        hash.update(format!("{:?} {:?} {:?}\n", cell.id(), cell.labels, cell.values));
    }
    hash.update(format!("{:?}\n", standard.source));
    // The program's own catalogue belongs to the version of results; a user's file may change under its name.
    let mut known = BTreeSet::new();
    let own = cells.iter().map(|cell| &cell.scenario.catalogue);
    for catalogue in own.filter(|catalogue| !Arc::ptr_eq(catalogue, standard)) {
        if known.insert(&catalogue.source) {
            hash.update(format!("{catalogue:?}\n"));
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
