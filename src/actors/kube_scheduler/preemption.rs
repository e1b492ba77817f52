//! Preemption: which pods of lower priority a node would give up for a pod, and where that hurts least.
//!
//! Nodes are looked at one after the other, where the real one has sixteen workers that
//! may find some candidates more than are asked for. Source: kubernetes v1.34.4 and v1.24.17,
//! `pkg/scheduler/framework/preemption` and `plugins/defaultpreemption`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::view::Version;
use crate::actors::go_sort;
use crate::units::SimTime;

/// kube-scheduler's `parallelism`.
pub const WORKERS: usize = 16;

/// How many of so many pieces of work a worker takes at once.
pub fn chunk_size(pieces: usize) -> usize {
    pieces.isqrt().min(pieces / WORKERS + 1).max(1)
}

/// A pod that could make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Victim {
    pub pod: u32,
    /// Its Deployment.
    pub kind: u32,
    pub priority: i32,
    /// `status.startTime`, in whole seconds; never, if it has not started.
    pub since: SimTime,
    /// The number of the disruption budget that covers it.
    pub budget: Option<u32>,
}

/// A node as it would be without some of its pods.
pub trait Site {
    fn remove(&mut self, victim: &Victim);
    fn put_back(&mut self, victim: &Victim);
    /// Do all filters let the pod come, both with those for whom others make room there and without?
    fn admits(&self) -> bool;
}

/// Those whom a node would give up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub victims: Vec<Victim>,
    /// How many of them their budgets do not allow to go.
    pub violations: u32,
}

/// Of how many nodes candidates are made, of so many where it may help: a tenth, and 100 at least.
pub fn candidates_to_find(nodes: usize) -> usize {
    (nodes / 10).max(100).min(nodes)
}

/// Those of a node's pods of lower priority, in the node's order, that must go so that all filters let the pod come; the most
/// important first. `None`: it may not come even without all of them, or there are none. `allowed` is how many disruptions
/// each budget has left.
pub fn candidate(
    mut lower: Vec<Victim>,
    allowed: &BTreeMap<u32, u32>,
    site: &mut impl Site,
    version: Version,
) -> Option<Candidate> {
    lower.iter().for_each(|victim| site.remove(victim));
    if lower.is_empty() || !site.admits() {
        return None;
    }
    go_sort::sort(&mut lower, more_important);
    let mut left = allowed.clone();
    let violates = |victim: &Victim| {
        let left = victim.budget.and_then(|budget| left.get_mut(&budget));
        left.is_some_and(|left| match *left {
            0 => true,
            _ => {
                *left -= 1;
                false
            }
        })
    };
    let (violating, others): (Vec<Victim>, Vec<Victim>) = lower.into_iter().partition(violates);
    // Each stays if the pod may still come beside it.
    let mut goes = |victim: &Victim| {
        site.put_back(victim);
        let stays = site.admits();
        if !stays {
            site.remove(victim);
        }
        !stays
    };
    let mixed = !violating.is_empty() && !others.is_empty();
    let mut victims: Vec<Victim> = violating.into_iter().filter(&mut goes).collect();
    let violations = victims.len() as u32;
    victims.extend(others.into_iter().filter(&mut goes));
    if mixed && version > Version::V1_24 {
        go_sort::sort(&mut victims, more_important);
    }
    (!victims.is_empty()).then_some(Candidate { victims, violations })
}

/// `MoreImportantPod`. Those that have not started count from now, by a clock that is read for the first of them first.
fn more_important(victim: &Victim, other: &Victim) -> bool {
    let none_started = victim.since == SimTime::NEVER && other.since == SimTime::NEVER;
    victim.priority > other.priority
        || victim.priority == other.priority && (victim.since < other.since || none_started)
}

/// What makes a node's victims cheaper than another's, the first that differs: the fewest against their budgets, the lowest
/// priority of the first of them, the smallest sum of priorities, the fewest, and the latest start of the earliest among the
/// highest.
pub fn cost(candidate: &Candidate) -> (u32, i32, i64, usize, Reverse<SimTime>) {
    let Candidate { victims, violations } = candidate;
    let first = victims.first().map_or(i32::MIN, |victim| victim.priority);
    let highest = victims.iter().map(|victim| victim.priority).max().unwrap_or(i32::MIN);
    // Shifted above 0, so that more victims never cost less.
    let sum = victims.iter().map(|victim| i64::from(victim.priority) + i64::from(i32::MAX) + 1).sum();
    let of_highest = victims.iter().filter(|victim| victim.priority == highest);
    let earliest = of_highest.map(|victim| victim.since).min().unwrap_or(SimTime::NEVER);
    (*violations, first, sum, victims.len(), Reverse(earliest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Resources;

    /// Room, and pods of a kind that the pod minds.
    struct Room<'a> {
        requests: &'a [Resources],
        need: Resources,
        left: Resources,
        minded: Option<u32>,
        there: u32,
    }

    impl Site for Room<'_> {
        fn remove(&mut self, victim: &Victim) {
            self.left += self.requests[victim.pod as usize];
            self.there -= u32::from(Some(victim.kind) == self.minded);
        }
        fn put_back(&mut self, victim: &Victim) {
            self.left = self.left - self.requests[victim.pod as usize];
            self.there += u32::from(Some(victim.kind) == self.minded);
        }
        fn admits(&self) -> bool {
            self.need.fits(&self.left) && self.there == 0
        }
    }

    /// Pods of three kinds, the last of which a budget covers, and what they request.
    fn lower() -> impl Strategy<Value = (Vec<Victim>, Vec<Resources>)> {
        let victim = (0u32..3, 0i32..4, 1i64..9, 0i64..9, 0u64..5);
        prop::collection::vec(victim, 0..8).prop_map(|all| {
            let read = |(pod, (kind, priority, cpu, memory, since))| {
                let since = SimTime::from_secs(since);
                let victim = Victim { pod, kind, priority, since, budget: (kind == 2).then_some(0) };
                (victim, Resources::new(cpu, memory, 1))
            };
            (0..).zip(all).map(read).unzip()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]
        /// The pod may come once they are gone; not one of them could have stayed; whoever stays is not less important than a
        /// victim that takes as much, unless that is covered by a budget; of the kind that is minded nobody stays; and of those
        /// that a budget covers no more count as violations than go beyond it.
        #[test]
        fn no_victim_is_needless(
            (lower, requests) in lower(),
            need in (1i64..20, 0i64..20),
            room in (-2i64..9, -2i64..9, -1i64..2),
            minded in prop::option::of(0u32..3),
            allowed in 0u32..3,
        ) {
            let need = Resources::new(need.0, need.1, 1);
            let of_kind = |victim: &&Victim| Some(victim.kind) == minded;
            let there = lower.iter().filter(of_kind).count() as u32;
            let left = Resources::new(room.0, room.1, room.2);
            let mut site = Room { requests: &requests, need, left, minded, there };
            let budgets = BTreeMap::from([(0, allowed)]);
            let of = |victim: &Victim| requests[victim.pod as usize];
            let all = lower.iter().fold(left, |room, victim| room + of(victim));
            let Some(Candidate { victims, violations }) =
                candidate(lower.clone(), &budgets, &mut site, Version::V1_34)
            else {
                let fits_at_once = need.fits(&left) && there == 0;
                prop_assert!(lower.is_empty() || !need.fits(&all) || fits_at_once);
                return Ok(());
            };
            prop_assert!(site.admits());
            let freed = victims.iter().fold(left, |room, victim| room + of(victim));
            prop_assert_eq!(freed, site.left);
            prop_assert!(victims.is_sorted_by_key(|victim| (Reverse(victim.priority), victim.since)));
            for victim in victims.iter().filter(|victim| !of_kind(victim)) {
                prop_assert!(!need.fits(&(freed - of(victim))), "{victim:?} could stay");
            }
            for stays in lower.iter().filter(|victim| !victims.contains(victim)) {
                let swapped = |victim: &Victim| {
                    let alike = of(victim) == of(stays) && !of_kind(&victim) && victim.budget.is_none();
                    alike && stays.budget.is_none() && victim.priority > stays.priority
                };
                prop_assert!(!of_kind(&stays) && !victims.iter().any(swapped), "{stays:?} stays");
            }
            let covered = |among: &[Victim]| among.iter().filter(|victim| victim.budget.is_some()).count() as u32;
            let beyond = covered(&lower).saturating_sub(allowed);
            prop_assert!(violations <= beyond.min(covered(&victims)));
            prop_assert!(violations >= covered(&victims).saturating_sub(allowed));
        }
    }

    fn victim(priority: i32, since: u64) -> Victim {
        Victim { pod: 0, kind: 0, priority, since: SimTime::from_secs(since), budget: None }
    }

    #[test]
    fn a_node_with_lesser_victims_is_cheaper() {
        let of = |violations, victims| Candidate { victims, violations };
        let rising = [
            of(0, vec![victim(1, 5)]),
            of(0, vec![victim(1, 4)]),
            of(0, vec![victim(1, 4), victim(0, 4)]),
            of(0, vec![victim(1, 4), victim(1, 4)]),
            of(0, vec![victim(2, 9)]),
            of(1, vec![victim(1, 5)]),
        ];
        for pair in rising.windows(2) {
            assert!(cost(&pair[0]) < cost(&pair[1]), "{pair:?}");
        }
    }

    /// Two of five that a budget covers may go; the node needs two of its pods gone, and gives up those of no budget first.
    #[test]
    fn those_beyond_a_budget_are_kept_first() {
        let pods: Vec<Victim> = (0..5)
            .map(|pod| Victim {
                pod,
                budget: (pod < 4).then_some(0),
                ..victim(if pod < 4 { 1 } else { 3 }, 0)
            })
            .collect();
        let requests = [Resources::new(1, 1, 1); 5];
        let gone = |allowed: u32, need: i64| {
            let (need, left) = (Resources::new(need, 1, 1), Resources::ZERO);
            let mut site = Room { requests: &requests, need, left, minded: None, there: 0 };
            let found = candidate(pods.clone(), &BTreeMap::from([(0, allowed)]), &mut site, Version::V1_34);
            let Candidate { victims, violations } = found.expect("they make room enough");
            (victims.iter().map(|victim| victim.pod).collect::<Vec<u32>>(), violations)
        };
        // The second and third of the budget's may not go, so they stay, and who is of higher priority goes.
        assert_eq!(gone(1, 2), (vec![4, 0], 0));
        assert_eq!(gone(1, 3), (vec![4, 3, 0], 1));
        // All may go: the least important do.
        assert_eq!(gone(4, 2), (vec![2, 3], 0));
    }

    #[test]
    fn a_tenth_of_the_nodes_is_looked_at_and_a_hundred_at_least() {
        assert_eq!([7, 100, 900, 1_010, 5_000].map(candidates_to_find), [7, 100, 100, 101, 500]);
    }
}
