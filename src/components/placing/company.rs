//! InterPodAffinity over numbers: where the pods are that a Deployment's pods mind, or that mind them.

use super::domains::Domains;
use super::dry_run::of_set;
use super::{AFFINITY, APART, KEPT_OFF, NOWHERE, Seen, Verdict};
use crate::actors::kube_scheduler::spread::HOSTNAME;
use crate::actors::pod_affinity::{PodAffinity, PodTerm};

/// Pods of some Deployments by domain.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// Place among the keys in use.
    pub key: usize,
    pub by_host: bool,
    /// Whose: the place in [`Seen::pods`].
    pub whose: usize,
    pub domains: Domains,
}

impl Counted {
    pub fn new(key: usize, name: &str, whose: usize) -> Counted {
        Counted { key, by_host: name == HOSTNAME, whose, domains: Domains::default() }
    }
    /// A node comes to count, or counts no more.
    pub fn change(&mut self, seen: &Seen, joins: bool) {
        match seen.domains[self.key] {
            NOWHERE => {}
            domain if joins => self.domains.join(domain, seen.pods[self.whose]),
            domain => self.domains.leave(domain, seen.pods[self.whose]),
        }
    }
    /// Is any of the pods in the node's domain, if the node had so many more?
    fn there(&self, seen: &Seen, more: &[i64]) -> bool {
        let domain = seen.domains[self.key];
        domain != NOWHERE && self.domains.pods(domain) + of_set(more, self.whose) > 0
    }
}

/// Over all nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Company {
    /// By the terms of its affinity: pods that all of them select.
    pub near: Vec<Counted>,
    /// Is it a pod such as it seeks?
    pub seeks_itself: bool,
    /// By the terms of its anti-affinity: pods that each selects.
    pub apart: Vec<Counted>,
    /// By other Deployments' terms that select it: their pods.
    pub kept_off: Vec<Counted>,
    /// What the scores go by: pods that it prefers to be with, or they with it, and their weights; below 0: to be without.
    pub leaning: Vec<(i64, Counted)>,
}

impl Company {
    /// Those that decide whether a pod may go to a node.
    pub fn counted(&self) -> impl Iterator<Item = &Counted> {
        self.near.iter().chain(&self.apart).chain(&self.kept_off)
    }
    pub fn counted_mut(&mut self) -> impl Iterator<Item = &mut Counted> {
        let leaning = self.leaning.iter_mut().map(|(_, counted)| counted);
        self.near.iter_mut().chain(&mut self.apart).chain(&mut self.kept_off).chain(leaning)
    }

    /// What speaks for the node, before it is normalised.
    pub fn score(&self, seen: &Seen) -> i64 {
        let leaning = self.leaning.iter();
        leaning.map(|(weight, counted)| weight * counted.domains.pods(seen.domains[counted.key])).sum()
    }

    /// What is said of a node that had so many pods more of each set.
    pub fn verdict(&self, seen: &Seen, more: &[i64]) -> Verdict {
        if !self.is_near(seen, more) {
            1 << AFFINITY
        } else if self.apart.iter().any(|apart| apart.there(seen, more)) {
            1 << APART
        } else {
            Verdict::from(self.kept_off.iter().any(|other| other.there(seen, more))) << KEPT_OFF
        }
    }
    /// Does it keep pods off nodes that come to be in this domain?
    pub fn shuts(&self, key: usize, domain: u32) -> bool {
        let any = |counted: &Counted| counted.domains.pods(domain) > 0;
        let mut minded = self.apart.iter().chain(&self.kept_off).filter(|counted| counted.key == key);
        // Nobody is on a new host.
        let alone = |near: &Counted| near.by_host || (near.key == key && !any(near));
        minded.any(any) || (!self.is_first(&[]) && self.near.iter().any(alone))
    }
    /// Are its filters left out, since nobody who is anywhere says anything to them?
    pub fn is_skipped(&self) -> bool {
        let asks_nothing = self.near.is_empty() && self.apart.is_empty();
        asks_nothing && !self.kept_off.iter().any(|other| other.domains.any())
    }

    /// See [`crate::actors::kube_scheduler::pod_affinity`].
    fn is_near(&self, seen: &Seen, more: &[i64]) -> bool {
        let labelled = |near: &Counted| seen.domains[near.key] != NOWHERE;
        let there = |near: &Counted| near.there(seen, more);
        self.near.iter().all(labelled) && (self.near.iter().all(there) || self.is_first(more))
    }
    /// Is it the first of those that seek each other?
    fn is_first(&self, more: &[i64]) -> bool {
        let any = |near: &Counted| match of_set(more, near.whose) {
            0 => near.domains.any(),
            more => near.domains.all() + more > 0,
        };
        self.seeks_itself && !self.near.iter().any(any)
    }
}

/// Whose pods each part of a Deployment's [`Company`] counts: (label, Deployments).
pub(super) struct Terms {
    pub near: Vec<PodTerm>,
    pub apart: Vec<PodTerm>,
    pub kept_off: Vec<PodTerm>,
    pub leaning: Vec<(i64, PodTerm)>,
}

impl Terms {
    pub fn new(own: u32, all: &[PodAffinity]) -> Terms {
        let PodAffinity { affinity, anti_affinity, .. } = &all[own as usize];
        let sought: Vec<u32> = (0..all.len() as u32).filter(|kind| all[own as usize].seeks(*kind)).collect();
        let near = |term: &PodTerm| PodTerm::new(&term.topology_key, sought.iter().copied());
        let of_others = (0..).zip(all).filter(|(kind, _)| *kind != own).flat_map(|(kind, other)| {
            let terms = other.anti_affinity.iter().filter(|term| term.selects(own));
            terms.map(move |term| PodTerm::new(&term.topology_key, [kind]))
        });
        let own_leanings = all[own as usize].leanings().map(|(weight, term)| (weight, term.clone()));
        let of_all = (0..).zip(all).flat_map(|(kind, other)| {
            let terms = other.draws().filter(|(_, term)| term.selects(own));
            terms.map(move |(weight, term)| (weight, PodTerm::new(&term.topology_key, [kind])))
        });
        Terms {
            leaning: own_leanings.chain(of_all).collect(),
            near: affinity.iter().map(near).collect(),
            apart: anti_affinity.clone(),
            kept_off: of_others.collect(),
        }
    }
}
