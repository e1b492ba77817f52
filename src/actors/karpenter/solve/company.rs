//! Affinity and anti-affinity between pods: for each term, whom it binds and whose pods it counts.
//!
//! A required term of anti-affinity binds both ways: those that have it keep off those that it selects, and these keep off
//! them. What is preferred binds as if it were required, until it is given up.
//! Source: kubernetes-sigs/karpenter v1.14.0, `topology.go`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::requirement::Requirements;
use super::topology::{Host, Ties, bound, domain};
use super::{Existing, Prepared, Shape, Variant};
use crate::actors::pod_affinity::{PodAffinity, PodTerm};

/// Has the shape a term, or does another's select it?
pub(super) fn has(number: u32, shapes: &[Shape]) -> bool {
    let mut all = shapes.iter().flat_map(|shape| shape.pod_affinity.terms());
    shapes[number as usize].pod_affinity.terms().next().is_some() || all.any(|term| term.selects(number))
}

/// What a round knows of a term's domains, the values of one label.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub key: String,
    /// Is a pod there, or may one come to be there?
    pub domains: BTreeMap<String, bool>,
    /// Hosts with one.
    pub hosts: BTreeSet<Host>,
}

impl Known {
    fn new(key: &str, domains: impl Iterator<Item = String>) -> Known {
        let domains = domains.map(|domain| (domain, false)).collect();
        Known { key: key.to_owned(), domains, hosts: BTreeSet::new() }
    }

    /// So many pods are bound on a node of this domain.
    fn count(&mut self, host: Host, domain: Option<&str>, pods: i64) {
        if let Some(domain) = domain {
            *self.domains.entry(domain.to_owned()).or_insert(false) |= pods > 0;
        }
        if pods > 0 {
            self.hosts.insert(host);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    Apart,
    Near,
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
    /// Of those that are kept off: their counterparts are counted until they are gone.
    inverse: bool,
    known: Known,
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
        let of = |key: &str| domains.get(key).into_iter().flatten().cloned();
        let known = |term: &PodTerm| Known::new(&term.topology_key, of(&term.topology_key));
        let mut groups = Vec::new();
        for (shape, prepared) in (0..).zip(shapes) {
            let PodAffinity { affinity, anti_affinity, preferred, preferred_anti } = &prepared.pod_affinity;
            let own = |term: &PodTerm, rule: Rule| Group {
                binds: vec![shape],
                counts: term.kinds.clone(),
                preferred: None,
                rule,
                inverse: false,
                known: known(term),
            };
            // Their own like are kept off by the term itself, but for those that it looks past.
            let is_going = existing.all_nodes().any(|node| node.going.contains(&shape));
            groups.extend(affinity.iter().map(|term| own(term, Rule::Near)));
            for term in anti_affinity {
                groups.push(own(term, Rule::Apart));
                let kinds = term.kinds.iter().copied();
                let binds: Vec<u32> = kinds.filter(|kind| *kind != shape || is_going).collect();
                if !binds.is_empty() {
                    groups.push(Group {
                        binds,
                        counts: vec![shape],
                        inverse: true,
                        ..own(term, Rule::Apart)
                    });
                }
            }
            for (place, (_, term)) in preferred.iter().enumerate() {
                groups.push(Group { preferred: Some((0, place)), ..own(term, Rule::Near) });
            }
            for (place, (_, term)) in preferred_anti.iter().enumerate() {
                groups.push(Group { preferred: Some((1, place)), ..own(term, Rule::Apart) });
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
            let seeks_itself = group.counts.contains(&shape);
            chosen.extend(match group.rule {
                Rule::Apart => group.known.choose_apart(host, pod, requirements)?,
                Rule::Near => group.known.choose_near(host, seeks_itself, pod, requirements, ties)?,
            });
        }
        Some(chosen)
    }

    /// Is there a pod on the host that keeps those of the shape off it for good?
    pub fn is_shut(&self, shape: u32, host: Host) -> bool {
        let shut = |group: &Group| {
            let required = group.rule == Rule::Apart && group.preferred.is_none();
            required && group.binds.contains(&shape) && group.known.is_full(host)
        };
        self.0.iter().any(shut)
    }

    /// A pod went to the host.
    pub fn record(&mut self, shape: u32, host: Host, requirements: &Requirements) {
        for group in self.0.iter_mut().filter(|group| group.counts.contains(&shape)) {
            match group.rule {
                Rule::Apart => group.known.record_apart(host, requirements),
                Rule::Near => group.known.record_near(host, requirements),
            }
        }
    }
}

impl Group {
    /// Has a pod so far relaxed not given it up?
    fn is_kept_by(&self, variant: &Variant) -> bool {
        self.preferred.is_none_or(|(kind, place)| variant.preferred_pods[kind].contains(&place))
    }

    /// Counts the pods that are bound.
    fn count(&mut self, existing: Existing<'_>) {
        for (number, node) in (0..).zip(existing.all_nodes()) {
            let bound: i64 = self.counts.iter().map(|shape| bound(node, *shape)).sum();
            let going = node.going.iter().filter(|shape| self.inverse && self.counts.contains(shape));
            let pods = bound + going.count() as i64;
            let domain = domain(node, &self.known.key);
            self.known.count(Host::Node(number), domain, pods);
        }
    }
}
