//! `[deployments.usage]`: what CPU a Deployment's pods want, and their limit.

use crate::input::{Problems, Section};
use crate::units::SimDuration;

/// CPU that a pod wants (millicores): while it starts, idle, and in busy spells.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct UsageSpec {
    /// While the application starts, which is work then: with half of this it takes twice its time. `None`: starting is
    /// waiting for others, and takes its time whatever the node gives.
    pub startup: Option<i64>,
    pub idle: i64,
    pub busy: i64,
    /// Of its time once it is up (0 to 1).
    pub busy_share: f64,
    /// Mean length of a busy spell; lengths are exponential.
    pub busy_for: SimDuration,
    /// Are all pods of the Deployment busy at the same time?
    pub busy_together: bool,
    /// `limits.cpu`; `None`: none.
    pub limit: Option<i64>,
}

impl UsageSpec {
    /// Mean length of a spell.
    pub fn lasts(&self, busy: bool) -> SimDuration {
        if busy { self.busy_for } else { self.busy_for.mul_f64((1.0 - self.busy_share) / self.busy_share) }
    }
    /// Does a pod that is up go from busy to idle and back?
    pub fn turns(&self) -> bool {
        self.busy_share > 0.0 && self.busy_share < 1.0
    }
}

/// The section of a Deployment that requests so much (millicores).
pub(super) fn read(mut section: Section<'_>, request: i64, problems: &mut Problems) -> UsageSpec {
    let startup = section.cpu("startup_cpu", problems).filter(|cpu| *cpu > 0);
    let idle = section.cpu("idle_cpu", problems).unwrap_or(0);
    let busy = section.cpu("busy_cpu", problems);
    let share = section.number("busy_share", 0.0, 1.0, problems);
    let busy_for = section.span("busy_for", problems).unwrap_or(SimDuration::from_secs(60));
    let together = section.flag("busy_together", problems);
    let limit = section.cpu("limit", problems);
    if busy.is_none() && share.is_some() {
        let hint = Some("add busy_cpu, such as busy_cpu = \"1\"".to_string());
        problems.add(
            section.origin_of("busy_share"),
            &section.key("busy_share"),
            "busy with how much CPU?",
            hint,
        );
    }
    if busy_for < SimDuration::from_secs(1) {
        let what = "spells of less than 1 s are not told apart from their average";
        problems.add(section.origin_of("busy_for"), &section.key("busy_for"), what, None);
    }
    if limit.is_some_and(|limit| limit < request.max(1)) {
        let what = format!("the limit lies below the request of {request}m");
        let hint = Some("Kubernetes refuses such a pod: raise the limit or lower cpu".to_string());
        problems.add(section.origin_of("limit"), &section.key("limit"), what, hint);
    }
    let busy_share = if busy.is_some() { share.unwrap_or(1.0) } else { 0.0 };
    section.finish(problems);
    UsageSpec {
        startup,
        idle,
        busy: busy.unwrap_or(idle),
        busy_share,
        busy_for,
        busy_together: together.unwrap_or(false),
        limit,
    }
}
