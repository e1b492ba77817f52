//! One term of required affinity as Karpenter keeps it: domains where a pod of the company that is sought is known to be.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `topologygroup.go`, `nextDomainAffinity`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::labels::HOSTNAME;
use super::super::requirement::Requirements;
use super::topology::{Host, Ties};

#[derive(Clone, Debug)]
pub(super) struct Near {
    key: String,
    /// Is a pod there?
    domains: BTreeMap<String, bool>,
    /// Hosts with one.
    hosts: BTreeSet<Host>,
}

impl Near {
    pub fn new(key: &str, domains: impl Iterator<Item = String>) -> Near {
        let domains = domains.map(|domain| (domain, false)).collect();
        Near { key: key.to_owned(), domains, hosts: BTreeSet::new() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// So many pods are bound on a node of this domain.
    pub fn count(&mut self, host: Host, domain: Option<&str>, pods: i64) {
        if let Some(domain) = domain {
            *self.domains.entry(domain.to_owned()).or_insert(false) |= pods > 0;
        }
        if pods > 0 {
            self.hosts.insert(host);
        }
    }

    /// The domains that a pod must keep to on a host with these requirements, none said if any will do; `None`: there is no
    /// company. The first of pods that seek each other (`seeks_itself`) may choose.
    pub fn choose(
        &self,
        host: Host,
        seeks_itself: bool,
        pod: &Requirements,
        requirements: &Requirements,
        ties: &mut dyn Ties,
    ) -> Option<Option<(String, Vec<String>)>> {
        if self.key == HOSTNAME {
            let first = seeks_itself && self.hosts.is_empty();
            return (first || self.hosts.contains(&host)).then_some(None);
        }
        let own = || self.domains.iter().filter(|(domain, _)| pod.allows(&self.key, domain));
        let with_pods = || own().filter(|(_, there)| **there).map(|(domain, _)| domain);
        let mut left: Vec<String> =
            with_pods().filter(|domain| requirements.allows(&self.key, domain)).cloned().collect();
        if left.is_empty() && seeks_itself && with_pods().next().is_none() {
            let here: Vec<&String> = own()
                .map(|(domain, _)| domain)
                .filter(|domain| requirements.allows(&self.key, domain))
                .collect();
            let any: Vec<&String> = own().map(|(domain, _)| domain).collect();
            // One that the host may get and, beside it, one of all.
            for among in [here, any].iter().filter(|among| !among.is_empty()) {
                let place = if among.len() == 1 { 0 } else { ties.pick(among.len()) };
                left.push(among[place].clone());
            }
        }
        (!left.is_empty()).then(|| Some((self.key.clone(), left)))
    }

    /// A pod went to the host: it counts if its domain is settled.
    pub fn record(&mut self, host: Host, requirements: &Requirements) {
        self.hosts.insert(host);
        if let Some(domain) = requirements.get(&self.key).and_then(|requirement| requirement.single()) {
            self.domains.insert(domain.to_owned(), true);
        }
    }
}
