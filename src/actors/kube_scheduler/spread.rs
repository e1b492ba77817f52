//! PodTopologySpread: hard constraints as a filter, soft ones as a score.
//!
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/podtopologyspread/{filtering,scoring}.go`.

use std::collections::BTreeMap;

use super::filter::selected;
use super::view::{Node, Pod, Spreading, Version};
use crate::actors::taints::first_untolerated;

pub const HOSTNAME: &str = "kubernetes.io/hostname";
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The system's default constraints, both soft: (key, max skew).
pub const DEFAULTS: [(&str, i64); 2] = [(HOSTNAME, 3), (ZONE, 5)];

/// One of a pod's own constraints; its selector is that of [`Node::matching_pods`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Constraint {
    pub key: String,
    pub max_skew: i64,
    /// `DoNotSchedule`; otherwise `ScheduleAnyway`.
    pub hard: bool,
    /// Fewer domains than this: the minimum is 0. 1 where it is not given; without effect up to 1.24.
    pub min_domains: usize,
    /// Count only nodes that the pod's selector takes (`Honor`).
    pub honor_affinity: bool,
    /// Count only nodes whose taints the pod tolerates (`Honor`).
    pub honor_taints: bool,
}

impl Constraint {
    fn counts(&self, pod: &Pod, node: &Node) -> bool {
        (!self.honor_affinity || selected(pod, node))
            && (!self.honor_taints || first_untolerated(&node.taints, &pod.tolerations).is_none())
    }
}

fn has_all(node: &Node, constraints: &[&Constraint]) -> bool {
    constraints.iter().all(|constraint| node.labels.contains_key(&constraint.key))
}

/// Matching pods by constraint and domain, and the least of them, as the filter needs them.
#[derive(Clone, Debug, Default)]
pub struct HardCounts {
    constraints: Vec<(Constraint, BTreeMap<String, i64>, i64)>,
}

impl HardCounts {
    pub fn new(pod: &Pod, nodes: &[Node], version: Version) -> HardCounts {
        let Spreading::Own(own) = &pod.spreading else { return HardCounts::default() };
        let hard: Vec<&Constraint> = own.iter().filter(|constraint| constraint.hard).collect();
        let complete: Vec<&Node> = nodes.iter().filter(|node| has_all(node, &hard)).collect();
        let count = |constraint: &&Constraint| {
            let mut domains = BTreeMap::<String, i64>::new();
            for node in complete.iter().filter(|node| constraint.counts(pod, node)) {
                *domains.entry(node.labels[&constraint.key].clone()).or_default() += node.matching_pods;
            }
            // Without a domain nothing is too many up to 1.24, which knows no least number of domains.
            let least = domains.values().copied().min().unwrap_or(i64::from(i32::MAX));
            let few = version > Version::V1_24 && domains.len() < constraint.min_domains;
            ((*constraint).clone(), domains, if few { 0 } else { least })
        };
        HardCounts { constraints: hard.iter().map(count).collect() }
    }

    /// `Some(true)`: the node lacks a key; `Some(false)`: one more pod (which matches its own selector) would make the
    /// skew too large. The constraints are tested in the order of the pod's list.
    pub fn first_violation(&self, node: &Node) -> Option<bool> {
        self.constraints.iter().find_map(|(constraint, domains, least)| {
            let Some(value) = node.labels.get(&constraint.key) else { return Some(true) };
            let there = domains.get(value).copied().unwrap_or(0);
            (there + 1 - least > constraint.max_skew).then_some(false)
        })
    }
}

/// A term of a node's raw score.
pub fn term(count: i64, max_skew: i64, weight: f64) -> f64 {
    count as f64 * weight + (max_skew - 1) as f64
}

/// The more domains, the more a pod in one of them counts.
pub fn weight(domains: usize) -> f64 {
    libm::log(domains as f64 + 2.0)
}

/// Scores (0 to 100) of the nodes that passed the filters, given by their places; `None`: the plugin is skipped.
pub fn scores(pod: &Pod, nodes: &[Node], passed: &[usize], version: Version) -> Option<Vec<i64>> {
    let defaults: Vec<Constraint>;
    let (soft, require_all): (Vec<&Constraint>, bool) = match &pod.spreading {
        Spreading::None => (Vec::new(), false),
        Spreading::Own(own) => (own.iter().filter(|constraint| !constraint.hard).collect(), true),
        Spreading::Defaults => {
            defaults = DEFAULTS.map(|(key, max_skew)| default_constraint(key, max_skew)).to_vec();
            (defaults.iter().collect(), false)
        }
    };
    if soft.is_empty() {
        return (version == Version::V1_24).then(|| vec![100; passed.len()]);
    }
    let ignored = |node: &Node| require_all && !has_all(node, &soft);
    let counted: Vec<&Node> =
        passed.iter().map(|place| &nodes[*place]).filter(|node| !ignored(node)).collect();
    let mut terms: Vec<(&Constraint, f64, BTreeMap<&str, i64>)> = Vec::new();
    for constraint in &soft {
        // A node without the key (under the defaults) is in the domain of the empty value.
        let value =
            |node: &&Node| -> String { node.labels.get(&constraint.key).cloned().unwrap_or_default() };
        let by_host = constraint.key == HOSTNAME;
        let mut domains = BTreeMap::<&str, i64>::new();
        if !by_host {
            for node in &counted {
                domains.insert(node.labels.get(&constraint.key).map_or("", String::as_str), 0);
            }
            for node in nodes.iter().filter(|node| !ignored(node) && constraint.counts(pod, node)) {
                if let Some(count) = domains.get_mut(value(&node).as_str()) {
                    *count += node.matching_pods;
                }
            }
        }
        let size = if by_host { counted.len() } else { domains.len() };
        terms.push((constraint, weight(size), domains));
    }
    let raw = |node: &Node| {
        let sum = terms.iter().fold(0.0, |sum, (constraint, weight, domains)| {
            let Some(value) = node.labels.get(&constraint.key) else { return sum };
            let count = if constraint.key == HOSTNAME { node.matching_pods } else { domains[value.as_str()] };
            sum + term(count, constraint.max_skew, *weight)
        });
        libm::round(sum) as i64
    };
    let mut scores: Vec<Option<i64>> = passed
        .iter()
        .map(|place| &nodes[*place])
        .map(|node| if ignored(node) { None } else { Some(raw(node)) })
        .collect();
    normalise(&mut scores);
    Some(scores.into_iter().map(|score| score.unwrap_or(0)).collect())
}

fn default_constraint(key: &str, max_skew: i64) -> Constraint {
    let key = key.to_owned();
    Constraint { key, max_skew, hard: false, min_domains: 1, honor_affinity: true, honor_taints: false }
}

/// Raw scores to 0..100, the least raw one to 100; `None`: ignored.
pub fn normalise(scores: &mut [Option<i64>]) {
    let known = || scores.iter().flatten().copied();
    let (Some(least), Some(most)) = (known().min(), known().max()) else { return };
    for score in scores.iter_mut().flatten() {
        *score = normalised(*score, least, most);
    }
}

/// A raw score of 0..100, where `least` and `most` are those of all nodes.
pub fn normalised(raw: i64, least: i64, most: i64) -> i64 {
    if most == 0 { 100 } else { 100 * (most + least - raw) / most }
}

/// A node's raw score under the system's defaults, in a cluster whose nodes all have a zone: (matching pods, weight) of the
/// node and of its zone.
pub fn default_raw((on_node, host): (u32, f64), (in_zone, zone): (u32, f64)) -> i64 {
    let [(_, host_skew), (_, zone_skew)] = DEFAULTS;
    let hosts = term(i64::from(on_node), host_skew, host);
    libm::round(hosts + term(i64::from(in_zone), zone_skew, zone)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ln 4 = 1.386 for two hosts, ln 3 = 1.099 for one zone: round(2 + 1.099 + 4) = 7 and round(1.386 + 2 + 1.099 + 4) = 8.
    #[test]
    fn the_emptier_node_scores_higher() {
        let raw = [0, 1].map(|pods| default_raw((pods, weight(2)), (1, weight(1))));
        assert_eq!(raw, [7, 8]);
        assert_eq!(raw.map(|raw| normalised(raw, 7, 8)), [100, 100 * 7 / 8]);
    }
}
