//! `compare_with`: the cell that others are compared with, or the levels that tell it for each of them.

use super::design::Cell;
use super::factors::Factor;
use crate::input::{Node, Origin, Problems, Section, Value, nearest};

/// What is written.
#[derive(Clone, Debug)]
enum Written {
    /// A cell's id.
    Cell(String),
    /// (factor, label)
    Levels(Vec<(String, String)>),
}

/// Whom cells are compared with, as written and where.
#[derive(Clone, Debug)]
pub(super) struct CompareWith {
    written: Written,
    origin: Origin,
}

const HINT: &str = "write compare_with = \"c0001\" or compare_with = { FACTOR = \"LEVEL\" }; typed: --compare-with c0001 or FACTOR=LEVEL";

/// The experiment's; what is typed goes first.
pub(super) fn read(root: &mut Section<'_>, typed: &[String], problems: &mut Problems) -> Option<CompareWith> {
    let node = root.get("compare_with").cloned();
    if !typed.is_empty() {
        let origin = Origin::Argument(format!("--compare-with {}", typed.join(" --compare-with ")));
        let levels: Option<Vec<(String, String)>> = typed
            .iter()
            .map(|text| text.split_once('=').map(|(factor, label)| (factor.to_string(), label.to_string())))
            .collect();
        return match (levels, typed) {
            (Some(levels), _) => Some(CompareWith { written: Written::Levels(levels), origin }),
            (None, [id]) => Some(CompareWith { written: Written::Cell(id.clone()), origin }),
            (None, _) => {
                problems.add(&origin, "compare_with", "one cell, or levels of factors", Some(HINT.into()));
                None
            }
        };
    }
    let node = node?;
    let written = match &node.value {
        Value::Text(id) => Some(Written::Cell(id.clone())),
        Value::Table(entries) => {
            let label = |node: &Node| match &node.value {
                Value::Text(label) => Some(label.clone()),
                Value::Integer(number) => Some(number.to_string()),
                _ => None,
            };
            let levels: Option<Vec<(String, String)>> =
                entries.iter().map(|(factor, node)| Some((factor.clone(), label(node)?))).collect();
            levels.filter(|levels| !levels.is_empty()).map(Written::Levels)
        }
        _ => None,
    };
    if written.is_none() {
        problems.add(&node.origin, "compare_with", "neither a cell nor levels of factors", Some(HINT.into()));
    }
    Some(CompareWith { written: written?, origin: node.origin.clone() })
}

impl CompareWith {
    /// As an experiment's key has it.
    pub(super) fn to_node(&self, like: &Node) -> Node {
        let text = |text: &String| Node { value: Value::Text(text.clone()), ..like.clone() };
        match &self.written {
            Written::Cell(id) => text(id),
            Written::Levels(levels) => {
                let entries = levels.iter().map(|(factor, label)| (factor.clone(), text(label))).collect();
                Node { value: Value::Table(entries), ..like.clone() }
            }
        }
    }

    /// By cell, the place of the one it is compared with: that named, or that with these levels and the cell's own ones in all
    /// other factors; `None` where there is none.
    pub(super) fn bases(
        &self,
        factors: &[Factor],
        cells: &[Cell],
        problems: &mut Problems,
    ) -> Vec<Option<u32>> {
        let mut bad =
            |what: String, hint: String| problems.add(&self.origin, "compare_with", what, Some(hint));
        let place = |found: &dyn Fn(&Cell) -> bool| cells.iter().position(found).map(|place| place as u32);
        match &self.written {
            Written::Cell(id) => {
                let base = place(&|cell| cell.id() == *id);
                if base.is_none() {
                    bad(
                        format!("{id:?} is no cell"),
                        "kilopod sweep --dry-run --json lists them".to_string(),
                    );
                }
                vec![base; cells.len()]
            }
            Written::Levels(levels) => {
                let mut wanted = vec![None; factors.len()];
                for (name, label) in levels {
                    let Some(at) = factors.iter().position(|factor| factor.name == *name) else {
                        let names: Vec<&str> = factors.iter().map(|factor| factor.name.as_str()).collect();
                        let hint = nearest(name, &names)
                            .map_or(names.join(", "), |name| format!("did you mean {name:?}?"));
                        bad(format!("there is no factor {name:?}"), hint);
                        continue;
                    };
                    let labels: Vec<&str> =
                        factors[at].levels.iter().map(|level| level.label.as_str()).collect();
                    if !labels.contains(&label.as_str()) {
                        bad(
                            format!("{name} has no level {label:?}"),
                            format!("it has {}", labels.join(", ")),
                        );
                    }
                    wanted[at] = Some(label);
                }
                let base = |cell: &Cell| {
                    let label = |at: usize| wanted[at].unwrap_or(&cell.labels[at]);
                    place(&|other| other.labels.iter().enumerate().all(|(at, own)| own == label(at)))
                };
                cells.iter().map(base).collect()
            }
        }
    }
}
