//! `*.advice.toml`: what is claimed, of which change to which scenario.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::experiment::{self, Cell, Overrides};
use crate::input::{Document, Node, Problem, Problems, Section, Value, full_key, nearest};
use crate::results::{Kind, Measure, measures};
use crate::scenario::{self, Scenario};
use crate::statistics::{FIRST_LOOK, Limits};

/// Five looks: with more, each would have little of the probability of error left.
const MOST_LOOKED_AT: u32 = 16 * FIRST_LOOK;

/// A file of advice, ready to be tried.
#[derive(Clone, Debug)]
pub struct Advice {
    pub title: String,
    pub base: Scenario,
    pub candidate: Scenario,
    /// What they were read from, the experiment that the base is a cell of, and where files are looked for from.
    pub base_document: Document,
    pub candidate_document: Document,
    pub experiment: Option<PathBuf>,
    pub folder: PathBuf,
    pub replications: u32,
    /// Instead of a fixed number: claims are tried after 128, 256, ... replications until they are decided, or after so many.
    pub looks_up_to: Option<u32>,
    pub seed: u64,
    pub claims: Vec<Claim>,
    pub warnings: Vec<String>,
}

/// What one claim says.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The sentence a person would say.
    pub says: String,
    pub measure: Measure,
    pub statistic: Statistic,
    pub form: Form,
    pub limits: Limits,
    /// One-sided.
    pub confidence: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Statistic {
    Mean,
    /// Runs without a value count as later than all.
    Quantile(f64),
    /// Share of runs that have a value: of `time_to_target_ms`, those that reached the target.
    Share,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The candidate by itself.
    Candidate,
    /// Candidate less base, pair by pair.
    Difference,
    /// Candidate's mean over the base's.
    Ratio,
}

/// Reads a file of advice.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_file(path: &Path, catalogue: &Arc<Catalogue>) -> Result<Advice, Vec<Problem>> {
    let mut problems = Problems::default();
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem {
            place: name.clone(),
            line: None,
            key: String::new(),
            what: error.to_string(),
            hint: None,
        }]
    })?;
    let document = Document::parse(&name, &text, &mut problems);
    let parses = problems.is_empty();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut root = Section::new(&document.root, "", &mut problems);
    let title = root.text("title", &mut problems).unwrap_or_else(|| name.clone());
    let fixed = root.whole("replications", 2, 1_000_000, &mut problems);
    let looks_up_to = root.whole("looks_up_to", FIRST_LOOK, MOST_LOOKED_AT, &mut problems);
    if let (Some(_), Some(most)) = (fixed, looks_up_to) {
        let what = format!("replications is a fixed number, and looks_up_to = {most} has it found");
        problems.add(
            root.origin_of("replications"),
            "replications",
            what,
            Some("leave one of them out".into()),
        );
    }
    let replications = fixed.unwrap_or(60);
    let seed = root.whole("seed", 0, u32::MAX, &mut problems).unwrap_or(1);
    let experiment = root.text("experiment", &mut problems).map(|experiment| folder.join(experiment));
    let mut of_base = Problems::default();
    let mut base = base(&mut root, folder, catalogue, &mut of_base);
    // What is wrong with the scenarios is told beside what is wrong with the advice, once it is known which they are.
    let is_known = parses && of_base.is_empty();
    problems.extend(of_base.into_vec());
    let mut candidate = base.clone();
    for (key, both) in [("set_both", true), ("set", false)] {
        let Some(mut section) = root.section(key, &mut problems) else { continue };
        for (key, node) in section.all() {
            let (key, node) = setting(key, node);
            candidate.insert(&key, node.clone(), &mut problems);
            if both {
                base.insert(&key, node, &mut problems);
            }
        }
    }
    let mut claims = Vec::new();
    for mut section in root.sections("claims", &mut problems).unwrap_or_default() {
        claims.extend(claim(&mut section, &mut problems));
        section.finish(&mut problems);
    }
    if claims.is_empty() && problems.is_empty() {
        problems.add(
            root.origin_of("claims"),
            "claims",
            "advice without a claim cannot be tried",
            Some("write [[claims]]".into()),
        );
    }
    root.finish(&mut problems);
    let mut read = |document: &Document| {
        let read = is_known.then(|| scenario::read(document, &title, folder, catalogue))?;
        read.map_err(|found| problems.extend(found)).ok()
    };
    let (base_document, candidate_document) = (base.clone(), candidate.clone());
    let both = read(&base).zip(read(&candidate));
    let Some((base, candidate)) = both.filter(|_| problems.is_empty()) else {
        return Err(problems.into_vec());
    };
    let mut warnings = base.warnings;
    warnings.extend(candidate.warnings);
    warnings.dedup();
    Ok(Advice {
        title,
        base: base.scenario,
        candidate: candidate.scenario,
        base_document,
        candidate_document,
        experiment,
        folder: folder.to_path_buf(),
        replications,
        looks_up_to,
        seed: u64::from(seed),
        claims,
        warnings,
    })
}

/// A cell of an experiment; or a scenario that is named, written out, or both.
fn base(
    root: &mut Section<'_>,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
    problems: &mut Problems,
) -> Document {
    let (is_named, is_one_chosen) = (root.get("experiment").is_some(), root.get("cell").is_some());
    let experiment = root.text("experiment", problems);
    let cell = root.text("cell", problems);
    if is_named {
        for key in ["base", "scenario"] {
            if root.get(key).is_none() {
                continue;
            }
            let what = format!("the experiment's cell is the base already, and {key} names another");
            let hint = "leave it out, and write what is to be changed of the cell under [set_both]; or leave experiment and cell out";
            problems.add(root.origin_of(key), key, what, Some(hint.into()));
        }
    } else if is_one_chosen {
        let hint = Some("write experiment = \"experiment.toml\" beside it".to_string());
        problems.add(root.origin_of("cell"), "cell", "a cell of which experiment?", hint);
    }
    let written = experiment::base(root, folder, &[], problems);
    let Some(experiment) = experiment else { return written };
    let path = folder.join(&experiment);
    match experiment::read_file(&path, &[], &Overrides::default(), catalogue) {
        Ok(plan) => match plan.cells.iter().find(|known| Some(known.id()) == cell) {
            Some(cell) => return cell.document.clone(),
            // One that is no text was told.
            None if cell.is_none() && is_one_chosen => {}
            None => {
                let what = match cell {
                    Some(cell) => format!("{cell:?} is no cell of {experiment}"),
                    None => format!("which cell of {experiment} is the base?"),
                };
                let last = plan.cells.last().map(Cell::id).unwrap_or_default();
                let hint = format!(
                    "write cell = \"c0001\", or another up to {last}; kilopod sweep {} --dry-run --json lists them",
                    path.display()
                );
                problems.add(root.origin_of("cell"), "cell", what, Some(hint));
            }
        },
        Err(found) => {
            let what = format!("{experiment} cannot be read");
            let hint = Some("what is wrong with it is told with its places there".to_string());
            problems.add(root.origin_of("experiment"), "experiment", what, hint);
            problems.extend(found);
        }
    }
    written
}

fn setting(key: &str, node: &Node) -> (String, Node) {
    let key = full_key(key);
    let value = match (&node.value, key.starts_with("cni.env.")) {
        (Value::Integer(number), true) => Value::Text(number.to_string()),
        (value, _) => value.clone(),
    };
    (key, Node { origin: node.origin.clone(), value })
}

fn claim(section: &mut Section<'_>, problems: &mut Problems) -> Option<Claim> {
    let says = section.text("says", problems).unwrap_or_default();
    if says.is_empty() {
        let hint = Some("write says = \"the sentence a person would say\"".to_string());
        problems.add(section.origin_of("says"), &section.key("says"), "a claim needs its sentence", hint);
    }
    let metric = section.text("metric", problems).unwrap_or_default();
    let all = measures();
    let measure = all.iter().find(|measure| measure.column() == metric).cloned();
    if measure.is_none() {
        let names: Vec<String> = all.iter().map(Measure::column).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // Most often the unit was left off.
        let longer = names.iter().find(|name| metric.len() > 2 && name.starts_with(&metric)).copied();
        let hint = match longer.or(nearest(&metric, &names)) {
            Some(name) => format!("did you mean {name:?}?"),
            None => "docs/columns.md lists the columns of replications.csv".to_string(),
        };
        problems.add(
            section.origin_of("metric"),
            &section.key("metric"),
            format!("{metric:?} is no metric"),
            Some(hint),
        );
    }
    let statistics = [
        ("mean", Statistic::Mean),
        ("p50", Statistic::Quantile(0.5)),
        ("p90", Statistic::Quantile(0.9)),
        ("p95", Statistic::Quantile(0.95)),
        ("share", Statistic::Share),
    ];
    let statistic = section.choice("statistic", &statistics, problems).unwrap_or(Statistic::Mean);
    let forms = [("candidate", Form::Candidate), ("difference", Form::Difference), ("ratio", Form::Ratio)];
    let form = section.choice("form", &forms, problems).unwrap_or(Form::Candidate);
    let wide = 1e15;
    let limits = Limits {
        at_least: section.number("at_least", -wide, wide, problems),
        at_most: section.number("at_most", -wide, wide, problems),
    };
    // One that is no number was told.
    if ["at_least", "at_most"].iter().all(|side| section.get(side).is_none()) {
        let hint = Some("write at_most = or at_least =".to_string());
        problems.add(section.origin_of("at_most"), &section.key("at_most"), "a claim needs a limit", hint);
    }
    let (least, most) = (limits.at_least.unwrap_or(-wide), limits.at_most.unwrap_or(wide));
    let possible = match (statistic, form) {
        (Statistic::Share, Form::Candidate) => 0.0..=1.0,
        (Statistic::Share, Form::Difference) => -1.0..=1.0,
        _ => -wide..=wide,
    };
    if least > most || least > *possible.end() || most < *possible.start() {
        let what = match least > most {
            true => format!("at_least = {least} is above at_most = {most}"),
            false => "no share can be so: shares are from 0 to 1".to_string(),
        };
        problems.add(section.origin_of("at_least"), &section.key("at_least"), what, None);
    }
    let confidence = section.number("confidence", 0.5, 0.9999, problems).unwrap_or(0.95);
    let measure = measure?;
    let instant = measure.kind == Kind::Instant && statistic == Statistic::Mean;
    if instant {
        let what = format!("{metric} has no mean: a run may never get there");
        let hint = Some("take a quantile, the share, or the mean of time_restricted_ms".to_string());
        problems.add(section.origin_of("statistic"), &section.key("statistic"), what, hint);
    }
    if form != Form::Candidate && matches!(statistic, Statistic::Quantile(_)) {
        let what = "differences and ratios are of means or shares";
        problems.add(
            section.origin_of("form"),
            &section.key("form"),
            what,
            Some("take statistic = \"mean\"".into()),
        );
    }
    Some(Claim { says, measure, statistic, form, limits, confidence })
}
