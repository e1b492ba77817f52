//! `experiment.toml`: a base scenario, factors whose levels set keys of it, and every combination written out.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::label::mangled;
use crate::catalogue::Catalogue;
use crate::input::{Document, Node, Problem, Problems, Section, Value, full_key};
use crate::results::RESULTS_VERSION;
use crate::scenario::{self, Scenario};

/// A factor as written.
#[derive(Clone, PartialEq, Debug)]
pub struct Factor {
    pub name: String,
    /// The dotted keys its levels set (`cni.env.WARM_IP_TARGET`), in order of first mention.
    pub keys: Vec<String>,
    pub levels: Vec<Level>,
}

/// One level: a label and what it sets.
#[derive(Clone, PartialEq, Debug)]
pub struct Level {
    pub label: String,
    /// (dotted key, value)
    pub settings: Vec<(String, Node)>,
}

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
    pub replications: u32,
    pub seed: u64,
    /// The input with everything laid over it, itself a valid experiment.
    pub resolved: String,
    /// A hash of all that results depend on.
    pub id: String,
    /// What the user should know before the run.
    pub warnings: Vec<String>,
}

/// What is typed beside the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub replications: Option<u32>,
    pub seed: Option<u64>,
}

const MOST_CELLS: usize = 1_000_000;

/// Reads an experiment from a folder with an `experiment.toml`, or from such a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_file(
    path: &Path,
    settings: &[String],
    overrides: &Overrides,
    catalogue: &Arc<Catalogue>,
) -> Result<Plan, Vec<Problem>> {
    let file = if path.is_dir() { path.join("experiment.toml") } else { path.to_path_buf() };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let what = format!("{}: {error}", file.display());
        let hint = Some("name a folder with an experiment.toml, or such a file".to_string());
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
    let name = root.text("name", &mut problems).unwrap_or_else(|| name.to_string());
    let replications = root.whole("replications", 1, 10_000_000, &mut problems);
    let replications = overrides.replications.or(replications).unwrap_or(100);
    let seed = seed(&mut root, &mut problems);
    let seed = overrides.seed.or(seed).unwrap_or(1);
    let base = base(&mut root, folder, settings, &mut problems);
    let factors = factors(&mut root, &mut problems);
    root.finish(&mut problems);
    conflicts(&factors, settings, &base, &mut problems);
    let count = factors.iter().map(|factor| factor.levels.len()).product::<usize>();
    if count > MOST_CELLS {
        let what = format!("the factors make {count} cells; {MOST_CELLS} are the most");
        problems.add(&nodes.root.origin, "factors", what, Some("take a factor or levels out".into()));
    }
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let mut cells = Vec::with_capacity(count);
    let (mut found, mut warnings) = (Vec::new(), Vec::new());
    for number in 0..count {
        match cell(number, &factors, &base, &name, folder, catalogue) {
            Ok((cell, more)) => {
                cells.push(cell);
                warnings.extend(more);
            }
            Err(more) => found.extend(more),
        }
    }
    if !found.is_empty() {
        let mut unlike: Vec<Problem> = Vec::new();
        found.into_iter().for_each(|problem| {
            if !unlike.contains(&problem) {
                unlike.push(problem)
            }
        });
        return Err(unlike);
    }
    warnings.sort();
    warnings.dedup();
    replace(&mut document.root, "scenario", base.root);
    replace(&mut document.root, "replications", integer(&nodes.root, i64::from(replications)));
    replace(&mut document.root, "seed", Node { value: Value::Text(seed.to_string()), ..nodes.root.clone() });
    let Value::Table(entries) = &mut document.root.value else { unreachable!("a document is a table") };
    entries.retain(|(key, _)| key != "base");
    let resolved = toml::to_string(&document.root.to_toml()).expect("what was TOML is TOML");
    let id = identity(&resolved, &cells, catalogue);
    Ok(Plan { name, factors, cells, replications, seed, resolved, id, warnings })
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

/// The file that `base` names, with `[scenario]` and the command line laid over it.
pub(crate) fn base(
    root: &mut Section<'_>,
    folder: &Path,
    settings: &[String],
    problems: &mut Problems,
) -> Document {
    let origin = root.origin().clone();
    let mut document = Document { root: Node { origin: origin.clone(), value: Value::Table(Vec::new()) } };
    if let Some(file) = root.text("base", problems) {
        let path = folder.join(&file);
        match std::fs::read_to_string(&path) {
            Ok(text) => document = Document::parse(&path.display().to_string(), &text, problems),
            Err(error) => problems.add(&origin, "base", format!("{}: {error}", path.display()), None),
        }
    }
    if let Some(node) = root.get("scenario") {
        if let Value::Table(entries) = &node.value {
            entries.iter().for_each(|(key, node)| overlay(&mut document.root, key, node));
        } else {
            problems.add(
                &node.origin,
                "scenario",
                format!("a table is wanted, not {}", node.value.kind()),
                None,
            );
        }
    }
    settings.iter().for_each(|setting| document.set(setting, problems));
    document
}

/// Tables are merged, everything else is replaced.
fn overlay(under: &mut Node, key: &str, over: &Node) {
    let Value::Table(entries) = &mut under.value else { return };
    match entries.iter_mut().find(|(known, _)| known == key) {
        Some((_, slot)) => match (&mut slot.value, &over.value) {
            (Value::Table(_), Value::Table(more)) => {
                more.iter().for_each(|(key, node)| overlay(slot, key, node))
            }
            _ => *slot = over.clone(),
        },
        None => entries.push((key.to_string(), over.clone())),
    }
}

fn factors(root: &mut Section<'_>, problems: &mut Problems) -> Vec<Factor> {
    let mut factors: Vec<Factor> = Vec::new();
    for mut section in root.sections("factors", problems).unwrap_or_default() {
        let name = section.text("name", problems).unwrap_or_default();
        let good = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !good || ["cell_id", "replication", "time_ms"].contains(&name.as_str()) {
            let hint = Some("it becomes a column: lower-case letters, digits and _".to_string());
            problems.add(
                section.origin(),
                &section.key("name"),
                format!("{name:?} is no name of a factor"),
                hint,
            );
        }
        if factors.iter().any(|factor| factor.name == name) {
            problems.add(section.origin(), &section.key("name"), format!("{name:?} is there twice"), None);
        }
        let mut factor = Factor { name, keys: Vec::new(), levels: Vec::new() };
        let levels = section.sections("levels", problems).unwrap_or_default();
        if levels.is_empty() {
            let hint = Some("write [[factors.levels]] with label and set".to_string());
            problems.add(section.origin(), &section.key("levels"), "a factor needs levels", hint);
        }
        for mut level in levels {
            read_level(&mut factor, &mut level, problems);
            level.finish(problems);
        }
        section.finish(problems);
        factors.push(factor);
    }
    factors
}

fn read_level(factor: &mut Factor, level: &mut Section<'_>, problems: &mut Problems) {
    let label = level.text("label", problems).unwrap_or_default();
    if let Some(what) = mangled(&label) {
        let hint = Some("choose another, for example one that begins with a word".to_string());
        problems.add(
            level.origin(),
            &level.key("label"),
            format!("a spreadsheet changes {label:?}: it {what}"),
            hint,
        );
    } else if label.is_empty() || factor.levels.iter().any(|known| known.label == label) {
        let what = format!("each level needs a label of its own, {label:?} is none");
        problems.add(level.origin(), &level.key("label"), what, None);
    }
    let mut settings = Vec::new();
    if let Some(mut set) = level.section("set", problems) {
        for (key, node) in set.all() {
            let key = full_key(key);
            let node = match (&node.value, key.starts_with("cni.env.")) {
                // Variables are text, whatever they look like.
                (Value::Integer(number), true) => {
                    Node { origin: node.origin.clone(), value: Value::Text(number.to_string()) }
                }
                _ => node.clone(),
            };
            if !factor.keys.contains(&key) {
                factor.keys.push(key.clone());
            }
            settings.push((key, node));
        }
    }
    factor.levels.push(Level { label, settings });
}

/// A key may be set by one factor only, and not by the command line too.
fn conflicts(factors: &[Factor], settings: &[String], base: &Document, problems: &mut Problems) {
    for (index, factor) in factors.iter().enumerate() {
        for key in &factor.keys {
            if let Some(other) = factors[..index].iter().find(|other| other.keys.contains(key)) {
                let what = format!("{key} is set by the factors {} and {}", other.name, factor.name);
                problems.add(&base.root.origin, "factors", what, None);
            }
            let typed = settings
                .iter()
                .find(|text| text.split_once('=').is_some_and(|(k, _)| full_key(k.trim()) == *key));
            if let Some(text) = typed {
                let what = format!("--set {text} would be overridden by the factor {}", factor.name);
                problems.add(
                    &base.root.origin,
                    "factors",
                    what,
                    Some("change the factor's levels instead".into()),
                );
            }
        }
    }
}

fn cell(
    number: usize,
    factors: &[Factor],
    base: &Document,
    name: &str,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
) -> Result<(Cell, Vec<String>), Vec<Problem>> {
    let mut problems = Problems::default();
    let mut document = base.clone();
    let (mut labels, mut values) = (Vec::new(), Vec::new());
    let mut rest = number;
    let mut places = vec![0; factors.len()];
    // The last factor changes fastest.
    for (place, factor) in places.iter_mut().zip(factors).rev() {
        *place = rest % factor.levels.len();
        rest /= factor.levels.len();
    }
    for (factor, place) in factors.iter().zip(&places) {
        let level = &factor.levels[*place];
        labels.push(level.label.clone());
        for (key, node) in &level.settings {
            document.insert(key, node.clone(), &mut problems);
        }
        values.extend(factor.keys.iter().map(|key| {
            let set = level.settings.iter().find(|(known, _)| known == key);
            set.map_or(String::new(), |(_, node)| match node.to_toml() {
                toml::Value::String(text) => text,
                other => other.to_string(),
            })
        }));
    }
    if !problems.is_empty() {
        return Err(problems.into_vec());
    }
    let read = scenario::read(&document, name, folder, catalogue)?;
    let cell = Cell { number: number as u32 + 1, labels, values, scenario: read.scenario, document };
    Ok((cell, read.warnings))
}

/// Hash of the input, the version of results and whatever catalogue is not the program's own.
fn identity(resolved: &str, cells: &[Cell], standard: &Arc<Catalogue>) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("results {RESULTS_VERSION}\n{resolved}\n{}\n", standard.source));
    for cell in cells.iter().filter(|cell| !Arc::ptr_eq(&cell.scenario.catalogue, standard)).take(1) {
        hash.update(format!("{:?}", cell.scenario.catalogue));
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
