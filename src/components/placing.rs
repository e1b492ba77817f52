//! One Deployment's pods before all nodes, with every constraint: kube-scheduler's plain pass over numbers in place of
//! labels.
//!
//! What only the node itself decides is kept up, and the Deployment's pods by domain; nodes that fit by themselves are kept in
//! groups for which the others' whereabouts decide alike.

mod company;
mod domains;
mod dry_run;
mod prospects;

use std::collections::BTreeMap;

use smallvec::SmallVec;

use self::company::{Company, Counted, Terms};
use super::fitting;
use super::state::Node;
use crate::actors::kube_scheduler::filter::{self, Lacking};
use crate::actors::kube_scheduler::groups::{Groups, Window};
use crate::actors::kube_scheduler::image::PodImages;
use crate::actors::kube_scheduler::pod_affinity::normalise;
use crate::actors::kube_scheduler::score::{Strategy, balanced_allocation};
use crate::actors::kube_scheduler::spread::{self, DEFAULTS};
use crate::actors::kube_scheduler::view::Version;
use crate::actors::pod_affinity::{PodAffinity, PodTerm};
use crate::actors::taints::{Effect, Taint, Toleration, first_untolerated, tolerated};
use crate::scenario::{DeploymentSpec, Placement, SchedulerSettings, pod_affinity};
use crate::units::Resources;

/// Why a node is out, as the message of a failed attempt counts it.
const TAINTED: usize = 0;
const LABELS: usize = 1;
/// The request is larger than the whole node.
const NEVER_FITS: usize = 2;
const SPREAD: usize = 3;
const SPREAD_LABEL: usize = 4;
const APART: usize = 5;
/// A pod that is there keeps it off.
const KEPT_OFF: usize = 6;
const AFFINITY: usize = 7;
const PORTS: usize = 8;
/// It is in none of the zones of a volume.
const VOLUMES: usize = 9;
/// It has as many volumes as it takes.
const VOLUME_LIMIT: usize = 10;
/// From this one on: what lacks of its resources.
const LACKING: usize = 11;
const REASONS: usize = LACKING + Lacking::COUNT;

/// Reasons, a bit each; none: the node fits.
type Verdict = u32;
const LACKS: Verdict = ((1 << Lacking::COUNT) - 1) << LACKING;

/// The node lacks the label.
const NOWHERE: u32 = u32::MAX;

/// What the scheduler makes of a node for pods of the Deployment, wherever the others are.
#[derive(Clone, Debug, Default)]
struct Seen {
    there: bool,
    verdict: Verdict,
    /// Do its labels meet what the pods ask for?
    selected: bool,
    /// Can volumes of the pods be there?
    has_volumes: bool,
    tolerated: bool,
    soft_taints: i64,
    /// Of the preferred terms that it meets.
    weight: i64,
    /// Are its labels known?
    labelled: bool,
    /// By topology key in use.
    domains: Vec<u32>,
    /// Pods on it, of each set that is counted.
    pods: SmallVec<[i64; 2]>,
    /// The same of those for whom others make room there; empty: for none.
    expected: Vec<i64>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Over the nodes that the rule looks at.
    counted: Counted,
    max_skew: i64,
    min_domains: usize,
}

impl Rule {
    /// May a pod more come to the domain, if it had so many more than are counted?
    fn admits(&self, domain: u32, more: i64) -> bool {
        self.counted.domains.pods(domain) + more + 1 - self.least(domain, more) <= self.max_skew
    }
    /// The fewest pods that a domain may be taken to have.
    fn least(&self, domain: u32, more: i64) -> i64 {
        let domains = &self.counted.domains;
        if domains.present() < self.min_domains {
            return 0;
        }
        let least = if more == 0 { domains.least() } else { domains.least_with(domain, more) };
        least.unwrap_or(i64::from(i32::MAX))
    }
}

/// A Deployment's pods on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Present {
    pub staying: u32,
    /// Deleted, and not gone yet: spreading looks past them, affinity between pods does not.
    pub going: u32,
}

/// Pods that are counted together.
#[derive(Clone, PartialEq, Eq, Debug)]
struct PodSet {
    /// Of these Deployments.
    of: Vec<u32>,
    /// Are those that are going counted, too?
    going: bool,
}

impl PodSet {
    /// Of the pods on a node, by Deployment.
    fn count(&self, pods: &[Present]) -> i64 {
        let of = |whose: &u32| {
            let Present { staying, going } = pods[*whose as usize];
            i64::from(staying) + if self.going { i64::from(going) } else { 0 }
        };
        self.of.iter().map(of).sum()
    }
}

/// What a node that fits by itself is refused for hangs on: its domains, hosts left out, and, where a rule is over hosts, how
/// many pods it has.
type Situation = SmallVec<[u32; 4]>;

/// What others have of a node before pods of a Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Promised to pods of as high a priority.
    pub promised: Resources,
    /// Their Deployments.
    pub expected: SmallVec<[u32; 2]>,
    /// Has one of them a host port that the Deployment's pods want?
    pub ports: bool,
    /// Is there no room for their volumes?
    pub volumes: bool,
}

/// Nodes of a failed attempt by why they are out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub nodes: u32,
    reasons: [u32; REASONS],
}

impl Tally {
    /// So many nodes more; a wrapped number for fewer.
    fn add(&mut self, verdict: Verdict, nodes: u32) {
        self.nodes = self.nodes.wrapping_add(nodes);
        for (reason, count) in self.reasons.iter_mut().enumerate() {
            *count = count.wrapping_add((verdict >> reason & 1).wrapping_mul(nodes));
        }
    }
    fn any(&self, reasons: &[usize]) -> bool {
        reasons.iter().any(|reason| self.reasons[*reason] > 0)
    }
    pub fn by_fit(&self) -> bool {
        self.reasons[LACKING..].iter().any(|nodes| *nodes > 0)
    }
    pub fn by_taints(&self) -> bool {
        self.any(&[TAINTED])
    }
    pub fn by_labels(&self) -> bool {
        self.any(&[LABELS])
    }
    pub fn by_spread(&self) -> bool {
        self.any(&[SPREAD, SPREAD_LABEL])
    }
    pub fn by_pod_affinity(&self) -> bool {
        self.any(&[AFFINITY, APART, KEPT_OFF])
    }
    pub fn by_volumes(&self) -> bool {
        self.any(&[VOLUMES])
    }
    pub fn by_volume_limit(&self) -> bool {
        self.any(&[VOLUME_LIMIT])
    }
    pub fn by_ports(&self) -> bool {
        self.any(&[PORTS])
    }
    /// See [`fitting::message`].
    pub fn message(&self) -> u64 {
        let mut counts = [self.nodes; REASONS + 1];
        counts[..REASONS].copy_from_slice(&self.reasons);
        fitting::message(&counts)
    }
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(super) struct Placing {
    version: Version,
    requests: Resources,
    placement: Placement,
    strategy: Strategy,
    images: PodImages,
    /// Topology keys in use, and the numbers of their values.
    keys: Vec<String>,
    values: Vec<BTreeMap<String, u32>>,
    hard: Vec<Rule>,
    soft: Vec<Rule>,
    /// A node that lacks a key of the soft rules is left out of their score.
    requires_all: bool,
    pod_affinity: PodAffinity,
    company: Company,
    /// Whose pods are counted: for spreading the Deployment's own, then those that affinity between pods selects.
    sets: Vec<PodSet>,
    seen: Vec<Seen>,
    /// All nodes, by what they decide by themselves.
    own: Tally,
    /// Those that fit by themselves.
    groups: Groups<Situation>,
    /// Of the last attempt that failed.
    pub tally: Tally,
}

impl Placing {
    pub fn new(
        own: usize,
        deployments: &[DeploymentSpec],
        settings: &SchedulerSettings,
        images: PodImages,
        version: Version,
    ) -> Placing {
        let deployment = &deployments[own];
        let placement = &deployment.placement;
        let mut placing = Placing {
            version,
            requests: deployment.requests,
            placement: placement.clone(),
            strategy: settings.strategy.clone(),
            images,
            keys: Vec::new(),
            values: Vec::new(),
            hard: Vec::new(),
            soft: Vec::new(),
            requires_all: !placement.topology_spread.is_empty(),
            pod_affinity: pod_affinity(own, deployments),
            company: Company::default(),
            sets: vec![PodSet { of: vec![own as u32], going: false }],
            seen: Vec::new(),
            own: Tally::default(),
            groups: Groups::default(),
            tally: Tally::default(),
        };
        for spread in &placement.topology_spread {
            let min_domains = spread.min_domains.unwrap_or(1) as usize;
            let rule = placing.rule(&spread.topology_key, spread.max_skew.into(), min_domains);
            if spread.hard { placing.hard.push(rule) } else { placing.soft.push(rule) }
        }
        // The default is for pods that a Service or a ReplicaSet selects.
        let defaults = settings.default_spread && deployment.job.is_none();
        if placement.topology_spread.is_empty() && defaults {
            placing.soft = DEFAULTS.map(|(key, max_skew)| placing.rule(key, max_skew, 1)).into();
        }
        placing.read_terms(own as u32, deployments);
        placing
    }

    /// Its own terms of affinity between pods, and those of others that select its pods.
    fn read_terms(&mut self, own: u32, deployments: &[DeploymentSpec]) {
        let all: Vec<PodAffinity> =
            (0..deployments.len()).map(|place| pod_affinity(place, deployments)).collect();
        let Terms { near, apart, kept_off, leaning } = Terms::new(own, &all);
        let leaning = leaning.iter().map(|(weight, term)| (*weight, self.counted_of(term))).collect();
        let mut counted = |terms: Vec<PodTerm>| terms.iter().map(|term| self.counted_of(term)).collect();
        self.company = Company {
            near: counted(near),
            seeks_itself: all[own as usize].seeks(own),
            apart: counted(apart),
            kept_off: counted(kept_off),
            leaning,
        };
    }
    fn counted_of(&mut self, term: &PodTerm) -> Counted {
        let set = PodSet { of: term.kinds.clone(), going: true };
        let known = self.sets.iter().position(|known| *known == set);
        let whose = known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        Counted::new(self.place(&term.topology_key), &term.topology_key, whose)
    }

    fn rule(&mut self, key: &str, max_skew: i64, min_domains: usize) -> Rule {
        Rule { counted: self.counted(key), max_skew, min_domains }
    }
    fn counted(&mut self, key: &str) -> Counted {
        Counted::new(self.place(key), key, 0)
    }
    /// The key's place among those in use.
    fn place(&mut self, key: &str) -> usize {
        self.keys.iter().position(|known| known == key).unwrap_or_else(|| {
            self.keys.push(key.to_owned());
            self.values.push(BTreeMap::new());
            self.keys.len() - 1
        })
    }

    /// Would a pod fit the node if nothing else were on it?
    pub fn fits_empty(&self, node: &Node) -> bool {
        self.requests.fits(&node.allocatable)
    }
    /// Does no taint of the node keep the pods off?
    pub fn tolerates(&self, node: u32) -> bool {
        self.seen.get(node as usize).is_some_and(|seen| seen.tolerated)
    }
    /// Do the node's labels meet what the pods ask for?
    pub fn selects(&self, node: u32) -> bool {
        self.seen.get(node as usize).is_some_and(|seen| seen.selected)
    }
    /// Can volumes of the pods be there?
    pub fn reaches_volumes(&self, node: u32) -> bool {
        self.seen.get(node as usize).is_some_and(|seen| seen.has_volumes)
    }
    /// May a pod go to the node now?
    pub fn fits(&self, node: u32) -> bool {
        self.seen.get(node as usize).is_some_and(|seen| seen.there && self.verdict(seen) == 0)
    }
    /// Has the node every label that hard rules spread over?
    pub fn has_keys(&self, node: u32) -> bool {
        self.seen.get(node as usize).is_some_and(|seen| has_all(seen, &self.hard))
    }

    /// Has the node a label that the affinity of its pods goes by, or none of them to keep others off? Then a node that
    /// appears may help.
    pub fn may_have_company(&self, node: u32) -> bool {
        let seen = &self.seen[node as usize];
        let near = self.company.near.iter().any(|near| seen.domains[near.key] != NOWHERE);
        near || !self.company.apart.is_empty()
    }
    /// Does a pod of the Deployment that comes to a node help those that seek company?
    pub fn seeks(&self, deployment: u32) -> bool {
        self.pod_affinity.seeks(deployment)
    }
    /// Does one that goes help those that keep off others? With hints nobody thinks of those that are kept off.
    pub fn is_helped_without(&self, deployment: u32, hints: bool) -> bool {
        self.pod_affinity.shuns(deployment) || (!hints && !self.company.kept_off.is_empty())
    }
    /// Has affinity between pods any say?
    pub fn has_company(&self) -> bool {
        self.company.counted().next().is_some() || !self.company.leaning.is_empty()
    }

    /// The node's taints, requests, pods or existence changed, or what is `taken` of it. `pods` are those on it by
    /// Deployment.
    pub fn update(
        &mut self,
        index: u32,
        node: &Node,
        labels: &BTreeMap<String, String>,
        taints: &[Taint],
        pods: &[Present],
        taken: Taken,
    ) {
        if self.seen.len() <= index as usize {
            self.seen.resize(index as usize + 1, Seen::default());
        }
        let mut seen = std::mem::take(&mut self.seen[index as usize]);
        self.count(&seen, false);
        seen.there = node.is_registered();
        if seen.there {
            if !std::mem::replace(&mut seen.labelled, true) {
                self.read_labels(&mut seen, labels);
            }
            self.read_taints(&mut seen, taints);
            // No pod is put where Karpenter drains, whatever it tolerates.
            seen.tolerated &= !node.disrupted;
            seen.verdict = self.judge(&seen, node, &taken);
            seen.pods = self.sets.iter().map(|set| set.count(pods)).collect();
            seen.expected = self.expected(&taken);
        }
        self.count(&seen, true);
        let situation = (seen.there && seen.verdict == 0).then(|| self.situation(index, &seen));
        self.groups.set(index, situation);
        self.seen[index as usize] = seen;
    }

    /// Counts the node in, or out again, as it is seen.
    fn count(&mut self, seen: &Seen, joins: bool) {
        if !seen.there {
            return;
        }
        self.own.add(seen.verdict, if joins { 1 } else { u32::MAX });
        let hard = has_all(seen, &self.hard) && seen.selected;
        let soft = (!self.requires_all || has_all(seen, &self.soft)) && seen.selected;
        let of_rules = |rule: &mut Rule| rule.counted.change(seen, joins);
        self.hard.iter_mut().filter(|_| hard).for_each(of_rules);
        self.soft.iter_mut().filter(|_| soft).for_each(of_rules);
        self.company.counted_mut().for_each(|counted| counted.change(seen, joins));
    }

    /// What the others' whereabouts can tell it from other nodes by.
    fn situation(&self, index: u32, seen: &Seen) -> Situation {
        let deciding = || self.hard.iter().map(|rule| &rule.counted).chain(self.company.counted());
        let domains = deciding().filter(|counted| !counted.by_host).map(|counted| seen.domains[counted.key]);
        // Of company it matters only whether there is any.
        let of_rules = self.hard.iter().map(|rule| (&rule.counted, u32::MAX));
        let hosts = of_rules.chain(self.company.counted().map(|counted| (counted, 1)));
        let hosts = hosts.filter(|(counted, _)| counted.by_host);
        let pods = hosts.map(|(counted, most)| (seen.pods[counted.whose] as u32).min(most));
        // A host without the label is in a domain of no host.
        let named = |counted: &&Counted| counted.by_host && seen.domains[counted.key] == NOWHERE;
        let nameless = deciding().find(named).map(|_| NOWHERE);
        // Where somebody is expected a node is like no other.
        let expects = (!seen.expected.is_empty()).then_some([NOWHERE, index]);
        domains.chain(pods).chain(nameless).chain(expects.into_iter().flatten()).collect()
    }

    fn read_labels(&mut self, seen: &mut Seen, labels: &BTreeMap<String, String>) {
        seen.selected = self.placement.selects(labels);
        seen.has_volumes = self.placement.reaches_volumes(labels);
        seen.weight = self.placement.node_affinity.weight(labels);
        let number = |(key, known): (&String, &mut BTreeMap<String, u32>)| {
            let Some(value) = labels.get(key) else { return NOWHERE };
            let next = known.len() as u32;
            *known.entry(value.clone()).or_insert(next)
        };
        seen.domains = self.keys.iter().zip(&mut self.values).map(number).collect();
    }

    fn read_taints(&self, seen: &mut Seen, taints: &[Taint]) {
        let tolerations = &self.placement.tolerations;
        seen.tolerated = first_untolerated(taints, tolerations).is_none();
        let soft = |toleration: &&Toleration| toleration.effect.is_none_or(|e| e == Effect::PreferNoSchedule);
        let bad = |taint: &&Taint| {
            let by = |toleration: &Toleration| tolerated(taint, std::slice::from_ref(toleration));
            taint.effect == Effect::PreferNoSchedule && !tolerations.iter().filter(soft).any(by)
        };
        seen.soft_taints = taints.iter().filter(bad).count() as i64;
    }

    fn judge(&self, seen: &Seen, node: &Node, taken: &Taken) -> Verdict {
        if !seen.tolerated {
            return 1 << TAINTED;
        }
        if !seen.selected {
            return 1 << LABELS;
        }
        if taken.ports {
            return 1 << PORTS;
        }
        let (need, all) = (self.requests, node.allocatable);
        let lacking = filter::lacking(need, node.requested + taken.promised, all, Version::V1_34);
        let mut verdict = Verdict::from(lacking.bits()) << LACKING;
        if verdict != 0 && !need.fits(&Resources { pods: need.pods, ..all }) {
            verdict |= 1 << NEVER_FITS;
        }
        if verdict == 0 && taken.volumes {
            verdict = 1 << VOLUME_LIMIT;
        }
        if verdict == 0 && !seen.has_volumes {
            verdict = 1 << VOLUMES;
        }
        verdict
    }

    /// What is said of the node once the other pods are looked at.
    fn verdict(&self, seen: &Seen) -> Verdict {
        if seen.verdict != 0 { seen.verdict } else { self.verdict_of_others(seen, &[]) }
    }

    /// Feasible nodes, up to as many as `most` says of the number of all, beginning at `from` and going round; and how
    /// many were looked at. Where there is none, the tally says why.
    pub fn feasible_from(&mut self, from: u32, most: impl Fn(u32) -> u32, found: &mut Vec<u32>) -> u32 {
        found.clear();
        let (nodes, all) = (self.own.nodes, self.groups.numbers());
        let (mut open, mut fitting) = (Vec::new(), 0);
        let mut tally = self.own;
        for group in self.groups.groups() {
            let Some(first) = group.first() else { continue };
            let verdict = self.verdict(&self.seen[first as usize]);
            if verdict == 0 {
                open.push(group);
                fitting += group.count;
            } else {
                tally.add(verdict, group.count);
                tally.nodes -= group.count;
            }
        }
        if fitting == 0 {
            self.tally = tally;
            return nodes;
        }
        let bits = |word| open.iter().fold(0, |all, group| all | group.word(word));
        let (window, looked_at) = if fitting <= most(nodes) {
            (Window::whole(all), nodes)
        } else {
            Window::holding(most(nodes), from % all, all, bits)
        };
        found.extend(window.nodes(&bits));
        looked_at
    }

    /// The total scores of feasible nodes.
    pub fn scores(&self, found: &[u32], nodes: &[Node], scores: &mut Vec<i64>) {
        let seen = |index: &u32| &self.seen[*index as usize];
        let (spread, company) = (self.spread_scores(found), self.company_scores(found));
        let (taints, weights) =
            (found.iter().map(|i| seen(i).soft_taints), found.iter().map(|i| seen(i).weight));
        let (most_taints, most_weight) = (taints.max().unwrap_or(0), weights.max().unwrap_or(0));
        let score = |((index, spread), company): ((&u32, i64), i64)| {
            let (node, seen) = (&nodes[*index as usize], seen(index));
            let requested = node.requested + self.requests;
            let taints = if most_taints == 0 { 100 } else { 100 - 100 * seen.soft_taints / most_taints };
            let affinity = if most_weight == 0 { 0 } else { 100 * seen.weight / most_weight };
            self.strategy.score(requested, node.allocatable)
                + balanced_allocation(requested, node.allocatable)
                + 2 * spread
                + 3 * taints
                + 2 * affinity
                + 2 * company
                + self.image_score(node)
        };
        scores.clear();
        scores.extend(found.iter().zip(spread).zip(company).map(score));
    }

    fn image_score(&self, node: &Node) -> i64 {
        let status = &node.image_status;
        if status.is_empty() {
            return 0;
        }
        self.images.score(self.images.numbers().map(|image| status.holders(image)), self.own.nodes)
    }

    fn company_scores(&self, found: &[u32]) -> Vec<i64> {
        if self.company.leaning.is_empty() {
            return vec![0; found.len()];
        }
        let raw = found.iter().map(|index| self.company.score(&self.seen[*index as usize]));
        let mut scores: Vec<i64> = raw.collect();
        normalise(&mut scores);
        scores
    }

    fn spread_scores(&self, found: &[u32]) -> Vec<i64> {
        if self.soft.is_empty() {
            return vec![0; found.len()];
        }
        let ignored = |seen: &Seen| self.requires_all && !has_all(seen, &self.soft);
        let counted: Vec<&Seen> =
            found.iter().map(|index| &self.seen[*index as usize]).filter(|seen| !ignored(seen)).collect();
        let weight = |rule: &Rule| {
            if rule.counted.by_host {
                return spread::weight(counted.len());
            }
            let mut present: Vec<u32> = counted.iter().map(|seen| seen.domains[rule.counted.key]).collect();
            present.sort_unstable();
            present.dedup();
            spread::weight(present.len())
        };
        let weights: Vec<f64> = self.soft.iter().map(weight).collect();
        let raw = |seen: &Seen| {
            let sum = self.soft.iter().zip(&weights).fold(0.0, |sum, (rule, weight)| {
                let domain = seen.domains[rule.counted.key];
                if domain == NOWHERE {
                    return sum;
                }
                // On a host they are the node's own.
                let own = rule.counted.by_host;
                let count = if own { seen.pods[0] } else { rule.counted.domains.pods(domain) };
                sum + spread::term(count, rule.max_skew, *weight)
            });
            libm::round(sum) as i64
        };
        let seen = found.iter().map(|index| &self.seen[*index as usize]);
        let mut scores: Vec<Option<i64>> = seen.map(|seen| (!ignored(seen)).then(|| raw(seen))).collect();
        spread::normalise(&mut scores);
        scores.into_iter().map(|score| score.unwrap_or(0)).collect()
    }
}

fn has_all(seen: &Seen, rules: &[Rule]) -> bool {
    rules.iter().all(|rule| seen.domains[rule.counted.key] != NOWHERE)
}

#[cfg(test)]
mod tests;
