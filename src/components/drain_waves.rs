//! Whom a drain waits for: pods in waves, DaemonSets' after others and those of the system's priority classes last; pods that
//! nobody may disrupt; and the end of it all where the claim has a `terminationGracePeriod`.
//!
//! Left out: a pod that was being deleted before the claim was keeps the grace it had then.
//! Source: karpenter core v1.14.0, `pkg/controllers/node/termination/terminator`, `pkg/utils/pod/scheduling.go`.

use super::state::PodStage;
use super::*;
use crate::scenario::{CRITICAL_PRIORITIES, DaemonSetSpec, DoNotDisrupt};

/// The least grace of a pod that is deleted for its node's sake.
const LEAST_GRACE: SimDuration = SimDuration::from_secs(1);

/// Pods that go together: a DaemonSet's or others, of a system class or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wave {
    pub critical: bool,
    pub daemons: bool,
}

impl Wave {
    /// In their order.
    const ALL: [Wave; 4] = [
        Wave { critical: false, daemons: false },
        Wave { critical: false, daemons: true },
        Wave { critical: true, daemons: false },
        Wave { critical: true, daemons: true },
    ];
}

/// By node on its way out: when the pods of its DaemonSets are gone, those of the system's classes second.
#[derive(Clone, Debug, Default)]
pub(super) struct DaemonDrains(BTreeMap<u32, [Option<SimTime>; 2]>);

impl Run<'_> {
    /// The first wave of which a pod is still there; `None`: the node is drained.
    pub(super) fn wave_to_go(&self, node: u32) -> Option<Wave> {
        let over = self.claim_ends(node).is_some_and(|ends| ends < self.now);
        let pods = &self.nodes[node as usize].pods;
        let there = |wave: &Wave| match wave.daemons {
            true => !over && self.daemons_there(node, wave.critical),
            false => pods.iter().any(|pod| self.is_critical(*pod) == wave.critical),
        };
        Wave::ALL.into_iter().find(there)
    }
    pub(super) fn is_critical(&self, pod: u32) -> bool {
        CRITICAL_PRIORITIES.contains(&self.priority(pod))
    }

    /// DaemonSets with a pod on the node that the wave takes.
    fn daemons_of(&self, node: u32, critical: bool) -> impl Iterator<Item = &DaemonSetSpec> {
        // They come once the node is usable, as they do not tolerate all.
        let usable = self.nodes[node as usize].was_usable;
        let drained = move |daemon: &&DaemonSetSpec| {
            usable && daemon.is_drained() && CRITICAL_PRIORITIES.contains(&daemon.priority) == critical
        };
        self.scenario.daemonsets.iter().filter(drained).filter(move |daemon| self.daemon_comes(node, daemon))
    }
    fn daemons_there(&self, node: u32, critical: bool) -> bool {
        let gone = self.daemon_drains.0.get(&node).and_then(|gone| gone[usize::from(critical)]);
        gone.is_none_or(|gone| self.now < gone) && self.daemons_of(node, critical).next().is_some()
    }
    /// Evicts the wave's pods of DaemonSets, unless that was done before.
    pub(super) fn evict_daemons(&mut self, node: u32, critical: bool) {
        let known = self.daemon_drains.0.get(&node).is_some_and(|gone| gone[usize::from(critical)].is_some());
        if known {
            return;
        }
        let graces: Vec<crate::chance::Distribution> =
            self.daemons_of(node, critical).map(|daemon| daemon.termination_grace.clone()).collect();
        let mut all_gone = self.now;
        for grace in graces {
            let sent = self.karpenter_client.reserve(self.now);
            let steps = [Latency::ControllerRequest, Latency::KubeletSync, Latency::StatusUpdate];
            let steps = steps.map(|latency| self.draw_of_daemon(node, latency));
            let at = &mut self.nodes[node as usize];
            at.draws += 1;
            let uniform = self.chance.uniform(Component::Daemon, node, at.draws);
            let grace = SimDuration::from_secs_f64(grace.quantile(uniform));
            let gone = steps.into_iter().fold(sent + grace, |gone, step| gone + step);
            all_gone = all_gone.max(gone);
        }
        self.daemon_drains.0.entry(node).or_default()[usize::from(critical)] = Some(all_gone);
        let count = self.daemons_of(node, critical).count();
        self.trace(|| TraceLine::new("daemons_evicted").node(node).count("pods", count));
    }

    /// Does Karpenter leave the pod alone? Until kubelet has seen to it its age is not known.
    pub(super) fn is_protected(&self, pod: u32) -> bool {
        let state = &self.pods[pod as usize];
        match self.scenario.deployments[state.deployment as usize].do_not_disrupt {
            None => false,
            Some(DoNotDisrupt::Always) => true,
            Some(DoNotDisrupt::For(span)) => {
                state.synced_at == SimTime::NEVER || self.now < state.synced_at + span
            }
        }
    }

    /// When the instance of a claim that is deleted is to be gone by.
    fn claim_ends(&self, node: u32) -> Option<SimTime> {
        let at = &self.nodes[node as usize];
        let pool = self.scenario.node_pools.get(at.pool as usize)?;
        Some(at.leaving?.since + pool.termination_grace_period?)
    }
    /// Deletes pods that would outlast the claim, whatever protects them, so that they have all of their grace.
    pub(super) fn delete_expiring(&mut self, node: u32) {
        let Some(ends) = self.claim_ends(node) else { return };
        let outlasts = |pod: &u32| {
            let state = &self.pods[*pod as usize];
            let spec = &self.scenario.deployments[state.deployment as usize];
            let grace = spec.termination_grace_period.unwrap_or_else(|| self.termination_grace(*pod));
            state.is_active() && state.stage >= PodStage::Bound && ends < self.now + grace
        };
        let pods: Vec<u32> = self.nodes[node as usize].pods.iter().copied().filter(outlasts).collect();
        for pod in pods {
            self.trace(|| TraceLine::new("pod_outlasts_claim").pod(pod).node(node));
            self.evict(pod);
        }
    }
    /// What a pod on the node may take to stop, at most; `None`: what it needs.
    pub(super) fn grace_left(&self, node: u32) -> Option<SimDuration> {
        let ends = self.claim_ends(node)?;
        Some(if ends <= self.now { LEAST_GRACE } else { ends.since(self.now).max(LEAST_GRACE) })
    }
}
