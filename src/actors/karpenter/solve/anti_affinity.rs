//! A term of anti-affinity: a pod keeps out of domains where a pod that keeps it off may already be.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `topologygroup.go`, `nextDomainAntiAffinity`.

use super::super::labels::HOSTNAME;
use super::super::requirement::Requirements;
use super::company::{Chosen, Known};
use super::topology::Host;

impl Known {
    /// Is it over hosts, and has this one a pod?
    pub(super) fn is_full(&self, host: Host) -> bool {
        self.key == HOSTNAME && self.hosts.contains(&host)
    }

    /// The domains that a pod must keep to on a host with these requirements, none said if any will do; `None`: a pod
    /// is there already.
    pub(super) fn choose_apart(
        &self,
        host: Host,
        pod: &Requirements,
        requirements: &Requirements,
    ) -> Option<Option<Chosen>> {
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
    pub(super) fn record_apart(&mut self, host: Host, requirements: &Requirements) {
        self.hosts.insert(host);
        let named = requirements.get(&self.key).filter(|requirement| requirement.is_in());
        for domain in named.into_iter().flat_map(|requirement| requirement.named()) {
            self.domains.insert(domain.to_owned(), true);
        }
    }
}
