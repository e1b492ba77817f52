//! Distributions as users name them (median and p95, not mu and sigma) and their inverse functions.

use super::log_normal::Tables;

/// A distribution of seconds, bytes per second or a bare factor; the owner of the value says which.
#[derive(Clone, PartialEq, Debug)]
pub enum Distribution {
    Constant(f64),
    Uniform {
        low: f64,
        high: f64,
    },
    /// sigma = ln(p95 / median) / 1.6449.
    LogNormal {
        median: f64,
        p95: f64,
    },
    Exponential {
        mean: f64,
    },
    Triangular {
        low: f64,
        mode: f64,
        high: f64,
    },
    /// Equally likely quantiles in rising order, joined by straight lines.
    Empirical(Vec<f64>),
}

/// Why parameters make no distribution.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum DistributionError {
    #[error("parameters must be finite numbers, 0 or more")]
    NotANumber,
    #[error("the parameters must rise: {0}")]
    Order(&'static str),
    #[error("an empirical distribution needs at least 2 values in rising order")]
    Empirical,
}

/// The standard normal's 95 % point.
const Z95: f64 = 1.644_853_626_951_472_2;

/// A [`Distribution`] ready to be drawn from many times.
#[derive(Clone, PartialEq, Debug)]
pub enum Sampler {
    Constant(f64),
    LogNormal { median: f64, sigma: f64 },
    Other(Distribution),
}

impl Sampler {
    /// The quantile at what `uniform` gives, which is not asked where it cannot matter; of a log-normal to 1 part in 10^12.
    pub fn draw(&self, uniform: impl FnOnce() -> f64) -> f64 {
        match self {
            Sampler::Constant(value) => *value,
            Sampler::LogNormal { median, sigma } => {
                let tables = Tables::get();
                median * tables.exp(sigma * tables.quantile(uniform()))
            }
            Sampler::Other(law) => law.quantile(uniform()),
        }
    }
}

impl Distribution {
    /// Checks the parameters: finite, not negative, in order.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn validate(&self) -> Result<(), DistributionError> {
        let parameters: &[f64] = match self {
            Distribution::Constant(value) => &[*value],
            Distribution::Uniform { low, high } => &[*low, *high],
            Distribution::LogNormal { median, p95 } => &[*median, *p95],
            Distribution::Exponential { mean } => &[*mean],
            Distribution::Triangular { low, mode, high } => &[*low, *mode, *high],
            Distribution::Empirical(values) => values,
        };
        if parameters.iter().any(|p| !p.is_finite() || *p < 0.0) {
            return Err(DistributionError::NotANumber);
        }
        let rises = parameters.windows(2).all(|pair| pair[0] <= pair[1]);
        match self {
            Distribution::LogNormal { median, .. } if *median <= 0.0 || !rises => {
                Err(DistributionError::Order("0 < median <= p95"))
            }
            Distribution::Uniform { .. } if !rises => Err(DistributionError::Order("low <= high")),
            Distribution::Triangular { .. } if !rises => Err(DistributionError::Order("low <= mode <= high")),
            Distribution::Empirical(values) if values.len() < 2 || !rises => {
                Err(DistributionError::Empirical)
            }
            _ => Ok(()),
        }
    }

    /// The value that a share `u` of the draws lies below; `u` in the open interval (0, 1).
    pub fn quantile(&self, u: f64) -> f64 {
        match self {
            Distribution::Constant(value) => *value,
            Distribution::Uniform { low, high } => low + (high - low) * u,
            Distribution::LogNormal { median, p95 } => {
                let sigma = libm::log(p95 / median) / Z95;
                median * libm::exp(sigma * normal_quantile(u))
            }
            Distribution::Exponential { mean } => -mean * libm::log1p(-u),
            Distribution::Triangular { low, mode, high } => {
                let (span, left) = (high - low, mode - low);
                if span == 0.0 {
                    *low
                } else if u * span < left {
                    low + libm::sqrt(u * span * left)
                } else {
                    high - libm::sqrt((1.0 - u) * span * (high - mode))
                }
            }
            Distribution::Empirical(values) => {
                let place = u * (values.len() - 1) as f64;
                let index = (place as usize).min(values.len() - 2);
                values[index] + (values[index + 1] - values[index]) * (place - index as f64)
            }
        }
    }

    /// The same law with what does not hang on the uniform worked out.
    pub fn sampler(&self) -> Sampler {
        match self {
            Distribution::Constant(value) => Sampler::Constant(*value),
            Distribution::LogNormal { median, p95 } => {
                Sampler::LogNormal { median: *median, sigma: libm::log(p95 / median) / Z95 }
            }
            other => Sampler::Other(other.clone()),
        }
    }

    /// The law of `factor` times what this one draws.
    pub fn scaled(&self, factor: f64) -> Distribution {
        match self {
            Distribution::Constant(value) => Distribution::Constant(value * factor),
            Distribution::Uniform { low, high } => {
                Distribution::Uniform { low: low * factor, high: high * factor }
            }
            Distribution::LogNormal { median, p95 } => {
                Distribution::LogNormal { median: median * factor, p95: p95 * factor }
            }
            Distribution::Exponential { mean } => Distribution::Exponential { mean: mean * factor },
            Distribution::Triangular { low, mode, high } => {
                Distribution::Triangular { low: low * factor, mode: mode * factor, high: high * factor }
            }
            Distribution::Empirical(values) => {
                Distribution::Empirical(values.iter().map(|value| value * factor).collect())
            }
        }
    }

    /// Its mean, in closed form.
    pub fn mean(&self) -> f64 {
        match self {
            Distribution::Constant(value) => *value,
            Distribution::Uniform { low, high } => (low + high) / 2.0,
            Distribution::LogNormal { median, p95 } => {
                let sigma = libm::log(p95 / median) / Z95;
                median * libm::exp(sigma * sigma / 2.0)
            }
            Distribution::Exponential { mean } => *mean,
            Distribution::Triangular { low, mode, high } => (low + mode + high) / 3.0,
            Distribution::Empirical(values) => {
                let steps = (values.len() - 1) as f64;
                values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum::<f64>() / steps
            }
        }
    }
}

/// The standard normal's inverse distribution function, to about 1 part in 10^16.
///
/// Wichura's algorithm AS 241, routine PPND16 (Applied Statistics 37, 1988), on the pinned `libm`.
pub fn normal_quantile(u: f64) -> f64 {
    let q = u - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * rational(r, &CENTRE_OVER, &CENTRE_UNDER);
    }
    let tail = if q < 0.0 { u } else { 1.0 - u };
    let r = libm::sqrt(-libm::log(tail));
    let value = if r <= 5.0 {
        rational(r - 1.6, &MIDDLE_OVER, &MIDDLE_UNDER)
    } else {
        rational(r - 5.0, &FAR_OVER, &FAR_UNDER)
    };
    if q < 0.0 { -value } else { value }
}

/// Quotient of two polynomials, coefficients from the constant upwards.
fn rational(x: f64, over: &[f64; 8], under: &[f64; 8]) -> f64 {
    let horner = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, k| sum * x + k);
    horner(over) / horner(under)
}

const CENTRE_OVER: [f64; 8] = [
    3.387_132_872_796_366_5,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const CENTRE_UNDER: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_854e3,
];
const MIDDLE_OVER: [f64; 8] = [
    1.423_437_110_749_683_5,
    4.630_337_846_156_546,
    5.769_497_221_460_691,
    3.647_848_324_763_204_5,
    1.270_458_252_452_368_4,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const MIDDLE_UNDER: [f64; 8] = [
    1.0,
    2.053_191_626_637_759,
    1.676_384_830_183_803_8,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const FAR_OVER: [f64; 8] = [
    6.657_904_643_501_103,
    5.463_784_911_164_114,
    1.784_826_539_917_291_3,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const FAR_UNDER: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_8e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_give_the_same() {
        let laws = [
            Distribution::Constant(3.0),
            Distribution::Uniform { low: 1.0, high: 2.0 },
            Distribution::LogNormal { median: 1.7, p95: 3.5 },
        ];
        for (law, u) in laws.iter().flat_map(|law| [0.01, 0.3, 0.5, 0.97].map(|u| (law, u))) {
            let (exact, drawn) = (law.quantile(u), law.sampler().draw(|| u));
            assert!((drawn / exact - 1.0).abs() < 1e-12, "{law:?} at {u}: {drawn}, not {exact}");
        }
    }

    #[test]
    fn normal_quantiles_have_their_published_values() {
        // Wichura's own check values, and the usual table.
        for (u, z) in [
            (0.25, -0.674_489_750_196_081_7),
            (0.001, -3.090_232_306_167_813_5),
            (1e-20, -9.262_340_089_798_408),
            (0.95, Z95),
            (0.5, 0.0),
        ] {
            assert!((normal_quantile(u) - z).abs() < 1e-14, "{u}: {} against {z}", normal_quantile(u));
        }
    }

    #[test]
    fn a_log_normal_has_the_median_and_p95_it_was_given() {
        let launch = Distribution::LogNormal { median: 1.7, p95: 3.5 };
        assert!((launch.quantile(0.5) - 1.7).abs() < 1e-12);
        assert!((launch.quantile(0.95) - 3.5).abs() < 1e-12);
    }

    #[test]
    fn means_equal_the_integral_of_the_quantiles_and_scale() {
        for law in [
            Distribution::Constant(2.0),
            Distribution::Uniform { low: 1.0, high: 4.0 },
            Distribution::LogNormal { median: 1.7, p95: 3.5 },
            Distribution::Exponential { mean: 3.0 },
            Distribution::Triangular { low: 1.0, mode: 2.0, high: 6.0 },
            Distribution::Empirical(vec![1.0, 2.0, 7.0]),
        ] {
            let n = 200_000;
            let sum: f64 = (0..n).map(|i| law.quantile((f64::from(i) + 0.5) / f64::from(n))).sum();
            let numeric = sum / f64::from(n);
            assert!((numeric / law.mean() - 1.0).abs() < 1e-3, "{law:?}: {numeric} against {}", law.mean());
            let (twice, once) = (law.scaled(2.0).quantile(0.3), law.quantile(0.3));
            assert!((twice - 2.0 * once).abs() < 1e-12, "{law:?} scaled: {twice}, not twice {once}");
        }
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for law in [
            Distribution::Constant(f64::NAN),
            Distribution::Uniform { low: 2.0, high: 1.0 },
            Distribution::LogNormal { median: 0.0, p95: 1.0 },
            Distribution::Exponential { mean: -1.0 },
            Distribution::Triangular { low: 1.0, mode: 0.5, high: 2.0 },
            Distribution::Empirical(vec![1.0]),
        ] {
            assert!(law.validate().is_err(), "{law:?}");
        }
    }
}
