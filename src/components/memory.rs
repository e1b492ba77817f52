//! Memory of nodes: what running pods use of it over time, and who dies of it. Kept only where a Deployment says its
//! `memory_usage`; pods of others use what they request.
//!
//! Pods have their node's allocatable memory and 100 MiB more in common, the limit that kubelet gives the group of all pods,
//! less what DaemonSets request. A container that wants more than its own limit is killed at once, and so is the kernel's
//! choice where all together want more than theirs; kubelet starts them again (`restarts`). Before that kubelet evicts
//! (`pressure`), if it looks in time.

use super::memory_use::{Memory, NodeMemory, Ramp, Tenant};
use super::*;
use crate::actors::memory_pressure::{EVICTION_HARD, MemoryUser, first_to_kill, oom_score_adj};
use crate::scenario::MemoryUsageSpec;
use crate::units::MIB;

impl Run<'_> {
    pub(super) fn memory_usage(&self, pod: u32) -> Option<&MemoryUsageSpec> {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].memory_usage.as_ref()
    }
    fn memory(&mut self) -> &mut Memory {
        self.memory.as_mut().expect("nodes' memory is kept")
    }
    pub(super) fn memory_of(&mut self, node: u32) -> &mut NodeMemory {
        let memory = self.memory();
        if memory.nodes.len() <= node as usize {
            memory.nodes.resize_with(node as usize + 1, NodeMemory::default);
        }
        &mut memory.nodes[node as usize]
    }
    /// What pods of Deployments may use before kubelet evicts (bytes).
    pub(super) fn memory_for_pods(&self, node: u32) -> i64 {
        self.nodes[node as usize].allocatable.memory_bytes - self.daemon_requests(node).memory_bytes
    }

    /// The pod's container runs. Where its start-up is work, [`Run::memory_of_start_ends`] tells its end.
    pub(super) fn takes_memory(&mut self, pod: u32, works: bool) {
        if self.memory.is_none() {
            return;
        }
        let takes = self.startup(pod);
        let (node, now, request) = (self.pods[pod as usize].node, self.now, self.requests(pod).memory_bytes);
        let starts = self.pods[pod as usize].starts;
        let factor = self
            .memory_usage(pod)
            .map_or(1.0, |usage| usage.spread.quantile(self.chance.uniform(Component::Memory, pod, starts)));
        let usage = self.memory_usage(pod);
        let peak = usage.map_or(request, |usage| usage.startup) as f64 * factor;
        let tenant = Tenant {
            pod,
            request,
            priority: self.scenario.deployments[self.pods[pod as usize].deployment as usize].priority,
            limit: usage.and_then(|usage| usage.limit),
            oom_score_adj: self.oom_score_adj_of(pod),
            factor,
            ramp: Ramp { begins: now, from: 0.0, ends: now + takes, to: peak },
            up_at: (usage.is_some() && !works).then_some(now + takes),
        };
        self.memory_of(node).tenants.push(tenant);
        self.memory_changed(node);
    }

    fn oom_score_adj_of(&self, pod: u32) -> i64 {
        let deployment = &self.scenario.deployments[self.pods[pod as usize].deployment as usize];
        let requests = deployment.requests;
        let cpu_limit = deployment.usage.as_ref().and_then(|usage| usage.limit);
        let limit = deployment.memory_usage.as_ref().and_then(|usage| usage.limit);
        let guaranteed = cpu_limit == Some(requests.cpu_millis) && limit == Some(requests.memory_bytes);
        let limited = cpu_limit.is_some() || limit.is_some();
        let best_effort = requests.cpu_millis == 0 && requests.memory_bytes == 0 && !limited;
        let kind = self.nodes[self.pods[pod as usize].node as usize].instance_type;
        let capacity = self.scenario.catalogue.get(kind).memory_mib.unwrap_or(0) as i64 * MIB;
        oom_score_adj(requests.memory_bytes, capacity, guaranteed, best_effort)
    }

    /// The pod's container is gone.
    pub(super) fn frees_memory(&mut self, node: u32, pod: u32) {
        if self.memory.is_some() {
            self.memory_of(node).tenants.retain(|tenant| tenant.pod != pod);
            self.memory_changed(node);
        }
    }

    /// The pod's application is up: what starting took is free again.
    pub(super) fn memory_of_start_ends(&mut self, node: u32, pod: u32) {
        if self.memory.is_none() || self.memory_usage(pod).is_none() {
            return;
        }
        self.application_has_memory(node, pod);
        self.memory_changed(node);
    }
    fn application_has_memory(&mut self, node: u32, pod: u32) {
        let now = self.now;
        let usage = self.memory_usage(pod).expect("it says what it uses");
        let (idle, steady, ends) = (usage.idle as f64, usage.steady as f64, now + usage.grows_over);
        let tenants = &mut self.memory_of(node).tenants;
        // What another's start took may just have killed it.
        let Some(tenant) = tenants.iter_mut().find(|tenant| tenant.pod == pod) else { return };
        let factor = tenant.factor;
        tenant.ramp = Ramp { begins: now, from: idle * factor, ends, to: steady * factor };
        tenant.up_at = None;
    }

    pub(super) fn memory_due(&mut self, node: u32) {
        let now = self.now;
        let at = self.memory_of(node);
        at.due = None;
        let up = |tenant: &&Tenant| tenant.up_at.is_some_and(|at| at <= now);
        let up: Vec<u32> = at.tenants.iter().filter(up).map(|tenant| tenant.pod).collect();
        up.into_iter().for_each(|pod| self.application_has_memory(node, pod));
        self.memory_changed(node);
    }

    /// The node's memory is used otherwise from now on: kills who must go, and appoints what comes next.
    pub(super) fn memory_changed(&mut self, node: u32) {
        while let Some(pod) = self.next_victim(node) {
            self.memory().counts.oom_kills += 1;
            self.trace(|| TraceLine::new("oom_killed").pod(pod).node(node));
            self.memory_of(node).tenants.retain(|tenant| tenant.pod != pod);
            self.container_died(pod);
        }
        let (now, pods) = (self.now, self.memory_for_pods(node) as f64);
        let at = self.memory_of(node);
        let presses = at.line(now).exceeds(pods);
        let bounds = [pods, pods + EVICTION_HARD as f64];
        let next = at.next(if at.watched || presses { &bounds[1..] } else { &bounds }, now);
        let before = at.due.map(|(instant, _)| instant);
        if presses && !at.watched {
            self.watch_memory(node);
        }
        if next == before {
            return;
        }
        if let Some((_, old)) = self.memory_of(node).due.take() {
            self.agenda.cancel(old);
        }
        let due = next.map(|instant| (instant, self.at(instant, Event::MemoryDue(node))));
        self.memory_of(node).due = due;
    }

    /// Who wants more than its limit, or else the kernel's choice where all together want more than theirs.
    fn next_victim(&mut self, node: u32) -> Option<u32> {
        let (now, limit) = (self.now, self.memory_for_pods(node) + EVICTION_HARD);
        let at = self.memory_of(node);
        let over = at.tenants.iter().find(|tenant| tenant.exceeds_limit(now));
        if over.is_some() || !at.line(now).exceeds(limit as f64) {
            return over.map(|tenant| tenant.pod);
        }
        let users: Vec<MemoryUser> = at.tenants.iter().map(|tenant| tenant.user(now)).collect();
        first_to_kill(&users, limit).map(|place| at.tenants[place].pod)
    }

    /// Does no node's memory hold more than there is, and are its pods still there?
    ///
    /// # Panics
    /// If not, with the numbers.
    pub(super) fn check_memory(&self) {
        let nodes = self.memory.iter().flat_map(|memory| memory.nodes.iter());
        for (node, at) in nodes.enumerate().filter(|(_, at)| !at.tenants.is_empty()) {
            let limit = self.memory_for_pods(node as u32) + EVICTION_HARD;
            // Between two events it may have grown up to the limit, where the next one is.
            let used = at.line(self.now).level;
            assert!(used <= limit as f64 + 16.0, "{used} of {limit} bytes on node {node} at {}", self.now);
            for tenant in &at.tenants {
                let there = self.nodes[node].pods.contains(&tenant.pod);
                assert!(there, "pod {} left node {node} before {}", tenant.pod, self.now);
            }
        }
    }
}
