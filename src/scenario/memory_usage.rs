//! `[deployments.memory_usage]`: what memory a Deployment's pods use, and their limit.

use super::workload;
use crate::chance::Distribution;
use crate::input::{Problems, Section};
use crate::units::SimDuration;

/// Memory that a pod uses (bytes) in each part of its life, times a factor drawn anew whenever its container starts.
#[derive(Clone, PartialEq, Debug)]
pub struct MemoryUsageSpec {
    /// Reached in the course of `startup`, kept until the application is up.
    pub startup: i64,
    /// Right after.
    pub idle: i64,
    /// From then on usage goes there in a straight line, and stays.
    pub steady: i64,
    pub grows_over: SimDuration,
    /// The factor.
    pub spread: Distribution,
    /// `limits.memory`; `None`: none.
    pub limit: Option<i64>,
}

/// The section of a Deployment that requests so much (bytes).
pub(super) fn read(mut section: Section<'_>, request: i64, problems: &mut Problems) -> MemoryUsageSpec {
    let steady = section.bytes("steady", problems).unwrap_or(request);
    let idle = section.bytes("idle", problems).unwrap_or(steady);
    let spread = workload::distribution(&mut section, "spread", problems);
    let read = MemoryUsageSpec {
        startup: section.bytes("startup", problems).unwrap_or(idle),
        idle,
        steady,
        grows_over: section.span("grows_over", problems).unwrap_or(SimDuration::ZERO),
        spread: spread.unwrap_or(Distribution::Constant(1.0)),
        limit: section.bytes("limit", problems),
    };
    if read.limit.is_some_and(|limit| limit < request.max(1)) {
        let what = "the limit lies below the request";
        let hint = Some("Kubernetes refuses such a pod: raise the limit or lower memory".to_string());
        problems.add(section.origin_of("limit"), &section.key("limit"), what, hint);
    }
    section.finish(problems);
    read
}
