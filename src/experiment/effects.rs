//! What each level of a full grid does to the cells' means, and each pair of levels beyond that.

use super::meta::Meta;
use super::runs::{Columns, Runs};
use super::sweep::Finished;
use crate::results::Measure;
use crate::statistics::grid_effects;

/// Means of what is there in every run.
pub(super) const MEASURES: [&str; 3] = ["time_restricted", "waste_to_horizon", "cost_to_target"];

/// The rows of `effects.csv`, and how many they are: none where the cells are no grid of two or more levels, or one of
/// them has no replication.
pub(super) fn effects(
    meta: &Meta,
    cells: &[Finished],
    columns: &Columns,
    runs: &[Option<Runs>],
) -> (String, u64) {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut rows = 0;
    if let Some((levels, responses)) = grid(meta).zip(responses(cells, columns, runs)) {
        let counts: Vec<usize> = levels.iter().map(Vec::len).collect();
        for response in responses {
            for term in grid_effects(&counts, &response.of_cells) {
                // A factor of one level does nothing.
                if term.factors.iter().any(|factor| counts[*factor] < 2) {
                    continue;
                }
                let name = |factor: &usize| meta.factors[*factor].as_str();
                let names = term.factors.iter().map(name).collect::<Vec<_>>().join(" x ");
                let share = term.share.map_or(String::new(), |share| format!("{:.0}", share * 1e6));
                for (at, effect) in &term.effects {
                    let at: Vec<(usize, &str)> =
                        term.factors.iter().zip(at).map(|(f, level)| (*f, levels[*f][*level])).collect();
                    let mut fields = vec![String::new(); meta.keys.columns.len()];
                    at.iter().for_each(|(factor, label)| fields[1 + factor] = (*label).to_string());
                    let labels = at.iter().map(|(_, label)| *label).collect::<Vec<_>>().join(" x ");
                    fields.extend([
                        response.name.to_string(),
                        response.unit.to_string(),
                        names.clone(),
                        labels,
                    ]);
                    fields.extend([(response.print)(*effect), share.clone()]);
                    writer.write_record(&fields).expect("a row is written to memory");
                    rows += 1;
                }
            }
        }
    }
    let text = writer.into_inner().expect("memory takes all");
    (String::from_utf8(text).expect("fields are text"), rows)
}

/// The labels of each factor in order, if the cells are all their combinations with the last factor changing fastest.
fn grid(meta: &Meta) -> Option<Vec<Vec<&str>>> {
    let mut levels: Vec<Vec<&str>> = vec![Vec::new(); meta.factors.len()];
    for labels in &meta.labels {
        for (known, label) in levels.iter_mut().zip(labels) {
            if !known.contains(&label.as_str()) {
                known.push(label);
            }
        }
    }
    let count = levels.iter().map(Vec::len).try_fold(1usize, usize::checked_mul)?;
    let whole = count == meta.labels.len() && !meta.factors.is_empty();
    let in_order = |(cell, labels): (usize, &Vec<String>)| {
        let mut rest = cell;
        levels.iter().zip(labels).rev().all(|(known, label)| {
            let place = rest % known.len();
            rest /= known.len();
            known[place] == label
        })
    };
    (whole && meta.labels.iter().enumerate().all(in_order)).then_some(levels)
}

/// A measure with its mean in each cell.
struct Response {
    name: String,
    unit: &'static str,
    print: Box<dyn Fn(f64) -> String>,
    of_cells: Vec<f64>,
}

/// `None` if some cell has no replication.
fn responses(cells: &[Finished], columns: &Columns, runs: &[Option<Runs>]) -> Option<Vec<Response>> {
    let mut places = MEASURES.map(|name| columns.place(name));
    places.sort_unstable();
    let mut of_cells = vec![Vec::new(); places.len()];
    let mut unreached = Vec::new();
    for (cell, runs) in cells.iter().zip(runs) {
        let runs = runs.as_ref()?;
        for (place, means) in places.iter().zip(of_cells.iter_mut()) {
            let values: Vec<f64> = runs.values[*place].iter().flatten().copied().collect();
            means.push(values.iter().sum::<f64>() / values.len() as f64);
        }
        let summary = &cell.summary;
        unreached.push(1.0 - summary.reached as f64 / summary.replications as f64);
    }
    let measures = places.map(|place| columns.measures[place].1.clone());
    let response = |(measure, of_cells): (Measure, Vec<f64>)| Response {
        name: measure.name.clone(),
        unit: measure.unit,
        print: Box::new(move |value| measure.print_mean(value)),
        of_cells,
    };
    let mut all: Vec<Response> = measures.into_iter().zip(of_cells).map(response).collect();
    all.push(Response {
        name: "unreached_share".to_string(),
        unit: "ppm",
        print: Box::new(|share| format!("{:.0}", share * 1e6)),
        of_cells: unreached,
    });
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tables::CellKeys;

    fn meta(labels: &[[&str; 2]]) -> Meta {
        Meta {
            plan_id: String::new(),
            results_version: 0,
            precision: None,
            bases: None,
            name: String::new(),
            seed: "1".into(),
            replications: 1,
            horizon_ms: 0,
            target_pods: 0,
            cell_ids: Vec::new(),
            labels: labels.iter().map(|labels| labels.map(str::to_string).to_vec()).collect(),
            factors: vec!["size".into(), "cni".into()],
            catalogue: None,
            keys: CellKeys { columns: Vec::new() },
            input: String::new(),
        }
    }

    #[test]
    fn only_all_combinations_in_order_are_a_grid() {
        let whole = [["a", "x"], ["a", "y"], ["b", "x"], ["b", "y"]];
        assert_eq!(grid(&meta(&whole)), Some(vec![vec!["a", "b"], vec!["x", "y"]]));
        assert_eq!(grid(&meta(&whole[..3])), None);
        assert_eq!(grid(&meta(&[whole[0], whole[2], whole[1], whole[3]])), None);
        assert_eq!(grid(&meta(&[whole[0], whole[3]])), None);
    }
}
