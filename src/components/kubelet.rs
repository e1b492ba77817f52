//! A bound pod on its node: sandbox and address, image, start, readiness.

use super::state::{NONE, NodeStage, PodStage};
use super::*;
use crate::actors::probe::Probe;
use crate::scenario::CniMode;
use crate::world::cause::AddressLack;

/// kubelet comes back to a pod whose node has no network yet after so long, and up to half as much again.
pub(super) const NETWORK_RETRY: SimDuration = SimDuration::from_secs(1);

impl Run<'_> {
    /// Is the pod still there, at this stage?
    fn is_at(&self, pod: u32, stage: PodStage) -> bool {
        self.pods[pod as usize].stage == stage
    }

    pub(super) fn pod_bound(&mut self, pod: u32) {
        if !self.is_at(pod, PodStage::Assumed) {
            if self.pods[pod as usize].preempted {
                // Of a victim that was not bound yet the scheduler's cache hears only as its binding fails.
                self.pod_deleted_event();
            }
            return;
        }
        let state = &mut self.pods[pod as usize];
        state.stage = PodStage::Bound;
        state.provisionable = false;
        let (node, deployment) = (state.node, state.deployment);
        self.job_pod_changed(deployment);
        self.pod_bound_constrained(pod);
        let sync = self.draw(Latency::KubeletSync, Component::Kubelet, pod, 0);
        self.waits_for(pod, Some(Cause::Sandbox));
        self.note_pod_event(node);
        self.hear_of_node(node);
        let sent = self.kubelet_sees_to(node);
        self.at(sent + sync, Event::SandboxDue(pod));
        self.want_branch(pod);
        self.attach_volumes(pod);
    }

    /// kubelet makes the sandbox; without an address it fails and is tried again 10 to 15 s later.
    pub(super) fn sandbox_due(&mut self, pod: u32) {
        if !self.is_at(pod, PodStage::Bound) {
            return;
        }
        let state = &mut self.pods[pod as usize];
        state.synced_at = state.synced_at.min(self.now);
        let (tries, node) = (state.sandbox_tries, state.node);
        self.hear_of_node(node);
        if self.nodes[node as usize].stage < NodeStage::CniReady {
            return self.await_network(pod);
        }
        if let Some(wait) = self.awaits_volumes(pod) {
            self.waits_for(pod, Some(Cause::VolumeAttach));
            self.at(self.now + wait, Event::SandboxDue(pod));
            return;
        }
        if self.scenario.cni.mode == CniMode::Vpc {
            self.asked_for_address += u64::from(tries == 0);
            let own = self.requests(pod).pod_enis() > 0;
            let address = if own { None } else { self.assign_address(node) };
            if address.is_none() && !(own && self.finds_branch(pod, node)) {
                self.pods[pod as usize].sandbox_tries += 1;
                let wait = self.draw(Latency::SandboxRetry, Component::Sandbox, pod, 2 * tries + 1);
                self.at(self.now + wait, Event::SandboxDue(pod));
                if tries == 0 {
                    self.pods[pod as usize].lacks_since = self.now;
                }
                match (own, tries) {
                    (true, _) => self.refresh_branchless(pod),
                    (false, 0) => self.lacks_address(pod, node),
                    (false, _) => self.refresh_addressless(node),
                }
                let lack = AddressLack::of(self.pods[pod as usize].cause);
                self.sandbox_failures[lack as usize] += 1;
                return;
            }
            if tries > 0 {
                if !own {
                    super::scheduler::forget(&mut self.nodes[node as usize].without_address, pod);
                }
                let since = std::mem::replace(&mut self.pods[pod as usize].lacks_since, SimTime::NEVER);
                self.address_waits_ms.push(self.now.since(since).millis());
            }
            self.pods[pod as usize].address = address;
            self.refresh_addressless(node);
        }
        self.waits_for(pod, Some(Cause::Sandbox));
        let setup = self.draw(Latency::SandboxSetup, Component::Sandbox, pod, 2 * tries);
        self.at(self.now + setup, Event::SandboxReady(pod));
    }

    /// A pod that tolerates what is not ready is bound before the network is: kubelet looks again soon.
    fn await_network(&mut self, pod: u32) {
        self.waits_for(pod, Some(Cause::CniStart));
        let late = self.chance.uniform(Component::Kubelet, pod, self.now.millis() as u32) / 2.0;
        self.at(self.now + NETWORK_RETRY.mul_f64(1.0 + late), Event::SandboxDue(pod));
    }

    pub(super) fn sandbox_ready(&mut self, pod: u32) {
        if !self.is_at(pod, PodStage::Bound) {
            return;
        }
        if self.images.is_some() {
            return self.want_image(pod);
        }
        let state = &self.pods[pod as usize];
        let (deployment, node) = (state.deployment, state.node);
        let bytes = self.scenario.deployments[deployment as usize].image_bytes;
        let known = self.nodes[node as usize].images.len();
        let stored = self.image_stored(node, deployment, bytes, Component::ImagePull, pod, 0);
        if self.nodes[node as usize].images.len() > known {
            self.image_comes(node, self.prepared.images.own(deployment, 0), stored);
        }
        self.waits_for(pod, Some(if stored > self.now { Cause::ImagePull } else { Cause::Start }));
        self.at(stored, Event::ImagePulled(pod));
    }

    /// When an image is on the node: kubelet pulls one after the other, and one that is there not again. The chance of
    /// the pull is `entity`'s, from `draw` on.
    pub(super) fn image_stored(
        &mut self,
        node: u32,
        image: u32,
        bytes: u64,
        component: Component,
        entity: u32,
        draw: u32,
    ) -> SimTime {
        let known = self.nodes[node as usize].images.iter().find(|(other, _)| *other == image);
        if let Some((_, at)) = known {
            return self.now.max(*at);
        }
        if bytes == 0 {
            return self.now;
        }
        let manifest = self.draw(Latency::ImageManifest, component, entity, draw);
        let factor = self.factor(Latency::ImageRateFactor, component, entity, draw + 1);
        let stream = SimDuration::from_secs_f64(bytes as f64 / (self.prepared.image_rate * factor));
        let at = &mut self.nodes[node as usize];
        at.pulls_until = self.now.max(at.pulls_until) + manifest + stream;
        at.images.push((image, at.pulls_until));
        at.pulls_until
    }

    pub(super) fn image_pulled(&mut self, pod: u32) {
        if !self.is_at(pod, PodStage::Bound) {
            return;
        }
        let before = self.is_before_own(pod);
        self.waits_for(pod, Some(if before { Cause::InitContainers } else { Cause::Start }));
        let starts = if before {
            self.init_container_start(pod)
        } else {
            self.draw(Latency::ContainerStart, Component::Start, pod, 0)
        };
        self.at(self.now + starts, Event::ContainerStarted(pod));
    }

    pub(super) fn container_started(&mut self, pod: u32) {
        if !self.is_at(pod, PodStage::Bound) {
            return;
        }
        if self.is_before_own(pod) {
            return self.init_container_started(pod);
        }
        self.pods[pod as usize].stage = PodStage::Running;
        self.hear_of_node(self.pods[pod as usize].node);
        self.books.running_pods += 1;
        self.note_standing(self.pods[pod as usize].deployment, PodStage::Bound, PodStage::Running);
        self.mark_time(true);
        self.run_container(pod);
    }

    /// The pod's container runs, for the first time or again.
    pub(super) fn run_container(&mut self, pod: u32) {
        self.pods[pod as usize].starts += 1;
        let probed = self.is_probed(pod);
        if probed {
            self.waits_for(pod, Some(Cause::Readiness));
        }
        let works = self.takes_cpu(pod);
        let up = if probed { self.startup(pod) } else { SimDuration::ZERO };
        self.watch_start_up(pod, (!works).then_some(up));
        if !(works && probed) {
            self.appoint_ready(pod, self.now, up);
        }
        self.takes_memory(pod, works);
        if self.jobs.is_some() {
            self.begin_work(pod);
        }
    }

    /// Does a probe tell that the pod's application is up?
    pub(super) fn is_probed(&self, pod: u32) -> bool {
        self.readiness(pod).is_some() || self.startup_probe(pod).is_some()
    }
    pub(super) fn readiness(&self, pod: u32) -> Option<Probe> {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].readiness
    }

    /// How long the pod's application takes to start, with all the CPU it wants.
    pub(super) fn startup(&self, pod: u32) -> SimDuration {
        let deployment = &self.scenario.deployments[self.pods[pod as usize].deployment as usize];
        let uniform = self.chance.uniform(Component::Readiness, pod, self.pods[pod as usize].starts - 1);
        SimDuration::from_secs_f64(deployment.startup.quantile(uniform))
    }

    /// The pod's container started at `began`, its application was up so long after.
    pub(super) fn appoint_ready(&mut self, pod: u32, began: SimTime, up: SimDuration) {
        let start = self.pods[pod as usize].starts;
        // The first start's draws are 0 to 3.
        let update =
            self.draw(Latency::StatusUpdate, Component::Start, pod, if start == 1 { 1 } else { 2 + start });
        let mut ready = began;
        if self.images.is_some() {
            ready = self.found_ready(pod, began, up);
        } else if let Some(probe) = self.readiness(pod) {
            // The first probe that finds the application up, and as many more as must pass in a row.
            let late = up.saturating_sub(probe.initial_delay);
            let missed = late.nanos().div_ceil(probe.period.nanos().max(1));
            ready += probe.initial_delay + probe.period * (missed + u64::from(probe.success_threshold) - 1);
        }
        let sent = ready.max(self.now) + update;
        self.send_request(
            Flow::Node(self.pods[pod as usize].node),
            RequestKind::Patch,
            sent,
            SimDuration::ZERO,
            Event::PodReady { pod, start },
        );
    }

    /// The pod is Ready, unless the container that was has died since.
    pub(super) fn pod_ready(&mut self, pod: u32, start: u32) {
        if self.is_at(pod, PodStage::Running) && self.runs_still(pod, start) {
            if let Some(sent) = self.kubelet_tells_later(pod, start) {
                self.at(sent, Event::PodReady { pod, start });
                return;
            }
            self.pods[pod as usize].stage = PodStage::Ready;
            self.hear_of_node(self.pods[pod as usize].node);
            self.pods[pod as usize].ready_at = self.now;
            self.waits_for(pod, None);
            let since = std::mem::replace(&mut self.pods[pod as usize].replaces_since, SimTime::NEVER);
            if since < SimTime::NEVER {
                self.replacements_ms.push(self.now.since(since).millis());
            }
            self.books.ready_pods += 1;
            self.note_standing(self.pods[pod as usize].deployment, PodStage::Running, PodStage::Ready);
            if self.jobs.is_some() {
                self.job_pod_ready(self.pods[pod as usize].deployment);
            }
            self.mark_time(false);
            if self.rollouts.is_some() {
                self.await_availability(pod);
            }
            let node = self.pods[pod as usize].node;
            self.trace(|| TraceLine::new("pod_is_ready").pod(pod).node(if node == NONE { 0 } else { node }));
        }
    }
}
