//! Pods by the domains of a topology key, kept up as nodes change.

use std::collections::BTreeMap;

/// Over the nodes that count. Domains are numbered by the caller from 0 on.
#[derive(Clone, Debug, Default)]
pub(super) struct Domains {
    /// Nodes that count, and the pods on them.
    by_domain: Vec<(u32, i64)>,
    /// Domains with a node that counts, by their pods.
    by_pods: BTreeMap<i64, u32>,
}

impl Domains {
    /// A node of the domain counts from now on, with so many pods.
    pub fn join(&mut self, domain: u32, pods: i64) {
        self.change(domain, |nodes| nodes + 1, pods);
    }
    /// A node that counted with so many pods counts no more.
    pub fn leave(&mut self, domain: u32, pods: i64) {
        self.change(domain, |nodes| nodes - 1, -pods);
    }

    fn change(&mut self, domain: u32, nodes: impl FnOnce(u32) -> u32, pods: i64) {
        let place = domain as usize;
        if self.by_domain.len() <= place {
            self.by_domain.resize(place + 1, (0, 0));
        }
        let (before, had) = self.by_domain[place];
        let (after, has) = (nodes(before), had + pods);
        self.by_domain[place] = (after, has);
        if before > 0 {
            let alike = self.by_pods.get_mut(&had).expect("a domain that counts is counted");
            *alike -= 1;
            if *alike == 0 {
                self.by_pods.remove(&had);
            }
        }
        if after > 0 {
            *self.by_pods.entry(has).or_insert(0) += 1;
        }
    }

    /// Pods in the domain; none where no node counts.
    pub fn pods(&self, domain: u32) -> i64 {
        self.by_domain.get(domain as usize).map_or(0, |(_, pods)| *pods)
    }
    /// Pods in all domains.
    pub fn all(&self) -> i64 {
        self.by_pods.iter().map(|(pods, domains)| pods * i64::from(*domains)).sum()
    }
    /// Is there a pod in any of them?
    pub fn any(&self) -> bool {
        self.by_pods.last_key_value().is_some_and(|(pods, _)| *pods > 0)
    }
    /// Domains in which a node counts.
    pub fn present(&self) -> usize {
        self.by_pods.values().sum::<u32>() as usize
    }
    /// The fewest pods in any domain in which a node counts.
    pub fn least(&self) -> Option<i64> {
        self.by_pods.first_key_value().map(|(pods, _)| *pods)
    }
    /// The same, if one in which a node counts had so many pods more.
    pub fn least_with(&self, domain: u32, more: i64) -> Option<i64> {
        let pods = self.pods(domain);
        let mut others = self.by_pods.iter().filter(|(had, domains)| **had != pods || **domains > 1);
        let least = others.next().map(|(had, _)| *had);
        Some(least.map_or(pods + more, |least| least.min(pods + more)))
    }
}
