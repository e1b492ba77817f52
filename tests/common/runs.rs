//! Whole runs of a scenario that a test writes down.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::scenario;

/// The scenario, or the keys of what is wrong with it.
pub fn read(text: &str) -> Result<scenario::Read, Vec<String>> {
    let mut problems = Problems::default();
    let document = Document::parse("case.toml", text, &mut problems);
    assert!(problems.is_empty(), "{text}: {problems:?}");
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    read.map_err(|problems| problems.iter().map(|problem| problem.key.clone()).collect())
}

/// One replication, its books checked after every event, with its trace and history.
pub fn run_with(text: &str, seed: u64) -> Told {
    let scenario = read(text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).scenario;
    let wishes = Wishes { check: true, trace: true, history: true, ..Wishes::default() };
    tell(&Prepared::new(scenario), seed, 0, wishes)
}
pub fn run(text: &str) -> Told {
    run_with(text, 7)
}
