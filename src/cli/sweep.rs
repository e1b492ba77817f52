use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::plan::{PlanArguments, show};
use super::summary::as_json;
use super::{BAD_INPUT, FAILED, OK};
use crate::catalogue::Catalogue;
use crate::experiment::{Finished, Folder, Found, Meta, Plan, Shard, StoppedBy, sweep, sweep_within};
use crate::input::{Document, Problems};
use crate::results::tables::TABLES;
use crate::scenario;
use crate::units::SimDuration;
use crate::units::text::parse_duration;

/// Run every cell of an experiment many times and write the tables
///
/// Examples:
///   kilopod sweep experiments/thousand-pods
///   kilopod sweep experiments/thousand-pods --replications 400 --seed 7 -o results/again
///   kilopod sweep experiments/thousand-pods --dry-run
///   kilopod sweep plan.json --shard 0/4
///   kilopod sweep experiments/thousand-pods --precision 5% --time-budget "10 min"
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// Threads to use; all if left out. Results do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to write; results/NAME if left out
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Stop cells that are not known well enough, each at its next look, after so much time (such as "10 min"). Needs a precision
    #[arg(long, value_name = "TIME", value_parser = |text: &str| parse_duration(text).map_err(|error| error.to_string()))]
    time_budget: Option<SimDuration>,
    /// Run one part of the cells, such as 0/4, 1/4, 2/4 or 3/4; `kilopod merge` puts them together
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Say what would be run, and how long it might take, as `kilopod plan` does
    #[arg(long)]
    dry_run: bool,
    /// Print what the cells came to as JSON instead of a table; with --dry-run the plan
    #[arg(long)]
    json: bool,
    /// Print the experiment as it would be run, itself a valid one
    #[arg(long)]
    show_config: bool,
    /// Replace results of another plan
    #[arg(long)]
    overwrite: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let plan = match arguments.plan.read() {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    if arguments.dry_run {
        return show(&plan, arguments.json);
    }
    plan.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    if arguments.show_config {
        return super::print(&spelled_out(&plan));
    }
    if arguments.time_budget.is_some() && plan.precision.is_none() {
        eprintln!("error: --time-budget stops cells at a look, and a fixed number of replications has none");
        eprintln!("hint: add --precision 5%");
        return BAD_INPUT;
    }
    let name = match arguments.shard {
        None => plan.name.clone(),
        Some(shard) => format!("{}.shard-{}-of-{}", plan.name, shard.index, shard.of),
    };
    let output = arguments.output.clone().unwrap_or_else(|| Path::new("results").join(name));
    let folder = Folder::new(&output);
    match folder.look(&plan) {
        Ok(Found::Complete) if !arguments.overwrite => {
            eprintln!("{} is complete: the same plan was run before", output.display());
            return OK;
        }
        Ok(Found::CutShort) if !arguments.overwrite => {
            eprintln!("error: {} holds this plan's results cut short by a time budget", output.display());
            eprintln!(
                "hint: keep them and write elsewhere with -o DIR, or run the plan anew with --overwrite"
            );
            return BAD_INPUT;
        }
        Ok(Found::Other) if !arguments.overwrite => {
            eprintln!("error: {} holds something else, not the results of this plan", output.display());
            eprintln!("hint: write elsewhere with -o DIR, or replace it with --overwrite");
            return BAD_INPUT;
        }
        Ok(Found::Foreign) => {
            eprintln!("error: {} holds something that is no results of kilopod", output.display());
            eprintln!("hint: write elsewhere with -o DIR; --overwrite replaces results only");
            return BAD_INPUT;
        }
        Ok(Found::OtherUnfinished) if !arguments.overwrite => {
            eprintln!(
                "error: {} holds cells of an interrupted sweep of another plan",
                folder.unfinished().display()
            );
            eprintln!("hint: finish it with the plan it began with, or give it up with --overwrite");
            return BAD_INPUT;
        }
        Ok(_) => {}
        Err(error) => {
            eprintln!("error: {error}");
            return FAILED;
        }
    }
    match execute(&plan, arguments, &folder) {
        Ok((cells, took)) => {
            let text = report(&plan, &cells, took);
            let files = if arguments.shard.is_some() {
                format!("{}: a part; kilopod merge puts all parts together\n", output.display())
            } else {
                let tables = TABLES.map(|(name, _)| format!("{name}.csv")).join(", ");
                format!(
                    "{}: report.html, results.xlsx, {tables}, manifest.json, datapackage.json\n",
                    output.display()
                )
            };
            let code = match arguments.json {
                true => super::print(&as_json(
                    &output,
                    &Meta::of(&plan),
                    cells.iter().map(|(id, cell)| (id, cell)),
                )),
                false => super::print(&(text + &files)),
            };
            tell_stops(&plan, &cells);
            let failed: u64 = cells.iter().map(|(_, cell)| cell.failures).sum();
            if failed == 0 {
                return code;
            }
            eprintln!(
                "error: {failed} replications failed; failures.csv has the command that shows each again"
            );
            FAILED
        }
        Err(error) => {
            eprintln!("error: {error}");
            FAILED
        }
    }
}

/// The experiment with every default of its scenario.
fn spelled_out(plan: &Plan) -> String {
    let mut whole: toml::Table = plan.resolved.parse().expect("what was TOML is TOML");
    if let Some(scenario) = whole.get_mut("scenario") {
        let text = toml::to_string(scenario).expect("what was TOML is TOML");
        let document = Document::parse("scenario", &text, &mut Problems::default());
        let catalogue = Arc::new(Catalogue::compiled_in());
        *scenario = scenario::spelled_out(&document, &plan.name, &plan.folder, &catalogue).into();
    }
    toml::to_string(&whole).expect("a table is TOML")
}

/// A plan's finished cells with their ids, and how long they took.
type Executed = (Vec<(String, Finished)>, Duration);

fn execute(
    plan: &Plan,
    arguments: &Arguments,
    folder: &Folder,
) -> Result<Executed, Box<dyn std::error::Error>> {
    let shard = arguments.shard;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads.unwrap_or(0)).build()?;
    folder.open(plan)?;
    let cells = (0..plan.cells.len()).filter(|cell| shard.is_none_or(|shard| shard.has(*cell))).count();
    let work = cells as u64 * u64::from(plan.replications);
    let style = "{bar:40} {pos}/{len} replications, {per_sec}, {eta} left";
    let bar = ProgressBar::new(work).with_style(ProgressStyle::with_template(style)?);
    let began = super::clock();
    let done = |count| bar.inc(count);
    let cells = match arguments.time_budget {
        None => pool.install(|| sweep(plan, shard, folder, &done))?,
        Some(budget) => {
            let is_over = || began.elapsed().as_secs_f64() > budget.secs_f64();
            pool.install(|| sweep_within(plan, shard, folder, &done, &is_over))?
        }
    };
    bar.finish_and_clear();
    let meta = Meta::of(plan);
    match shard {
        Some(_) => folder.finish_shard(&meta, &cells)?,
        None => {
            let cells: Vec<Finished> = cells.iter().map(|(_, cell)| cell.clone()).collect();
            pool.install(|| folder.finish(&meta, &cells, &|id| folder.rows_file(id)))?;
        }
    }
    Ok((cells, began.elapsed()))
}

/// Cells that are not known as well as was asked for.
fn tell_stops(plan: &Plan, cells: &[(String, Finished)]) {
    let Some(precision) = &plan.precision else { return };
    let why =
        [(StoppedBy::Time, "the time was over"), (StoppedBy::Replications, "they had all replications")];
    for (stopped_by, why) in why {
        let short: Vec<&str> = cells
            .iter()
            .filter(|(_, cell)| cell.stopped_by == stopped_by)
            .map(|(id, _)| id.as_str())
            .collect();
        if !short.is_empty() {
            let (first, column) = (short[..short.len().min(5)].join(", "), precision.of.column());
            let more = if short.len() > 5 { ", ..." } else { "" };
            eprintln!(
                "warning: {} of {} cells stopped before {column} was known to {}, as {why}: {first}{more}",
                short.len(),
                cells.len(),
                precision.target_text()
            );
        }
    }
}

/// `161.6 s (158.2 to 163.0)`.
fn instant(three: &[Option<u64>; 3], horizon: &str) -> String {
    let seconds = |ms: u64| format!("{:.0}", ms as f64 / 1e3);
    match three {
        [None, ..] => format!("> {horizon}"),
        [Some(at), low, high] => {
            let low = low.map_or("?".to_string(), seconds);
            format!("{} s ({low} to {})", seconds(*at), high.map_or("?".to_string(), seconds))
        }
    }
}

fn report(plan: &Plan, cells: &[(String, Finished)], took: Duration) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header: Vec<String> = vec!["cell".into()];
    header.extend(plan.factors.iter().map(|factor| factor.name.clone()));
    let fixed = ["reached", "ready", "time to N, p50", "p95", "nodes", "waste", "least free", "USD", "USD/h"];
    header.extend(fixed.map(String::from));
    if plan.precision.is_some() {
        header.extend(["runs", "stopped by"].map(String::from));
    }
    table.set_header(header);
    let of_plan = |id: &str| plan.cells.iter().find(|cell| cell.id() == id).expect("a cell of the plan");
    for (id, finished) in cells {
        let cell = of_plan(id);
        let s = &finished.summary;
        let horizon = cell.scenario.horizon.to_string();
        let mut row = vec![cell.id()];
        row.extend(cell.labels.iter().cloned());
        row.push(format!("{} %", s.reached * 100 / s.replications.max(1)));
        row.push(format!("{:.0}", s.pods_ready));
        row.push(instant(&s.p50, &horizon));
        row.push(instant(&s.p95, &horizon));
        row.push(format!("{:.0}", s.nodes));
        row.push(format!("{:.0}", s.waste));
        row.push(s.least_free.to_string());
        row.push(format!("{:.2}", s.cost_to_target_usd));
        row.push(format!("{:.2}", s.cost_per_hour_usd));
        if plan.precision.is_some() {
            row.extend([s.replications.to_string(), finished.stopped_by.name().to_string()]);
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1 + plan.factors.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let work: u64 = cells.iter().map(|(_, cell)| cell.summary.replications + cell.failures).sum();
    format!(
        "{table}\nReady: pods at the end, on average. Times with 95 % intervals. Waste: addresses attached, less those of pods, less\n\
         one a node, at the target (on average where no run reached it). {work} replications in {:.1} s, {:.0} a second.\n",
        took.as_secs_f64(),
        work as f64 / took.as_secs_f64(),
    )
}
