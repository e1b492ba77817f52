//! The `kilopod` program; see [`kilopod::cli`]. Exit codes: 0 it worked, 1 failed while running, 2 bad input.

use std::process::ExitCode;

fn main() -> ExitCode {
    kilopod::cli::main()
}
