//! What is valid by itself and cannot be meant, or cannot be: more pods than a node holds, requests that no instance has, zones of which
//! nothing is known.

use super::checked::*;
use super::reach::types_within_reach;
use crate::actors::ipamd::go_parse_bool;
use crate::actors::karpenter::requirement::{Requirement, Requirements};
use crate::catalogue::{Catalogue, InstanceType};
use crate::input::{Node, Problems, Section, Value};
use crate::units::text::{bytes_text, cpu_text};
use crate::units::{ExtendedCounts, ExtendedResource, Resources};

/// `us-east-1a` lies in `us-east-1`.
pub fn region(zone: &str) -> &str {
    zone.trim_end_matches(|c: char| c.is_ascii_lowercase())
}

impl NodePoolSpec {
    /// Its requirements, those on one label put together.
    pub fn joined_requirements(&self) -> Requirements {
        let mut joined = Requirements::default();
        for entry in &self.requirements {
            joined.add(&entry.key, &Requirement::new(entry.operator, &entry.values, entry.min_values));
        }
        joined
    }
}

/// Tells what cannot be, and warns of what is hardly meant.
pub(super) fn check(
    scenario: &Scenario,
    root: &mut Section<'_>,
    warnings: &mut Vec<String>,
    problems: &mut Problems,
) {
    if scenario.horizon.nanos() == 0 {
        let hint = Some("write for example horizon = \"30 min\"".to_string());
        problems.add(root.origin_of("horizon"), "horizon", "a run that ends at once shows nothing", hint);
    }
    static_nodes(scenario, root, problems);
    zones(scenario, warnings);
    unused_of_subnets(root, warnings);
    warnings.extend(scenario.deployments.iter().filter_map(never_scales));
    let changed = |deployment: &DeploymentSpec| -> Vec<DeploymentSpec> {
        // One that leaves the requests as they are is told of already.
        let templates = deployment.rollouts.changes.iter().map(|change| deployment.with_template(change));
        templates.filter(|template| template.requests != deployment.requests).collect()
    };
    let later: Vec<DeploymentSpec> = scenario.deployments.iter().flat_map(changed).collect();
    let templates = scenario.deployments.iter().chain(&later).chain(&scenario.jobs);
    warnings.extend(templates.filter_map(|template| too_large(scenario, template)));
}

/// What all subnets are to have, where each says its own.
fn unused_of_subnets(root: &mut Section<'_>, warnings: &mut Vec<String>) {
    let Some(Node { value: Value::Array(subnets), .. }) = root.get("subnets") else { return };
    let all: [(&'static str, &[&str]); 2] =
        [("subnet_prefix_length", &["cidr", "prefix_length"]), ("used_addresses", &["used_addresses"])];
    for (key, own) in all {
        let says = |subnet: &Node| own.iter().any(|own| subnet.get(own).is_some());
        if root.get(key).is_some() && subnets.iter().all(says) {
            let (kinds, set) = (own.join(" or "), own.last().expect("each has one"));
            warnings.push(format!(
                "{key} changes nothing: each of [[subnets]] has a {kinds} of its own; set subnets.0.{set} and so on instead"
            ));
        }
    }
}

/// An autoscaler whose pods never use as much as it aims at. Source: `isWithin` of the controller's tolerance.
fn never_scales(deployment: &DeploymentSpec) -> Option<String> {
    let spec = deployment.autoscaler.as_ref()?;
    let most = f64::from(spec.limit_percent) / f64::from(spec.target_percent);
    if most > 1.0 + spec.tolerance || spec.max <= spec.min {
        return None;
    }
    Some(format!(
        "the autoscaler of {} never adds a pod for its load: one uses {} % of its request at most (limit_percent), and more are asked for \
         beyond {} % (target_percent and the tolerance)",
        deployment.name,
        spec.limit_percent,
        (f64::from(spec.target_percent) * (1.0 + spec.tolerance)).round()
    ))
}

/// Pods that nodes hold at the start, each with an address of the node's pool.
fn static_nodes(scenario: &Scenario, root: &mut Section<'_>, problems: &mut Problems) {
    if scenario.cni.mode != CniMode::Vpc {
        return;
    }
    let listed = match root.get("static_nodes") {
        Some(Node { value: Value::Array(nodes), .. }) => nodes.as_slice(),
        _ => &[],
    };
    for ((index, group), node) in scenario.static_nodes.iter().enumerate().zip(listed) {
        let found = scenario.catalogue.get(group.instance_type);
        let Some(each) = pods_on(scenario, group, found) else { continue };
        let fit = each * group.count;
        if group.count > 0 && group.pods_with_address > fit {
            let what = format!(
                "{} pods with an address do not fit on {} {}: {each} go onto each",
                group.pods_with_address, group.count, found.name
            );
            let hint = Some(format!("write {fit} at most, or more nodes"));
            problems.add(&node.origin, &format!("static_nodes[{index}].pods_with_address"), what, hint);
        }
    }
}

/// How many pods with an address one of these nodes holds; `None` where the catalogue does not say.
fn pods_on(scenario: &Scenario, group: &StaticNodes, found: &InstanceType) -> Option<u32> {
    let on = |name: &str| scenario.cni.env.get(name).and_then(|text| go_parse_bool(text)).unwrap_or(false);
    let slots = found.max_enis? * found.ipv4_per_eni?.checked_sub(1)?;
    let addresses = if on("ENABLE_PREFIX_DELEGATION") { slots * 16 } else { slots };
    let room = match group.allocatable {
        Some(room) => room.pods as u32,
        None => scenario.cni.max_pods.unwrap_or(found.eni_limited_max_pods()?),
    };
    Some(addresses.min(room))
}

/// The catalogue that is built in knows one region.
fn zones(scenario: &Scenario, warnings: &mut Vec<String>) {
    if scenario.catalogue.source != Catalogue::BUILT_IN {
        return;
    }
    // Regions end in a digit; other names are nobody's.
    let foreign = |zone: &&String| {
        let region = region(zone);
        region.ends_with(|c: char| c.is_ascii_digit()) && region != Catalogue::REGION
    };
    if let Some(zone) = scenario.zones.iter().find(foreign) {
        warnings.push(format!(
            "{zone}: prices, spot bands and instance types are those of {} here, as no others are known; [catalogue] takes a file \
             with those of {}",
            Catalogue::REGION,
            region(zone)
        ));
    }
}

/// A warning if no node, of those there are or of those that the pools may launch, leaves as much as one of the pods asks for.
fn too_large(scenario: &Scenario, deployment: &DeploymentSpec) -> Option<String> {
    let of_pod = deployment.requests;
    let daemons = scenario.daemon_requests();
    let left = |found: &InstanceType, family: AmiFamily| -> Option<Resources> {
        Some(scenario.node_resources(found, family)?.1 - daemons)
    };
    let holds = |room: Resources| Resources { pods: 0, ..of_pod.with_pod_enis(0) }.fits(&room);
    let of_group = |group: &StaticNodes| {
        let own = left(scenario.catalogue.get(group.instance_type), AmiFamily::Al2023);
        let extended = own.map_or(ExtendedCounts::ZERO, |own| own.extended);
        group.allocatable.map(|room| Resources { extended, ..room - daemons }).or(own)
    };
    let open = |group: &&StaticNodes| group.count > 0 && !group.critical_addons_only;
    if scenario.static_nodes.iter().filter(open).filter_map(of_group).any(holds) {
        return None;
    }
    let (mut cpu, mut memory, mut extended) = (0, 0, ExtendedCounts::ZERO);
    for pool in &scenario.node_pools {
        for found in types_within_reach(scenario, pool, &deployment.placement) {
            let Some(room) = left(found, pool.ami_family) else { continue };
            if holds(room) {
                return None;
            }
            (cpu, memory) = (cpu.max(room.cpu_millis), memory.max(room.memory_bytes));
            extended = extended.most(room.extended);
        }
    }
    if cpu == 0 {
        return None;
    }
    // Nobody is that far out by mistake of a size.
    let meant = match of_pod.cpu_millis > 2 * cpu {
        true => format!("; \"{}m\" are thousandths of a CPU", of_pod.cpu_millis / 1_000),
        false => String::new(),
    };
    let asked: Vec<ExtendedResource> = of_pod.with_pod_enis(0).extended.present().collect();
    let told = |counts: ExtendedCounts| -> String {
        asked.iter().map(|one| format!(", {} {}", counts.get(*one), one.name())).collect()
    };
    Some(format!(
        "a pod of {} requests {} CPU and {}{}, and no instance type of the pools that it may come to leaves {} beside DaemonSets: at most {} CPU, {}{}{meant}",
        deployment.name,
        cpu_text(of_pod.cpu_millis),
        bytes_text(of_pod.memory_bytes),
        told(of_pod.extended),
        if asked.is_empty() { "both" } else { "all of it" },
        cpu_text(cpu),
        bytes_text(memory),
        told(extended)
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::read;
    use super::*;
    use crate::input::{Document, Problem};

    /// Warnings, or problems.
    fn told(text: &str) -> Result<Vec<String>, Vec<Problem>> {
        let mut problems = Problems::default();
        let document = Document::parse("a.toml", text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in())).map(|read| read.warnings)
    }

    const ONE: &str = "[[deployments]]\nreplicas = 1\n";

    #[test]
    fn static_nodes_hold_no_more_pods_than_they_have_addresses() {
        let group =
            |more: &str| format!("{ONE}[[static_nodes]]\ninstance_type = \"m5.large\"\ncount = 2\n{more}\n");
        told(&group("pods_with_address = 54")).unwrap();
        let problems = told(&group("pods_with_address = 55")).unwrap_err();
        assert_eq!(problems[0].key, "static_nodes[0].pods_with_address");
        assert!(problems[0].hint.as_ref().unwrap().contains("write 54 at most"), "{}", problems[0]);
        assert!(problems[0].place.starts_with("a.toml:3"), "{}", problems[0]);
        told(&group("pods_with_address = 10\nallocatable = { cpu = \"2\", memory = \"8 GiB\", pods = 4 }"))
            .unwrap_err();
        let prefixes = "[cni]\nmax_pods = 110\nenv = { ENABLE_PREFIX_DELEGATION = \"true\", WARM_PREFIX_TARGET = \"1\" }\n";
        told(&(group("pods_with_address = 220") + prefixes)).unwrap();
        told(&(group("pods_with_address = 221") + prefixes)).unwrap_err();
    }

    /// An m5.large leaves 1930m, of which DaemonSets take 150m; two static ones are tainted, but not forgotten.
    #[test]
    fn pods_that_no_node_leaves_room_for_are_warned_of() {
        let of = |cpu: u32| {
            let text = format!(
                "static_nodes = []\n{ONE}cpu = \"{cpu}m\"\n[[node_pools]]\ninstance_types = [\"m5.large\"]\n"
            );
            told(&text).unwrap()
        };
        assert_eq!(of(1_780), Vec::<String>::new());
        let warnings = of(1_781);
        assert!(warnings.len() == 1 && warnings[0].contains("leaves both beside DaemonSets"), "{warnings:?}");
    }

    /// Where pools with GPUs are there, but tainted, or of other labels than pods select.
    #[test]
    fn devices_that_no_pool_within_reach_has_are_warned_of() {
        let gpu = "extended_resources = { \"nvidia.com/gpu\" = 1 }\n";
        let plain = "[[node_pools]]\nname = \"plain\"\ninstance_types = [\"m5.xlarge\"]\n";
        let of = |pod: &str, pool: &str| {
            let devices =
                format!("[[node_pools]]\nname = \"gpu\"\ninstance_types = [\"g5.2xlarge\"]\n{pool}");
            told(&format!("{ONE}{gpu}{pod}{plain}{devices}")).unwrap()
        };
        let (taint, tolerates) = (
            "taints = [{ key = \"nvidia.com/gpu\", effect = \"NoSchedule\" }]\n",
            "tolerations = [{ key = \"nvidia.com/gpu\", operator = \"Exists\" }]\n",
        );
        assert_eq!(of("", ""), Vec::<String>::new());
        assert_eq!(of(tolerates, taint), Vec::<String>::new());
        let selects = "node_selector = { \"karpenter.sh/nodepool\" = \"plain\" }\n";
        for warnings in [of("", taint), of(&format!("{selects}{tolerates}"), taint), of(selects, "")] {
            assert!(warnings.len() == 1 && warnings[0].contains("0 nvidia.com/gpu"), "{warnings:?}");
        }
    }

    #[test]
    fn an_autoscaler_that_aims_beyond_what_pods_use_is_warned_of() {
        let of = |more: &str| {
            told(&format!("{ONE}autoscaler = {{ load = [{{ at = \"0 s\", value = 5 }}], {more} }}\n"))
                .unwrap()
        };
        assert_eq!(of("target_percent = 90"), Vec::<String>::new());
        assert_eq!(of("target_percent = 95, tolerance = 0.05"), Vec::<String>::new());
        for more in ["target_percent = 91", "limit_percent = 50", "target_percent = 300, limit_percent = 200"]
        {
            let warnings = of(more);
            assert!(warnings.len() == 1 && warnings[0].contains("never adds a pod"), "{more}: {warnings:?}");
        }
        assert_eq!(of("limit_percent = 50, min = 9, max = 9"), Vec::<String>::new());
    }

    #[test]
    fn a_run_takes_some_time() {
        assert_eq!(told(&format!("horizon = \"0 s\"\n{ONE}")).unwrap_err()[0].key, "horizon");
    }

    #[test]
    fn a_size_that_no_subnet_has_is_warned_of() {
        let subnets = |second: &str| {
            let first = "[[subnets]]\nzone = \"us-east-1a\"\ncidr = \"10.0.0.0/24\"\n";
            let second = format!("[[subnets]]\nzone = \"us-east-1b\"\n{second}\n");
            told(&format!("subnet_prefix_length = 20\n{ONE}{first}{second}")).unwrap()
        };
        assert_eq!(subnets(""), Vec::<String>::new());
        let warnings = subnets("prefix_length = 22");
        assert!(warnings.len() == 1 && warnings[0].contains("changes nothing"), "{warnings:?}");
    }

    #[test]
    fn used_addresses_that_each_subnet_says_for_itself_are_warned_of() {
        let of = |second: &str| {
            let first = "[[subnets]]\nzone = \"us-east-1a\"\nused_addresses = 0\n";
            let second = format!("[[subnets]]\nzone = \"us-east-1b\"\n{second}\n");
            told(&format!("used_addresses = 20\n{ONE}{first}{second}")).unwrap()
        };
        assert_eq!(of(""), Vec::<String>::new());
        let warnings = of("used_addresses = 5");
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("used_addresses changes nothing"),
            "{warnings:?}"
        );
    }

    #[test]
    fn zones_of_other_regions_are_warned_of() {
        let warnings = told(&format!("zones = [\"eu-west-1a\", \"eu-west-1b\"]\n{ONE}")).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("those of us-east-1"), "{warnings:?}");
        assert_eq!(
            told(&format!("zones = [\"us-east-1f\", \"rack\"]\n{ONE}")).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn requests_that_no_instance_has_are_warned_of() {
        let pool = "[[node_pools]]\ninstance_types = [\"m5.large\", \"c5.4xlarge\"]\n";
        let with = |cpu: &str, memory: &str, pool: &str| {
            told(&format!("{ONE}cpu = \"{cpu}\"\nmemory = \"{memory}\"\n{pool}")).unwrap()
        };
        assert_eq!(with("15", "8 GiB", pool), Vec::<String>::new());
        assert!(with("16", "8 GiB", pool)[0].ends_with("at most 15740m CPU, 27381 MiB"));
        let warnings = with("500", "1 GiB", pool);
        assert!(
            warnings[0].contains("at most 15740m CPU") && warnings[0].contains("\"500m\""),
            "{warnings:?}"
        );
        assert!(with("1", "64 GiB", pool)[0].contains("at most 15740m CPU, 27381 MiB"));
        assert!(with("5000", "1 GiB", "")[0].contains("\"5000m\""));
        let changes = format!(
            "rollouts = [{{ at = \"1 min\", cpu = \"1\" }}, {{ at = \"2 min\", cpu = \"500\" }}]\n{pool}"
        );
        let warnings = with("2", "1 GiB", &changes);
        assert!(warnings.len() == 1 && warnings[0].contains("500 CPU"), "{warnings:?}");
        let job = format!("[[jobs]]\ncpu = \"1\"\nmemory = \"64 GiB\"\n{pool}");
        let warnings = with("1", "1 GiB", &job);
        assert!(warnings.len() == 1 && warnings[0].contains("job-1"), "{warnings:?}");
        let large = "[[static_nodes]]\ninstance_type = \"m5.24xlarge\"\n";
        assert_eq!(with("90", "8 GiB", &format!("{pool}{large}")), Vec::<String>::new());
    }
}
