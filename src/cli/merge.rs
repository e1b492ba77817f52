use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::cells_table::{Work, cells_table};
use super::summary::{as_json, files};
use super::{BAD_INPUT, FAILED, PARTS_DO_NOT_FIT};
use crate::experiment::{Finished, Folder, Found, Meta, Stored};
use crate::units::SimDuration;

/// Put the parts of a sharded sweep together: the files are those of one machine's run
///
/// Example: kilopod merge results/*.shard-*-of-4 -o results/thousand-pods
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of `sweep --shard`
    #[arg(value_name = "DIR", required = true)]
    parts: Vec<PathBuf>,
    /// Where to write: nothing may be there yet but the same parts, merged before
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Print what the cells came to as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let mut all: Option<Meta> = None;
    let mut cells: BTreeMap<String, (Finished, String)> = BTreeMap::new();
    let mut problems = Vec::new();
    for part in &arguments.parts {
        let (meta, own) = match Folder::new(part).read_shard() {
            Ok(read) => read,
            Err(error) => {
                say!("error: {error}");
                say!("hint: {} must be a folder that sweep --shard wrote", part.display());
                return BAD_INPUT;
            }
        };
        let name = part.display().to_string();
        let first = all.get_or_insert_with(|| meta.clone());
        if *first != meta {
            problems
                .push(format!("{name} is of another plan ({} instead of {})", meta.plan_id, first.plan_id));
            continue;
        }
        for (id, cell) in own {
            match cells.get(&id) {
                Some((known, other)) if *known != cell => {
                    problems.push(format!("{id} differs between {other} and {name}"));
                }
                Some(_) => {}
                None => drop(cells.insert(id, (cell, name.clone()))),
            }
        }
    }
    let meta = all.expect("there is at least one part");
    let missing: Vec<&str> =
        meta.cell_ids.iter().filter(|id| !cells.contains_key(*id)).map(String::as_str).collect();
    if !missing.is_empty() {
        let shown = missing[..missing.len().min(5)].join(", ");
        problems.push(format!("{} of {} cells are missing: {shown} ...", missing.len(), meta.cell_ids.len()));
    }
    if !problems.is_empty() {
        problems.iter().for_each(|problem| say!("error: {problem}"));
        return PARTS_DO_NOT_FIT;
    }
    let ordered: Vec<Finished> = meta.cell_ids.iter().map(|id| cells[id].0.clone()).collect();
    let rows_of = |id: &str| Folder::new(Path::new(&cells[id].1)).shard_rows_file(id);
    if let Err(code) = put(&Folder::new(&arguments.output), &meta, &ordered, &rows_of) {
        return code;
    }
    say!("{} cells of {} parts in {}", ordered.len(), arguments.parts.len(), arguments.output.display());
    let each = meta.cell_ids.iter().zip(&ordered);
    if arguments.json {
        return super::print(&as_json(&arguments.output, &meta, each));
    }
    // Where a factor sets it, parts do not say which cell has which.
    let varies = meta.keys.columns.iter().skip(1 + meta.factors.len()).any(|column| column.name == "horizon");
    let horizon = |_: &str| match varies {
        true => "its horizon".to_string(),
        false => SimDuration::from_millis(meta.horizon_ms).to_string(),
    };
    let table = cells_table(&meta, &horizon, each, &Work::Merged(arguments.parts.len()));
    super::print(&(table + &files(&arguments.output)))
}

/// Writes the whole, unless it is there; on trouble, which is told, the exit code.
fn put(
    folder: &Folder,
    meta: &Meta,
    cells: &[Finished],
    rows_of: &(dyn Fn(&str) -> PathBuf + Sync),
) -> Result<(), u8> {
    if is_there(folder, meta)? {
        return Ok(());
    }
    let _lock = super::lock(folder)?;
    if is_there(folder, meta)? {
        return Ok(());
    }
    folder.finish(meta, cells, rows_of).map_err(|error| {
        say!("error: {error}");
        FAILED
    })
}

/// Whether the folder has this plan's whole results already; whatever else is there is told.
fn is_there(folder: &Folder, meta: &Meta) -> Result<bool, u8> {
    let output = folder.path().display();
    if !folder.path().exists() {
        return Ok(false);
    }
    let found = folder.look_for(&meta.plan_id);
    if let (Ok(Found::Complete), Ok(stored)) = (&found, Stored::open(folder.path())) {
        return match stored.is_whole() {
            Ok(()) => {
                say!("{output} is complete: the same parts were merged before");
                Ok(true)
            }
            Err(error) => {
                say!("error: {error}");
                say!("hint: name another folder with -o DIR");
                Err(FAILED)
            }
        };
    }
    match found {
        Ok(_) => {
            say!("error: {output} is there already, and is not what these parts come to");
            say!("hint: name another folder with -o DIR");
            Err(BAD_INPUT)
        }
        Err(error) => {
            say!("error: {error}");
            Err(FAILED)
        }
    }
}
