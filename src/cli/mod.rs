//! The command line. Results go to standard output, everything else to standard error.

mod decide;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// It worked.
pub const OK: u8 = 0;
/// Something failed while running.
pub const FAILED: u8 = 1;
/// The input is wrong.
pub const BAD_INPUT: u8 = 2;

/// How long until 1000 pods run on EKS, and how many addresses does it waste?
#[derive(Parser)]
#[command(name = "kilopod", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Decide(decide::Arguments),
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Decide(arguments) => decide::run(&arguments),
    };
    ExitCode::from(code)
}
