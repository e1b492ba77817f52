//! Estimates and their intervals: quantiles by order statistics, proportions, means, paired comparisons,
//! and the three-valued verdict on a claim; the point sets of designs, Latin hypercubes and Sobol' points; and
//! sensitivities: `morris` screens, `sobol` shares a variance out, `noise` tells how much of it is chance.
//!
//! Knows nothing of pods; no input, no output. All special functions stand on the pinned `libm`
//! (`beta`), so that a printed interval has the same digits on every platform; `statrs` is their oracle
//! in the tests. Runs are independent replications of a terminating simulation: no warm-up is cut, no
//! batch means are taken, and pods of one replication are never pooled over replications.
//!
//! Left out: confidence sequences (`sequential` stops for precision at few looks, and decisions share their probability of error out
//! over such looks), Kaplan-Meier (all cells of a
//! study share one horizon, where it equals the empirical distribution), bootstrap of quantiles (its interval
//! of the 95 % point of 100 values covers 88 % instead of 95 %).

pub mod beta;
pub mod effects;
#[cfg(test)]
mod functions;
pub mod latin_hypercube;
pub mod mean;
pub mod morris;
pub mod noise;
pub mod paired;
pub mod proportion;
pub mod quantile;
pub mod sequential;
pub mod sobol;
pub mod sobol_points;
pub mod tally;
pub mod verdict;

pub use effects::{Term, grid_effects};
pub use latin_hypercube::latin_hypercube;
pub use mean::{MeanInterval, TFactors};
pub use morris::{Effect, Screening};
pub use noise::{NoiseShare, noise_share};
pub use paired::{PairedSummary, RatioInterval, ratio_of_means};
pub use proportion::{ProportionInterval, clopper_pearson, wilson};
pub use quantile::{Bound, QuantileInterval, Ranks, least_replications, quantile_of_sorted};
pub use sequential::{FIRST_LOOK, looks, mean_is_narrow, quantile_is_narrow};
pub use sobol::{Indices, Share, VarianceDesign};
pub use sobol_points::sobol_points;
pub use tally::{Sorted, Tally};
pub use verdict::{Limits, Verdict};
