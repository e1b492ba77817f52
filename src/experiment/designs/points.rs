//! The points one by one, as they are listed.

use super::{Point, factor_named, level_named, tables};
use crate::experiment::factors::{Factor, read_value};
use crate::input::{Problems, Section};

/// `points = [{ instances = "m5.large", warm_ip = 2 }]`. A factor with a key and no levels takes values as they come.
pub(super) fn points(
    section: &mut Section<'_>,
    factors: &mut [Factor],
    problems: &mut Problems,
) -> Vec<Point> {
    let key = section.key("points");
    let open: Vec<bool> = factors.iter().map(|factor| factor.levels.is_empty()).collect();
    for factor in factors.iter().filter(|factor| factor.range.is_some()) {
        let what = format!("{} is a range, of which points take nothing", factor.name);
        problems.add(
            &factor.origin,
            "factors",
            what,
            Some("leave the range out: points give the values".into()),
        );
    }
    let Some(node) = section.get("points") else {
        let hint = Some("write [[design.points]] with a label for each factor".to_string());
        problems.add(section.origin(), &key, "this design needs its points", hint);
        return Vec::new();
    };
    let mut found: Vec<Point> = Vec::new();
    for (node, key, entries) in tables(node, &key, problems) {
        let mut point = vec![None; factors.len()];
        for (name, value) in entries {
            let key = format!("{key}.{name}");
            let Some(place) = factor_named(name, value, &key, factors, problems) else { continue };
            point[place] = match open[place] && !factors[place].keys.is_empty() {
                true => read_value(&mut factors[place], value, &key, problems),
                false => level_named(&factors[place], value, &key, problems),
            };
        }
        let unnamed = |factor: &&Factor| !entries.iter().any(|(name, _)| *name == factor.name);
        let missing: Vec<&str> = factors.iter().filter(unnamed).map(|factor| factor.name.as_str()).collect();
        if !missing.is_empty() {
            let what = format!("this point lacks {}", missing.join(", "));
            problems.add(&node.origin, &key, what, Some("a point has a level of every factor".into()));
        }
        let Some(point) = point.into_iter().collect::<Option<Point>>() else { continue };
        if found.contains(&point) {
            problems.add(&node.origin, &key, "this point is there twice", None);
        }
        found.push(point);
    }
    if found.is_empty() && problems.is_empty() {
        problems.add(section.origin(), &key, "this design needs its points", None);
    }
    found
}
