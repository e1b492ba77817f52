//! The API server in whole runs: idle it changes next to nothing, crowded it holds the scale-out up, and books balance all the while.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, simulate, tell};
use kilopod::input::{Document, Problem, Problems};
use kilopod::results::{Outcome, ReplicationRecord};
use kilopod::scenario::{self, Scenario};
use kilopod::world::cause::Cause;

fn read(settings: &[&str]) -> Result<Scenario, Vec<Problem>> {
    let mut problems = Problems::default();
    let text = include_str!("../experiments/scenarios/thousand-pods.toml");
    let mut document = Document::parse("thousand-pods.toml", text, &mut problems);
    let app = "deployments=[{name=\"app\",replicas=300,cpu=\"1\",memory=\"2 GiB\",image=\"300 MB\"}]";
    for setting in ["target_pods=300", app].iter().chain(settings) {
        document.set(setting, &mut problems);
    }
    assert!(problems.is_empty());
    let catalogue = Arc::new(Catalogue::compiled_in());
    Ok(scenario::read(&document, "a", Path::new("."), &catalogue)?.scenario)
}

fn run(settings: &[&str]) -> ReplicationRecord {
    simulate(&Prepared::new(read(settings).unwrap()), 5, 0)
}

fn checked(settings: &[&str]) -> Told {
    let wishes = Wishes { check: true, history: true, ..Wishes::default() };
    tell(&Prepared::new(read(settings).unwrap()), 5, 0, wishes)
}

/// Agents that list every 2 s in the controllers' own level, with the seats of a small and of a large server.
const CROWD: &str = "lists_per_node_s=0.5,lists_level=\"workload-high\",seat_time={list={constant=\"2 s\"}}";

fn crowd(seats: u32) -> String {
    format!("api_server={{seats={seats},{CROWD}}}")
}

#[test]
fn an_idle_server_changes_next_to_nothing_and_none_measures_nothing() {
    let without = run(&[]);
    assert_eq!(without.api_server, None);
    let with = run(&["api_server.seats=100000"]);
    let server = with.api_server.unwrap();
    assert_eq!((server.waited, server.refused, server.bound_ms, server.lists), (0, 0, 0, 0));
    // Each pod is created, marked unschedulable, bound and made Ready.
    assert!(server.requests > 4 * 300, "{}", server.requests);
    let times = [without, with].map(|record| record.time_to_target_ms.unwrap() as f64);
    assert!((times[1] / times[0] - 1.0).abs() < 0.05, "{times:?}");
}

#[test]
fn a_crowded_level_holds_the_scale_out_up_and_seats_free_it() {
    let (few, many) = (run(&[&crowd(60)]), run(&[&crowd(60_000)]));
    let servers = [few.api_server.unwrap(), many.api_server.unwrap()];
    assert!(servers[0].waited > 100 && servers[0].bound_ms > few.observed_ms / 4, "{servers:?}");
    assert_eq!((servers[1].waited, servers[1].bound_ms), (0, 0), "{servers:?}");
    assert!(few.observed_ms > many.observed_ms + 10_000, "{} and {}", few.observed_ms, many.observed_ms);
}

#[test]
fn agents_in_their_own_level_leave_the_scale_out_alone() {
    let settings = ["api_server.seats=120", "api_server.lists_per_node_s=2"];
    let server = run(&settings).api_server.unwrap();
    assert!(server.lists_waited > 100 && server.lists_bound_ms > 0, "{server:?}");
    assert!(server.bound_ms < server.lists_bound_ms / 10, "{server:?}");
}

/// Each pod has one cause until it is Ready, and the sums of causes are the time that pods waited.
#[test]
fn books_and_causes_hold_where_requests_wait_and_are_refused() {
    let told = checked(&[&crowd(6), "horizon=\"10 min\""]);
    let (record, server) = (&told.record, told.record.api_server.unwrap());
    assert!(server.refused > 0, "{server:?}");
    assert_ne!(record.outcome, Outcome::Stuck);
    let mut open = std::collections::BTreeMap::new();
    let mut waited = [0u64; Cause::COUNT];
    for (pod, cause, at) in &told.history {
        if let Some((before, since)) = open.insert(*pod, (*cause, *at))
            && let Some(before) = before
        {
            waited[before as usize] += at.since(since).nanos();
        }
    }
    let end = kilopod::units::SimTime::from_millis(record.observed_ms);
    for (cause, since) in open.into_values() {
        if let Some(cause) = cause {
            waited[cause as usize] += end.since(since).nanos();
        }
    }
    assert_eq!(waited.map(|nanos| nanos / 1_000_000), record.cause_pod_ms);
    assert_eq!(record, &checked(&[&crowd(6), "horizon=\"10 min\""]).record);
}

/// Requests beside those that the trace tells the answers of.
fn other_requests(daemonsets: &str) -> (u64, u32) {
    let scenario = read(&["api_server.seats=600", daemonsets]).unwrap();
    let told = tell(&Prepared::new(scenario), 5, 0, Wishes { trace: true, ..Wishes::default() });
    let answers = [
        "pod_created",
        "condition_patched",
        "pod_bound",
        "pod_ready",
        "launch_requested",
        "node_registered",
        "unregistered_taint_gone",
        "node_ready",
        "lifecycle_read",
        "lifecycle_patched",
        "node_event_written",
    ]
    .map(|name| format!("\"event\":\"{name}\""));
    let answered = told.trace.iter().filter(|line| answers.iter().any(|name| line.contains(name))).count();
    (told.record.api_server.unwrap().requests - answered as u64, told.record.nodes)
}

#[test]
fn pods_of_daemonsets_are_created_and_bound_through_it() {
    let (others, _) = other_requests("daemonsets=[]");
    assert!(others < 20, "{others} requests under way at the end");
    let (others, nodes) = other_requests("daemonsets=[{name=\"agent\",image=\"90 MB\",host_network=true}]");
    assert!(others > u64::from(nodes) * 2 * 9 / 10, "{others} for {nodes} nodes");
}

#[test]
fn mistakes_in_the_section_are_told_all_at_once() {
    let settings = [
        "api_server.seats=0",
        "api_server.lists_level=\"system\"",
        "api_server.seat_time.creat={constant=\"1 s\"}",
        "api_server.seat_time.list=3",
    ];
    let mut keys: Vec<String> = read(&settings).unwrap_err().into_iter().map(|problem| problem.key).collect();
    keys.sort();
    let wanted = ["lists_level", "seat_time.creat", "seat_time.list", "seats"];
    assert_eq!(keys, wanted.map(|key| format!("api_server.{key}")));
}
