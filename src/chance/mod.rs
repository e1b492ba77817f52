//! Chance addressed by (seed, replication, component, entity, draw): no stream to run ahead or behind.
//!
//! A new use of chance leaves every other draw where it was, and threads, shards and resumed sweeps
//! cannot change one. Samplers invert one uniform on a pinned `libm` and tables made from it, so that their bits do not
//! depend on what else is in the build; `rand_distr` is their oracle in the tests.

mod distribution;
mod key;
mod log_normal;
mod philox;

pub use distribution::{Distribution, DistributionError, Sampler, normal_quantile};
pub use key::Component;

/// The chance of one replication.
#[derive(Clone, Copy, Debug)]
pub struct Chance {
    key: u64,
    replication: u32,
}

impl Chance {
    pub fn new(seed: u64, replication: u32) -> Self {
        Chance { key: seed, replication }
    }

    /// 64 random bits for the `draw`-th use by `entity` in `component`.
    pub fn bits(&self, component: Component, entity: u32, draw: u32) -> u64 {
        let used = u64::from(entity) << 32 | u64::from(draw);
        let by = u64::from(self.replication) << 32 | u64::from(component as u32);
        philox::philox2x64_10([used, by], self.key)[0]
    }

    /// A uniform in the open interval (0, 1), on a grid of 2^-53 offset by half a step.
    pub fn uniform(&self, component: Component, entity: u32, draw: u32) -> f64 {
        // The middle of each of 2^52 equal cells: never 0, never 1, exact in double precision.
        ((self.bits(component, entity, draw) >> 12) as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0)
    }

    /// A uniform integer in `0..bound`; the bias of at most `bound` / 2^64 is below notice.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&self, component: Component, entity: u32, draw: u32, bound: u64) -> u64 {
        assert!(bound > 0, "an integer below 0 was asked for");
        ((u128::from(self.bits(component, entity, draw)) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniforms_stay_inside_and_average_one_half() {
        let chance = Chance::new(7, 3);
        let draws: Vec<f64> = (0..20_000).map(|i| chance.uniform(Component::ImagePull, i, 0)).collect();
        assert!(draws.iter().all(|u| *u > 0.0 && *u < 1.0));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5).abs() < 4.0 * (1.0 / 12.0f64).sqrt() / (20_000f64).sqrt(), "mean {mean}");
    }

    #[test]
    fn every_part_of_the_address_matters() {
        let base = Chance::new(1, 0).bits(Component::ImagePull, 0, 0);
        let others = [
            Chance::new(2, 0).bits(Component::ImagePull, 0, 0),
            Chance::new(1 << 32, 0).bits(Component::ImagePull, 0, 0),
            Chance::new(1, 1).bits(Component::ImagePull, 0, 0),
            Chance::new(1, 0).bits(Component::Start, 0, 0),
            Chance::new(1, 0).bits(Component::ImagePull, 1, 0),
            Chance::new(1, 0).bits(Component::ImagePull, 0, 1),
        ];
        assert!(others.iter().all(|bits| *bits != base), "{others:?} against {base}");
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let chance = Chance::new(5, 0);
        let mut counts = [0u32; 7];
        for i in 0..7_000 {
            counts[chance.below(Component::ZoneTie, i, 1, 7) as usize] += 1;
        }
        let chi2: f64 =
            counts.iter().map(|c| (f64::from(*c) - 1000.0) * (f64::from(*c) - 1000.0) / 1000.0).sum();
        assert!(chi2 < 22.5, "chi-square with 6 degrees of freedom is {chi2} (0.1 % point 22.5)");
    }
}
