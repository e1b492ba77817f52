//! The Job controller at work: syncs a second after pods have changed at the earliest, one at a time for each Job. A sync makes pods
//! in batches, writes the Job's status, takes the finalizers off pods that have ended, so that each is counted once, and writes the
//! status again. All Jobs share its client's limit.
//!
//! Pods are not restarted (`restartPolicy: Never`). One that has ended gives its address back as any pod that stops; its requests
//! are free once the API has its phase. Source: Kubernetes 1.34, `pkg/controller/job`; the decisions are [`crate::actors::job`].

use super::restarts::RELIST;
use super::state::PodStage;
use super::*;
use crate::actors::job::{self, Failures, JobView, MOST_PER_SYNC, Step};
use crate::results::JobRecord;
use crate::scenario::JobSpec;

/// `SyncJobBatchPeriod`
const BATCH_PERIOD: SimDuration = SimDuration::from_secs(1);
/// Events of a Job that client-go sends.
const EVENTS_OF_AN_OBJECT: u32 = 25;

#[derive(Clone, Debug)]
pub(super) struct Jobs {
    client: ClientBucket,
    /// By the number of their pods' template.
    of: BTreeMap<u32, Job>,
    /// Pods of theirs that are Ready.
    ready: u32,
    /// Pods that Jobs' statuses count as succeeded, and all that have failed.
    succeeded: u32,
    failed: u64,
}

#[derive(Clone, Debug, Default)]
struct Job {
    /// When it is synced next; never, if nobody asks for it.
    due: SimTime,
    sync: Option<Sync>,
    /// It fell due while it was synced.
    again: bool,
    /// Ends that no sync has seen yet.
    succeeded_at: Vec<SimTime>,
    failed_at: Vec<SimTime>,
    succeeded: u32,
    failed: u32,
    failures: Failures,
    /// Pods that have ended and keep their finalizers.
    finalizers: u32,
    /// Of the succeeded ones, those that the status counts for good.
    counted: u32,
    /// Active and Ready pods as the status has them.
    told: (u32, u32),
    events_left: u32,
    draws: u32,
    /// When it was complete, or had failed.
    ended: Option<(SimTime, bool)>,
}

/// What is still to be done in a sync, by turns.
#[derive(Clone, Copy, Debug)]
struct Sync {
    stage: Stage,
    batch: u32,
    /// Finalizers that it takes off.
    removes: u32,
    /// Those that it leaves to the next.
    left: u32,
    /// Active and Ready pods as it saw them.
    saw: (u32, u32),
    /// Does the Job end with it, and is it complete?
    ends: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Creates,
    Tells,
    TakesFinalizersOff,
    Settles,
    Done,
}

impl Jobs {
    /// `None`: there are none.
    pub fn new(scenario: &Scenario) -> Option<Box<Jobs>> {
        let limit = scenario.controller_manager;
        let jobs = scenario.deployments.iter().zip(0..).filter(|(template, _)| template.job.is_some());
        let fresh = || Job { due: SimTime::NEVER, events_left: EVENTS_OF_AN_OBJECT, ..Job::default() };
        let of: BTreeMap<u32, Job> = jobs.map(|(_, set)| (set, fresh())).collect();
        let client = ClientBucket::new(limit.qps, limit.burst);
        (!of.is_empty()).then(|| Box::new(Jobs { client, of, ready: 0, succeeded: 0, failed: 0 }))
    }
    /// Of pods that are Ready in all, those that the target counts: Jobs' count once they have succeeded.
    pub fn towards_target(&self, ready: u32) -> u32 {
        ready - self.ready + self.succeeded
    }
    pub fn succeeded(&self) -> u32 {
        self.succeeded
    }
    /// Is a sync due or under way?
    fn any_at_work(&self) -> bool {
        self.of.values().any(|job| job.due < SimTime::NEVER || job.sync.is_some())
    }
}

impl Run<'_> {
    pub(super) fn schedule_jobs(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        let sets: Vec<u32> = jobs.of.keys().copied().collect();
        for set in sets {
            let at = self.job_spec(set).at;
            let first = self.draw(Latency::FirstPod, Component::Job, set, 0);
            self.job(set).due = at + first;
            self.at(at + first, Event::JobSyncs(set));
        }
    }

    fn job_spec(&self, set: u32) -> &JobSpec {
        self.scenario.deployments[set as usize].job.as_ref().expect("the number is a Job's")
    }
    fn job(&mut self, set: u32) -> &mut Job {
        let jobs = self.jobs.as_mut().expect("there are Jobs");
        jobs.of.get_mut(&set).expect("the number is a Job's")
    }
    pub(super) fn is_job(&self, set: u32) -> bool {
        self.jobs.is_some() && self.scenario.deployments[set as usize].job.is_some()
    }

    /// May a Job's pod still end, or be made?
    pub(super) fn jobs_move(&self) -> bool {
        let runs = |pod: &Pod| {
            matches!(pod.stage, PodStage::Running | PodStage::Ready) && self.is_job(pod.deployment)
        };
        self.jobs.as_ref().is_some_and(|jobs| jobs.any_at_work() || self.pods.iter().any(runs))
    }

    /// The API has a new pod. What is lacking beyond the most of one sync comes with the next.
    pub(super) fn job_pod_seen(&mut self, set: u32) {
        if self.is_job(set) {
            self.enqueue_job(set, BATCH_PERIOD);
        }
    }
    /// Has a Job failed before it had all its successes?
    pub(super) fn jobs_lack_for_good(&self) -> bool {
        let lacks = |(set, job): (&u32, &Job)| {
            job.ended.is_some_and(|(_, complete)| !complete) && job.counted < self.job_spec(*set).completions
        };
        self.jobs.as_ref().is_some_and(|jobs| jobs.of.iter().any(lacks))
    }
    /// A Job's pod has become Ready.
    pub(super) fn job_pod_ready(&mut self, set: u32) {
        if self.is_job(set) {
            self.jobs.as_mut().expect("there are Jobs").ready += 1;
            self.enqueue_job(set, BATCH_PERIOD);
        }
    }
    /// A Ready pod is none of its controller's any more.
    pub(super) fn uncount_of_job(&mut self, set: u32) {
        if self.is_job(set) {
            self.jobs.as_mut().expect("there are Jobs").ready -= 1;
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
    /// The API has a pod of the Job that has succeeded, or has failed or is deleted.
    pub(super) fn job_pod_ended(&mut self, set: u32, succeeds: bool) {
        let now = self.now;
        let job = self.job(set);
        job.finalizers += 1;
        if succeeds {
            job.succeeded_at.push(now);
        } else {
            job.failed_at.push(now);
            self.jobs.as_mut().expect("there are Jobs").failed += 1;
        }
        self.enqueue_job(set, BATCH_PERIOD);
    }

    /// The Job is synced so much later, or before, if it is due then.
    fn enqueue_job(&mut self, set: u32, after: SimDuration) {
        let at = self.now + after.max(BATCH_PERIOD);
        let job = self.job(set);
        if job.ended.is_none() && at < job.due {
            job.due = at;
            self.at(at, Event::JobSyncs(set));
        }
    }
    pub(super) fn job_syncs(&mut self, set: u32) {
        let now = self.now;
        let job = self.job(set);
        if job.due != now || job.ended.is_some() {
            return;
        }
        job.due = SimTime::NEVER;
        if job.sync.is_some() {
            job.again = true;
        } else {
            self.sync_job(set);
        }
    }

    fn sync_job(&mut self, set: u32) {
        let now = self.now;
        let job = self.job(set);
        let (succeeded, failed) = (std::mem::take(&mut job.succeeded_at), std::mem::take(&mut job.failed_at));
        job.failures.note(&succeeded, &failed);
        job.succeeded += succeeded.len() as u32;
        job.failed += failed.len() as u32;
        let removes = job.finalizers.min(MOST_PER_SYNC);
        let left = job.finalizers - removes;
        let (succeeded, failed, backs_off) = (job.succeeded, job.failed, job.failures.backs_off(now));
        let (mut active, ready) = self.pods_of_job(set);
        let JobSpec { completions, parallelism, backoff_limit, .. } = *self.job_spec(set);
        let view = JobView { completions, parallelism, backoff_limit, active, succeeded, failed, backs_off };
        let mut sync =
            Sync { stage: Stage::Creates, batch: 1, removes, left, saw: (active, ready), ends: None };
        match job::sync(&view) {
            Step::Create(more) => {
                (0..more).for_each(|_| self.want_pod(set));
                active += more;
            }
            Step::Wait(after) => self.enqueue_job(set, after),
            Step::Fail => {
                self.delete_pods_of_job(set);
                active = 0;
                sync.ends = Some(false);
            }
            // Not before all of its pods are counted.
            Step::Complete => sync.ends = (left == 0).then_some(true),
            Step::Nothing => {}
        }
        sync.saw.0 = active;
        self.job(set).sync = Some(sync);
        self.job_steps(set);
    }

    /// Active and Ready pods, as the controller sees them: those of which the API has not heard that they ended are active.
    fn pods_of_job(&self, set: u32) -> (u32, u32) {
        let own = || self.pods.iter().filter(|pod| pod.deployment == set && pod.is_active());
        let ready = own().filter(|pod| pod.stage == PodStage::Ready).count() as u32;
        (own().count() as u32 + self.replica_sets[set as usize].unnoticed, ready)
    }
    fn delete_pods_of_job(&mut self, set: u32) {
        let active = |pod: &u32| {
            let pod = &self.pods[*pod as usize];
            pod.deployment == set && pod.is_active()
        };
        let pods: Vec<u32> = (0..self.pods.len() as u32).filter(active).collect();
        for pod in pods {
            let answered = self.job_request(set);
            self.at(answered, Event::PodDeleted(pod));
        }
    }

    /// When a request of the controller that goes out now is answered.
    fn job_request(&mut self, set: u32) -> SimTime {
        let job = self.job(set);
        job.draws += 1;
        let draw = job.draws;
        let takes = self.draw(Latency::ControllerRequest, Component::Job, set, draw);
        self.jobs.as_mut().expect("there are Jobs").client.reserve(self.now) + takes
    }

    /// The sync goes on as far as it can without waiting for an answer.
    pub(super) fn job_steps(&mut self, set: u32) {
        let Some(mut sync) = self.job(set).sync else { return };
        let waits = loop {
            let stage = sync.stage;
            sync.stage = match stage {
                Stage::Creates if !self.replica_sets[set as usize].unmade.is_empty() => {
                    let batch = sync.batch;
                    sync.batch *= 2;
                    break self.create_pods_of_job(set, batch);
                }
                Stage::Creates => Stage::Tells,
                Stage::Tells => Stage::TakesFinalizersOff,
                Stage::TakesFinalizersOff => Stage::Settles,
                Stage::Settles | Stage::Done => Stage::Done,
            };
            let requests = match stage {
                Stage::Creates => 0,
                Stage::Tells => u32::from(sync.removes > 0 || self.job(set).told != sync.saw),
                Stage::TakesFinalizersOff => sync.removes,
                Stage::Settles => u32::from(sync.removes > 0 || sync.ends.is_some()),
                Stage::Done => return self.end_job_sync(set, sync),
            };
            if requests > 0 {
                let answered = (0..requests).map(|_| self.job_request(set)).max();
                break self.now.max(answered.expect("there is a request"));
            }
        };
        self.job(set).sync = Some(sync);
        if sync.stage == Stage::Creates {
            self.with_last_answer(waits, Event::JobSteps(set));
        } else {
            self.at(waits, Event::JobSteps(set));
        }
    }

    /// One batch goes out; tells when the last of it is answered.
    fn create_pods_of_job(&mut self, set: u32, batch: u32) -> SimTime {
        let unmade = &mut self.replica_sets[set as usize].unmade;
        let batch = (batch as usize).min(unmade.len());
        let pods: Vec<u32> = unmade.drain(..batch).collect();
        let job = self.job(set);
        job.draws += 1;
        let draw = job.draws;
        let event = job.events_left > 0;
        job.events_left -= u32::from(event);
        let takes = self.draw(Latency::ControllerRequest, Component::Job, set, draw);
        let mut answered = self.now;
        for pod in pods {
            let sent = self.jobs.as_mut().expect("there are Jobs").client.reserve(self.now);
            answered = sent + takes;
            self.send_request(Flow::KubeSystem, RequestKind::Create, sent, takes, Event::PodCreated(pod));
        }
        if event {
            self.jobs.as_mut().expect("there are Jobs").client.reserve(self.now);
        }
        answered
    }

    /// The status has what the sync found: pods that it counts for good, and perhaps that the Job has ended.
    fn end_job_sync(&mut self, set: u32, sync: Sync) {
        let now = self.now;
        let job = self.job(set);
        // The controller hears of its own status too.
        let wrote = sync.removes > 0 || job.told != sync.saw;
        (job.sync, job.told) = (None, sync.saw);
        job.finalizers -= sync.removes;
        let more = job.succeeded.saturating_sub(sync.left).saturating_sub(job.counted);
        job.counted += more;
        job.ended = sync.ends.map(|complete| (now, complete));
        let again = std::mem::take(&mut job.again) || sync.left > 0;
        if let Some(complete) = sync.ends {
            let name = if complete { "job_complete" } else { "job_failed" };
            self.trace(|| TraceLine::new(name).count("job", set as usize));
        }
        if more > 0 {
            self.jobs.as_mut().expect("there are Jobs").succeeded += more;
            self.mark_time(true);
            self.mark_time(false);
        }
        if wrote {
            self.enqueue_job(set, BATCH_PERIOD);
        }
        if again && sync.ends.is_none() {
            self.sync_job(set);
        }
    }

    /// `None` where there are no Jobs.
    pub(super) fn job_record(&self) -> Option<JobRecord> {
        let jobs = self.jobs.as_ref()?;
        let took = |(set, job): (&u32, &Job)| {
            let complete = job.ended.filter(|(_, complete)| *complete);
            complete.map(|(at, _)| at.since(self.job_spec(*set).at).millis())
        };
        let all: Option<Vec<u64>> = jobs.of.iter().map(took).collect();
        Some(JobRecord {
            longest_ms: all.and_then(|all| all.into_iter().max()),
            succeeded: jobs.succeeded.into(),
            failed: jobs.failed,
        })
    }
}
