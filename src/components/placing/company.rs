//! InterPodAffinity over numbers: where the pods are that a Deployment's pods mind, or that mind them.

use super::domains::Domains;
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
    /// Is any of the pods in the node's domain?
    fn there(&self, seen: &Seen) -> bool {
        self.domains.pods(seen.domains[self.key]) > 0
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

    pub fn verdict(&self, seen: &Seen) -> Verdict {
        if !self.is_near(seen) {
            1 << AFFINITY
        } else if self.apart.iter().any(|apart| apart.there(seen)) {
            1 << APART
        } else {
            Verdict::from(self.kept_off.iter().any(|other| other.there(seen))) << KEPT_OFF
        }
    }

    /// See [`crate::actors::kube_scheduler::pod_affinity`].
    fn is_near(&self, seen: &Seen) -> bool {
        let labelled = |near: &Counted| seen.domains[near.key] != NOWHERE;
        let first = || self.seeks_itself && !self.near.iter().any(|near| near.domains.any());
        self.near.iter().all(labelled) && (self.near.iter().all(|near| near.there(seen)) || first())
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
