//! Intervals of a share: so many of so many replications.

use super::beta::inverse_regularized;
use crate::chance::normal_quantile;

/// A share with its interval; all three in 0..=1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ProportionInterval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// Clopper and Pearson's two-sided interval: never covers less often than it says. None of n: the upper
/// end is about 3.7 / n at 95 % (3 / n one-sided).
///
/// # Panics
/// If `hits` exceeds `n`, or there is no replication.
pub fn clopper_pearson(hits: u64, n: u64, confidence: f64) -> ProportionInterval {
    assert!(n > 0 && hits <= n, "{hits} of {n} is no share");
    let tail = 0.5 * (1.0 - confidence);
    let (k, rest) = (hits as f64, (n - hits) as f64);
    ProportionInterval {
        estimate: k / n as f64,
        low: if hits == 0 { 0.0 } else { inverse_regularized(tail, k, rest + 1.0) },
        high: if hits == n { 1.0 } else { inverse_regularized(1.0 - tail, k + 1.0, rest) },
    }
}

/// Wilson's interval: covers about as often as it says, for lists in which width matters.
///
/// # Panics
/// If `hits` exceeds `n`, or there is no replication.
pub fn wilson(hits: u64, n: u64, confidence: f64) -> ProportionInterval {
    assert!(n > 0 && hits <= n, "{hits} of {n} is no share");
    let z = normal_quantile(0.5 * (1.0 + confidence));
    let (count, share) = (n as f64, hits as f64 / n as f64);
    let centre = (share + z * z / (2.0 * count)) / (1.0 + z * z / count);
    let half =
        z / (1.0 + z * z / count) * libm::sqrt(share * (1.0 - share) / count + z * z / (4.0 * count * count));
    let low = if hits == 0 { 0.0 } else { centre - half };
    let high = if hits == n { 1.0 } else { centre + half };
    ProportionInterval { estimate: share, low, high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::beta::binomial_at_most;

    fn check(interval: ProportionInterval, low: f64, high: f64) {
        let near = |a: f64, b: f64| (a - b).abs() < 5e-5;
        assert!(near(interval.low, low) && near(interval.high, high), "{interval:?}, not {low}..{high}");
    }

    #[test]
    fn shares_have_the_intervals_of_the_textbooks() {
        check(clopper_pearson(10, 100, 0.95), 0.04900, 0.17622);
        check(clopper_pearson(0, 20, 0.95), 0.0, 0.16843);
        check(clopper_pearson(100, 100, 0.95), 0.96378, 1.0);
        check(wilson(10, 100, 0.95), 0.05523, 0.17437);
        check(wilson(0, 10, 0.95), 0.0, 0.27753);
    }

    #[test]
    fn clopper_pearson_never_covers_less_than_it_says() {
        let n = 30;
        for percent in 1..100 {
            let p = f64::from(percent) / 100.0;
            let mass =
                |k: u64| binomial_at_most(k, n, p) - if k == 0 { 0.0 } else { binomial_at_most(k - 1, n, p) };
            let covered: f64 = (0..=n)
                .filter(|k| {
                    let interval = clopper_pearson(*k, n, 0.95);
                    interval.low <= p && p <= interval.high
                })
                .map(mass)
                .sum();
            assert!(covered >= 0.95 - 1e-9, "p = {p} is covered with probability {covered} only");
        }
    }
}
