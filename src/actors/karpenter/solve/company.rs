//! Affinity and anti-affinity between pods: for each term, whom it binds and whose pods it counts.
//!
//! A required term of anti-affinity binds both ways: those that have it keep off those that it selects, and these keep off
//! them. What is preferred binds as if it were required, until it is given up.
//! Source: kubernetes-sigs/karpenter v1.14.0, `topology.go`.

use std::collections::BTreeMap;

use super::super::requirement::Requirements;
use super::affinity::Near;
use super::anti_affinity::Apart;
use super::topology::{Host, Ties, bound, domain};
use super::{Existing, ExistingNode, Prepared, Shape, Variant};
use crate::actors::pod_affinity::{PodAffinity, PodTerm};

/// Has the shape a term, or does another's select it?
pub(super) fn has(number: u32, shapes: &[Shape]) -> bool {
    let mut all = shapes.iter().flat_map(|shape| shape.pod_affinity.terms());
    shapes[number as usize].pod_affinity.terms().next().is_some() || all.any(|term| term.selects(number))
}

#[derive(Clone, Debug)]
enum Rule {
    Apart(Apart),
    Near(Near),
}

#[derive(Clone, Debug)]
struct Group {
    /// Shapes that it binds.
    binds: Vec<u32>,
    /// Shapes whose pods it counts.
    counts: Vec<u32>,
    /// Only preferred: which of its kind (affinity, anti-affinity), and its place among them.
    preferred: Option<(usize, usize)>,
    rule: Rule,
}

/// Domains that a pod must keep to, of one label.
pub(super) type Chosen = (String, Vec<String>);

/// All terms of a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Company(Vec<Group>);

impl Company {
    pub fn new(
        shapes: &[Prepared],
        domains: &BTreeMap<String, Vec<String>>,
        existing: Existing<'_>,
    ) -> Company {
        let known = |key: &str| domains.get(key).into_iter().flatten().cloned();
        let mut groups = Vec::new();
        for (shape, prepared) in (0..).zip(shapes) {
            let PodAffinity { affinity, anti_affinity, preferred, preferred_anti } = &prepared.pod_affinity;
            let near = |term: &PodTerm| Rule::Near(Near::new(&term.topology_key, known(&term.topology_key)));
            let apart =
                |term: &PodTerm| Rule::Apart(Apart::new(&term.topology_key, known(&term.topology_key)));
            groups.extend(affinity.iter().map(|term| Group::own(shape, term, near(term))));
            for term in anti_affinity {
                groups.push(Group::own(shape, term, apart(term)));
                let others: Vec<u32> = term.kinds.iter().copied().filter(|kind| *kind != shape).collect();
                if !others.is_empty() {
                    let counts = vec![shape];
                    groups.push(Group { binds: others, counts, preferred: None, rule: apart(term) });
                }
            }
            for (place, (_, term)) in preferred.iter().enumerate() {
                groups.push(Group { preferred: Some((0, place)), ..Group::own(shape, term, near(term)) });
            }
            for (place, (_, term)) in preferred_anti.iter().enumerate() {
                groups.push(Group { preferred: Some((1, place)), ..Group::own(shape, term, apart(term)) });
            }
        }
        groups.iter_mut().for_each(|group| group.count(existing));
        Company(groups)
    }

    /// The domains that a pod must keep to on a host with these requirements; `None`: a term keeps it off.
    pub fn choose(
        &self,
        shape: u32,
        host: Host,
        variant: &Variant,
        requirements: &Requirements,
        ties: &mut dyn Ties,
    ) -> Option<Vec<Chosen>> {
        let mut chosen = Vec::new();
        let pod = &variant.strict;
        for group in self.0.iter().filter(|group| group.binds.contains(&shape) && group.is_kept_by(variant)) {
            chosen.extend(match &group.rule {
                Rule::Apart(apart) => apart.choose(host, pod, requirements)?,
                Rule::Near(near) => {
                    near.choose(host, group.counts.contains(&shape), pod, requirements, ties)?
                }
            });
        }
        Some(chosen)
    }

    /// Is there a pod on the host that keeps those of the shape off it for good?
    pub fn is_shut(&self, shape: u32, host: Host) -> bool {
        let shut = |group: &Group| match &group.rule {
            Rule::Apart(apart) => {
                group.preferred.is_none() && group.binds.contains(&shape) && apart.is_full(host)
            }
            Rule::Near(_) => false,
        };
        self.0.iter().any(shut)
    }

    /// A pod went to the host.
    pub fn record(&mut self, shape: u32, host: Host, requirements: &Requirements) {
        for group in self.0.iter_mut().filter(|group| group.counts.contains(&shape)) {
            match &mut group.rule {
                Rule::Apart(apart) => apart.record(host, requirements),
                Rule::Near(near) => near.record(host, requirements),
            }
        }
    }
}

impl Group {
    fn own(shape: u32, term: &PodTerm, rule: Rule) -> Group {
        Group { binds: vec![shape], counts: term.kinds.clone(), preferred: None, rule }
    }
    /// Has a pod so far relaxed not given it up?
    fn is_kept_by(&self, variant: &Variant) -> bool {
        self.preferred.is_none_or(|(kind, place)| variant.preferred_pods[kind].contains(&place))
    }

    /// Counts the pods that are bound.
    fn count(&mut self, existing: Existing<'_>) {
        for (number, node) in (0..).zip(existing.nodes.iter().chain(existing.elsewhere)) {
            let pods: i64 = self.counts.iter().map(|shape| bound(node, *shape)).sum();
            self.rule.count(Host::Node(number), node, pods);
        }
    }
}

impl Rule {
    fn count(&mut self, host: Host, node: &ExistingNode, pods: i64) {
        match self {
            Rule::Apart(apart) => apart.count(host, domain(node, apart.key()), pods),
            Rule::Near(near) => near.count(host, domain(node, near.key()), pods),
        }
    }
}
