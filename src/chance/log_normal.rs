//! The standard normal's quantile and the exponential as runs draw them: both from tables, since a tenth of a run's time went
//! to the quotients and the long chains of sums of the exact ones.
//!
//! The quantile is a polynomial through Chebyshev's points of each part of the tail; the exponential follows Tang, "Table-driven
//! implementation of the exponential function in IEEE floating-point arithmetic" (ACM TOMS 15, 1989).
//! Both tables are made from the exact functions on the pinned `libm`, and evaluated by nothing but sums and products, so
//! that their bits are the same everywhere. They differ from the exact ones by less than 1 part in 10^12, of quantiles near the
//! median by less than 10^-14.

use std::sync::LazyLock;

use super::distribution::normal_quantile;

/// Parts of an octave of the tail's probability.
const PARTS: u64 = 32;
/// Of each part's polynomial, which is of the fifth degree.
const TERMS: usize = 6;
/// Bits of a double's fraction below a part's number.
const WITHIN: u32 = f64::MANTISSA_DIGITS - 1 - PARTS.ilog2();
/// The smallest uniform is 2^-53.
const FIRST: u64 = (1023 - 53) * PARTS;
/// Up to a half, and the part that begins there.
const ROWS: usize = 52 * PARTS as usize + 1;

/// Parts between two powers of two.
const STEPS: usize = 128;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Tables {
    /// Quantiles of the lower tail, by part: coefficients from the constant upwards, in the place within the part less one half.
    quantile: Box<[[f64; TERMS]; ROWS]>,
    /// 2^(place / STEPS)
    power: [f64; STEPS],
}

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

impl Tables {
    pub fn get() -> &'static Tables {
        &TABLES
    }

    fn new() -> Tables {
        let mut quantile = Box::new([[0.0; TERMS]; ROWS]);
        for (row, first) in quantile.iter_mut().zip(FIRST..) {
            let (from, to) = (f64::from_bits(first << WITHIN), f64::from_bits((first + 1) << WITHIN));
            *row = interpolated(|place| normal_quantile(from + (to - from) * (place + 0.5)));
        }
        let power = std::array::from_fn(|place| libm::exp2(place as f64 / STEPS as f64));
        Tables { quantile, power }
    }

    /// The standard normal's quantile at `u`, in the open interval (0, 1).
    #[inline]
    pub fn quantile(&self, u: f64) -> f64 {
        let (tail, sign) = if u > 0.5 { (1.0 - u, 1 << 63) } else { (u, 0) };
        let bits = tail.to_bits();
        let Some([a, b, c, d, e, f]) = self.quantile.get(((bits >> WITHIN).wrapping_sub(FIRST)) as usize)
        else {
            return normal_quantile(u);
        };
        // The place within the part as the fraction of a number from 1 to 2.
        let fraction = bits << PARTS.ilog2() & ((1 << (f64::MANTISSA_DIGITS - 1)) - 1);
        let x = f64::from_bits(fraction | 1.0f64.to_bits()) - 1.5;
        let square = x * x;
        let value = (a + b * x) + square * ((c + d * x) + square * (e + f * x));
        f64::from_bits(value.to_bits() ^ sign)
    }

    /// e to the power of `x`.
    #[inline]
    pub fn exp(&self, x: f64) -> f64 {
        /// Adding it rounds to a whole number, which then stands in the last bits.
        const ROUNDS: f64 = 6_755_399_441_055_744.0;
        const STEP: f64 = std::f64::consts::LN_2 / STEPS as f64;
        /// `STEP` with its last 20 bits cleared, and the rest.
        const HIGH: f64 = f64::from_bits(STEP.to_bits() & !0xf_ffff);
        const LOW: f64 = LN_2_LOW / STEPS as f64 + (STEP - HIGH);
        /// What ln 2 is more than the double nearest to it.
        const LN_2_LOW: f64 = 2.319_046_813_846_299_6e-17;
        if x.is_nan() || x.abs() > 600.0 {
            return libm::exp(x);
        }
        let rounded = x * (1.0 / STEP) + ROUNDS;
        let steps = rounded - ROUNDS;
        let rest = (x - steps * HIGH) - steps * LOW;
        let square = rest * rest;
        let more = rest + square * ((0.5 + rest * (1.0 / 6.0)) + square * (1.0 / 24.0));
        let steps = rounded.to_bits();
        let power = self.power[steps as usize % STEPS].to_bits();
        // Whole powers of two are added to the exponent.
        let scale =
            f64::from_bits(power.wrapping_add((steps >> STEPS.ilog2()) << (f64::MANTISSA_DIGITS - 1)));
        scale + scale * more
    }
}

/// The polynomial through a function's values at Chebyshev's points of the interval from -1/2 to 1/2.
fn interpolated(function: impl Fn(f64) -> f64) -> [f64; TERMS] {
    let points: [f64; TERMS] = std::array::from_fn(|place| {
        -0.5 * libm::cos(std::f64::consts::PI * (place as f64 + 0.5) / TERMS as f64)
    });
    // Newton's divided differences, then their products multiplied out.
    let mut differences = points.map(function);
    for order in 1..TERMS {
        for place in (order..TERMS).rev() {
            let span = points[place] - points[place - order];
            differences[place] = (differences[place] - differences[place - 1]) / span;
        }
    }
    let mut terms = [0.0; TERMS];
    for (difference, point) in differences.iter().zip(points).rev() {
        for place in (1..TERMS).rev() {
            terms[place] = terms[place - 1] - point * terms[place];
        }
        terms[0] = difference - point * terms[0];
    }
    terms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apart(got: f64, exact: f64) -> f64 {
        (got - exact).abs() / exact.abs().max(1e-2)
    }

    /// One half, so many times.
    fn halved(times: u32) -> f64 {
        (0..times).fold(1.0, |left, _| left / 2.0)
    }

    #[test]
    fn ends_of_parts_are_met_and_what_no_part_has_is_exact() {
        let tables = Tables::get();
        let places = [0.5, 0.5 - halved(53), 0.25, 0.75, halved(53), 1.0 - halved(53), 1e-12, 0.015_625];
        for u in places {
            let (got, exact) = (tables.quantile(u), normal_quantile(u));
            assert!(apart(got, exact) < 1e-12, "{u}: {got}, not {exact}");
        }
        assert_eq!(tables.quantile(1e-30).to_bits(), normal_quantile(1e-30).to_bits());
        for x in [0.0, -0.0, 1.0, -1.0, 599.0, -599.0] {
            assert!(apart(tables.exp(x), libm::exp(x)) < 1e-14, "{x}");
        }
        assert_eq!(tables.exp(601.0), libm::exp(601.0));
        assert!(tables.exp(f64::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn quantiles_differ_by_less_than_one_part_in_a_million_million(bits: u64) {
            let u = ((bits >> 12) as f64 + 0.5) * halved(52);
            let (got, exact) = (Tables::get().quantile(u), normal_quantile(u));
            prop_assert!(apart(got, exact) < 1e-12, "{}: {}, not {}", u, got, exact);
        }
        #[test]
        fn far_tails_too(exponent in 2u32..53, bits: u64) {
            let tail = halved(exponent) * (1.0 + (bits >> 12) as f64 * halved(52)) / 2.0;
            let (got, exact) = (Tables::get().quantile(tail), normal_quantile(tail));
            prop_assert!(apart(got, exact) < 1e-12, "{}: {}, not {}", tail, got, exact);
        }
        #[test]
        fn powers_differ_by_less_than_one_part_in_a_hundred_million_million(x in -50.0..50.0f64) {
            let (got, exact) = (Tables::get().exp(x), libm::exp(x));
            prop_assert!(apart(got, exact) < 1e-14, "{}: {}, not {}", x, got, exact);
        }
    }
}
