use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::cells_table::{Work, cells_table};
use super::plan::{PlanArguments, show};
use super::summary::{as_json, files};
use super::{BAD_INPUT, FAILED};
use crate::catalogue::Catalogue;
use crate::experiment::{
    Cell, Finished, Folder, Found, Meta, Plan, Shard, Step, StoppedBy, Stored, sweep, sweep_within,
};
use crate::input::{Document, Node, Problems, Value, ordered_toml};
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
    /// Threads to use; as many as the machine runs at once if left out or 0. Results do not depend on it
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
    plan.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    if arguments.show_config {
        return super::print(&spelled_out(&plan));
    }
    if arguments.time_budget.is_some() && plan.precision.is_none() {
        say!("error: --time-budget stops cells at a look, and a fixed number of replications has none");
        say!("hint: add --precision 5%");
        return BAD_INPUT;
    }
    let name = match arguments.shard {
        None => plan.name.clone(),
        Some(shard) => format!("{}.shard-{}-of-{}", plan.name, shard.index, shard.of),
    };
    let output = arguments.output.clone().unwrap_or_else(|| Path::new("results").join(name));
    match swept(&plan, arguments, &Folder::new(&output)) {
        Ok(swept) => tell(&plan, arguments, &output, &swept),
        Err(code) => code,
    }
}

/// A plan's finished cells with their ids.
struct Swept {
    cells: Vec<(String, Finished)>,
    work: Work,
}

/// The cells, run, or read back where they are complete; on trouble, which is told, the exit code.
fn swept(plan: &Plan, arguments: &Arguments, folder: &Folder) -> Result<Swept, u8> {
    if is_complete(plan, arguments, folder)? {
        return read_back(plan, arguments, folder);
    }
    let _lock = super::lock(folder)?;
    // Whoever had the lock before may have just ended.
    if is_complete(plan, arguments, folder)? {
        return read_back(plan, arguments, folder);
    }
    execute(plan, arguments, folder).map_err(|error| {
        say!("error: {error}");
        FAILED
    })
}

/// Whether the folder has all of it already. What else is there, and is not to be replaced, is told, with the exit code.
fn is_complete(plan: &Plan, arguments: &Arguments, folder: &Folder) -> Result<bool, u8> {
    let found = folder.look(plan).map_err(|error| {
        say!("error: {error}");
        FAILED
    })?;
    let output = folder.path().display();
    let elsewhere = "write elsewhere with -o DIR, or replace it with --overwrite";
    let (error, hint) = match found {
        Found::Foreign => (
            format!("{output} holds something that is no results of kilopod"),
            "write elsewhere with -o DIR; --overwrite replaces results only",
        ),
        _ if arguments.overwrite => return Ok(false),
        Found::Nothing => return Ok(false),
        Found::Complete => return Ok(true),
        Found::CutShort => (
            format!("{output} holds this plan's results cut short by a time budget"),
            "keep them and write elsewhere with -o DIR, or run the plan anew with --overwrite",
        ),
        Found::Other => (format!("{output} holds something else, not the results of this plan"), elsewhere),
        Found::OtherUnfinished => (
            format!("{} holds cells of an interrupted sweep of another plan", folder.unfinished().display()),
            "finish it with the plan it began with, or give it up with --overwrite",
        ),
    };
    say!("error: {error}\nhint: {hint}");
    Err(BAD_INPUT)
}

/// What the run that filled the folder told.
fn read_back(plan: &Plan, arguments: &Arguments, folder: &Folder) -> Result<Swept, u8> {
    let shard = arguments.shard;
    let cells = match shard {
        Some(_) => folder
            .read_shard()
            .map(|(_, cells)| cells.into_iter().collect())
            .map_err(|error| error.to_string()),
        None => {
            let ids: Vec<String> = plan.cells.iter().map(Cell::id).collect();
            Stored::open(folder.path()).and_then(|stored| stored.cells(&ids))
        }
    };
    match cells {
        Ok(cells) => {
            say!("{} is complete: the same plan was run before", folder.path().display());
            Ok(Swept { cells, work: Work::ReadBack })
        }
        Err(error) => {
            say!("error: {error}");
            say!("hint: write elsewhere with -o DIR, or run the plan anew with --overwrite");
            Err(FAILED)
        }
    }
}

/// Prints what the cells came to.
fn tell(plan: &Plan, arguments: &Arguments, output: &Path, swept: &Swept) -> u8 {
    let cells = &swept.cells;
    let (meta, each) = (Meta::of(plan), cells.iter().map(|(id, cell)| (id, cell)));
    let code = if arguments.json {
        super::print(&as_json(output, &meta, each))
    } else {
        let files = if arguments.shard.is_some() {
            format!("{}: a part; kilopod merge puts all parts together\n", output.display())
        } else {
            files(output)
        };
        let of_plan = |id: &str| plan.cells.iter().find(|cell| cell.id() == id).expect("a cell of the plan");
        let horizon = |id: &str| of_plan(id).scenario.horizon.to_string();
        super::print(&(cells_table(&meta, &horizon, each, &swept.work) + &files))
    };
    tell_stops(plan, cells);
    let failed: u64 = cells.iter().map(|(_, cell)| cell.failures).sum();
    if failed == 0 {
        return code;
    }
    say!("error: {failed} replications failed; failures.csv has the command that shows each again");
    FAILED
}

/// The experiment with every default of its scenario.
fn spelled_out(plan: &Plan) -> String {
    let mut whole: toml::Table = plan.resolved.parse().expect("what was TOML is TOML");
    // Of a folder's experiment it is the folder's name, which a file of another name would not have.
    let mut like = plan.document.root.clone();
    if !whole.contains_key("name") {
        whole.insert("name".into(), plan.name.clone().into());
        if let Value::Table(entries) = &mut like.value {
            let name = Node { value: Value::Text(plan.name.clone()), ..plan.document.root.clone() };
            entries.insert(0, ("name".into(), name));
        }
    }
    if let Some(scenario) = whole.get_mut("scenario") {
        let text = toml::to_string(scenario).expect("what was TOML is TOML");
        let document = Document::parse("scenario", &text, &mut Problems::default());
        let catalogue = Arc::new(Catalogue::compiled_in());
        *scenario = scenario::spelled_out(&document, &plan.name, &plan.folder, &catalogue).into();
    }
    ordered_toml(&whole, &like)
}

fn execute(plan: &Plan, arguments: &Arguments, folder: &Folder) -> Result<Swept, Box<dyn std::error::Error>> {
    let shard = arguments.shard;
    let cells = (0..plan.cells.len()).filter(|cell| shard.is_none_or(|shard| shard.has(*cell))).count();
    let work = cells as u64 * u64::from(plan.replications);
    // More threads than replications would have nothing to do; 0 is as many as the machine runs at once.
    let threads = arguments.threads.unwrap_or(0).min(usize::try_from(work).unwrap_or(usize::MAX));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    folder.open(plan)?;
    let style = "{bar:40} {pos}/{len} replications, {per_sec}, {eta} left";
    let bar = ProgressBar::new(work).with_style(ProgressStyle::with_template(style)?);
    let began = super::clock();
    let made = AtomicU64::new(0);
    let done = |step: Step| {
        if step == Step::Made {
            made.fetch_add(1, Ordering::Relaxed);
        }
        bar.inc(step.count());
    };
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
    Ok(Swept { cells, work: Work::Ran { replications: made.into_inner(), took: began.elapsed() } })
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
            say!(
                "warning: {} of {} cells stopped before {column} was known to {}, as {why}: {first}{more}",
                short.len(),
                cells.len(),
                precision.target_text()
            );
        }
    }
}
