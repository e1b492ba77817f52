//! How full a node would be: NodeResourcesFit with its three strategies, and NodeResourcesBalancedAllocation, over cpu
//! and memory of weight 1.
//!
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/noderesources`.

use crate::units::Resources;

/// The scoring strategy of NodeResourcesFit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    /// Points (utilisation 0..100, score 0..100), by rising utilisation.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

impl Strategy {
    /// By a profile's shape: points of (utilisation 0..100, score 0..10), by rising utilisation. A plugin's scores go to 100.
    pub fn shaped(shape: impl IntoIterator<Item = (i64, i64)>) -> Strategy {
        let points = shape.into_iter().map(|(utilisation, score)| (utilisation, score * 10));
        Strategy::RequestedToCapacityRatio(points.collect())
    }
    /// 0 to 100; `requested` includes the pod, and counts what containers do not declare.
    pub fn score(&self, requested: Resources, allocatable: Resources) -> i64 {
        match self {
            Strategy::LeastAllocated => least_allocated(requested, allocatable),
            Strategy::MostAllocated => most_allocated(requested, allocatable),
            Strategy::RequestedToCapacityRatio(shape) => requested_to_capacity(shape, requested, allocatable),
        }
    }
}

/// Requested and allocatable of each resource that the node has at all.
fn each(requested: Resources, allocatable: Resources) -> impl Iterator<Item = (i64, i64)> {
    let both =
        [(requested.cpu_millis, allocatable.cpu_millis), (requested.memory_bytes, allocatable.memory_bytes)];
    both.into_iter().filter(|(_, all)| *all != 0)
}

fn average(scores: impl Iterator<Item = i64>) -> i64 {
    let (sum, count) = scores.fold((0, 0), |(sum, count), score| (sum + score, count + 1));
    if count == 0 { 0 } else { sum / count }
}

/// Both resource plugins' scores together with the default strategy, each 0 to 100 with weight 1; `requested` includes
/// the pod, and every container declares both.
pub fn resources(requested: Resources, allocatable: Resources) -> i64 {
    least_allocated(requested, allocatable) + balanced_allocation(requested, allocatable)
}

/// The free share.
pub fn least_allocated(requested: Resources, allocatable: Resources) -> i64 {
    average(
        each(requested, allocatable)
            .map(|(requested, all)| if requested > all { 0 } else { (all - requested) * 100 / all }),
    )
}

fn most_allocated(requested: Resources, allocatable: Resources) -> i64 {
    average(each(requested, allocatable).map(|(requested, all)| requested.min(all) * 100 / all))
}

fn requested_to_capacity(shape: &[(i64, i64)], requested: Resources, allocatable: Resources) -> i64 {
    let utilisation =
        |(requested, all): (i64, i64)| if requested > all { 100 } else { requested * 100 / all };
    // A resource of score 0 is left out of the weights too.
    let scores: Vec<i64> = each(requested, allocatable)
        .map(|both| broken_linear(shape, utilisation(both)))
        .filter(|score| *score > 0)
        .collect();
    if scores.is_empty() {
        return 0;
    }
    libm::round(scores.iter().sum::<i64>() as f64 / scores.len() as f64) as i64
}

/// The line through the points, flat outside; divisions cut.
fn broken_linear(points: &[(i64, i64)], x: i64) -> i64 {
    let Some(right) = points.iter().position(|(to, _)| x <= *to) else {
        return points.last().map_or(0, |(_, y)| *y);
    };
    let (x1, y1) = points[right];
    let Some((x0, y0)) = right.checked_sub(1).map(|left| points[left]) else { return y1 };
    y0 + (y1 - y0) * (x - x0) / (x1 - x0)
}

/// NodeResourcesBalancedAllocation: 100 where cpu and memory are requested to the same share.
pub fn balanced_allocation(requested: Resources, allocatable: Resources) -> i64 {
    let mut shares =
        each(requested, allocatable).map(|(requested, all)| (requested as f64 / all as f64).min(1.0));
    // Of two shares the standard deviation is half their distance; of one it is 0.
    let deviation = match (shares.next(), shares.next()) {
        (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * 100.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(requested: (i64, i64), allocatable: (i64, i64), least: i64, balanced: i64) {
        let of = |(cpu, memory)| Resources::new(cpu, memory, 0);
        let got = (
            least_allocated(of(requested), of(allocatable)),
            balanced_allocation(of(requested), of(allocatable)),
        );
        assert_eq!(got, (least, balanced), "{requested:?} of {allocatable:?}");
    }

    /// Worked out by hand: each resource's free share is cut to a whole number before they are averaged.
    #[test]
    fn scores_are_cut_to_whole_numbers_at_each_step() {
        check((3_000, 5_000), (4_000, 10_000), (25 + 50) / 2, 87);
        check((0, 0), (4_000, 10_000), 100, 100);
        check((4_000, 5_000), (4_000, 10_000), 25, 75);
        check((5_000, 5_000), (4_000, 10_000), 25, 75);
        check((3_000, 0), (4_000, 0), 25, 100);
        check((0, 0), (0, 0), 0, 100);
    }

    /// The rows of `tests/tables/broken-line.csv`.
    #[test]
    fn the_shape_is_a_broken_line() {
        let mut failed = Vec::new();
        let mut rows = 0;
        for row in csv::Reader::from_path("tests/tables/broken-line.csv").unwrap().records() {
            let row = row.unwrap();
            let number = |text: &str| text.parse::<i64>().unwrap();
            let point = |text: &str| text.split_once(':').map(|(x, y)| (number(x), number(y))).unwrap();
            let points: Vec<(i64, i64)> = row[1].split_whitespace().map(point).collect();
            let got = broken_linear(&points, number(&row[2]));
            if got != number(&row[3]) {
                failed.push(format!("{}: {got}, stated {}", &row[0], &row[3]));
            }
            rows += 1;
        }
        assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
        assert_eq!(rows, 21);
    }
}
