//! What a study comes to before it is run, from a few replications of its scenario.

use serde_json::{Value, json};

use super::study::Study;
use crate::components::{Prepared, simulate};

/// Replications that are tried, as far as the time allows; the first always.
const REPLICATIONS: u32 = 8;
/// After so many seconds no further one is begun.
const SECONDS: f64 = 2.0;

/// What is to be expected.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// Replications of the screening.
    pub screening: u64,
    /// Replications of the variance design, at most: how many factors the screening leaves is not known yet.
    pub sharing: u64,
    /// Of one replication on one thread (s), on average.
    pub seconds_each: f64,
}

impl Forecast {
    /// On so many threads (s), at most.
    pub fn seconds(&self, threads: usize) -> f64 {
        self.seconds_each * (self.screening + self.sharing) as f64 / threads.max(1) as f64
    }
    pub fn to_json(&self, threads: usize) -> Value {
        json!({
            "screening_replications": self.screening,
            "sharing_replications_at_most": self.sharing,
            "seconds_each": self.seconds_each,
            "threads": threads,
            "seconds_at_most": self.seconds(threads),
        })
    }
}

impl Study {
    /// Tries the scenario as it is; `seconds` is the wall clock.
    pub fn forecast(&self, seconds: &dyn Fn() -> f64) -> Forecast {
        let prepared = Prepared::new(self.subject.scenario.clone());
        let (began, mut tried) = (seconds(), 0);
        while tried < REPLICATIONS.min(self.options.replications)
            && (tried == 0 || seconds() - began < SECONDS)
        {
            simulate(&prepared, self.subject.seed, tried);
            tried += 1;
        }
        Forecast {
            screening: self.screening_work(),
            sharing: self.most_sharing_work(),
            seconds_each: (seconds() - began) / f64::from(tried.max(1)),
        }
    }
}
