//! Preemption: which pods of lower priority a node would give up for a pod, and where that hurts least.
//!
//! Left out: disruption budgets. Source: kubernetes v1.34.4, `pkg/scheduler/framework/preemption` and
//! `plugins/defaultpreemption`.

use std::cmp::Reverse;

use crate::units::{Resources, SimTime};

/// A pod that could make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Victim {
    pub pod: u32,
    pub priority: i32,
    pub requests: Resources,
    /// It cannot stay whatever room there is: it has a host port that the pod wants.
    pub in_the_way: bool,
    /// When it came to its node.
    pub since: SimTime,
}

/// Those of a node's pods of lower priority that must go so that `need` fits into `room`, which the node has left;
/// the most important first. `None`: even without all of them it does not fit, or there are none.
pub fn victims(lower: &[Victim], need: Resources, room: Resources) -> Option<Vec<Victim>> {
    let mut left = lower.iter().fold(room, |room, victim| room + victim.requests);
    if lower.is_empty() || !need.fits(&left) {
        return None;
    }
    let mut order = lower.to_vec();
    order.sort_by_key(|victim| (Reverse(victim.priority), victim.since));
    // Each stays if the pod still fits beside it.
    order.retain(|victim| {
        let without = left - victim.requests;
        let stays = !victim.in_the_way && need.fits(&without);
        if stays {
            left = without;
        }
        !stays
    });
    Some(order)
}

/// What makes a node's victims cheaper than another's, the first that differs: the lowest priority of the highest of
/// them, the smallest sum of priorities, the fewest, and the latest start of the earliest among the highest.
pub fn cost(victims: &[Victim]) -> (i32, i64, usize, Reverse<SimTime>) {
    let highest = victims.iter().map(|victim| victim.priority).max().unwrap_or(i32::MIN);
    // Shifted above 0, so that more victims never cost less.
    let sum = victims.iter().map(|victim| i64::from(victim.priority) + i64::from(i32::MAX) + 1).sum();
    let of_highest = victims.iter().filter(|victim| victim.priority == highest);
    let earliest = of_highest.map(|victim| victim.since).min().unwrap_or(SimTime::NEVER);
    (highest, sum, victims.len(), Reverse(earliest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lower() -> impl Strategy<Value = Vec<Victim>> {
        let victim = (0i32..4, 1i64..9, 0i64..9, 0u64..5, prop::bool::weighted(0.2));
        prop::collection::vec(victim, 0..8).prop_map(|all| {
            let read = |(pod, (priority, cpu, memory, since, in_the_way))| Victim {
                pod,
                priority,
                requests: Resources::new(cpu, memory, 1),
                in_the_way,
                since: SimTime::from_secs(since),
            };
            (0..).zip(all).map(read).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]
        /// The pod fits once they are gone, not one of them could have stayed, and whoever stays is not less important
        /// than a victim that takes as much.
        #[test]
        fn no_victim_is_needless(
            lower in lower(),
            need in (1i64..20, 0i64..20),
            room in (-2i64..9, -2i64..9, -1i64..2),
        ) {
            let need = Resources::new(need.0, need.1, 1);
            let room = Resources::new(room.0, room.1, room.2);
            let all = lower.iter().fold(room, |room, victim| room + victim.requests);
            match victims(&lower, need, room) {
                None => prop_assert!(lower.is_empty() || !need.fits(&all)),
                Some(gone) => {
                    let freed = gone.iter().fold(room, |room, victim| room + victim.requests);
                    prop_assert!(need.fits(&freed));
                    for victim in &gone {
                        let could = !victim.in_the_way && need.fits(&(freed - victim.requests));
                        prop_assert!(!could, "{victim:?} could stay");
                    }
                    for stays in lower.iter().filter(|victim| !gone.contains(victim)) {
                        prop_assert!(!stays.in_the_way, "{stays:?} stays");
                        let swapped = |victim: &&Victim| {
                            let alike = victim.requests == stays.requests && !victim.in_the_way;
                            alike && victim.priority > stays.priority
                        };
                        prop_assert!(!gone.iter().any(|victim| swapped(&victim)), "{stays:?} stays");
                    }
                }
            }
        }
    }

    #[test]
    fn a_node_with_lesser_victims_is_cheaper() {
        let victim = |priority, since| Victim {
            pod: 0,
            priority,
            requests: Resources::ZERO,
            in_the_way: false,
            since: SimTime::from_secs(since),
        };
        let rising = [
            vec![victim(1, 5)],
            vec![victim(1, 4)],
            vec![victim(0, 4), victim(1, 4)],
            vec![victim(1, 4), victim(1, 4)],
            vec![victim(2, 9)],
        ];
        for pair in rising.windows(2) {
            assert!(cost(&pair[0]) < cost(&pair[1]), "{pair:?}");
        }
    }
}
