//! How zones of a region go together: each follows one process of its type, some while behind it, and the longer the lags
//! are the less its state says of another's.
//!
//! Lags are exponential, and so is how far two zones are apart. The correlation of their states is the mean over that of the
//! process' own: for an alternating renewal process the Laplace transform of its covariance (Cox, Renewal Theory, 1962,
//! section 7.4).

use super::episodes::{Family, Law};
use super::traces::Series;
use crate::chance::normal_quantile;
use crate::scenario::region;

/// What pairs of watchers side by side in one region saw.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Together {
    pub pairs: usize,
    /// Mean correlation of two zones' states.
    pub correlation: f64,
    /// Of that mean; pairs count as independent.
    pub error: f64,
}

/// `None`: fewer than two pairs of one region have both states.
pub fn counted(series: &[&Series]) -> Option<Together> {
    let mut all = Vec::new();
    for (index, one) in series.iter().enumerate() {
        let near = |other: &&&Series| other.beside(one) && region(&other.zone) == region(&one.zone);
        all.extend(series[index + 1..].iter().filter(near).filter_map(|other| of_states(one, other)));
    }
    let pairs = all.len();
    let mean = all.iter().sum::<f64>() / pairs as f64;
    let squares: f64 = all.iter().map(|one| (one - mean) * (one - mean)).sum();
    let error = (squares / (pairs as f64 - 1.0) / pairs as f64).sqrt();
    (pairs > 1).then_some(Together { pairs, correlation: mean, error })
}

fn of_states(one: &Series, other: &Series) -> Option<f64> {
    let (first, second) = (one.looks(), other.looks());
    let share = |looks: &[bool]| looks.iter().filter(|up| **up).count() as f64 / looks.len() as f64;
    let (a, b) = (share(&first), share(&second));
    let off = |up: bool, share: f64| f64::from(u8::from(up)) - share;
    let pairs: Vec<(f64, f64)> = first.iter().zip(&second).map(|(x, y)| (off(*x, a), off(*y, b))).collect();
    super::report::correlation(&pairs)
}

/// Of two zones' states, with lags of this mean.
pub fn correlation(up: &Law, down: &Law, lag_s: f64) -> f64 {
    let [of_up, of_down] = [up, down].map(|law| laplace(law, 1.0 / lag_s));
    let changes = 1.0 / up.mean_s() + 1.0 / down.mean_s();
    1.0 - changes * lag_s * (1.0 - of_up) * (1.0 - of_down) / (1.0 - of_up * of_down)
}

/// The mean of exp(-time x rate).
fn laplace(law: &Law, rate: f64) -> f64 {
    const PARTS: u32 = 4_000;
    let time = |part: u32| {
        let uniform = (f64::from(part) + 0.5) / f64::from(PARTS);
        match law.family {
            Family::LogNormal => law.scale_s * libm::exp(law.shape * normal_quantile(uniform)),
            Family::Weibull | Family::Exponential => {
                law.scale_s * libm::pow(-libm::log1p(-uniform), 1.0 / law.shape)
            }
        }
    };
    (0..PARTS).map(|part| libm::exp(-rate * time(part))).sum::<f64>() / f64::from(PARTS)
}

/// The mean lag that gives this correlation (s), between a second and a year.
pub fn likeliest_lag(up: &Law, down: &Law, wanted: f64) -> f64 {
    let (mut low, mut high) = (0.0, libm::log(365.0 * 86_400.0));
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if correlation(up, down, libm::exp(middle)) > wanted { low = middle } else { high = middle }
    }
    libm::exp(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of exponential times the correlation of a state with that a time t later is exp(-t x (1/up + 1/down)).
    #[test]
    fn exponential_times_have_the_known_correlation() {
        let law = |scale_s| Law { family: Family::Exponential, scale_s, shape: 1.0 };
        for (up, down, lag) in [(100.0, 50.0, 30.0), (600.0, 10.0, 500.0)] {
            let wanted = 1.0 / (1.0 + lag * (1.0 / up + 1.0 / down));
            let found = correlation(&law(up), &law(down), lag);
            assert!((found - wanted).abs() < 2e-3, "{found} is not {wanted}");
            let back = likeliest_lag(&law(up), &law(down), found);
            assert!((back / lag - 1.0).abs() < 1e-3, "{back} s is not {lag} s");
        }
    }
}
