//! Containers before a pod's own, and probes as kubelet times them, where the scenario has `[kubelet]`.
//!
//! Init containers run one after the other, each with its image; the next begins when kubelet hears of the end of the one
//! before, with a relist. A sidecar runs on: the next begins once it has started, which its start-up probe tells if it has
//! one. Then the pod's own container starts; until its start-up probe has passed nobody asks whether it is ready, and one that
//! fails so often as it may kills the container. Left out: the CPU and memory of containers other than the pod's own, their
//! failures, restarts of sidecars, liveness probes. Source: Kubernetes 1.34.1 `pkg/kubelet/kuberuntime`
//! (computePodActions); the times of probes are [`crate::actors::probe`].

use super::restarts::RELIST;
use super::state::{Crashed, PodStage};
use super::*;
use crate::actors::probe::{Attempts, Kind, Probe};

/// Draws of a container: how long it takes to start, how long it runs, when it is seen, when its probes' workers wake.
const DRAWS: u32 = 8;

impl Run<'_> {
    fn draw_of_container(&self, pod: u32, what: u32) -> f64 {
        // A container that is started again draws anew.
        let again = self.pods[pod as usize].starts << 8;
        self.chance.uniform(Component::Container, pod, again + DRAWS * self.draws_of_container(pod) + what)
    }
    /// When a relist shows what has just happened to a container.
    fn next_relist(&self, pod: u32, what: u32) -> SimTime {
        self.now + RELIST.mul_f64(self.draw_of_container(pod, what))
    }

    /// Is the pod's next or last container one before its own?
    pub(super) fn is_before_own(&self, pod: u32) -> bool {
        let state = &self.pods[pod as usize];
        let deployment = &self.scenario.deployments[state.deployment as usize];
        usize::from(state.container) < deployment.init_containers.len()
    }
    /// How long such a container takes to be created and started.
    pub(super) fn init_container_start(&self, pod: u32) -> SimDuration {
        self.draw(Latency::ContainerStart, Component::Container, pod, DRAWS * self.draws_of_container(pod))
    }

    /// A container before the pod's own runs.
    pub(super) fn init_container_started(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        let (deployment, place) = (state.deployment as usize, usize::from(state.container));
        let container = &self.scenario.deployments[deployment].init_containers[place];
        let runs = SimDuration::from_secs_f64(container.runs.quantile(self.draw_of_container(pod, 1)));
        let seen = self.next_relist(pod, 2);
        let next = match (container.sidecar, &container.startup_probe) {
            (true, None) => seen,
            (true, Some(probe)) => {
                let attempts = self.attempts(pod, Kind::Startup, probe, self.now, seen);
                attempts.passes(probe, self.now + runs)
            }
            (false, _) => seen + runs,
        };
        self.waits_for(pod, Some(Cause::InitContainers));
        self.at(next, Event::InitContainerDone(pod));
    }

    pub(super) fn init_container_done(&mut self, pod: u32) {
        if self.pods[pod as usize].stage == PodStage::Bound {
            self.pods[pod as usize].container += 1;
            self.want_image(pod);
        }
    }

    /// The attempts of a probe at a container that started at `started` and was seen at `seen`.
    fn attempts(&self, pod: u32, kind: Kind, probe: &Probe, started: SimTime, seen: SimTime) -> Attempts {
        let state = &self.pods[pod as usize];
        let synced = state.synced_at;
        let young =
            self.nodes[state.node as usize].joined_at.is_some_and(|joined| synced < joined + probe.period);
        // The worker stays when its container is started again.
        let (first, what) = (state.starts.min(1) << 8, if kind == Kind::Startup { 3 } else { 4 });
        let draw = first + DRAWS * self.draws_of_container(pod) + what;
        let part = if young { self.chance.uniform(Component::Container, pod, draw) } else { 0.0 };
        Attempts::new(kind, probe, started, seen, RELIST, synced + probe.period.mul_f64(part))
    }
    fn readiness_kind(&self) -> Kind {
        Kind::Readiness { anew: self.prepared.era.probes_count_anew }
    }

    pub(super) fn startup_probe(&self, pod: u32) -> Option<Probe> {
        self.scenario.deployments[self.pods[pod as usize].deployment as usize].startup_probe
    }

    /// The pod's own container has just started; its start-up takes `up`, unless it is work whose end is not known yet.
    pub(super) fn watch_start_up(&mut self, pod: u32, up: Option<SimDuration>) {
        let Some(probe) = self.startup_probe(pod) else { return };
        self.waits_for(pod, Some(Cause::StartupProbe));
        let seen = self.next_relist(pod, 2);
        let fails = self.attempts(pod, Kind::Startup, &probe, self.now, seen).fails(&probe);
        if up.is_none_or(|up| self.now + up > fails) {
            let start = self.pods[pod as usize].starts;
            self.at(fails, Event::StartupProbeFails { pod, start });
        }
    }

    /// When kubelet finds ready what began at `began` and is up so long after; asked at `began`, or once it is up.
    pub(super) fn found_ready(&mut self, pod: u32, began: SimTime, up: SimDuration) -> SimTime {
        let seen = began + RELIST.mul_f64(self.draw_of_container(pod, 2));
        let up = began + up;
        let mut asked = seen;
        if let Some(probe) = self.startup_probe(pod) {
            asked = self.attempts(pod, Kind::Startup, &probe, began, seen).passes(&probe, up);
            let start = self.pods[pod as usize].starts;
            self.at(asked.max(self.now), Event::StartupProbePassed { pod, start });
        }
        match self.readiness(pod) {
            Some(probe) => self.attempts(pod, self.readiness_kind(), &probe, began, asked).passes(&probe, up),
            None if self.startup_probe(pod).is_some() => asked,
            // The status that says that it runs says that it is ready.
            None => began,
        }
    }

    /// From now on readiness is what the pod waits for.
    pub(super) fn startup_probe_passed(&mut self, pod: u32, start: u32) {
        if self.runs_still(pod, start) && self.pods[pod as usize].stage == PodStage::Running {
            let next = if self.readiness(pod).is_some() { Cause::Readiness } else { Cause::Start };
            self.waits_for(pod, Some(next));
        }
    }

    /// Is this start of the container the last, and has it not died?
    pub(super) fn runs_still(&self, pod: u32, start: u32) -> bool {
        let state = &self.pods[pod as usize];
        state.starts == start && !state.crashed.as_ref().is_some_and(|crashed| crashed.dead)
    }

    /// The container has been given all its attempts: kubelet kills it.
    pub(super) fn startup_probe_fails(&mut self, pod: u32, start: u32) {
        if !self.runs_still(pod, start)
            || self.pods[pod as usize].stage != PodStage::Running
            || self.is_up(pod)
        {
            return;
        }
        self.images().startups_failed += 1;
        let crashed = self.pods[pod as usize].crashed.get_or_insert_with(Box::<Crashed>::default);
        (crashed.dead, crashed.stopping) = (true, true);
        self.waits_for(pod, Some(Cause::CrashLoopBackoff));
        let grace = self.termination_grace(pod);
        self.at(self.now + grace, Event::ContainerStopped { pod, start });
    }

    /// What kubelet killed is gone, unless something else has killed it before.
    pub(super) fn container_stopped(&mut self, pod: u32, start: u32) {
        let state = &self.pods[pod as usize];
        let stopping = state.crashed.as_ref().is_some_and(|crashed| crashed.stopping);
        if stopping && state.starts == start && state.stage == PodStage::Running {
            let node = state.node;
            self.container_died(pod);
            self.frees_memory(node, pod);
        }
    }
}
