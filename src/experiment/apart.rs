//! A scenario whose experiment has a design that does not read: without cells, what is wrong with it is told as far as that does not
//! hang on the design.

use std::path::Path;
use std::sync::Arc;

use super::design::cell;
use super::designs::{Point, is_every_combination};
use super::factors::Factor;
use crate::catalogue::Catalogue;
use crate::input::{Document, Node, Problem, Problems};

/// What is wrong with the scenario whatever the cells are to be. Where they are every combination of levels, each level is seen with
/// the first of every other factor, too.
pub(super) fn problems(
    base: &Document,
    factors: &[Factor],
    design: Option<&Node>,
    name: &str,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
) -> Vec<Problem> {
    // Values of ranges are the design's to choose; factors without levels lack them by a mistake that was told.
    let factors: Vec<Factor> = factors.iter().filter(|factor| !factor.levels.is_empty()).cloned().collect();
    let of = |factors: &[Factor], point: &Point| {
        cell(0, point, factors, base, name, folder, catalogue).err().unwrap_or_default()
    };
    let mut first: Point = vec![0; factors.len()];
    let mut found = Problems::default();
    if !is_every_combination(design) {
        // What levels give or mend is not wrong, and what they bring may be meant for other cells.
        let alone = of(&[], &Point::new());
        found.extend(of(&factors, &first).into_iter().filter(|problem| alone.contains(problem)));
        return found.into_vec();
    }
    found.extend(of(&factors, &first));
    for (place, factor) in factors.iter().enumerate() {
        for level in 1..factor.levels.len() {
            first[place] = level;
            found.extend(of(&factors, &first));
        }
        first[place] = 0;
    }
    found.into_vec()
}
