//! A node without some of its pods before one that wants their place: every filter of kube-scheduler.

use super::super::placing::Placing;
use super::*;
use crate::actors::kube_scheduler::filter::lacking;
use crate::actors::kube_scheduler::preemption::Site;

pub(super) struct DryRun<'a> {
    run: &'a Run<'a>,
    placing: &'a Placing,
    node: u32,
    /// Whose pod wants to come.
    deployment: u32,
    /// By the pods that are left.
    requested: Resources,
    promised: Resources,
    /// A host port is taken for good.
    port_is_gone: bool,
    /// Pods that are left and have a port that it wants.
    rivals: usize,
    /// Volumes that the node still takes; `None`: it has no limit.
    volumes_left: Option<i64>,
    /// Pods by set, below 0 for those that are taken away.
    more: Vec<i64>,
}

impl<'a> DryRun<'a> {
    /// `None`: nobody has constraints, hence no priority.
    pub fn new(run: &'a Run<'a>, node: u32, pod: u32) -> Option<DryRun<'a>> {
        let (at, deployment) = (&run.nodes[node as usize], run.pods[pod as usize].deployment);
        Some(DryRun {
            run,
            placing: &run.constraints.as_ref()?.placings[deployment as usize],
            node,
            deployment,
            requested: at.requested,
            promised: run.promised_to(node, run.priority(pod)),
            port_is_gone: run.port_is_a_daemons(node, deployment) || run.port_is_promised(node, deployment),
            rivals: at.pods.iter().filter(|other| run.are_rivals(deployment, **other)).count(),
            volumes_left: run.volumes_left_to(node, deployment),
            more: Vec::new(),
        })
    }
    fn is_rival(&self, victim: &Victim) -> usize {
        usize::from(self.run.are_rivals(self.deployment, victim.pod))
    }
    fn volumes(&self, victim: &Victim) -> i64 {
        self.run.volumes_of(victim.kind).into()
    }
    fn has_volume_slots(&self) -> bool {
        let need = i64::from(self.run.volumes_of(self.deployment));
        need == 0 || self.volumes_left.is_none_or(|left| need <= left)
    }
}

impl Site for DryRun<'_> {
    fn remove(&mut self, victim: &Victim) {
        self.requested = self.requested - self.run.requests(victim.pod);
        self.rivals -= self.is_rival(victim);
        self.volumes_left = self.volumes_left.map(|left| left + self.volumes(victim));
        self.placing.shift(&mut self.more, victim.kind, -1);
    }
    fn put_back(&mut self, victim: &Victim) {
        self.requested += self.run.requests(victim.pod);
        self.rivals += self.is_rival(victim);
        self.volumes_left = self.volumes_left.map(|left| left - self.volumes(victim));
        self.placing.shift(&mut self.more, victim.kind, 1);
    }
    fn admits(&self) -> bool {
        let need = self.run.scenario.deployments[self.deployment as usize].requests;
        let all = self.run.nodes[self.node as usize].allocatable;
        let lacks = lacking(need, self.requested + self.promised, all, Version::V1_34);
        let has_room = !lacks.any() && self.has_volume_slots();
        has_room && !self.port_is_gone && self.rivals == 0 && self.placing.admits_with(self.node, &self.more)
    }
}
