//! CPU of nodes: what running pods want of it over time, what they get, and start-ups that take as long as their share
//! makes them. Kept only where a Deployment says its usage.
//!
//! Pods that run share what their node's pods may request, less what its DaemonSets request; kubelet and the system use what is
//! reserved for them. A pod of a Deployment without usage wants what it requests.

use super::contention::{NodeCpu, StartUp, Tenant, Together};
use super::*;
use crate::actors::cpu_shares::{Claim, share, weight};
use crate::chance::Distribution;
use crate::results::CpuRecord;
use crate::scenario::UsageSpec;

/// Draws of spells that all pods of a Deployment have together begin here.
const TOGETHER: u32 = 1 << 31;

impl Run<'_> {
    fn usage(&self, deployment: u32) -> Option<&UsageSpec> {
        self.scenario.deployments[deployment as usize].usage.as_ref()
    }
    fn cpu(&mut self) -> &mut Contention {
        self.contention.as_mut().expect("nodes' CPU is kept")
    }
    fn tenant(&mut self, pod: u32) -> Option<&mut Tenant> {
        let node = self.pods[pod as usize].node as usize;
        self.cpu().nodes.get_mut(node)?.tenants.iter_mut().find(|tenant| tenant.pod == pod)
    }

    /// The pod's container runs and wants CPU. Is its start-up work, whose end [`Run::start_ups_end`] tells?
    pub(super) fn takes_cpu(&mut self, pod: u32) -> bool {
        if self.contention.is_none() {
            return false;
        }
        let (deployment, node) = (self.pods[pod as usize].deployment, self.pods[pod as usize].node);
        let request = self.requests(pod).cpu_millis;
        let usage = self.usage(deployment).copied();
        let startup = usage.and_then(|usage| usage.startup);
        let starting = startup.map(|_| StartUp { began: self.now, full: self.startup(pod), lost: 0.0 });
        let claim = Claim {
            weight: weight(request),
            demand: startup.unwrap_or(request),
            limit: usage.and_then(|usage| usage.limit),
        };
        let counts = usage.is_some();
        self.settle_cpu(node);
        let tenants = &mut self.cpu().nodes[node as usize].tenants;
        let turns_at = SimTime::NEVER;
        tenants.push(Tenant {
            pod,
            deployment,
            claim,
            gets: 0.0,
            starting,
            counts,
            spells: 0,
            busy: false,
            turns_at,
        });
        if counts && starting.is_none() {
            self.application_is_up(pod);
        }
        self.share_cpu(node);
        starting.is_some()
    }

    /// Is an application whose start-up is work up?
    pub(super) fn is_up(&mut self, pod: u32) -> bool {
        let works =
            self.usage(self.pods[pod as usize].deployment).is_some_and(|usage| usage.startup.is_some());
        works && self.tenant(pod).is_some_and(|tenant| tenant.starting.is_none())
    }

    /// The pod's container is gone.
    pub(super) fn frees_cpu(&mut self, node: u32, pod: u32) {
        if self.contention.as_ref().is_none_or(|cpu| cpu.nodes.len() <= node as usize) {
            return;
        }
        self.settle_cpu(node);
        self.cpu().nodes[node as usize].tenants.retain(|tenant| tenant.pod != pod);
        self.share_cpu(node);
    }

    /// Start-ups that have done their work.
    pub(super) fn start_ups_end(&mut self, node: u32) {
        let now = self.now;
        self.settle_cpu(node);
        let at = &mut self.cpu().nodes[node as usize];
        at.due = None;
        let done = |tenant: &mut Tenant| {
            let start = tenant.starting.filter(|start| start.is_done(now))?;
            tenant.starting = None;
            Some((tenant.pod, start))
        };
        let up: Vec<(u32, StartUp)> = at.tenants.iter_mut().filter_map(done).collect();
        for (pod, start) in &up {
            let pod = *pod;
            if self.is_probed(pod) {
                let took = start.full + SimDuration::from_secs_f64(start.lost);
                self.appoint_ready(pod, start.began, took);
            }
            self.application_is_up(pod);
        }
        self.share_cpu(node);
        up.into_iter().for_each(|(pod, _)| self.memory_of_start_ends(node, pod));
    }

    /// From now on the pod is idle or busy; the node's CPU is still to be shared.
    fn application_is_up(&mut self, pod: u32) {
        let deployment = self.pods[pod as usize].deployment;
        let usage = *self.usage(deployment).expect("it says what it uses");
        let mut turns_at = SimTime::NEVER;
        let busy = if !usage.turns() {
            usage.busy_share > 0.0
        } else if usage.busy_together {
            self.common_spell(deployment, &usage)
        } else {
            let first = self.first_spell(pod);
            let busy = self.chance.uniform(Component::Usage, pod, first - 1) < usage.busy_share;
            let lasts = self.spell(&usage, busy, pod, first);
            turns_at = self.now + lasts;
            self.at(turns_at, Event::PodTurns(pod));
            busy
        };
        let first = self.first_spell(pod);
        let tenant = self.tenant(pod).expect("it runs");
        (tenant.spells, tenant.turns_at) = (first, turns_at);
        tenant.turn(busy, &usage);
    }

    /// The number of the first spell of the pod's container, of which each has its own.
    fn first_spell(&self, pod: u32) -> u32 {
        (self.pods[pod as usize].starts - 1) << 16 | 1
    }

    /// Is the Deployment busy? Its first pod that is up begins the spells.
    fn common_spell(&mut self, deployment: u32, usage: &UsageSpec) -> bool {
        let state = self.cpu().together[deployment as usize];
        if state.spells > 0 {
            return state.busy;
        }
        let busy = self.chance.uniform(Component::Usage, deployment, TOGETHER) < usage.busy_share;
        let lasts = self.spell(usage, busy, deployment, TOGETHER + 1);
        self.at(self.now + lasts, Event::DeploymentTurns(deployment));
        self.cpu().together[deployment as usize] = Together { busy, spells: 1 };
        busy
    }

    fn spell(&self, usage: &UsageSpec, busy: bool, entity: u32, draw: u32) -> SimDuration {
        let law = Distribution::Exponential { mean: usage.lasts(busy).secs_f64() };
        SimDuration::from_secs_f64(law.quantile(self.chance.uniform(Component::Usage, entity, draw)))
    }

    /// A pod's busy spell ends, or begins.
    pub(super) fn pod_turns(&mut self, pod: u32) {
        let now = self.now;
        // One that was started again has other spells.
        let Some(tenant) = self.tenant(pod).filter(|tenant| tenant.turns_at == now) else { return };
        let (deployment, busy, spells) = (tenant.deployment, !tenant.busy, tenant.spells + 1);
        let usage = *self.usage(deployment).expect("it says what it uses");
        let node = self.pods[pod as usize].node;
        self.settle_cpu(node);
        let turns_at = now + self.spell(&usage, busy, pod, spells);
        let tenant = self.tenant(pod).expect("it runs");
        (tenant.spells, tenant.turns_at) = (spells, turns_at);
        tenant.turn(busy, &usage);
        self.share_cpu(node);
        self.at(turns_at, Event::PodTurns(pod));
    }

    /// The same of all pods of a Deployment.
    pub(super) fn deployment_turns(&mut self, deployment: u32) {
        let usage = *self.usage(deployment).expect("it says what it uses");
        let state = &mut self.cpu().together[deployment as usize];
        state.busy = !state.busy;
        state.spells += 1;
        let (busy, spells) = (state.busy, state.spells);
        let turns = |tenant: &Tenant| tenant.deployment == deployment && tenant.starting.is_none();
        for node in 0..self.cpu().nodes.len() as u32 {
            if !self.cpu().nodes[node as usize].tenants.iter().any(turns) {
                continue;
            }
            self.settle_cpu(node);
            for tenant in self.cpu().nodes[node as usize].tenants.iter_mut().filter(|tenant| turns(tenant)) {
                tenant.turn(busy, &usage);
            }
            self.share_cpu(node);
        }
        let lasts = self.spell(&usage, busy, deployment, TOGETHER + spells);
        self.at(self.now + lasts, Event::DeploymentTurns(deployment));
    }

    fn settle_cpu(&mut self, node: u32) {
        let now = self.now;
        let cpu = self.cpu();
        if cpu.nodes.len() <= node as usize {
            cpu.nodes.resize_with(node as usize + 1, NodeCpu::default);
        }
        cpu.settle(node, now);
    }

    /// CPU for the pods of Deployments (millicores).
    fn cpu_of(&self, node: u32) -> i64 {
        self.nodes[node as usize].allocatable.cpu_millis - self.daemon_requests(node).cpu_millis
    }

    /// Shares the node's CPU anew, and appoints the next start-up's end.
    fn share_cpu(&mut self, node: u32) {
        let (now, cpu) = (self.now, self.cpu_of(node));
        let at = &mut self.cpu().nodes[node as usize];
        let claims: Vec<Claim> = at.tenants.iter().map(|tenant| tenant.claim).collect();
        for (tenant, gets) in at.tenants.iter_mut().zip(share(cpu, &claims)) {
            tenant.gets = gets;
        }
        let due = |tenant: &Tenant| {
            let part = tenant.gets / tenant.claim.demand as f64;
            tenant.starting.filter(|_| part > 0.0).map(|start| start.due(now, part))
        };
        let next = at.tenants.iter().filter_map(due).min();
        if next == at.due.map(|(instant, _)| instant) {
            return;
        }
        if let Some((_, old)) = at.due.take() {
            self.agenda.cancel(old);
        }
        let due = next.map(|instant| (instant, self.at(instant, Event::StartUpsEnd(node))));
        self.cpu().nodes[node as usize].due = due;
    }

    /// What pods wanted and got until now; `None`: no Deployment says its usage.
    pub(super) fn cpu_record(&mut self) -> Option<CpuRecord> {
        // Of a run that is stuck nothing is known of what its pods would have wanted later.
        let until = (!self.stuck).then_some(self.now);
        self.contention.as_mut().map(|cpu| cpu.record(until))
    }

    /// Is no node's CPU given away twice, and are its pods still there?
    ///
    /// # Panics
    /// If not, with the numbers.
    pub(super) fn check_cpu(&self) {
        let nodes = self.contention.iter().flat_map(|cpu| cpu.nodes.iter());
        for (node, at) in nodes.enumerate() {
            let given: f64 = at.tenants.iter().map(|tenant| tenant.gets).sum();
            let cpu = self.cpu_of(node as u32);
            assert!(given <= cpu.max(0) as f64 + 1e-6, "{given} of {cpu} on node {node} at {}", self.now);
            for tenant in &at.tenants {
                let there = self.nodes[node].pods.contains(&tenant.pod);
                assert!(there, "pod {} left node {node} before {}", tenant.pod, self.now);
                assert!(tenant.gets <= tenant.claim.cap() as f64, "{tenant:?} at {}", self.now);
            }
        }
    }
}
