//! TerminateInstances: batches, EC2's limit, and its row among the calls.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::ApiCount;
use kilopod::scenario;
use serde_json::Value;

/// Ten nodes come and go twice, each with a pod of its own whose container ends at once.
fn run(limit: &str) -> Told {
    let text = format!(
        "horizon = \"20 min\"\nuntil = \"horizon\"\n{limit}\n[cni]\nmode = \"none\"\n[[deployments]]\n\
         schedule = [{{ at = \"0 s\", replicas = 10 }}, {{ at = \"5 min\", replicas = 0 }}, \
         {{ at = \"8 min\", replicas = 10 }}, {{ at = \"12 min\", replicas = 0 }}]\n\
         cpu = \"1500m\"\nmemory = \"2 GiB\"\ntermination_grace = {{ constant = \"1 s\" }}\n\
         [[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n\
         disruption = {{ consolidate_after = \"0 s\", budgets = [{{ nodes = \"100%\" }}] }}\n"
    );
    let mut problems = Problems::default();
    let document = Document::parse("termination.toml", &text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let read = scenario::read(&document, "termination", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    let prepared = Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:#?}")).scenario);
    tell(&prepared, 7, 0, Wishes { check: true, trace: true, ..Wishes::default() })
}

fn times(told: &Told, event: &str) -> Vec<f64> {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|line| line["event"] == event).map(|line| line["at_ms"].as_f64().unwrap()).collect()
}

fn calls(told: &Told) -> ApiCount {
    told.record.api_counts[ApiCount::TERMINATE_INSTANCES]
}

#[test]
fn instances_that_go_together_are_asked_for_in_one_call() {
    let told = run("");
    let (stopping, gone) = (times(&told, "instance_stopping"), times(&told, "node_gone"));
    assert_eq!((told.record.nodes_launched, stopping.len(), gone.len()), (20, 20, 20));
    // Nodes that were emptied together are drained at the same look: few calls, and of one call all stop at once.
    assert!((2..=6).contains(&calls(&told).calls), "{:?}", calls(&told));
    let mut instants = stopping.clone();
    instants.dedup();
    assert_eq!(instants.len() as u64, calls(&told).calls);
    assert_eq!(calls(&told).throttled, 0);
}

#[test]
fn a_throttled_batch_is_broken_up_and_its_instances_stay() {
    let told = run("ec2_limits = { TerminateInstances = { size = 1, refill_per_s = 0 } }");
    let count = calls(&told);
    assert_eq!(count.calls - count.throttled, 1, "there is one token: {count:?}");
    let gone = times(&told, "node_gone").len();
    assert!((1..=10).contains(&gone), "{gone} gone with the one call that was let through");
    // Three tries of the batch, then of each instance alone; and again after back-offs of ten seconds at most.
    let stay = u64::from(told.record.nodes_launched) - gone as u64;
    assert!((3 + 3 * stay..300 * stay).contains(&count.throttled), "{count:?}, {stay} stay");
    assert!(told.record.nodes >= stay as u32);
}
