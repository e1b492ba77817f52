//! Who goes when a node's memory runs short: kubelet's eviction order and the kernel's choice.
//!
//! kubelet keeps what pods use below what they may request: where less than 100 MiB of their common limit is left, it evicts
//! one pod after the other. The kernel kills where usage comes to that limit first. Left out: the other eviction signals
//! (disk, inodes, PIDs), soft thresholds, pods without statistics. Source: Kubernetes 1.34.1 `pkg/kubelet/eviction`
//! (`helpers.go`: rankMemoryPressure), `pkg/kubelet/qos/policy.go`; Linux `mm/oom_kill.c` (oom_badness).

use std::cmp::Reverse;

use crate::units::{MIB, SimDuration};

/// `evictionHard`: `memory.available < 100Mi`.
pub const EVICTION_HARD: i64 = 100 * MIB;
/// kubelet looks so often, but when it has just evicted.
pub const MONITORING_PERIOD: SimDuration = SimDuration::from_secs(10);
/// `evictionPressureTransitionPeriod`: so long the node's condition outlasts the pressure.
pub const TRANSITION_PERIOD: SimDuration = SimDuration::from_secs(300);
/// An evicted pod has so long to stop.
pub const EVICTION_GRACE: SimDuration = SimDuration::from_secs(1);

/// A pod on a node whose memory is short (bytes).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MemoryUser {
    pub usage: i64,
    pub request: i64,
    /// Of its PriorityClass.
    pub priority: i32,
    /// See [`oom_score_adj`].
    pub oom_score_adj: i64,
}

/// Whom kubelet evicts first: who uses more than it requests, then lower priority, then more usage beyond the request. Of
/// equals the first; `None` of nobody.
pub fn first_to_evict(users: &[MemoryUser]) -> Option<usize> {
    let rank = |place: &usize| {
        let user = &users[*place];
        (user.usage <= user.request, user.priority, Reverse(user.usage - user.request))
    };
    (0..users.len()).min_by_key(rank)
}

/// What kubelet gives a container's processes: who requests more of the node is killed later.
///
/// `guaranteed`: the pod's requests are its limits, of CPU and of memory. `best_effort`: it has neither.
pub fn oom_score_adj(request: i64, capacity: i64, guaranteed: bool, best_effort: bool) -> i64 {
    if guaranteed {
        return -997;
    }
    if best_effort {
        return 1_000;
    }
    (1_000 - 1_000 * request / capacity.max(1)).clamp(3, 999)
}

/// Whom the kernel kills where `total` bytes are used up: the highest score, which is usage plus the adjustment's
/// thousandths of all. Of equals the first; `None` of nobody.
pub fn first_to_kill(users: &[MemoryUser], total: i64) -> Option<usize> {
    let score = |place: &usize| {
        let user = &users[*place];
        (user.usage + user.oom_score_adj * (total / 1_000), Reverse(*place))
    };
    (0..users.len()).max_by_key(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(usage: i64, request: i64, priority: i32) -> MemoryUser {
        let oom_score_adj = oom_score_adj(request, 1_000, false, false);
        MemoryUser { usage, request, priority, oom_score_adj }
    }

    /// The order of TestOrderedByExceedsRequestPriorityMemory's rule: the names say what sets each apart.
    #[test]
    fn evictions_go_by_excess_then_priority_then_how_much() {
        let below_low = user(90, 100, -5);
        let over_high = user(300, 100, 10);
        let over_low = user(110, 100, 0);
        let over_low_much = user(150, 100, 0);
        let mut users = vec![below_low, over_high, over_low, over_low_much];
        let mut order = Vec::new();
        while let Some(place) = first_to_evict(&users) {
            order.push(users.remove(place));
        }
        assert_eq!(order, [over_low_much, over_low, over_high, below_low]);
    }

    /// Values of kubelet's own test of `GetContainerOOMScoreAdjust`: a standard memory amount of 8 GB.
    #[test]
    fn scores_are_the_kubelets() {
        let capacity = 8_000_000_000;
        let burstable = |request| oom_score_adj(request, capacity, false, false);
        assert_eq!(burstable(0), 999);
        assert_eq!(burstable(capacity / 2), 500);
        assert_eq!(burstable(capacity - 1), 3);
        assert_eq!(oom_score_adj(0, capacity, true, false), -997);
        assert_eq!(oom_score_adj(0, capacity, false, true), 1_000);
    }

    #[test]
    fn the_kernel_takes_who_uses_most_beyond_its_request() {
        let honest = user(400, 400, 0);
        let greedy = user(350, 50, 0);
        let guaranteed = MemoryUser { oom_score_adj: -997, ..user(600, 600, 0) };
        assert_eq!(first_to_kill(&[honest, greedy, guaranteed], 1_000), Some(1));
        assert_eq!(first_to_kill(&[honest, guaranteed], 1_000), Some(0));
        assert_eq!(first_to_kill(&[], 1_000), None);
    }
}
