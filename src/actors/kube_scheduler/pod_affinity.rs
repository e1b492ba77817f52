//! InterPodAffinity: where a pod's required affinity and anti-affinity, and the anti-affinity of pods that are there already,
//! let it go, and where what is preferred would have it. Every node of the cluster counts.
//!
//! Source: kubernetes v1.34.1, `pkg/scheduler/framework/plugins/interpodaffinity/{filtering,scoring}.go`.

use std::collections::{BTreeMap, BTreeSet};

use super::view::{Node, Pod};
use crate::actors::pod_affinity::PodTerm;

pub const NOT_NEAR: &str = "node(s) didn't match pod affinity rules";
pub const NOT_APART: &str = "node(s) didn't match pod anti-affinity rules";
pub const KEPT_OFF: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Label and value.
type Domain = (String, String);

fn domain(node: &Node, term: &PodTerm) -> Option<Domain> {
    let value = node.labels.get(&term.topology_key)?;
    Some((term.topology_key.clone(), value.clone()))
}

/// Domains that matter to a pod.
#[derive(Clone, Debug, Default)]
pub struct Company {
    /// With a pod that all terms of its affinity select.
    sought: BTreeSet<Domain>,
    /// Labels of its affinity's terms.
    sought_by: Vec<String>,
    /// Is it a pod such as it seeks?
    seeks_itself: bool,
    /// With a pod that a term of its anti-affinity selects.
    shunned: BTreeSet<Domain>,
    /// With a pod whose anti-affinity selects it.
    shunning: BTreeSet<Domain>,
}

impl Company {
    pub fn new(pod: &Pod, nodes: &[Node]) -> Company {
        let own = &pod.pod_affinity;
        let mut company = Company {
            sought_by: own.affinity.iter().map(|term| term.topology_key.clone()).collect(),
            seeks_itself: own.seeks(pod.kind),
            ..Company::default()
        };
        for node in nodes {
            let domain = |term: &PodTerm| domain(node, term);
            for there in node.pods.iter().filter(|there| there.count > 0) {
                if own.seeks(there.kind) {
                    company.sought.extend(own.affinity.iter().filter_map(domain));
                }
                let shunned = own.anti_affinity.iter().filter(|term| term.selects(there.kind));
                company.shunned.extend(shunned.filter_map(domain));
                let terms = there.pod_affinity.anti_affinity.iter();
                company.shunning.extend(terms.filter(|term| term.selects(pod.kind)).filter_map(domain));
            }
        }
        company
    }

    /// What keeps the pod off the node.
    pub fn objection(&self, node: &Node) -> Option<&'static str> {
        let is_in = |domains: &BTreeSet<Domain>| {
            domains.iter().any(|(key, value)| node.labels.get(key) == Some(value))
        };
        if !self.is_near(node) {
            Some(NOT_NEAR)
        } else if is_in(&self.shunned) {
            Some(NOT_APART)
        } else {
            is_in(&self.shunning).then_some(KEPT_OFF)
        }
    }

    /// Is there company in each domain of the node? The first of pods that seek each other needs none, but the labels.
    fn is_near(&self, node: &Node) -> bool {
        let domains = || self.sought_by.iter().map(|key| Some((key.clone(), node.labels.get(key)?.clone())));
        let there = |domain: Option<Domain>| domain.is_some_and(|domain| self.sought.contains(&domain));
        let first = self.sought.is_empty() && self.seeks_itself;
        domains().all(|domain| domain.is_some()) && (first || domains().all(there))
    }
}

/// Scores (0 to 100) of the nodes that passed the filters, given by their places: what the pod makes of those that are there,
/// and they of it, domain by domain.
pub fn scores(pod: &Pod, nodes: &[Node], passed: &[usize]) -> Vec<i64> {
    let mut weights: BTreeMap<Domain, i64> = BTreeMap::new();
    for node in nodes {
        for there in &node.pods {
            let own = pod.pod_affinity.leanings().filter(|(_, term)| term.selects(there.kind));
            let theirs = there.pod_affinity.draws().filter(|(_, term)| term.selects(pod.kind));
            for (weight, term) in own.chain(theirs) {
                if let Some(domain) = domain(node, term) {
                    *weights.entry(domain).or_insert(0) += weight * there.count;
                }
            }
        }
    }
    let raw = |place: &usize| {
        let of = weights.iter().filter(|((key, value), _)| nodes[*place].labels.get(key) == Some(value));
        of.map(|(_, weight)| weight).sum()
    };
    let mut scores: Vec<i64> = passed.iter().map(raw).collect();
    normalise(&mut scores);
    scores
}

/// Raw scores to 0..100, cut to whole numbers; all 0 where they are equal.
pub fn normalise(scores: &mut [i64]) {
    let (Some(least), Some(most)) = (scores.iter().copied().min(), scores.iter().copied().max()) else {
        return;
    };
    let share = |score: i64| (score - least) as f64 / (most - least) as f64;
    let normalised = |score: i64| if most == least { 0 } else { (100.0 * share(score)) as i64 };
    scores.iter_mut().for_each(|score| *score = normalised(*score));
}
