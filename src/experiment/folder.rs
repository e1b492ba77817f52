//! The folder of a sweep: cells are kept as they finish, and the whole appears at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::comparisons::comparisons;
use super::design::Plan;
use super::effects::effects;
use super::meta::Meta;
use super::pareto::resampled;
use super::precision::StoppedBy;
use super::report::report;
use super::sweep::Finished;
use super::workbook::workbook;
use crate::results::data_package;
use crate::results::rows::{CellSummary, pareto};
use crate::results::tables::{TABLES, header, table_place};

/// What a shard's folder has beside its cells.
const SHARD: &str = "shard.json";

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
    /// Results of this very plan, some of whose cells stopped for want of time.
    CutShort,
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
        self.look_for(&plan.id)
    }
    /// The same by the plan's hash.
    ///
    /// # Errors
    /// If something is there that cannot be read.
    pub fn look_for(&self, plan_id: &str) -> Result<Found, FolderError> {
        if self.path.exists() {
            let known = ["manifest.json", SHARD].map(|name| self.path.join(name));
            let text = match known.iter().find(|file| file.exists()) {
                Some(file) => read(file)?,
                None => String::new(),
            };
            let known: Value = serde_json::from_str(&text).unwrap_or_default();
            let cut = |by: &Value| *by == StoppedBy::Time.name();
            let cut_short = known["stopped_by"].as_object().is_some_and(|cells| cells.values().any(cut));
            return Ok(match known["plan_id"] == plan_id {
                true if cut_short => Found::CutShort,
                true => Found::Complete,
                false => Found::Other,
            });
        }
        let unfinished = self.unfinished().join("plan_id");
        if unfinished.exists() && read(&unfinished)? != plan_id {
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

    /// Writes all tables and the report aside and puts the folder in place; `cells` in the plan's order.
    ///
    /// # Errors
    /// If files cannot be written; what was there before is then still there.
    pub fn finish(&self, meta: &Meta, cells: &[Finished]) -> Result<(), FolderError> {
        let aside = self.empty_aside()?;
        let mut files = serde_json::Map::new();
        let summaries: Vec<&CellSummary> = cells.iter().map(|cell| &cell.summary).collect();
        let best = pareto(&summaries);
        let sure = resampled(meta, cells);
        let mut tables = Vec::new();
        for (index, (table, _)) in TABLES.iter().enumerate() {
            let mut text = header(table, &meta.keys);
            for ((cell, best), sure) in cells.iter().zip(&best).zip(&sure) {
                let rows = &cell.rows.text[index];
                if *table == "cells" && !rows.is_empty() {
                    // The last columns compare the cell with all others.
                    let sure = sure.map_or(String::new(), |ppm| ppm.to_string());
                    text.push_str(&format!("{},{},{sure}\n", rows.trim_end(), u8::from(*best)));
                } else {
                    text.push_str(rows);
                }
            }
            let mut rows: u64 = cells.iter().map(|cell| cell.rows.rows[index]).sum();
            // What is made of all cells at once.
            if let Some((all, count)) = match *table {
                "comparisons" => Some(comparisons(meta, cells)),
                "effects" => Some(effects(meta, cells)),
                _ => None,
            } {
                text.push_str(&all);
                rows = count;
            }
            files.insert(format!("{table}.csv"), json!({"rows": rows, "sha256": sha256(&text)}));
            write(&aside.join(format!("{table}.csv")), &text)?;
            tables.push(text);
        }
        let timeline = table_place("timeline");
        let timeline_rows: Vec<u64> = cells.iter().map(|cell| cell.rows.rows[timeline]).collect();
        let path = aside.join("results.xlsx");
        let book = workbook(meta, &tables, &timeline_rows)
            .map_err(|error| trouble(&path, std::io::Error::other(error)))?;
        fs::write(&path, book).map_err(|error| trouble(&path, error))?;
        write(&aside.join("report.html"), &report(meta, cells, &best))?;
        let mut manifest = json!({
            "kilopod": env!("CARGO_PKG_VERSION"),
            "results_version": meta.results_version,
            "plan_id": meta.plan_id,
            "name": meta.name,
            "seed": meta.seed,
            "replications": meta.replications,
            "cells": meta.cell_ids.len(),
            "catalogue": meta.catalogue,
            "files": files,
            "input": meta.input,
        });
        if let Some((target, measure)) = &meta.precision {
            manifest["precision"] = json!({"target": target, "measure": measure});
            manifest["stopped_by"] = stopped_by(meta.cell_ids.iter().zip(cells));
        }
        write_json(&aside.join("manifest.json"), &manifest)?;
        write_json(&aside.join("datapackage.json"), &data_package(&meta.name, &meta.keys))?;
        self.put_in_place(&aside)
    }

    /// Puts a folder of these files, by name, in place.
    ///
    /// # Errors
    /// If files cannot be written; what was there before is then still there.
    pub fn place(&self, files: &[(String, String)]) -> Result<(), FolderError> {
        let aside = self.empty_aside()?;
        for (name, text) in files {
            write(&aside.join(name), text)?;
        }
        self.put_in_place(&aside)
    }

    /// Puts a shard's cells in place, with what is needed to merge them.
    ///
    /// # Errors
    /// If files cannot be written; what was there before is then still there.
    pub fn finish_shard(&self, meta: &Meta, cells: &[(String, Finished)]) -> Result<(), FolderError> {
        let aside = self.empty_aside()?;
        for (id, cell) in cells {
            write_json(&aside.join(format!("{id}.json")), &json!(cell))?;
        }
        let mut shard = json!(meta);
        if meta.precision.is_some() {
            shard["stopped_by"] = stopped_by(cells.iter().map(|(id, cell)| (id, cell)));
        }
        write_json(&aside.join(SHARD), &shard)?;
        self.put_in_place(&aside)
    }

    /// A shard's plan and the cells it has.
    ///
    /// # Errors
    /// If the folder is not a shard's, or one of its files cannot be read.
    pub fn read_shard(&self) -> Result<(Meta, BTreeMap<String, Finished>), FolderError> {
        let file = self.path.join(SHARD);
        let meta: Meta = parse(&file, &read(&file)?)?;
        let mut cells = BTreeMap::new();
        for id in &meta.cell_ids {
            let file = self.path.join(format!("{id}.json"));
            if file.exists() {
                cells.insert(id.clone(), parse(&file, &read(&file)?)?);
            }
        }
        Ok((meta, cells))
    }

    fn empty_aside(&self) -> Result<PathBuf, FolderError> {
        let aside = self.beside("new");
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(|error| trouble(&aside, error))?;
        }
        fs::create_dir_all(&aside).map_err(|error| trouble(&aside, error))?;
        Ok(aside)
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

/// By cell, why it has as many replications as it has.
fn stopped_by<'a>(cells: impl Iterator<Item = (&'a String, &'a Finished)>) -> Value {
    cells.map(|(id, cell)| (id.clone(), json!(cell.stopped_by.name()))).collect()
}

pub(super) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, FolderError> {
    serde_json::from_str(text).map_err(|error| trouble(path, error.into()))
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
