//! Two cells compared replication by replication, which meet the same chance under the same number.

use super::mean::{MeanInterval, TFactors};

/// The difference candidate - base, and what pairing gained.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PairedSummary {
    pub difference: MeanInterval,
    /// Of candidate and base over replications; `None` where either does not vary.
    pub correlation: Option<f64>,
    /// Variance of the difference of independent runs over that of these pairs: so many times fewer
    /// replications are needed. Below 1, pairing did harm. `None` where the difference does not vary.
    pub variance_ratio: Option<f64>,
    /// 1 less the inverse of that: the share of the variance of independent runs that pairing saves; negative where it
    /// did harm. `None` where neither side varies.
    pub variance_saved: Option<f64>,
}

impl PairedSummary {
    /// `None` of no pairs.
    ///
    /// # Panics
    /// If the two sides differ in length.
    pub fn of(candidate: &[f64], base: &[f64], factors: &mut TFactors) -> Option<Self> {
        assert_eq!(candidate.len(), base.len(), "pairs need as many values on either side");
        let differences: Vec<f64> = candidate.iter().zip(base).map(|(c, b)| c - b).collect();
        let difference = MeanInterval::of(&differences, factors)?;
        let (c, b) = (MeanInterval::of(candidate, factors)?, MeanInterval::of(base, factors)?);
        let spread = c.standard_deviation * b.standard_deviation;
        let of_difference = difference.standard_deviation * difference.standard_deviation;
        let apart = c.standard_deviation * c.standard_deviation + b.standard_deviation * b.standard_deviation;
        Some(PairedSummary {
            difference,
            correlation: (spread > 0.0).then(|| covariance(candidate, c.mean, base, b.mean) / spread),
            variance_ratio: (of_difference > 0.0).then(|| apart / of_difference),
            variance_saved: (apart > 0.0).then(|| 1.0 - of_difference / apart),
        })
    }
}

fn covariance(a: &[f64], mean_a: f64, b: &[f64], mean_b: f64) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    sum / (a.len() - 1) as f64
}

/// The ratio of two paired means with Fieller's interval.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RatioInterval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// mean(candidate) / mean(base) over pairs, by Fieller's theorem.
///
/// `None` where the base's mean may be zero at this confidence, since the ratio then has no bounds; and
/// below two pairs.
///
/// # Panics
/// If the two sides differ in length.
pub fn ratio_of_means(candidate: &[f64], base: &[f64], factors: &mut TFactors) -> Option<RatioInterval> {
    assert_eq!(candidate.len(), base.len(), "pairs need as many values on either side");
    let n = candidate.len();
    if n < 2 {
        return None;
    }
    let b = MeanInterval::of(base, factors)?;
    let estimate = MeanInterval::of(candidate, factors)?.mean / b.mean;
    let t = factors.of(n);
    let count = n as f64;
    // The ratios r for which mean(c - r b) differs from zero by at most t standard errors form a
    // quadratic. It is solved about the estimate, in what is left of c after it: written in c and b
    // themselves, a ratio that does not vary would get an interval of pure rounding.
    let rest: Vec<f64> = candidate.iter().zip(base).map(|(c, b)| c - estimate * b).collect();
    let of_rest = MeanInterval::of(&rest, factors)?;
    let variance_rest = of_rest.standard_deviation * of_rest.standard_deviation / count;
    let variance_base = b.standard_deviation * b.standard_deviation / count;
    let together = covariance(&rest, of_rest.mean, base, b.mean) / count;
    let leading = b.mean * b.mean - t * t * variance_base;
    if leading.is_nan() || leading <= 0.0 {
        return None;
    }
    let inner =
        b.mean * b.mean * variance_rest - t * t * (variance_base * variance_rest - together * together);
    let (centre, half) = (-t * t * together / leading, t * libm::sqrt(inner.max(0.0)) / leading);
    Some(RatioInterval { estimate, low: estimate + centre - half, high: estimate + centre + half })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, normal_quantile};

    #[test]
    fn common_chance_makes_a_sure_difference_exact() {
        let base = [10.0, 30.0, 20.0, 50.0];
        let candidate = base.map(|value| value + 2.0);
        let paired = PairedSummary::of(&candidate, &base, &mut TFactors::new(0.95)).unwrap();
        assert_eq!((paired.difference.low(), paired.difference.high()), (Some(2.0), Some(2.0)));
        assert!((paired.correlation.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!((paired.variance_ratio, paired.variance_saved), (None, Some(1.0)));
        let unvaried = PairedSummary::of(&[1.0; 4], &[2.0; 4], &mut TFactors::new(0.95)).unwrap();
        assert_eq!(unvaried.variance_saved, None);
    }

    /// What is said to be saved is what runs with other chance would have varied more: a common part of variance 4 and
    /// own parts of 1 each save 1 - 2 / 10. Variances of 4,000 pairs have standard errors of 2.2 %.
    #[test]
    fn the_variance_saved_is_that_of_independent_runs() {
        let normal = |seed, i, draw| normal_quantile(Chance::new(seed, 0).uniform(Component::Boot, i, draw));
        let run = |seed, cell| -> Vec<f64> {
            (0..4_000).map(|i| 2.0 * normal(seed, i, 0) + normal(seed, i, cell)).collect()
        };
        let mut factors = TFactors::new(0.95);
        let mut of = |a: &[f64], b: &[f64]| PairedSummary::of(a, b, &mut factors).unwrap();
        let (paired, apart) = (of(&run(1, 1), &run(1, 2)), of(&run(1, 1), &run(2, 2)));
        let variance = |summary: &PairedSummary| {
            summary.difference.standard_deviation * summary.difference.standard_deviation
        };
        let measured = 1.0 - variance(&paired) / variance(&apart);
        let told = paired.variance_saved.unwrap();
        assert!((told - 0.8).abs() < 0.02 && (told - measured).abs() < 0.02, "{told}, measured {measured}");
        assert!(apart.variance_saved.unwrap().abs() < 0.1, "{apart:?}");
        let harm = of(&run(1, 1).iter().map(|value| -value).collect::<Vec<_>>(), &run(1, 2));
        assert!((harm.variance_saved.unwrap() + 0.8).abs() < 0.1, "{harm:?}");
    }

    #[test]
    fn a_sure_ratio_is_exact_and_a_base_near_zero_has_none() {
        let mut factors = TFactors::new(0.95);
        let base = [10.0, 30.0, 20.0, 50.0];
        let ratio = ratio_of_means(&base.map(|value| value * 1.5), &base, &mut factors).unwrap();
        assert!((ratio.low - 1.5).abs() < 1e-9 && (ratio.high - 1.5).abs() < 1e-9, "{ratio:?}");
        assert_eq!(ratio_of_means(&base, &[1.0, -1.0, 2.0, -2.0], &mut factors), None);
        assert_eq!(ratio_of_means(&base[..1], &base[..1], &mut factors), None);
    }

    #[test]
    fn the_ratio_covers_as_often_as_it_says() {
        let mut factors = TFactors::new(0.95);
        let covered = (0..1000)
            .filter(|study| {
                let chance = Chance::new(11, *study);
                let normal = |i, draw| normal_quantile(chance.uniform(Component::Boot, i, draw));
                let base: Vec<f64> = (0..25).map(|i| 10.0 + 2.0 * normal(i, 0)).collect();
                let candidate: Vec<f64> =
                    base.iter().zip(0..).map(|(b, i)| 5.0 + b + 3.0 * normal(i, 1)).collect();
                let ratio = ratio_of_means(&candidate, &base, &mut factors).unwrap();
                ratio.low <= 1.5 && 1.5 <= ratio.high
            })
            .count();
        assert!((930..=970).contains(&covered), "covered {covered} of 1000");
    }
}
