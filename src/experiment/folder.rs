//! The folder of a sweep: cells are kept as they finish, and the whole appears at once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::design::Plan;
use super::lock::{Lock, LockError};
use super::meta::Meta;
use super::outputs::outputs;
use super::precision::StoppedBy;
use super::sweep::Finished;

/// What a shard's folder has beside its cells.
const SHARD: &str = "shard.json";

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct FolderError {
    path: String,
    error: io::Error,
}

/// What lies where the results are to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    Nothing,
    /// The complete results of this very plan.
    Complete,
    /// Results of this very plan, some of whose cells stopped for want of time.
    CutShort,
    /// Results of another plan.
    Other,
    /// Something that no plan gave: it is never replaced.
    Foreign,
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
        if self.path.exists() && !self.is_empty_folder() {
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
                false if known["plan_id"].is_string() => Found::Other,
                false => Found::Foreign,
            });
        }
        let unfinished = self.unfinished().join("plan_id");
        if unfinished.exists() && read(&unfinished)? != plan_id {
            return Ok(Found::OtherUnfinished);
        }
        Ok(Found::Nothing)
    }

    /// Keeps other processes from writing here, until what comes back is dropped.
    ///
    /// # Errors
    /// If one does, or files cannot be made beside the folder.
    pub fn lock(&self) -> Result<Lock, LockError> {
        Lock::take(&self.beside("lock"), &self.path)
    }

    fn is_empty_folder(&self) -> bool {
        fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none())
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
    /// Where the rows of a cell's replications are kept until the end.
    pub fn rows_file(&self, id: &str) -> PathBuf {
        self.unfinished().join(rows_name(id))
    }
    /// The same to write to, after what is there unless begun anew.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn rows_of(&self, id: &str, anew: bool) -> Result<File, FolderError> {
        let path = self.rows_file(id);
        let file = OpenOptions::new().create(true).write(true).truncate(anew).append(!anew).open(&path);
        file.map_err(|error| trouble(&path, error))
    }
    /// What is told where these rows could not be written.
    pub(super) fn no_room(&self, id: &str, error: io::Error) -> FolderError {
        trouble(&self.rows_file(id), error)
    }

    /// A cell that an interrupted sweep finished.
    pub fn load(&self, id: &str) -> Option<Finished> {
        let cell: Finished = serde_json::from_str(&fs::read_to_string(self.cell_file(id)).ok()?).ok()?;
        let known = hash_of(&self.rows_file(id), &mut |_| Ok(())).ok()?;
        (known == cell.replications_sha256).then_some(cell)
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

    /// Writes all tables and the report aside and puts the folder in place; `cells` in the plan's order, the rows of whose
    /// replications lie where `rows_of` tells by their ids.
    ///
    /// # Errors
    /// If files cannot be read or written, or rows are not those that the cell was made of; what was there before is then still
    /// there.
    pub fn finish(
        &self,
        meta: &Meta,
        cells: &[Finished],
        rows_of: &(dyn Fn(&str) -> PathBuf + Sync),
    ) -> Result<(), FolderError> {
        let aside = self.empty_aside()?;
        outputs(&aside, meta, cells, rows_of)?;
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
            let (from, to) = (self.rows_file(id), aside.join(rows_name(id)));
            fs::copy(&from, &to).map_err(|error| trouble(&from, error))?;
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

    /// Where a shard keeps the rows of a cell's replications.
    pub fn shard_rows_file(&self, id: &str) -> PathBuf {
        self.path.join(rows_name(id))
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

/// The SHA-256 of a file, of which `each` is handed piece by piece.
pub(super) fn hash_of(
    path: &Path,
    each: &mut dyn FnMut(&[u8]) -> Result<(), FolderError>,
) -> Result<String, FolderError> {
    let mut file = File::open(path).map_err(|error| trouble(path, error))?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let count = file.read(&mut piece).map_err(|error| trouble(path, error))?;
        if count == 0 {
            return Ok(hex(hash));
        }
        hash.update(&piece[..count]);
        each(&piece[..count])?;
    }
}

fn rows_name(id: &str) -> String {
    format!("{id}.replications.csv")
}

/// By cell, why it has as many replications as it has.
pub(super) fn stopped_by<'a>(cells: impl Iterator<Item = (&'a String, &'a Finished)>) -> Value {
    cells.map(|(id, cell)| (id.clone(), json!(cell.stopped_by.name()))).collect()
}

pub(super) fn sha256(text: &str) -> String {
    hex(Sha256::new_with_prefix(text))
}
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, FolderError> {
    serde_json::from_str(text).map_err(|error| trouble(path, error.into()))
}
pub(super) fn trouble(path: &Path, error: io::Error) -> FolderError {
    FolderError { path: path.display().to_string(), error }
}
fn read(path: &Path) -> Result<String, FolderError> {
    fs::read_to_string(path).map_err(|error| trouble(path, error))
}
pub(super) fn write(path: &Path, text: &str) -> Result<(), FolderError> {
    fs::write(path, text).map_err(|error| trouble(path, error))
}
pub(super) fn write_json(path: &Path, value: &Value) -> Result<(), FolderError> {
    write(path, &(serde_json::to_string_pretty(value).expect("JSON is text") + "\n"))
}
