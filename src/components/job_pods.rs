//! Pods of Jobs: they end of themselves when their work is done, and are not restarted (`restartPolicy: Never`).
//!
//! One that has ended gives its address back as any pod that stops; its requests are free once the API has its phase.

use super::jobs::BATCH_PERIOD;
use super::restarts::RELIST;
use super::state::PodStage;
use super::*;

impl Run<'_> {
    /// The API has a pod for the first time, or has it otherwise than before: if it is a Job's, its controller hears of it.
    #[inline]
    pub(super) fn job_pod_changed(&mut self, set: u32) {
        if self.is_job(set) {
            self.enqueue_job(set, BATCH_PERIOD);
        }
    }
    /// A Job's pod has become Ready.
    pub(super) fn job_pod_ready(&mut self, set: u32) {
        if self.is_job(set) {
            self.books.jobs_ready += 1;
            self.enqueue_job(set, BATCH_PERIOD);
        }
    }
    /// A Ready pod is none of its controller's any more.
    pub(super) fn uncount_of_job(&mut self, set: u32) {
        if self.is_job(set) {
            self.books.jobs_ready -= 1;
        }
    }

    /// The pod's container runs, and ends of itself when its work is done.
    pub(super) fn begin_work(&mut self, pod: u32) {
        let Some(job) = &self.scenario.deployments[self.pods[pod as usize].deployment as usize].job else {
            return;
        };
        let uniform = self.chance.uniform(Component::Work, pod, 0);
        let work = SimDuration::from_secs_f64(job.work.quantile(uniform));
        self.at(self.now + work, Event::WorkDone(pod));
    }
    pub(super) fn work_done(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        if matches!(state.stage, PodStage::Running | PodStage::Ready) {
            let fails = self.job_spec(state.deployment).fails;
            let succeeds = self.chance.uniform(Component::Work, pod, 1) >= fails;
            self.end_pod(pod, succeeds);
        }
    }
    /// A Job's container is gone: kubelet hears of it, takes the sandbox down and tells the API how it ended.
    pub(super) fn end_pod(&mut self, pod: u32, succeeds: bool) {
        let (stage, set) = (self.pods[pod as usize].stage, self.pods[pod as usize].deployment);
        self.uncount(pod, stage);
        self.replica_sets[set as usize].unnoticed += 1;
        let state = &mut self.pods[pod as usize];
        (state.failed, state.succeeds) = (true, succeeds);
        let heard = RELIST.mul_f64(self.chance.uniform(Component::Work, pod, 2));
        self.stop_pod(pod, heard);
    }
}
