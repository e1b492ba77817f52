//! Combinations that are left out.

use super::{Point, factor_named, level_named, tables};
use crate::experiment::factors::Factor;
use crate::input::{Node, Problems, Section, Value};

/// `exclude = [{ instances = "m5.large", subnets = ["/21", "/20"] }]`: a point goes if one entry fits it in everything that the entry
/// names.
pub(super) fn apply(
    section: &mut Section<'_>,
    factors: &[Factor],
    points: Vec<Point>,
    problems: &mut Problems,
) -> Vec<Point> {
    let key = section.key("exclude");
    let Some(node) = section.get("exclude") else { return points };
    let mut left = points;
    for (node, key, entries) in tables(node, &key, problems) {
        let Some(rule) = read(entries, &key, factors, problems) else { continue };
        let before = left.len();
        left.retain(|point| !rule.iter().all(|(factor, levels)| levels.contains(&point[*factor])));
        if left.len() == before && problems.is_empty() {
            let hint = Some("take it out, or look for a slip in what it names".to_string());
            problems.add(&node.origin, &key, "this excludes nothing that is still there", hint);
        }
    }
    if left.is_empty() && problems.is_empty() {
        problems.add(&node.origin, &key, "this excludes every cell", None);
    }
    left
}

/// What must hold of a point: for a factor, its level is one of these. `None` if something is wrong.
type Rule = Vec<(usize, Vec<usize>)>;

fn read(entries: &[(String, Node)], key: &str, factors: &[Factor], problems: &mut Problems) -> Option<Rule> {
    let mut rule = Vec::new();
    for (name, value) in entries {
        let key = format!("{key}.{name}");
        let factor = factor_named(name, value, &key, factors, problems)?;
        if factors[factor].range.is_some() {
            let what = format!("{name} is a range: what is taken of it cannot be named");
            problems.add(&value.origin, &key, what, Some("narrow the range instead".into()));
            return None;
        }
        let labels = if let Value::Array(labels) = &value.value {
            labels.as_slice()
        } else {
            std::slice::from_ref(value)
        };
        let levels: Vec<Option<usize>> =
            labels.iter().map(|label| level_named(&factors[factor], label, &key, problems)).collect();
        rule.push((factor, levels.into_iter().collect::<Option<Vec<usize>>>()?));
    }
    Some(rule)
}
