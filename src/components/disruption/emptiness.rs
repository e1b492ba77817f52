//! Since when a node is empty, as Karpenter 0.19's node controller wrote it down.
//!
//! It looked at a node as pods came and went, and as the cache of nodes for which pods are meant dropped it: each 10 s, what
//! had run out. Source: aws/karpenter-core cf29e8b, `pkg/controllers/node`, `pkg/controllers/state/cluster.go`.

use super::super::state::PodStage;
use super::deprovisioning::ttl_after_empty;
use super::*;
use crate::actors::karpenter::disruption::deprovisioning::EmptinessTimestamp;

/// The cache is cleaned so often.
const CLEANED_EVERY: SimDuration = SimDuration::from_secs(10);

/// Nodes of pools with `ttlSecondsAfterEmpty`.
#[derive(Clone, Debug)]
pub(super) struct Emptiness {
    /// Is there such a pool?
    kept: bool,
    nodes: BTreeMap<u32, Watched>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    timestamp: EmptinessTimestamp,
    /// At the last look.
    empty: bool,
    /// The end of the last nomination that the cache has dropped.
    dropped: SimTime,
}

impl Emptiness {
    pub fn new(scenario: &Scenario) -> Emptiness {
        let has_ttl = |pool: &NodePoolSpec| pool.disruption.as_ref().and_then(ttl_after_empty).is_some();
        let kept = scenario.profile == Profile::Nov2022 && scenario.node_pools.iter().any(has_ttl);
        Emptiness { kept, nodes: BTreeMap::new() }
    }
}

impl Run<'_> {
    /// The node controller looks at the node: it has become initialized, or a pod has come or gone.
    pub(in super::super) fn look_at_emptiness(&mut self, node: u32) {
        if !self.disruption.deprovisioning.emptiness.kept {
            return;
        }
        self.drop_nomination(node);
        let at = &self.nodes[node as usize];
        let there = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            state.stage >= PodStage::Bound && !state.failed
        };
        let (empty, nominated) = (!at.pods.iter().any(there), self.now < at.nominated_until);
        let (initialized, now) = (at.initialized_at <= self.now, self.now);
        let watched = self.watched(node);
        watched.empty = empty;
        if initialized {
            watched.timestamp.reconcile(now, empty, nominated);
        }
    }

    pub(super) fn emptiness_timestamp(&mut self, node: u32) -> EmptinessTimestamp {
        self.drop_nomination(node);
        self.watched(node).timestamp
    }

    /// What the look has led to that came when the cache dropped the node's last nomination, if it has.
    pub(super) fn drop_nomination(&mut self, node: u32) {
        if !self.disruption.deprovisioning.emptiness.kept {
            return;
        }
        let (until, initialized_at) =
            (self.nodes[node as usize].nominated_until, self.nodes[node as usize].initialized_at);
        let (dropped, now) = (self.dropped_at(until), self.now);
        let watched = self.watched(node);
        if until > watched.dropped && dropped <= now {
            watched.dropped = until;
            if initialized_at <= dropped {
                let empty = watched.empty;
                watched.timestamp.reconcile(dropped, empty, false);
            }
        }
    }

    /// The first cleaning of the cache from then on. Its phase is anybody's guess.
    fn dropped_at(&self, until: SimTime) -> SimTime {
        let phase = CLEANED_EVERY.mul_f64(self.chance.uniform(Component::Karpenter, u32::MAX, 1));
        let first = SimTime::ZERO + phase;
        let periods = until.saturating_since(first).nanos().div_ceil(CLEANED_EVERY.nanos());
        first + CLEANED_EVERY * periods
    }

    fn watched(&mut self, node: u32) -> &mut Watched {
        let unseen =
            Watched { timestamp: EmptinessTimestamp::default(), empty: true, dropped: SimTime::ZERO };
        self.disruption.deprovisioning.emptiness.nodes.entry(node).or_insert(unseen)
    }
}
