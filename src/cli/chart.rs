//! Pods over time, drawn with characters that any terminal shows.

use std::fmt::Write;

use crate::results::ReplicationRecord;
use crate::scenario::Scenario;

const ROWS: usize = 10;
const COLUMNS: usize = 72;

/// Pods that count (`counted`: Ready, or what else the target takes) from the scale command to the end of the run, and from none to the most pods that were wanted, or to the target.
pub(super) fn pods(record: &ReplicationRecord, scenario: &Scenario, counted: &str) -> String {
    let timeline = &record.timeline;
    // A run that goes on after its target ended later; one that is stuck is the same until its horizon.
    let end_s = (record.observed_ms.max(record.ended_ms) as f64 / 1e3).max(1.0);
    let step_s = scenario.horizon.secs_f64() / (timeline.len().max(2) - 1) as f64;
    let at = |column: usize| {
        let seconds = end_s * (column + 1) as f64 / COLUMNS as f64;
        timeline[((seconds / step_s).ceil() as usize).min(timeline.len() - 1)]
    };
    let wanted = (0..COLUMNS).map(|column| at(column).pods_pending + at(column).pods_running);
    let most = wanted.max().unwrap_or(0).max(scenario.target_pods).max(1);
    let mut text = format!("pods over time (# {counted}, + Running, . wanted), 0 to {end_s:.0} s\n");
    for row in (0..ROWS).rev() {
        let level = f64::from(most) * (row as f64 + 0.5) / ROWS as f64;
        let mark = |column| {
            let point = at(column);
            let above = |count: u32| f64::from(count) >= level;
            match () {
                () if above(point.pods_ready) => '#',
                () if above(point.pods_running) => '+',
                () if above(point.pods_pending + point.pods_running) => '.',
                () => ' ',
            }
        };
        let line: String = (0..COLUMNS).map(mark).collect();
        let label = if row == ROWS - 1 { most.to_string() } else { String::new() };
        let _ = writeln!(text, "{label:>7} |{line}");
    }
    text
}
