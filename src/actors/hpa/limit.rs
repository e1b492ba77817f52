//! The policies of a behavior: how far the count may go in a period.

use super::{At, to_i32};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    Pods,
    Percent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    pub kind: PolicyKind,
    pub value: i32,
    pub period_ms: i64,
}

/// Which of several policies counts: the one that allows the most or the least; or none, which forbids the direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Select {
    Max,
    Min,
    Disabled,
}

/// The rules of one direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policies {
    pub window_ms: i64,
    pub select: Select,
    pub policies: Vec<Policy>,
}

impl Policies {
    /// The default of `scaleUp`: 4 pods or 100 % in 15 s, whichever is more, at once.
    pub fn default_up() -> Policies {
        let policies = vec![
            Policy { kind: PolicyKind::Pods, value: 4, period_ms: 15_000 },
            Policy { kind: PolicyKind::Percent, value: 100, period_ms: 15_000 },
        ];
        Policies { window_ms: 0, select: Select::Max, policies }
    }
    /// The default of `scaleDown`: 100 % in 15 s, by the largest proposal of five minutes.
    pub fn default_down() -> Policies {
        let policies = vec![Policy { kind: PolicyKind::Percent, value: 100, period_ms: 15_000 }];
        Policies { window_ms: super::DOWNSCALE_STABILISATION_MS, select: Select::Max, policies }
    }

    /// The most that the policies allow.
    pub(super) fn limit_up(&self, current: i32, events: &[At<i32>], now_ms: i64) -> i32 {
        let allowed = self.policies.iter().map(|policy| {
            let start = start_of_period(policy, current, events, now_ms);
            match policy.kind {
                PolicyKind::Pods => start.wrapping_add(policy.value),
                PolicyKind::Percent => {
                    to_i32(libm::ceil(f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)))
                }
            }
        });
        match self.select {
            Select::Disabled => current,
            Select::Min => allowed.fold(i32::MAX, i32::min),
            Select::Max => allowed.fold(i32::MIN, i32::max),
        }
    }

    /// The least that the policies allow.
    pub(super) fn limit_down(&self, current: i32, events: &[At<i32>], now_ms: i64) -> i32 {
        let allowed = self.policies.iter().map(|policy| {
            let start = start_of_period(policy, current, events, now_ms);
            match policy.kind {
                PolicyKind::Pods => start.wrapping_sub(policy.value),
                PolicyKind::Percent => to_i32(f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)),
            }
        });
        match self.select {
            Select::Disabled => current,
            Select::Min => allowed.fold(i32::MIN, i32::max),
            Select::Max => allowed.fold(i32::MAX, i32::min),
        }
    }
}

/// The count before the changes of the period, those strictly younger than it.
fn start_of_period(policy: &Policy, current: i32, events: &[At<i32>], now_ms: i64) -> i32 {
    let young = |event: &&At<i32>| now_ms - event.at_ms < policy.period_ms;
    events.iter().filter(young).fold(current, |count, event| count.wrapping_sub(event.value))
}
