//! What is estimated of a cell: a quantile or the mean of a measure, named as its column in `cells.csv`.

use crate::input::nearest;
use crate::results::gathered::Gathered;
use crate::results::rows::CONFIDENCE;
use crate::results::tables::is_cause;
use crate::results::{Kind, Measure, ReplicationRecord, measures};
use crate::statistics::{MeanInterval, Ranks, TFactors, mean_is_narrow, quantile_is_narrow};

/// A statistic of a measure.
#[derive(Clone, Debug)]
pub struct Estimand {
    pub measure: Measure,
    statistic: Statistic,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Statistic {
    Quantile(f64),
    Mean,
}

impl Statistic {
    const fn name(self) -> &'static str {
        match self {
            Statistic::Quantile(0.5) => "p50",
            Statistic::Quantile(_) => "p95",
            Statistic::Mean => "mean",
        }
    }
    /// Those with an interval in `cells.csv`, the usual first.
    fn of(measure: &Measure) -> &'static [Statistic] {
        match measure.kind {
            Kind::Instant => &[Statistic::Quantile(0.5), Statistic::Quantile(0.95)],
            Kind::Count | Kind::Usd | Kind::Hours => &[Statistic::Mean],
        }
    }
}

impl Default for Estimand {
    /// The median of the time to the target.
    fn default() -> Self {
        Estimand::named("time_to_target").expect("the registry has the time to the target")
    }
}

impl Estimand {
    /// `time_to_target_p95_ms`, a column of `cells.csv`; the measure alone means the median of an instant and the mean of anything
    /// else.
    ///
    /// # Errors
    /// What is wrong with the name, and how to mend it.
    pub fn named(name: &str) -> Result<Estimand, (String, String)> {
        let mut columns = Vec::new();
        for measure in measures().into_iter().filter(|measure| !is_cause(measure)) {
            for (place, statistic) in Statistic::of(&measure).iter().enumerate() {
                let estimand = Estimand { measure: measure.clone(), statistic: *statistic };
                if name == estimand.column()
                    || place == 0 && (name == measure.name || name == measure.column())
                {
                    return Ok(estimand);
                }
                columns.push(estimand.column());
            }
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let small = name.to_lowercase();
        let longer = columns.iter().find(|column| name.len() > 2 && column.starts_with(&small)).copied();
        let hint = match longer.or(nearest(name, &columns)) {
            Some(known) => format!("did you mean {known:?}?"),
            None => "docs/columns.md lists the columns of cells.csv".to_string(),
        };
        Err((format!("{name:?} has no estimate with an interval"), hint))
    }

    /// Its column in `cells.csv`.
    pub fn column(&self) -> String {
        self.measure.with(self.statistic.name())
    }

    /// Is half its interval within `target` of the estimate?
    pub(super) fn is_narrow(&self, of: &Gathered, target: f64) -> bool {
        let (n, values) = (of.replications() as usize, of.of(&self.measure));
        match self.statistic {
            _ if n == 0 => false,
            Statistic::Quantile(p) => quantile_is_narrow(&values.sorted().interval(n, p, CONFIDENCE), target),
            // As in the tables: of the runs that have a value.
            Statistic::Mean => {
                let mean = values.mean(&mut TFactors::new(CONFIDENCE));
                mean.is_some_and(|mean| mean_is_narrow(&mean, target))
            }
        }
    }

    /// Is it a quantile of something that none of these came to?
    pub(super) fn is_beyond(&self, few: &[ReplicationRecord]) -> bool {
        let came = |record: &ReplicationRecord| self.measure.raw(record).is_some();
        matches!(self.statistic, Statistic::Quantile(_)) && !few.iter().any(came)
    }

    /// Estimate and half-width that `n` replications may be expected to give, in the measure's unit, judged by a few. `None` if
    /// these do not reach as far as the interval's ends, or the runs never get there.
    pub(super) fn expected(&self, few: &[ReplicationRecord], n: u32) -> Option<(f64, f64)> {
        let mut values: Vec<f64> = few.iter().filter_map(|record| self.measure.value(record)).collect();
        match self.statistic {
            Statistic::Mean if values.len() > 1 && n > 1 => {
                let found = MeanInterval::of(&values, &mut TFactors::new(CONFIDENCE))?;
                let factor = TFactors::new(CONFIDENCE).of(n as usize);
                Some((found.mean, factor * found.standard_deviation / libm::sqrt(f64::from(n))))
            }
            Statistic::Mean => None,
            Statistic::Quantile(p) => {
                values.sort_by(f64::total_cmp);
                let ranks = Ranks::of(n as usize, p, CONFIDENCE);
                let at = |rank: usize| between(&values, few.len(), rank as f64 / f64::from(n));
                Some((at(ranks.estimate)?, (at(ranks.high?)? - at(ranks.low?)?) / 2.0))
            }
        }
    }
}

/// The value below which `share` of `n` runs lie, between the two observed ones next to it; those beyond `sorted` never got
/// there.
fn between(sorted: &[f64], n: usize, share: f64) -> Option<f64> {
    // The i-th value stands for the middle of the i-th n-th.
    let place = share * n as f64 - 0.5;
    if place < 0.0 {
        return None;
    }
    let below = libm::floor(place);
    let (low, part) = (sorted.get(below as usize)?, place - below);
    if part == 0.0 { Some(*low) } else { Some(low + part * (sorted.get(below as usize + 1)? - low)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimands_are_columns_of_cells() {
        let columns: Vec<String> =
            crate::results::tables::columns("cells").into_iter().map(|column| column.name).collect();
        for (name, column) in [
            ("time_to_target", "time_to_target_p50_ms"),
            ("time_to_target_ms", "time_to_target_p50_ms"),
            ("time_to_target_p95_ms", "time_to_target_p95_ms"),
            ("waste_at_target", "waste_at_target_mean_addresses"),
            ("cost_per_hour", "cost_per_hour_mean_usd"),
        ] {
            assert_eq!(Estimand::named(name).unwrap().column(), column);
            assert!(columns.contains(&column.to_string()), "{column} is no column");
        }
        let (what, hint) = Estimand::named("time_to_target_p95").unwrap_err();
        assert!(what.contains("no estimate") && hint.contains("time_to_target_p95_ms"), "{what}; {hint}");
        assert!(Estimand::named("nonsense").is_err());
    }

    #[test]
    fn values_between_are_interpolated_and_none_is_invented() {
        let four = [10.0, 20.0, 30.0, 40.0];
        assert_eq!(between(&four, 4, 0.5), Some(25.0));
        assert_eq!(between(&four, 4, 0.375), Some(20.0));
        assert_eq!(between(&four, 4, 0.95), None, "beyond the largest");
        assert_eq!(between(&four, 4, 0.05), None, "below the least");
        assert_eq!(between(&four, 8, 0.5), None, "half of the runs never get there");
    }
}
