//! The `kilopod` program; see [`kilopod::cli`]. Exit codes: 0 it worked, 1 failed while running, 2 bad input, 3 a claim is
//! broken, 4 none is broken but some are undecided.

use std::process::ExitCode;

fn main() -> ExitCode {
    kilopod::cli::main()
}
