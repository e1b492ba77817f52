use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{BAD_INPUT, FAILED};
use crate::experiment::{Comparing, Comparison, Runs, Stored};
use crate::results::{Kind, Measure, measure_named};

/// Compare cells of a finished sweep with another one, replication by replication
///
/// Differences and ratios are of means, with 95 % intervals for each by itself and for all that are asked for at once.
///
/// Examples:
///   kilopod compare results/thousand-pods --base c0005 c0013
///   kilopod compare results/thousand-pods --base c0005 --measure waste_peak_addresses --json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Folder of a finished sweep
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Cells to compare; all but the base if left out
    #[arg(value_name = "CELL")]
    cells: Vec<String>,
    /// The cell to compare them with
    #[arg(long, value_name = "CELL")]
    base: String,
    /// A column of replications.csv, such as waste_peak_addresses; may be given several times. If left out those of comparisons.csv
    #[arg(long = "measure", value_name = "NAME")]
    measures: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    match compared(arguments) {
        Ok(rows) if arguments.json => super::print_json(&as_json(arguments, &rows)),
        Ok(rows) => super::print(&as_text(arguments, &rows)),
        Err((code, problems)) => {
            problems.iter().for_each(|problem| say!("error: {problem}"));
            code
        }
    }
}

/// A cell less the base in a measure.
struct Row {
    cell: String,
    measure: Measure,
    found: Comparison,
}

/// The rows; on trouble the exit code with all that is wrong.
fn compared(arguments: &Arguments) -> Result<Vec<Row>, (u8, Vec<String>)> {
    let bad = |problems: Vec<String>| (BAD_INPUT, problems);
    let wanted = wanted(&arguments.measures).map_err(bad)?;
    let stored = Stored::open(&arguments.folder).map_err(|error| bad(vec![error]))?;
    let (columns, runs) = stored.runs(&wanted).map_err(|error| (FAILED, vec![error]))?;
    let find = |id: &String| -> Result<&Runs, String> {
        let found = runs.iter().find(|cell| cell.keys[0] == *id);
        let last = runs.last().map_or("", |cell| cell.keys[0].as_str());
        found.ok_or_else(|| format!("{id:?} is no cell of {}; they go up to {last}", stored.name))
    };
    let base = find(&arguments.base).map_err(|error| bad(vec![error]))?;
    let (cells, problems): (Vec<_>, Vec<_>) = match arguments.cells.is_empty() {
        true => runs.iter().filter(|cell| cell.keys[0] != base.keys[0]).map(Ok).partition(Result::is_ok),
        false => arguments.cells.iter().map(find).partition(Result::is_ok),
    };
    if !problems.is_empty() {
        return Err(bad(problems.into_iter().filter_map(Result::err).collect()));
    }
    if !stored.cut_short.is_empty() {
        say!(
            "warning: {} cells were cut short by a time budget: {}",
            stored.cut_short.len(),
            stored.cut_short.join(", ")
        );
    }
    let mut comparing = Comparing::new(cells.len());
    let mut rows = Vec::new();
    for cell in cells.into_iter().flatten() {
        for (place, (_, measure)) in columns.measures.iter().enumerate() {
            let Some(found) = comparing.compare(cell, base, place) else {
                let (id, name) = (&cell.keys[0], &measure.name);
                say!(
                    "warning: {id} and {} share fewer than two replications that have {name}",
                    arguments.base
                );
                continue;
            };
            rows.push(Row { cell: cell.keys[0].clone(), measure: measure.clone(), found });
        }
    }
    Ok(rows)
}

/// The measures of these names.
fn wanted(names: &[String]) -> Result<Vec<Measure>, Vec<String>> {
    let usual = crate::experiment::COMPARED.map(str::to_string);
    let names = if names.is_empty() { &usual[..] } else { names };
    let find = |name: &String| -> Result<Measure, String> {
        match measure_named(name) {
            Err(hint) => Err(format!("{name:?} is no measure; {hint}")),
            Ok(measure) if measure.kind == Kind::Instant => {
                Err(format!("{name:?} has no mean, as a run may never get there; take time_restricted_ms"))
            }
            Ok(measure) => Ok(measure),
        }
    };
    let (found, problems): (Vec<_>, Vec<_>) = names.iter().map(find).partition(Result::is_ok);
    let problems: Vec<String> = problems.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(found.into_iter().flatten().collect()) } else { Err(problems) }
}

fn as_json(arguments: &Arguments, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let scale = row.measure.scale();
        let (own, all) = (&row.found.paired.difference, &row.found.together.difference);
        let end = |end: Option<f64>| end.map(|end| end / scale);
        let ratio = row
            .found
            .ratio
            .map(|ratio| json!({"estimate": ratio.estimate, "low": ratio.low, "high": ratio.high}));
        let wide = row.found.ratio_together.map(|ratio| json!({"low": ratio.low, "high": ratio.high}));
        json!({
            "cell_id": row.cell, "measure": row.measure.name, "unit": row.measure.unit, "pairs": row.found.pairs,
            "difference": {"estimate": own.mean / scale, "low": end(own.low()), "high": end(own.high())},
            "difference_all": {"low": end(all.low()), "high": end(all.high())},
            "ratio": ratio, "ratio_all": wide, "variance_saved": row.found.paired.variance_saved,
        })
    };
    json!({
        "schema_version": 1,
        "folder": arguments.folder.display().to_string(),
        "base_cell_id": arguments.base,
        "comparisons": rows.iter().map(row).collect::<Vec<Value>>(),
    })
}

fn as_text(arguments: &Arguments, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["cell", "measure", "unit", "pairs", "difference", "of all", "ratio", "of all"]);
    for row in rows {
        let print = |value: Option<f64>| value.map_or("?".to_string(), |value| row.measure.print_mean(value));
        let (own, all) = (&row.found.paired.difference, &row.found.together.difference);
        let ratio = row.found.ratio.map(|r| format!("{:.3} ({:.3} to {:.3})", r.estimate, r.low, r.high));
        let wide = row.found.ratio_together.map(|r| format!("{:.3} to {:.3}", r.low, r.high));
        table.add_row([
            row.cell.clone(),
            row.measure.name.clone(),
            row.measure.unit.to_string(),
            row.found.pairs.to_string(),
            format!("{} ({} to {})", print(Some(own.mean)), print(own.low()), print(own.high())),
            format!("{} to {}", print(all.low()), print(all.high())),
            ratio.unwrap_or("?".to_string()),
            wide.unwrap_or("?".to_string()),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{table}\nEach cell less {0}, and its mean over that of {0}, with 95 % intervals for one by itself and, as \"of all\", for all cells at once.\n",
        arguments.base
    )
}
