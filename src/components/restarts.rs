//! Containers that die and that kubelet starts again: CrashLoopBackOff.
//!
//! kubelet hears of a death with its next relist of containers, within a second, and starts the container again unless it is
//! in its back-off; then it looks again every 10 to 15 s. The pod stays Running and is not Ready meanwhile. Source: Kubernetes
//! 1.34.1 `pkg/kubelet/pod_workers.go` (completeWork), `pkg/kubelet/pleg/generic.go`; the back-off is
//! [`crate::actors::crash_loop`].

use super::state::{Crashed, PodStage};
use super::*;

/// PLEG lists containers so often.
pub(super) const RELIST: SimDuration = SimDuration::from_secs(1);

impl Run<'_> {
    /// The pod's running container died; what it used is free already or is freed here.
    pub(super) fn container_died(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        let (stage, node) = (state.stage, state.node);
        if !matches!(stage, PodStage::Running | PodStage::Ready) {
            // kubelet is stopping it: it has stopped, and uses nothing any more.
            return self.frees_cpu(node, pod);
        }
        if self.is_job(self.pods[pod as usize].deployment) {
            // Nobody starts it again.
            return self.end_pod(pod, false);
        }
        let state = &mut self.pods[pod as usize];
        state.stage = PodStage::Running;
        let crashed = state.crashed.get_or_insert_with(Box::<Crashed>::default);
        (crashed.dead, crashed.stopping, crashed.died) = (true, false, self.now);
        crashed.looks += 1;
        let draw = crashed.looks;
        self.books.ready_pods -= u32::from(stage == PodStage::Ready);
        self.note_standing(self.pods[pod as usize].deployment, stage, PodStage::Running);
        self.replicas_changed(self.pods[pod as usize].deployment);
        self.waits_for(pod, Some(Cause::CrashLoopBackoff));
        self.frees_cpu(node, pod);
        let heard = RELIST.mul_f64(self.chance.uniform(Component::Restart, pod, 2 * draw));
        self.at(self.now + heard, Event::RestartLook(pod));
    }

    /// kubelet looks at a pod whose container is dead.
    pub(super) fn restart_look(&mut self, pod: u32) {
        if self.pods[pod as usize].stage != PodStage::Running {
            return;
        }
        let now = self.now;
        let crashed = self.pods[pod as usize].crashed.as_mut().expect("its container died");
        crashed.looks += 1;
        let draw = crashed.looks;
        if crashed.back_off.restarts(crashed.died, now) {
            self.waits_for(pod, Some(Cause::Start));
            let starts = self.draw(Latency::ContainerStart, Component::Restart, pod, 2 * draw + 1);
            self.at(now + starts, Event::ContainerRestarted(pod));
        } else {
            let wait = self.draw(Latency::SandboxRetry, Component::Restart, pod, 2 * draw + 1);
            self.at(now + wait, Event::RestartLook(pod));
        }
    }

    pub(super) fn container_restarted(&mut self, pod: u32) {
        let state = &mut self.pods[pod as usize];
        if state.stage == PodStage::Running {
            state.crashed.as_mut().expect("its container died").dead = false;
            self.run_container(pod);
        }
    }
}
