//! What the model does: traces of a few replications of a scenario.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::scenario;
use serde_json::Value;

use super::recorded::Points;

const REPLICATIONS: u32 = 20;

/// A round of Karpenter that made claims.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub at_ms: f64,
    pub claims: f64,
}

/// One replication: sorted values by name, and rounds.
struct Replication {
    values: BTreeMap<&'static str, Vec<f64>>,
    rounds: Vec<Round>,
}

/// Some replications of a scenario.
pub struct Model(Vec<Replication>);

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/scenarios/real-control-plane")
}

/// Events whose instants are told.
const INSTANTS: [&str; 6] =
    ["pod_created", "pod_bound", "pod_ready", "claim_created", "instance_launched", "node_usable"];

impl Model {
    pub fn of(name: &str) -> Model {
        let text = std::fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
        let mut problems = Problems::default();
        let document = Document::parse(name, &text, &mut problems);
        let read = scenario::read(&document, name, &folder(), &Arc::new(Catalogue::compiled_in()));
        let prepared = Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:?}")).scenario);
        let wishes = Wishes { trace: true, ..Wishes::default() };
        let parse = |line: &String| serde_json::from_str(line).unwrap();
        let one = |replication| {
            let trace: Vec<Value> = tell(&prepared, 1, replication, wishes).trace.iter().map(parse).collect();
            Replication::of(&trace)
        };
        Model((0..REPLICATIONS).map(one).collect())
    }

    fn mean(&self, of: impl Fn(&Replication) -> f64) -> f64 {
        self.0.iter().map(of).sum::<f64>() / self.0.len() as f64
    }
    /// The mean over replications, by the nearest rank.
    pub fn points(&self, what: &str) -> Points {
        let at = |replication: &Replication, percent: usize| {
            let values = &replication.values[what];
            values[(values.len() * percent).div_ceil(100).max(1) - 1]
        };
        std::array::from_fn(|place| self.mean(|replication| at(replication, place * 5)))
    }
    pub fn has(&self, what: &str) -> bool {
        self.0.iter().all(|replication| replication.values.get(what).is_some_and(|values| !values.is_empty()))
    }
    pub fn count(&self, what: &str) -> f64 {
        self.mean(|replication| replication.values[what].len() as f64)
    }
    /// The mean over replications of the rounds at this place.
    pub fn round(&self, place: usize) -> Round {
        Round {
            at_ms: self.mean(|replication| replication.rounds[place].at_ms),
            claims: self.mean(|replication| replication.rounds[place].claims),
        }
    }
}

impl Replication {
    fn of(trace: &[Value]) -> Replication {
        let at = |line: &Value| line["at_ms"].as_f64().unwrap();
        let of = |event: &'static str| trace.iter().filter(move |line| line["event"] == event);
        let by = |key: &'static str, line: &Value| line[key].as_u64().unwrap();
        let mut values: BTreeMap<&str, Vec<f64>> =
            INSTANTS.map(|event| (event, of(event).map(at).collect())).into();
        let pods: Vec<u64> = of("pod_created").map(|line| by("pod", line)).collect();
        let per_pod = |event: &'static str, more: f64| {
            let mut counts: BTreeMap<u64, f64> = pods.iter().map(|pod| (*pod, more)).collect();
            of(event).for_each(|line| *counts.get_mut(&by("pod", line)).unwrap() += 1.0);
            counts.into_values().collect::<Vec<f64>>()
        };
        // The attempt that binds comes after those that fail.
        values.insert("attempts", per_pod("pod_unschedulable", 1.0));
        values.insert("condition_patches", per_pod("condition_patched", 0.0));
        let usable: BTreeMap<u64, f64> = of("node_usable").map(|line| (by("node", line), at(line))).collect();
        let on: BTreeMap<u64, u64> =
            of("pod_assumed").map(|line| (by("pod", line), by("node", line))).collect();
        let wait = |line: &Value| Some(at(line) - usable.get(on.get(&by("pod", line))?)?);
        values.insert("wait_after_usable", of("pod_bound").filter_map(wait).collect());
        values.values_mut().for_each(|all| all.sort_by(f64::total_cmp));
        let round = |line: &Value| Round { at_ms: at(line), claims: line["claims"].as_f64().unwrap() };
        let rounds = of("round").map(round).filter(|round| round.claims > 0.0).collect();
        Replication { values, rounds }
    }
}
