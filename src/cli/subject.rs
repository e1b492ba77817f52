//! The one scenario that a command is about: a file of its own, or a cell of an experiment.

use std::path::Path;
use std::sync::Arc;

use super::BAD_INPUT;
use crate::catalogue::Catalogue;
use crate::experiment::sensitivity::Subject;
use crate::experiment::{Cell, Overrides};
use crate::input::{Document, Problems};
use crate::scenario;

/// Reads it with `settings` laid over; everything wrong with it is told, and the exit code comes back.
pub fn read(path: &Path, cell: Option<&str>, settings: &[String], seed: Option<u64>) -> Result<Subject, u8> {
    match cell {
        Some(id) => of_experiment(path, id, settings, seed),
        None => of_file(path, settings, seed.unwrap_or(1)),
    }
}

fn of_file(path: &Path, settings: &[String], seed: u64) -> Result<Subject, u8> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        eprintln!("error: {}: {error}", path.display());
        if path.is_dir() {
            eprintln!("hint: of an experiment name a cell, for example --cell c0001");
        }
        BAD_INPUT
    })?;
    let mut problems = Problems::default();
    let mut document = Document::parse(&path.display().to_string(), &text, &mut problems);
    settings.iter().for_each(|setting| document.set(setting, &mut problems));
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
    let read = match problems.is_empty() {
        true => scenario::read(&document, &name, &folder, &Arc::new(Catalogue::compiled_in())),
        false => Err(problems.into_vec()),
    };
    let read = read.map_err(|problems| {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        BAD_INPUT
    })?;
    read.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(Subject { name, cell: None, document, scenario: read.scenario, folder, seed })
}

fn of_experiment(path: &Path, id: &str, settings: &[String], seed: Option<u64>) -> Result<Subject, u8> {
    let plan = super::read_plan(path, settings, &Overrides { seed, ..Overrides::default() })?;
    let Some(cell) = plan.cells.iter().find(|cell| cell.id() == id) else {
        let last = plan.cells.last().map(Cell::id).unwrap_or_default();
        eprintln!("error: {id:?} is no cell of {}; they go from c0001 to {last}", plan.name);
        eprintln!("hint: kilopod sweep {} --dry-run lists them", path.display());
        return Err(BAD_INPUT);
    };
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
