//! What runs in the cluster: Deployments, DaemonSets, the nodes that are there at the start.

use super::checked::*;
use super::placement::Placement;
use super::{containers, disruption, extended, memory_usage, placement, rollouts, usage};
use crate::actors::hpa::{Policies, Policy, PolicyKind};
use crate::catalogue::distribution_text::parse_distribution;
use crate::catalogue::{Catalogue, TypeId};
use crate::chance::Distribution;
use crate::input::{Node, Problems, Section, Value, nearest};
use crate::units::text::parse_duration;
use crate::units::{Resources, SimDuration, SimTime};

/// Kubernetes' `terminationGracePeriodSeconds`, which an application that does not stop by itself uses up (s).
const GRACE_S: f64 = 30.0;

/// A distribution under `name`.
pub(super) fn distribution(
    section: &mut Section<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Distribution> {
    let key = section.key(name);
    let node = section.get(name)?;
    distribution_of(node, &key, problems)
}

pub(super) fn distribution_of(node: &Node, key: &str, problems: &mut Problems) -> Option<Distribution> {
    let read = match node.to_toml() {
        toml::Value::Table(table) => parse_distribution(&table),
        other => Err(format!("{other} is no distribution; write for example {{ constant = \"30 s\" }}")),
    };
    match read {
        Ok(law) => Some(law),
        Err(what) => {
            problems.add(&node.origin, key, what, None);
            None
        }
    }
}

fn requests(section: &mut Section<'_>, cpu: i64, memory: i64, problems: &mut Problems) -> Resources {
    let cpu = section.cpu("cpu", problems).unwrap_or(cpu);
    Resources::new(cpu, section.bytes("memory", problems).unwrap_or(memory), 1)
}

/// Of a PriorityClass: is it `Never`?
const PREEMPTION_POLICIES: [(&str, bool); 2] = [("PreemptLowerPriority", false), ("Never", true)];

/// What pods of Deployments and of Jobs say alike.
pub(super) fn template(section: &mut Section<'_>, name: &str, problems: &mut Problems) -> DeploymentSpec {
    let own_requests = requests(section, 1_000, 2 << 30, problems);
    let image_layers = containers::layers(section, 300_000_000, problems);
    let init_containers = containers::init_containers(section, problems);
    let extended = extended::requests(section, problems);
    let security_groups = section.flag("security_groups", problems).unwrap_or(false);
    DeploymentSpec {
        name: section.text("name", problems).unwrap_or_else(|| name.to_string()),
        requests: Resources { extended, ..containers::requests_of_pod(own_requests, &init_containers) }
            .with_pod_enis(security_groups.into()),
        own_requests,
        image_bytes: image_layers.iter().map(|layer| layer.bytes).sum(),
        image_layers,
        init_containers,
        startup: Distribution::Constant(0.0),
        startup_probe: None,
        readiness: None,
        termination_grace: distribution(section, "termination_grace", problems)
            .unwrap_or(Distribution::Constant(GRACE_S)),
        termination_grace_period: section.span("termination_grace_period", problems),
        do_not_disrupt: disruption::do_not_disrupt(section, problems),
        pdb: None,
        schedule: Vec::new(),
        autoscaler: None,
        rollouts: rollouts::Rollouts::NONE,
        job: None,
        usage: None,
        memory_usage: None,
        placement: placement::read(section, problems),
        priority: priority(section, problems),
        never_preempts: { section.choice("preemption_policy", &PREEMPTION_POLICIES, problems) }
            .unwrap_or(false),
    }
}

/// The value of a PriorityClass: a user's own, or one of the system's two.
fn priority(section: &mut Section<'_>, problems: &mut Problems) -> i32 {
    let [least, most] = [-1_000_000_000, CRITICAL_PRIORITIES[1]];
    let priority = section.integer("priority", least, most, problems).unwrap_or(0);
    if priority > 1_000_000_000 && !CRITICAL_PRIORITIES.contains(&priority) {
        let what = format!("{priority} is no priority that a PriorityClass may have: 1000000000 at most");
        let [cluster, node] = CRITICAL_PRIORITIES;
        let hint = format!("system-cluster-critical is {cluster}, system-node-critical {node}");
        problems.add(section.origin_of("priority"), &section.key("priority"), what, Some(hint));
    }
    priority
}

/// `[[deployments]]`; at least one must be there, unless there are Jobs.
pub(super) fn deployments(
    root: &mut Section<'_>,
    has_jobs: bool,
    problems: &mut Problems,
) -> Vec<DeploymentSpec> {
    let sections = root.sections("deployments", problems);
    let says_other = root.get("deployments").is_some_and(|node| !matches!(node.value, Value::Array(_)));
    if sections.as_ref().is_none_or(Vec::is_empty) && !has_jobs && !says_other {
        let hint = "add [[deployments]] with replicas, cpu and memory, or [[jobs]]".to_string();
        problems.add(
            root.origin_of("deployments"),
            "deployments",
            "nothing is scaled: there is no Deployment",
            Some(hint),
        );
    }
    let each = |(index, mut section): (usize, Section<'_>)| {
        let template = template(&mut section, &format!("app-{}", index + 1), problems);
        let own_requests = template.own_requests;
        let deployment = DeploymentSpec {
            startup: distribution(&mut section, "startup", problems).unwrap_or(Distribution::Constant(0.0)),
            pdb: section.section("pdb", problems).and_then(|part| disruption::pdb(part, problems)),
            startup_probe: section
                .section("startup_probe", problems)
                .map(|probe| containers::startup_probe(probe, problems)),
            readiness: section
                .section("readiness", problems)
                .map(|probe| containers::readiness_probe(probe, problems)),
            schedule: schedule(&mut section, problems),
            autoscaler: section.section("autoscaler", problems).map(|part| autoscaler(part, problems)),
            rollouts: rollouts::read(&mut section, problems),
            usage: section
                .section("usage", problems)
                .map(|part| usage::read(part, own_requests.cpu_millis, problems)),
            memory_usage: section
                .section("memory_usage", problems)
                .map(|part| memory_usage::read(part, own_requests.memory_bytes, problems)),
            ..template
        };
        section.finish(problems);
        deployment
    };
    sections.unwrap_or_default().into_iter().enumerate().map(each).collect()
}

/// `[deployments.autoscaler]`
fn autoscaler(mut section: Section<'_>, problems: &mut Problems) -> AutoscalerSpec {
    let policies = |mut part: Section<'_>, problems: &mut Problems| {
        let mut read = Policies::default_up();
        let window = part.span("stabilization_window", problems).unwrap_or(SimDuration::ZERO);
        read.window_ms = window.millis() as i64;
        let period_ms = part.span("period", problems).map_or(15_000, |period| period.millis() as i64);
        let kinds = [("pods", PolicyKind::Pods), ("percent", PolicyKind::Percent)];
        let given: Vec<Policy> = kinds
            .into_iter()
            .filter_map(|(name, kind)| {
                let value = part.whole(name, 1, 1_000_000, problems)? as i32;
                Some(Policy { kind, value, period_ms })
            })
            .collect();
        if !given.is_empty() {
            read.policies = given;
        }
        part.finish(problems);
        read
    };
    let mut load = Vec::new();
    for mut step in section.sections("load", problems).unwrap_or_default() {
        let at = SimTime::ZERO + step.span("at", problems).unwrap_or(SimDuration::ZERO);
        let value = step.number("value", 0.0, 1e12, problems).unwrap_or(0.0);
        if load.last().is_some_and(|(before, _)| *before >= at) {
            problems.add(step.origin_of("at"), &step.key("at"), "the instants of a load must rise", None);
        }
        load.push((at, value));
        step.finish(problems);
    }
    if load.is_empty() {
        let hint =
            Some("write load = [{ at = \"0 s\", value = 150 }, { at = \"1 min\", value = 15000 }]".into());
        problems.add(
            section.origin_of("load"),
            &section.key("load"),
            "an autoscaler needs a load to answer to",
            hint,
        );
    }
    let read = AutoscalerSpec {
        min: section.whole("min", 1, 1_000_000, problems).unwrap_or(1),
        max: section.whole("max", 1, 1_000_000, problems).unwrap_or(1_000),
        target_percent: section.whole("target_percent", 1, 1_000, problems).unwrap_or(50),
        sync: section
            .span("sync", problems)
            .unwrap_or(SimDuration::from_secs(15))
            .max(SimDuration::from_secs(1)),
        tolerance: section.number("tolerance", 0.0, 1.0, problems).unwrap_or(0.1),
        scale_up: section.section("scale_up", problems).map(|part| policies(part, problems)),
        metrics_age: section.span("metrics_age", problems).unwrap_or(SimDuration::from_secs(30)),
        pod_capacity: section.number("pod_capacity", 1e-9, 1e12, problems).unwrap_or(100.0),
        limit_percent: section.whole("limit_percent", 1, 10_000, problems).unwrap_or(100),
        load,
    };
    if read.min > read.max {
        problems.add(section.origin_of("min"), &section.key("min"), "min lies above max", None);
    }
    section.finish(problems);
    read
}

/// `replicas = 1000` at t = 0, or `schedule = [{ at = "0 s", replicas = 10 }, ...]`, by rising time.
fn schedule(section: &mut Section<'_>, problems: &mut Problems) -> Vec<(SimTime, u32)> {
    let replicas = section.whole("replicas", 1, 1_000_000, problems);
    let steps = section.sections("schedule", problems);
    let Some(steps) = steps else {
        if section.get("replicas").is_none() && section.is_table() && !section.misspells("replicas") {
            let hint = Some("write replicas = 1000, or a schedule".to_string());
            problems.add(section.origin(), &section.key("replicas"), "how many replicas?", hint);
        }
        return vec![(SimTime::ZERO, replicas.unwrap_or(1))];
    };
    let mut read: Vec<(SimTime, u32)> = replicas.map(|count| (SimTime::ZERO, count)).into_iter().collect();
    for mut step in steps {
        let at = SimTime::ZERO + step.span("at", problems).unwrap_or(SimDuration::ZERO);
        let count = step.whole("replicas", 0, 1_000_000, problems).unwrap_or(0);
        if read.last().is_some_and(|(before, _)| *before >= at) {
            problems.add(step.origin_of("at"), &step.key("at"), "a schedule's instants must rise", None);
        }
        read.push((at, count));
        step.finish(problems);
    }
    read
}

/// `[[daemonsets]]`; left out, aws-node and kube-proxy as EKS ships them.
pub(super) fn daemonsets(
    root: &mut Section<'_>,
    profile: Profile,
    problems: &mut Problems,
) -> Vec<DaemonSetSpec> {
    let Some(sections) = root.sections("daemonsets", problems) else {
        // aws-node requests 25m a container; since the network policy agent came it has two.
        let aws_node = if profile == Profile::Nov2022 { 25 } else { 50 };
        let on_host = |name: &str, cpu_millis| DaemonSetSpec {
            name: name.to_string(),
            requests: Resources::new(cpu_millis, 0, 1),
            host_network: true,
            image_bytes: 0,
            tolerates_everything: true,
            priority: CRITICAL_PRIORITIES[1],
            termination_grace: Distribution::Constant(GRACE_S),
            placement: Placement::default(),
        };
        return vec![on_host("aws-node", aws_node), on_host("kube-proxy", 100)];
    };
    let each = |(index, mut section): (usize, Section<'_>)| {
        let placement = placement::read_of_nodes(&mut section, problems);
        let tolerates = section.flag("tolerates_everything", problems);
        if tolerates == Some(true) && !placement.tolerations.is_empty() {
            let what = "its pods tolerate everything already";
            let hint = Some("leave tolerations out, or write tolerates_everything = false".into());
            problems.add(section.origin_of("tolerations"), &section.key("tolerations"), what, hint);
        }
        let daemonset = DaemonSetSpec {
            name: section.text("name", problems).unwrap_or_else(|| format!("daemonset-{}", index + 1)),
            requests: requests(&mut section, 0, 0, problems),
            host_network: section.flag("host_network", problems).unwrap_or(false),
            image_bytes: section.bytes("image", problems).unwrap_or(0).unsigned_abs(),
            tolerates_everything: tolerates.unwrap_or(placement.tolerations.is_empty()),
            priority: priority(&mut section, problems),
            termination_grace: distribution(&mut section, "termination_grace", problems)
                .unwrap_or(Distribution::Constant(GRACE_S)),
            placement,
        };
        section.finish(problems);
        daemonset
    };
    sections.into_iter().enumerate().map(each).collect()
}

/// `[[static_nodes]]`; left out, two tainted m5.large with Karpenter's and coredns' four pods.
pub(super) fn static_nodes(
    root: &mut Section<'_>,
    catalogue: &Catalogue,
    problems: &mut Problems,
) -> Vec<StaticNodes> {
    let standard =
        catalogue.find("m5.large").or_else(|| (!catalogue.types().is_empty()).then_some(TypeId(0)));
    let Some(sections) = root.sections("static_nodes", problems) else {
        let system = |instance_type| StaticNodes {
            count: 2,
            instance_type,
            allocatable: None,
            critical_addons_only: true,
            cordon_at: None,
            pods_with_address: 2,
        };
        return standard.map(system).into_iter().collect();
    };
    let each = |mut section: Section<'_>| {
        let named = section.text("instance_type", problems);
        let found = named
            .as_deref()
            .map_or(standard, |name| known_type(name, catalogue, &section, "instance_type", problems));
        let allocatable = section.section("allocatable", problems).map(|mut room| {
            let cpu = room.cpu("cpu", problems).unwrap_or(0);
            let memory = room.bytes("memory", problems).unwrap_or(0);
            let pods = room.whole("pods", 0, 10_000, problems).unwrap_or(110);
            room.finish(problems);
            Resources::new(cpu, memory, i64::from(pods))
        });
        let nodes = StaticNodes {
            count: section.whole("count", 0, 100_000, problems).unwrap_or(1),
            instance_type: found?,
            allocatable,
            critical_addons_only: section.flag("critical_addons_only", problems).unwrap_or(false),
            cordon_at: section.span("cordon_at", problems).map(|at| SimTime::ZERO + at),
            pods_with_address: section.whole("pods_with_address", 0, 1_000, problems).unwrap_or(0),
        };
        section.finish(problems);
        Some(nodes)
    };
    sections.into_iter().filter_map(each).collect()
}

/// `key` is where it is named.
pub(super) fn known_type(
    name: &str,
    catalogue: &Catalogue,
    section: &Section<'_>,
    key: &str,
    problems: &mut Problems,
) -> Option<TypeId> {
    let found = catalogue.find(name);
    if found.is_none() {
        let what = format!("{name:?} is not in the catalogue");
        problems.add(section.origin_of(key), &section.key(key), what, Some(type_meant(name, catalogue)));
    }
    found
}

/// What to do about an instance type that is not there.
pub(super) fn type_meant(name: &str, catalogue: &Catalogue) -> String {
    let names: Vec<&str> = catalogue.types().iter().map(|known| known.name.as_str()).collect();
    match nearest(name, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "`kilopod instances` lists those that are, [catalogue] takes a file of others".to_string(),
    }
}

/// `raises = [{ at = "10 min", on_demand_vcpus = 20000 }]` of `[quotas]`.
pub(super) fn raises(
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Vec<(SimTime, Option<u32>, Option<u32>)> {
    let key = section.key("raises");
    let Some(node) = section.get("raises") else { return Vec::new() };
    let Value::Array(nodes) = &node.value else {
        problems.add(&node.origin, &key, "a list of raises is wanted", None);
        return Vec::new();
    };
    let mut read = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let mut raise = Section::new(node, &format!("{key}[{index}]"), problems);
        let at = raise.text("at", problems).and_then(|text| parse_duration(&text).ok());
        if at.is_none() {
            problems.add(raise.origin_of("at"), &raise.key("at"), "when? such as at = \"10 min\"", None);
        }
        let on_demand = raise.whole("on_demand_vcpus", 0, 10_000_000, problems);
        let spot = raise.whole("spot_vcpus", 0, 10_000_000, problems);
        raise.finish(problems);
        read.push((SimTime::ZERO + at.unwrap_or_default(), on_demand, spot));
    }
    read.sort_by_key(|(at, ..)| *at);
    read
}
