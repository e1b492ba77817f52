//! A node's drain as Karpenter 0.19 made it: looked at ever more seldom, stopped before a node with a `do-not-evict` pod, its
//! pods evicted one call after the other.
//!
//! Those of the system's priority classes are evicted once all others are being deleted. DaemonSets' pods tolerate a cordon and
//! stay. The provisioner hears nothing of it: it plans for the pods with the next one that waits. Left out: changes of the
//! Node, which bring a look forward, and pods that outlive their grace by a minute, which are not waited for. Evictions that
//! were refused come again beside the queue. Source: aws/karpenter-core cf29e8b, `pkg/controllers/termination`.

use super::state::PodStage;
use super::*;

/// The controller's rate limiter: doubled with each look of a node up to the longest, and for all nodes together.
const LOOK: SimDuration = SimDuration::from_millis(100);
const LOOK_MAX: SimDuration = SimDuration::from_secs(10);
const LOOKS: (u32, u32) = (10, 100);

/// Drains under way.
#[derive(Clone, Debug)]
pub(super) struct SerialDrains {
    /// By node: looks so far.
    looks: BTreeMap<u32, u32>,
    limiter: ClientBucket,
    /// Until when the eviction queue's only worker is busy.
    evicts_until: SimTime,
}

impl SerialDrains {
    pub fn new() -> SerialDrains {
        let limiter = ClientBucket::new(LOOKS.0, LOOKS.1);
        SerialDrains { looks: BTreeMap::new(), limiter, evicts_until: SimTime::ZERO }
    }
    /// When the node is looked at again.
    fn next_look(&mut self, node: u32, now: SimTime) -> SimTime {
        let looks = self.looks.entry(node).or_default();
        let wait = (LOOK * (1 << (*looks).min(10))).min(LOOK_MAX);
        *looks += 1;
        self.limiter.reserve(now).max(now + wait)
    }
}

impl Run<'_> {
    /// A look at a node whose claim is deleted.
    pub(super) fn drain_serially(&mut self, node: u32) {
        let there = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            state.stage >= PodStage::Bound && !state.failed
        };
        let pods: Vec<u32> = self.nodes[node as usize].pods.iter().copied().filter(there).collect();
        if pods.is_empty() {
            self.serial_drains.looks.remove(&node);
            return self.terminate_instance(node);
        }
        if !pods.iter().any(|pod| self.is_protected(*pod)) {
            let waits = |pod: &u32| self.pods[*pod as usize].is_active() && !self.is_critical(*pod);
            let critical = !pods.iter().any(waits);
            self.evict_pods(node, critical);
        }
        let next = self.serial_drains.next_look(node, self.now);
        self.at(next, Event::DrainChecked(node));
    }

    /// The pod joins the eviction queue.
    pub(super) fn evict_next(&mut self, pod: u32, sent: SimTime) {
        let begins = sent.max(self.serial_drains.evicts_until);
        self.serial_drains.evicts_until = self.send_eviction(pod, begins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_ever_later_and_ten_a_second_for_all() {
        let mut drains = SerialDrains::new();
        let now = SimTime::from_secs(5);
        let waits: Vec<u64> = (0..9).map(|_| drains.next_look(1, now).since(now).millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        let mut drains = SerialDrains::new();
        let last = (0..200).map(|node| drains.next_look(node, now)).last().unwrap();
        assert_eq!(last.since(now), SimDuration::from_secs(10));
    }
}
