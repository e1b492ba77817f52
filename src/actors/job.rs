//! The Job controller: how many pods a Job is given in one sync, and when it has ended.
//!
//! Jobs without indexes and with a number of completions; pods that are deleted count as failed, and are replaced as soon as
//! they are told to go. Left out: suspension, deadlines, policies of success and failure. Source: Kubernetes 1.34,
//! `pkg/controller/job` (`job_controller.go`, `backoff_utils.go`).

use crate::units::{SimDuration, SimTime};

/// Pods made in one sync, and finished ones counted in one.
pub const MOST_PER_SYNC: u32 = 500;
/// After a pod has failed: so long, doubled for each that failed since the last success, up to the longest.
const BACK_OFF: SimDuration = SimDuration::from_secs(10);
const BACK_OFF_MAX: SimDuration = SimDuration::from_secs(600);

/// What a sync looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobView {
    pub completions: u32,
    pub parallelism: u32,
    pub backoff_limit: u32,
    /// Pods that are there, have not ended and are not deleted.
    pub active: u32,
    pub succeeded: u32,
    /// Deleted ones included.
    pub failed: u32,
    /// Left of the back-off after failures.
    pub backs_off: SimDuration,
}

/// What it comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Too many have failed: all active pods are deleted, and the Job has failed.
    Fail,
    Complete,
    /// So many pods are made, in batches of 1, 2, 4 and so on.
    Create(u32),
    /// Pods are lacking, and the Job is synced again after so long.
    Wait(SimDuration),
    Nothing,
}

/// One sync. Parallelism does not change while the Job runs, so that there are never too many pods.
pub fn sync(job: &JobView) -> Step {
    if job.failed > job.backoff_limit {
        return Step::Fail;
    }
    let wanted = job.completions.saturating_sub(job.succeeded).min(job.parallelism);
    match wanted.saturating_sub(job.active) {
        0 if job.succeeded >= job.completions && job.active == 0 => Step::Complete,
        0 => Step::Nothing,
        _ if !job.backs_off.is_zero() => Step::Wait(job.backs_off),
        lacking => Step::Create(lacking.min(MOST_PER_SYNC)),
    }
}

/// Failures since the last success.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Failures {
    count: u32,
    last: Option<SimTime>,
}

impl Failures {
    /// Pods that have ended since the sync before, by the instants of their ends.
    pub fn note(&mut self, succeeded: &[SimTime], failed: &[SimTime]) {
        let later = |at: &&SimTime| succeeded.iter().all(|success| *at > success);
        let failed: Vec<&SimTime> = failed.iter().filter(later).collect();
        if !succeeded.is_empty() {
            *self = Failures::default();
        }
        self.count += failed.len() as u32;
        self.last = failed.into_iter().max().copied().or(self.last);
    }
    /// Left of the back-off at `now`.
    pub fn backs_off(&self, now: SimTime) -> SimDuration {
        let Some(last) = self.last.filter(|_| self.count > 0) else { return SimDuration::ZERO };
        let doubled = BACK_OFF * (1 << (self.count - 1).min(10));
        (last + doubled.min(BACK_OFF_MAX)).saturating_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobView = JobView {
        completions: 5,
        parallelism: 2,
        backoff_limit: 6,
        active: 0,
        succeeded: 0,
        failed: 0,
        backs_off: SimDuration::ZERO,
    };

    /// Cases of TestControllerSyncJob and others (`job_controller_test.go`), by what they say of pods made and conditions.
    #[test]
    fn syncs_come_to_what_the_controller_s_tests_say() {
        let cases = [
            (JOB, Step::Create(2)),
            (JobView { active: 2, ..JOB }, Step::Nothing),
            (JobView { active: 1, succeeded: 1, ..JOB }, Step::Create(1)),
            (JobView { active: 1, succeeded: 4, ..JOB }, Step::Nothing),
            (JobView { succeeded: 4, ..JOB }, Step::Create(1)),
            (JobView { succeeded: 5, ..JOB }, Step::Complete),
            (JobView { succeeded: 5, active: 1, ..JOB }, Step::Nothing),
            (JobView { active: 1, failed: 1, ..JOB }, Step::Create(1)),
            (JobView { failed: 1, backoff_limit: 0, active: 1, ..JOB }, Step::Fail),
            (JobView { failed: 6, ..JOB }, Step::Create(2)),
            (JobView { failed: 7, succeeded: 5, ..JOB }, Step::Fail),
            (
                JobView { failed: 1, backs_off: SimDuration::from_secs(7), ..JOB },
                Step::Wait(SimDuration::from_secs(7)),
            ),
            (JobView { active: 2, backs_off: SimDuration::from_secs(7), ..JOB }, Step::Nothing),
            (JobView { completions: 2_000, parallelism: 1_200, active: 10, ..JOB }, Step::Create(500)),
            (JobView { completions: 0, ..JOB }, Step::Complete),
        ];
        for (job, step) in cases {
            assert_eq!(sync(&job), step, "{job:?}");
        }
    }

    /// Cases of TestNewBackoffRecord and TestGetRemainingBackoffTime (`backoff_utils_test.go`).
    #[test]
    fn back_offs_double_with_failures_after_the_last_success() {
        let at = SimTime::from_secs;
        let after = |notes: &[(&[u64], &[u64])], now: u64| {
            let mut failures = Failures::default();
            for (succeeded, failed) in notes {
                let times = |seconds: &[u64]| seconds.iter().map(|s| at(*s)).collect::<Vec<_>>();
                failures.note(&times(succeeded), &times(failed));
            }
            (failures.count, failures.backs_off(at(now)).secs_f64())
        };
        assert_eq!(after(&[(&[], &[])], 100), (0, 0.0));
        assert_eq!(after(&[(&[], &[100])], 101), (1, 9.0));
        assert_eq!(after(&[(&[], &[100, 98, 99])], 101), (3, 39.0));
        assert_eq!(after(&[(&[], &[90]), (&[], &[100])], 100), (2, 20.0));
        assert_eq!(after(&[(&[], &[90]), (&[95], &[])], 100), (0, 0.0));
        assert_eq!(after(&[(&[95], &[90, 96, 97])], 100), (2, 17.0));
        assert_eq!(after(&[(&[97], &[97])], 100), (0, 0.0), "a failure must come after the success");
        assert_eq!(after(&[(&[], &[100])], 111), (1, 0.0));
        assert_eq!(after(&[(&[], &[100; 9])], 100), (9, 600.0));
        assert_eq!(after(&[(&[], &[100; 60])], 100), (60, 600.0));
    }
}
