//! Jobs: pods that end, what their controller makes of it, and what others gain.

mod common {
    pub mod runs;
}

use std::collections::BTreeSet;

use common::runs::{prepare, read, run, run_with};
use kilopod::components::{Told, Wishes, tell};
use kilopod::results::Outcome;
use serde_json::Value;

fn job(completions: u32, parallelism: u32, more: &str) -> String {
    format!(
        "[[jobs]]\ncompletions = {completions}\nparallelism = {parallelism}\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"0 MB\"\n{more}\n"
    )
}
/// Room for 15 pods of one CPU each, and no way to more.
const ROOM: &str =
    "[[static_nodes]]\ninstance_type = \"m5.4xlarge\"\n[[node_pools]]\nlimits = { cpu = \"0\" }\n";

fn lines(told: &Told) -> Vec<Value> {
    told.trace.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
/// Instants (s) of an event.
fn times(told: &Told, event: &str) -> Vec<f64> {
    let named = lines(told).into_iter().filter(|line| line["event"] == event);
    named.map(|line| line["at_ms"].as_f64().unwrap() / 1e3).collect()
}

#[test]
fn a_job_keeps_to_its_parallelism_and_ends_once_all_its_pods_are_counted() {
    let told = run(&format!("{}{ROOM}", job(20, 5, "work = { low = \"5 s\", high = \"20 s\" }")));
    let (mut there, mut most) = (BTreeSet::new(), 0);
    for line in lines(&told) {
        match line["event"].as_str().unwrap() {
            "pod_created" => drop(there.insert(line["pod"].as_u64())),
            // Until the API has its phase, a pod counts as active.
            "pod_gone" => drop(there.remove(&line["pod"].as_u64())),
            _ => {}
        }
        most = most.max(there.len());
    }
    let record = &told.record;
    let jobs = record.jobs.unwrap();
    assert_eq!((most, times(&told, "pod_created").len()), (5, 20));
    assert_eq!((record.outcome, jobs.succeeded, jobs.failed), (Outcome::Reached, 20, 0));
    // The Job is complete, and with it the target reached, once a sync has counted its last pod: that is due a second after the
    // first thing that the controller has heard of since it began the one before.
    let (last, complete) = (times(&told, "pod_gone")[19], times(&told, "job_complete")[0]);
    let due = times(&told, "job_syncs").into_iter().find(|at| *at > last).unwrap();
    let heard = ["pod_gone", "job_steps"].iter().flat_map(|event| times(&told, event));
    assert!(heard.into_iter().any(|at| (at + 1.0 - due).abs() < 1e-3), "due at {due}");
    assert!(complete > due && complete < due + 0.3 && due <= last + 1.0, "{last}, {due} and {complete}");
    assert_eq!(record.time_to_target_ms, jobs.longest_ms);
    assert_eq!(
        (record.pods_ready_at_end, record.timeline[180].pods_ready, record.timeline[180].addresses_assigned),
        (20, 20, 0),
        "they count for good, and their addresses are back"
    );
}

#[test]
fn a_sync_waits_a_second_for_more_pods() {
    let told = run(&format!("{}{ROOM}", job(12, 4, "work = { constant = \"10 s\" }")));
    let (ends, made) = (times(&told, "pod_gone"), times(&told, "pod_created"));
    let due = ends[0] + 1.0;
    // What ended in between is made good by the same sync.
    let ended = ends.iter().filter(|end| **end < due).count();
    let together = made[4..].iter().filter(|created| (due..due + 0.2).contains(*created)).count();
    assert!(ended > 1 && made[4] >= due, "{ends:?} and {made:?}");
    assert_eq!(together, ended, "{ends:?} and {made:?}");
}

#[test]
fn creates_and_finalizers_share_one_client_s_limit() {
    let wide = "[cni]\nmode = \"none\"\n[[static_nodes]]\ncount = 40\ninstance_type = \"m5.4xlarge\"\n";
    let told = run(&format!("{}{wide}", job(400, 400, "work = { constant = \"1 s\" }")));
    let complete = told.record.jobs.unwrap().longest_ms.unwrap() as f64 / 1e3;
    // 400 creates and 400 patches at 20 a second, after a burst of 30; some events and statuses beside them.
    let least = (800.0 - 30.0) / 20.0;
    assert!((least..least + 6.0).contains(&complete), "{complete} against {least}");
}

#[test]
fn failures_back_off_and_too_many_end_the_job() {
    let told = run(&format!(
        "horizon = \"5 min\"\n{}{ROOM}",
        job(3, 1, "work = { constant = \"5 s\" }\nfails = 1.0\nbackoff_limit = 2")
    ));
    let (made, ended) = (times(&told, "pod_created"), times(&told, "pod_gone"));
    assert_eq!((made.len(), ended.len()), (3, 3));
    let gaps = [made[1] - ended[0], made[2] - ended[1]];
    assert!((10.0..12.0).contains(&gaps[0]) && (20.0..22.0).contains(&gaps[1]), "{gaps:?}");
    let record = &told.record;
    let jobs = record.jobs.unwrap();
    assert_eq!((record.outcome, jobs.succeeded, jobs.failed, jobs.longest_ms), (Outcome::Stuck, 0, 3, None));
    assert_eq!(times(&told, "job_failed").len(), 1);
}

#[test]
fn a_job_that_fails_takes_its_pods_with_it_and_waits_for_them() {
    // One in five pods fails at once; none may.
    let told = run(&format!(
        "horizon = \"20 min\"\n{}{ROOM}",
        job(
            30,
            10,
            "work = { low = \"5 s\", high = \"8 min\" }\nfails = 0.2\nbackoff_limit = 0\ntermination_grace = { constant = \"90 s\" }"
        )
    ));
    let (made, deleted) = (times(&told, "pod_created"), times(&told, "pod_deleted"));
    let (gone, failed) = (times(&told, "pod_gone"), times(&told, "job_failed")[0]);
    assert!(deleted.len() > 1 && deleted.iter().all(|at| *at < deleted[0] + 1.0), "{deleted:?}");
    // The sync that finds the last of them gone ends the Job.
    let last = gone[gone.len() - 1];
    assert!(last > deleted[0] + 90.0 && failed > last && failed < last + 1.2, "{last} and {failed}");
    // Every pod is counted, and once.
    let jobs = told.record.jobs.unwrap();
    assert_eq!((gone.len(), jobs.succeeded + jobs.failed), (made.len(), made.len() as u64));
    assert!(jobs.failed > deleted.len() as u64, "{jobs:?}, {} deleted", deleted.len());
}

#[test]
fn a_job_is_not_complete_before_a_pod_of_it_that_was_preempted_is_gone() {
    let app = "[[deployments]]\nschedule = [{ at = \"60 s\", replicas = 6 }]\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"0 MB\"\npriority = 10\n";
    let work = "work = { constant = \"2 min\" }\ntermination_grace = { constant = \"10 min\" }";
    let told = run(&format!("until = \"horizon\"\n{}{app}{ROOM}", job(10, 10, work)));
    let (gone, complete) = (times(&told, "pod_gone"), times(&told, "job_complete")[0]);
    let jobs = told.record.jobs.unwrap();
    assert_eq!((gone.len(), jobs.succeeded, jobs.failed), (11, 10, 1));
    // All ten have succeeded long before the eleventh is gone.
    assert!(
        gone[10] > gone[9] + 300.0 && complete > gone[10] && complete < gone[10] + 1.2,
        "{gone:?}, {complete}"
    );
    assert_eq!(jobs.longest_ms, Some((complete * 1e3) as u64));
}

#[test]
fn pods_that_end_while_their_job_fails_are_counted_once() {
    // Half of 15 pods fail, at one instant with the others that succeed, and the controller hears of the first before all.
    let more = "work = { low = \"10 s\", high = \"13 s\" }\nfails = 0.5\nbackoff_limit = 0";
    for seed in 0..8 {
        let told = run_with(&format!("{}{ROOM}", job(15, 15, more)), seed);
        let (made, jobs) = (times(&told, "pod_created").len() as u64, told.record.jobs.unwrap());
        assert_eq!(
            (jobs.succeeded + jobs.failed, times(&told, "job_failed").len()),
            (made, 1),
            "seed {seed}"
        );
    }
}

#[test]
fn others_get_the_room_and_the_addresses_of_pods_that_ended() {
    let app = "[[deployments]]\nschedule = [{ at = \"30 s\", replicas = 10 }]\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"0 MB\"\n";
    let told = run(&format!("{}{app}{ROOM}", job(10, 10, "work = { constant = \"2 min\" }")));
    let gone = times(&told, "pod_gone");
    let ready: Vec<f64> = times(&told, "pod_is_ready").into_iter().filter(|at| *at > 60.0).collect();
    assert_eq!((told.record.outcome, gone.len()), (Outcome::Reached, 10));
    // Five find room at once; five wait for the Job's, and no such run is called stuck.
    assert_eq!(ready.len(), 5);
    assert!(ready.iter().all(|at| *at > gone[0] && *at < gone[9] + 60.0), "{ready:?} and {gone:?}");
}

#[test]
fn karpenter_launches_for_a_job_and_takes_empty_nodes_away() {
    let pool = "[[node_pools]]\ninstance_types = [\"m5.xlarge\"]\ndisruption = { consolidation_policy = \"WhenEmpty\", consolidate_after = \"30 s\" }\n";
    let text = format!(
        "until = \"horizon\"\nhorizon = \"20 min\"\n{}{pool}",
        job(60, 60, "work = { median = \"60 s\", p95 = \"2 min\" }")
    );
    let record = run(&text).record;
    assert_eq!((record.jobs.unwrap().succeeded, record.nodes), (60, 0));
    assert!(record.nodes_launched >= 20, "{record:?}");
}

#[test]
fn evicted_and_lost_pods_count_as_failed_and_are_made_again() {
    let pool =
        "[[node_pools]]\ninstance_types = [\"m5.xlarge\", \"m5a.xlarge\"]\ncapacity_types = [\"spot\"]\n";
    let text = format!(
        "until = \"horizon\"\nmarket = \"tight\"\nhorizon = \"60 min\"\n{}{pool}",
        job(
            150,
            60,
            "work = { low = \"5 min\", high = \"15 min\" }\nbackoff_limit = 1000\nfails = 0.05\ntermination_grace = { constant = \"3 min\" }"
        )
    );
    let (mut evicted, mut failed) = (0, 0);
    for seed in 0..6 {
        // Its books, and with them the causes, are checked after every event.
        let told = run_with(&text, seed);
        let (record, jobs) = (&told.record, told.record.jobs.unwrap());
        evicted += record.pods_evicted;
        failed += jobs.failed;
        assert!(jobs.failed >= record.pods_evicted, "seed {seed}: {jobs:?}, {} evicted", record.pods_evicted);
        assert!(jobs.succeeded <= 150);
        let created = times(&told, "pod_created").len() as u64;
        assert!(created <= jobs.succeeded + jobs.failed + 60, "seed {seed}: {created} made, {jobs:?}");
    }
    // Others fail by themselves, or are lost before anybody evicts them.
    assert!(evicted > 10 && failed > evicted, "{evicted} evicted, {failed} failed");
}

#[test]
fn what_a_job_cannot_be_is_refused_with_its_key() {
    let refused = |more: &str| read(&job(1, 1, more)).expect_err("it is refused");
    assert_eq!(refused("fails = 1.5"), ["jobs[0].fails"]);
    assert_eq!(refused("replicas = 3"), ["jobs[0].replicas"]);
    assert_eq!(refused("security_groups = true"), ["jobs[0].security_groups"]);
    assert_eq!(refused("topology_spread = [{ topology_key = \"rack\" }]"), ["jobs[0].topology_spread"]);
    assert_eq!(read("name = \"empty\"").expect_err("it is refused"), ["deployments"]);
}

#[test]
fn what_one_sync_leaves_comes_with_the_next_without_waiting_for_a_ready_pod() {
    // No pod ever finds a node, and the client's limit holds nothing up.
    let wide =
        "[[node_pools]]\nlimits = { cpu = \"0\" }\n[kube_controller_manager]\nqps = 1000\nburst = 2000\n";
    let told = run(&format!("{}{wide}", job(1_000, 1_000, "")));
    let made = times(&told, "pod_created");
    assert_eq!(made.len(), 1_000);
    let pause = made[500] - made[499];
    assert!((0.5..2.0).contains(&pause), "{pause}");
}

#[test]
fn a_run_that_lacks_a_failed_job_s_pods_only_is_stuck_for_no_cause() {
    let text = format!(
        "horizon = \"60 min\"\n{}{ROOM}",
        job(3, 1, "work = { constant = \"5 s\" }\nfails = 1.0\nbackoff_limit = 1")
    );
    let wishes = Wishes { check: true, stop_when_stuck: true, ..Wishes::default() };
    let record = tell(&prepare(&text), 7, 0, wishes).record;
    assert_eq!((record.outcome, record.reason), (Outcome::Stuck, None));
}

/// What is to come only after the horizon keeps no run from being called stuck: a Job, a step of a schedule, a raise of a quota.
#[test]
fn what_comes_after_the_horizon_saves_no_run() {
    let hopeless = "[[deployments]]\nname = \"large\"\nreplicas = 1\ncpu = \"500\"\nmemory = \"1 GiB\"\n";
    let late = "schedule = [{ at = \"2 h\", replicas = 2 }]\n";
    let raise = "[quotas]\nraises = [{ at = \"2 h\", on_demand_vcpus = 20000 }]\n";
    let job = format!("horizon = \"20 min\"\n{}", job(1, 1, "at = \"2 h\"\nwork = { constant = \"5 s\" }"));
    let cases = [
        format!("horizon = \"20 min\"\ntarget_pods = 1\n{hopeless}{ROOM}"),
        format!("horizon = \"20 min\"\ntarget_pods = 1\n{hopeless}{late}{ROOM}"),
        format!("horizon = \"20 min\"\ntarget_pods = 1\n{raise}{hopeless}{ROOM}"),
        format!("target_pods = 1\n{job}{hopeless}{ROOM}"),
    ];
    for case in cases {
        assert_eq!(run(&case).record.outcome, Outcome::Stuck, "{case}");
    }
}
