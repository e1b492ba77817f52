//! Cells against each other, replication by replication, which meet the same chance under the same number.

use super::meta::Meta;
use super::runs::{Columns, Runs};
use crate::results::Measure;
use crate::results::rows::CONFIDENCE;
use crate::statistics::{PairedSummary, RatioInterval, TFactors, ratio_of_means};

/// What is finite in every run, and hence has differences.
pub const COMPARED: [&str; 4] = ["time_restricted", "pods_ready", "waste_to_horizon", "cost_to_target"];

/// One cell less another in one measure.
pub struct Comparison {
    pub pairs: usize,
    /// With the interval for this one alone.
    pub paired: PairedSummary,
    /// With the interval that holds for all of them at once.
    pub together: PairedSummary,
    /// This cell's mean over the other's; `None` where the other's may be 0.
    pub ratio: Option<RatioInterval>,
    /// The same with the interval that holds for all at once.
    pub ratio_together: Option<RatioInterval>,
}

/// The factors of intervals, for one and for all of so many comparisons at once.
pub struct Comparing {
    each: TFactors,
    together: TFactors,
}

impl Comparing {
    /// All at once: Bonferroni's bound on the chance that any interval misses.
    pub fn new(comparisons: usize) -> Self {
        let each = TFactors::new(CONFIDENCE);
        Comparing { each, together: TFactors::new(1.0 - (1.0 - CONFIDENCE) / comparisons.max(1) as f64) }
    }
    /// `None` if they have no replication in common.
    pub fn compare(&mut self, cell: &Runs, base: &Runs, place: usize) -> Option<Comparison> {
        let (ours, theirs) = cell.pairs(base, place);
        Some(Comparison {
            pairs: ours.len(),
            paired: PairedSummary::of(&ours, &theirs, &mut self.each)?,
            together: PairedSummary::of(&ours, &theirs, &mut self.together)?,
            ratio: ratio_of_means(&ours, &theirs, &mut self.each),
            ratio_together: ratio_of_means(&ours, &theirs, &mut self.together),
        })
    }
}

/// The rows of `comparisons.csv`, and how many they are; `runs` by cell.
pub(super) fn comparisons(meta: &Meta, columns: &Columns, runs: &[Option<Runs>]) -> (String, u64) {
    let base_of = |place: usize| match &meta.bases {
        Some(bases) => bases[place].and_then(|base| runs[base as usize].as_ref()),
        // The first cell that has replications.
        None => runs.iter().flatten().next(),
    };
    let mut compared: Vec<(&Runs, &Runs)> = Vec::new();
    for (place, cell) in runs.iter().enumerate() {
        let Some((cell, base)) = cell.as_ref().zip(base_of(place)) else { continue };
        if cell.keys[0] != base.keys[0] {
            compared.push((cell, base));
        }
    }
    let mut comparing = Comparing::new(compared.len());
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut rows = 0;
    for (cell, base) in compared {
        for (place, (_, measure)) in columns.measures.iter().enumerate() {
            if !COMPARED.contains(&measure.name.as_str()) {
                continue;
            }
            let Some(found) = comparing.compare(cell, base, place) else { continue };
            writer.write_record(fields(measure, cell, base, &found)).expect("a row is written to memory");
            rows += 1;
        }
    }
    let text = writer.into_inner().expect("memory takes all");
    (String::from_utf8(text).expect("fields are text"), rows)
}

fn fields(measure: &Measure, cell: &Runs, base: &Runs, found: &Comparison) -> Vec<String> {
    let print = |value: Option<f64>| value.map_or(String::new(), |value| measure.print_mean(value));
    let (paired, wide) = (&found.paired, &found.together);
    let mut fields = cell.keys.clone();
    fields.extend([
        base.keys[0].clone(),
        measure.name.clone(),
        measure.unit.to_owned(),
        found.pairs.to_string(),
    ]);
    fields.push(print(Some(paired.difference.mean)));
    fields.extend([paired.difference.low(), paired.difference.high()].map(print));
    fields.extend([wide.difference.low(), wide.difference.high()].map(print));
    fields.push(paired.variance_ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")));
    fields.push(paired.variance_saved.map_or(String::new(), |share| format!("{:.0}", share * 1e6)));
    let ends = |ratio: &RatioInterval| [ratio.low, ratio.high];
    let own = found.ratio.map(|ratio| [ratio.estimate, ratio.low, ratio.high]);
    let ratios = own.map_or([None; 3], |three| three.map(Some));
    let wide = found.ratio_together.as_ref().map_or([None; 2], |ratio| ends(ratio).map(Some));
    fields.extend(ratios.into_iter().chain(wide).map(|ratio| ratio.map_or(String::new(), print_ratio)));
    fields
}

fn print_ratio(ratio: f64) -> String {
    format!("{ratio:.4}")
}
