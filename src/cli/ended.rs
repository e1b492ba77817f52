//! How a run stands at its end, told where it is not how it stood at its target.

use crate::actors::karpenter::disruption::Reason;
use crate::components::Told;
use crate::results::ReplicationRecord;
use crate::scenario::Scenario;

/// `40 of 40 wanted now; the target of 200 was reached at 61.2 s`: of a run that reached its target, and has fewer pods now.
pub(super) fn short_of_target(told: &Told, target: u32) -> Option<String> {
    let record = &told.record;
    let reached = record.time_to_target_ms?;
    (record.pods_ready_at_end < target).then(|| {
        format!(
            "{} of {} wanted now; the target of {target} was reached at {:.1} s",
            record.pods_ready_at_end,
            told.wanted_at_end,
            reached as f64 / 1e3
        )
    })
}

/// What autoscalers have come to, if that is why the target is not reached: they want fewer pods than it asks for.
pub(super) fn autoscalers(told: &Told, scenario: &Scenario) -> Vec<String> {
    if told.record.time_to_target_ms.is_some() || told.wanted_at_end >= scenario.target_pods {
        return Vec::new();
    }
    let each = |(name, replicas): &(String, u32)| {
        let spec = scenario.deployments.iter().find(|spec| spec.name == *name);
        let most = spec.and_then(|spec| spec.autoscaler.as_ref()).map_or(*replicas, |spec| spec.max);
        format!("{replicas} of {name} in the end, {most} at most; target_pods is {}", scenario.target_pods)
    };
    told.autoscaled.iter().map(each).collect()
}

/// Nodes and pods that went, by why; nothing where none did.
pub(super) fn nodes_and_pods(record: &ReplicationRecord) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if record.nodes != record.nodes_launched {
        lines.push(("nodes at the end", record.nodes.to_string()));
    }
    let removed = Reason::ALL.into_iter().filter_map(|reason| {
        let count = record.nodes_removed[reason as usize];
        (count > 0).then(|| format!("{count} {}", reason.name().to_lowercase()))
    });
    let removed: Vec<String> = removed.collect();
    if !removed.is_empty() {
        lines.push(("nodes removed", removed.join(", ")));
    }
    let mut count = |name, count: u64, more: String| {
        if count > 0 {
            lines.push((name, format!("{count}{more}")));
        }
    };
    count("pods evicted", record.pods_evicted, String::new());
    let preemptions = record.preemptions.unwrap_or(0);
    count("pods preempted", record.pods_preempted.unwrap_or(0), format!(" in {preemptions} preemptions"));
    count("pods lost", record.pods_lost, " with their instances".to_string());
    lines
}
