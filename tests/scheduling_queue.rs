//! The scheduling queue against traces of the real one, in virtual time.

use std::path::Path;

use kilopod::actors::kube_scheduler::queue::{Failure, QueueState, QueueVersion, SchedulingQueue};
use kilopod::units::{SimDuration, SimTime};
use serde_json::{Value, json};

fn millis(value: &Value) -> Option<u64> {
    value.as_i64().and_then(|at| u64::try_from(at).ok())
}
fn failure(value: &Value) -> Failure {
    if value == "error" { Failure::Error } else { Failure::Rejected }
}
fn start(case: &Value) -> SchedulingQueue {
    let version = match case["kubernetes"].as_str() {
        Some("1.24") => QueueVersion::V1_24,
        Some("1.30") => QueueVersion::V1_30,
        _ => QueueVersion::V1_34,
    };
    SchedulingQueue::new(version, SimDuration::from_millis(case["start_phase_ms"].as_u64().unwrap()))
}

/// One pod: every millisecond the queue's timers, then events, then the scheduler, as the recorder did.
fn one_pod(case: &Value) -> Value {
    let mut queue = start(case);
    let idle = case["scheduler"] == "idle";
    let cycle = case["cycle_ms"].as_u64().unwrap();
    let failures = case["failures"].as_array().unwrap();
    let list = |key: &str| case[key].as_array().cloned().unwrap_or_default();
    let mut events: Vec<u64> = list("events_ms").iter().filter_map(millis).collect();
    let (after, within) = (list("event_after_failure_ms"), millis(&case["event_in_cycle_ms"]));
    let (mut log, mut last) = (Vec::new(), QueueState::Out);
    let (mut fails_at, mut failed) = (None, 0);
    for ms in 0..=case["until_ms"].as_u64().unwrap() {
        let now = SimTime::from_millis(ms);
        if ms == case["created_ms"].as_u64().unwrap() {
            queue.add(0, 0, now);
        }
        queue.wake_where(now, |_| false);
        while let Some(place) = events.iter().position(|at| *at == ms) {
            events.swap_remove(place);
            if fails_at.is_some() {
                queue.event_in_cycle(0);
            } else {
                queue.wake(0, now);
            }
        }
        if fails_at == Some(ms) {
            fails_at = None;
            if failed == failures.len() {
                break;
            }
            queue.fail(0, failure(&failures[failed]), now);
            events.extend(after.get(failed).and_then(millis).map(|delay| ms + delay));
            failed += 1;
        }
        let state = queue.state(0);
        let just_failed = failed > 0 && state != QueueState::Out && last == QueueState::Out;
        let popped =
            if fails_at.is_none() { if idle { queue.pop(now) } else { queue.pop_active(now) } } else { None };
        // A state left within the instant is shown after a failure, or where a busy scheduler takes the pod.
        let seen = if popped.is_some() && !just_failed { QueueState::Active } else { state };
        if seen != last && seen != QueueState::Out && (just_failed || !(idle && popped.is_some())) {
            let name = match seen {
                QueueState::Active => "active",
                QueueState::Backoff => "backoff",
                _ => "unschedulable",
            };
            log.push(json!({"at_ms": ms, "state": name}));
        }
        last = state;
        if popped.is_some() {
            log.push(json!({"at_ms": ms, "state": "popped", "attempt": queue.attempts(0)}));
            last = QueueState::Out;
            fails_at = Some(ms + cycle);
            events.extend(within.map(|delay| ms + delay));
            if failed == failures.len() {
                break;
            }
        }
    }
    json!(log)
}

/// Several pods: all taken once at the start, failed at their times, then popped as they come.
fn order(case: &Value) -> Value {
    let mut queue = start(case);
    let pods = case["pods"].as_array().unwrap();
    for (index, pod) in pods.iter().enumerate() {
        queue.add(index as u32, pod["priority"].as_i64().unwrap() as i32, SimTime::ZERO);
    }
    while let Some(pod) = queue.pop(SimTime::ZERO) {
        for _ in 0..pods[pod as usize]["failures_before"].as_u64().unwrap() {
            queue.event_in_cycle(pod);
            queue.fail(pod, failure(&pods[pod as usize]["failure"]), SimTime::ZERO);
            // Out again at once, so that only the count of failures stays.
            assert_eq!(queue.pop_active(SimTime::from_secs(20)), Some(pod));
        }
    }
    let idle = case["scheduler"] == "idle";
    let mut pops = Vec::new();
    for ms in 0..=case["until_ms"].as_u64().unwrap() {
        let now = SimTime::from_millis(ms);
        for (index, pod) in pods.iter().enumerate().filter(|(_, pod)| pod["failed_ms"].as_u64() == Some(ms)) {
            queue.event_in_cycle(index as u32);
            queue.fail(index as u32, failure(&pod["failure"]), now);
        }
        if ms < case["pop_from_ms"].as_u64().unwrap() {
            continue;
        }
        while let Some(pod) = if idle { queue.pop(now) } else { queue.pop_active(now) } {
            pops.push(json!({"at_ms": ms, "pod": pods[pod as usize]["name"]}));
        }
    }
    json!(pops)
}

fn check(file: &str, cases: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scheduling-queue").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut differing = Vec::new();
    for line in text.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let case = &recorded["case"];
        let (got, wanted) = match case["pods"].is_array() {
            true => (order(case), &recorded["answer"]["pops"]),
            false => (one_pod(case), &recorded["answer"]["log"]),
        };
        if got != *wanted {
            differing.push(format!("{case}\n  got    {got}\n  wanted {wanted}"));
        }
    }
    assert_eq!(text.lines().count(), cases);
    assert!(differing.is_empty(), "{} of {cases} differ:\n{}", differing.len(), differing[0]);
}

#[test]
fn the_queue_of_1_34_goes_as_the_real_one() {
    check("v1.34.jsonl", 106);
}

#[test]
fn the_queues_of_1_24_and_1_30_go_as_the_real_ones() {
    check("older.jsonl", 86);
    check("older-random.jsonl", 40);
}
