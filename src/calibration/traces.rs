//! Traces of spot capacity: who looked at a pool again and again, and how many looks in a row found it up or down.

use crate::catalogue::FileProblem;

/// What one watcher of one pool saw, cut into runs of looks that found the same.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Whether capacity was asked for (`availability`) or instances were held (`preemption`).
    pub kind: String,
    pub collection: String,
    pub zone: String,
    pub instance_type: String,
    /// Instances asked for at once; up means that one of them was there.
    pub nodes_requested: u32,
    /// Seconds that a look in the file stands for.
    pub gap_s: f64,
    /// Seconds between looks that can have found something new: an episode's length is known to within this.
    pub look_s: f64,
    first_is_up: bool,
    run_lengths: Vec<u32>,
}

/// A run of equal looks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Episode {
    /// As counted (s).
    pub seen_s: f64,
    pub look_s: f64,
    /// It began before the trace or went on after it.
    pub cut: bool,
}

/// The columns of such a file, all of them needed.
const COLUMNS: [&str; 9] = [
    "kind",
    "collection",
    "zone",
    "instance_type",
    "nodes_requested",
    "gap_s",
    "look_s",
    "first",
    "run_lengths",
];

impl Series {
    /// Its episodes of capacity (`up`) or of none, in their order.
    pub fn episodes(&self, up: bool) -> Vec<Episode> {
        let last = self.run_lengths.len() - 1;
        let runs = self.run_lengths.iter().enumerate().filter(|(index, _)| self.is_up(*index) == up);
        runs.map(|(index, looks)| Episode {
            seen_s: f64::from(*looks) * self.gap_s,
            look_s: self.look_s,
            cut: index == 0 || index == last,
        })
        .collect()
    }
    fn is_up(&self, index: usize) -> bool {
        self.first_is_up == index.is_multiple_of(2)
    }
    /// Whole episodes beside the one after: (seconds, seconds, whether the first is up).
    pub fn neighbours(&self, apart: usize) -> impl Iterator<Item = (f64, f64, bool)> {
        let whole = 1..self.run_lengths.len().saturating_sub(1 + apart);
        let length = |index: usize| f64::from(self.run_lengths[index]) * self.gap_s;
        whole.map(move |index| (length(index), length(index + apart), self.is_up(index)))
    }
    /// What each look found.
    pub fn looks(&self) -> Vec<bool> {
        let runs = self.run_lengths.iter().enumerate();
        runs.flat_map(|(index, looks)| std::iter::repeat_n(self.is_up(index), *looks as usize)).collect()
    }
    /// Whether both were watched side by side, look by look.
    pub fn beside(&self, other: &Series) -> bool {
        self.collection == other.collection
            && self.instance_type == other.instance_type
            && self.nodes_requested == other.nodes_requested
            && self.gap_s == other.gap_s
            && self.run_lengths.iter().sum::<u32>() == other.run_lengths.iter().sum::<u32>()
    }
}

/// Reads traces from CSV.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn read(text: &str) -> Result<Vec<Series>, Vec<FileProblem>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().cloned().unwrap_or_default();
    let place = |name: &str| header.iter().position(|column| column == name);
    let absent: Vec<FileProblem> = COLUMNS
        .iter()
        .filter(|name| place(name).is_none())
        .map(|name| problem(1, name, "", &format!("is missing; the columns are {}", COLUMNS.join(", "))))
        .collect();
    if !absent.is_empty() {
        return Err(absent);
    }
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for (index, record) in reader.records().enumerate() {
        let line = index as u64 + 2;
        match record {
            Ok(record) => {
                let cell = |name: &str| place(name).and_then(|at| record.get(at)).unwrap_or_default().trim();
                all.extend(series(line, &cell, &mut problems));
            }
            Err(error) => problems.push(problem(line, "", "", &error.to_string())),
        }
    }
    if all.is_empty() && problems.is_empty() {
        problems.push(problem(2, "", "", "there are no traces; a row is a pool that was watched"));
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn problem(line: u64, column: &str, value: &str, trouble: &str) -> FileProblem {
    FileProblem { line, column: column.to_string(), value: value.to_string(), trouble: trouble.to_string() }
}

fn series<'t>(line: u64, cell: &impl Fn(&str) -> &'t str, problems: &mut Vec<FileProblem>) -> Option<Series> {
    let before = problems.len();
    let mut seconds = |name: &str| {
        let read = cell(name).parse().ok().filter(|seconds: &f64| *seconds > 0.0 && *seconds < 1e6);
        read.unwrap_or_else(|| {
            problems.push(problem(line, name, cell(name), "is no number of seconds above 0"));
            1.0
        })
    };
    let (gap_s, look_s) = (seconds("gap_s"), seconds("look_s"));
    let nodes_requested = cell("nodes_requested").parse().unwrap_or(0);
    if nodes_requested == 0 {
        problems.push(problem(line, "nodes_requested", cell("nodes_requested"), "is no count of instances"));
    }
    if !["up", "down"].contains(&cell("first")) {
        problems.push(problem(line, "first", cell("first"), "is neither up nor down"));
    }
    let lengths = cell("run_lengths").split_whitespace().map(|text| text.parse().ok().filter(|n| *n > 0));
    let run_lengths: Vec<u32> = lengths.collect::<Option<_>>().unwrap_or_default();
    if run_lengths.is_empty() {
        problems.push(problem(line, "run_lengths", "", "holds no whole numbers above 0 with spaces between"));
    }
    (problems.len() == before).then(|| Series {
        kind: cell("kind").to_string(),
        collection: cell("collection").to_string(),
        zone: cell("zone").to_string(),
        instance_type: cell("instance_type").to_string(),
        nodes_requested,
        gap_s,
        look_s,
        first_is_up: cell("first") == "up",
        run_lengths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "kind,collection,zone,instance_type,nodes_requested,gap_s,look_s,first,run_lengths\n";

    #[test]
    fn runs_alternate_and_the_ends_are_cut() {
        let all = read(&format!("{HEADER}preemption,c,z,m5.large,1,10,20,down,3 1 2\n")).unwrap();
        let episode = |seen_s, cut| Episode { seen_s, look_s: 20.0, cut };
        assert_eq!(all[0].episodes(false), [episode(30.0, true), episode(20.0, true)]);
        assert_eq!(all[0].episodes(true), [episode(10.0, false)]);
        assert_eq!(all[0].looks(), [false, false, false, true, false, false]);
    }

    #[test]
    fn everything_wrong_is_told_with_its_line() {
        let told = read(&format!("{HEADER}a,c,z,t,0,10,-1,up,3\na,c,z,t,1,10,10,on,3 x\n")).unwrap_err();
        let places: Vec<(u64, &str)> = told.iter().map(|p| (p.line, p.column.as_str())).collect();
        assert_eq!(places, [(2, "look_s"), (2, "nodes_requested"), (3, "first"), (3, "run_lengths")]);
        assert_eq!(read("kind,zone\n").unwrap_err().len(), 7);
        assert_eq!(read(HEADER).unwrap_err().len(), 1);
    }
}
