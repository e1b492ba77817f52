//! A finished sweep's folder, read back by what is made of results.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::hash_of;
use super::precision::StoppedBy;
use super::runs::{Columns, Runs};
use super::sweep::Finished;
use crate::results::gathered::EXACT_MEASURES;
use crate::results::rows::{CellSummary, SUMMARISED};
use crate::results::{Measure, measures};
use crate::statistics::Tally;

/// The table of all replications.
pub const REPLICATIONS: &str = "replications.csv";

/// What a finished sweep says of itself.
#[derive(Clone, Debug)]
pub struct Stored {
    path: PathBuf,
    pub name: String,
    pub plan_id: String,
    pub seed: u64,
    /// Of each cell; with a precision, at most.
    pub replications: u32,
    /// How precise which measure was to be.
    pub precision: Option<(f64, String)>,
    /// Cells that stopped as the time was over: how many replications they have hung on the machine.
    pub cut_short: Vec<String>,
    /// By cell, why it has no more replications; empty of a fixed number.
    stopped_by: BTreeMap<String, StoppedBy>,
    /// Tables of the sweep, by file, with the SHA-256 of each.
    files: BTreeMap<String, String>,
}

impl Stored {
    /// # Errors
    /// If the folder is not that of a finished sweep.
    pub fn open(path: &Path) -> Result<Stored, String> {
        let manifest = path.join("manifest.json");
        let no_results = |what: &dyn std::fmt::Display| {
            format!("{} is not the folder of a finished sweep: {what}", path.display())
        };
        let text = std::fs::read_to_string(&manifest).map_err(|error| no_results(&error))?;
        let manifest: Value = serde_json::from_str(&text).map_err(|error| no_results(&error))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let read = || {
            let precision = &manifest["precision"];
            let target = text(&precision["target"]).and_then(|target| super::parse_share(&target).ok());
            let stopped_by = manifest["stopped_by"].as_object().into_iter().flatten();
            let stopped_by: BTreeMap<String, StoppedBy> = stopped_by
                .map(|(cell, by)| Some((cell.clone(), serde_json::from_value(by.clone()).ok()?)))
                .collect::<Option<_>>()?;
            let cut = stopped_by.iter().filter(|(_, by)| **by == StoppedBy::Time);
            Some(Stored {
                path: path.to_path_buf(),
                name: text(&manifest["name"])?,
                plan_id: text(&manifest["plan_id"])?,
                seed: text(&manifest["seed"])?.parse().ok()?,
                replications: u32::try_from(manifest["replications"].as_u64()?).ok()?,
                precision: target.zip(text(&precision["measure"])),
                cut_short: cut.map(|(cell, _)| cell.clone()).collect(),
                stopped_by,
                files: manifest["files"]
                    .as_object()?
                    .iter()
                    .map(|(file, entry)| Some((file.clone(), text(&entry["sha256"])?)))
                    .collect::<Option<_>>()?,
            })
        };
        read().ok_or_else(|| no_results(&"manifest.json lacks what a sweep writes there"))
    }

    /// # Errors
    /// Tables that the sweep wrote and that are gone, or else those that were changed since.
    pub fn is_whole(&self) -> Result<(), String> {
        let gone = |file: &&String| !self.path.join(file).exists();
        let gone: Vec<&str> = self.files.keys().filter(gone).map(String::as_str).collect();
        if !gone.is_empty() {
            let (path, gone) = (self.path.display(), gone.join(", "));
            return Err(format!("{path} lacks files that the sweep wrote there: {gone}"));
        }
        let changed: Vec<String> =
            self.files.keys().filter_map(|file| self.is_as_written(file).err()).collect();
        if changed.is_empty() { Ok(()) } else { Err(changed.join("\nerror: ")) }
    }
    /// # Errors
    /// If this table was changed since the sweep wrote it.
    pub fn is_as_written(&self, file: &str) -> Result<(), String> {
        let path = self.path.join(file);
        let hash = hash_of(&path, &mut |_| Ok(())).map_err(|error| error.to_string())?;
        if self.files.get(file) == Some(&hash) {
            return Ok(());
        }
        Err(format!(
            "{}: it is not as the sweep wrote it (another SHA-256 than in manifest.json)",
            path.display()
        ))
    }

    /// Some measures of all replications, by cell.
    ///
    /// # Errors
    /// If `replications.csv` is not as the sweep wrote it, or lacks a measure.
    pub fn runs(&self, measures: &[Measure]) -> Result<(Columns, Vec<Runs>), String> {
        self.is_as_written(REPLICATIONS)?;
        self.read_runs(measures)
    }
    fn read_runs(&self, measures: &[Measure]) -> Result<(Columns, Vec<Runs>), String> {
        let path = self.path.join(REPLICATIONS);
        let trouble = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let read = || -> io::Result<Result<(Columns, Vec<Runs>), String>> {
            let mut reader = csv::Reader::from_path(&path)?;
            let header = reader.headers()?.clone();
            match Columns::under(&header, measures) {
                Ok(columns) => columns.read(reader).map(|runs| Ok((columns, runs))),
                Err(name) => Ok(Err(trouble(&format!("it has no column {name}")))),
            }
        };
        read().map_err(|error| trouble(&error))?
    }

    /// The figures of these cells, as the sweep had them; the rows of their tables stay where they are.
    ///
    /// # Errors
    /// If a table cannot be read, or any is not as the sweep wrote it.
    pub fn cells(&self, ids: &[String]) -> Result<Vec<(String, Finished)>, String> {
        let summarised = measures().into_iter().filter(|measure| SUMMARISED.contains(&measure.name.as_str()));
        self.is_whole()?;
        let (columns, runs) = self.read_runs(&summarised.collect::<Vec<_>>())?;
        let failures = self.failures()?;
        let by_id: BTreeMap<&str, &Runs> = runs.iter().map(|runs| (runs.keys[0].as_str(), runs)).collect();
        let finished = |id: &String| {
            let found = by_id.get(id.as_str());
            let finished = Finished {
                failures: failures.get(id).copied().unwrap_or(0),
                stopped_by: self.stopped_by.get(id).copied().unwrap_or_default(),
                summary: found.map_or_else(CellSummary::default, |runs| summary(&columns, runs)),
                ..Finished::default()
            };
            (id.clone(), finished)
        };
        Ok(ids.iter().map(finished).collect())
    }

    /// By cell, how many of its replications failed.
    fn failures(&self) -> Result<BTreeMap<String, u64>, String> {
        let path = self.path.join("failures.csv");
        let read = || -> csv::Result<BTreeMap<String, u64>> {
            let mut by_cell = BTreeMap::new();
            for row in csv::Reader::from_path(&path)?.records() {
                *by_cell.entry(row?[0].to_string()).or_default() += 1;
            }
            Ok(by_cell)
        };
        read().map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A cell's figures from its replications.
fn summary(columns: &Columns, runs: &Runs) -> CellSummary {
    let tally = |((_, measure), values): (&(usize, Measure), &Vec<Option<f64>>)| {
        let mut tally = Tally::new(EXACT_MEASURES);
        // All of them are printed to the last digit of the raw number.
        values.iter().flatten().for_each(|value| tally.add(value.round() as u64));
        (measure.clone(), tally)
    };
    let measures: Vec<(Measure, Tally<u64>)> = columns.measures.iter().zip(&runs.values).map(tally).collect();
    CellSummary::of(runs.replications.len() as u64, &measures)
}
