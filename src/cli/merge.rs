use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::summary::as_json;
use super::{BAD_INPUT, FAILED, OK, PARTS_DO_NOT_FIT};
use crate::experiment::{Finished, Folder, Meta};

/// Put the parts of a sharded sweep together: the files are those of one machine's run
///
/// Example: kilopod merge results/*.shard-*-of-4 -o results/thousand-pods
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of `sweep --shard`
    #[arg(value_name = "DIR", required = true)]
    parts: Vec<PathBuf>,
    /// Where to write; must not be there yet
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Print what the cells came to as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    if arguments.output.exists() {
        eprintln!("error: {} is there already", arguments.output.display());
        return BAD_INPUT;
    }
    let mut all: Option<Meta> = None;
    let mut cells: BTreeMap<String, (Finished, String)> = BTreeMap::new();
    let mut problems = Vec::new();
    for part in &arguments.parts {
        let (meta, own) = match Folder::new(part).read_shard() {
            Ok(read) => read,
            Err(error) => {
                eprintln!("error: {error}");
                eprintln!("hint: {} must be a folder that sweep --shard wrote", part.display());
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
        problems.iter().for_each(|problem| eprintln!("error: {problem}"));
        return PARTS_DO_NOT_FIT;
    }
    let rows_of = |id: &str| Folder::new(Path::new(&cells[id].1)).shard_rows_file(id);
    let ordered: Vec<Finished> = meta.cell_ids.iter().map(|id| cells[id].0.clone()).collect();
    match Folder::new(&arguments.output).finish(&meta, &ordered, &rows_of) {
        Ok(()) => {
            eprintln!(
                "{} cells of {} parts in {}",
                ordered.len(),
                arguments.parts.len(),
                arguments.output.display()
            );
            match arguments.json {
                true => super::print(&as_json(&arguments.output, &meta, meta.cell_ids.iter().zip(&ordered))),
                false => OK,
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            FAILED
        }
    }
}
