//! The number whose causes are sought: the mean over replications of a column of `replications.csv`, or the share of
//! replications that end in some way.

use crate::input::Problem;
use crate::results::{Kind, Measure, Outcome, ReplicationRecord, measure_named, measures};

/// What a study measures if nothing is typed: the mean of min(T, horizon).
pub const RESTRICTED_TIME: &str = "time_restricted_ms";
const OUTCOMES: [Outcome; 3] = [Outcome::Reached, Outcome::Stuck, Outcome::Horizon];

/// A column of the results as a number of each replication.
#[derive(Clone, Debug)]
pub struct Response {
    /// `time_restricted_ms`
    pub column: String,
    pub unit: &'static str,
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    Measure(Measure),
    Outcome(Outcome),
}

impl Response {
    /// By the column's name in `replications.csv` with or without its unit, or that of its mean or share in `cells.csv`.
    ///
    /// # Errors
    /// If there is no such column, or none of means.
    pub fn named(name: &str) -> Result<Response, Problem> {
        for outcome in OUTCOMES {
            let column = format!("{}_share_ppm", outcome.name());
            if column == name {
                return Ok(Response { column, unit: "ppm", of: Of::Outcome(outcome) });
            }
        }
        let near = match measure_named(name) {
            Ok(measure) => {
                let (column, unit) = (measure.column(), measure.unit);
                return Ok(Response { column, unit, of: Of::Measure(measure) });
            }
            Err(near) => near,
        };
        let is_quantile = |m: &Measure| [m.with("p50"), m.with("p95")].iter().any(|own| own == name);
        let hint = match measures().into_iter().find(is_quantile) {
            Some(measure) => {
                format!("few replications a point have no quantile to speak of; take {}", measure.column())
            }
            None => near,
        };
        Err(Problem {
            place: format!("--measure {name}"),
            line: None,
            key: String::new(),
            what: format!("{name:?} is no column whose mean could be taken"),
            hint: Some(hint),
        })
    }

    /// What its mean takes for runs that never come to it, where that may be.
    pub fn remark(&self) -> Option<String> {
        let Of::Measure(Measure { kind: Kind::Instant, .. }) = &self.of else { return None };
        Some(format!("a run without {} counts with its horizon", self.column))
    }

    /// Of one replication, in the measure's raw unit; an instant that is not reached counts as the horizon. `None`
    /// where the run has no such number.
    pub fn value(&self, record: &ReplicationRecord, horizon_ms: u64) -> Option<f64> {
        match &self.of {
            Of::Outcome(outcome) => Some(if record.outcome == *outcome { 1e6 } else { 0.0 }),
            Of::Measure(measure) => {
                let open = (measure.kind == Kind::Instant).then_some(horizon_ms);
                measure.raw(record).or(open).map(|raw| raw as f64)
            }
        }
    }

    /// A mean, or a change of one, as it stands in a table.
    pub fn print(&self, raw: f64) -> String {
        match &self.of {
            Of::Outcome(_) => format!("{raw:.0}"),
            Of::Measure(measure) => measure.print_mean(raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_others_are_told() {
        for (name, column) in [
            (RESTRICTED_TIME, "time_restricted_ms"),
            ("time_restricted_mean_ms", "time_restricted_ms"),
            ("time_to_target_ms", "time_to_target_ms"),
            ("waste_peak", "waste_peak_addresses"),
            ("cost_to_target_usd", "cost_to_target_usd"),
            ("stuck_share_ppm", "stuck_share_ppm"),
        ] {
            let response = Response::named(name).unwrap();
            assert_eq!(response.column, column);
            assert_eq!(response.remark().is_some(), name == "time_to_target_ms", "{name}");
        }
        let hint = |name: &str| Response::named(name).unwrap_err().hint.unwrap();
        assert!(hint("time_restrict_ms").contains("time_restricted_ms"));
        assert!(hint("time_to_target_p95_ms").contains("time_to_target_ms"));
        assert!(hint("xyz").contains("docs/columns.md"));
    }
}
