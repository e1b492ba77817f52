//! A scenario whose experiment has a design that does not read: without cells, what is wrong with it is told as far as that does not
//! hang on the design.

use std::path::Path;
use std::sync::Arc;

use super::design::cell;
use super::designs::{Point, is_every_combination};
use super::factors::Factor;
use crate::catalogue::Catalogue;
use crate::input::{Document, Node, Problem, Problems, Value};

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
    let mut found = keys(base, factors, name, folder, catalogue);
    // Values of ranges are the design's to choose; factors without levels lack them by a mistake that was told.
    let factors: Vec<Factor> = factors.iter().filter(|factor| !factor.levels.is_empty()).cloned().collect();
    let of = |factors: &[Factor], point: &Point| {
        cell(0, point, factors, base, name, folder, catalogue).err().unwrap_or_default()
    };
    let mut first: Point = vec![0; factors.len()];
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

/// Keys that are none, of factors without levels, of which no cell tells.
fn keys(
    base: &Document,
    factors: &[Factor],
    name: &str,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
) -> Problems {
    let mut found = Problems::default();
    for factor in factors.iter().filter(|factor| factor.levels.is_empty()) {
        for key in &factor.keys {
            let mut document = base.clone();
            let value = Node { origin: factor.origin.clone(), value: Value::Text(String::new()) };
            document.insert(key, value, &mut found);
            let told = cell(0, &Point::new(), &[], &document, name, folder, catalogue).err();
            // What is wrong with the value is not the factor's mistake.
            let none = ["there is no key", "there is no latency"];
            let is_none = |problem: &Problem| {
                none.iter().any(|text| problem.what.starts_with(text))
                    || problem.what.ends_with("is not a variable of aws-node")
            };
            found.extend(told.into_iter().flatten().filter(is_none));
        }
    }
    found
}
