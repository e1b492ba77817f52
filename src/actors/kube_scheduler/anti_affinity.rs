//! InterPodAffinity as far as a pod's required anti-affinity to others like it goes.
//!
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go`.

use std::collections::BTreeSet;

use super::view::{Node, Pod};

/// Domains with a pod that the anti-affinity selects, by topology key. Every node of the cluster counts.
#[derive(Clone, Debug, Default)]
pub struct Occupied(Vec<(String, BTreeSet<String>)>);

impl Occupied {
    pub fn new(pod: &Pod, nodes: &[Node]) -> Occupied {
        let domains = |key: &String| {
            let taken = nodes.iter().filter(|node| node.matching_pods > 0);
            (key.clone(), taken.filter_map(|node| node.labels.get(key).cloned()).collect())
        };
        Occupied(pod.anti_affinity.iter().map(domains).collect())
    }

    /// Is the node in one of them? A node without the key is in none.
    pub fn has(&self, node: &Node) -> bool {
        self.0.iter().any(|(key, taken)| node.labels.get(key).is_some_and(|value| taken.contains(value)))
    }
}
