//! How many instances a pool of EC2 capacity has: `[pool_depth]`.

use crate::chance::Distribution;
use crate::input::{Problems, Section};
use crate::units::SimDuration;
use crate::units::text::parse_duration;

use super::workload::distribution;

/// The depth of each pool (instance type x zone) while it is up; `None`: it has as many as anybody asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolDepth {
    /// Instances, drawn as an episode of capacity begins.
    pub spot: Option<Distribution>,
    pub on_demand: Option<Distribution>,
    /// An emptied pool is full again after so long, evenly.
    pub refill: SimDuration,
}

/// A depth is a count, and a pool that is up has one instance at least.
const DEPTH_HINT: &str =
    "write spot = { constant = 100 } or { median = 100, p95 = 1000 }: instances, without a unit";

pub(super) fn read(section: Option<Section<'_>>, problems: &mut Problems) -> PoolDepth {
    let mut depth = PoolDepth { spot: None, on_demand: None, refill: standard_refill() };
    let Some(mut section) = section else { return depth };
    let mut law = |name: &'static str| {
        let law = distribution(&mut section, name, problems)?;
        if law.mean() < 1.0 {
            let what = "a pool that has capacity has one instance at least";
            problems.add(section.origin_of(name), &section.key(name), what, Some(DEPTH_HINT.to_string()));
        }
        Some(law)
    };
    (depth.spot, depth.on_demand) = (law("spot"), law("on_demand"));
    depth.refill = section.span("refill", problems).unwrap_or(depth.refill);
    if depth.refill.is_zero() {
        let what = "a pool that refills at once is never empty";
        let hint = "leave spot and on_demand out for pools without an end";
        problems.add(section.origin_of("refill"), &section.key("refill"), what, Some(hint.to_string()));
    }
    section.finish(problems);
    depth
}

/// Of `models/capacity.toml`.
fn standard_refill() -> SimDuration {
    let table: toml::Table =
        include_str!("../../models/capacity.toml").parse().expect("models/capacity.toml is TOML");
    let time = table["refill"]["time"].as_str().map(parse_duration);
    time.expect("[refill] has a time").expect("it is a span")
}
