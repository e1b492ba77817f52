//! Cells' replications read back from their rows, so that cells can be held against each other run by run.

use std::io;

use super::meta::Meta;
use crate::results::tables::column_place;
use crate::results::{Measure, measures};

/// Some measures of a cell's replications.
pub struct Runs {
    /// What identifies the cell, its id first.
    pub keys: Vec<String>,
    /// Numbers of the replications, rising.
    pub replications: Vec<u32>,
    /// By measure of [`Columns`], then by replication: raw values; `None` where the run has none.
    pub values: Vec<Vec<Option<f64>>>,
}

/// Where some measures stand in the rows of `replications.csv`.
pub struct Columns {
    keys: usize,
    replication: usize,
    pub measures: Vec<(usize, Measure)>,
}

impl Columns {
    /// The measures of these names, in the registry's order, in rows as this program writes them.
    pub(super) fn of(meta: &Meta, names: &[&str]) -> Columns {
        let keys = meta.keys.columns.len();
        let wanted = measures().into_iter().filter(|measure| names.contains(&measure.name.as_str()));
        let place = |name: &str| keys + column_place("replications", name);
        let measures = wanted.map(|measure| (place(&measure.column()), measure)).collect();
        Columns { keys, replication: place("replication"), measures }
    }

    /// The same measures under a header.
    ///
    /// # Errors
    /// The column that is missing.
    pub fn under(header: &csv::StringRecord, measures: &[Measure]) -> Result<Columns, String> {
        let place = |name: &str| header.iter().position(|known| known == name).ok_or(name.to_string());
        let measures = measures.iter().map(|measure| Ok((place(&measure.column())?, measure.clone())));
        let replication = place("replication")?;
        // What identifies the cell stands before it.
        Ok(Columns { keys: replication, replication, measures: measures.collect::<Result<_, String>>()? })
    }

    /// The place of a measure in [`Runs::values`].
    ///
    /// # Panics
    /// If it is none of these.
    pub fn place(&self, name: &str) -> usize {
        let place = self.measures.iter().position(|(_, measure)| measure.name == name);
        place.unwrap_or_else(|| panic!("{name} was not read"))
    }

    /// Cells, each of consecutive rows.
    ///
    /// # Errors
    /// If a row cannot be read, is cut short, or has text where a number belongs.
    pub fn read<R: io::Read>(&self, mut rows: csv::Reader<R>) -> io::Result<Vec<Runs>> {
        let mut cells: Vec<Runs> = Vec::new();
        let mut row = csv::StringRecord::new();
        while rows.read_record(&mut row)? {
            let bad = || io::Error::other(format!("row {:?} is not as it was written", &row[0]));
            if cells.last().is_none_or(|cell| cell.keys[0] != row[0]) {
                cells.push(Runs {
                    keys: row.iter().take(self.keys).map(str::to_owned).collect(),
                    replications: Vec::new(),
                    values: vec![Vec::new(); self.measures.len()],
                });
            }
            let cell = cells.last_mut().expect("one was put there");
            let number = row.get(self.replication).and_then(|text| text.parse().ok());
            cell.replications.push(number.ok_or_else(bad)?);
            for (values, (place, measure)) in cell.values.iter_mut().zip(&self.measures) {
                let text = row.get(*place).ok_or_else(bad)?;
                let number =
                    (!text.is_empty()).then(|| text.parse::<f64>().map_err(|_| bad())).transpose()?;
                values.push(number.map(|number| number * measure.scale()));
            }
        }
        Ok(cells)
    }
}

impl Runs {
    /// Values of a measure in the replications that both have, this cell's first; a pair of which one lacks its value is none.
    pub fn pairs(&self, base: &Runs, place: usize) -> (Vec<f64>, Vec<f64>) {
        let mut theirs = base.replications.iter().zip(&base.values[place]).peekable();
        let ours = self.replications.iter().zip(&self.values[place]);
        let pair = |(number, value): (&u32, &Option<f64>)| {
            while theirs.next_if(|(other, _)| *other < number).is_some() {}
            let (_, other) = theirs.next_if(|(other, _)| *other == number)?;
            value.zip(*other)
        };
        ours.filter_map(pair).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "cell_id,size,replication,time_restricted_ms,cost_to_target_usd\n\
        c0001,a,0,10,0.5\nc0001,a,2,30,\nc0001,a,3,40,1.5\n\
        c0002,b,0,11,0.25\nc0002,b,1,21,1\nc0002,b,3,41,2\n";

    fn read(text: &str) -> io::Result<(Columns, Vec<Runs>)> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let wanted: Vec<Measure> = measures()
            .into_iter()
            .filter(|measure| ["time_restricted", "cost_to_target"].contains(&measure.name.as_str()))
            .collect();
        let columns = Columns::under(reader.headers()?, &wanted).unwrap();
        let runs = columns.read(reader)?;
        Ok((columns, runs))
    }

    #[test]
    fn pairs_are_of_the_replications_that_both_have() {
        let (columns, runs) = read(TABLE).unwrap();
        assert_eq!((runs.len(), runs[1].keys.join(" ")), (2, "c0002 b".to_string()));
        let (time, cost) = (columns.place("time_restricted"), columns.place("cost_to_target"));
        assert_eq!(runs[1].pairs(&runs[0], time), (vec![11.0, 41.0], vec![10.0, 40.0]));
        assert_eq!(runs[0].pairs(&runs[1], cost), (vec![0.5e6, 1.5e6], vec![0.25e6, 2e6]));
    }

    #[test]
    fn a_row_cut_short_is_an_error() {
        assert!(read(&TABLE.replace(",41,2\n", ",4")).is_err());
        assert!(read(&TABLE.replace("0.25", "x")).is_err());
    }
}
