//! Points spread evenly over ranges and levels: Latin hypercubes and scrambled Sobol' points.

use super::Point;
use crate::experiment::factors::Factor;
use crate::input::{Problems, Section};
use crate::statistics::{self, sobol_points::MOST_DIMENSIONS};

/// What a range comes to is looked up among its numbers so far, which takes long for more.
const MOST_SAMPLED: u32 = 65_536;

/// `cells` and `seed`; the seed is the design's own, so that a study repeated under other chance keeps its points.
struct Sample {
    cells: usize,
    seed: u64,
}

fn read(section: &mut Section<'_>, factors: &[Factor], problems: &mut Problems) -> Sample {
    let cells = section.whole("cells", 1, MOST_SAMPLED, problems);
    if cells.is_none() {
        let hint = Some("write cells = 64".to_string());
        problems.add(
            section.origin_of("cells"),
            &section.key("cells"),
            "how many cells are to be taken?",
            hint,
        );
    }
    if factors.is_empty() {
        problems.add(
            section.origin_of("kind"),
            &section.key("kind"),
            "there are no factors to take points of",
            None,
        );
    }
    let seed = section.whole("seed", 0, u32::MAX, problems).unwrap_or(1);
    Sample { cells: cells.unwrap_or(0) as usize, seed: u64::from(seed) }
}

pub(super) fn latin_hypercube(
    section: &mut Section<'_>,
    factors: &mut [Factor],
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Point> {
    let sample = read(section, factors, problems);
    match ready(factors, problems) {
        true => {
            taken(&statistics::latin_hypercube(sample.cells, factors.len(), sample.seed), factors, warnings)
        }
        false => Vec::new(),
    }
}

pub(super) fn sobol(
    section: &mut Section<'_>,
    factors: &mut [Factor],
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Point> {
    let sample = read(section, factors, problems);
    if factors.len() > MOST_DIMENSIONS {
        let what = format!("{} factors; Sobol' points have {MOST_DIMENSIONS} at most", factors.len());
        problems.add(
            section.origin_of("kind"),
            &section.key("kind"),
            what,
            Some("take a Latin hypercube".into()),
        );
    }
    if !ready(factors, problems) {
        return Vec::new();
    }
    if !sample.cells.is_power_of_two() {
        let (below, above) = (sample.cells.next_power_of_two() / 2, sample.cells.next_power_of_two());
        warnings.push(format!(
            "{} Sobol' points are spread less evenly than {below} or {above}: powers of two fill the space",
            sample.cells
        ));
    }
    taken(&statistics::sobol_points(sample.cells, factors.len(), sample.seed), factors, warnings)
}

/// Has every factor something to be taken of?
fn ready(factors: &[Factor], problems: &mut Problems) -> bool {
    for factor in factors.iter().filter(|factor| factor.levels.is_empty() && factor.range.is_none()) {
        let hint = Some("write range = { from = 1, to = 100 }, values or levels".to_string());
        problems.add(&factor.origin, "factors", format!("{} has nothing to take of", factor.name), hint);
    }
    problems.is_empty()
}

/// What each point means for each factor: a number of its range, or one of its levels, each of which has an equal share.
/// Points that come to the same are taken once.
fn taken(cube: &[Vec<f64>], factors: &mut [Factor], warnings: &mut Vec<String>) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::with_capacity(cube.len());
    let mut known = std::collections::BTreeSet::new();
    for place in cube {
        let of_factor = |(factor, u): (&mut Factor, &f64)| match factor.range {
            Some(range) => factor.level_of(range.value_at(*u, &factor.origin.clone())),
            None => ((u * factor.levels.len() as f64) as usize).min(factor.levels.len() - 1),
        };
        let point: Point = factors.iter_mut().zip(place).map(of_factor).collect();
        if known.insert(point.clone()) {
            points.push(point);
        }
    }
    if points.len() < cube.len() {
        warnings.push(format!(
            "of {} points {} are unlike; the others are left out",
            cube.len(),
            points.len()
        ));
    }
    points
}
