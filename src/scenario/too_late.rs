//! What is written for an instant that no run comes to.

use super::checked::{DeploymentSpec, Scenario};
use crate::units::SimTime;

/// A warning for each thing that is to happen when the run has ended.
pub(super) fn warnings(scenario: &Scenario) -> Vec<String> {
    let end = SimTime::ZERO + scenario.horizon;
    let late = |(_, at): &(String, SimTime)| *at >= end;
    let told = |(key, at): (String, SimTime)| {
        let after = at.since(SimTime::ZERO);
        format!(
            "{key} is for {after} after the start, and the run ends at its horizon of {}: it never comes",
            scenario.horizon
        )
    };
    let mut found: Vec<String> = instants(scenario).into_iter().filter(late).map(told).collect();
    found.dedup();
    found
}

/// Keys and the instants that they name. A pod disruption budget or a pool's that begins late is none: it may be meant for longer runs.
fn instants(scenario: &Scenario) -> Vec<(String, SimTime)> {
    let mut all = Vec::new();
    for (index, spec) in scenario.deployments.iter().enumerate() {
        of_deployment(&format!("deployments[{index}]"), spec, &mut all);
    }
    for (index, template) in scenario.jobs.iter().enumerate() {
        all.extend(template.job.iter().map(|job| (format!("jobs[{index}].at"), job.at)));
    }
    for (index, group) in scenario.static_nodes.iter().enumerate() {
        all.extend(group.cordon_at.map(|at| (format!("static_nodes[{index}].cordon_at"), at)));
    }
    for (index, pool) in scenario.node_pools.iter().enumerate() {
        all.extend(pool.drift_at.map(|at| (format!("node_pools[{index}].drift_at"), at)));
    }
    let mut list = |key: &str, times: &mut dyn Iterator<Item = SimTime>| {
        all.extend(times.zip(0..).map(|(at, index)| (format!("{key}[{index}].at"), at)));
    };
    list("cni.restarts", &mut scenario.cni.restarts.iter().map(|restart| restart.at));
    list("quotas.raises", &mut scenario.quotas.raises.iter().map(|(at, ..)| *at));
    for (index, reservation) in scenario.capacity_reservations.iter().enumerate() {
        let key = format!("capacity_reservations[{index}].others");
        list(&key, &mut reservation.others.iter().map(|(at, _)| *at));
    }
    // Neighbours are users of every subnet, and told once.
    let others = scenario.subnets.iter().flat_map(|subnet| &subnet.others);
    all.extend(others.map(|other| ("another user of subnets".to_string(), other.at)));
    all
}

fn of_deployment(key: &str, spec: &DeploymentSpec, all: &mut Vec<(String, SimTime)>) {
    // `replicas` beside a schedule is its first step.
    all.extend(spec.schedule.iter().map(|(at, count)| (format!("{key}.schedule, {count} replicas,"), *at)));
    let changes = spec.rollouts.changes.iter().zip(0..);
    all.extend(changes.map(|(change, index)| (format!("{key}.rollouts[{index}].at"), change.at)));
    let load = spec.autoscaler.iter().flat_map(|autoscaler| autoscaler.load.iter().zip(0..));
    all.extend(load.map(|((at, _), index)| (format!("{key}.autoscaler.load[{index}].at"), *at)));
}
