//! Targets of aws-node's warm pool that change nothing, or that no node of the pools can come to. Which of them go before others is
//! read in `pkg/ipamd/ipamd.go`: WARM_IP_TARGET and MINIMUM_IP_TARGET before all others, else WARM_PREFIX_TARGET with prefixes and
//! WARM_ENI_TARGET without.

use super::checked::*;
use super::reach::types_of;
use crate::actors::ipamd::{Limits, Settings, Version, go_parse_bool};
use crate::catalogue::InstanceType;
use crate::units::Resources;

/// A warning for each of them.
pub(super) fn warnings(scenario: &Scenario) -> Vec<String> {
    let env = &scenario.cni.env;
    if scenario.cni.mode != CniMode::Vpc || !env.keys().any(|name| name.contains("_TARGET")) {
        return Vec::new();
    }
    let prefixes = env.get("ENABLE_PREFIX_DELEGATION").and_then(|text| go_parse_bool(text)).unwrap_or(false);
    // Targets are the same on any type.
    let any = Limits { max_enis: 3, ipv4_per_eni: 10, prefixes: true, trunking: None };
    let targets = settings(scenario, any, 29);
    let mut told = Vec::new();
    // A target of 0 is meant to change nothing.
    let wants = |name: &str, target: i64| env.contains_key(name) && target > 0;
    if wants("WARM_ENI_TARGET", targets.warm_eni_target) {
        let all_have_prefixes = || {
            let mut types = types(scenario).peekable();
            types.peek().is_some() && types.all(|own| own.settings.prefix_delegation)
        };
        if targets.ip_targets() {
            told.push(
                "WARM_ENI_TARGET changes nothing beside WARM_IP_TARGET or MINIMUM_IP_TARGET: while one of them is above 0 aws-node \
                 goes by them alone"
                    .to_string(),
            );
        } else if prefixes && all_have_prefixes() {
            told.push(
                "WARM_ENI_TARGET changes nothing with ENABLE_PREFIX_DELEGATION: aws-node goes by WARM_PREFIX_TARGET then"
                    .to_string(),
            );
        }
    }
    if wants("WARM_PREFIX_TARGET", targets.warm_prefix_target) && !prefixes {
        told.push(
            "WARM_PREFIX_TARGET changes nothing without ENABLE_PREFIX_DELEGATION = \"true\"".to_string(),
        );
    }
    told.extend(ends_at_minimum(scenario, &targets));
    told.extend(beyond_reach(scenario, &targets));
    told
}

/// A type that the pools may launch, with aws-node's settings there.
struct Own<'a> {
    found: &'a InstanceType,
    family: AmiFamily,
    settings: Settings,
}

impl Own<'_> {
    /// Addresses for pods on all its ENIs.
    fn most(&self) -> i64 {
        i64::from(self.settings.eni_budget.saturating_sub(self.settings.trunk_reserve))
            * self.settings.addresses_per_eni()
    }
    /// So many pods with an address of the pool find room there: as many of the smallest as are asked for, and DaemonSets' own.
    fn pods(&self, scenario: &Scenario) -> Option<i64> {
        let daemons = scenario.daemon_requests();
        let room = scenario.node_resources(self.found, self.family)?.1 - daemons;
        let with_address =
            |daemon: &&DaemonSetSpec| !daemon.host_network && daemon.placement.takes_any_labels();
        let of_daemons = scenario.daemonsets.iter().filter(with_address).count() as i64;
        let templates = scenario.deployments.iter().chain(&scenario.jobs);
        let own = templates.filter(|spec| spec.requests.pod_enis() == 0);
        let fit = own.map(|spec| how_many(spec.requests, room).min(asked_for(spec))).max()?;
        Some(of_daemons + fit.max(0))
    }
}

/// Pods that a Deployment or Job ever wants at once.
fn asked_for(spec: &DeploymentSpec) -> i64 {
    let scheduled = spec.schedule.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let scaled = spec.autoscaler.as_ref().map_or(0, |autoscaler| autoscaler.max);
    let of_job = spec.job.as_ref().map_or(0, |job| job.completions);
    i64::from(scheduled.max(scaled).max(of_job))
}

fn how_many(each: Resources, room: Resources) -> i64 {
    let of = |each: i64, room: i64| if each > 0 { room / each } else { i64::MAX };
    of(each.cpu_millis, room.cpu_millis)
        .min(of(each.memory_bytes, room.memory_bytes))
        .min(of(each.pods, room.pods))
}

fn settings(scenario: &Scenario, limits: Limits, max_pods: u32) -> Settings {
    let version = if scenario.profile == Profile::Nov2022 { Version::V1_12 } else { Version::V1_23 };
    // What does not parse was told as the environment was read.
    Settings::read(version, &scenario.cni.env, limits, max_pods, &mut Vec::new())
}

/// One after the other, so that who is content with the first need not know all.
fn types(scenario: &Scenario) -> impl Iterator<Item = Own<'_>> {
    scenario.node_pools.iter().flat_map(move |pool| {
        types_of(scenario, pool).filter_map(move |found| {
            let max_pods = scenario.cni.max_pods.or(found.eni_limited_max_pods())?;
            let settings = settings(scenario, Limits::of(found)?, max_pods);
            Some(Own { found, family: pool.ami_family, settings })
        })
    })
}

/// MINIMUM_IP_TARGET alone: once a node has so many addresses it never gets another.
fn ends_at_minimum(scenario: &Scenario, targets: &Settings) -> Option<String> {
    if targets.minimum_ip_target == 0 || targets.warm_ip_target != 0 {
        return None;
    }
    types(scenario).find_map(|own| {
        let unit = i64::from(own.settings.cidr_size());
        let pool = targets.minimum_ip_target.saturating_add(unit - 1) / unit * unit;
        let pods = own.pods(scenario).filter(|pods| *pods > pool)?;
        Some(format!(
            "MINIMUM_IP_TARGET without WARM_IP_TARGET: a node gets {pool} addresses for pods and never more, and a {} has room for \
             {pods} pods; WARM_IP_TARGET of 1 or more lets its pool grow",
            own.found.name
        ))
    })
}

/// More addresses than any type can have.
fn beyond_reach(scenario: &Scenario, targets: &Settings) -> Vec<String> {
    let named =
        [("WARM_IP_TARGET", targets.warm_ip_target), ("MINIMUM_IP_TARGET", targets.minimum_ip_target)];
    let told = |(name, target): (&str, i64)| {
        if types(scenario).any(|own| own.most() >= target) {
            return None;
        }
        let largest = types(scenario).max_by_key(Own::most)?;
        Some(format!(
            "{name} = {target} is more than a node of any type of the pools can hold: a {} has {} addresses for pods, and takes all \
             of them",
            largest.found.name,
            largest.most()
        ))
    };
    named.into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::read;
    use crate::catalogue::Catalogue;
    use crate::input::{Document, Problems};

    fn told(settings: &[&str]) -> Vec<String> {
        let text = "[[deployments]]\nreplicas = 100\ncpu = \"0.1\"\nmemory = \"100 MiB\"\n\
                    [[node_pools]]\ninstance_types = [\"m5.large\", \"m5.xlarge\"]\n";
        let mut problems = Problems::default();
        let mut document = Document::parse("a.toml", text, &mut problems);
        settings.iter().for_each(|setting| document.set(setting, &mut problems));
        assert!(problems.is_empty(), "{problems:?}");
        read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in())).unwrap().warnings
    }

    #[test]
    fn targets_that_others_go_before_are_warned_of() {
        let prefixes = "ENABLE_PREFIX_DELEGATION=true";
        for (settings, told_of) in [
            (vec!["WARM_ENI_TARGET=1"], ""),
            (vec!["WARM_ENI_TARGET=1", "WARM_IP_TARGET=0", "MINIMUM_IP_TARGET=0"], ""),
            (vec!["WARM_ENI_TARGET=1", "WARM_IP_TARGET=2"], "WARM_ENI_TARGET changes nothing beside"),
            (
                vec!["WARM_ENI_TARGET=1", "WARM_IP_TARGET=1", "MINIMUM_IP_TARGET=9"],
                "WARM_ENI_TARGET changes nothing beside",
            ),
            (
                vec!["WARM_ENI_TARGET=1", prefixes, "WARM_PREFIX_TARGET=1"],
                "WARM_ENI_TARGET changes nothing with",
            ),
            (vec!["WARM_ENI_TARGET=0", "WARM_IP_TARGET=2", "WARM_PREFIX_TARGET=0"], ""),
            (vec!["WARM_PREFIX_TARGET=1"], "WARM_PREFIX_TARGET changes nothing without"),
            (vec!["WARM_PREFIX_TARGET=1", prefixes], ""),
            // Tested when an ENI goes.
            (vec!["WARM_PREFIX_TARGET=1", "WARM_IP_TARGET=2", prefixes], ""),
            (vec!["WARM_PREFIX_TARGET=1", "cni.mode=none"], ""),
            // No prefix on a type that is no Nitro.
            (
                vec![
                    "WARM_ENI_TARGET=1",
                    prefixes,
                    "WARM_PREFIX_TARGET=1",
                    "node_pools.0.instance_types=[\"m4.large\"]",
                ],
                "",
            ),
        ] {
            let warnings = told(&settings);
            match told_of {
                "" => assert_eq!(warnings, Vec::<String>::new(), "{settings:?}"),
                part => {
                    assert!(warnings.len() == 1 && warnings[0].contains(part), "{settings:?}: {warnings:?}")
                }
            }
        }
    }

    /// An m5.large has 3 ENIs of 9 addresses for pods, an m5.xlarge 4 of 14.
    #[test]
    fn targets_that_leave_pods_without_addresses_or_that_no_node_holds_are_warned_of() {
        let one_large = "node_pools.0.instance_types=[\"m5.large\"]";
        for (settings, told_of) in [
            (vec!["MINIMUM_IP_TARGET=10"], "10 addresses for pods and never more"),
            (vec!["MINIMUM_IP_TARGET=10", "WARM_IP_TARGET=0"], "never more"),
            (vec!["MINIMUM_IP_TARGET=10", "WARM_IP_TARGET=1"], ""),
            (vec!["MINIMUM_IP_TARGET=10", "deployments.0.cpu=1"], ""),
            (vec!["MINIMUM_IP_TARGET=10", "deployments.0.replicas=10"], ""),
            (vec!["MINIMUM_IP_TARGET=56"], ""),
            (vec!["WARM_IP_TARGET=56"], ""),
            (vec!["WARM_IP_TARGET=57"], "WARM_IP_TARGET = 57 is more than"),
            (vec!["WARM_IP_TARGET=28", one_large], "m5.large has 27 addresses"),
            (
                vec!["WARM_IP_TARGET=1", "MINIMUM_IP_TARGET=28", one_large],
                "MINIMUM_IP_TARGET = 28 is more than",
            ),
            (vec!["WARM_IP_TARGET=28", one_large, "ENABLE_PREFIX_DELEGATION=true"], ""),
        ] {
            let warnings = told(&settings);
            match told_of {
                "" => assert_eq!(warnings, Vec::<String>::new(), "{settings:?}"),
                part => {
                    assert!(warnings.len() == 1 && warnings[0].contains(part), "{settings:?}: {warnings:?}")
                }
            }
        }
    }
}
