//! One term of required anti-affinity as Karpenter keeps it: domains where a pod that keeps others off may already be.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `topologygroup.go`, `nextDomainAntiAffinity`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::labels::HOSTNAME;
use super::super::requirement::Requirements;
use super::topology::Host;

#[derive(Clone, Debug)]
pub(super) struct Apart {
    key: String,
    /// Is a pod there, or may one come to be there?
    domains: BTreeMap<String, bool>,
    /// The same of hosts.
    hosts: BTreeSet<Host>,
}

impl Apart {
    pub fn new(key: &str, domains: impl Iterator<Item = String>) -> Apart {
        Apart {
            key: key.to_owned(),
            domains: domains.map(|domain| (domain, false)).collect(),
            hosts: BTreeSet::new(),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// So many pods are bound on a node of this domain.
    pub fn count(&mut self, host: Host, domain: Option<&str>, pods: i64) {
        if let Some(domain) = domain {
            match self.domains.get_mut(domain) {
                Some(taken) => *taken |= pods > 0,
                None => drop(self.domains.insert(domain.to_owned(), pods > 0)),
            }
        }
        if pods > 0 {
            self.hosts.insert(host);
        }
    }

    /// Is it over hosts, and has this one a pod?
    pub fn is_full(&self, host: Host) -> bool {
        self.key == HOSTNAME && self.hosts.contains(&host)
    }

    /// The domains that a pod must keep to on a host with these requirements, none said if any will do; `None`: a pod
    /// is there already.
    pub fn choose(
        &self,
        host: Host,
        pod: &Requirements,
        requirements: &Requirements,
    ) -> Option<Option<(String, Vec<String>)>> {
        if self.key == HOSTNAME {
            return (!self.is_full(host)).then_some(None);
        }
        let open = |(domain, taken): &(&String, &bool)| {
            !**taken && requirements.allows(&self.key, domain) && pod.allows(&self.key, domain)
        };
        let left: Vec<String> = self.domains.iter().filter(open).map(|(domain, _)| domain.clone()).collect();
        (!left.is_empty()).then(|| Some((self.key.clone(), left)))
    }

    /// A pod went to the host: it may come to be in any domain that the host may still get.
    pub fn record(&mut self, host: Host, requirements: &Requirements) {
        self.hosts.insert(host);
        let named = requirements.get(&self.key).filter(|requirement| requirement.is_in());
        for domain in named.into_iter().flat_map(|requirement| requirement.named()) {
            self.domains.insert(domain.to_owned(), true);
        }
    }
}
