//! What the pods of a replication waited for: the one that tells its time, step by step, and all of them by cause.

use std::fmt::Write;

use crate::components::Told;
use crate::results::Outcome;
use crate::units::{SimDuration, SimTime};
use crate::world::cause::Cause;

/// What the pod that came last waited for, step by step: last of those that make up the target, where it is reached, else of
/// all that became Ready.
pub(super) fn chain(told: &Told) -> String {
    let target = told.record.time_to_target_ms;
    let is_meant = |at: SimTime| target.is_none_or(|target| at.millis() <= target);
    let ready = told.history.iter().rev().find(|(_, cause, at)| cause.is_none() && is_meant(*at));
    let Some((pod, _, end)) = ready else { return "no pod became Ready\n".to_string() };
    let seconds = end.secs_f64();
    let mut text = match target {
        Some(target) if target == end.millis() => {
            format!("the target was reached as pod {pod} became Ready at {seconds:.1} s; it had waited\n")
        }
        Some(_) => format!(
            "of the pods Ready by the target the last, {pod}, came at {seconds:.1} s; it had waited\n"
        ),
        None => {
            format!("of the pods that became Ready the last, {pod}, came at {seconds:.1} s; it had waited\n")
        }
    };
    let steps: Vec<(Option<Cause>, SimTime)> = told
        .history
        .iter()
        .filter(|(of, _, at)| of == pod && at <= end)
        .map(|(_, cause, at)| (*cause, *at))
        .collect();
    for (cause, from, to) in told_spans(&steps) {
        let (from, span) = (from.secs_f64(), to.since(from).secs_f64());
        let _ = writeln!(text, "  from {from:>7.1} s for {span:>6.1} s  {}", cause.name());
    }
    text
}

/// The spans of a chain, but for the shortest: below 50 ms, or 1 part in 2,000 of it all. What is left of one cause joins.
fn told_spans(steps: &[(Option<Cause>, SimTime)]) -> Vec<(Cause, SimTime, SimTime)> {
    let [first, .., last] = steps else { return Vec::new() };
    let least = SimDuration::from_nanos(last.1.since(first.1).nanos() / 2_000);
    let least = least.max(SimDuration::from_millis(50));
    let mut told: Vec<(Cause, SimTime, SimTime)> = Vec::new();
    for pair in steps.windows(2) {
        let (Some(cause), from, to) = (pair[0].0, pair[0].1, pair[1].1) else { continue };
        if to.since(from) < least {
            continue;
        }
        match told.last_mut() {
            Some((before, _, until)) if *before == cause => *until = to,
            _ => told.push((cause, from, to)),
        }
    }
    told
}

/// The time of all pods by cause, which is summed up to the target.
pub(super) fn by_cause(told: &Told) -> String {
    let mut causes: Vec<(Cause, u64)> =
        Cause::ALL.iter().map(|cause| (*cause, told.record.cause_pod_ms[*cause as usize])).collect();
    causes.retain(|(_, ms)| *ms > 0);
    causes.sort_by_key(|(cause, ms)| (std::cmp::Reverse(*ms), *cause));
    let total: u64 = causes.iter().map(|(_, ms)| ms).sum();
    let until = if told.record.outcome == Outcome::Reached { "the target" } else { "the end" };
    let mut text = format!("pod-seconds by cause of waiting, all pods, until {until}\n");
    for (cause, ms) in causes {
        let share = ms as f64 * 100.0 / total as f64;
        let _ = writeln!(text, "  {:>10.0} s  {share:>5.1} %  {}", ms as f64 / 1e3, cause.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_spans_are_left_out_and_neighbours_of_one_cause_join() {
        let at = SimTime::from_millis;
        let steps = [
            (Some(Cause::Boot), at(0)),
            (Some(Cause::SchedulerQueue), at(100_000)),
            (Some(Cause::SchedulerBackoff), at(101_000)),
            (Some(Cause::SchedulerQueue), at(101_040)),
            (Some(Cause::Bind), at(102_000)),
            (None, at(120_000)),
        ];
        let told = [
            (Cause::Boot, at(0), at(100_000)),
            (Cause::SchedulerQueue, at(100_000), at(102_000)),
            (Cause::Bind, at(102_000), at(120_000)),
        ];
        assert_eq!(told_spans(&steps), told);
        assert_eq!(told_spans(&steps[..1]), []);
    }
}
