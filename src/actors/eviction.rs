//! The Eviction API: may a pod be evicted now, as its PodDisruptionBudget has it?
//!
//! Left out: several budgets for one pod, `unhealthyPodEvictionPolicy`. Source: Kubernetes 1.34,
//! `pkg/registry/core/pod/storage/eviction.go` and `pkg/controller/disruption/disruption.go`.

use super::int_or_percent::IntOrPercent;

/// A PodDisruptionBudget over all pods of one Deployment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PodDisruptionBudget {
    MinAvailable(IntOrPercent),
    MaxUnavailable(IntOrPercent),
}

/// What the budget's status is worked out from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Covered {
    /// The Deployment's `spec.replicas`.
    pub replicas: u32,
    /// Pods that are Ready and not deleted.
    pub healthy: u32,
}

impl PodDisruptionBudget {
    /// `status.desiredHealthy`
    pub fn desired_healthy(self, covered: Covered) -> u32 {
        match self {
            PodDisruptionBudget::MinAvailable(least) => least.of(covered.replicas),
            PodDisruptionBudget::MaxUnavailable(most) => {
                covered.replicas.saturating_sub(most.of(covered.replicas))
            }
        }
    }
    /// `status.disruptionsAllowed`
    pub fn disruptions_allowed(self, covered: Covered) -> u32 {
        match covered.replicas {
            0 => 0,
            _ => covered.healthy.saturating_sub(self.desired_healthy(covered)),
        }
    }
    /// Will it never let a pod go, as Karpenter tells it from its text?
    pub fn blocks_fully(self) -> bool {
        use IntOrPercent::{Count, Percent};
        matches!(
            self,
            PodDisruptionBudget::MaxUnavailable(Count(0) | Percent(0))
                | PodDisruptionBudget::MinAvailable(Percent(100))
        )
    }
    /// Is the pod evicted? Else the answer is 429. A pod whose phase is Pending asks no budget.
    pub fn evicts(self, covered: Covered, running: bool, ready: bool) -> bool {
        let desired = self.desired_healthy(covered);
        let unhealthy = !ready && covered.healthy >= desired && desired > 0;
        !running || unhealthy || self.disruptions_allowed(covered) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lets_go_what_is_healthy_beyond_its_floor() {
        use IntOrPercent::{Count, Percent};
        use PodDisruptionBudget::{MaxUnavailable, MinAvailable};
        for (budget, healthy, allowed) in [
            (MinAvailable(Count(8)), 10, 2),
            (MinAvailable(Count(8)), 7, 0),
            (MinAvailable(Percent(75)), 10, 2),
            (MaxUnavailable(Count(3)), 10, 3),
            (MaxUnavailable(Percent(25)), 10, 3),
            (MaxUnavailable(Percent(25)), 8, 1),
            (MaxUnavailable(Count(0)), 10, 0),
        ] {
            let covered = Covered { replicas: 10, healthy };
            assert_eq!(budget.disruptions_allowed(covered), allowed, "{budget:?} with {healthy}");
        }
    }

    #[test]
    fn what_does_not_serve_goes_without_a_budget() {
        let full = PodDisruptionBudget::MinAvailable(IntOrPercent::Percent(100));
        let covered = |healthy| Covered { replicas: 10, healthy };
        assert!(full.blocks_fully() && !full.evicts(covered(10), true, true));
        assert!(full.evicts(covered(9), false, false), "Pending");
        assert!(full.evicts(covered(10), true, false), "not Ready, and enough others are");
        assert!(!full.evicts(covered(9), true, false), "not Ready, and too few others are");
    }
}
