use std::path::{Path, PathBuf};
use std::sync::Arc;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::plan::in_words;
use super::{BAD_INPUT, FAILED};
use crate::catalogue::Catalogue;
use crate::experiment::sensitivity::{
    ESTIMATED, Options, RESTRICTED_TIME, Screened, Shared, Study, files, json,
};
use crate::experiment::{Folder, Found};
use crate::input::Problem;
use crate::statistics::{NoiseShare, Share};

/// Find the assumptions that a result hangs on
///
/// Morris' screening over many factors, then variance shares (Sobol') of the at most eight that matter. A factor is a latency, multiplied by 0.5 to 2 or by what is typed, or a key of the scenario with its values; `estimated` stands for all latencies that models/latency.toml grades so.
///
/// Examples:
///   kilopod sensitivity experiments/thousand-pods --cell c0055
///   kilopod sensitivity experiments/scenarios/thousand-pods.toml \
///       --factors estimated,WARM_IP_TARGET=1..10
///   kilopod sensitivity experiments/thousand-pods --cell c0055 --measure cost_to_target_usd \
///       --factors "boot_system_al2023=0.5..3,karpenter.batch_idle=0.5 s..3 s,market=calm|tight"
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// A scenario, or an experiment
    #[arg(value_name = "EXPERIMENT|SCENARIO")]
    scenario: PathBuf,
    /// Which cell of the experiment: c0017
    #[arg(long, value_name = "CELL")]
    cell: Option<String>,
    /// A column of replications.csv, with or without its unit: its mean is studied, where a run that never comes to it counts with
    /// its horizon
    #[arg(long, value_name = "COLUMN", default_value = RESTRICTED_TIME)]
    measure: String,
    /// What is varied, with commas between: estimated, LATENCY, LATENCY=0.5..2, KEY=LOW..HIGH, KEY=A|B|C
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', default_value = ESTIMATED)]
    factors: Vec<String>,
    /// Trajectories of the screening, each a point more than there are factors
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    trajectories: u32,
    /// Rows of the variance design, a power of two; each two points more than there are factors
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = power_of_two)]
    samples: u32,
    /// Replications of each point
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    replications: u32,
    /// Seed of all chance; 1, or the experiment's own, if left out
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// A key of the scenario by its path, places in lists from 0 on: deployments.0.cpu=2 or deployments[0].cpu=2;
    /// WARM_IP_TARGET=2 means cni.env.WARM_IP_TARGET. Lists in TOML: 'zones=["us-east-1a"]'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Threads to use; as many as the machine runs at once if left out or 0. Results do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Where to write; results/NAME-sensitivity if left out
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Say what would be run, and how long it might take
    #[arg(long)]
    dry_run: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Replace results of another study
    #[arg(long)]
    overwrite: bool,
}

fn power_of_two(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(count) if count.is_power_of_two() && (8..=65_536).contains(&count) => Ok(count),
        _ => {
            Err("Sobol' points are even in powers of two, of which 8, 16, 32 and so on up to 65536 are taken"
                .to_string())
        }
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    match studied(arguments) {
        Ok(text) => super::print(&text),
        Err(code) => code,
    }
}

/// What is printed in the end; on trouble, which is told, the exit code.
fn studied(arguments: &Arguments) -> Result<String, u8> {
    let cell = arguments.cell.as_deref();
    let subject = super::subject::read(&arguments.scenario, cell, &arguments.settings, arguments.seed)?;
    let options = Options {
        factors: arguments.factors.clone(),
        measure: arguments.measure.clone(),
        trajectories: arguments.trajectories,
        samples: arguments.samples,
        replications: arguments.replications,
    };
    let study = Study::read(subject, options, &Arc::new(Catalogue::compiled_in())).map_err(told)?;
    if arguments.dry_run {
        return Ok(foreseen(&study, arguments.json));
    }
    let name = [Some(study.subject.name.as_str()), study.subject.cell.as_deref(), Some("sensitivity")];
    let name = name.into_iter().flatten().collect::<Vec<_>>().join("-");
    let output = arguments.output.clone().unwrap_or_else(|| Path::new("results").join(name));
    let folder = Folder::new(&output);
    free(&folder, &study, arguments.overwrite)?;
    let _lock = super::lock(&folder)?;
    let began = super::clock();
    let (screened, shared) = execute(&study, arguments.threads)?;
    let seconds = began.elapsed().as_secs_f64();
    folder.place(&files(&study, &screened, &shared)).map_err(|error| {
        say!("error: {error}");
        FAILED
    })?;
    if arguments.json {
        let value = json(&study, &screened, &shared);
        return Ok(serde_json::to_string_pretty(&value).expect("JSON is text") + "\n");
    }
    let output = output.display();
    let files = "report.html, morris.csv, sobol.csv, points.csv, manifest.json, datapackage.json";
    let work = study.screening_work() + study.sharing_work(&screened);
    let each = work as f64 / seconds;
    Ok(format!(
        "{}{work} replications in {seconds:.1} s, {each:.0} a second.\n{output}: {files}\n",
        report(&study, &screened, &shared)
    ))
}

/// What the study would come to.
fn foreseen(study: &Study, json: bool) -> String {
    let began = super::clock();
    let forecast = study.forecast(&|| began.elapsed().as_secs_f64());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if json {
        return serde_json::to_string_pretty(&forecast.to_json(threads)).expect("JSON is text") + "\n";
    }
    let mut text = format!("{} of {}\n", study.response.column, study.subject.name) + &remark(study);
    for factor in &study.factors {
        text.push_str(&format!("  {:<36} {}\n", factor.name, factor.range));
    }
    text + &format!(
        "{} replications of the screening, at most {} to share the variance out\n\
         at most {} on {threads} threads ({:.1} ms a replication, from a trial)\n",
        forecast.screening,
        forecast.sharing,
        in_words(forecast.seconds(threads)),
        forecast.seconds_each * 1e3
    )
}

/// A line on what the measure takes for runs without it.
fn remark(study: &Study) -> String {
    study.response.remark().map_or(String::new(), |remark| format!("mind that {remark}\n"))
}

fn told(problems: Vec<Problem>) -> u8 {
    problems.iter().for_each(|problem| say!("{problem}"));
    BAD_INPUT
}

/// Nothing else may be where the results go.
fn free(folder: &Folder, study: &Study, overwrite: bool) -> Result<(), u8> {
    match folder.look_for(&study.id) {
        Ok(Found::Nothing | Found::Complete) => Ok(()),
        Ok(found) if overwrite && found != Found::Foreign => Ok(()),
        Ok(_) => {
            say!("error: {} holds something else, not the results of this study", folder.path().display());
            say!("hint: write elsewhere with -o DIR; --overwrite replaces results, and nothing else");
            Err(BAD_INPUT)
        }
        Err(error) => {
            say!("error: {error}");
            Err(FAILED)
        }
    }
}

fn execute(study: &Study, threads: Option<usize>) -> Result<(Screened, Shared), u8> {
    let failed = |error: &dyn std::fmt::Display| {
        say!("error: {error}");
        FAILED
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    let pool = pool.map_err(|error| failed(&error))?;
    let style =
        ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} replications, {per_sec}, {eta} left");
    let style = style.map_err(|error| failed(&error))?;
    let bar =
        |what: &'static str, work: u64| ProgressBar::new(work).with_style(style.clone()).with_message(what);
    let screening = bar("screening", study.screening_work());
    let screened = pool.install(|| study.screen(&|count| screening.inc(count))).map_err(told)?;
    screening.finish_and_clear();
    let sharing = bar("variance ", study.sharing_work(&screened));
    let shared = pool.install(|| study.share(&screened, &|count| sharing.inc(count))).map_err(told)?;
    sharing.finish_and_clear();
    Ok((screened, shared))
}

fn report(study: &Study, screened: &Screened, shared: &Shared) -> String {
    let (options, response) = (&study.options, &study.response);
    let of_cell = study.subject.cell.as_ref().map_or(String::new(), |cell| format!(", {cell}"));
    let mut text = format!("{} of {}{of_cell}\n{}\n", response.column, study.subject.name, remark(study));
    text.push_str(&format!(
        "Screening, {} trajectories x {} points x {} replications: change for the whole range [{}]\n",
        options.trajectories,
        study.factors.len() + 1,
        options.replications,
        match response.unit {
            "" => "1",
            "ms" => "s",
            unit => unit,
        },
    ));
    text.push_str(&screening(study, screened));
    if shared.indices.is_empty() {
        return text + "\nNothing that was varied changes it.\n\n";
    }
    text.push_str(&format!(
        "\nShares of the variance, {} rows x {} points x {} replications\n",
        options.samples,
        shared.run.factors.len() + 2,
        options.replications,
    ));
    text.push_str(&shares(study, shared));
    if let Some(remark) = shared.remark(study) {
        text.push_str(&format!("mind that {remark}\n"));
    }
    text.push_str(&noise(shared.run.noise));
    text
}

fn screening(study: &Study, screened: &Screened) -> String {
    let mut table = table(&["factor", "varied", "mu*", "95 %", "mu", "sigma"]);
    let print = |value: f64| match study.response.unit {
        "ms" => format!("{:.1}", value / 1e3),
        _ => study.response.print(value),
    };
    let moves = |effect: &&(usize, crate::statistics::Effect)| effect.1.absolute.mean > 0.0;
    for (factor, effect) in screened.effects.iter().filter(moves) {
        let factor = &study.factors[*factor];
        let ends = effect.absolute.low_of_magnitudes().zip(effect.absolute.high());
        table.add_row([
            factor.name.clone(),
            factor.range.clone(),
            print(effect.absolute.mean),
            ends.map_or(String::new(), |(low, high)| format!("{} to {}", print(low), print(high))),
            print(effect.signed.mean),
            print(effect.signed.standard_deviation),
        ]);
    }
    let still: Vec<&str> = screened
        .effects
        .iter()
        .filter(|effect| !moves(effect))
        .map(|(factor, _)| study.factors[*factor].name.as_str())
        .collect();
    let still = if still.is_empty() { String::new() } else { format!("no effect: {}\n", still.join(", ")) };
    format!("{}\n{still}", right(table, 2))
}

fn shares(study: &Study, shared: &Shared) -> String {
    let mut table = table(&["factor", "first order", "95 %", "total", "95 %"]);
    let percent = |value: f64| format!("{:.1} %", value * 100.0);
    let ends = |share: Share| format!("{} to {}", percent(share.low), percent(share.high));
    let mut alone = 0.0;
    for (factor, indices) in shared.run.factors.iter().zip(&shared.indices) {
        alone += indices.first.estimate;
        table.add_row([
            study.factors[*factor].name.clone(),
            percent(indices.first.estimate),
            ends(indices.first),
            percent(indices.total.estimate),
            ends(indices.total),
        ]);
    }
    let rest = match (0.0..=1.0).contains(&alone) {
        true => "their interactions the rest",
        false => "which no shares do: so few rows do not tell what is their interactions'",
    };
    format!("{}\nalone they explain {}, {rest}\n", right(table, 1), percent(alone))
}

fn noise(noise: Option<NoiseShare>) -> String {
    let Some(noise) = noise else {
        return "with one replication a point nothing is known of the noise\n\n".to_string();
    };
    format!(
        "noise: what chance adds to a point's mean is {:.0} % of the variance between points, and {:.1} % without what it adds to\n\
         all of them, which meet the same replications; a total up to the latter may be chance alone\n\n",
        noise.own * 100.0,
        noise.paired * 100.0
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table
}

/// Numbers stand to the right, from this column on.
fn right(mut table: Table, from: usize) -> Table {
    table.column_iter_mut().skip(from).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
