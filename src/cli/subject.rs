//! The one scenario that a command is about: a file of its own, or a cell of an experiment.

use std::path::Path;
use std::sync::Arc;

use super::BAD_INPUT;
use crate::catalogue::Catalogue;
use crate::experiment::sensitivity::Subject;
use crate::experiment::{Cell, Overrides};
use crate::input::{Document, Problems, Value, read_text};
use crate::scenario;

/// Reads it with `settings` laid over; everything wrong with it is told, and the exit code comes back.
pub fn read(path: &Path, cell: Option<&str>, settings: &[String], seed: Option<u64>) -> Result<Subject, u8> {
    match cell {
        Some(id) => of_experiment(path, id, settings, seed),
        None => of_file(path, settings, seed.unwrap_or(1)),
    }
}

/// A scenario's own keys, of which one at least is in each; an experiment has them under `scenario`, or in the file that is its `base`.
const OF_SCENARIOS: [&str; 2] = ["deployments", "jobs"];
const OF_EXPERIMENTS: [&str; 4] = ["scenario", "base", "factors", "design"];

fn has_any(document: &Document, keys: &[&str]) -> bool {
    let Value::Table(entries) = &document.root.value else { return false };
    entries.iter().any(|(key, _)| keys.contains(&key.as_str()))
}

/// Is it an experiment, of which one cell must be named?
fn is_experiment(document: &Document) -> bool {
    has_any(document, &OF_EXPERIMENTS) && !has_any(document, &OF_SCENARIOS)
}

/// Tells a scenario where an experiment is wanted, with the exit code.
pub fn refuse_scenario(path: &Path, cell: Option<&str>) -> Result<(), u8> {
    let text = if path.is_file() { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let mut problems = Problems::default();
    let document = Document::parse("", &text, &mut problems);
    if !problems.is_empty() || has_any(&document, &OF_EXPERIMENTS) || !has_any(&document, &OF_SCENARIOS) {
        return Ok(());
    }
    say!("error: {} is a scenario, not an experiment, and has no cells", path.display());
    match cell {
        Some(_) => say!("hint: leave --cell out; --set KEY=VALUE changes the scenario"),
        None => say!(
            "hint: kilopod run {0} runs it; an experiment has it as base = \"{0}\" or under [scenario], beside [[factors]]",
            path.display()
        ),
    }
    Err(BAD_INPUT)
}

fn tell_experiment(path: &Path) -> u8 {
    say!("error: {} is an experiment, and this command is about one scenario", path.display());
    say!("hint: kilopod sweep {} runs all its cells; --cell c0001 names one of them", path.display());
    BAD_INPUT
}

fn of_file(path: &Path, settings: &[String], seed: u64) -> Result<Subject, u8> {
    if path.join("experiment.toml").is_file() {
        return Err(tell_experiment(path));
    }
    let text = read_text(path).map_err(|error| {
        say!("error: {}: {error}", path.display());
        if path.is_dir() {
            say!("hint: name a scenario's file, or a folder with an experiment.toml and one of its cells");
        }
        BAD_INPUT
    })?;
    let mut problems = Problems::default();
    let mut document = Document::parse(&path.display().to_string(), &text, &mut problems);
    if problems.is_empty() && is_experiment(&document) {
        return Err(tell_experiment(path));
    }
    settings.iter().for_each(|setting| document.set(setting, &mut problems));
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
    let read = match problems.is_empty() {
        true => scenario::read(&document, &name, &folder, &Arc::new(Catalogue::compiled_in())),
        false => Err(problems.into_vec()),
    };
    let read = read.map_err(|problems| {
        problems.iter().for_each(|problem| say!("{problem}"));
        BAD_INPUT
    })?;
    read.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    Ok(Subject { name, cell: None, document, scenario: read.scenario, folder, seed })
}

fn of_experiment(path: &Path, id: &str, settings: &[String], seed: Option<u64>) -> Result<Subject, u8> {
    refuse_scenario(path, Some(id))?;
    let plan = super::read_plan(path, settings, &Overrides { seed, ..Overrides::default() })?;
    let Some(cell) = plan.cells.iter().find(|cell| cell.id() == id) else {
        let last = plan.cells.last().map(Cell::id).unwrap_or_default();
        say!("error: {id:?} is no cell of {}; they go from c0001 to {last}", plan.name);
        say!("hint: kilopod sweep {} --dry-run --json lists them", path.display());
        return Err(BAD_INPUT);
    };
    cell.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    Ok(Subject {
        name: plan.name.clone(),
        cell: Some(id.to_string()),
        document: cell.document.clone(),
        scenario: cell.scenario.clone(),
        folder: folder.to_path_buf(),
        seed: plan.seed,
    })
}
