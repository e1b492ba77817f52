//! Where the pods of candidates would go if these were not there.
//!
//! Source: karpenter v1.14.0, `pkg/controllers/disruption/helpers.go`, `SimulateScheduling`.

use crate::actors::karpenter::launch::{self, ClaimSpec};
use crate::actors::karpenter::reservations::Mode;
use crate::actors::karpenter::solve::{ByName, Existing, ExistingNode, Limits, Placed, Provisioner};
use crate::units::Resources;

/// The cluster as a simulation sees it.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    /// Pods that wait, and those of nodes that are on their way out, by their shapes.
    pub pending: Vec<u32>,
    pub leaving: Vec<u32>,
    /// In the order in which they are tried.
    pub nodes: Vec<ExistingNode>,
    /// By node: will it stay as it is? Nothing may rely on one that still comes up.
    pub initialized: Vec<bool>,
    /// Nodes that are not tried, whose pods others may mind.
    pub elsewhere: Vec<ExistingNode>,
    /// What is left of each pool's limits.
    pub limits: Vec<Limits>,
}

/// A node that would have to be launched.
#[derive(Clone, PartialEq, Debug)]
pub struct NewNode {
    pub pool: u32,
    pub spec: ClaimSpec,
    /// Of its pods and the DaemonSets'.
    pub requests: Resources,
    pub pods: u32,
}

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Simulated {
    /// Did every pod find a place that did not wait for one before?
    pub all_fit: bool,
    pub new_nodes: Vec<NewNode>,
    /// Places of nodes that got pods.
    pub onto: Vec<u32>,
    /// Pods, and nodes and claims looked at: what it takes to work out.
    pub effort: [u64; 3],
}

/// Schedules the pods that wait, those of candidates and those that move anyhow. The candidates, by their places among
/// the nodes, take none.
pub fn simulate(
    provisioner: &mut Provisioner,
    situation: &mut Situation,
    gone: &[usize],
    pods: &[u32],
) -> Simulated {
    // Without room and features they take no pod, and neither their labels nor their pods count for any spread.
    let shut = |place: &usize| {
        let nothing = ExistingNode::plain(Resources::ZERO - Resources::new(1, 1, 1));
        std::mem::replace(&mut situation.nodes[*place], nothing)
    };
    let candidates: Vec<ExistingNode> = gone.iter().map(shut).collect();
    let Situation { pending, leaving, nodes, initialized, elsewhere, limits } = &*situation;
    let existing = Existing { elsewhere, ..Existing::all(nodes) };
    let shapes: Vec<u32> = pending.iter().chain(pods).chain(leaving).copied().collect();
    let solution = provisioner.solve_among(Mode::Fallback, &shapes, existing, limits, &mut ByName);
    let (own, others) = (pending.len()..pending.len() + pods.len(), pending.len() + pods.len()..);
    let lasting = |placed: &Placed| match placed {
        Placed::Existing(place) => initialized[*place as usize],
        Placed::Claim(_) => true,
        Placed::Nowhere(_) => false,
    };
    let found = |placed: &Placed| !matches!(placed, Placed::Nowhere(_));
    let mut all_fit = solution.placed[own].iter().all(lasting) && solution.placed[others].iter().all(found);
    let mut onto: Vec<u32> = solution
        .placed
        .iter()
        .filter_map(|placed| match placed {
            Placed::Existing(place) => Some(*place),
            _ => None,
        })
        .collect();
    onto.sort_unstable();
    onto.dedup();
    let mut new_nodes = Vec::with_capacity(solution.claims.len());
    for claim in &solution.claims {
        match launch::claim(&provisioner.offers, claim.set, &provisioner.options(claim)) {
            Some(spec) => new_nodes.push(NewNode {
                pool: claim.pool,
                spec,
                requests: provisioner.requests(claim),
                pods: claim.pods,
            }),
            // Cut to 600 types it lacks the variety that its pool wants: its pods fail.
            None => all_fit = false,
        }
    }
    gone.iter().zip(candidates).for_each(|(place, node)| situation.nodes[*place] = node);
    let effort = [shapes.len() as u64, solution.tries_existing, solution.tries_new];
    Simulated { all_fit, new_nodes, onto, effort }
}
