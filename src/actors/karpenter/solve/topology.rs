//! Topology spread as Karpenter keeps it: pods by domain, in groups that constraints of the same identity share; and, beside it,
//! affinity between pods.

use std::collections::{BTreeMap, BTreeSet};

use super::super::labels::HOSTNAME;
use super::super::offers::Offered;
use super::super::requirement::Requirements;
use super::company::Company;
use super::{Existing, ExistingNode, NodePool, Prepared, Shape, Spread, Variant};

/// Which of several domains with equally few pods is taken.
pub trait Ties {
    /// A place below `count`.
    fn pick(&mut self, count: usize) -> usize;
    /// Always the first by name?
    fn by_name(&self) -> bool;
}

/// The first by name.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

impl Ties for ByName {
    fn pick(&mut self, _: usize) -> usize {
        0
    }
    fn by_name(&self) -> bool {
        true
    }
}

/// A domain of `kubernetes.io/hostname`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Host {
    Node(u32),
    Claim(u32),
}

/// Values of the labels that some pod spreads over, or keeps to others or off them by: all that types of the pools carry within
/// the pools' requirements, each label by itself, and all that a pool lists.
pub(super) fn domains(
    types: &[Offered],
    pools: &[NodePool],
    shapes: &[Shape],
) -> BTreeMap<String, Vec<String>> {
    let spread = shapes.iter().flat_map(|shape| &shape.spread).map(|spread| spread.key.as_str());
    let company = shapes.iter().flat_map(|shape| shape.pod_affinity.terms());
    let company = company.map(|term| term.topology_key.as_str());
    let keys: BTreeSet<&str> = spread.chain(company).collect();
    let mut domains: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for key in keys {
        let of_key = domains.entry(key.to_owned()).or_default();
        for pool in pools {
            let mut own = pool.requirements.clone();
            own.add_all(&Requirements::of_labels(pool.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
            let own = own.get(key);
            if let Some(listed) = own.filter(|requirement| requirement.is_in()) {
                of_key.extend(listed.named().map(str::to_owned));
            }
            let of_pool =
                |(place, _): &(usize, &Offered)| pool.types.as_ref().is_none_or(|types| types.has(*place));
            for (_, offered) in types.iter().enumerate().filter(of_pool) {
                let mut both = Requirements::default();
                own.into_iter().for_each(|requirement| both.add(key, requirement));
                let of_type = offered.requirements.get(key);
                of_type.into_iter().for_each(|requirement| both.add(key, requirement));
                of_key.extend(both.get(key).into_iter().flat_map(|both| both.named()).map(str::to_owned));
            }
        }
    }
    domains.into_iter().map(|(key, values)| (key, values.into_iter().collect())).collect()
}

/// What makes constraints of one shape share their counts. The least number of domains is not part of it: the first
/// one counts.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Identity {
    key: String,
    max_skew: i64,
    relaxed_taints: bool,
    /// Required terms of the node affinity that are left.
    terms: usize,
}

#[derive(Clone, Debug)]
struct Group {
    identity: Identity,
    min_domains: Option<i64>,
    /// Hosts that meet one of these count.
    filters: Vec<Requirements>,
    /// Pods by domain, those without any included.
    domains: BTreeMap<String, i64>,
    hosts: BTreeMap<Host, i64>,
}

/// All groups in use, by shape.
#[derive(Clone, Debug)]
pub(super) struct Topology<'a> {
    groups: Vec<Vec<Group>>,
    /// By shape and variant, as far as it was tried: the groups of its constraints, each once.
    in_use: Vec<Vec<Option<Vec<usize>>>>,
    company: Company,
    /// The domains that groups begin with, by label.
    domains: BTreeMap<String, Vec<String>>,
    nodes: &'a [ExistingNode],
}

impl<'a> Topology<'a> {
    pub fn new(
        shapes: &[Prepared],
        domains: &BTreeMap<String, Vec<String>>,
        existing: Existing<'a>,
    ) -> Topology<'a> {
        let mut topology = Topology {
            groups: vec![Vec::new(); shapes.len()],
            in_use: shapes.iter().map(|shape| vec![None; shape.variants.len()]).collect(),
            company: Company::new(shapes, domains, existing),
            domains: domains.clone(),
            nodes: existing.nodes,
        };
        for (shape, prepared) in shapes.iter().enumerate() {
            topology.use_variant(shape as u32, 0, prepared);
        }
        topology
    }

    fn identity(spread: &Spread, variant: &Variant) -> Identity {
        Identity {
            key: spread.key.clone(),
            max_skew: spread.max_skew,
            relaxed_taints: variant.relaxed_taints,
            terms: variant.filters.len(),
        }
    }

    /// A pod of the shape is tried so far relaxed: groups that are new begin with the pods that are bound.
    pub fn use_variant(&mut self, shape: u32, variant: usize, prepared: &Prepared) {
        if self.in_use[shape as usize][variant].is_some() {
            return;
        }
        let mut in_use = Vec::new();
        let relaxed = &prepared.variants[variant];
        for place in &relaxed.spread {
            let spread = &prepared.spread[*place];
            let identity = Topology::identity(spread, relaxed);
            let known = self.groups[shape as usize].iter().position(|group| group.identity == identity);
            let place = known.unwrap_or(self.groups[shape as usize].len());
            if !in_use.contains(&place) {
                in_use.push(place);
            }
            if known.is_some() {
                continue;
            }
            let listed = self.domains.get(&spread.key).into_iter().flatten();
            let mut group = Group {
                identity,
                min_domains: spread.min_domains,
                filters: relaxed.filters.clone(),
                domains: listed.map(|domain| (domain.clone(), 0)).collect(),
                hosts: BTreeMap::new(),
            };
            // Nodes that the pod's selector takes add their domains and their pods.
            let counted = self.nodes.iter().zip(0..).filter(|(node, _)| {
                group.filters.iter().any(|filter| node.features().labels.compatible(filter, false))
            });
            for (node, number) in counted {
                let pods = bound(node, shape);
                if let Some(domain) = domain(node, &spread.key) {
                    match group.domains.get_mut(domain) {
                        Some(count) => *count += pods,
                        None => drop(group.domains.insert(domain.to_owned(), pods)),
                    }
                }
                *group.hosts.entry(Host::Node(number)).or_insert(0) += pods;
            }
            self.groups[shape as usize].push(group);
        }
        self.in_use[shape as usize][variant] = Some(in_use);
    }

    /// The domains that a pod must go to on a host with these requirements; `None`: a constraint keeps it off.
    pub fn choose(
        &self,
        shape: u32,
        variant: usize,
        prepared: &Prepared,
        host: Host,
        requirements: &Requirements,
        ties: &mut dyn Ties,
    ) -> Option<Vec<(String, Vec<String>)>> {
        let in_use = self.in_use[shape as usize][variant].as_ref().expect("the variant is in use");
        let variant = &prepared.variants[variant];
        let mut chosen = Vec::new();
        for group in in_use.iter().map(|place| &self.groups[shape as usize][*place]) {
            if group.identity.key == HOSTNAME {
                let there = group.hosts.get(&host).copied().unwrap_or(0);
                if there + 1 > group.identity.max_skew {
                    return None;
                }
                continue;
            }
            let domain = group.least(&variant.strict, requirements, ties)?;
            chosen.push((group.identity.key.clone(), vec![domain.to_owned()]));
        }
        chosen.extend(self.company.choose(shape, host, variant, requirements, ties)?);
        Some(chosen)
    }

    /// Has the host as many pods as a constraint over hosts lets it have, as long as none is given up?
    pub fn is_full(&self, shape: u32, host: Host) -> bool {
        let full = |group: &Group| {
            let there = || group.hosts.get(&host).copied().unwrap_or(0);
            group.identity.key == HOSTNAME && there() >= group.identity.max_skew
        };
        self.groups[shape as usize].iter().any(full) || self.company.is_shut(shape, host)
    }

    /// May a pod go to the node?
    pub fn admits_node(
        &self,
        shape: u32,
        variant: usize,
        prepared: &Prepared,
        node: u32,
        labels: &Requirements,
        ties: &mut dyn Ties,
    ) -> bool {
        if !prepared.minds_others(variant) {
            return true;
        }
        // What Karpenter knows of the node meets what the pod asks for: both narrow the choice of domains.
        let Some(chosen) = self.choose(shape, variant, prepared, Host::Node(node), labels, ties) else {
            return false;
        };
        let has = |(key, values): &(String, Vec<String>)| {
            labels.get(key).is_some_and(|own| values.iter().any(|value| own.has(value)))
        };
        chosen.iter().all(has)
    }

    /// A pod went to the host: it counts wherever its domain is settled.
    pub fn record(&mut self, shape: u32, host: Host, requirements: &Requirements) {
        for group in &mut self.groups[shape as usize] {
            if !group.counts(requirements) {
                continue;
            }
            if group.identity.key == HOSTNAME {
                *group.hosts.entry(host).or_insert(0) += 1;
            } else if let Some(domain) =
                requirements.get(&group.identity.key).and_then(|requirement| requirement.single())
            {
                *group.domains.entry(domain.to_owned()).or_insert(0) += 1;
            }
        }
        self.company.record(shape, host, requirements);
    }
}

/// The node's value of a label.
pub(super) fn domain<'a>(node: &'a ExistingNode, key: &str) -> Option<&'a str> {
    node.features().labels.get(key).and_then(|requirement| requirement.single())
}
/// Pods of the shape that are bound on the node.
pub(super) fn bound(node: &ExistingNode, shape: u32) -> i64 {
    let pods = node.pods.iter().find(|(of, _)| *of == shape);
    pods.map_or(0, |(_, count)| i64::from(*count))
}

impl Group {
    /// Is a host with these requirements one that the constraint looks at?
    fn counts(&self, host: &Requirements) -> bool {
        self.filters.iter().any(|filter| host.compatible(filter, false))
    }

    /// A domain with the fewest pods among those that the host allows and that keep the skew. The least count is taken
    /// over all domains that the pod itself allows.
    fn least(&self, pod: &Requirements, host: &Requirements, ties: &mut dyn Ties) -> Option<&str> {
        let key = &self.identity.key;
        let own = || self.domains.iter().filter(|(domain, _)| pod.allows(key, domain));
        let few = self.min_domains.is_some_and(|least| (own().count() as i64) < least);
        let least = if few { 0 } else { own().map(|(_, count)| *count).min().unwrap_or(i64::from(i32::MAX)) };
        if let Some(only) = host.get(key).and_then(|requirement| requirement.single()) {
            let (domain, count) = self.domains.get_key_value(only)?;
            return (count + 1 - least <= self.identity.max_skew).then_some(domain);
        }
        let allowed = || {
            self.domains.iter().filter(|(domain, count)| {
                host.allows(key, domain) && **count + 1 - least <= self.identity.max_skew
            })
        };
        let fewest = allowed().map(|(_, count)| *count).min()?;
        let tied: Vec<&str> =
            allowed().filter(|(_, count)| **count == fewest).map(|(domain, _)| domain.as_str()).collect();
        Some(tied[if tied.len() == 1 { 0 } else { ties.pick(tied.len()) }])
    }
}
