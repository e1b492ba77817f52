//! Filter and score of one pod over all nodes of a cluster, plainly: what a run's kept-up counts must agree with.

use super::filter::{self, Rejection};
use super::image;
use super::pod_affinity::{self, Company};
use super::score::{Strategy, balanced_allocation};
use super::spread::{self, HardCounts};
use super::view::{Node, Pod, Version};
use crate::actors::taints::{Effect, Toleration, tolerated};

/// Normalised scores, 0 to 100 each; a plugin that is skipped has 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scores {
    pub node_resources_fit: i64,
    pub balanced_allocation: i64,
    pub pod_topology_spread: i64,
    pub taint_toleration: i64,
    pub image_locality: i64,
    pub node_affinity: i64,
    pub inter_pod_affinity: i64,
}

impl Scores {
    /// With the weights of 1.23 and later.
    pub fn total(&self) -> i64 {
        self.node_resources_fit
            + self.balanced_allocation
            + 2 * self.pod_topology_spread
            + 3 * self.taint_toleration
            + self.image_locality
            + 2 * self.node_affinity
            + 2 * self.inter_pod_affinity
    }
}

/// What is said of each node, in the order given.
pub fn judge(
    pod: &Pod,
    nodes: &[Node],
    strategy: &Strategy,
    version: Version,
) -> Vec<Result<Scores, Rejection>> {
    let (hard, company) = (HardCounts::new(pod, nodes, version), Company::new(pod, nodes));
    let first = |node| filter::first_rejection(pod, node, &hard, &company, version);
    let rejections: Vec<Option<Rejection>> = nodes.iter().map(first).collect();
    let passed: Vec<usize> = (0..nodes.len()).filter(|place| rejections[*place].is_none()).collect();
    let mut scores = score(pod, nodes, &passed, strategy, version).into_iter();
    let or_score = |rejection: Option<Rejection>| match rejection {
        Some(rejection) => Err(rejection),
        None => Ok(scores.next().expect("one score for each node that passed")),
    };
    rejections.into_iter().map(or_score).collect()
}

/// Scores of the nodes that passed the filters and are looked at, given by their places.
pub fn score(
    pod: &Pod,
    nodes: &[Node],
    passed: &[usize],
    strategy: &Strategy,
    version: Version,
) -> Vec<Scores> {
    let (declared, non_zero) = (pod.requests(), pod.non_zero_requests());
    // From 1.34 a pod that asks for nothing is not scored for balance.
    let balance = version < Version::V1_34 || declared.cpu_millis > 0 || declared.memory_bytes > 0;
    let spread = spread::scores(pod, nodes, passed, version).unwrap_or_else(|| vec![0; passed.len()]);
    let images = image::Spread::new(nodes);
    let taints = taint_scores(pod, nodes, passed);
    let affinity = affinity_scores(pod, nodes, passed);
    let company = pod_affinity::scores(pod, nodes, passed);
    let of = |(place, node): (usize, &Node)| Scores {
        node_resources_fit: strategy.score(node.non_zero_requested + non_zero, node.allocatable),
        balanced_allocation: if balance {
            balanced_allocation(node.requested + declared, node.allocatable)
        } else {
            0
        },
        pod_topology_spread: spread[place],
        taint_toleration: taints[place],
        image_locality: images.score(pod, node, version),
        node_affinity: affinity[place],
        inter_pod_affinity: company[place],
    };
    passed.iter().map(|place| &nodes[*place]).enumerate().map(of).collect()
}

/// 100 for the nodes with the fewest `PreferNoSchedule` taints that the pod does not tolerate, if that is none.
fn taint_scores(pod: &Pod, nodes: &[Node], passed: &[usize]) -> Vec<i64> {
    let soft = |toleration: &&Toleration| toleration.effect.is_none_or(|e| e == Effect::PreferNoSchedule);
    let tolerations: Vec<Toleration> = pod.tolerations.iter().filter(soft).cloned().collect();
    let bad = |place: &usize| {
        let taints = nodes[*place].taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
        taints.filter(|taint| !tolerated(taint, &tolerations)).count() as i64
    };
    let counts: Vec<i64> = passed.iter().map(bad).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.iter().map(|count| if most == 0 { 100 } else { 100 - 100 * count / most }).collect()
}

/// The weights of the preferred terms that each node meets, the most to 100.
fn affinity_scores(pod: &Pod, nodes: &[Node], passed: &[usize]) -> Vec<i64> {
    let weights: Vec<i64> =
        passed.iter().map(|place| pod.node_affinity.weight(&nodes[*place].labels)).collect();
    let most = weights.iter().copied().max().unwrap_or(0);
    weights.iter().map(|weight| if most == 0 { 0 } else { 100 * weight / most }).collect()
}
