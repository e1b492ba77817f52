//! Preemption: which pods of lower priority a node would give up for a pod, and where that hurts least.
//!
//! Left out: disruption budgets. Source: kubernetes v1.34.4, `pkg/scheduler/framework/preemption` and
//! `plugins/defaultpreemption`.

use std::cmp::Reverse;

use crate::units::{Resources, SimTime};

/// Room of a node, or what a pod takes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub resources: Resources,
    /// Volumes that may be attached; of a node without a limit as many as there are numbers.
    pub volumes: i64,
}

impl Room {
    fn with(self, victim: &Victim) -> Room {
        let Victim { takes, .. } = victim;
        Room {
            resources: self.resources + takes.resources,
            volumes: self.volumes.saturating_add(takes.volumes),
        }
    }
    fn without(self, victim: &Victim) -> Room {
        let Victim { takes, .. } = victim;
        Room { resources: self.resources - takes.resources, volumes: self.volumes - takes.volumes }
    }
    /// Has it a place for this? Who has no volume minds none that are too many.
    fn holds(&self, need: &Room) -> bool {
        need.resources.fits(&self.resources) && (need.volumes == 0 || need.volumes <= self.volumes)
    }
}

/// A pod that could make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Victim {
    pub pod: u32,
    pub priority: i32,
    pub takes: Room,
    /// It cannot stay whatever room there is: it has a host port that the pod wants.
    pub in_the_way: bool,
    /// When it came to its node.
    pub since: SimTime,
}

/// Those of a node's pods of lower priority that must go so that `need` fits into `room`, which the node has left;
/// the most important first. `None`: even without all of them it does not fit, or there are none.
pub fn victims(lower: &[Victim], need: Room, room: Room) -> Option<Vec<Victim>> {
    let mut left = lower.iter().fold(room, Room::with);
    if lower.is_empty() || !left.holds(&need) {
        return None;
    }
    let mut order = lower.to_vec();
    order.sort_by_key(|victim| (Reverse(victim.priority), victim.since));
    // Each stays if the pod still fits beside it.
    order.retain(|victim| {
        let without = left.without(victim);
        let stays = !victim.in_the_way && without.holds(&need);
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

    fn room_of((cpu, memory, volumes): (i64, i64, i64), pods: i64) -> Room {
        Room { resources: Resources::new(cpu, memory, pods), volumes }
    }

    fn lower() -> impl Strategy<Value = Vec<Victim>> {
        let victim = (0i32..4, (1i64..9, 0i64..9, 0i64..3), 0u64..5, prop::bool::weighted(0.2));
        prop::collection::vec(victim, 0..8).prop_map(|all| {
            let read = |(pod, (priority, takes, since, in_the_way))| Victim {
                pod,
                priority,
                takes: room_of(takes, 1),
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
            need in (1i64..20, 0i64..20, 0i64..4),
            room in (-2i64..9, -2i64..9, -2i64..4),
            slots in -1i64..2,
        ) {
            let (need, room) = (room_of(need, 1), room_of(room, slots));
            let all = lower.iter().fold(room, Room::with);
            match victims(&lower, need, room) {
                None => prop_assert!(lower.is_empty() || !all.holds(&need)),
                Some(gone) => {
                    let freed = gone.iter().fold(room, Room::with);
                    prop_assert!(freed.holds(&need));
                    for victim in &gone {
                        let could = !victim.in_the_way && freed.without(victim).holds(&need);
                        prop_assert!(!could, "{victim:?} could stay");
                    }
                    for stays in lower.iter().filter(|victim| !gone.contains(victim)) {
                        prop_assert!(!stays.in_the_way, "{stays:?} stays");
                        let swapped = |victim: &&Victim| {
                            let alike = victim.takes == stays.takes && !victim.in_the_way;
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
            takes: room_of((0, 0, 0), 0),
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
