//! Whole runs of a scenario that a test writes down.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problem, Problems};
use kilopod::scenario;

fn read_with(text: &str, told: fn(&Problem) -> String) -> Result<scenario::Read, Vec<String>> {
    let mut problems = Problems::default();
    let document = Document::parse("case.toml", text, &mut problems);
    assert!(problems.is_empty(), "{text}: {problems:?}");
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    read.map_err(|problems| problems.iter().map(told).collect())
}
/// The scenario, or the keys of what is wrong with it.
pub fn read(text: &str) -> Result<scenario::Read, Vec<String>> {
    read_with(text, |problem| problem.key.clone())
}
/// The scenario, or all that is said of what is wrong with it.
pub fn read_in_full(text: &str) -> Result<scenario::Read, Vec<String>> {
    read_with(text, |problem| format!("{problem:?}"))
}

pub fn prepare(text: &str) -> Prepared {
    let read = read_in_full(text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    Prepared::new(read.scenario)
}

/// One replication, its books checked after every event, with its trace and history.
pub fn run_with(text: &str, seed: u64) -> Told {
    let wishes = Wishes { check: true, trace: true, history: true, ..Wishes::default() };
    tell(&prepare(text), seed, 0, wishes)
}
pub fn run(text: &str) -> Told {
    run_with(text, 7)
}
