//! The maximum of a function of two numbers, by compass search.

/// The point from which no step of `finest` in any direction leads higher, and the value there. `start` must have one.
///
/// The same start gives the same bits wherever it runs, as long as `value` does.
pub fn maximum(start: [f64; 2], finest: f64, value: impl Fn([f64; 2]) -> f64) -> ([f64; 2], f64) {
    let (mut at, mut best, mut step) = (start, value(start), 0.5);
    while step > finest {
        let around = [[step, 0.0], [-step, 0.0], [0.0, step], [0.0, -step]];
        let mut higher = false;
        for [x, y] in around {
            let there = [at[0] + x, at[1] + y];
            let found = value(there);
            if found > best {
                (at, best, higher) = (there, found, true);
            }
        }
        if !higher {
            step /= 2.0;
        }
    }
    (at, best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hill_is_climbed_to_its_top() {
        let hill = |[x, y]: [f64; 2]| 3.0 - (x - 2.0) * (x - 2.0) - 4.0 * (y + 1.0) * (y + 1.0) - x * y / 9.0;
        let ([x, y], top) = maximum([0.0, 0.0], 1e-6, hill);
        // Where both slopes are 0: 2 (x - 2) + y / 9 = 0 and 8 (y + 1) + x / 9 = 0.
        assert!((2.0 * (x - 2.0) + y / 9.0).abs() < 1e-4 && (8.0 * (y + 1.0) + x / 9.0).abs() < 1e-4);
        assert!(top > 3.0);
    }
}
