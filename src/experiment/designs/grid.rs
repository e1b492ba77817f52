//! Every combination; factors zipped together step as one.

use super::{LARGE_GRID, MOST_CELLS, Point, factor_named};
use crate::experiment::factors::Factor;
use crate::input::{Node, Origin, Problems, Section, Value};

pub(super) fn points(
    section: &mut Section<'_>,
    factors: &[Factor],
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Point> {
    let key = section.key("zip");
    let zip = section.get("zip").map_or(Vec::new(), |node| read_zip(node, &key, factors, problems));
    if problems.is_empty() { all(factors, &zip, section.origin(), problems, warnings) } else { Vec::new() }
}

/// `[["instances", "subnets"]]`: groups of factors with as many levels each.
fn read_zip(node: &Node, key: &str, factors: &[Factor], problems: &mut Problems) -> Vec<Vec<usize>> {
    let hint = "write zip = [[\"instances\", \"subnets\"]]: a list of groups of factors";
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let lists = if let Value::Array(lists) = &node.value { lists.as_slice() } else { &[] };
    if lists.is_empty() {
        problems.add(&node.origin, key, "no factors are zipped", Some(hint.into()));
    }
    for (index, list) in lists.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let names = if let Value::Array(names) = &list.value { names.as_slice() } else { &[] };
        if names.len() < 2 {
            problems.add(&list.origin, &key, "a group zips two factors or more", Some(hint.into()));
        }
        let mut group: Vec<usize> = Vec::new();
        for name in names {
            let Value::Text(text) = &name.value else {
                problems.add(&name.origin, &key, "a factor's name is wanted", Some(hint.into()));
                continue;
            };
            let Some(place) = factor_named(text, name, &key, factors, problems) else { continue };
            if groups.iter().chain([&group]).any(|known| known.contains(&place)) {
                problems.add(&name.origin, &key, format!("{text:?} is zipped twice"), None);
            }
            group.push(place);
        }
        let counts: Vec<String> = group
            .iter()
            .map(|place| format!("{} has {}", factors[*place].name, factors[*place].levels.len()))
            .collect();
        if group.iter().any(|place| factors[*place].levels.len() != factors[group[0]].levels.len()) {
            let what = format!("zipped factors need as many levels each: {}", counts.join(", "));
            problems.add(&list.origin, &key, what, None);
        }
        groups.push(group);
    }
    groups
}

/// Every combination of the levels of factors and groups of them; the last changes fastest, a group stands where its first
/// factor does.
pub(super) fn all(
    factors: &[Factor],
    zip: &[Vec<usize>],
    origin: &Origin,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Point> {
    let group_of = |factor: usize| zip.iter().find(|group| group.contains(&factor));
    let leads = |factor: &usize| group_of(*factor).is_none_or(|group| group.iter().min() == Some(factor));
    let leaders: Vec<usize> = (0..factors.len()).filter(leads).collect();
    let count = leaders
        .iter()
        .try_fold(1usize, |count, leader| count.checked_mul(factors[*leader].levels.len()))
        .unwrap_or(usize::MAX);
    if count > MOST_CELLS {
        let what = format!("the factors make {count} cells; {MOST_CELLS} are the most");
        let hint = "take a factor or levels out, or sample: [design] with kind = \"latin-hypercube\"";
        problems.add(origin, "factors", what, Some(hint.into()));
        return Vec::new();
    }
    if count > LARGE_GRID {
        warnings.push(format!(
            "{count} cells are many; [design] with kind = \"latin-hypercube\" or \"sobol\" spreads fewer over the same levels"
        ));
    }
    let point = |number: usize| {
        let mut point = vec![0; factors.len()];
        let mut rest = number;
        for leader in leaders.iter().rev() {
            let levels = factors[*leader].levels.len();
            let alone = vec![*leader];
            group_of(*leader).unwrap_or(&alone).iter().for_each(|factor| point[*factor] = rest % levels);
            rest /= levels;
        }
        point
    };
    (0..count).map(point).collect()
}
