//! Sobol' points with Owen's nested uniform scrambling: evenly spread over the unit cube in any number of them, best in powers
//! of two.
//!
//! The sequence is that of Joe and Kuo's direction numbers (`sobol_directions.txt`) in the order of Gray's code, as Bratley and
//! Fox generate it (ACM Algorithm 659, 1988). Scrambling flips each binary digit by a coin that hangs on all digits before it
//! (Owen, Randomly permuted (t,m,s)-nets, 1995): every point is then uniform by itself, none lies on an edge, and the points keep
//! how evenly they are spread. The coins are addressed by seed, dimension and digits, so the first points of a longer design
//! are those of a shorter one.

use crate::chance::{Chance, Component};

/// Dimensions there are direction numbers for.
pub const MOST_DIMENSIONS: usize = 128;
/// Points a sequence has: one for each number of so many bits.
const BITS: usize = 32;

const DIRECTIONS: &str = include_str!("sobol_directions.txt");

/// The first `count` points in the open unit cube of so many `dimensions`, scrambled by `seed`.
///
/// # Panics
/// Above [`MOST_DIMENSIONS`] or from 2^32 points on.
pub fn sobol_points(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f64>> {
    let chance = Chance::new(seed, 0);
    let place = |digits| (f64::from(digits) + 0.5) / 4_294_967_296.0;
    let mut points = digits(count, dimensions);
    for point in &mut points {
        for (dimension, digits) in point.iter_mut().enumerate() {
            *digits = scrambled(&chance, dimension as u32, *digits);
        }
    }
    points.into_iter().map(|point| point.into_iter().map(place).collect()).collect()
}

/// The points as they are before scrambling: binary digits after the point, the first the highest bit.
fn digits(count: usize, dimensions: usize) -> Vec<Vec<u32>> {
    assert!(
        dimensions <= MOST_DIMENSIONS,
        "{dimensions} dimensions; there are numbers for {MOST_DIMENSIONS}"
    );
    assert!(u32::try_from(count).is_ok(), "{count} points; a sequence has 2^32 at most");
    let directions: Vec<[u32; BITS]> = (1..=dimensions).map(direction_numbers).collect();
    let mut at = vec![0u32; dimensions];
    let mut points = Vec::with_capacity(count);
    for number in 0..count {
        points.push(at.clone());
        // From one number of Gray's code to the next one bit changes: the lowest that is 0.
        let changed = (!number).trailing_zeros() as usize;
        at.iter_mut().zip(&directions).for_each(|(at, numbers)| *at ^= numbers[changed]);
    }
    points
}

/// The digits that each bit of a point's number turns over in a dimension, counted from 1.
fn direction_numbers(dimension: usize) -> [u32; BITS] {
    let mut numbers: [u32; BITS] = std::array::from_fn(|bit| 1 << (BITS - 1 - bit));
    if dimension == 1 {
        return numbers;
    }
    let line = DIRECTIONS.lines().filter(|line| !line.starts_with('#')).nth(dimension - 2);
    let fields: Vec<u32> = line
        .expect("the file has every dimension")
        .split(' ')
        .map(|field| field.parse().expect("the file holds whole numbers"))
        .collect();
    let (degree, inner, initial) = (fields[1] as usize, fields[2], &fields[3..]);
    numbers.iter_mut().zip(initial).for_each(|(number, m)| *number *= m);
    for bit in degree..BITS {
        let mut next = numbers[bit - degree] ^ (numbers[bit - degree] >> degree);
        for term in 1..degree {
            if inner >> (degree - 1 - term) & 1 == 1 {
                next ^= numbers[bit - term];
            }
        }
        numbers[bit] = next;
    }
    numbers
}

/// Each digit turned over or not by a coin of its own for every way the digits before it can be.
fn scrambled(chance: &Chance, dimension: u32, digits: u32) -> u32 {
    let mut flips = 0;
    for bit in 0..BITS as u32 {
        // The digits before this one behind a leading 1: a number of its own for each node of the binary tree.
        let before = if bit == 0 { 0 } else { digits >> (32 - bit) };
        let node = 1 << bit | before;
        let coin = (chance.bits(Component::SobolScramble, dimension, node) >> 63) as u32;
        flips |= coin << (31 - bit);
    }
    digits ^ flips
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eighths of the first eight points in six dimensions, and sixty-fourths of the 38th in five others, as scipy 1.17
    /// gives them from the same numbers.
    #[test]
    fn points_before_scrambling_are_the_known_ones() {
        let eighths = [
            [0, 0, 0, 0, 0, 0],
            [4, 4, 4, 4, 4, 4],
            [6, 2, 2, 2, 6, 6],
            [2, 6, 6, 6, 2, 2],
            [3, 3, 5, 7, 3, 1],
            [7, 7, 1, 3, 7, 5],
            [5, 1, 7, 5, 5, 7],
            [1, 5, 3, 1, 1, 3],
        ];
        for (point, wanted) in digits(8, 6).iter().zip(eighths) {
            assert_eq!(*point, wanted.map(|eighth| eighth << 29));
        }
        let far = &digits(64, MOST_DIMENSIONS)[37];
        let some = [0, 1, 5, 60, 127].map(|dimension| far[dimension] >> 26);
        assert_eq!(some, [59, 41, 19, 5, 43]);
    }

    #[test]
    fn direction_numbers_are_odd_and_of_their_size() {
        for dimension in 1..=MOST_DIMENSIONS {
            for (bit, number) in direction_numbers(dimension).into_iter().enumerate() {
                assert_eq!(number.trailing_zeros() as usize, BITS - 1 - bit, "dimension {dimension}");
            }
        }
    }

    /// Each of 64 equal intervals of every dimension, and each box of 64 in the first two, has one of 64 points.
    #[test]
    fn scrambled_points_stay_evenly_spread() {
        for seed in [1, 2, u64::MAX] {
            let points = sobol_points(64, MOST_DIMENSIONS, seed);
            let once = |mut cells: Vec<usize>, what: &str| {
                cells.sort_unstable();
                assert!(cells.iter().copied().eq(0..64), "{what}, seed {seed}");
            };
            for dimension in 0..MOST_DIMENSIONS {
                let cell = |point: &Vec<f64>| (point[dimension] * 64.0) as usize;
                once(points.iter().map(cell).collect(), &format!("dimension {dimension}"));
            }
            for (wide, high) in [(2, 32), (4, 16), (8, 8), (16, 4), (32, 2)] {
                let cell = |point: &Vec<f64>| {
                    (point[0] * wide as f64) as usize * high + (point[1] * high as f64) as usize
                };
                once(points.iter().map(cell).collect(), &format!("{wide} by {high} boxes"));
            }
        }
    }

    #[test]
    fn a_longer_design_begins_with_the_shorter_and_the_seed_matters() {
        let (short, long) = (sobol_points(10, 3, 7), sobol_points(50, 3, 7));
        assert_eq!(short[..], long[..10]);
        assert!(short.iter().zip(sobol_points(10, 3, 8)).all(|(one, other)| *one != other));
    }

    /// Over many seeds the first point is uniform: scrambling takes the origin anywhere.
    #[test]
    fn every_point_is_uniform_by_itself() {
        let mut tenths = [0; 10];
        for seed in 0..1_000 {
            tenths[(sobol_points(1, 1, seed)[0][0] * 10.0) as usize] += 1;
        }
        let squares: f64 = tenths.iter().map(|n| f64::from(*n - 100) * f64::from(*n - 100) / 100.0).sum();
        assert!(
            squares < 27.9,
            "chi-square with 9 degrees of freedom is {squares} (0.1 % point 27.9): {tenths:?}"
        );
    }

    /// The integral of a smooth product over 8 dimensions: some hundred times closer than as many random points would be.
    #[test]
    fn an_integral_comes_out_far_better_than_by_chance() {
        let points = sobol_points(4_096, 8, 3);
        let term = |u: &f64| 1.0 + (u - 0.5) * 0.5;
        let mean = points.iter().map(|point| point.iter().map(term).product::<f64>()).sum::<f64>() / 4_096.0;
        // Standard error of as many random points: about 0.42 / sqrt(4096) = 0.0066.
        assert!((mean - 1.0).abs() < 2e-4, "{mean} instead of 1");
    }
}
