//! Whether a pool that is up has several instances, from watchers that asked for as many at once.

use crate::catalogue::FileProblem;

/// What a watcher of several instances saw.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Partial {
    pub nodes_requested: u32,
    pub days: f64,
    /// Share of the time in which one was there at least.
    pub any_up: f64,
    /// Share of the instances asked for that were there, over all of the time.
    pub mean_up: f64,
}

/// Of the instances asked for while the pool was up, the share that was there, by how many were asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Filled {
    pub nodes_requested: u32,
    pub share: f64,
}

/// Reads the columns `nodes_requested`, `days`, `share_any_up` and `mean_share_of_nodes_up`.
///
/// # Errors
/// Every cell that is no number above 0.
pub fn read(text: &str) -> Result<Vec<Partial>, Vec<FileProblem>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().cloned().unwrap_or_default();
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for (index, record) in reader.records().flatten().enumerate() {
        let mut number = |name: &str| {
            let place = header.iter().position(|column| column == name);
            let value = place.and_then(|place| record.get(place)).unwrap_or_default();
            value.parse().ok().filter(|number: &f64| *number > 0.0).unwrap_or_else(|| {
                problems.push(FileProblem {
                    line: index as u64 + 2,
                    column: name.to_string(),
                    value: value.to_string(),
                    trouble: "is no number above 0".to_string(),
                });
                1.0
            })
        };
        all.push(Partial {
            nodes_requested: number("nodes_requested") as u32,
            days: number("days"),
            any_up: number("share_any_up"),
            mean_up: number("mean_share_of_nodes_up"),
        });
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Watchers of equally many together, by their time up.
pub fn filled(partial: &[Partial], nodes_requested: u32) -> Filled {
    let of = || partial.iter().filter(|row| row.nodes_requested == nodes_requested);
    let there: f64 = of().map(|row| row.days * row.mean_up).sum();
    let up: f64 = of().map(|row| row.days * row.any_up).sum();
    Filled { nodes_requested, share: there / up }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_count_by_their_time_up() {
        let row = |days, any_up, mean_up| Partial { nodes_requested: 4, days, any_up, mean_up };
        let filled = filled(&[row(10.0, 0.5, 0.4), row(30.0, 0.5, 0.5)], 4);
        assert!((filled.share - 19.0 / 20.0).abs() < 1e-12);
    }
}
