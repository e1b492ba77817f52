//! Ranges of numbers, and which of them a point of the unit interval means.

use crate::input::{Node, Origin, Problems, Section, Value};

/// Numbers from `from` to `to`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Range {
    pub from: f64,
    pub to: f64,
    pub scale: Scale,
    /// Whole numbers only, each end as likely as those between.
    pub integer: bool,
}

/// What is evenly spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// The numbers.
    Linear,
    /// Their logarithms: as many points from 1 to 10 as from 10 to 100.
    Log,
}

/// Digits of a number taken from a range that does not say `integer`.
const DIGITS: usize = 4;
/// Beyond it, whole numbers in double precision are not exact.
const LARGEST: f64 = 9e15;

/// The factor's `range`, if it has one.
pub(super) fn read_range(factor: &mut Section<'_>, problems: &mut Problems) -> Option<Range> {
    let mut section = factor.section("range", problems)?;
    let ends = [
        section.number("from", -LARGEST, LARGEST, problems),
        section.number("to", -LARGEST, LARGEST, problems),
    ];
    let scales = [("linear", Scale::Linear), ("log", Scale::Log)];
    let scale = section.choice("scale", &scales, problems).unwrap_or(Scale::Linear);
    let integer = section.flag("integer", problems).unwrap_or(false);
    let (origin, from_key) = (section.origin().clone(), section.key("from"));
    let hint =
        || Some("for example range = { from = 1, to = 100, scale = \"log\", integer = true }".to_string());
    section.finish(problems);
    let [Some(from), Some(to)] = ends else {
        problems.add(&origin, &from_key, "a range goes from a number to a number", hint());
        return None;
    };
    let whole = |number: f64| number == libm::floor(number);
    let wrong = if from >= to {
        Some(format!("a range goes upwards, not from {from} to {to}"))
    } else if scale == Scale::Log && from <= 0.0 {
        Some(format!("a logarithmic range lies above 0, it cannot begin at {from}"))
    } else if integer && !(whole(from) && whole(to)) {
        Some(format!("a range of whole numbers ends at whole numbers, not at {from} and {to}"))
    } else {
        None
    };
    match wrong {
        Some(what) => {
            problems.add(&origin, &from_key, what, hint());
            None
        }
        None => Some(Range { from, to, scale, integer }),
    }
}

impl Range {
    /// The number at `u` of the way through, 0 < u < 1. Whole numbers have equal shares of it; others are cut to four digits.
    pub fn at(&self, u: f64) -> f64 {
        // A whole number stands for all within a half of it.
        let half = if self.integer { 0.5 } else { 0.0 };
        let (low, high) = (self.from - half, self.to + half);
        let number = match self.scale {
            Scale::Linear => low + u * (high - low),
            Scale::Log => libm::exp(libm::log(low) + u * (libm::log(high) - libm::log(low))),
        };
        let number = if self.integer { libm::round(number) } else { cut(number) };
        number.clamp(self.from, self.to)
    }
    /// The same as a value of TOML that was written where the range was.
    pub(super) fn value_at(&self, u: f64, origin: &Origin) -> Node {
        let number = self.at(u);
        let value = if self.integer { Value::Integer(number as i64) } else { Value::Float(number) };
        Node { origin: origin.clone(), value }
    }
}

/// To four significant digits, the same double on every platform.
fn cut(number: f64) -> f64 {
    format!("{number:.*e}", DIGITS - 1).parse().expect("a printed number is a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINEAR: Range = Range { from: 0.0, to: 10.0, scale: Scale::Linear, integer: false };

    #[test]
    fn whole_numbers_have_equal_shares() {
        let range = Range { integer: true, to: 4.0, ..LINEAR };
        let mut counts = [0; 5];
        (0..1_000).for_each(|i| counts[range.at((f64::from(i) + 0.5) / 1_000.0) as usize] += 1);
        assert_eq!(counts, [200; 5]);
    }

    #[test]
    fn a_logarithmic_range_has_as_many_in_each_decade() {
        let range = Range { from: 1.0, to: 100.0, scale: Scale::Log, integer: false };
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|u| range.at(u)), [1.0, 3.162, 10.0, 100.0]);
        let whole = Range { integer: true, ..range };
        assert_eq!([1e-9, 1.0 - 1e-9].map(|u| whole.at(u)), [1.0, 100.0]);
    }

    #[test]
    fn numbers_are_cut_to_four_digits() {
        assert_eq!(LINEAR.at(0.123_456_789), 1.235);
        assert_eq!(cut(98_765.4), 98_770.0);
        assert_eq!(cut(-0.000_123_456), -0.000_123_5);
    }
}
