//! Pods: created by the ReplicaSet controller, scheduled, bound, and started by kubelet.

use super::*;
use crate::actors::kube_scheduler::score;

/// Rate of an image pull, compressed bytes a second, before `image_rate_factor`. A stream brings 60 MB/s with
/// stock containerd (15 to 20 GB images take 240 to 360 s, AWS's article on SOCI indexes), and unpacking
/// onto a gp3 volume of 125 MiB/s leaves about 50. Grade: estimated.
const PULL_BYTES_PER_S: f64 = 50e6;

impl Run<'_> {
    pub(super) fn create_pods(&mut self) {
        let scenario = self.scenario;
        for (index, deployment) in scenario.deployments.iter().enumerate() {
            let first = self.draw(Latency::FirstPod, Component::Controller, index as u32, 0);
            let mut wanted = 0;
            for (at, replicas) in &deployment.schedule {
                for _ in wanted..*replicas {
                    let sent = self.controller_client.reserve(*at + first);
                    let pod = self.pods.len() as u32;
                    self.pods.push(Pod {
                        deployment: index as u32,
                        node: None,
                        address: None,
                        attempts: 0,
                        sandbox_tries: 0,
                    });
                    self.at(sent, Event::PodCreated(pod));
                }
                wanted = wanted.max(*replicas);
            }
        }
    }

    pub(super) fn pod_created(&mut self, pod: u32) {
        self.active.push_back(pod);
        self.wake_scheduler();
    }

    fn wake_scheduler(&mut self) {
        if !self.scheduler_busy && !self.active.is_empty() {
            self.scheduler_busy = true;
            self.at(self.now, Event::Schedule);
        }
    }

    /// One attempt: bind through the client's limit, or mark unschedulable by a request of the same client
    /// that holds the loop.
    pub(super) fn schedule(&mut self) {
        self.scheduler_busy = false;
        let Some(pod) = self.active.pop_front() else { return };
        let requests = self.requests(pod);
        self.pods[pod as usize].attempts += 1;
        match self.choose_node(pod, requests) {
            Some(node) => {
                self.nodes[node as usize].requested += requests;
                self.pods[pod as usize].node = Some(node);
                let sent = self.scheduler_client.reserve(self.now);
                let takes = self.draw(Latency::BindRequest, Component::Controller, pod, 1);
                self.at(sent + takes, Event::Bound(pod));
                self.wake_scheduler();
            }
            None => {
                let sent = self.scheduler_client.reserve(self.now);
                self.unschedulable.push(pod);
                self.trigger_batch(sent);
                self.scheduler_busy = true;
                self.at(sent, Event::Schedule);
            }
        }
    }

    pub(super) fn requests(&self, pod: u32) -> Resources {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].requests
    }

    /// LeastAllocated and BalancedAllocation over cpu and memory, in the plugins' whole-number arithmetic;
    /// equal scores by chance.
    fn choose_node(&self, pod: u32, requests: Resources) -> Option<u32> {
        let mut best: Option<(i64, u64, u32)> = None;
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.usable) {
            let after = node.requested + requests;
            if !after.fits(&node.allocatable) {
                continue;
            }
            let tie = self.chance.bits(Component::SchedulerTie, pod, index as u32);
            let candidate = (score::resources(after, node.allocatable), tie, index as u32);
            if best.is_none_or(|best| (candidate.0, candidate.1) > (best.0, best.1)) {
                best = Some(candidate);
            }
        }
        best.map(|(.., node)| node)
    }

    /// A node became usable: every pod that failed is tried again.
    pub(super) fn wake_unschedulable(&mut self) {
        self.active.extend(std::mem::take(&mut self.unschedulable));
        self.wake_scheduler();
    }

    pub(super) fn bound(&mut self, pod: u32) {
        let sync = self.draw(Latency::KubeletSync, Component::Kubelet, pod, 0);
        self.at(self.now + sync, Event::Sandbox(pod));
    }

    pub(super) fn sandbox(&mut self, pod: u32) {
        let tries = self.pods[pod as usize].sandbox_tries;
        let node = self.pods[pod as usize].node.expect("a sandbox is made on the pod's node");
        if self.scenario.cni.mode == crate::scenario::CniMode::Vpc {
            let now = self.now;
            let given = self.nodes[node as usize].ipamd.as_mut().and_then(|ipamd| ipamd.add_pod(now));
            if given.is_none() {
                self.sandbox_failures += 1;
                self.pods[pod as usize].sandbox_tries += 1;
                let wait = self.draw(Latency::SandboxRetry, Component::Sandbox, pod, 2 * tries + 1);
                self.at(self.now + wait, Event::Sandbox(pod));
                return;
            }
            self.pods[pod as usize].address = given;
        }
        let setup = self.draw(Latency::SandboxSetup, Component::Sandbox, pod, 2 * tries);
        self.at(self.now + setup, Event::ImageManifest(pod));
    }

    pub(super) fn image_manifest(&mut self, pod: u32) {
        let bytes = self.scenario.deployments[self.pods[pod as usize].deployment as usize].image_bytes;
        let node = self.pods[pod as usize].node.expect("images are pulled on the pod's node") as usize;
        // kubelet pulls one image after the other, and one that is there not again.
        let first = self.nodes[node].image_free_at == SimTime::ZERO;
        if bytes > 0 && first {
            let manifest = self.draw(Latency::ImageManifest, Component::ImagePull, pod, 0);
            let law = &self.scenario.latencies.get(Latency::ImageRateFactor).law;
            let factor = law.quantile(self.chance.uniform(Component::ImagePull, pod, 1));
            let stream = SimDuration::from_secs_f64(bytes as f64 / (PULL_BYTES_PER_S * factor));
            self.nodes[node].image_free_at = self.now + manifest + stream;
        }
        let stored = self.now.max(self.nodes[node].image_free_at);
        self.at(stored, Event::ImageStored(pod));
    }

    pub(super) fn image_stored(&mut self, pod: u32) {
        let starts = self.draw(Latency::ContainerStart, Component::Start, pod, 0);
        self.at(self.now + starts, Event::Started(pod));
    }

    pub(super) fn started(&mut self, pod: u32) {
        let deployment = &self.scenario.deployments[self.pods[pod as usize].deployment as usize];
        let update = self.draw(Latency::StatusUpdate, Component::Start, pod, 1);
        let mut ready = self.now;
        if let Some(probe) = deployment.readiness {
            // The first probe that finds the application up, and as many more as must pass in a row.
            let up = SimDuration::from_secs_f64(deployment.startup.quantile(self.chance.uniform(
                Component::Readiness,
                pod,
                0,
            )));
            let late = up.saturating_sub(probe.initial_delay);
            let missed = late.nanos().div_ceil(probe.period.nanos().max(1));
            ready += probe.initial_delay + probe.period * (missed + u64::from(probe.success_threshold) - 1);
        }
        self.at(ready + update, Event::Ready);
    }

    pub(super) fn pod_ready(&mut self) {
        self.ready.push(self.now);
    }
}
