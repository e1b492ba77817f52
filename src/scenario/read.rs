//! From a document to a [`Scenario`]. What is left out has the default that this file and `workload` give.

use std::path::Path;
use std::sync::Arc;

use super::checked::*;
use super::disruption::int_or_percent;
use super::kubelet::KubeletSpec;
use super::{
    api_server, capacity_reservations, ebs_csi_driver, host_ports, jobs, kubelet, limits, names, node_pools,
    november_2022, placement, plausible, pod_terms, pool_depth, reach, subnets, too_late, warm_targets,
    workload,
};
use crate::actors::int_or_percent::IntOrPercent;
use crate::actors::ipamd;
use crate::actors::kube_scheduler::score::Strategy;
use crate::catalogue::{Catalogue, Grade, Latency, LatencyModel, LatencyModels};
use crate::input::{Document, Node, Problem, Problems, Section, Value};
use crate::units::{SimDuration, SimTime};

/// Of a scenario that says none.
pub(super) const HORIZON: SimDuration = SimDuration::from_secs(1_800);

/// A scenario, and what the user should know beside it.
#[derive(Clone, Debug)]
pub struct Read {
    pub scenario: Scenario,
    pub warnings: Vec<String>,
}

/// Reads a scenario; a file it names is looked for from `folder` on. `name` stands where it names itself not.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(
    document: &Document,
    name: &str,
    folder: &Path,
    catalogue: &Arc<Catalogue>,
) -> Result<Read, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut warnings = Vec::new();
    let mut root = Section::new(&document.root, "", &mut problems);
    let catalogue = own_catalogue(&mut root, folder, catalogue, &mut problems);
    let profile = root.choice("profile", &PROFILES, &mut problems).unwrap_or_default();
    let jobs = jobs::read(&mut root, &mut problems);
    let deployments = workload::deployments(&mut root, !jobs.is_empty(), &mut problems);
    // The most pods that the schedules ask for at once.
    let most = |deployment: &DeploymentSpec| {
        let scheduled = deployment.schedule.iter().map(|(_, count)| *count).max().unwrap_or(0);
        scheduled.max(deployment.autoscaler.as_ref().map_or(0, |autoscaler| autoscaler.max))
    };
    // Of a Job, all that are to succeed.
    let completions = jobs.iter().flat_map(|template| &template.job).map(|job| job.completions);
    let pods: u32 = deployments.iter().map(most).chain(completions).sum();
    let zones = root
        .texts("zones", &mut problems)
        .unwrap_or_else(|| ["a", "b", "c"].map(|zone| format!("us-east-1{zone}")).into());
    let subnets = subnets::read(&mut root, &zones, &mut problems);
    let mut scenario = Scenario {
        name: root.text("name", &mut problems).unwrap_or_else(|| name.to_string()),
        profile,
        horizon: root.span("horizon", &mut problems).unwrap_or(HORIZON),
        target_pods: root.whole("target_pods", 1, 1_000_000, &mut problems).unwrap_or(pods.max(1)),
        until: until(&mut root, &deployments, &mut problems),
        zones,
        cluster_name: None,
        subnets,
        daemonsets: workload::daemonsets(&mut root, profile, &mut problems),
        static_nodes: workload::static_nodes(&mut root, &catalogue, &mut problems),
        node_pools: node_pools::node_pools(&mut root, profile, &catalogue, &mut problems),
        karpenter: karpenter(root.section("karpenter", &mut problems), &mut problems),
        scheduler: scheduler(root.section("kube_scheduler", &mut problems), &mut problems),
        controller_manager: controller_manager(
            root.section("kube_controller_manager", &mut problems),
            &mut problems,
        ),
        api_server: api_server::read(root.section("api_server", &mut problems), &mut problems),
        kubelet: kubelet::read(root.section("kubelet", &mut problems), &mut problems).or_else(|| {
            let mut all = deployments.iter().chain(&jobs);
            all.any(DeploymentSpec::needs_kubelet).then(KubeletSpec::default)
        }),
        ebs_csi_driver: ebs_csi_driver::read(root.section("ebs_csi_driver", &mut problems), &mut problems),
        cni: cni(&mut root, profile, &mut warnings, &mut problems),
        quotas: quotas(root.section("quotas", &mut problems), &mut problems),
        market: root
            .choice("market", &[("calm", Market::Calm), ("tight", Market::Tight)], &mut problems)
            .unwrap_or_default(),
        pool_depth: pool_depth::read(root.section("pool_depth", &mut problems), &mut problems),
        capacity_reservations: Vec::new(),
        zone_tie: zone_tie(&mut root, &mut problems),
        ec2_limits: limits::read(root.section("ec2_limits", &mut problems), &mut problems),
        overhead: overhead(&mut root, &mut problems),
        latencies: latencies(&mut root, &mut problems),
        deployments,
        jobs,
        catalogue,
    };
    // A count that does not read was told, and nothing is known of their sum.
    if scenario.target_pods > pods && !problems.any(is_count_of_pods) {
        let what = format!(
            "{} pods are to be reached, but Deployments and Jobs ask for {pods} at most",
            scenario.target_pods
        );
        let hint = Some(format!("leave target_pods out, or write {pods} at most"));
        problems.add(root.origin_of("target_pods"), "target_pods", what, hint);
    }
    let known = capacity_reservations::Known {
        zones: &scenario.zones,
        subnets: &scenario.subnets,
        pools: &scenario.node_pools,
        catalogue: &scenario.catalogue,
    };
    scenario.capacity_reservations = capacity_reservations::read(&mut root, &known, &mut problems);
    placement::check_keys(&scenario, &document.root, &mut problems);
    finish_cni(&mut scenario, &document.root, &mut warnings, &mut problems);
    room_at_start(&scenario, &document.root, &mut problems);
    pod_terms::check_names(&scenario, &document.root, &mut problems);
    names::check(&scenario, &document.root, &mut problems);
    november_2022::check(&scenario, &document.root, &mut problems);
    plausible::check(&scenario, &mut root, &mut warnings, &mut problems);
    root.finish(&mut problems);
    if problems.is_empty() {
        warnings.extend(reach::warnings(&scenario));
        warnings.extend(host_ports::warnings(&scenario));
        warnings.extend(too_late::warnings(&scenario));
        warnings.extend(warm_targets::warnings(&scenario));
    }
    if problems.is_empty() {
        Ok(Read { scenario, warnings })
    } else {
        Err(latencies_meant(problems.with_warnings(warnings)))
    }
}

/// Of Deployments and Jobs as wholes, or of what says how many pods they ask for.
fn is_count_of_pods(key: &str) -> bool {
    let whole = ["deployments", "jobs"].iter().any(|list| {
        let rest = key.strip_prefix(list);
        rest.is_some_and(|rest| rest.is_empty() || (rest.ends_with(']') && !rest.contains('.')))
    });
    whole
        || ["replicas", "schedule", "completions", "autoscaler", ".max"].iter().any(|end| key.ends_with(end))
}

/// `until`; left out, the horizon where a schedule goes down or pods are replaced, which a run that ends at its target would
/// not see.
fn until(root: &mut Section<'_>, deployments: &[DeploymentSpec], problems: &mut Problems) -> Until {
    let goes_on = deployments.iter().any(|spec| spec.scales_in() || !spec.rollouts.changes.is_empty());
    let standard = if goes_on { Until::Horizon } else { Until::Target };
    let list = [("target", Until::Target), ("horizon", Until::Horizon)];
    root.choice("until", &list, problems).unwrap_or(standard)
}

const PROFILES: [(&str, Profile); 2] = [("current", Profile::Current), ("2022-11", Profile::Nov2022)];

/// `catalogue.file`, or the one that is built in.
fn own_catalogue(
    root: &mut Section<'_>,
    folder: &Path,
    standard: &Arc<Catalogue>,
    problems: &mut Problems,
) -> Arc<Catalogue> {
    let Some(mut section) = root.section("catalogue", problems) else { return standard.clone() };
    let file = section.text("file", problems);
    let (origin, key) = (section.origin().clone(), section.key("file"));
    section.finish(problems);
    let Some(file) = file else { return standard.clone() };
    let path = folder.join(&file);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            problems.add(&origin, &key, format!("{}: {error}", path.display()), None);
            return standard.clone();
        }
    };
    match Catalogue::from_csv(&text, &file) {
        Ok(catalogue) => Arc::new(catalogue),
        Err(found) => {
            found.iter().for_each(|problem| problems.add(&origin, &key, format!("{file}: {problem}"), None));
            standard.clone()
        }
    }
}

/// Static nodes stand in the subnets in turn, each with an address of its own.
fn room_at_start(scenario: &Scenario, root: &Node, problems: &mut Problems) {
    if scenario.zones.is_empty() {
        return;
    }
    if scenario.subnets.is_empty() {
        let hint = Some("leave subnets out: there is one a zone then".to_string());
        return problems.add(root.origin_of("subnets"), "subnets", "a cluster needs a subnet", hint);
    }
    let nodes: u32 = scenario.static_nodes.iter().map(|group| group.count).sum();
    let of_each = nodes.div_ceil(scenario.subnets.len() as u32);
    for (index, subnet) in scenario.subnets.iter().enumerate() {
        let room = (subnet.size() - 5).saturating_sub(subnet.reserved_prefixes * 16);
        let others = subnet.used_at_start();
        if others + of_each > room {
            let what = format!(
                "{} has {room} addresses: {} are used at the start, {} are the control plane's interfaces, and up to {of_each} static nodes need one each",
                subnet.name, subnet.used_addresses, subnet.control_plane_interfaces
            );
            let hint = Some("fewer addresses in use or static nodes, or a shorter prefix_length".to_string());
            let key = format!("subnets[{index}]");
            if root.get("subnets").is_none() {
                // All are alike.
                let key = if others < room { "static_nodes" } else { "used_addresses" };
                return problems.add(root.origin_of(key), key, what, hint);
            }
            problems.add(root.origin_of(&key), &key, what, hint);
        }
    }
}

fn karpenter(section: Option<Section<'_>>, problems: &mut Problems) -> KarpenterSettings {
    let mut settings = KarpenterSettings {
        batch_idle: SimDuration::from_secs(1),
        batch_max: SimDuration::from_secs(10),
        vm_memory_overhead_percent: 0.075,
        reserved_enis: 0,
        spot_to_spot_consolidation: false,
    };
    if let Some(mut section) = section {
        settings.batch_idle = section.span("batch_idle", problems).unwrap_or(settings.batch_idle);
        settings.batch_max = section.span("batch_max", problems).unwrap_or(settings.batch_max);
        let overhead = section.number("vm_memory_overhead_percent", 0.0, 0.9, problems);
        settings.vm_memory_overhead_percent = overhead.unwrap_or(settings.vm_memory_overhead_percent);
        settings.reserved_enis = section.whole("reserved_enis", 0, 15, problems).unwrap_or(0);
        let spot_to_spot = section.flag("spot_to_spot_consolidation", problems);
        settings.spot_to_spot_consolidation = spot_to_spot.unwrap_or(false);
        section.finish(problems);
    }
    settings
}

fn scheduler(section: Option<Section<'_>>, problems: &mut Problems) -> SchedulerSettings {
    let mut settings = SchedulerSettings {
        client: ClientLimit { qps: 50, burst: 100 },
        strategy: Strategy::LeastAllocated,
        default_spread: true,
    };
    if let Some(mut section) = section {
        settings.client = client(&mut section, settings.client, problems);
        settings.strategy = placement::strategy(&mut section, problems);
        settings.default_spread = section.flag("default_spread", problems).unwrap_or(true);
        section.finish(problems);
    }
    settings
}

fn controller_manager(section: Option<Section<'_>>, problems: &mut Problems) -> ClientLimit {
    let mut limit = ClientLimit { qps: 20, burst: 30 };
    if let Some(mut section) = section {
        limit = client(&mut section, limit, problems);
        section.finish(problems);
    }
    limit
}

fn client(section: &mut Section<'_>, standard: ClientLimit, problems: &mut Problems) -> ClientLimit {
    ClientLimit {
        qps: section.whole("qps", 1, 100_000, problems).unwrap_or(standard.qps),
        burst: section.whole("burst", 1, 100_000, problems).unwrap_or(standard.burst),
    }
}

fn cni(
    root: &mut Section<'_>,
    profile: Profile,
    warnings: &mut Vec<String>,
    problems: &mut Problems,
) -> CniSpec {
    let mut spec = CniSpec {
        mode: CniMode::Vpc,
        env: Default::default(),
        max_pods: None,
        restarts: Vec::new(),
        other_interfaces: Vec::new(),
        pod_eni: false,
    };
    let Some(mut section) = root.section("cni", problems) else { return spec };
    let modes = [("vpc", CniMode::Vpc), ("none", CniMode::None)];
    spec.mode = section.choice("mode", &modes, problems).unwrap_or(CniMode::Vpc);
    spec.max_pods = section.whole("max_pods", 1, 10_000, problems);
    spec.restarts = restarts(&mut section, problems);
    spec.other_interfaces = other_interfaces(&mut section, problems);
    if let Some(mut env) = section.section("env", problems) {
        for (name, node) in env.all() {
            let key = env.key(name);
            match &node.value {
                _ if !is_variable(name) => {
                    let hint = crate::input::nearest(name, &ipamd::NAMES)
                        .map(|name| format!("did you mean {name}?"));
                    let what = format!("{name} is not a variable of aws-node");
                    problems.add(&node.origin, &key, what, hint);
                }
                Value::Array(_) | Value::Table(_) | Value::Float(_) => {
                    let what = format!("a container's environment holds text; {} is not", node.value.kind());
                    problems.add(&node.origin, &key, what, Some("put it in quotes".into()));
                }
                // A number and a switch are what they look like, whether in quotes or not.
                value => {
                    spec.env.extend(value.as_text().map(|text| (name.clone(), text)));
                }
            }
        }
        for refusal in ipamd::entrypoint_refusals(&spec.env) {
            problems.add(env.origin(), "cni.env", refusal, None);
        }
    }
    section.finish(problems);
    // Any type serves to learn what does not parse; what depends on the type is warned of in the run.
    let limits = ipamd::Limits { max_enis: 3, ipv4_per_eni: 10, prefixes: true, trunking: None };
    let version = if profile == Profile::Nov2022 { ipamd::Version::V1_12 } else { ipamd::Version::V1_23 };
    ipamd::Settings::read(version, &spec.env, limits, 29, warnings);
    spec
}

/// `restarts = [{ at = "10 min", max_unavailable = "10%" }]`; aws-node's manifest says 10 %.
fn restarts(section: &mut Section<'_>, problems: &mut Problems) -> Vec<AwsNodeUpdate> {
    let read = |mut entry: Section<'_>, problems: &mut Problems| {
        if entry.get("at").is_none() {
            let hint = Some("write at = \"10 min\"".into());
            problems.add(entry.origin_of("at"), &entry.key("at"), "a restart has an instant", hint);
        }
        let at = SimTime::ZERO + entry.span("at", problems).unwrap_or(SimDuration::ZERO);
        let most = int_or_percent(&mut entry, "max_unavailable", problems);
        if matches!(most, Some(IntOrPercent::Count(0) | IntOrPercent::Percent(0))) {
            let what =
                "an update that may take no pod away replaces none: the API refuses it without max_surge";
            let hint = Some("write max_unavailable = 1, or leave it out for \"10%\"".to_string());
            problems.add(entry.origin_of("max_unavailable"), &entry.key("max_unavailable"), what, hint);
        }
        entry.finish(problems);
        AwsNodeUpdate { at, max_unavailable: most.unwrap_or(IntOrPercent::Percent(10)) }
    };
    let entries = section.sections("restarts", problems).unwrap_or_default();
    entries.into_iter().map(|entry| read(entry, problems)).collect()
}

/// `other_interfaces = [{ count = 1, tags = { "node.k8s.amazonaws.com/no_manage" = "true" } }]`
fn other_interfaces(section: &mut Section<'_>, problems: &mut Problems) -> Vec<OtherInterface> {
    let read = |mut entry: Section<'_>, problems: &mut Problems| {
        let count = entry.whole("count", 1, 14, problems).unwrap_or(1);
        let mut no_manage = None;
        if let Some(mut tags) = entry.section("tags", problems) {
            for (name, node) in tags.all() {
                match &node.value {
                    Value::Text(value) if name == NO_MANAGE => no_manage = Some(value.clone()),
                    _ => {
                        let hint = Some(format!("it reads {NO_MANAGE}, whose value is a text"));
                        let what = format!("{name} is not a tag of interfaces that aws-node reads here");
                        problems.add(&node.origin, &tags.key(name), what, hint);
                    }
                }
            }
        }
        entry.finish(problems);
        OtherInterface { count, no_manage }
    };
    let entries = section.sections("other_interfaces", problems).unwrap_or_default();
    entries.into_iter().map(|entry| read(entry, problems)).collect()
}
const NO_MANAGE: &str = "node.k8s.amazonaws.com/no_manage";

/// Those of aws-node that are read in a scenario beside ipamd's own.
const IPV6: &str = "ENABLE_IPv6";
const IPV6_KEY: &str = "cni.env.ENABLE_IPv6";
const IPV4: &str = "ENABLE_IPv4";
const CLUSTER_NAME: &str = "CLUSTER_NAME";
const CUSTOM_NETWORKING: &str = "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG";

fn is_variable(name: &str) -> bool {
    [IPV6, IPV4, CLUSTER_NAME].contains(&name)
        || ipamd::NAMES.contains(&name)
        || ipamd::NAMES_WITHOUT_EFFECT.contains(&name)
        || ipamd::NAMES_NOT_MODELLED.contains(&name)
}

/// What the environment says beside the pool's settings; warns of what changes nothing here.
fn finish_cni(scenario: &mut Scenario, root: &Node, warnings: &mut Vec<String>, problems: &mut Problems) {
    let env = &scenario.cni.env;
    for name in env.keys().map(String::as_str) {
        if ipamd::NAMES_WITHOUT_EFFECT.contains(&name) {
            warnings.push(format!("{name} changes neither addresses nor when they come"));
        }
        if ipamd::NAMES_NOT_MODELLED.contains(&name) {
            warnings.push(format!("{name} is accepted; what it does is not modelled"));
        }
    }
    let on = |name: &str| env.get(name).and_then(|text| ipamd::go_parse_bool(text)).unwrap_or(false);
    if on(IPV6) && scenario.cni.mode == CniMode::Vpc {
        if !on("ENABLE_PREFIX_DELEGATION") {
            let what = "IPv6 needs ENABLE_PREFIX_DELEGATION; ipamd exits without it";
            let hint = Some("set ENABLE_PREFIX_DELEGATION = \"true\" beside it".to_string());
            problems.add(root.origin_of(IPV6_KEY), IPV6_KEY, what, hint);
        }
        for other in [IPV4, CUSTOM_NETWORKING].into_iter().filter(|name| on(name)) {
            let what = format!("IPv6 does not go with {other}; ipamd exits with both");
            let hint = format!("leave {other} out or set it to \"false\"");
            problems.add(root.origin_of(IPV6_KEY), IPV6_KEY, what, Some(hint));
        }
        scenario.cni.mode = CniMode::VpcIpv6;
    }
    scenario.cni.pod_eni = on("ENABLE_POD_ENI") && scenario.cni.mode == CniMode::Vpc;
    let deployments = scenario.deployments.iter().zip(0..).map(|(spec, index)| ("deployments", index, spec));
    let jobs = scenario.jobs.iter().zip(0..).map(|(spec, index)| ("jobs", index, spec));
    for (list, index, template) in deployments.chain(jobs) {
        if template.requests.pod_enis() > 0 && !scenario.cni.pod_eni {
            let what = "pods get interfaces of their own here with ENABLE_POD_ENI, of the VPC CNI in IPv4 clusters only";
            let hint = Some("set cni.env.ENABLE_POD_ENI = \"true\"".to_string());
            let key = format!("{list}[{index}].security_groups");
            problems.add(root.origin_of(&key), &key, what, hint);
        }
    }
    scenario.cluster_name = env.get(CLUSTER_NAME).cloned();
    if on(CUSTOM_NETWORKING) {
        for (zone, name) in scenario.zones.iter().enumerate() {
            let of_zone = || scenario.subnets.iter().filter(|subnet| subnet.zone == zone as u32);
            let named = of_zone().filter(|subnet| subnet.eni_config).count();
            if of_zone().any(|subnet| subnet.nodes) && named != 1 {
                let what = format!(
                    "custom networking needs one subnet in {name} with eni_config = true; {named} have it"
                );
                problems.add(root.origin_of("subnets"), "subnets", what, None);
            }
        }
    }
    for (zone, name) in scenario.zones.iter().enumerate() {
        let mut of_zone = scenario.subnets.iter().filter(|subnet| subnet.zone == zone as u32).peekable();
        if of_zone.peek().is_some() && !of_zone.any(|subnet| subnet.nodes) {
            let what = format!("no subnet in {name} is for nodes");
            problems.add(root.origin_of("subnets"), "subnets", what, None);
        }
    }
}

fn quotas(section: Option<Section<'_>>, problems: &mut Problems) -> Quotas {
    let mut quotas = Quotas { on_demand_vcpus: 10_000, spot_vcpus: 10_000, raises: Vec::new() };
    if let Some(mut section) = section {
        let on_demand = section.whole("on_demand_vcpus", 0, 10_000_000, problems);
        quotas.on_demand_vcpus = on_demand.unwrap_or(quotas.on_demand_vcpus);
        quotas.spot_vcpus = section.whole("spot_vcpus", 0, 10_000_000, problems).unwrap_or(quotas.spot_vcpus);
        quotas.raises = workload::raises(&mut section, problems);
        section.finish(problems);
    }
    quotas
}

fn zone_tie(root: &mut Section<'_>, problems: &mut Problems) -> ZoneTie {
    let Some(mut section) = root.section("fleet", problems) else { return ZoneTie::default() };
    let tie =
        section.choice("zone_tie", &[("uniform", ZoneTie::Uniform), ("first", ZoneTie::First)], problems);
    section.finish(problems);
    tie.unwrap_or_default()
}

fn overhead(root: &mut Section<'_>, problems: &mut Problems) -> NodeOverhead {
    let Some(mut section) = root.section("node_overhead", problems) else { return NodeOverhead::Eks };
    let cpu_millis = section.cpu("cpu", problems).unwrap_or(0);
    let memory_bytes = section.bytes("memory", problems).unwrap_or(0);
    section.finish(problems);
    NodeOverhead::Fixed { cpu_millis, memory_bytes }
}

/// A key that is not there may be a latency without the name of its table, or nearly one.
fn latencies_meant(mut problems: Vec<Problem>) -> Vec<Problem> {
    let names: Vec<&str> = Latency::ALL.iter().map(|latency| latency.name()).collect();
    for problem in problems.iter_mut().filter(|problem| problem.what.starts_with("there is no key")) {
        let said = problem.hint.as_deref().is_some_and(|hint| hint.starts_with("did you mean"));
        let near = crate::input::nearest(&problem.key, &names);
        if let Some(name) = near.filter(|name| !said || *name == problem.key) {
            problem.hint = Some(format!("did you mean \"latency.{name}\"?"));
        }
    }
    problems
}

/// `[latency]`: the compiled-in models, and the scenario's own over them.
fn latencies(root: &mut Section<'_>, problems: &mut Problems) -> LatencyModels {
    let mut models = LatencyModels::compiled_in();
    let Some(mut section) = root.section("latency", problems) else { return models };
    for (name, node) in section.all() {
        let key = section.key(name);
        let Some(latency) = Latency::from_name(name) else {
            let names: Vec<&str> = Latency::ALL.iter().map(|latency| latency.name()).collect();
            let hint = crate::input::nearest(name, &names).map(|name| format!("did you mean {name:?}?"));
            problems.add(&node.origin, &key, format!("there is no latency {name:?}"), hint);
            continue;
        };
        if let Some(law) = workload::distribution_of(node, &key, problems) {
            models.set(latency, LatencyModel { law, source: "the scenario".into(), grade: Grade::Given });
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str, settings: &[&str]) -> Result<Read, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut document = Document::parse("a.toml", text, &mut problems);
        settings.iter().for_each(|setting| document.set(setting, &mut problems));
        assert!(problems.is_empty(), "{problems:?}");
        read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()))
    }

    #[test]
    fn one_deployment_is_enough_and_the_rest_has_defaults() {
        let read = scenario("[[deployments]]\nreplicas = 1000", &["WARM_IP_TARGET=2"]).unwrap();
        let scenario = read.scenario;
        assert_eq!(
            (scenario.target_pods, scenario.subnets.len(), scenario.horizon),
            (1_000, 3, SimDuration::from_secs(1_800))
        );
        assert_eq!(scenario.cni.env["WARM_IP_TARGET"], "2");
        assert_eq!(
            scenario.subnets.iter().map(|subnet| subnet.control_plane_interfaces).collect::<Vec<_>>(),
            [2, 1, 1]
        );
        assert_eq!(scenario.deployments[0].requests.cpu_millis, 1_000);
        assert_eq!(scenario.ec2_limits.instances, BucketLimit { size: 1_000, refill_per_s: 2 });
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let text = "target_pods = 2000\nsubnet_prefix_length = 12\n[[deployments]]\nreplicas = 1000\ncpu = 1\n\
                    [cni.env]\nWARM_IP_TARGT = \"1\"\nWARM_ENI_TARGET = 1.5\n[latency]\nboot = { constant = \"1 s\" }\n\
                    [[node_pools]]\ninstance_types = [\"m5.lrge\"]\ncapacity_types = [\"cheap\"]\n";
        let problems = scenario(text, &[]).unwrap_err();
        let mut keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        keys.sort_unstable();
        let wanted = [
            "cni.env.WARM_ENI_TARGET",
            "cni.env.WARM_IP_TARGT",
            "deployments[0].cpu",
            "latency.boot",
            "node_pools[0].capacity_types",
            "node_pools[0].instance_types",
            "subnet_prefix_length",
            "target_pods",
        ];
        assert_eq!(keys, wanted, "{problems:#?}");
    }

    #[test]
    fn a_wrong_setting_is_told_once_and_where_it_was_typed() {
        let text =
            "target_pods = 1000\n[[deployments]]\nreplicas = 1000\n[[node_pools]]\nname = \"default\"\n";
        for (setting, key) in [
            ("deployments.0.replicas=abc", "deployments[0].replicas"),
            ("deployments=3", "deployments"),
            ("deployments.0=3", "deployments[0]"),
            ("node_pools.0.instance_types=[\"M5.LARGE\"]", "node_pools[0].instance_types"),
            ("used_addresses=9000", "used_addresses"),
            ("static_nodes=[{ count = 9000 }]", "static_nodes"),
            ("zones=[]", "zones"),
            ("deployments.0.security_groups=true", "deployments[0].security_groups"),
        ] {
            let problems = scenario(text, &[setting]).unwrap_err();
            assert_eq!(problems.len(), 1, "{setting}: {problems:#?}");
            assert_eq!(
                (problems[0].key.as_str(), problems[0].place.as_str()),
                (key, &*format!("--set {setting}"))
            );
        }
        let problems = scenario(text, &["deployments.0.replicas=5"]).unwrap_err();
        assert_eq!((problems[0].key.as_str(), problems[0].place.as_str()), ("target_pods", "a.toml:1:1"));
        scenario(text, &["deployments[0].cpu=2", "deployments.0.cpu=0.5"]).unwrap();
    }

    #[test]
    fn a_latency_s_name_alone_is_told_with_its_table() {
        for (typed, meant) in [("kubelet_sync", "kubelet_sync"), ("boot_sytem_al2023", "boot_system_al2023")]
        {
            let setting = format!("{typed}={{ constant = \"1 s\" }}");
            let problems = scenario("[[deployments]]\nreplicas = 1", &[&setting]).unwrap_err();
            let hint = problems[0].hint.as_deref().unwrap();
            assert_eq!(hint, format!("did you mean \"latency.{meant}\"?"));
        }
    }

    #[test]
    fn subnets_must_hold_what_is_there_at_the_start() {
        let text = "[[deployments]]\nreplicas = 1\n[[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 28\nused_addresses = 6\n";
        let told = &scenario(text, &[]).unwrap_err()[0];
        let figures = "has 11 addresses: 6 are used at the start, 4 are the control plane's interfaces, and up to 2 static";
        assert!(told.key == "subnets[0]" && told.what.contains(figures), "{told}");
        scenario(text, &["control_plane_interfaces=3"]).unwrap();
    }

    /// As somebody would write them in YAML, whatever kubectl wants.
    #[test]
    fn numbers_and_switches_of_aws_node_need_no_quotes() {
        let text =
            "[[deployments]]\nreplicas = 1\n[cni.env]\nWARM_IP_TARGET = 2\nENABLE_SUBNET_DISCOVERY = false\n";
        let env = scenario(text, &["MANAGE_UNTAGGED_ENI=false"]).unwrap().scenario.cni.env;
        let document = Document::parse("a.toml", text, &mut Problems::default());
        let spelled =
            super::super::spelled_out(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()));
        assert_eq!(spelled["cni"]["env"]["WARM_IP_TARGET"].as_str(), Some("2"));
        let names = ["WARM_IP_TARGET", "ENABLE_SUBNET_DISCOVERY", "MANAGE_UNTAGGED_ENI"];
        assert_eq!(names.map(|name| env[name].as_str()), ["2", "false", "false"]);
    }

    /// What is wrong with values of aws-node is no less to be known where something else is wrong.
    #[test]
    fn warnings_are_told_beside_mistakes_and_mistakes_in_the_order_of_their_places() {
        let text = "[[deployments]]\nreplicas = 0\n[cni.env]\nWARM_IP_TARGET = \"two\"\nX = \"1\"\n[quotas]\nspot_vcpus = -1\n";
        let told = scenario(text, &["horizon=5"]).unwrap_err();
        let places: Vec<&str> = told.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["a.toml:2:1", "a.toml:5:1", "a.toml:7:1", "--set horizon=5", ""], "{told:#?}");
        assert!(told[4].to_string().starts_with("warning: WARM_IP_TARGET = \"two\" is not"), "{}", told[4]);
    }

    #[test]
    fn what_aws_node_falls_back_from_is_a_warning() {
        let read = scenario("[[deployments]]\nreplicas = 1", &["WARM_IP_TARGET=two"]).unwrap();
        assert_eq!(read.warnings.len(), 1, "{:?}", read.warnings);
    }
}
