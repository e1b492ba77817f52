//! How long episodes last: laws fitted by maximum likelihood to lengths known only to within a look.
//!
//! A run of k looks lasted between k - 1 and k + 1 of them; one cut off by the trace's end lasted longer than that. The
//! time itself is what is fitted, so that the watcher's rhythm does not show in the parameters.

use super::search;
use super::traces::Episode;

/// The form of a law of times, each with a scale and a shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// `scale` is the median (s), `shape` the standard deviation of the logarithm.
    LogNormal,
    /// `scale` is the 63.2 % point (s).
    Weibull,
    /// A Weibull law of shape 1.
    Exponential,
}

/// A law with numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Law {
    pub family: Family,
    pub scale_s: f64,
    pub shape: f64,
}

/// The likeliest law of its family.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fit {
    pub law: Law,
    pub log_likelihood: f64,
}

/// Twice the drop of log-likelihood that bounds the joint 95 % region of two parameters: chi-squared, two degrees of freedom.
pub const REGION_95: f64 = 5.991;

impl Family {
    pub const ALL: [Family; 3] = [Family::LogNormal, Family::Weibull, Family::Exponential];

    pub const fn name(self) -> &'static str {
        match self {
            Family::LogNormal => "log-normal",
            Family::Weibull => "Weibull",
            Family::Exponential => "exponential",
        }
    }

    /// The likeliest law of the family.
    pub fn fit(self, episodes: &[Episode]) -> Fit {
        let law = |[log_scale, log_shape]: [f64; 2]| Law {
            family: self,
            scale_s: libm::exp(log_scale),
            shape: if self == Family::Exponential { 1.0 } else { libm::exp(log_shape) },
        };
        let start = [libm::log(median(episodes)), 0.2];
        let (at, log_likelihood) = search::maximum(start, 1e-4, |point| law(point).log_likelihood(episodes));
        Fit { law: law(at), log_likelihood }
    }
}

impl Law {
    /// Share of times that are at most so long.
    pub fn share_below(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 0.0;
        }
        match self.family {
            Family::LogNormal => normal(libm::log(seconds / self.scale_s) / self.shape),
            Family::Weibull | Family::Exponential => {
                1.0 - libm::exp(-libm::pow(seconds / self.scale_s, self.shape))
            }
        }
    }

    pub fn mean_s(&self) -> f64 {
        match self.family {
            Family::LogNormal => self.scale_s * libm::exp(self.shape * self.shape / 2.0),
            Family::Weibull | Family::Exponential => self.scale_s * libm::tgamma(1.0 + 1.0 / self.shape),
        }
    }

    /// Of the episodes as they were seen.
    pub fn log_likelihood(&self, episodes: &[Episode]) -> f64 {
        let of_each = |episode: &Episode| {
            let below = self.share_below(episode.seen_s - episode.look_s);
            let upto = if episode.cut { 1.0 } else { self.share_below(episode.seen_s + episode.look_s) };
            // A length that the law all but excludes counts against it, not as an infinity that stops the search.
            libm::log((upto - below).max(1e-300))
        };
        episodes.iter().map(of_each).sum()
    }

    /// Kolmogorov's distance: how far the shares of whole episodes up to each percentile lie from the law's, at most.
    pub fn distance(&self, episodes: &[Episode]) -> f64 {
        let mut whole: Vec<&Episode> = episodes.iter().filter(|episode| !episode.cut).collect();
        whole.sort_by(|a, b| a.seen_s.total_cmp(&b.seen_s));
        let count = whole.len() as f64;
        let apart = |percent: usize| {
            let limit = whole[(whole.len() - 1) * percent / 100].seen_s;
            let seen = whole.iter().filter(|episode| episode.seen_s <= limit).count() as f64 / count;
            // Each watcher would have seen at most this of a time up to half a look more.
            let law: f64 = whole.iter().map(|episode| self.share_below(last_below(limit, episode))).sum();
            (seen - law / count).abs()
        };
        (1..100).map(apart).fold(0.0, f64::max)
    }
}

/// The longest time that this episode's watcher would have counted as at most `limit`.
fn last_below(limit: f64, episode: &Episode) -> f64 {
    (limit / episode.look_s + 0.01).floor() * episode.look_s + episode.look_s / 2.0
}

/// The standard normal law.
pub(super) fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// Of whole episodes as counted (s).
pub fn median(episodes: &[Episode]) -> f64 {
    percentile(episodes, 50)
}
/// The nearest rank, of whole episodes as counted (s).
pub fn percentile(episodes: &[Episode], percent: usize) -> f64 {
    let mut whole: Vec<f64> =
        episodes.iter().filter(|episode| !episode.cut).map(|episode| episode.seen_s).collect();
    whole.sort_by(f64::total_cmp);
    whole.get((whole.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Chance, Component, normal_quantile};

    /// Episodes drawn from a law, seen by looks that begin at chance.
    fn seen(median_s: f64, sigma: f64, look_s: f64) -> Vec<Episode> {
        let chance = Chance::new(7, 0);
        let one = |index: u32| {
            let uniform = |draw| chance.uniform(Component::SpotMarket, index, draw);
            let lasts = median_s * libm::exp(sigma * normal_quantile(uniform(0)));
            // The first look falls somewhere in the first interval; what none falls into is not seen.
            let looks = ((lasts / look_s - uniform(1)).floor() + 1.0).max(0.0);
            Episode { seen_s: looks * look_s, look_s, cut: false }
        };
        (0..4_000).map(one).filter(|episode| episode.seen_s > 0.0).collect()
    }

    #[test]
    fn a_law_is_found_again_through_the_looks() {
        let fit = Family::LogNormal.fit(&seen(3_000.0, 1.5, 60.0));
        assert!((fit.law.scale_s / 3_000.0 - 1.0).abs() < 0.08, "{fit:?}");
        assert!((fit.law.shape / 1.5 - 1.0).abs() < 0.06, "{fit:?}");
    }

    #[test]
    fn the_true_family_is_likelier_and_nearer() {
        let episodes = seen(3_000.0, 1.5, 60.0);
        let [true_one, weibull, exponential] = Family::ALL.map(|family| family.fit(&episodes));
        assert!(true_one.log_likelihood > weibull.log_likelihood);
        assert!(weibull.log_likelihood > exponential.log_likelihood);
        assert!(true_one.law.distance(&episodes) < 0.03 && weibull.law.distance(&episodes) > 0.04);
    }
}
