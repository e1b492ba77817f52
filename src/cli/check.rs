use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::{BAD_INPUT, CLAIM_BROKEN, CLAIM_UNDECIDED, FAILED, OK};
use crate::advice::{Advice, Claim, Form, Judged, Statistic, judge, judge_results, read_file};
use crate::catalogue::Catalogue;
use crate::experiment::{REPLICATIONS, Stored};
use crate::statistics::Verdict;

/// Try the claims of advice files: each holds, is broken, or is undecided
///
/// Exit code 0: all hold; 3: some are broken; 4: none is broken, some are undecided, or files were skipped since --results has not their cells; 2 where it has none of them.
///
/// Examples:
///   kilopod check experiments/advice
///   kilopod check experiments/advice/c14-default-warm-pool.advice.toml --json
///   kilopod check experiments/advice --junit report.xml
///   kilopod check experiments/advice --looks-up-to 1024
///   kilopod check experiments/advice/c03-subnet-size.advice.toml --results results/thousand-pods
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Files named *.advice.toml, or folders that hold some
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Judge by the results of a finished sweep instead of runs of its own; the advice's experiment must come to the same plan, and base and
    /// candidate be cells of it
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Instead of a fixed number of replications, look after 128, 256, ... of them until all claims are decided, or after so many
    #[arg(long, value_name = "N", conflicts_with = "results", value_parser = clap::value_parser!(u32).range(128..=2_048))]
    looks_up_to: Option<u32>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write a JUnit report for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A file of advice, and what its claims came to.
type Tried = (PathBuf, Advice, Vec<Judged>);
/// A file that the results do not fit, and why.
type Skipped = (PathBuf, String);

/// The files that the paths name, folders gone through in order of name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let trouble = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(trouble)? {
            inside.push(entry.map_err(trouble)?.path());
        }
        inside.sort();
        let before = found.len();
        found.extend(inside.into_iter().filter(|file| file.to_string_lossy().ends_with(".advice.toml")));
        if found.len() == before {
            return Err(format!("{} holds no *.advice.toml", path.display()));
        }
    }
    Ok(found)
}

pub fn run(arguments: &Arguments) -> u8 {
    let files = match files(&arguments.paths) {
        Ok(files) => files,
        Err(error) => {
            say!("error: {error}");
            return BAD_INPUT;
        }
    };
    let catalogue = Arc::new(Catalogue::compiled_in());
    let read: Vec<_> = files.iter().map(|file| read_file(file, &catalogue)).collect();
    let mut bad = false;
    for problem in read.iter().filter_map(|read| read.as_ref().err()).flatten() {
        say!("{problem}");
        bad = true;
    }
    if bad {
        return BAD_INPUT;
    }
    let stored = match arguments.results.as_deref().map(Stored::open).transpose() {
        Ok(stored) => stored,
        Err(error) => {
            say!("error: {error}");
            return BAD_INPUT;
        }
    };
    if let Some(Err(error)) = stored.as_ref().map(|stored| stored.is_as_written(REPLICATIONS)) {
        say!("error: {error}");
        return FAILED;
    }
    let began = super::clock();
    let (mut tried, mut skipped): (Vec<Tried>, Vec<Skipped>) = Default::default();
    for (file, mut advice) in files.into_iter().zip(read.into_iter().flatten()) {
        advice.looks_up_to = arguments.looks_up_to.or(advice.looks_up_to);
        advice.warnings.iter().for_each(|warning| say!("warning: {}: {warning}", file.display()));
        let judged = match &stored {
            None => Ok(judge(&advice)),
            Some(stored) => judge_results(&advice, stored, &catalogue),
        };
        match judged {
            Ok(judged) => tried.push((file, advice, judged)),
            Err(error) => {
                say!("warning: {}: not judged by these results: {error}", file.display());
                skipped.push((file, error));
            }
        }
    }
    if tried.is_empty() {
        say!("error: no claim can be judged by these results");
        return BAD_INPUT;
    }
    if let Some(path) = &arguments.junit
        && let Err(error) = write_junit(path, &tried, &skipped)
    {
        say!("error: {}: {error}", path.display());
        return FAILED;
    }
    let text = match arguments.json {
        true => as_json(&tried, &skipped),
        false => as_text(&tried, skipped.len(), began.elapsed().as_secs_f64()),
    };
    let printed = super::print(&text);
    if printed != OK {
        return printed;
    }
    let any = |verdict| tried.iter().flat_map(|(.., judged)| judged).any(|judged| judged.verdict == verdict);
    match (any(Verdict::Broken), any(Verdict::Undecided) || !skipped.is_empty()) {
        (true, _) => CLAIM_BROKEN,
        (false, true) => CLAIM_UNDECIDED,
        (false, false) => OK,
    }
}

fn statistic(claim: &Claim) -> String {
    let of = match claim.statistic {
        Statistic::Mean => "mean".to_string(),
        Statistic::Quantile(p) => format!("p{:.0}", p * 100.0),
        Statistic::Share => "share with".to_string(),
    };
    let form = match claim.form {
        Form::Candidate => "",
        Form::Difference => "difference of ",
        Form::Ratio => "ratio of ",
    };
    format!("{form}{of} {}", claim.measure.column())
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "?".to_string(),
        Some(value) if value.is_infinite() => "beyond the horizon".to_string(),
        Some(value) if value.abs() >= 1_000.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_string(),
    }
}

fn limits(claim: &Claim) -> String {
    let side = |name: &str, limit: Option<f64>| limit.map(|limit| format!("{name} {}", number(Some(limit))));
    let sides = [side("at least", claim.limits.at_least), side("at most", claim.limits.at_most)];
    sides.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn line(claim: &Claim, judged: &Judged) -> String {
    let (statistic, limits) = (statistic(claim), limits(claim));
    if judged.without_value > 0 {
        let Judged { without_value, replications, .. } = judged;
        return format!(
            "{}: {statistic} has no estimate, claimed {limits}: {without_value} of {replications} replications have no value (most likely \
             they did not reach the target), and a mean over the others would hide them; claim a share, or a metric that every run has",
            claim.says
        );
    }
    format!(
        "{}: {statistic} is {} ({} to {}), claimed {limits}",
        claim.says,
        number(judged.estimate),
        number(judged.low),
        number(judged.high)
    )
}

/// The most that a claim was judged by.
fn used(judged: &[Judged]) -> u32 {
    judged.iter().map(|judged| judged.replications).max().unwrap_or(0)
}

fn as_text(tried: &[Tried], skipped: usize, seconds: f64) -> String {
    let mut text = String::new();
    let mut counts = [0; 3];
    for (_, advice, judged) in tried {
        text.push_str(&format!("{} ({} replications)\n", advice.title, used(judged)));
        for (claim, judged) in advice.claims.iter().zip(judged) {
            counts[judged.verdict as usize] += 1;
            text.push_str(&format!("  {:<10} {}\n", judged.verdict.name(), line(claim, judged)));
        }
    }
    let [hold, broken, undecided] = counts;
    let skipped = match skipped {
        0 => String::new(),
        count => {
            format!("; skipped {count} of {} files, which these results do not fit", count + tried.len())
        }
    };
    text + &format!("{hold} hold, {broken} broken, {undecided} undecided{skipped}, in {seconds:.1} s\n")
}

/// Ends that no data give, or beyond every horizon, are null.
fn as_json(tried: &[Tried], all_skipped: &[Skipped]) -> String {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let files: Vec<Value> = tried
        .iter()
        .map(|(file, advice, judged)| {
            let claims: Vec<Value> = advice
                .claims
                .iter()
                .zip(judged)
                .map(|(claim, judged)| {
                    json!({
                        "says": claim.says, "metric": claim.measure.column(), "statistic": statistic(claim),
                        "verdict": judged.verdict.name(), "estimate": finite(judged.estimate),
                        "low": finite(judged.low), "high": finite(judged.high),
                        "at_least": claim.limits.at_least, "at_most": claim.limits.at_most,
                        "confidence": claim.confidence, "replications": judged.replications,
                        "without_value": judged.without_value,
                    })
                })
                .collect();
            let file = file.display().to_string();
            json!({
                "file": file, "title": advice.title, "replications": used(judged), "looks_up_to": advice.looks_up_to,
                "claims": claims,
            })
        })
        .collect();
    let skipped = |(file, why): &Skipped| json!({"file": file.display().to_string(), "reason": why});
    let mut answer = json!({"schema_version": 1, "files": files});
    if !all_skipped.is_empty() {
        answer["skipped"] = all_skipped.iter().map(skipped).collect();
    }
    serde_json::to_string_pretty(&answer).expect("JSON is text") + "\n"
}

fn write_junit(path: &Path, tried: &[Tried], skipped: &[Skipped]) -> Result<(), Box<dyn std::error::Error>> {
    let mut report = Report::new("kilopod check");
    for (file, advice, judged) in tried {
        let mut suite = TestSuite::new(file.display().to_string());
        for (claim, judged) in advice.claims.iter().zip(judged) {
            let mut status = match judged.verdict {
                Verdict::Holds => TestCaseStatus::success(),
                Verdict::Broken => TestCaseStatus::non_success(NonSuccessKind::Failure),
                Verdict::Undecided => TestCaseStatus::skipped(),
            };
            status.set_message(line(claim, judged));
            suite.add_test_case(TestCase::new(claim.says.clone(), status));
        }
        report.add_test_suite(suite);
    }
    for (file, why) in skipped {
        let mut suite = TestSuite::new(file.display().to_string());
        let mut status = TestCaseStatus::skipped();
        status.set_message(why.clone());
        suite.add_test_case(TestCase::new("judged by these results", status));
        report.add_test_suite(suite);
    }
    std::fs::write(path, report.to_string()?)?;
    Ok(())
}
