//! The horizontal pod autoscaler: how many replicas one sync asks for.
//!
//! Counts are i32 and overflow as the real controller's do. Source: kubernetes v1.34.4, `pkg/controller/podautoscaler`.

mod limit;
mod proposal;

pub use limit::{Policies, Policy, PolicyKind, Select};
pub use proposal::{Metric, PodMetric, PodState, proposal};

/// How long a proposal keeps the count from falling, without a behavior of the object's own (ms).
const DOWNSCALE_STABILISATION_MS: i64 = 300_000;

/// A proposal before stabilising, or a change, at some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At<T> {
    pub at_ms: i64,
    pub value: T,
}

/// `spec.behavior` with its defaults filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Behavior {
    pub up: Policies,
    pub down: Policies,
}

/// The object and what the controller remembers of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Autoscaler {
    pub min: i32,
    pub max: i32,
    /// Relative deviation of the metric's ratio from 1 within which nothing changes.
    pub tolerance: f64,
    pub behavior: Option<Behavior>,
    /// Earlier proposals; at the object's first sync its count of then.
    pub recommendations: Vec<At<i32>>,
    /// Changes of the count: positive up, negative down.
    pub scale_events: Vec<At<i32>>,
}

/// The outcome of one sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sync {
    pub desired: i32,
    /// What the metric asked for, to be remembered; `None` if it was not looked at.
    pub proposal: Option<i32>,
}

impl Autoscaler {
    /// The count where no metric is looked at: scaled to none by hand, or out of its bounds.
    pub fn without_metric(&self, current: i32) -> Option<i32> {
        if current == 0 && self.min > 0 {
            Some(0)
        } else if current > self.max {
            Some(self.max)
        } else if current < self.min {
            Some(self.min)
        } else {
            None
        }
    }

    /// What is asked for at `now_ms` with `current` replicas.
    pub fn sync(&self, current: i32, metric: &Metric, now_ms: i64) -> Sync {
        if let Some(desired) = self.without_metric(current) {
            return Sync { desired, proposal: None };
        }
        let Some(proposal) = proposal(metric, current, self.tolerance) else {
            return Sync { desired: current, proposal: None };
        };
        // The largest of what the metrics ask for, which starts at 0.
        let proposal = proposal.max(0);
        let desired = match &self.behavior {
            None => self.without_behavior(current, proposal, now_ms),
            Some(behavior) => self.with_behavior(behavior, current, proposal, now_ms),
        };
        Sync { desired, proposal: Some(proposal) }
    }

    /// The largest of the last five minutes, at most doubled.
    fn without_behavior(&self, current: i32, proposal: i32, now_ms: i64) -> i32 {
        let recent = |earlier: &&At<i32>| now_ms - earlier.at_ms <= DOWNSCALE_STABILISATION_MS;
        let stable =
            self.recommendations.iter().filter(recent).map(|earlier| earlier.value).fold(proposal, i32::max);
        let most = to_i32((2.0 * f64::from(current)).max(4.0)).min(self.max);
        if stable < self.min { self.min } else { stable.min(most) }
    }

    fn with_behavior(&self, behavior: &Behavior, current: i32, proposal: i32, now_ms: i64) -> i32 {
        let within = |window_ms: i64| {
            let strictly_younger = move |earlier: &&At<i32>| now_ms - earlier.at_ms < window_ms;
            self.recommendations.iter().filter(strictly_younger).map(|earlier| earlier.value)
        };
        let at_least = within(behavior.up.window_ms).fold(proposal, i32::min);
        let at_most = within(behavior.down.window_ms).fold(proposal, i32::max);
        let stable = current.max(at_least).min(at_most);
        if stable > current {
            let limit = behavior.up.limit_up(current, &self.scale_events, now_ms).max(current);
            stable.min(self.max.min(limit))
        } else if stable < current {
            let limit = behavior.down.limit_down(current, &self.scale_events, now_ms).min(current);
            stable.max(self.min.max(limit))
        } else {
            stable
        }
    }
}

/// A double as Go on amd64 turns it into an int32: what does not fit becomes the least one (CVTTSD2SL).
fn to_i32(value: f64) -> i32 {
    // What lies between a bound and the next whole number beyond it is cut to the bound.
    if value > -2_147_483_649.0 && value < 2_147_483_648.0 { value as i32 } else { i32::MIN }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Source: go1.24.12 (which builds kubernetes v1.34.4) on amd64, `int32(x)` of a float64.
    #[test]
    fn a_double_becomes_an_int32_as_in_go() {
        for (value, wanted) in [
            (2.9, 2),
            (-2.9, -2),
            (2_147_483_647.5, i32::MAX),
            (2_147_483_648.0, i32::MIN),
            (-2_147_483_648.5, i32::MIN),
            (3e9, i32::MIN),
            (5e9, i32::MIN),
            (-3e9, i32::MIN),
            (1e19, i32::MIN),
            (f64::INFINITY, i32::MIN),
            (f64::NAN, i32::MIN),
        ] {
            assert_eq!(to_i32(value), wanted, "{value}");
        }
    }

    fn policies() -> impl Strategy<Value = Policies> {
        let policy = (any::<bool>(), 1i32..200, 1i64..120).prop_map(|(pods, value, seconds)| Policy {
            kind: if pods { PolicyKind::Pods } else { PolicyKind::Percent },
            value,
            period_ms: seconds * 1_000,
        });
        let select = prop_oneof![Just(Select::Max), Just(Select::Min), Just(Select::Disabled)];
        (0i64..400, select, prop::collection::vec(policy, 1..4))
            .prop_map(|(seconds, select, policies)| Policies { window_ms: seconds * 1_000, select, policies })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]
        /// Whatever is proposed and remembered, the count stays within the bounds, and moves no further than a policy
        /// allows, nor in a direction that is disabled.
        #[test]
        fn a_sync_never_leaves_its_bounds(
            bounds in (0i32..50, 1i32..500),
            current in 0i32..600,
            wanted in 0i32..5_000,
            behavior in prop::option::of((policies(), policies())),
            earlier in prop::collection::vec((0i64..600_000, 0i32..1_000), 0..6),
        ) {
            let (min, max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let at = |(at_ms, value): &(i64, i32)| At { at_ms: *at_ms, value: *value };
            let autoscaler = Autoscaler {
                min,
                max,
                tolerance: 0.1,
                behavior: behavior.map(|(up, down)| Behavior { up, down }),
                recommendations: earlier.iter().map(at).collect(),
                scale_events: Vec::new(),
            };
            let desired = autoscaler.sync(current, &Metric::Replicas(wanted), 600_000).desired;
            if current == 0 && min > 0 {
                prop_assert_eq!(desired, 0);
            } else {
                prop_assert!(min <= desired && desired <= max, "{} of {}..{}", desired, min, max);
            }
            let inside = min <= current && current <= max && current > 0;
            match &autoscaler.behavior {
                None if inside => prop_assert!(desired <= (2 * current).max(4)),
                Some(behavior) if inside && desired > current => {
                    let limit = behavior.up.limit_up(current, &[], 600_000);
                    prop_assert!(desired <= limit && behavior.up.select != Select::Disabled);
                }
                Some(behavior) if inside && desired < current => {
                    let limit = behavior.down.limit_down(current, &[], 600_000);
                    prop_assert!(desired >= limit && behavior.down.select != Select::Disabled);
                }
                _ => {}
            }
        }
    }
}
