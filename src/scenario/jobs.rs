//! `[[jobs]]`: pods that do a piece of work and end.

use super::checked::DeploymentSpec;
use super::workload;
use crate::chance::Distribution;
use crate::input::{Problems, Section};
use crate::units::{SimDuration, SimTime};

/// How much is to be done, and what comes of a pod.
#[derive(Clone, PartialEq, Debug)]
pub struct JobSpec {
    /// When somebody creates it.
    pub at: SimTime,
    /// Pods that must succeed.
    pub completions: u32,
    /// Pods at a time.
    pub parallelism: u32,
    /// More failed pods than these end the Job.
    pub backoff_limit: u32,
    /// A pod's container from its start to its end, drawn per pod.
    pub work: Distribution,
    /// Share of pods that fail at their end.
    pub fails: f64,
}

/// Each as the template of its pods.
pub(super) fn read(root: &mut Section<'_>, problems: &mut Problems) -> Vec<DeploymentSpec> {
    let sections = root.sections("jobs", problems).unwrap_or_default();
    let each = |(index, mut section): (usize, Section<'_>)| {
        let job = JobSpec {
            at: SimTime::ZERO + section.span("at", problems).unwrap_or(SimDuration::ZERO),
            completions: section.whole("completions", 1, 1_000_000, problems).unwrap_or(1),
            parallelism: section.whole("parallelism", 1, 1_000_000, problems).unwrap_or(1),
            backoff_limit: section.whole("backoff_limit", 0, 1_000_000, problems).unwrap_or(6),
            work: workload::distribution(&mut section, "work", problems)
                .unwrap_or(Distribution::Constant(60.0)),
            fails: section.number("fails", 0.0, 1.0, problems).unwrap_or(0.0),
        };
        let template = workload::template(&mut section, &format!("job-{}", index + 1), problems);
        section.finish(problems);
        DeploymentSpec { job: Some(job), ..template }
    };
    sections.into_iter().enumerate().map(each).collect()
}
