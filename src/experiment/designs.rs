//! `[design]`: which combinations of the factors' levels are cells. Left out, it is every combination.
//!
//! A cell is a place among the levels for each factor; what a design takes of a range becomes a level like any other. So
//! nothing behind it knows one design from another.

mod exclude;
mod grid;
mod one_at_a_time;
mod points;
mod sampled;

use super::factors::Factor;
use crate::input::{Node, Problems, Section, Value, nearest};

/// For each factor the place of its level.
pub(super) type Point = Vec<usize>;

/// A larger grid takes long to run, and longer to look at.
const LARGE_GRID: usize = 10_000;
/// More cells are refused.
pub(super) const MOST_CELLS: usize = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grid,
    Points,
    OneAtATime,
    LatinHypercube,
    Sobol,
}

const KINDS: [(&str, Kind); 5] = [
    ("grid", Kind::Grid),
    ("points", Kind::Points),
    ("one-at-a-time", Kind::OneAtATime),
    ("latin-hypercube", Kind::LatinHypercube),
    ("sobol", Kind::Sobol),
];

/// Has it a cell for every combination of levels? So has a design that is left out, or whose kind is none.
pub(super) fn is_every_combination(design: Option<&Node>) -> bool {
    let text = |node: &Node| node.to_toml().as_str().map(str::to_owned);
    design.is_none_or(|design| {
        let kind = design.get("kind").and_then(text);
        let of_others = KINDS.iter().any(|(name, is)| Some(*name) == kind.as_deref() && *is != Kind::Grid);
        design.get("exclude").is_none() && design.get("zip").is_none() && !of_others
    })
}

/// The points of the design, in the order of their cells. What a sampled design takes of a factor's range is added to its levels.
/// Empty if there are problems.
pub(super) fn points(
    root: &mut Section<'_>,
    factors: &mut [Factor],
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Point> {
    let Some(mut section) = root.section("design", problems) else {
        listed(factors, problems);
        return if problems.is_empty() {
            grid::all(factors, &[], root.origin(), problems, warnings)
        } else {
            Vec::new()
        };
    };
    let kind = section.choice("kind", &KINDS, problems).unwrap_or(Kind::Grid);
    if matches!(kind, Kind::Grid | Kind::OneAtATime) {
        listed(factors, problems);
    }
    let found = match kind {
        Kind::Grid => grid::points(&mut section, factors, problems, warnings),
        Kind::Points => points::points(&mut section, factors, problems),
        Kind::OneAtATime => one_at_a_time::points(&mut section, factors, problems),
        Kind::LatinHypercube => sampled::latin_hypercube(&mut section, factors, problems, warnings),
        Kind::Sobol => sampled::sobol(&mut section, factors, problems, warnings),
    };
    let left = exclude::apply(&mut section, factors, found, problems);
    section.finish(problems);
    left
}

/// A design of listed levels needs some for every factor; where something else is wrong, that may be why there are none.
fn listed(factors: &[Factor], problems: &mut Problems) {
    if !problems.is_empty() {
        return;
    }
    for factor in factors.iter().filter(|factor| factor.levels.is_empty() && !factor.keys.is_empty()) {
        let (what, hint) = match factor.range {
            Some(_) => (
                format!("{} is a range, which this design cannot go through", factor.name),
                "give values, or take [design] with kind = \"latin-hypercube\" or \"sobol\"",
            ),
            None => (
                format!("{} has no values", factor.name),
                "write values = [...], or take [design] with kind = \"points\", whose points have them",
            ),
        };
        problems.add(&factor.origin, "factors", what, Some(hint.into()));
    }
}

/// The factor that `name` means; `key` is where it is named.
fn factor_named(
    name: &str,
    node: &Node,
    key: &str,
    factors: &[Factor],
    problems: &mut Problems,
) -> Option<usize> {
    let found = factors.iter().position(|factor| factor.name == name);
    if found.is_none() {
        let names: Vec<&str> = factors.iter().map(|factor| factor.name.as_str()).collect();
        let hint = match nearest(name, &names) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("the factors are {}", names.join(", ")),
        };
        problems.add(&node.origin, key, format!("{name:?} is no factor"), Some(hint));
    }
    found
}

/// The level of a factor that is meant by its label; `key` is where it is named.
fn level_named(factor: &Factor, node: &Node, key: &str, problems: &mut Problems) -> Option<usize> {
    let text = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Array(_) | Value::Table(_) => String::new(),
        _ => super::factors::print_value(node),
    };
    let unit = factor.unit.as_ref().map(|unit| format!("{text} {unit}"));
    let is_meant = |label: &String| *label == text || unit.as_ref() == Some(label);
    let found = factor.levels.iter().position(|level| is_meant(&level.label));
    if found.is_none() {
        let labels: Vec<&str> = factor.levels.iter().map(|level| level.label.as_str()).collect();
        let hint = match nearest(&text, &labels) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("its levels are {}", labels.join(", ")),
        };
        let what = match text.is_empty() {
            true => format!("a label of {} is wanted, not {}", factor.name, node.value.kind()),
            false => format!("{text:?} is no level of {}", factor.name),
        };
        problems.add(&node.origin, key, what, Some(hint));
    }
    found
}

/// A table of a list, the key it stands under, and its entries.
type Entries<'a> = (&'a Node, String, &'a [(String, Node)]);

/// The tables of a list.
fn tables<'a>(node: &'a Node, key: &str, problems: &mut Problems) -> Vec<Entries<'a>> {
    let wrong = |node: &Node, key: &str, problems: &mut Problems| {
        let hint = Some("for example [{ instances = \"m5.large\", cni = \"default\" }]".to_string());
        let what = format!("a list of tables of factors and labels is wanted, not {}", node.value.kind());
        problems.add(&node.origin, key, what, hint);
    };
    let Value::Array(nodes) = &node.value else {
        wrong(node, key, problems);
        return Vec::new();
    };
    let mut found = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let key = format!("{key}[{index}]");
        match &node.value {
            Value::Table(entries) => found.push((node, key, entries.as_slice())),
            _ => wrong(node, &key, problems),
        }
    }
    found
}
