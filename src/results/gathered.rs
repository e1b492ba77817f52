//! What a cell's replications come to so far, in memory that does not grow with their number.

use std::collections::BTreeMap;

use super::measures::{Measure, measures};
use super::record::{ApiCount, Outcome, ReplicationRecord, TIMELINE_POINTS};
use super::tables::{SERIES, is_cause};
use crate::statistics::Tally;
use crate::world::cause::Cause;

/// So many replications' measures are known one by one; of more, quantiles are those of bins.
pub const EXACT_MEASURES: usize = 2_048;
/// The same of the timeline, which has some 1,400 numbers a replication, most of them small.
pub const EXACT_TIMELINE: usize = 256;

/// A cell's replications summed up; rows of its tables are made of it.
pub struct Gathered {
    pub(super) replications: u64,
    outcomes: BTreeMap<&'static str, u64>,
    /// Of runs that did not reach the target, by [`Cause`].
    pub(super) reasons: [u64; Cause::COUNT],
    /// What `cells.csv` estimates, and the values of runs that have one.
    pub(super) measures: Vec<(Measure, Tally<u64>)>,
    /// Pod-milliseconds, by [`Cause`].
    pub(super) cause_pod_ms: [u64; Cause::COUNT],
    /// By `SubnetId`.
    pub(super) subnets: Vec<SubnetSums>,
    /// Sum and most of the nodes of a type.
    pub(super) nodes_by_type: BTreeMap<String, (u64, u32)>,
    /// Sums and most calls, by [`ApiCount::names`].
    pub(super) api_counts: [(ApiCount, u64); ApiCount::APIS],
    /// By instant, then by series.
    pub(super) timeline: Vec<Tally<u32>>,
    /// When the longest run ended (ms).
    pub(super) ended_ms: u64,
}

/// A subnet over replications.
#[derive(Clone)]
pub(super) struct SubnetSums {
    pub first_dry_ms: Tally<u64>,
    pub least_free: Tally<u32>,
}

impl Gathered {
    /// Of a cell with so many subnets.
    pub fn new(subnets: usize) -> Self {
        let estimated = measures().into_iter().filter(|measure| !is_cause(measure));
        let subnet =
            SubnetSums { first_dry_ms: Tally::new(EXACT_MEASURES), least_free: Tally::new(EXACT_MEASURES) };
        Gathered {
            replications: 0,
            outcomes: BTreeMap::new(),
            reasons: [0; Cause::COUNT],
            measures: estimated.map(|measure| (measure, Tally::new(EXACT_MEASURES))).collect(),
            cause_pod_ms: [0; Cause::COUNT],
            subnets: vec![subnet; subnets],
            nodes_by_type: BTreeMap::new(),
            api_counts: [(ApiCount::default(), 0); ApiCount::APIS],
            timeline: vec![Tally::new(EXACT_TIMELINE); TIMELINE_POINTS * SERIES.len()],
            ended_ms: 0,
        }
    }

    pub fn replications(&self) -> u64 {
        self.replications
    }

    pub(super) fn with(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.name()).copied().unwrap_or(0)
    }

    /// The values of a measure that `cells.csv` estimates.
    ///
    /// # Panics
    /// If it does not estimate that one.
    pub fn of(&self, measure: &Measure) -> &Tally<u64> {
        let found = self.measures.iter().find(|(known, _)| known.name == measure.name);
        &found.unwrap_or_else(|| panic!("cells have no {}", measure.name)).1
    }

    /// Takes the next replication in.
    pub fn add(&mut self, record: &ReplicationRecord) {
        self.replications += 1;
        *self.outcomes.entry(record.outcome.name()).or_default() += 1;
        if let Some(reason) = record.reason {
            self.reasons[reason as usize] += 1;
        }
        for (measure, tally) in &mut self.measures {
            if let Some(raw) = measure.raw(record) {
                tally.add(raw);
            }
        }
        for (sum, waited) in self.cause_pod_ms.iter_mut().zip(record.cause_pod_ms) {
            *sum += waited;
        }
        for (sums, subnet) in self.subnets.iter_mut().zip(&record.subnets) {
            subnet.first_dry_ms.iter().for_each(|ms| sums.first_dry_ms.add(*ms));
            sums.least_free.add(subnet.least_free);
        }
        for (name, count) in &record.nodes_by_type {
            if !self.nodes_by_type.contains_key(name) {
                self.nodes_by_type.insert(name.clone(), (0, 0));
            }
            let slot = self.nodes_by_type.get_mut(name).expect("it was put there");
            *slot = (slot.0 + u64::from(*count), slot.1.max(*count));
        }
        for ((sums, most), count) in self.api_counts.iter_mut().zip(record.api_counts) {
            sums.calls += count.calls;
            sums.throttled += count.throttled;
            sums.refused += count.refused;
            *most = count.calls.max(*most);
        }
        let points = record.timeline.iter().flat_map(|point| SERIES.iter().map(|series| (series.get)(point)));
        self.timeline.iter_mut().zip(points).for_each(|(tally, value)| tally.add(value));
        self.ended_ms = self.ended_ms.max(record.ended_ms);
    }
}
