//! A cell's replications read back from its rows, so that cells can be held against each other run by run.

use std::collections::BTreeMap;

use super::meta::Meta;
use super::sweep::Finished;
use crate::results::tables::column_place;
use crate::results::{Measure, measures};

/// Some measures of a cell's replications.
pub(super) struct Runs {
    /// What identifies the cell.
    pub keys: Vec<String>,
    /// By replication: raw values of the measures; `None` where the run has none.
    pub values: BTreeMap<u32, Vec<Option<f64>>>,
}

/// The measures of these names, in the registry's order, with their places in a row of `replications.csv`.
pub(super) fn placed(names: &[&str]) -> Vec<(usize, Measure)> {
    let wanted = measures().into_iter().filter(|measure| names.contains(&measure.name.as_str()));
    wanted.map(|measure| (column_place("replications", &measure.column()), measure)).collect()
}

/// `None` of a cell without replications.
pub(super) fn runs(meta: &Meta, cell: &Finished, measures: &[(usize, Measure)]) -> Option<Runs> {
    let keys = meta.keys.columns.len();
    let number = keys + column_place("replications", "replication");
    let mut runs: Option<Runs> = None;
    for record in cell.rows.records("replications") {
        let value = |(place, measure): &(usize, Measure)| {
            let text = &record[keys + place];
            (!text.is_empty()).then(|| text.parse::<f64>().expect("measures are numbers") * measure.scale())
        };
        let of_cell = runs.get_or_insert_with(|| Runs {
            keys: record.iter().take(keys).map(str::to_owned).collect(),
            values: BTreeMap::new(),
        });
        let replication = record[number].parse().expect("replications are numbered");
        of_cell.values.insert(replication, measures.iter().map(value).collect());
    }
    runs
}
