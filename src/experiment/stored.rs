//! A finished sweep's folder, read back by what is made of results.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::hash_of;
use super::precision::StoppedBy;
use super::runs::{Columns, Runs};
use crate::results::Measure;

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
    /// SHA-256 of `replications.csv`.
    sha256: String,
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
            let stopped = manifest["stopped_by"].as_object();
            let cut = stopped.into_iter().flatten().filter(|(_, by)| **by == StoppedBy::Time.name());
            Some(Stored {
                path: path.to_path_buf(),
                name: text(&manifest["name"])?,
                plan_id: text(&manifest["plan_id"])?,
                seed: text(&manifest["seed"])?.parse().ok()?,
                replications: u32::try_from(manifest["replications"].as_u64()?).ok()?,
                precision: target.zip(text(&precision["measure"])),
                cut_short: cut.map(|(cell, _)| cell.clone()).collect(),
                sha256: text(&manifest["files"]["replications.csv"]["sha256"])?,
            })
        };
        read().ok_or_else(|| no_results(&"manifest.json lacks what a sweep writes there"))
    }

    /// Some measures of all replications, by cell.
    ///
    /// # Errors
    /// If `replications.csv` is not as the sweep wrote it, or lacks a measure.
    pub fn runs(&self, measures: &[Measure]) -> Result<(Columns, Vec<Runs>), String> {
        let path = self.path.join("replications.csv");
        let trouble = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let hash = hash_of(&path, &mut |_| Ok(())).map_err(|error| error.to_string())?;
        if hash != self.sha256 {
            return Err(trouble(&"it is not as the sweep wrote it (another SHA-256 than in manifest.json)"));
        }
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
}
