//! Latin hypercubes: of n points each n-th of every dimension holds one.
//!
//! Of twenty cubes the one is taken whose two nearest points lie farthest apart (maximin, Morris and Mitchell 1995). A point
//! lies anywhere in its interval (McKay, Beckman and Conover 1979), so each is uniform by itself.

use crate::chance::{Chance, Component};

/// Cubes tried; more gain little.
const TRIES: u32 = 20;
/// Above so many points the first cube is taken: looking at all pairs takes long, and chance alone spreads them well.
const MOST_COMPARED: usize = 1_000;

/// `count` points in the open unit cube of so many `dimensions`, drawn by `seed`.
pub fn latin_hypercube(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f64>> {
    let tries = if count > MOST_COMPARED { 1 } else { TRIES };
    let mut best: Option<(f64, Vec<Vec<f64>>)> = None;
    for number in 0..tries {
        let points = cube(count, dimensions, &Chance::new(seed, number));
        let apart = if tries > 1 { nearest(&points) } else { 0.0 };
        // Of equals the first stays.
        if best.as_ref().is_none_or(|(known, _)| apart > *known) {
            best = Some((apart, points));
        }
    }
    best.map_or(Vec::new(), |(_, points)| points)
}

fn cube(count: usize, dimensions: usize, chance: &Chance) -> Vec<Vec<f64>> {
    let mut points = vec![Vec::with_capacity(dimensions); count];
    for dimension in 0..dimensions as u32 {
        let mut places: Vec<usize> = (0..count).collect();
        // Fisher and Yates' shuffle: even draws; where in its interval a point lies: odd draws.
        for last in (1..count).rev() {
            let draw = 2 * last as u32;
            let other = chance.below(Component::LatinHypercube, dimension, draw, last as u64 + 1);
            places.swap(last, other as usize);
        }
        for (number, (point, place)) in points.iter_mut().zip(places).enumerate() {
            let within = chance.uniform(Component::LatinHypercube, dimension, 2 * number as u32 + 1);
            point.push((place as f64 + within) / count as f64);
        }
    }
    points
}

/// Squared distance of the two points nearest to each other.
fn nearest(points: &[Vec<f64>]) -> f64 {
    let apart = |one: &[f64], other: &[f64]| one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum();
    let mut least = f64::INFINITY;
    for (number, one) in points.iter().enumerate() {
        for other in &points[..number] {
            least = f64::min(least, apart(one, other));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_of_each_dimension_holds_one_point() {
        for count in [1, 2, 7, 100, MOST_COMPARED + 1] {
            let points = latin_hypercube(count, 5, 11);
            for dimension in 0..5 {
                let mut cells: Vec<usize> =
                    points.iter().map(|point| (point[dimension] * count as f64) as usize).collect();
                cells.sort_unstable();
                assert!(cells.into_iter().eq(0..count), "{count} points, dimension {dimension}");
            }
        }
    }

    #[test]
    fn the_cube_taken_is_the_one_with_its_points_farthest_apart() {
        let taken = nearest(&latin_hypercube(30, 2, 4));
        let all: Vec<f64> = (0..TRIES).map(|number| nearest(&cube(30, 2, &Chance::new(4, number)))).collect();
        assert!(all.iter().all(|apart| *apart <= taken) && all.contains(&taken), "{taken} of {all:?}");
    }

    #[test]
    fn the_seed_matters_and_dimensions_are_unlike() {
        let points = latin_hypercube(40, 2, 1);
        assert_eq!(points, latin_hypercube(40, 2, 1));
        assert_ne!(points, latin_hypercube(40, 2, 2));
        let product: f64 = points.iter().map(|point| (point[0] - 0.5) * (point[1] - 0.5)).sum();
        assert!((product / 40.0 * 12.0).abs() < 0.5, "the dimensions go together: {product}");
    }

    #[test]
    fn no_points_are_no_cube() {
        assert!(latin_hypercube(0, 3, 1).is_empty());
    }
}
