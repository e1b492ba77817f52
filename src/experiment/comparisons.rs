//! Every cell against the first one, replication by replication, which meet the same chance under the same number.

use super::meta::Meta;
use super::runs::{Runs, placed, runs};
use super::sweep::Finished;
use crate::results::rows::CONFIDENCE;
use crate::statistics::{PairedSummary, TFactors};

/// What is finite in every run, and hence has differences.
pub(super) const COMPARED: [&str; 4] =
    ["time_restricted", "pods_ready", "waste_to_horizon", "cost_to_target"];

/// The rows of `comparisons.csv`, and how many they are.
pub(super) fn comparisons(meta: &Meta, cells: &[Finished]) -> (String, u64) {
    let compared = placed(&COMPARED);
    let runs: Vec<Runs> = cells.iter().filter_map(|cell| runs(meta, cell, &compared)).collect();
    let Some((base, others)) = runs.split_first() else { return (String::new(), 0) };
    let mut each = TFactors::new(CONFIDENCE);
    // All cells at once: Bonferroni's bound on the chance that any interval misses.
    let mut together = TFactors::new(1.0 - (1.0 - CONFIDENCE) / others.len().max(1) as f64);
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut rows = 0;
    for other in others {
        for (place, (_, measure)) in compared.iter().enumerate() {
            // Only runs that both have.
            let pairs = other
                .values
                .iter()
                .filter_map(|(replication, values)| values[place].zip(base.values.get(replication)?[place]));
            let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.unzip();
            let Some(paired) = PairedSummary::of(&ours, &theirs, &mut each) else { continue };
            let wide = PairedSummary::of(&ours, &theirs, &mut together).expect("the pairs are the same");
            let print = |value: Option<f64>| value.map_or(String::new(), |value| measure.print_mean(value));
            let mut fields = other.keys.clone();
            fields.extend([
                base.keys[0].clone(),
                measure.name.clone(),
                measure.unit.to_owned(),
                ours.len().to_string(),
            ]);
            fields.push(print(Some(paired.difference.mean)));
            fields.extend([paired.difference.low(), paired.difference.high()].map(print));
            fields.extend([wide.difference.low(), wide.difference.high()].map(print));
            fields.push(paired.variance_ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")));
            fields.push(paired.variance_saved.map_or(String::new(), |share| format!("{:.0}", share * 1e6)));
            writer.write_record(&fields).expect("a row is written to memory");
            rows += 1;
        }
    }
    let text = writer.into_inner().expect("memory takes all");
    (String::from_utf8(text).expect("fields are text"), rows)
}
