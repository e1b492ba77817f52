//! A term of affinity: a pod keeps to domains where a pod of the company that it seeks is known to be.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `topologygroup.go`, `nextDomainAffinity`.

use super::super::labels::HOSTNAME;
use super::super::requirement::Requirements;
use super::company::{Chosen, Known};
use super::topology::{Host, Ties};

impl Known {
    /// The domains that a pod must keep to on a host with these requirements, none said if any will do; `None`: there is no
    /// company. The first of pods that seek each other (`seeks_itself`) may choose.
    pub(super) fn choose_near(
        &self,
        host: Host,
        seeks_itself: bool,
        pod: &Requirements,
        requirements: &Requirements,
        ties: &mut dyn Ties,
    ) -> Option<Option<Chosen>> {
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
    pub(super) fn record_near(&mut self, host: Host, requirements: &Requirements) {
        self.hosts.insert(host);
        if let Some(domain) = requirements.get(&self.key).and_then(|requirement| requirement.single()) {
            self.domains.insert(domain.to_owned(), true);
        }
    }
}
