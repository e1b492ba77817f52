//! `experiment.toml`: a base scenario, factors whose levels set keys of it, and the cells that a design makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::apart;
use super::base::base;
use super::compare_with;
use super::designs::{self, Point};
use super::factors::{Factor, column_value, conflicts, factors};
use super::identity::identity;
use super::plan_file::read_plan;
use super::precision::{self, Precision};
use crate::catalogue::Catalogue;
use crate::input::{Document, Node, Problem, Problems, Section, Value, read_text};
use crate::scenario::{self, Scenario};

/// A design point.
#[derive(Clone, Debug)]
pub struct Cell {
    /// From 1; written `c0001`.
    pub number: u32,
    /// The label of each factor's level.
    pub labels: Vec<String>,
    /// The value of each key of each factor, in order; empty where the level does not set it.
    pub values: Vec<String>,
    pub scenario: Scenario,
    /// What the scenario was read from.
    pub document: Document,
    /// What is valid in it and hardly meant.
    pub warnings: Vec<String>,
}

impl Cell {
    pub fn id(&self) -> String {
        format!("c{:04}", self.number)
    }
}

/// All cells and how often each is run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub factors: Vec<Factor>,
    pub cells: Vec<Cell>,
    /// Of each cell; with a precision, at most.
    pub replications: u32,
    pub precision: Option<Precision>,
    /// By cell, the place of the one it is compared with; `None`: all with the first.
    pub bases: Option<Vec<Option<u32>>>,
    pub seed: u64,
    /// The input with everything laid over it, itself a valid experiment.
    pub resolved: String,
    /// The same with its keys in order, and where files that it names are looked for from.
    pub document: Document,
    pub folder: PathBuf,
    /// SHA-256 of all that results hang on, in hexadecimal digits.
    pub id: String,
    /// What the user should know before the run.
    pub warnings: Vec<String>,
}

/// What is typed beside the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// With a precision: at most.
    pub replications: Option<u32>,
    pub seed: Option<u64>,
    /// Half of the interval over the estimate.
    pub precision: Option<f64>,
    /// Of what: a column of `cells.csv`, or a measure.
    pub measure: Option<String>,
    /// The cell that others are compared with, or levels (`factor=label`) that tell it for each of them.
    pub compare_with: Vec<String>,
}

/// Reads an experiment from a folder with an `experiment.toml`, from such a file, or from a plan (`plan.json`), which is run as
/// it is.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_file(
    path: &Path,
    settings: &[String],
    overrides: &Overrides,
    catalogue: &Arc<Catalogue>,
) -> Result<Plan, Vec<Problem>> {
    if path.extension().is_some_and(|ending| ending == "json") {
        let mut typed: Vec<String> = settings.iter().map(|setting| format!("--set {setting}")).collect();
        typed.extend(overrides.replications.map(|number| format!("--replications {number}")));
        typed.extend(overrides.seed.map(|seed| format!("--seed {seed}")));
        typed.extend(overrides.precision.map(|share| format!("--precision {}%", share * 100.0)));
        typed.extend(overrides.measure.iter().map(|measure| format!("--measure {measure}")));
        typed.extend(overrides.compare_with.iter().map(|with| format!("--compare-with {with}")));
        return if typed.is_empty() { read_plan(path, catalogue) } else { Err(vec![as_it_is(path, &typed)]) };
    }
    let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_path_buf() };
    let text = read_text(&file).map_err(|error| {
        let what = format!("{}: {error}", file.display());
        let hint = "name a folder with an experiment.toml, or such a file";
        let hint = (error.kind() != std::io::ErrorKind::InvalidData).then(|| hint.to_string());
        vec![Problem { place: path.display().to_string(), line: None, key: String::new(), what, hint }]
    })?;
    let mut problems = Problems::default();
    let document = Document::parse(&file.display().to_string(), &text, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let named = if path.is_dir() { path } else { Path::new(path.file_stem().unwrap_or(path.as_os_str())) };
    let named = named.canonicalize().unwrap_or(named.to_path_buf());
    let name = named.file_name().map_or_else(|| "experiment".into(), |name| name.to_string_lossy());
    read(document, settings, overrides, &name, folder, catalogue)
}

/// The experiment's own name, which is that of its folder of results.
fn read_name(root: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    let name = root.text("name", problems)?;
    let leads_away =
        name.contains(['/', '\\']) || name.starts_with('.') || name.chars().any(char::is_control);
    if name.is_empty() || leads_away {
        let what = format!("{name:?} is no name of an experiment");
        let hint = Some("its results go to results/NAME: no /, and no dot at its begin".to_string());
        problems.add(root.origin_of("name"), &root.key("name"), what, hint);
    }
    Some(name)
}

/// A plan is not changed.
fn as_it_is(path: &Path, typed: &[String]) -> Problem {
    let what = format!("a plan is run as it is: {} would change it", typed.join(", "));
    let hint = Some("make another: kilopod plan EXPERIMENT --out plan.json".to_string());
    Problem { place: path.display().to_string(), line: None, key: String::new(), what, hint }
}

/// Reads an experiment; `settings` (`key=value`) are laid over its scenario. A file it names is looked for from
/// `folder` on.
///
/// # Errors
/// Everything that is wrong with it, each thing once.
pub fn read(
    mut document: Document,
    settings: &[String],
    overrides: &Overrides,
    name: &str,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::default();
    let nodes = document.clone();
    let mut root = Section::new(&nodes.root, "", &mut problems);
    let name = read_name(&mut root, &mut problems).unwrap_or_else(|| name.to_string());
    let replications = root.whole("replications", 1, 10_000_000, &mut problems);
    let precision = precision::read(&mut root, overrides, &mut problems);
    // A precision has a number of its own.
    let typed = overrides.replications.filter(|_| precision.is_none());
    let replications = typed.or(replications).unwrap_or(100);
    let seed = seed(&mut root, &mut problems);
    let seed = overrides.seed.or(seed).unwrap_or(1);
    let keys = ["base", "scenario", "factors"];
    if keys.iter().all(|key| nodes.root.get(key).is_none()) {
        let hint = "write base = \"scenario.toml\" or [scenario], and [[factors]] that change it";
        problems.add(root.origin(), "", "this experiment has no scenario", Some(hint.to_string()));
    }
    let mut of_base = Problems::default();
    let base = base(&mut root, folder, settings, &mut of_base);
    // One of which a part is missing would seem to lack it.
    let is_there = of_base.is_empty() && keys.iter().any(|key| nodes.root.get(key).is_some());
    problems.extend(of_base.into_vec());
    let mut factors = factors(&mut root, &mut problems);
    conflicts(&factors, settings, &mut problems);
    let mut warnings = Vec::new();
    let compare_with = compare_with::read(&mut root, &overrides.compare_with, &mut problems);
    let points = designs::points(&mut root, &mut factors, &mut problems, &mut warnings);
    root.finish(&mut problems);
    if !problems.is_empty() {
        if is_there {
            let design = nodes.root.get("design");
            problems.extend(apart::problems(&base, &factors, design, &name, folder, catalogue));
        }
        return Err(problems.with_warnings(warnings));
    }
    let mut cells = Vec::with_capacity(points.len());
    let mut found = Problems::default();
    for (number, point) in (1..).zip(&points) {
        match cell(number, point, &factors, &base, &name, folder, catalogue) {
            Ok(cell) => {
                warnings.extend(cell.warnings.iter().cloned());
                cells.push(cell);
            }
            Err(more) => found.extend(more),
        }
    }
    if !found.is_empty() {
        return Err(found.with_warnings(warnings));
    }
    let bases = compare_with.as_ref().map(|with| with.bases(&factors, &cells, &mut problems));
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    warnings.sort();
    warnings.dedup();
    replace(&mut document.root, "scenario", base.root);
    replace(&mut document.root, "replications", integer(&nodes.root, i64::from(replications)));
    replace(&mut document.root, "seed", Node { value: Value::Text(seed.to_string()), ..nodes.root.clone() });
    if let Some((precision, most)) = &precision {
        replace(&mut document.root, "precision", precision.to_node(*most, &nodes.root));
    }
    if let Some(with) = &compare_with {
        replace(&mut document.root, "compare_with", with.to_node(&nodes.root));
    }
    let Value::Table(entries) = &mut document.root.value else { unreachable!("a document is a table") };
    entries.retain(|(key, _)| key != "base");
    let resolved = toml::to_string(&document.root.to_toml()).expect("what was TOML is TOML");
    let id = identity(&name, &resolved, &factors, &cells, catalogue);
    let folder = folder.to_path_buf();
    let (precision, replications) = match precision {
        Some((precision, most)) => (Some(precision), most),
        None => (None, replications),
    };
    Ok(Plan {
        precision,
        bases,
        name,
        factors,
        cells,
        replications,
        seed,
        resolved,
        document,
        folder,
        id,
        warnings,
    })
}

fn integer(like: &Node, number: i64) -> Node {
    Node { value: Value::Integer(number), ..like.clone() }
}

fn replace(root: &mut Node, key: &str, node: Node) {
    let Value::Table(entries) = &mut root.value else { return };
    match entries.iter_mut().find(|(known, _)| known == key) {
        Some((_, slot)) => *slot = node,
        None => entries.push((key.to_string(), node)),
    }
}

/// A seed is a number or, beyond what TOML's numbers hold, text.
fn seed(root: &mut Section<'_>, problems: &mut Problems) -> Option<u64> {
    let node = root.get("seed")?;
    let seed = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    if seed.is_none() {
        let what = "a seed is a whole number from 0 to 18446744073709551615";
        problems.add(&node.origin, "seed", what, None);
    }
    seed
}

pub(super) fn cell(
    number: u32,
    point: &Point,
    factors: &[Factor],
    base: &Document,
    name: &str,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
) -> Result<Cell, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut document = base.clone();
    let (mut labels, mut values) = (Vec::new(), Vec::new());
    for (factor, place) in factors.iter().zip(point) {
        let level = &factor.levels[*place];
        labels.push(level.label.clone());
        for (key, node) in &level.settings {
            document.insert(key, node.clone(), &mut problems);
        }
        values.extend(factor.keys.iter().map(|key| {
            let set = level.settings.iter().find(|(known, _)| known == key);
            set.map_or(String::new(), |(_, node)| column_value(node))
        }));
    }
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let read = scenario::read(&document, name, folder, catalogue)?;
    Ok(Cell { number, labels, values, scenario: read.scenario, document, warnings: read.warnings })
}
