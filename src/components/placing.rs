//! One Deployment's pods before all nodes, with every constraint: kube-scheduler's plain pass over numbers in place of
//! labels.
//!
//! What only the node itself decides is kept up; what hangs on where the Deployment's other pods are is counted anew at
//! each attempt.

use std::collections::BTreeMap;

use super::fitting;
use super::state::Node;
use crate::actors::kube_scheduler::filter;
use crate::actors::kube_scheduler::score::{Strategy, balanced_allocation};
use crate::actors::kube_scheduler::spread::{self, DEFAULTS, HOSTNAME};
use crate::actors::kube_scheduler::view::Version;
use crate::actors::taints::{Effect, Taint, Toleration, first_untolerated, tolerated};
use crate::scenario::{DeploymentSpec, Placement, SchedulerSettings};
use crate::units::Resources;

/// Why a node is out, as the message of a failed attempt counts it.
const TAINTED: usize = 0;
const LABELS: usize = 1;
const TOO_MANY_PODS: usize = 2;
const CPU: usize = 3;
const MEMORY: usize = 4;
/// The request is larger than the whole node.
const NEVER_FITS: usize = 5;
const SPREAD: usize = 6;
const SPREAD_LABEL: usize = 7;
const APART: usize = 8;
const REASONS: usize = 9;

/// Reasons, a bit each; none: the node fits.
type Verdict = u16;

/// The node lacks the label.
const NOWHERE: u32 = u32::MAX;

/// What the scheduler makes of a node for pods of the Deployment, wherever the others are.
#[derive(Clone, Debug, Default)]
struct Seen {
    there: bool,
    verdict: Verdict,
    /// Do its labels meet what the pods ask for?
    selected: bool,
    tolerated: bool,
    soft_taints: i64,
    /// Of the preferred terms that it meets.
    weight: i64,
    /// Are its labels known?
    labelled: bool,
    /// By topology key in use.
    domains: Vec<u32>,
    /// Pods of the Deployment on it.
    pods: i64,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Place among the keys in use.
    key: usize,
    by_host: bool,
    max_skew: i64,
    min_domains: usize,
}

/// Matching pods by domain for a hard rule, -1 where no node that counts is.
struct Counted<'a> {
    rule: &'a Rule,
    domains: Vec<i64>,
    least: i64,
}

/// Nodes of a failed attempt by why they are out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub nodes: u32,
    reasons: [u32; REASONS],
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        self.nodes += 1;
        for (reason, count) in self.reasons.iter_mut().enumerate() {
            *count += u32::from(verdict >> reason & 1);
        }
    }
    fn any(&self, reasons: &[usize]) -> bool {
        reasons.iter().any(|reason| self.reasons[*reason] > 0)
    }
    pub fn by_fit(&self) -> bool {
        self.any(&[TOO_MANY_PODS, CPU, MEMORY])
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
    pub fn by_anti_affinity(&self) -> bool {
        self.any(&[APART])
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
    requests: Resources,
    placement: Placement,
    strategy: Strategy,
    /// Topology keys in use, and the numbers of their values.
    keys: Vec<String>,
    values: Vec<BTreeMap<String, u32>>,
    hard: Vec<Rule>,
    soft: Vec<Rule>,
    /// A node that lacks a key of the soft rules is left out of their score.
    requires_all: bool,
    apart: Vec<usize>,
    seen: Vec<Seen>,
    pub tally: Tally,
}

impl Placing {
    pub fn new(deployment: &DeploymentSpec, settings: &SchedulerSettings) -> Placing {
        let placement = &deployment.placement;
        let mut placing = Placing {
            requests: deployment.requests,
            placement: placement.clone(),
            strategy: settings.strategy.clone(),
            keys: Vec::new(),
            values: Vec::new(),
            hard: Vec::new(),
            soft: Vec::new(),
            requires_all: !placement.topology_spread.is_empty(),
            apart: Vec::new(),
            seen: Vec::new(),
            tally: Tally::default(),
        };
        for spread in &placement.topology_spread {
            let min_domains = spread.min_domains.unwrap_or(1) as usize;
            let rule = placing.rule(&spread.topology_key, spread.max_skew.into(), min_domains);
            if spread.hard { placing.hard.push(rule) } else { placing.soft.push(rule) }
        }
        if placement.topology_spread.is_empty() && settings.default_spread {
            placing.soft = DEFAULTS.map(|(key, max_skew)| placing.rule(key, max_skew, 1)).into();
        }
        placing.apart = placement.pod_anti_affinity.iter().map(|key| placing.place(key)).collect();
        placing
    }

    fn rule(&mut self, key: &str, max_skew: i64, min_domains: usize) -> Rule {
        Rule { key: self.place(key), by_host: key == HOSTNAME, max_skew, min_domains }
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
    /// May a pod go to the node now?
    pub fn fits(&self, node: u32) -> bool {
        self.verdicts().get(node as usize).copied().flatten() == Some(0)
    }
    /// Nodes that want of room, which others could give up, is all that keeps the pods off.
    pub fn lacking_only_room(&self) -> Vec<u32> {
        let room = 1 << TOO_MANY_PODS | 1 << CPU | 1 << MEMORY;
        let lacks = |verdict: Option<Verdict>| verdict.is_some_and(|v| v != 0 && v & !room == 0);
        let verdicts = self.verdicts().into_iter().zip(0..);
        verdicts.filter_map(|(verdict, node)| lacks(verdict).then_some(node)).collect()
    }
    /// Has the node every label that hard rules spread over?
    pub fn has_keys(&self, node: u32) -> bool {
        self.seen.get(node as usize).is_some_and(|seen| has_all(seen, &self.hard))
    }

    /// The node's taints, requests, pods or existence changed, or what is `promised` to pods of as high a priority.
    pub fn update(
        &mut self,
        index: u32,
        node: &Node,
        labels: &BTreeMap<String, String>,
        taints: &[Taint],
        pods: u32,
        promised: Resources,
    ) {
        if self.seen.len() <= index as usize {
            self.seen.resize(index as usize + 1, Seen::default());
        }
        let mut seen = std::mem::take(&mut self.seen[index as usize]);
        seen.there = node.is_registered();
        if seen.there {
            if !std::mem::replace(&mut seen.labelled, true) {
                self.read_labels(&mut seen, labels);
            }
            self.read_taints(&mut seen, taints);
            // No pod is put where Karpenter drains, whatever it tolerates.
            seen.tolerated &= !node.disrupted;
            seen.verdict = self.judge(&seen, node, promised);
            seen.pods = pods.into();
        }
        self.seen[index as usize] = seen;
    }

    fn read_labels(&mut self, seen: &mut Seen, labels: &BTreeMap<String, String>) {
        let Placement { node_selector, node_affinity, .. } = &self.placement;
        let selected = node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        seen.selected = selected && node_affinity.admits(labels);
        seen.weight = node_affinity.weight(labels);
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

    fn judge(&self, seen: &Seen, node: &Node, promised: Resources) -> Verdict {
        if !seen.tolerated {
            return 1 << TAINTED;
        }
        if !seen.selected {
            return 1 << LABELS;
        }
        let (need, all) = (self.requests, node.allocatable);
        let lacking = filter::lacking(need, node.requested + promised, all, Version::V1_34);
        let mut verdict = 0;
        for (lacks, reason) in lacking.iter().zip([TOO_MANY_PODS, CPU, MEMORY]) {
            verdict |= Verdict::from(lacks.is_some()) << reason;
        }
        if verdict != 0 && (need.cpu_millis > all.cpu_millis || need.memory_bytes > all.memory_bytes) {
            verdict |= 1 << NEVER_FITS;
        }
        verdict
    }

    fn there(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(|seen| seen.there)
    }

    /// Pods by domain of a rule, over the nodes that `count`; -1 where there is none.
    fn domain_counts(&self, key: usize, count: impl Fn(&Seen) -> bool) -> Vec<i64> {
        let mut domains = vec![-1; self.values[key].len()];
        for seen in self.there().filter(|seen| seen.domains[key] != NOWHERE && count(seen)) {
            let slot: &mut i64 = &mut domains[seen.domains[key] as usize];
            *slot = (*slot).max(0) + seen.pods;
        }
        domains
    }

    fn hard_counts(&self) -> Vec<Counted<'_>> {
        let mut counted = Vec::with_capacity(self.hard.len());
        for rule in &self.hard {
            let domains = self.domain_counts(rule.key, |seen| has_all(seen, &self.hard) && seen.selected);
            let present = || domains.iter().copied().filter(|count| *count >= 0);
            let few = present().count() < rule.min_domains;
            let least = if few { 0 } else { present().min().unwrap_or(i64::from(i32::MAX)) };
            counted.push(Counted { rule, domains, least });
        }
        counted
    }

    /// What the nodes' verdicts are once the other pods are looked at.
    fn verdicts(&self) -> Vec<Option<Verdict>> {
        let hard = self.hard_counts();
        let apart: Vec<(usize, Vec<i64>)> =
            self.apart.iter().map(|key| (*key, self.domain_counts(*key, |_| true))).collect();
        let verdict = |seen: &Seen| {
            if seen.verdict != 0 {
                return seen.verdict;
            }
            for Counted { rule, domains, least } in &hard {
                let domain = seen.domains[rule.key];
                if domain == NOWHERE {
                    return 1 << SPREAD_LABEL;
                }
                if domains[domain as usize].max(0) + 1 - least > rule.max_skew {
                    return 1 << SPREAD;
                }
            }
            let taken = |(key, domains): &(usize, Vec<i64>)| {
                domains.get(seen.domains[*key] as usize).is_some_and(|count| *count > 0)
            };
            Verdict::from(apart.iter().any(taken)) << APART
        };
        self.seen.iter().map(|seen| seen.there.then(|| verdict(seen))).collect()
    }

    /// Feasible nodes, up to as many as `most` says of the number of all, beginning at `from` and going round; and how
    /// many were looked at. Where there is none, the tally says why.
    pub fn feasible_from(&mut self, from: u32, most: impl Fn(u32) -> u32, found: &mut Vec<u32>) -> u32 {
        let verdicts = self.verdicts();
        let nodes = verdicts.iter().flatten().count() as u32;
        let fits = |index: &u32| verdicts[*index as usize] == Some(0);
        let (all, most) = (verdicts.len() as u32, most(nodes));
        found.clear();
        found.extend((0..all).filter(fits));
        if found.is_empty() {
            let mut tally = Tally::default();
            verdicts.iter().flatten().for_each(|verdict| tally.add(*verdict));
            self.tally = tally;
        }
        if found.len() as u32 <= most {
            return nodes;
        }
        let from = from % all;
        found.clear();
        found.extend((from..all).chain(0..from).filter(fits).take(most as usize));
        let last = found.last().copied().unwrap_or(from);
        (last + all - from) % all + 1
    }

    /// The total scores of feasible nodes.
    pub fn scores(&self, found: &[u32], nodes: &[Node], scores: &mut Vec<i64>) {
        let seen = |index: &u32| &self.seen[*index as usize];
        let spread = self.spread_scores(found);
        let (taints, weights) =
            (found.iter().map(|i| seen(i).soft_taints), found.iter().map(|i| seen(i).weight));
        let (most_taints, most_weight) = (taints.max().unwrap_or(0), weights.max().unwrap_or(0));
        let score = |(index, spread): (&u32, i64)| {
            let (node, seen) = (&nodes[*index as usize], seen(index));
            let requested = node.requested + self.requests;
            let taints = if most_taints == 0 { 100 } else { 100 - 100 * seen.soft_taints / most_taints };
            let affinity = if most_weight == 0 { 0 } else { 100 * seen.weight / most_weight };
            self.strategy.score(requested, node.allocatable)
                + balanced_allocation(requested, node.allocatable)
                + 2 * spread
                + 3 * taints
                + 2 * affinity
        };
        scores.clear();
        scores.extend(found.iter().zip(spread).map(score));
    }

    fn spread_scores(&self, found: &[u32]) -> Vec<i64> {
        if self.soft.is_empty() {
            return vec![0; found.len()];
        }
        let ignored = |seen: &Seen| self.requires_all && !has_all(seen, &self.soft);
        let counted: Vec<&Seen> =
            found.iter().map(|index| &self.seen[*index as usize]).filter(|seen| !ignored(seen)).collect();
        // (weight, matching pods by domain) of each rule; on a host they are the node's own.
        let of_rule = |rule: &Rule| {
            if rule.by_host {
                return (spread::weight(counted.len()), Vec::new());
            }
            let mut present: Vec<u32> = counted.iter().map(|seen| seen.domains[rule.key]).collect();
            present.sort_unstable();
            present.dedup();
            let domains = self.domain_counts(rule.key, |seen| !ignored(seen) && seen.selected);
            (spread::weight(present.len()), domains)
        };
        let rules: Vec<(f64, Vec<i64>)> = self.soft.iter().map(of_rule).collect();
        let raw = |seen: &Seen| {
            let sum = self.soft.iter().zip(&rules).fold(0.0, |sum, (rule, (weight, domains))| {
                let domain = seen.domains[rule.key];
                if domain == NOWHERE {
                    return sum;
                }
                let count = if rule.by_host { seen.pods } else { domains[domain as usize] };
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
    rules.iter().all(|rule| seen.domains[rule.key] != NOWHERE)
}

#[cfg(test)]
mod tests;
