//! The Job controller at work: syncs a second after pods or its own status have changed at the earliest, one at a time for each
//! Job. A sync makes pods in batches, writes the Job's status, takes the finalizers off pods that have ended, so that each is
//! counted once, and writes the status again. All Jobs share its client's limit.
//!
//! A Job that fails has its active pods deleted, and counts them as failed in the same sync. It is Failed, or Complete, only once
//! none of its pods is on its way out. Source: Kubernetes 1.34, `pkg/controller/job`; the decisions are [`crate::actors::job`],
//! the pods' side is in `job_pods`.

use super::state::PodStage;
use super::*;
use crate::actors::job::{self, Failures, JobView, MOST_PER_SYNC, Step};
use crate::results::JobRecord;
use crate::scenario::JobSpec;

/// `SyncJobBatchPeriod`
pub(super) const BATCH_PERIOD: SimDuration = SimDuration::from_secs(1);
/// Events of a Job that client-go sends.
const EVENTS_OF_AN_OBJECT: u32 = 25;

#[derive(Clone, Debug)]
pub(super) struct Jobs {
    client: ClientBucket,
    /// By the number of their pods' template.
    of: BTreeMap<u32, Job>,
    /// Pods of theirs that have failed.
    failed: u64,
}

/// How a Job stands at a run's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobTold {
    pub name: String,
    /// Is it complete rather than failed, and how long after its creation (ms)? `None`: neither yet.
    pub ended: Option<(bool, u64)>,
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
    /// As the status has them.
    told: Seen,
    events_left: u32,
    draws: u32,
    /// Is it to be complete, or to fail? From the sync on that says so first (`SuccessCriteriaMet`, `FailureTarget`).
    decided: Option<bool>,
    /// When it was complete, or had failed.
    ended: Option<(SimTime, bool)>,
}

/// Pods of a Job as its controller sees them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Seen {
    active: u32,
    ready: u32,
    /// Deleted, and not ended yet.
    terminating: u32,
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
    saw: Seen,
    /// Is there something to write before finalizers are taken off?
    tells: bool,
    /// A status is on its way.
    writes: bool,
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
        (!of.is_empty()).then(|| Box::new(Jobs { client, of, failed: 0 }))
    }
    /// Is a sync due until then, or under way?
    fn any_at_work(&self, until: SimTime) -> bool {
        self.of.values().any(|job| job.due <= until || job.sync.is_some())
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

    pub(super) fn job_spec(&self, set: u32) -> &JobSpec {
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
        let horizon = SimTime::ZERO + self.scenario.horizon;
        self.jobs.as_ref().is_some_and(|jobs| jobs.any_at_work(horizon) || self.pods.iter().any(runs))
    }

    /// Has a Job failed before it had all its successes?
    pub(super) fn jobs_lack_for_good(&self) -> bool {
        let lacks = |(set, job): (&u32, &Job)| {
            job.ended.is_some_and(|(_, complete)| !complete) && job.counted < self.job_spec(*set).completions
        };
        self.jobs.as_ref().is_some_and(|jobs| jobs.of.iter().any(lacks))
    }
    /// The API has a pod of the Job that has succeeded, or has failed or is deleted.
    pub(super) fn job_pod_ended(&mut self, set: u32, succeeds: bool) {
        self.enqueue_job(set, BATCH_PERIOD);
        if self.fails(set) {
            // It was counted when its Job failed.
            return;
        }
        let now = self.now;
        let job = self.job(set);
        job.finalizers += 1;
        if succeeds {
            job.succeeded_at.push(now);
        } else {
            job.failed_at.push(now);
            self.jobs.as_mut().expect("there are Jobs").failed += 1;
        }
    }

    /// The Job is synced so much later, or before, if it is due then.
    pub(super) fn enqueue_job(&mut self, set: u32, after: SimDuration) {
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
        let (succeeded, failed, backs_off) = (job.succeeded, job.failed, job.failures.backs_off(now));
        let mut saw = self.pods_of_job(set);
        let JobSpec { completions, parallelism, backoff_limit, .. } = *self.job_spec(set);
        let active = saw.active;
        let view = JobView { completions, parallelism, backoff_limit, active, succeeded, failed, backs_off };
        let (mut ends, mut deleted) = (None, None);
        match job::sync(&view) {
            Step::Create(more) => {
                (0..more).for_each(|_| self.want_pod(set));
                saw.active += more;
            }
            Step::Wait(after) => {
                self.enqueue_job(set, after);
                // `manageJob` tells of none then, whatever there is.
                saw.active = 0;
            }
            Step::Fail => {
                deleted = (active > 0).then(|| self.delete_pods_of_job(set, active));
                saw = Seen { active: 0, ready: 0, terminating: saw.terminating + active };
                ends = Some(false);
            }
            Step::Complete => ends = Some(true),
            Step::Nothing => {}
        }
        self.begin_job_sync(set, saw, ends);
        match deleted {
            Some(answered) => drop(self.at(answered, Event::JobSteps(set))),
            None => self.job_steps(set),
        }
    }
    fn begin_job_sync(&mut self, set: u32, saw: Seen, ends: Option<bool>) {
        let job = self.job(set);
        let removes = job.finalizers.min(MOST_PER_SYNC);
        let decides = ends.is_some() && job.decided.is_none();
        job.decided = job.decided.or(ends);
        job.sync = Some(Sync {
            stage: Stage::Creates,
            batch: 1,
            removes,
            left: job.finalizers - removes,
            saw,
            tells: decides || removes > 0 || job.told != saw,
            writes: false,
            // Not before all of its pods are counted, and none is on its way out.
            ends: ends.filter(|_| job.finalizers < MOST_PER_SYNC && saw.terminating == 0),
        });
    }

    /// The Job's pods as its controller sees them: those of which the API has not heard that they ended are active, or, if it has
    /// deleted them, on their way out.
    fn pods_of_job(&self, set: u32) -> Seen {
        let own = || self.pods.iter().filter(|pod| pod.deployment == set);
        let count = |of: fn(&Pod) -> bool| own().filter(|pod| of(pod)).count() as u32;
        let ready = count(|pod| pod.stage == PodStage::Ready);
        let active = count(Pod::is_active);
        let terminating = count(|pod| pod.stage == PodStage::Terminating && !pod.failed);
        let unnoticed = self.replica_sets[set as usize].unnoticed;
        if self.fails(set) {
            Seen { active, ready, terminating: terminating + unnoticed }
        } else {
            Seen { active: active + unnoticed, ready, terminating }
        }
    }
    /// So many pods are active: all are deleted, and are counted as failed whatever becomes of them. Tells when the last
    /// request is answered.
    fn delete_pods_of_job(&mut self, set: u32, active: u32) -> SimTime {
        let job = self.job(set);
        job.failed += active;
        job.finalizers += active;
        self.jobs.as_mut().expect("there are Jobs").failed += u64::from(active);
        let own = |pod: &u32| {
            let pod = &self.pods[*pod as usize];
            pod.deployment == set && pod.is_active()
        };
        let pods: Vec<u32> = (0..self.pods.len() as u32).filter(own).collect();
        let unheard = active - pods.len() as u32;
        let mut last = self.now;
        for pod in pods {
            let answered = self.job_request(set);
            self.at(answered, Event::PodDeleted(pod));
            last = last.max(answered);
        }
        (0..unheard).fold(last, |last, _| last.max(self.job_request(set)))
    }
    /// Has its controller given it up?
    fn fails(&self, set: u32) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.of[&set].decided == Some(false))
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
        if std::mem::take(&mut sync.writes) {
            // The controller hears of its own status too.
            self.enqueue_job(set, BATCH_PERIOD);
        }
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
                Stage::Tells => u32::from(sync.tells),
                Stage::TakesFinalizersOff => sync.removes,
                Stage::Settles => u32::from(sync.removes > 0 || sync.ends.is_some()),
                Stage::Done => return self.end_job_sync(set, sync),
            };
            if requests > 0 {
                sync.writes = stage != Stage::TakesFinalizersOff;
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
            self.send_pod(pod, sent, takes);
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
        (job.sync, job.told) = (None, sync.saw);
        job.finalizers -= sync.removes;
        let more = job.succeeded.saturating_sub(sync.left).saturating_sub(job.counted);
        job.counted += more;
        let again = std::mem::take(&mut job.again) && sync.ends.is_none();
        if let Some(complete) = sync.ends {
            (job.ended, job.due) = (Some((now, complete)), SimTime::NEVER);
            let name = if complete { "job_complete" } else { "job_failed" };
            self.trace(|| TraceLine::new(name).count("job", set as usize));
        }
        if more > 0 {
            self.books.succeeded += more;
            self.mark_time(true);
            self.mark_time(false);
        }
        if again {
            self.sync_job(set);
        }
    }

    pub(super) fn jobs_told(&self) -> Vec<JobTold> {
        let Some(jobs) = &self.jobs else { return Vec::new() };
        let told = |(set, job): (&u32, &Job)| {
            let took =
                |(at, complete): (SimTime, bool)| (complete, at.since(self.job_spec(*set).at).millis());
            JobTold {
                name: self.scenario.deployments[*set as usize].name.clone(),
                ended: job.ended.map(took),
            }
        };
        jobs.of.iter().map(told).collect()
    }
    /// `None` where there are no Jobs.
    pub(super) fn job_record(&self) -> Option<JobRecord> {
        let jobs = self.jobs.as_ref()?;
        let took = |job: JobTold| job.ended.filter(|(complete, _)| *complete).map(|(_, took_ms)| took_ms);
        let all: Option<Vec<u64>> = self.jobs_told().into_iter().map(took).collect();
        Some(JobRecord {
            longest_ms: all.and_then(|all| all.into_iter().max()),
            succeeded: self.books.succeeded.into(),
            failed: jobs.failed,
        })
    }
}
