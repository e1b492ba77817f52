//! What can still come of a Deployment's pods as long as no pod leaves its node and no other is placed.
//!
//! More nodes help only by what they are themselves: a domain that comes to be has no pod, so that no domain's least count
//! rises, and they take nobody away.

use super::company::Counted;
use super::{NOWHERE, Placing};
use crate::actors::kube_scheduler::spread::ZONE;
use crate::actors::node_affinity::Term;

impl Placing {
    /// Do others' whereabouts keep pods off the node until then?
    pub fn is_shut(&self, node: u32) -> bool {
        let seen = self.seen.get(node as usize);
        seen.is_some_and(|seen| seen.there && self.verdict_of_others(seen, &[]) != 0)
    }

    /// Does what the pods ask of a node's zone, or do others' whereabouts, keep them off new nodes there?
    pub fn is_zone_shut(&self, zone: &str) -> bool {
        !self.may_select_zone(zone) || self.zone_is_minded(zone)
    }
    /// As far as the zone goes; what else a node will be is not known.
    fn may_select_zone(&self, zone: &str) -> bool {
        let (selector, required) = (&self.placement.node_selector, &self.placement.node_affinity.required);
        let meets = |term: &Term| {
            let mut of_zone = term.0.iter().filter(|(key, _)| key == ZONE);
            of_zone.all(|(_, requirement)| requirement.has(zone))
        };
        let labels = [(ZONE.to_owned(), zone.to_owned())].into();
        selector.get(ZONE).is_none_or(|wanted| wanted == zone)
            && (required.is_empty() || required.iter().any(meets))
            && self.placement.reaches_volumes(&labels)
    }
    fn zone_is_minded(&self, zone: &str) -> bool {
        let Some(key) = self.keys.iter().position(|key| key == ZONE) else {
            return self.company.shuts(usize::MAX, NOWHERE);
        };
        // A zone that no node has shown yet has no pods.
        let domain = self.values[key].get(zone).copied().unwrap_or(NOWHERE);
        let here = |counted: &Counted| counted.key == key;
        let skewed = self.hard.iter().any(|rule| here(&rule.counted) && !rule.admits(domain, 0));
        skewed || self.company.shuts(key, domain)
    }
}
