//! What Karpenter 0.19 called deprovisioning: its methods and their order, what it preferred, when a node counted as empty, and
//! how long it waited for what it had begun.
//!
//! It knew neither budgets nor drift, and looked at one node at a time unless nodes were empty. Source: aws/karpenter-core
//! cf29e8b, `pkg/controllers/deprovisioning`, `pkg/controllers/node/emptiness.go` and `pkg/operator/controller/singleton.go`;
//! avast/retry-go v3.0.0.

use super::Reason;
use super::candidates::Candidate;
use crate::units::{SimDuration, SimTime};

/// The methods, in the order in which they were tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `ttlSecondsAfterEmpty`: all such nodes at once.
    Emptiness,
    /// `ttlSecondsUntilExpired`: one after the other, whoever has been due for longest.
    Expiration,
    /// `consolidation.enabled`: all empty nodes at once, else one.
    Consolidation,
}

impl Method {
    pub const ALL: [Method; 3] = [Method::Emptiness, Method::Expiration, Method::Consolidation];

    /// How long what was found is waited with before it is looked at again.
    pub const fn validated_after(self) -> SimDuration {
        match self {
            Method::Consolidation => SimDuration::from_secs(15),
            Method::Emptiness | Method::Expiration => SimDuration::ZERO,
        }
    }
    /// Why a node goes; one without pods that consolidation takes is Empty.
    pub const fn reason(self) -> Reason {
        match self {
            Method::Emptiness => Reason::Empty,
            Method::Expiration => Reason::Expired,
            Method::Consolidation => Reason::Underutilized,
        }
    }
}

/// What disrupting a node counted, by its pods' eviction costs: less the nearer its end was, by the part of its life that is left.
pub fn disruption_cost(pods: impl Iterator<Item = f64>, age: SimDuration, life: Option<SimDuration>) -> f64 {
    let left = |life: SimDuration| ((life.secs_f64() - age.secs_f64()) / life.secs_f64()).clamp(0.0, 1.0);
    pods.sum::<f64>() * life.map_or(1.0, left)
}

/// Those that cost least to disrupt first. Equal ones keep their order, where the real sort of more than twelve may not.
pub fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| a.reschedule_cost.total_cmp(&b.reschedule_cost));
}

/// Looks at a node that is to be initialized or gone, and what lies between the first two and most.
const LOOKS: u32 = 60;
const FIRST_WAIT: SimDuration = SimDuration::from_secs(2);
const LONGEST_WAIT: SimDuration = SimDuration::from_secs(10);
const JITTER: SimDuration = SimDuration::from_millis(100);

/// How long until the next look, after so many; `None`: that was the last. `uniform` is in [0, 1).
pub fn wait_after(looks: u32, uniform: f64) -> Option<SimDuration> {
    let wait = || FIRST_WAIT * (1 << (looks - 1).min(10)) + JITTER.mul_f64(uniform);
    (looks < LOOKS).then(|| wait().min(LONGEST_WAIT))
}

const ERROR_WAIT: SimDuration = SimDuration::from_millis(1);
const LONGEST_ERROR_WAIT: SimDuration = SimDuration::from_secs(1_000);

/// How long the loop rests after this many errors in a row.
pub fn rest_after(errors: u32) -> SimDuration {
    (ERROR_WAIT * (1 << (errors.max(1) - 1).min(30))).min(LONGEST_ERROR_WAIT)
}

/// A node's annotation `karpenter.sh/emptiness-timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EmptinessTimestamp(Option<SimTime>);

impl EmptinessTimestamp {
    /// The node controller looks at an initialized node. While pods are meant for it nothing is written, nor taken off.
    pub fn reconcile(&mut self, now: SimTime, empty: bool, nominated: bool) {
        match (nominated, empty) {
            (true, _) => {}
            // Written in whole seconds.
            (false, true) => self.0 = self.0.or(Some(now.floor_second())),
            (false, false) => self.0 = None,
        }
    }
    /// Has the node been empty for longer than that?
    pub fn is_over(self, ttl: SimDuration, now: SimTime) -> bool {
        self.0.is_some_and(|since| now > since + ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_add_up_to_nine_and_a_half_minutes() {
        let waits: Vec<SimDuration> = (1..).map_while(|looks| wait_after(looks, 0.0)).collect();
        assert_eq!(waits[..4], [2, 4, 8, 10].map(SimDuration::from_secs));
        assert_eq!(
            (waits.len(), waits.iter().fold(SimDuration::ZERO, |sum, wait| sum + *wait)),
            (59, SimDuration::from_secs(574))
        );
        assert_eq!(wait_after(1, 0.5), Some(SimDuration::from_millis(2_050)));
        assert_eq!(wait_after(30, 0.9), Some(LONGEST_WAIT));
    }

    #[test]
    fn errors_are_waited_out_for_ever_longer() {
        assert_eq!([1, 2, 5].map(rest_after), [1, 2, 16].map(SimDuration::from_millis));
        assert_eq!(rest_after(100), SimDuration::from_secs(1_000));
    }

    /// "Node Lifetime Consideration": of a life of 3 s the first node has had 2 s more, and goes though it has two pods.
    #[test]
    fn the_end_of_a_life_counts_more_than_a_pod() {
        let cost = |pods: usize, age_ms| {
            let life = Some(SimDuration::from_secs(3));
            disruption_cost(std::iter::repeat_n(1.0, pods), SimDuration::from_millis(age_ms), life)
        };
        assert!(cost(2, 2_500) < cost(1, 500));
        assert_eq!(cost(2, 3_500), 0.0);
        assert_eq!(disruption_cost([1.0, -0.5].into_iter(), SimDuration::from_secs(9), None), 0.5);
    }

    #[test]
    fn a_timestamp_stays_while_pods_are_meant_for_the_node() {
        let at = SimTime::from_millis;
        let mut stamp = EmptinessTimestamp::default();
        stamp.reconcile(at(5_900), true, true);
        assert!(!stamp.is_over(SimDuration::ZERO, at(99_000)), "none is written");
        stamp.reconcile(at(6_900), true, false);
        let ttl = SimDuration::from_secs(30);
        assert!(!stamp.is_over(ttl, at(36_000)) && stamp.is_over(ttl, at(36_001)), "in whole seconds");
        stamp.reconcile(at(7_000), false, true);
        assert!(stamp.is_over(ttl, at(36_001)), "a pod came for which the node was meant");
        stamp.reconcile(at(8_000), false, false);
        assert!(!stamp.is_over(ttl, at(99_000)));
    }
}
