//! What was recorded: `tests/golden/real-control-plane`.

use super::model::Round;

/// Values at 0, 5, ... 100 %.
pub type Points = [f64; 21];

/// All runs of one scenario.
pub struct Recorded {
    runs: Vec<Run>,
    rounds: Vec<(String, Round)>,
}

/// One row a thing measured: its name, how many values, their distribution.
pub struct Run {
    pub name: String,
    pub rows: Vec<(String, f64, Points)>,
}

impl Recorded {
    /// `A` is and so on.
    pub fn of(scenario: &str) -> Recorded {
        let mut runs: Vec<Run> = Vec::new();
        let ours = |name: &str| name.rsplit_once('-').is_some_and(|(of, _)| of == scenario);
        for line in include_str!("../golden/real-control-plane/distributions.csv").lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let numbers: Vec<f64> = cells[2..].iter().map(|cell| cell.parse().unwrap()).collect();
            if !ours(cells[0]) {
                continue;
            }
            if runs.last().is_none_or(|run| run.name != cells[0]) {
                runs.push(Run { name: cells[0].to_string(), rows: Vec::new() });
            }
            let points: Points = numbers[1..].try_into().unwrap();
            runs.last_mut().unwrap().rows.push((cells[1].to_string(), numbers[0], points));
        }
        let rounds =
            include_str!("../golden/real-control-plane/rounds.csv").lines().skip(1).filter_map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                let number = |place: usize| cells[place].parse::<f64>().unwrap();
                ours(cells[0]).then(|| (cells[0].to_string(), Round { at_ms: number(1), claims: number(3) }))
            });
        assert!(!runs.is_empty(), "no run of {scenario} is recorded");
        Recorded { runs, rounds: rounds.collect() }
    }
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    fn rows(&self, what: &str) -> Vec<&(String, f64, Points)> {
        self.runs.iter().flat_map(|run| &run.rows).filter(|row| row.0 == what).collect()
    }
    /// The mean over runs.
    pub fn points(&self, what: &str) -> Points {
        let rows = self.rows(what);
        assert!(!rows.is_empty(), "{what} is not recorded");
        std::array::from_fn(|place| rows.iter().map(|row| row.2[place]).sum::<f64>() / rows.len() as f64)
    }
    /// Of the run in which it is least.
    pub fn least(&self, what: &str, percent: usize) -> f64 {
        self.rows(what).iter().map(|row| row.2[percent / 5]).fold(f64::INFINITY, f64::min)
    }
    pub fn count(&self, what: &str) -> f64 {
        let rows = self.rows(what);
        rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64
    }

    /// Mean instants and claims of the first rounds that made claims.
    pub fn rounds(&self, count: usize) -> Vec<Round> {
        let of_run = |run: &Run| -> Vec<Round> {
            self.rounds.iter().filter(|(name, _)| *name == run.name).map(|(_, round)| *round).collect()
        };
        let all: Vec<Vec<Round>> = self.runs.iter().map(of_run).collect();
        let mean = |of: &dyn Fn(&Vec<Round>) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        (0..count)
            .map(|place| Round {
                at_ms: mean(&|run| run[place].at_ms),
                claims: mean(&|run| run[place].claims),
            })
            .collect()
    }
}
