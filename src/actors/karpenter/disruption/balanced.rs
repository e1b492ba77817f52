//! The consolidation policy Balanced: a move must save at least half as large a share of its pool's cost as it disrupts of
//! its pool's pods.
//!
//! Source: karpenter v1.14.0, `pkg/controllers/disruption/balanced.go`.

use super::candidates::Candidate;

/// 1 / k, with k = 2.
const THRESHOLD: f64 = 0.5;

/// All of a NodePool's nodes together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct PoolTotals {
    /// USD an hour.
    pub cost: f64,
    pub reschedule_cost: f64,
}

/// Share of the pool's cost saved for each share of its disruption; 0 where nothing is saved.
pub fn score(savings: f64, reschedule_cost: f64, totals: PoolTotals) -> f64 {
    if totals.cost <= 0.0 || totals.reschedule_cost <= 0.0 || savings <= 0.0 {
        return 0.0;
    }
    match reschedule_cost / totals.reschedule_cost {
        0.0 => f64::INFINITY,
        disrupted => savings / totals.cost / disrupted,
    }
}

/// Does a score suffice?
pub fn passes(score: f64) -> bool {
    score >= THRESHOLD
}

/// Do all pools with this policy accept the move? `savings` are shared out by what the pools' candidates cost; `totals` are
/// by pool, `None` for a pool with another policy.
pub fn approves(candidates: &[Candidate], savings: f64, totals: &[Option<PoolTotals>]) -> bool {
    let cost = |pool: Option<usize>| -> f64 {
        let of_pool = candidates.iter().filter(|c| pool.is_none_or(|pool| c.pool as usize == pool));
        of_pool.map(|candidate| candidate.price).sum()
    };
    let all = cost(None);
    totals.iter().enumerate().all(|(pool, totals)| {
        let of_pool = || candidates.iter().filter(|candidate| candidate.pool as usize == pool);
        let Some(totals) = totals.filter(|_| of_pool().next().is_some()) else { return true };
        let part = if all > 0.0 { cost(Some(pool)) / all } else { 1.0 };
        passes(score(savings * part, of_pool().map(|c| c.reschedule_cost).sum(), totals))
    })
}
