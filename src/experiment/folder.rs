//! The folder of a sweep: cells are kept as they finish, and the whole appears at once.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::design::Plan;
use super::sweep::{Finished, cell_keys};
use crate::results::tables::{TABLES, header};
use crate::results::{RESULTS_VERSION, data_package};

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct FolderError {
    path: String,
    error: std::io::Error,
}

/// What lies where the results are to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Nothing,
    /// The complete results of this very plan.
    Complete,
    /// Results of another plan, or something else.
    Other,
    /// Cells of an interrupted sweep of another plan.
    OtherUnfinished,
}

/// Where a sweep writes.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    pub fn new(path: &Path) -> Folder {
        Folder { path: path.to_path_buf() }
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Beside the folder, hidden.
    fn beside(&self, what: &str) -> PathBuf {
        let name = self.path.file_name().map_or("results".into(), |name| name.to_string_lossy());
        self.path.with_file_name(format!(".{name}.{what}"))
    }
    /// Where finished cells wait for the rest.
    pub fn unfinished(&self) -> PathBuf {
        self.beside("unfinished")
    }

    /// # Errors
    /// If something is there that cannot be read.
    pub fn look(&self, plan: &Plan) -> Result<Found, FolderError> {
        let manifest = self.path.join("manifest.json");
        if self.path.exists() {
            let text = if manifest.exists() { read(&manifest)? } else { String::new() };
            let known: Value = serde_json::from_str(&text).unwrap_or_default();
            return Ok(if known["plan_id"] == plan.id.as_str() { Found::Complete } else { Found::Other });
        }
        let unfinished = self.unfinished().join("plan_id");
        if unfinished.exists() && read(&unfinished)? != plan.id {
            return Ok(Found::OtherUnfinished);
        }
        Ok(Found::Nothing)
    }

    /// Makes room for cells; those of another plan go.
    ///
    /// # Errors
    /// If files cannot be written.
    pub fn open(&self, plan: &Plan) -> Result<(), FolderError> {
        let folder = self.unfinished();
        let marker = folder.join("plan_id");
        if folder.exists() && (!marker.exists() || read(&marker)? != plan.id) {
            fs::remove_dir_all(&folder).map_err(|error| trouble(&folder, error))?;
        }
        fs::create_dir_all(&folder).map_err(|error| trouble(&folder, error))?;
        write(&marker, &plan.id)
    }

    fn cell_file(&self, id: &str) -> PathBuf {
        self.unfinished().join(format!("{id}.json"))
    }
    /// A cell that an interrupted sweep finished.
    pub fn load(&self, id: &str) -> Option<Finished> {
        serde_json::from_str(&fs::read_to_string(self.cell_file(id)).ok()?).ok()
    }
    /// # Errors
    /// If the file cannot be written.
    pub fn store(&self, id: &str, cell: &Finished) -> Result<(), FolderError> {
        let text = serde_json::to_string(cell).expect("rows are text and numbers");
        let path = self.cell_file(id);
        let aside = path.with_extension("tmp");
        write(&aside, &text)?;
        fs::rename(&aside, &path).map_err(|error| trouble(&path, error))
    }

    /// Writes all tables aside and puts the folder in place.
    ///
    /// # Errors
    /// If files cannot be written; what was there before is then still there.
    pub fn finish(&self, plan: &Plan, cells: &[Finished]) -> Result<(), FolderError> {
        let aside = self.beside("new");
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(|error| trouble(&aside, error))?;
        }
        fs::create_dir_all(&aside).map_err(|error| trouble(&aside, error))?;
        let keys = cell_keys(plan);
        let mut files = serde_json::Map::new();
        for (index, (table, _)) in TABLES.iter().enumerate() {
            let mut text = header(table, &keys);
            cells.iter().for_each(|cell| text.push_str(&cell.rows.text[index]));
            let rows: u64 = cells.iter().map(|cell| cell.rows.rows[index]).sum();
            let sha256: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
            write(&aside.join(format!("{table}.csv")), &text)?;
            files.insert(format!("{table}.csv"), json!({"rows": rows, "sha256": sha256}));
        }
        let manifest = json!({
            "kilopod": env!("CARGO_PKG_VERSION"),
            "results_version": RESULTS_VERSION,
            "plan_id": plan.id,
            "name": plan.name,
            "seed": plan.seed.to_string(),
            "replications": plan.replications,
            "cells": plan.cells.len(),
            "catalogue": plan.cells.first().map(|cell| cell.scenario.catalogue.source.clone()),
            "files": files,
            "input": plan.resolved,
        });
        write_json(&aside.join("manifest.json"), &manifest)?;
        write_json(&aside.join("datapackage.json"), &data_package(&plan.name, &keys))?;
        self.put_in_place(&aside)
    }

    fn put_in_place(&self, aside: &Path) -> Result<(), FolderError> {
        let before = self.beside("old");
        if self.path.exists() {
            fs::rename(&self.path, &before).map_err(|error| trouble(&self.path, error))?;
        }
        fs::rename(aside, &self.path).map_err(|error| trouble(&self.path, error))?;
        for gone in [before, self.unfinished()] {
            if gone.exists() {
                fs::remove_dir_all(&gone).map_err(|error| trouble(&gone, error))?;
            }
        }
        Ok(())
    }
}

fn trouble(path: &Path, error: std::io::Error) -> FolderError {
    FolderError { path: path.display().to_string(), error }
}
fn read(path: &Path) -> Result<String, FolderError> {
    fs::read_to_string(path).map_err(|error| trouble(path, error))
}
fn write(path: &Path, text: &str) -> Result<(), FolderError> {
    fs::write(path, text).map_err(|error| trouble(path, error))
}
fn write_json(path: &Path, value: &Value) -> Result<(), FolderError> {
    write(path, &(serde_json::to_string_pretty(value).expect("JSON is text") + "\n"))
}
