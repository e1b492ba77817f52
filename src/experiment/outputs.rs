//! The files of a finished sweep: tables, workbook, report, manifest. Replications are the one table that may not fit into memory; its
//! rows go from the cells' files to the whole piece by piece.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::comparisons::{COMPARED, comparisons};
use super::effects::{self, effects};
use super::folder::{FolderError, hash_of, hex, sha256, stopped_by, trouble, write, write_json};
use super::meta::Meta;
use super::pareto::{self, resampled};
use super::report::report;
use super::runs::{Columns, Runs};
use super::sweep::Finished;
use super::workbook::{Sheet, sheet, workbook};
use crate::results::data_package;
use crate::results::rows::{CellSummary, pareto};
use crate::results::tables::{TABLES, header, table_place};

/// Where the rows of a cell's replications lie, by its id.
pub(super) type RowsOf<'a> = &'a (dyn Fn(&str) -> PathBuf + Sync);

/// A table that is written: its entry in the manifest, and its sheet if it is small enough.
struct Written {
    entry: Value,
    sheet: Option<Sheet>,
}

/// Writes all files into an empty folder; `cells` in the plan's order.
pub(super) fn outputs(
    folder: &Path,
    meta: &Meta,
    cells: &[Finished],
    rows_of: RowsOf<'_>,
) -> Result<(), FolderError> {
    // The long table on one side, what is made of all cells on the other.
    let (replications, others) =
        rayon::join(|| replications(folder, meta, cells, rows_of), || others(folder, meta, cells, rows_of));
    let mut tables = vec![replications?];
    tables.extend(others?);
    let mut files = serde_json::Map::new();
    let mut sheets = Vec::new();
    for ((name, _), table) in TABLES.iter().zip(tables) {
        files.insert(format!("{name}.csv"), table.entry);
        sheets.extend(table.sheet.map(|sheet| (*name, sheet)));
    }
    let timeline = table_place("timeline");
    let timeline_rows: Vec<u64> = cells.iter().map(|cell| cell.rows.rows[timeline]).collect();
    let path = folder.join("results.xlsx");
    let book =
        workbook(meta, sheets, &timeline_rows).map_err(|error| trouble(&path, io::Error::other(error)))?;
    fs::write(&path, book).map_err(|error| trouble(&path, error))?;
    write_json(&folder.join("manifest.json"), &manifest(meta, cells, files))?;
    write_json(&folder.join("datapackage.json"), &data_package(&meta.name, &meta.keys))
}

fn manifest(meta: &Meta, cells: &[Finished], files: serde_json::Map<String, Value>) -> Value {
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
    manifest
}

/// Puts the cells' rows one after another.
fn replications(
    folder: &Path,
    meta: &Meta,
    cells: &[Finished],
    rows_of: RowsOf<'_>,
) -> Result<Written, FolderError> {
    let path = folder.join("replications.csv");
    let file = File::create(&path).map_err(|error| trouble(&path, error))?;
    let (mut out, mut hash) = (BufWriter::new(file), Sha256::new());
    let mut put = |text: &[u8]| {
        hash.update(text);
        out.write_all(text).map_err(|error| trouble(&path, error))
    };
    put(header("replications", &meta.keys).as_bytes())?;
    for (id, cell) in meta.cell_ids.iter().zip(cells) {
        let from = rows_of(id);
        if hash_of(&from, &mut put)? != cell.replications_sha256 {
            return Err(trouble(&from, io::Error::other("it is not as it was written")));
        }
    }
    out.flush().map_err(|error| trouble(&path, error))?;
    let rows: u64 = cells.iter().map(|cell| cell.rows.rows[table_place("replications")]).sum();
    let text = || fs::read(&path).map_err(|error| trouble(&path, error));
    let sheet = sheet(meta, "replications", rows, text)?;
    Ok(Written { entry: json!({"rows": rows, "sha256": hex(hash)}), sheet })
}

/// Every other table, in order, and the report.
fn others(
    folder: &Path,
    meta: &Meta,
    cells: &[Finished],
    rows_of: RowsOf<'_>,
) -> Result<Vec<Written>, FolderError> {
    let names = [&COMPARED[..], &effects::MEASURES, &pareto::MEASURES].concat();
    let columns = Columns::of(meta, &names);
    let runs: Vec<Option<Runs>> = meta
        .cell_ids
        .par_iter()
        .map(|id| {
            let path = rows_of(id);
            let reader = csv::ReaderBuilder::new().has_headers(false).from_path(&path);
            let read = reader.map_err(io::Error::from).and_then(|reader| columns.read(reader));
            read.map(|mut cells| cells.pop()).map_err(|error| trouble(&path, error))
        })
        .collect::<Result<_, _>>()?;
    let summaries: Vec<&CellSummary> = cells.iter().map(|cell| &cell.summary).collect();
    let best = pareto(&summaries);
    let sure = resampled(meta, &columns, &runs);
    let effects = effects(meta, cells, &columns, &runs);
    let page = || report(meta, cells, &best, &columns, &runs, &effects.0);
    let tables = || -> Result<Vec<Written>, FolderError> {
        let table = |(name, _): &(&str, &str)| {
            let (text, rows) = match *name {
                "comparisons" => comparisons(meta, &columns, &runs),
                "effects" => effects.clone(),
                "cells" => marked(cells, &best, &sure),
                _ => joined(cells, table_place(name)),
            };
            let text = header(name, &meta.keys) + &text;
            write(&folder.join(format!("{name}.csv")), &text)?;
            let entry = json!({"rows": rows, "sha256": sha256(&text)});
            Ok(Written { entry, sheet: sheet(meta, name, rows, || Ok(text.into_bytes()))? })
        };
        TABLES[1..].par_iter().map(table).collect()
    };
    let (page, tables) = rayon::join(page, tables);
    write(&folder.join("report.html"), &page)?;
    tables
}

fn joined(cells: &[Finished], table: usize) -> (String, u64) {
    let text = cells.iter().map(|cell| cell.rows.text[table].as_str()).collect();
    (text, cells.iter().map(|cell| cell.rows.rows[table]).sum())
}

/// The rows of `cells.csv`, whose last columns compare the cell with all others.
fn marked(cells: &[Finished], best: &[bool], sure: &[Option<u32>]) -> (String, u64) {
    let (mut text, mut count) = (String::new(), 0);
    let place = table_place("cells");
    for ((cell, best), sure) in cells.iter().zip(best).zip(sure) {
        let rows = &cell.rows.text[place];
        if !rows.is_empty() {
            let sure = sure.map_or(String::new(), |ppm| ppm.to_string());
            text.push_str(&format!("{},{},{sure}\n", rows.trim_end(), u8::from(*best)));
        }
        count += cell.rows.rows[place];
    }
    (text, count)
}
