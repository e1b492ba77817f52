//! What the spot advisor's bands say of monthly interruptions: a law over pools, and each band's mean by it.

use super::episodes::normal;
use super::search;

/// The upper ends of the bands but the last.
const ENDS: [f64; 4] = [0.05, 0.10, 0.15, 0.20];

/// A log-normal law of the monthly share over pools, cut at 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BandsFit {
    pub median: f64,
    pub sigma: f64,
    pub log_likelihood: f64,
    /// Shares of pools in the bands by the law.
    pub shares: [f64; 5],
    /// The mean monthly share within each band by the law.
    pub means: [f64; 5],
}

/// The likeliest law for pools counted by band.
pub fn fit(pools: [u32; 5]) -> BandsFit {
    let likelihood = |[mu, log_sigma]: [f64; 2]| {
        let shares = shares(mu, libm::exp(log_sigma));
        pools.iter().zip(shares).map(|(n, share)| f64::from(*n) * libm::log(share.max(1e-300))).sum()
    };
    let ([mu, log_sigma], log_likelihood) = search::maximum([-2.0, 0.0], 1e-6, likelihood);
    let sigma = libm::exp(log_sigma);
    let means = std::array::from_fn(|band| mean_within(mu, sigma, band));
    BandsFit { median: libm::exp(mu), sigma, log_likelihood, shares: shares(mu, sigma), means }
}

/// Types by band over all regions, from a table with a region and its five counts a row; `None` if it is none.
pub fn counts(text: &str) -> Option<[u32; 5]> {
    let mut all = [0; 5];
    for line in text.lines().skip(1) {
        let counts: Vec<u32> =
            line.split(',').skip(1).map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
        let counts: [u32; 5] = counts.try_into().ok()?;
        all.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    Some(all)
}

fn limits(band: usize) -> (f64, f64) {
    let below = if band == 0 { 0.0 } else { ENDS[band - 1] };
    (below, ENDS.get(band).copied().unwrap_or(1.0))
}

fn shares(mu: f64, sigma: f64) -> [f64; 5] {
    let below = |share: f64| if share > 0.0 { normal((libm::log(share) - mu) / sigma) } else { 0.0 };
    let whole = below(1.0);
    std::array::from_fn(|band| {
        let (low, high) = limits(band);
        (below(high) - below(low)) / whole
    })
}

fn mean_within(mu: f64, sigma: f64, band: usize) -> f64 {
    let (low, high) = limits(band);
    // The first moment of a log-normal law is the same law with its centre moved by the variance.
    let at = |share: f64, moved: f64| {
        if share > 0.0 { normal((libm::log(share) - mu - moved) / sigma) } else { 0.0 }
    };
    let variance = sigma * sigma;
    let moment = libm::exp(mu + variance / 2.0) * (at(high, variance) - at(low, variance));
    moment / (at(high, 0.0) - at(low, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_law_give_the_law_back() {
        let pools = shares(-2.0, 1.2).map(|share| (share * 1e6) as u32);
        let fit = fit(pools);
        assert!((libm::log(fit.median) + 2.0).abs() < 0.01 && (fit.sigma - 1.2).abs() < 0.01, "{fit:?}");
        for (band, mean) in fit.means.iter().enumerate() {
            let (low, high) = limits(band);
            assert!(low < *mean && *mean < high, "{mean} in band {band}");
        }
    }
}
