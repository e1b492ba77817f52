//! Whole runs against timelines recorded from a real control plane: Kubernetes 1.34.4 and Karpenter with fake nodes.
//!
//! Recorded figures are means over the repeats of each run on a quiet machine (A-1 to A-3, C-1 and C-3, E-1 to E-3,
//! B300-1 and B300-2).

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::scenario;
use serde_json::Value;

const REPLICATIONS: u32 = 5;

/// Trace lines of each replication.
fn traces(name: &str) -> Vec<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/scenarios/real-control-plane");
    let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    let mut problems = Problems::default();
    let document = Document::parse(name, &text, &mut problems);
    let read = scenario::read(&document, name, &folder, &Arc::new(Catalogue::compiled_in()));
    let prepared = Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:?}")).scenario);
    let wishes = Wishes { trace: true, ..Wishes::default() };
    let parse = |line: &String| serde_json::from_str(line).unwrap();
    (0..REPLICATIONS)
        .map(|replication| tell(&prepared, 1, replication, wishes).trace.iter().map(parse).collect())
        .collect()
}

/// The 50, 90 and 100 % points of an event's instants (ms), averaged over replications.
fn points(traces: &[Vec<Value>], event: &str) -> [f64; 3] {
    let of = |trace: &Vec<Value>, percent: usize| {
        let mut at: Vec<f64> = trace
            .iter()
            .filter(|line| line["event"] == event)
            .map(|line| line["at_ms"].as_f64().unwrap())
            .collect();
        at.sort_by(f64::total_cmp);
        at[at.len() * percent / 100 - 1]
    };
    [50, 90, 100]
        .map(|percent| traces.iter().map(|trace| of(trace, percent)).sum::<f64>() / traces.len() as f64)
}

fn check(name: &str, event: &str, recorded: [f64; 3], percent: f64) -> Vec<Vec<Value>> {
    let traces = traces(name);
    let got = points(&traces, event);
    for (got, recorded) in got.iter().zip(recorded) {
        let off = (got / recorded - 1.0) * 100.0;
        assert!(
            off.abs() <= percent,
            "{name}, {event}: {got:.0} ms, recorded {recorded:.0} ms, {off:.1} % off"
        );
    }
    traces
}

#[test]
fn a_thousand_pods_onto_nodes_that_are_there() {
    check("a", "pod_created", [23_970.0, 44_534.0, 49_535.0], 5.0);
    check("a", "pod_bound", [23_976.0, 44_541.0, 49_543.0], 5.0);
}

#[test]
fn a_thousand_pods_on_nodes_of_many() {
    check("c", "pod_created", [23_914.0, 44_464.0, 49_463.0], 15.0);
    let traces = check("c", "pod_bound", [62_095.0, 92_050.0, 102_332.0], 15.0);
    for trace in &traces {
        let of =
            |event: &str| trace.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<Value>>();
        let claims = of("claim_created").len() as f64;
        assert!((claims - 68.5).abs() <= 3.0, "{claims} claims, recorded 68 and 69");
        for (round, recorded) in of("round").iter().zip([10.05, 20.15, 30.25, 40.45]) {
            let at = round["at_ms"].as_f64().unwrap() / 1e3;
            assert!((at - recorded).abs() <= 0.5, "a round at {at} s, recorded {recorded} s");
        }
    }
}

#[test]
fn a_hundred_pods_one_a_node() {
    check("e", "pod_created", [1_282.0, 3_333.0, 3_833.0], 10.0);
    check("e", "pod_bound", [41_338.0, 45_806.0, 46_795.0], 10.0);
}

#[test]
fn three_hundred_pods_one_a_node() {
    check("b300", "pod_created", [6_365.0, 12_752.0, 14_202.0], 10.0);
    check("b300", "pod_bound", [58_617.0, 72_070.0, 75_265.0], 10.0);
}
