//! Which of a ReplicaSet's pods go first when there are too many.
//!
//! Left out: the annotation `controller.kubernetes.io/pod-deletion-cost` and restarts. Source: Kubernetes 1.34,
//! `pkg/controller/controller_utils.go`, `ActivePodsWithRanks` with `LogarithmicScaleDown`.

use std::cmp::Reverse;

use crate::units::SimTime;

/// What the order looks at. A deleted pod is none of the ReplicaSet's any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActivePod {
    pub assigned: bool,
    /// Phase Running rather than Pending.
    pub running: bool,
    /// Since when it is Ready; `None`: it is not.
    pub ready_since: Option<SimTime>,
    /// Active pods of the same owner on its node; of one that is not assigned, those that are not.
    pub on_node: u32,
    pub created_at: SimTime,
    /// Its UID, which is random: it orders what nothing else does.
    pub uid: u64,
}

/// The places of the `count` pods that go, the first to go first.
///
/// In this order: not assigned, Pending, not Ready, doubled up on a node, Ready or created more recently. Ages are
/// compared by the integer part of their logarithm to base 2, so that of pods about as old any may go.
pub fn victims(pods: &[ActivePod], count: usize, now: SimTime) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pods.len()).collect();
    let key = |place: &usize| {
        let pod = &pods[*place];
        let recent = age(pod.ready_since.unwrap_or(pod.created_at), now);
        (pod.assigned, pod.running, pod.ready_since.is_some(), Reverse(pod.on_node), recent, pod.uid)
    };
    order.sort_by_cached_key(key);
    order.truncate(count);
    order
}

/// The integer part of the age's logarithm to base 2, in nanoseconds; -1 of no age.
fn age(since: SimTime, now: SimTime) -> i32 {
    now.saturating_since(since).nanos().checked_ilog2().map_or(-1, |rank| rank as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SimTime = SimTime::from_secs(1_000);

    fn ready(since_s: u64, on_node: u32, uid: u64) -> ActivePod {
        ActivePod {
            assigned: true,
            running: true,
            ready_since: Some(SimTime::from_secs(since_s)),
            on_node,
            created_at: SimTime::from_secs(since_s.saturating_sub(10)),
            uid,
        }
    }

    #[test]
    fn what_serves_least_goes_first() {
        let old = ready(10, 1, 1);
        let doubled = ready(10, 2, 2);
        let young = ready(900, 1, 3);
        let unready = ActivePod { ready_since: None, ..old };
        let pending = ActivePod { running: false, ready_since: None, ..old };
        let unassigned = ActivePod { assigned: false, ..pending };
        let pods = [old, young, doubled, unready, pending, unassigned];
        assert_eq!(victims(&pods, 6, NOW), [5, 4, 3, 2, 1, 0]);
        assert_eq!(victims(&pods, 2, NOW), [5, 4]);
    }

    #[test]
    fn ages_within_a_factor_of_two_are_alike_and_the_uid_decides() {
        // 600 s and 990 s lie between 2^39 and 2^40 ns, 500 s does not.
        let pods = [ready(10, 1, 7), ready(400, 1, 9), ready(500, 1, 8)];
        assert_eq!(victims(&pods, 3, NOW), [2, 0, 1]);
    }
}
