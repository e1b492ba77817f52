//! Nodes that may go: what moving their pods costs, and in which order they are looked at.
//!
//! Source: karpenter v1.14.0, `pkg/controllers/disruption/types.go` and `pkg/utils/disruption/disruption.go`.

use crate::actors::karpenter::offers::CapacityType;

/// Draining a node counts as much as moving a pod.
const NODE_COST: f64 = 1.0;
const POD_COST_MAX: f64 = 10.0;

/// A node that may be disrupted.
#[derive(Clone, PartialEq, Debug)]
pub struct Candidate {
    pub node: u32,
    pub pool: u32,
    /// Its type, as a place among what is offered.
    pub offered: usize,
    pub kind: CapacityType,
    /// USD an hour.
    pub price: f64,
    pub reschedule_cost: f64,
    /// Its pods that must move, by their shapes.
    pub pods: Vec<u32>,
}

/// What evicting a pod counts, by its annotation `controller.kubernetes.io/pod-deletion-cost` and its priority.
pub fn eviction_cost(deletion_cost: f64, priority: i32) -> f64 {
    let cost = 1.0 + deletion_cost / f64::from(1u32 << 27) + f64::from(priority) / f64::from(1u32 << 25);
    cost.clamp(-POD_COST_MAX, POD_COST_MAX)
}

/// What disrupting a node counts, by the eviction costs of the pods that must move.
pub fn reschedule_cost(pods: impl Iterator<Item = f64>) -> f64 {
    NODE_COST + pods.map(|cost| cost.max(0.0)).sum::<f64>()
}

impl Candidate {
    /// Does no pod count?
    pub fn is_empty(&self) -> bool {
        self.reschedule_cost <= NODE_COST
    }
    /// Money saved for each unit of disruption.
    pub fn savings_ratio(&self) -> f64 {
        self.price / self.reschedule_cost
    }
}

/// Those that save most for their disruption first.
pub fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| b.savings_ratio().total_cmp(&a.savings_ratio()));
}

/// The candidates that budgets leave, in their order, and whether any was left out; `allowed` is by pool.
pub fn within_budgets(candidates: Vec<Candidate>, allowed: &mut [u32]) -> (Vec<Candidate>, bool) {
    let all = candidates.len();
    let mut may_go = |candidate: &Candidate| {
        let left = &mut allowed[candidate.pool as usize];
        let goes = *left > 0;
        *left -= u32::from(goes);
        goes
    };
    let kept: Vec<Candidate> = candidates.into_iter().filter(&mut may_go).collect();
    let constrained = kept.len() < all;
    (kept, constrained)
}

/// One of each pool after the other, each pool's in their order.
pub fn interweave(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut seen = std::collections::BTreeMap::<u32, u32>::new();
    let mut ranked: Vec<(u32, Candidate)> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let rank = seen.entry(candidate.pool).or_default();
        ranked.push((*rank, candidate));
        *rank += 1;
    }
    ranked.sort_by_key(|(rank, candidate)| (*rank, candidate.pool));
    ranked.into_iter().map(|(_, candidate)| candidate).collect()
}
