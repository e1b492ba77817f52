//! DaemonSets that Karpenter does not expect on a node under way, though they come: their term is none of those left, or not the
//! first (`actors::karpenter::daemons`). Until their pods are bound it takes their room for free.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `NewExistingNode` in `pkg/controllers/provisioning/scheduling/existingnode.go`:
//! what is still to come is all that is expected less all that is bound.

use super::*;
use crate::actors::karpenter::requirement::Requirements;
use crate::scenario::DaemonSetSpec;

/// By node on which some come that are not expected: what those expected request, and what those that are bound as it
/// registers, since they tolerate everything.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedDaemons(BTreeMap<u32, (Resources, Resources)>);

impl Run<'_> {
    /// The node's labels are known.
    pub(super) fn settle_expected_daemons(&mut self, node: u32) {
        // With one term there is none to forget, and a node that was there has its pods.
        let choice = |spec: &DaemonSetSpec| spec.placement.node_affinity.required.len() > 1;
        if self.nodes[node as usize].is_static() || !self.scenario.daemonsets.iter().any(choice) {
            return;
        }
        let (labels, taints) = (self.labels_of(node), self.taints_for_good(node));
        let labels =
            Requirements::of_labels(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let known = self.provisioner.offers.daemonsets();
        let choosy = self.scenario.daemonsets.iter().filter(|spec| !spec.counts_by_requests()).zip(known);
        let comes = choosy.filter(|(spec, _)| self.daemon_comes(node, spec));
        let unexpected: Resources = comes
            .filter(|(_, daemon)| !daemon.is_expected_on(&taints, &labels))
            .fold(Resources::ZERO, |sum, (spec, _)| sum + spec.requests);
        if unexpected == Resources::ZERO {
            return;
        }
        let tolerant = |spec: &&DaemonSetSpec| spec.tolerates_everything && self.daemon_comes(node, spec);
        let at_once = self.scenario.daemonsets.iter().filter(tolerant);
        let at_once = at_once.fold(Resources::ZERO, |sum, spec| sum + spec.requests);
        let expected = self.daemon_requests(node) - unexpected;
        if let Some(constraints) = &mut self.constraints {
            constraints.expected_daemons.0.insert(node, (expected, at_once));
        }
    }

    /// What DaemonSets' pods will take of the node that Karpenter counts as free.
    pub(super) fn unexpected_daemons(&self, node: u32) -> Resources {
        let Some(constraints) = self.constraints.as_deref() else { return Resources::ZERO };
        let Some((expected, at_once)) = constraints.expected_daemons.0.get(&node) else {
            return Resources::ZERO;
        };
        let at = &self.nodes[node as usize];
        let bound = match (at.was_usable, at.is_registered()) {
            (true, _) => return Resources::ZERO,
            (false, true) => *at_once,
            (false, false) => Resources::ZERO,
        };
        // The larger of the two, each by itself.
        let counted = *expected + bound - expected.least(bound);
        self.daemon_requests(node) - counted
    }
}
