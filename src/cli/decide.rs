use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use clap::ValueEnum;

use super::{BAD_INPUT, FAILED, OK};
use crate::catalogue::Catalogue;
use crate::decide::{Program, answer_line};

/// Answer cases, one JSON line each, as the simulated programs decide them
///
/// Example: echo '{"id":"a","instance_type":"m5.large","until_ms":3000}' | kilopod decide ipamd
#[derive(clap::Args)]
pub struct Arguments {
    /// The program whose decisions are asked for
    what: What,
    /// A file of cases, one a line; standard input if left out
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The horizontal pod autoscaler, one sync
    Hpa,
    /// The VPC CNI's address pool on one node
    Ipamd,
    /// Karpenter's scheduling loop, and what it would ask EC2 for
    Karpenter,
    /// Filter and score of one pod over a cluster's nodes
    KubeScheduler,
}

pub fn run(arguments: &Arguments) -> u8 {
    let program = match arguments.what {
        What::Hpa => Program::Hpa,
        What::Ipamd => Program::Ipamd,
        What::Karpenter => Program::Karpenter,
        What::KubeScheduler => Program::KubeScheduler,
    };
    let input: Box<dyn BufRead> = match &arguments.file {
        None => Box::new(io::stdin().lock()),
        Some(path) => match File::open(path) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => {
                say!("error: {}: {error}", path.display());
                return BAD_INPUT;
            }
        },
    };
    match answer_all(program, input) {
        Ok(true) => OK,
        Ok(false) => BAD_INPUT,
        // The reader has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => OK,
        Err(error) => {
            say!("error: {error}");
            FAILED
        }
    }
}

/// Were all lines good cases?
fn answer_all(program: Program, input: Box<dyn BufRead>) -> io::Result<bool> {
    let catalogue = Catalogue::compiled_in();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut all_good = true;
    for line in input.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let (answer, good) = answer_line(program, &line, &catalogue);
        all_good &= good;
        writeln!(output, "{answer}")?;
    }
    output.flush()?;
    Ok(all_good)
}
