//! How many of a NodePool's nodes may be disrupted at once.
//!
//! A budget has a span of the run's time: one with `schedule` and `duration` comes as one for each time that it holds
//! (`scenario::disruption`). Source: karpenter v1.14.0, `pkg/apis/v1/nodepool.go`, `GetAllowedDisruptionsByReason`, and `BuildDisruptionBudgetMapping`.

use super::Reason;
use crate::actors::int_or_percent::IntOrPercent;
use crate::units::SimTime;

/// A disruption budget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    pub nodes: IntOrPercent,
    /// Empty: every reason.
    pub reasons: Vec<Reason>,
    /// From when until when it holds; `None`: always.
    pub active: Option<(SimTime, SimTime)>,
}

impl Budget {
    /// The one of a NodePool that names none: a tenth of its nodes.
    pub fn standard() -> Budget {
        Budget { nodes: IntOrPercent::Percent(10), reasons: Vec::new(), active: None }
    }
    fn counts(&self, reason: Reason, now: SimTime) -> bool {
        let named = self.reasons.is_empty() || self.reasons.contains(&reason);
        named && self.active.is_none_or(|(from, to)| from <= now && now < to)
    }
}

/// A NodePool's nodes that are initialized and whose instance is not being terminated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    pub nodes: u32,
    /// Of these, those that are NotReady or on their way out.
    pub disrupting: u32,
}

/// What a pool allows where no budget holds.
pub const UNLIMITED: u32 = i32::MAX as u32;

/// Nodes that may still be disrupted for the reason: what the strictest budget allows, less those that are already.
pub fn allowed(budgets: &[Budget], counted: Counted, reason: Reason, now: SimTime) -> u32 {
    let held = budgets.iter().filter(|budget| budget.counts(reason, now));
    let most = held.map(|budget| budget.nodes.of(counted.nodes)).min().unwrap_or(UNLIMITED);
    most.saturating_sub(counted.disrupting)
}
