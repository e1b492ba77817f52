//! NodeResourcesFit with LeastAllocated, and NodeResourcesBalancedAllocation, over cpu and memory of weight 1.
//!
//! Left out: requests of pods that ask for nothing, which the plugins count as 100m and 200 MiB.
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/noderesources`.

use crate::units::Resources;

/// Both plugins' scores together, each 0 to 100 with weight 1; `requested` includes the pod.
pub fn resources(requested: Resources, allocatable: Resources) -> i64 {
    least_allocated(requested, allocatable) + balanced_allocation(requested, allocatable)
}

/// NodeResourcesFit's score, 0 to 100.
pub fn least_allocated(requested: Resources, allocatable: Resources) -> i64 {
    let free = |requested: i64, all: i64| {
        if all == 0 || requested > all { 0 } else { (all - requested) * 100 / all }
    };
    (free(requested.cpu_millis, allocatable.cpu_millis)
        + free(requested.memory_bytes, allocatable.memory_bytes))
        / 2
}

/// NodeResourcesBalancedAllocation's score, 0 to 100.
pub fn balanced_allocation(requested: Resources, allocatable: Resources) -> i64 {
    let share =
        |requested: i64, all: i64| if all == 0 { 1.0 } else { (requested as f64 / all as f64).min(1.0) };
    let cpu = share(requested.cpu_millis, allocatable.cpu_millis);
    let memory = share(requested.memory_bytes, allocatable.memory_bytes);
    // Of two shares the standard deviation is half their distance.
    ((1.0 - ((cpu - memory) / 2.0).abs()) * 100.0) as i64
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
    }
}
