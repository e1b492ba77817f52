//! The Deployment controller: how many replicas it gives each ReplicaSet of a Deployment in one sync.
//!
//! ReplicaSets stand by age, the oldest first, as the controller sorts them by creation. Left out: pauses, rollbacks, the
//! progress deadline (which only reports) and ReplicaSets that the Deployment adopts. Source: Kubernetes 1.34,
//! `pkg/controller/deployment` (`rolling.go`, `recreate.go`, `sync.go`) and its `util/deployment_util.go`.

use std::cmp::Reverse;

use super::int_or_percent::IntOrPercent;

/// `spec.strategy`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// All old pods go before the first new one is made.
    Recreate,
    RollingUpdate {
        /// Pods beyond the wanted number; a share is rounded up.
        max_surge: IntOrPercent,
        /// Pods that may be missing at it; a share is rounded down.
        max_unavailable: IntOrPercent,
    },
}

impl Strategy {
    /// What a Deployment that says nothing has.
    pub const STANDARD: Strategy = Strategy::RollingUpdate {
        max_surge: IntOrPercent::Percent(25),
        max_unavailable: IntOrPercent::Percent(25),
    };

    /// Pods that may be there beyond `replicas`.
    pub fn max_surge(self, replicas: u32) -> u32 {
        match self {
            Strategy::Recreate => 0,
            Strategy::RollingUpdate { max_surge, .. } => max_surge.of(replicas),
        }
    }
    /// Pods that may be missing of `replicas`; one, where both bounds come to nothing.
    pub fn max_unavailable(self, replicas: u32) -> u32 {
        match self {
            Strategy::Recreate => 0,
            Strategy::RollingUpdate { max_surge, max_unavailable } => {
                let missing = max_unavailable.of_rounded_down(replicas);
                let missing = if missing == 0 && max_surge.of(replicas) == 0 { 1 } else { missing };
                missing.min(replicas)
            }
        }
    }
}

/// A ReplicaSet as the controller sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetView {
    /// `spec.replicas`
    pub replicas: u32,
    /// `status.replicas`: pods that are there and that nobody has deleted.
    pub there: u32,
    /// `status.availableReplicas`
    pub available: u32,
}

/// What one sync makes of `spec.replicas`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Of the old ReplicaSets, by age.
    pub old: Vec<u32>,
    /// Of that of the present template; `None`: there is none yet, and none is made.
    pub new: Option<u32>,
}

impl Sizes {
    fn of(old: &[SetView], new: Option<SetView>) -> Sizes {
        Sizes { old: old.iter().map(|set| set.replicas).collect(), new: new.map(|set| set.replicas) }
    }
}

fn sum(sets: &[SetView], of: fn(&SetView) -> u32) -> u32 {
    sets.iter().map(of).sum()
}

/// One sync of a rollout. `new` is the ReplicaSet of the present template, if it was made already; `old_pods` are those of
/// older ones that the API still has, deleted or not.
pub fn rollout(
    strategy: Strategy,
    replicas: u32,
    old: &[SetView],
    new: Option<SetView>,
    old_pods: u32,
) -> Sizes {
    match strategy {
        Strategy::Recreate => recreate(replicas, old, new, old_pods),
        Strategy::RollingUpdate { .. } => rolling(strategy, replicas, old, new),
    }
}

fn recreate(replicas: u32, old: &[SetView], new: Option<SetView>, old_pods: u32) -> Sizes {
    let mut sizes = Sizes::of(old, new);
    if sum(old, |set| set.replicas) > 0 {
        sizes.old.fill(0);
    } else if old_pods == 0 && sum(old, |set| set.there) == 0 {
        sizes.new = Some(replicas);
    }
    sizes
}

/// The new one up as far as the surge allows; if that changes nothing, old ones down as far as availability allows.
fn rolling(strategy: Strategy, replicas: u32, old: &[SetView], new: Option<SetView>) -> Sizes {
    let mut sizes = Sizes::of(old, new);
    let before = new.unwrap_or_default();
    let grown = new_size(strategy, replicas, old, before);
    sizes.new = Some(grown);
    // One that is made in this sync is made with its size, so that nothing is left to scale up.
    let made = SetView { replicas: grown, ..before };
    if new.is_none() || grown == before.replicas {
        shrink_old(strategy, replicas, old, made, &mut sizes.old);
    }
    sizes
}

/// `NewRSNewReplicas`, or the wanted number for one that is above it.
fn new_size(strategy: Strategy, replicas: u32, old: &[SetView], new: SetView) -> u32 {
    if new.replicas >= replicas {
        return replicas;
    }
    let there = sum(old, |set| set.replicas) + new.replicas;
    let room = replicas.saturating_add(strategy.max_surge(replicas)).saturating_sub(there);
    new.replicas + room.min(replicas - new.replicas)
}

/// `reconcileOldReplicaSets`: replicas that do not serve go first, then as many as availability can spare.
fn shrink_old(strategy: Strategy, replicas: u32, old: &[SetView], new: SetView, sizes: &mut [u32]) {
    let count = |number: u32| i64::from(number);
    let all = sum(old, |set| set.replicas) + new.replicas;
    let least = count(replicas) - count(strategy.max_unavailable(replicas));
    let mut spare = count(all) - least - (count(new.replicas) - count(new.available));
    if spare <= 0 {
        return;
    }
    // ReplicaSets without replicas are not looked at any more.
    let active = || old.iter().enumerate().filter(|(_, set)| set.replicas > 0);
    for (place, set) in active() {
        if spare <= 0 {
            break;
        }
        if set.available > set.replicas {
            // Its status is older than its size: the controller takes that for an error, and ends its sync.
            return;
        }
        let goes = spare.min(count(set.replicas - set.available));
        sizes[place] -= goes as u32;
        spare -= goes;
    }
    let available: u32 = active().map(|(_, set)| set.available).sum();
    let mut spare = count(available + new.available) - least;
    for (place, _) in active() {
        let goes = count(sizes[place]).min(spare.max(0));
        sizes[place] -= goes as u32;
        spare -= goes;
    }
}

/// One sync after the Deployment's own replicas changed, which were `before` with their surge: proportional to the sizes that
/// the ReplicaSets have, so that a rollout under way is neither hastened nor held up.
pub fn scale(strategy: Strategy, replicas: u32, before: u32, old: &[SetView], new: Option<SetView>) -> Sizes {
    let mut sizes = Sizes::of(old, new);
    let all: Vec<u32> = sizes.old.iter().copied().chain(sizes.new).collect();
    let active: Vec<usize> = (0..all.len()).filter(|place| all[*place] > 0).collect();
    let mut scaled = all.clone();
    match active[..] {
        // If none has pods, the youngest gets all.
        [] => scaled.iter_mut().last().into_iter().for_each(|size| *size = replicas),
        [only] => scaled[only] = replicas,
        _ if strategy == Strategy::Recreate => {}
        _ => proportional(strategy, replicas, before, active, &mut scaled),
    }
    if new.is_some() {
        sizes.new = scaled.pop();
    }
    sizes.old = scaled;
    sizes
}

fn proportional(strategy: Strategy, replicas: u32, before: u32, mut active: Vec<usize>, sizes: &mut [u32]) {
    let most = if replicas == 0 { 0 } else { replicas.saturating_add(strategy.max_surge(replicas)) };
    let to_add = i64::from(most) - active.iter().map(|place| i64::from(sizes[*place])).sum::<i64>();
    if to_add == 0 {
        return;
    }
    // The largest first; of equal ones the younger is scaled up first, the older down.
    let age = |place: usize| if to_add > 0 { -(place as i64) } else { place as i64 };
    active.sort_by_key(|place| (Reverse(sizes[*place]), age(*place)));
    let share = |size: u32| match (replicas, before) {
        (0, _) => -i64::from(size),
        (_, 0) => 0,
        _ => libm::round(f64::from(size) * f64::from(most) / f64::from(before)) as i64 - i64::from(size),
    };
    let mut added = 0;
    let largest = active[0];
    for place in active {
        let left = to_add - added;
        let own = if left == 0 {
            0
        } else if to_add > 0 {
            share(sizes[place]).min(left)
        } else {
            share(sizes[place]).max(left)
        };
        sizes[place] = (i64::from(sizes[place]) + own) as u32;
        added += own;
    }
    sizes[largest] = (i64::from(sizes[largest]) + to_add - added).max(0) as u32;
}
