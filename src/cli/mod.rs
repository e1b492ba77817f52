//! The command line. Results go to standard output, everything else to standard error.

/// `eprintln!`, but where nobody reads standard error any more what was to be done is still done.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}

mod cells_table;
mod chart;
mod check;
mod compare;
mod decide;
mod ended;
mod fit_spot;
mod instances;
mod max_pods;
mod merge;
mod plan;
mod run;
mod sensitivity;
mod subject;
mod summary;
mod sweep;
mod types;
mod waited;
mod warm_pool;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::catalogue::Catalogue;
use crate::experiment::{self, Folder, Lock, LockError, Overrides, Plan};

/// It worked.
pub const OK: u8 = 0;
/// Something failed while running.
pub const FAILED: u8 = 1;
/// The input is wrong.
pub const BAD_INPUT: u8 = 2;
/// A claim is broken.
pub const CLAIM_BROKEN: u8 = 3;
/// No claim is broken, but some are undecided.
pub const CLAIM_UNDECIDED: u8 = 4;
/// Parts of a sweep do not belong together, or some are missing.
pub const PARTS_DO_NOT_FIT: u8 = 5;

/// How long until 1000 pods run on EKS, and how many addresses does it waste?
#[derive(Parser)]
#[command(name = "kilopod", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Compare(compare::Arguments),
    Decide(decide::Arguments),
    FitSpot(fit_spot::Arguments),
    Instances(instances::Arguments),
    MaxPods(max_pods::Arguments),
    Merge(merge::Arguments),
    Plan(plan::Arguments),
    Run(run::Arguments),
    Sensitivity(sensitivity::Arguments),
    Sweep(sweep::Arguments),
    WarmPool(warm_pool::Arguments),
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Decide(arguments) => decide::run(&arguments),
        Command::FitSpot(arguments) => fit_spot::run(&arguments),
        Command::Instances(arguments) => instances::run(&arguments),
        Command::MaxPods(arguments) => max_pods::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Sensitivity(arguments) => sensitivity::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::WarmPool(arguments) => warm_pool::run(&arguments),
    };
    ExitCode::from(code)
}

/// Reads an experiment; everything wrong with it is told, and the exit code comes back.
fn read_plan(path: &Path, settings: &[String], overrides: &Overrides) -> Result<Plan, u8> {
    subject::refuse_scenario(path, None)?;
    let catalogue = Arc::new(Catalogue::compiled_in());
    experiment::read_file(path, settings, overrides, &catalogue).map_err(|problems| {
        problems.iter().for_each(|problem| say!("{problem}"));
        BAD_INPUT
    })
}

/// Keeps other runs of this program off a folder of results. If one has it, or there cannot be a lock, that is told, and the exit
/// code comes back.
fn lock(folder: &Folder) -> Result<Lock, u8> {
    folder.lock().map_err(|error| {
        say!("error: {error}");
        if let LockError::Taken { holder, .. } = &error {
            let stop = holder.map_or(String::new(), |pid| format!(", stop it (kill {pid})"));
            say!("hint: wait until it has ended{stop}, or write elsewhere with -o DIR");
        }
        FAILED
    })
}

/// Prints JSON that a person can read too.
fn print_json(value: &serde_json::Value) -> u8 {
    print(&(serde_json::to_string_pretty(value).expect("JSON is text") + "\n"))
}

/// The wall clock, which nothing below the command line sees.
#[expect(clippy::disallowed_methods, reason = "how long the user waited is the command line's to tell")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// Writes `text` to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> u8 {
    use std::io::{ErrorKind, Write};
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => OK,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => OK,
        Err(error) => {
            say!("error: standard output: {error}");
            FAILED
        }
    }
}
