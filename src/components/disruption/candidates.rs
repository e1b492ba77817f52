//! What the disruption loop looks at: nodes that may go, what budgets leave, the cluster for a simulation.

use super::super::state::PodStage;
use super::super::tried_nodes::Tried;
use super::*;
use crate::actors::karpenter::disruption::balanced::PoolTotals;
use crate::actors::karpenter::disruption::budgets::{Budget, Counted, allowed};
use crate::actors::karpenter::disruption::candidates::{eviction_cost, reschedule_cost};
use crate::actors::karpenter::offers::CapacityType;
use crate::scenario::{ConsolidationPolicy, DisruptionSpec};

/// Pod events of a node are noted so often at most.
const POD_EVENTS_EVERY: SimDuration = SimDuration::from_secs(10);

impl Run<'_> {
    /// The node is Ready and no taint is left: Karpenter takes it for initialized a little later.
    pub(in super::super) fn await_initialized(&mut self, node: u32) {
        if self.disruption.on {
            let takes = self.draw(Latency::ClaimInitialized, Component::Karpenter, node, 2);
            self.at(self.now + takes, Event::ClaimInitialized(node));
        }
    }
    pub(in super::super) fn claim_initialized(&mut self, node: u32) {
        self.nodes[node as usize].initialized_at = self.now;
        self.disruption.changed_at = self.now;
        self.look_at_emptiness(node);
    }
    /// A pod on the node is being deleted. 0.19 saw it when it was gone.
    pub(in super::super) fn note_deletion(&mut self, node: u32) {
        if !self.prepared.era.deprovisioning {
            self.note_pod_event(node);
        }
    }
    /// A pod came to the node, or one is being deleted.
    pub(in super::super) fn note_pod_event(&mut self, node: u32) {
        if self.disruption.on {
            self.look_at_emptiness(node);
            self.disruption.changed_at = self.now;
            let last = &mut self.nodes[node as usize].last_pod_event;
            if last.is_none_or(|last| self.now.since(last) >= POD_EVENTS_EVERY) {
                *last = Some(self.now);
            }
        }
    }
    /// Karpenter means pods for the node: it is left alone for a while.
    pub(in super::super) fn note_nominated(&mut self, node: u32) {
        self.drop_nomination(node);
        if self.disruption.on {
            let window = (self.scenario.karpenter.batch_max * 2).max(SimDuration::from_secs(10));
            self.nodes[node as usize].nominated_until = self.now + window;
        }
    }

    fn spec(&self, node: &Node) -> Option<&DisruptionSpec> {
        self.scenario.node_pools[node.pool as usize].disruption.as_ref()
    }
    fn has_initialized_claim(&self, node: &Node) -> bool {
        node.lives() && !node.is_static() && node.initialized_at <= self.now
    }

    /// Has `consolidateAfter` passed since the last pod came or went?
    fn is_consolidatable(&self, node: &Node) -> bool {
        let after = self.spec(node).and_then(|spec| spec.consolidate_after);
        let since = node.last_pod_event.unwrap_or(node.initialized_at);
        after.is_some_and(|after| since + after <= self.now)
    }
    /// Does it still wait for that? Then consolidation moves no pods onto it.
    fn is_settling(&self, node: &Node) -> bool {
        let waits = |spec: &DisruptionSpec| spec.consolidate_after.is_some();
        self.has_initialized_claim(node)
            && self.spec(node).is_some_and(waits)
            && !self.is_consolidatable(node)
    }

    /// Nodes that the method may take.
    pub(super) fn candidates(&self, method: Method) -> Vec<Candidate> {
        let blocked: Vec<bool> = (0..self.scenario.deployments.len() as u32)
            .map(|deployment| self.is_blocked(deployment))
            .collect();
        let all = (0..self.nodes.len() as u32).filter(|index| self.may_be_disrupted(*index));
        all.filter_map(|index| self.candidate(index, method, &blocked)).collect()
    }
    /// Does the Deployment's budget let no pod go now?
    pub(super) fn is_blocked(&self, deployment: u32) -> bool {
        let budget = self.scenario.deployments[deployment as usize].pdb;
        budget.is_some_and(|budget| budget.disruptions_allowed(self.covered(deployment)) == 0)
    }
    /// Is it initialized, not on its way out, and are no pods meant for it?
    pub(super) fn may_be_disrupted(&self, index: u32) -> bool {
        let node = &self.nodes[index as usize];
        self.has_initialized_claim(node) && !node.disrupted && node.nominated_until <= self.now
    }

    fn candidate(&self, index: u32, method: Method, blocked: &[bool]) -> Option<Candidate> {
        let node = &self.nodes[index as usize];
        let pool = &self.scenario.node_pools[node.pool as usize];
        let wanted = match method {
            Method::Drift => pool.drift_at.is_some_and(|at| node.created_at < at && at <= self.now),
            _ => self.is_consolidatable(node),
        };
        if !wanted {
            return None;
        }
        let there = |pod: &&u32| {
            let pod = &self.pods[**pod as usize];
            pod.is_active() && pod.stage >= PodStage::Bound
        };
        let on_it = || node.pods.iter().filter(there);
        let pods: Vec<u32> = on_it().map(|pod| self.pods[*pod as usize].deployment).collect();
        // Drift is bound to come to an end where claims are: nobody keeps it back then.
        let ends = method == Method::Drift && pool.termination_grace_period.is_some();
        let kept = || {
            pods.iter().any(|deployment| blocked[*deployment as usize])
                || on_it().any(|pod| self.is_protected(*pod))
        };
        if !ends && kept() {
            return None;
        }
        let cost = self.cost_to_move(pods.iter().copied());
        let candidate = self.as_candidate(index, pods, cost);
        let policy = pool.disruption.as_ref().map(|spec| spec.policy);
        let fits = match method {
            Method::Drift => true,
            Method::Emptiness => candidate.is_empty(),
            _ => !candidate.is_empty() && policy != Some(ConsolidationPolicy::WhenEmpty),
        };
        fits.then_some(candidate)
    }

    pub(super) fn as_candidate(&self, index: u32, pods: Vec<u32>, reschedule_cost: f64) -> Candidate {
        let node = &self.nodes[index as usize];
        let kind = node.capacity_type();
        Candidate {
            node: index,
            pool: node.pool,
            offered: node.offered as usize,
            kind,
            price: self.provisioner.offers.types[node.offered as usize].price(kind).unwrap_or(0.0),
            reschedule_cost,
            pods,
        }
    }

    /// Of pods, by their Deployments; they have no deletion cost of their own.
    fn cost_to_move(&self, pods: impl Iterator<Item = u32>) -> f64 {
        let priority = |deployment: u32| self.scenario.deployments[deployment as usize].priority;
        reschedule_cost(pods.map(|deployment| eviction_cost(0.0, priority(deployment))))
    }

    /// By pool: nodes that may still be disrupted for the reason.
    pub(super) fn allowed_disruptions(&self, reason: Reason) -> Vec<u32> {
        let mut counted = vec![Counted::default(); self.scenario.node_pools.len()];
        for node in self.nodes.iter().filter(|node| self.has_initialized_claim(node)) {
            if node.leaving.is_none_or(|leaving| !leaving.terminates) {
                let of_pool = &mut counted[node.pool as usize];
                of_pool.nodes += 1;
                of_pool.disrupting += u32::from(node.disrupted);
            }
        }
        let standard = [Budget::standard()];
        let of_pool = |(pool, counted): (&NodePoolSpec, &Counted)| {
            let budgets = pool.disruption.as_ref().map_or(&standard[..], |spec| &spec.budgets);
            allowed(budgets, *counted, reason, self.now)
        };
        self.scenario.node_pools.iter().zip(&counted).map(of_pool).collect()
    }

    /// By pool with the policy Balanced: what its nodes cost, in money and to move.
    pub(super) fn pool_totals(&self) -> Vec<Option<PoolTotals>> {
        let of_pool = |(index, pool): (usize, &NodePoolSpec)| {
            pool.disruption.as_ref().filter(|spec| spec.policy == ConsolidationPolicy::Balanced)?;
            let mut totals = PoolTotals::default();
            let own = |node: &&Node| node.pool == index as u32 && node.lives();
            for node in self.nodes.iter().filter(own) {
                // Karpenter takes what is reserved for free.
                if node.capacity_type() != CapacityType::Reserved {
                    totals.cost += node.price_micro_usd as f64 / 1e6;
                }
                let pods = node.pods.iter().map(|pod| &self.pods[*pod as usize]);
                let active = pods.filter(|pod| pod.is_active()).map(|pod| pod.deployment);
                totals.reschedule_cost += self.cost_to_move(active);
            }
            Some(totals)
        };
        self.scenario.node_pools.iter().enumerate().map(of_pool).collect()
    }

    /// The cluster for simulations; those of consolidation leave out nodes that still settle.
    pub(super) fn view(&mut self, consolidates: bool) -> View {
        self.refresh_offers();
        let Tried { indices, nodes: rooms, elsewhere, .. } = self.existing_nodes(None);
        let company = self.has_company();
        let stays = |index: u32| !(consolidates && self.is_settling(&self.nodes[index as usize]));
        let limits = self.limits_left();
        let mut situation = Situation { limits, elsewhere, ..Situation::default() };
        let mut nodes = Vec::with_capacity(indices.len());
        for (index, room) in indices.into_iter().zip(rooms) {
            if !stays(index) {
                situation.elsewhere.extend(company.then_some(room));
                continue;
            }
            let node = &self.nodes[index as usize];
            situation.initialized.push(node.is_static() || self.has_initialized_claim(node));
            situation.nodes.push(room);
            nodes.push(index);
        }
        let waits = |pod: &&Pod| pod.provisionable && pod.stage == PodStage::Pending;
        situation.pending = self.pods.iter().filter(waits).map(|pod| pod.deployment).collect();
        let moving = self.pods_to_move();
        situation.leaving = moving.iter().map(|pod| self.pods[*pod as usize].deployment).collect();
        let places = nodes.iter().enumerate().map(|(place, node)| (*node, place)).collect();
        View { nodes, places, situation }
    }
}
