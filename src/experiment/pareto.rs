//! How sure it is that no other cell beats a cell: in how many resamples of the replications that holds. A resample takes the
//! same replications of every cell, which met the same chance, so that what they share does not blur the comparison.

use rayon::prelude::*;

use super::meta::Meta;
use super::runs::{Columns, Runs};
use crate::chance::{Chance, Component};
use crate::results::rows::not_beaten;
use crate::statistics::quantile_of_sorted;

/// A share of 200 has a standard error of 3.5 % at most; the main job spends less than 1 % of its time on them.
const RESAMPLES: u32 = 200;

pub(super) const MEASURES: [&str; 4] =
    ["time_to_target", "waste_at_target", "waste_average", "cost_to_target"];

/// What a cell's place depends on, by replication; `None` where the replication failed.
struct Cell {
    runs: Vec<Option<Run>>,
    /// Replications from the fastest to those that did not get there.
    by_time: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Run {
    /// Infinite if the target was not reached.
    time: f64,
    waste_at_target: Option<f64>,
    waste_average: f64,
    cost: f64,
}

/// By cell: resamples (ppm) in which no other cell beats it; `None` of a cell without replications.
pub(super) fn resampled(meta: &Meta, columns: &Columns, runs: &[Option<Runs>]) -> Vec<Option<u32>> {
    let seed = meta.seed.parse().expect("a seed is a number");
    let places = MEASURES.map(|name| columns.place(name));
    let cell = |runs: &Option<Runs>| runs.as_ref().map(|runs| of(meta, runs, places));
    let cells: Vec<Option<Cell>> = runs.iter().map(cell).collect();
    let kept: Vec<&Cell> = cells.iter().flatten().collect();
    let chance = Chance::new(seed, 0);
    let resample = |resample: u32| {
        let mut counts = vec![0u32; meta.replications as usize];
        for draw in 0..meta.replications {
            let drawn = chance.below(Component::Resample, resample, draw, u64::from(meta.replications));
            counts[drawn as usize] += 1;
        }
        let costs: Vec<[f64; 4]> = kept.iter().map(|cell| cell.costs(&counts)).collect();
        not_beaten(&costs)
    };
    let best: Vec<Vec<bool>> = (0..RESAMPLES).into_par_iter().map(resample).collect();
    let share = |place: usize| {
        let times = best.iter().filter(|best| best[place]).count();
        (times * 1_000_000 / RESAMPLES as usize) as u32
    };
    let mut place = 0..kept.len();
    cells.iter().map(|cell| cell.as_ref().and_then(|_| place.next()).map(share)).collect()
}

fn of(meta: &Meta, found: &Runs, places: [usize; 4]) -> Cell {
    let mut runs = vec![None; meta.replications as usize];
    for (row, replication) in found.replications.iter().enumerate() {
        let [time, waste_at_target, waste_average, cost] = places.map(|place| found.values[place][row]);
        let always = "every run has it";
        runs[*replication as usize] = Some(Run {
            time: time.unwrap_or(f64::INFINITY),
            waste_at_target,
            waste_average: waste_average.expect(always),
            cost: cost.expect(always),
        });
    }
    let mut by_time: Vec<usize> = (0..runs.len()).filter(|place| runs[*place].is_some()).collect();
    let time = |place: &usize| runs[*place].map_or(f64::INFINITY, |run: Run| run.time);
    by_time.sort_by(|a, b| time(a).total_cmp(&time(b)));
    Cell { runs, by_time }
}

impl Cell {
    /// What is to be small, as `CellSummary` has it, where each replication counts so often.
    fn costs(&self, counts: &[u32]) -> [f64; 4] {
        let mut times = Vec::with_capacity(counts.len());
        let (mut reached, mut at_target, mut average, mut cost) = (0u32, 0.0, 0.0, 0.0);
        for place in &self.by_time {
            let (Some(run), count) = (&self.runs[*place], counts[*place]) else { continue };
            let times_over = f64::from(count);
            times.extend((0..count).map(|_| run.time));
            if let Some(waste) = run.waste_at_target {
                reached += count;
                at_target += times_over * waste;
            }
            average += times_over * run.waste_average;
            cost += times_over * run.cost;
        }
        if times.is_empty() {
            return [f64::INFINITY; 4];
        }
        let n = times.len() as f64;
        let waste = if reached > 0 { at_target / f64::from(reached) } else { average / n };
        [1.0 - f64::from(reached) / n, quantile_of_sorted(&times, 0.95), waste, cost / n]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(times: &[f64], cost: f64) -> Cell {
        let run = |time: &f64| Run {
            time: *time,
            waste_at_target: time.is_finite().then_some(5.0),
            waste_average: 7.0,
            cost,
        };
        let runs: Vec<Option<Run>> = times.iter().map(|time| Some(run(time))).collect();
        let mut by_time: Vec<usize> = (0..times.len()).collect();
        by_time.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
        Cell { runs, by_time }
    }

    #[test]
    fn each_replication_counted_once_gives_the_cells_own_figures() {
        let mut times: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(cell(&times, 3.0).costs(&[1; 20]), [0.0, 19.0, 5.0, 3.0]);
        times[3] = f64::INFINITY;
        times[4] = f64::INFINITY;
        assert_eq!(cell(&times, 3.0).costs(&[1; 20]), [1.0 - 0.9, f64::INFINITY, 5.0, 3.0]);
    }

    #[test]
    fn a_replication_counts_as_often_as_it_is_drawn() {
        let slow_first = cell(&[90.0, 10.0, f64::INFINITY], 3.0);
        assert_eq!(slow_first.costs(&[0, 3, 0]), [0.0, 10.0, 5.0, 3.0]);
        assert_eq!(slow_first.costs(&[2, 1, 0]), [0.0, 90.0, 5.0, 3.0]);
        assert_eq!(slow_first.costs(&[0, 0, 3]), [1.0, f64::INFINITY, 7.0, 3.0]);
    }
}
