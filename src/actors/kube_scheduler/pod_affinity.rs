//! InterPodAffinity's filter: where a pod's required affinity and anti-affinity, and the anti-affinity of pods that are there
//! already, let it go. Every node of the cluster counts.
//!
//! Source: kubernetes v1.34.1, `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go`.

use std::collections::BTreeSet;

use super::view::{Node, Pod};
use crate::actors::pod_affinity::PodTerm;

pub const NOT_NEAR: &str = "node(s) didn't match pod affinity rules";
pub const NOT_APART: &str = "node(s) didn't match pod anti-affinity rules";
pub const KEPT_OFF: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Label and value.
type Domain = (String, String);

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
            let domain = |term: &PodTerm| {
                let value = node.labels.get(&term.topology_key)?;
                Some((term.topology_key.clone(), value.clone()))
            };
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
