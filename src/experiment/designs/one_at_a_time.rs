//! A base, and around it each factor moved by itself.

use super::{Point, factor_named, level_named};
use crate::experiment::factors::Factor;
use crate::input::{Problems, Section};

/// The base is the first cell, with which `comparisons.csv` compares all others. A factor that `base` does not name is at its
/// first level there.
pub(super) fn points(section: &mut Section<'_>, factors: &[Factor], problems: &mut Problems) -> Vec<Point> {
    let mut base = vec![0; factors.len()];
    if let Some(mut named) = section.section("base", problems) {
        for (name, value) in named.all() {
            let key = named.key(name);
            let Some(factor) = factor_named(name, value, &key, factors, problems) else { continue };
            base[factor] = level_named(&factors[factor], value, &key, problems).unwrap_or(0);
        }
    }
    let mut points = vec![base.clone()];
    for (place, factor) in factors.iter().enumerate() {
        let others = (0..factor.levels.len()).filter(|level| *level != base[place]);
        points.extend(others.map(|level| {
            let mut point = base.clone();
            point[place] = level;
            point
        }));
    }
    points
}
