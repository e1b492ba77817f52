//! A scenario spelled out: the document with the defaults that it leaves unsaid, for whoever wants to see them.
//!
//! What the user said stays as it is. Lists that are there keep their entries, which get the defaults of their own keys.
//! Left unsaid: subnets that `zones` and `subnet_prefix_length` stand for, since a factor may set those, and aws-node's own
//! defaults of its environment.

use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::capacity_reservations::CapacityReservationSpec;
use super::checked::*;
use super::containers::{InitContainer, Layer};
use super::kubelet::KubeletSpec;
use super::read::read;
use crate::actors::deployment;
use crate::actors::int_or_percent::IntOrPercent;
use crate::actors::kube_scheduler::score::Strategy;
use crate::actors::probe::Probe;
use crate::catalogue::distribution_text::distribution_table;
use crate::catalogue::{Catalogue, Latency};
use crate::input::Document;
use crate::units::text::{bytes_text, cpu_text, duration_text};
use crate::units::{ExtendedResource, Resources, SimDuration, SimTime};

/// The document as a table, with every default. A document that is no scenario by itself, as an experiment's may be that
/// lacks what its factors set, comes back as it is.
pub fn spelled_out(document: &Document, name: &str, folder: &Path, catalogue: &Arc<Catalogue>) -> Table {
    let Value::Table(mut table) = document.root.to_toml() else { return Table::new() };
    if let Ok(read) = read(document, name, folder, catalogue) {
        let defaults = defaults(&read.scenario, &table);
        fill(&mut table, defaults);
        // As aws-node has it: text, whether it was in quotes or not.
        let said = table.get_mut("cni").and_then(|cni| cni.get_mut("env")).and_then(Value::as_table_mut);
        if let Some(said) = said {
            said.extend(read.scenario.cni.env.into_iter().map(|(name, value)| (name, Value::String(value))));
        }
    }
    table
}

/// Adds what is missing, within tables and the entries of lists too.
fn fill(said: &mut Table, defaults: Table) {
    for (key, default) in defaults {
        match (said.get_mut(&key), default) {
            (None, default) => drop(said.insert(key, default)),
            (Some(Value::Table(said)), Value::Table(default)) => fill(said, default),
            (Some(Value::Array(said)), Value::Array(defaults)) => {
                for (said, default) in said.iter_mut().zip(defaults) {
                    if let (Value::Table(said), Value::Table(default)) = (said, default) {
                        fill(said, default);
                    }
                }
            }
            _ => {}
        }
    }
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}
fn span(span: SimDuration) -> Value {
    Value::String(duration_text(span))
}
fn tables<T>(all: &[T], each: impl Fn(&T) -> Table) -> Value {
    Value::Array(all.iter().map(|one| Value::Table(each(one))).collect())
}

fn defaults(scenario: &Scenario, said: &Table) -> Table {
    let has = |key: &str| said.contains_key(key);
    let market = if scenario.market == Market::Calm { "calm" } else { "tight" };
    let until = if scenario.until == Until::Target { "target" } else { "horizon" };
    let interfaces: u32 = scenario.subnets.iter().map(|subnet| subnet.control_plane_interfaces).sum();
    let mut all = table([
        ("name", text(&scenario.name)),
        ("profile", text(scenario.profile.name())),
        ("horizon", span(scenario.horizon)),
        ("target_pods", number(scenario.target_pods)),
        ("until", text(until)),
        ("zones", Value::Array(scenario.zones.iter().map(|zone| text(zone)).collect())),
        ("control_plane_interfaces", number(interfaces)),
        ("market", text(market)),
        ("deployments", tables(&scenario.deployments, deployment)),
        ("daemonsets", tables(&scenario.daemonsets, daemonset)),
        ("karpenter", Value::Table(karpenter(&scenario.karpenter))),
        ("cni", Value::Table(table([("mode", text(cni_mode(scenario.cni.mode)))]))),
        ("quotas", Value::Table(quotas(&scenario.quotas))),
        ("kube_scheduler", Value::Table(kube_scheduler(&scenario.scheduler))),
        ("kube_controller_manager", Value::Table(client(scenario.controller_manager))),
        ("fleet", Value::Table(table([("zone_tie", text(zone_tie(scenario.zone_tie)))]))),
        ("ec2_limits", Value::Table(ec2_limits(&scenario.ec2_limits))),
        ("latency", Value::Table(latencies(scenario))),
    ]);
    if let Some(spec) = &scenario.kubelet {
        all.insert("kubelet".into(), Value::Table(kubelet(spec)));
    }
    if !has("subnets") {
        let length = scenario.subnets.first().map_or(21, |subnet| subnet.prefix_length);
        all.insert("subnet_prefix_length".into(), number(length));
    }
    if has("static_nodes") {
        let of_each = |nodes: &StaticNodes| {
            table([
                ("critical_addons_only", Value::Boolean(nodes.critical_addons_only)),
                ("pods_with_address", number(nodes.pods_with_address)),
            ])
        };
        all.insert("static_nodes".into(), tables(&scenario.static_nodes, of_each));
    } else {
        let of_each = |nodes: &StaticNodes| {
            table([
                ("count", number(nodes.count)),
                ("instance_type", text(&scenario.catalogue.get(nodes.instance_type).name)),
                ("critical_addons_only", Value::Boolean(nodes.critical_addons_only)),
                ("pods_with_address", number(nodes.pods_with_address)),
            ])
        };
        all.insert("static_nodes".into(), tables(&scenario.static_nodes, of_each));
    }
    if has("jobs") {
        all.insert("jobs".into(), tables(&scenario.jobs, job));
    }
    if has("pool_depth") {
        all.insert("pool_depth".into(), Value::Table(table([("refill", span(scenario.pool_depth.refill))])));
    }
    if has("capacity_reservations") {
        let of_each =
            |spec: &CapacityReservationSpec| table([("name", text(&spec.name)), ("used", number(spec.used))]);
        all.insert("capacity_reservations".into(), tables(&scenario.capacity_reservations, of_each));
    }
    let whole = !has("node_pools");
    all.insert("node_pools".into(), tables(&scenario.node_pools, |pool| node_pool(pool, whole)));
    all
}

fn requests(requests: Resources) -> [(&'static str, Value); 2] {
    [
        ("cpu", Value::String(cpu_text(requests.cpu_millis))),
        ("memory", Value::String(bytes_text(requests.memory_bytes))),
    ]
}

/// What Deployments and Jobs say alike.
fn template(spec: &DeploymentSpec) -> Table {
    let mut all = table([
        ("name", text(&spec.name)),
        ("termination_grace", Value::Table(distribution_table(&spec.termination_grace, false))),
        ("security_groups", Value::Boolean(spec.requests.pod_enis() > 0)),
        ("priority", number(spec.priority)),
        ("preemption_policy", text(if spec.never_preempts { "Never" } else { "PreemptLowerPriority" })),
    ]);
    all.extend(table(requests(spec.own_requests)));
    all.extend(image(&spec.image_layers));
    let extended = spec.requests.extended.with(ExtendedResource::PodEni, 0);
    if !extended.is_zero() {
        let of_each = |one: ExtendedResource| (one.name().to_string(), Value::Integer(extended.get(one)));
        all.insert("extended_resources".into(), Value::Table(extended.present().map(of_each).collect()));
    }
    if !spec.init_containers.is_empty() {
        all.insert("init_containers".into(), tables(&spec.init_containers, init_container));
    }
    all
}

fn job(spec: &DeploymentSpec) -> Table {
    let mut all = template(spec);
    if let Some(job) = &spec.job {
        all.extend(table([
            ("at", span(job.at.since(SimTime::ZERO))),
            ("completions", number(job.completions)),
            ("parallelism", number(job.parallelism)),
            ("backoff_limit", number(job.backoff_limit)),
            ("work", Value::Table(distribution_table(&job.work, false))),
            ("fails", Value::Float(job.fails)),
        ]));
    }
    all
}

fn deployment(spec: &DeploymentSpec) -> Table {
    let mut all = template(spec);
    all.insert("startup".into(), Value::Table(distribution_table(&spec.startup, false)));
    if let Some(scaler) = &spec.autoscaler {
        let own = table([
            ("min", number(scaler.min)),
            ("max", number(scaler.max)),
            ("target_percent", number(scaler.target_percent)),
            ("sync", span(scaler.sync)),
            ("tolerance", Value::Float(scaler.tolerance)),
            ("metrics_age", span(scaler.metrics_age)),
            ("pod_capacity", Value::Float(scaler.pod_capacity)),
            ("limit_percent", number(scaler.limit_percent)),
        ]);
        all.insert("autoscaler".into(), Value::Table(own));
    }
    if !spec.rollouts.changes.is_empty() {
        all.insert("strategy".into(), Value::Table(strategy(spec.rollouts.strategy)));
        all.insert("min_ready".into(), span(spec.rollouts.min_ready));
    }
    if let Some(usage) = &spec.memory_usage {
        let bytes = |bytes| Value::String(bytes_text(bytes));
        let own = table([
            ("startup", bytes(usage.startup)),
            ("idle", bytes(usage.idle)),
            ("steady", bytes(usage.steady)),
            ("grows_over", span(usage.grows_over)),
            ("spread", Value::Table(distribution_table(&usage.spread, true))),
        ]);
        all.insert("memory_usage".into(), Value::Table(own));
    }
    if let Some(probe) = &spec.readiness {
        let own = table([
            ("initial_delay", span(probe.initial_delay)),
            ("period", span(probe.period)),
            ("success_threshold", number(probe.success_threshold)),
        ]);
        all.insert("readiness".into(), Value::Table(own));
    }
    if let Some(probe) = &spec.startup_probe {
        all.insert("startup_probe".into(), Value::Table(startup_probe(probe)));
    }
    all
}

fn strategy(strategy: deployment::Strategy) -> Table {
    let amount = |amount| match amount {
        IntOrPercent::Count(count) => number(count),
        IntOrPercent::Percent(share) => Value::String(format!("{share}%")),
    };
    match strategy {
        deployment::Strategy::Recreate => table([("type", text("Recreate"))]),
        deployment::Strategy::RollingUpdate { max_surge, max_unavailable } => table([
            ("type", text("RollingUpdate")),
            ("max_surge", amount(max_surge)),
            ("max_unavailable", amount(max_unavailable)),
        ]),
    }
}

fn startup_probe(probe: &Probe) -> Table {
    table([
        ("initial_delay", span(probe.initial_delay)),
        ("period", span(probe.period)),
        ("failure_threshold", number(probe.failure_threshold)),
    ])
}

fn init_container(container: &InitContainer) -> Table {
    let mut all = table(requests(container.requests));
    all.extend(image(&container.layers));
    all.insert("runs".into(), Value::Table(distribution_table(&container.runs, false)));
    if let Some(probe) = &container.startup_probe {
        all.insert("startup_probe".into(), Value::Table(startup_probe(probe)));
    }
    all
}

/// `image`, but of one that is told by its layers.
fn image(layers: &[Layer]) -> Option<(String, Value)> {
    let bytes = match layers {
        [] => 0,
        [Layer { name: None, bytes }] => *bytes,
        _ => return None,
    };
    Some(("image".into(), Value::String(bytes_text(bytes as i64))))
}

fn kubelet(spec: &KubeletSpec) -> Table {
    table([
        ("serialize_image_pulls", Value::Boolean(spec.serialize_image_pulls)),
        ("registry_pull_qps", number(spec.registry_pull_qps)),
        ("registry_burst", number(spec.registry_burst)),
        ("image_stream_rate", Value::String(bytes_text(spec.image_stream_rate))),
        ("image_store_rate", Value::String(bytes_text(spec.image_store_rate))),
    ])
}

fn daemonset(spec: &DaemonSetSpec) -> Table {
    let mut all = table([
        ("name", text(&spec.name)),
        ("host_network", Value::Boolean(spec.host_network)),
        ("image", Value::String(bytes_text(spec.image_bytes as i64))),
        ("tolerates_everything", Value::Boolean(spec.tolerates_everything)),
        ("priority", number(spec.priority)),
        ("termination_grace", Value::Table(distribution_table(&spec.termination_grace, false))),
    ]);
    all.extend(table(requests(spec.requests)));
    all
}

/// `whole`: with what it may launch, where the document has no pool.
fn node_pool(pool: &NodePoolSpec, whole: bool) -> Table {
    let family = match pool.ami_family {
        AmiFamily::Al2 => "AL2",
        AmiFamily::Al2023 => "AL2023",
        AmiFamily::Bottlerocket => "Bottlerocket",
    };
    let mut all =
        table([("name", text(&pool.name)), ("weight", number(pool.weight)), ("ami_family", text(family))]);
    if whole {
        let of_each = |asked: &NodeSelectorRequirement| {
            let operator = Operator::ALL.iter().find(|(_, operator)| *operator == asked.operator);
            let values = asked.values.iter().map(|value| text(value)).collect();
            table([
                ("key", text(&asked.key)),
                ("operator", text(operator.expect("all operators have names").0)),
                ("values", Value::Array(values)),
            ])
        };
        all.insert("requirements".into(), tables(&pool.requirements, of_each));
    }
    all
}

fn karpenter(settings: &KarpenterSettings) -> Table {
    table([
        ("batch_idle", span(settings.batch_idle)),
        ("batch_max", span(settings.batch_max)),
        ("vm_memory_overhead_percent", Value::Float(settings.vm_memory_overhead_percent)),
        ("reserved_enis", number(settings.reserved_enis)),
        ("spot_to_spot_consolidation", Value::Boolean(settings.spot_to_spot_consolidation)),
    ])
}

fn cni_mode(mode: CniMode) -> &'static str {
    // IPv6 is a matter of the environment.
    if mode == CniMode::None { "none" } else { "vpc" }
}

fn quotas(quotas: &Quotas) -> Table {
    table([("on_demand_vcpus", number(quotas.on_demand_vcpus)), ("spot_vcpus", number(quotas.spot_vcpus))])
}

fn client(limit: ClientLimit) -> Table {
    table([("qps", number(limit.qps)), ("burst", number(limit.burst))])
}

fn kube_scheduler(settings: &SchedulerSettings) -> Table {
    let strategy = match settings.strategy {
        Strategy::LeastAllocated => "LeastAllocated",
        Strategy::MostAllocated => "MostAllocated",
        Strategy::RequestedToCapacityRatio(_) => "RequestedToCapacityRatio",
    };
    let mut all = client(settings.client);
    all.extend(table([
        ("scoring_strategy", text(strategy)),
        ("default_spread", Value::Boolean(settings.default_spread)),
    ]));
    all
}

fn zone_tie(tie: ZoneTie) -> &'static str {
    if tie == ZoneTie::Uniform { "uniform" } else { "first" }
}

fn ec2_limits(limits: &Ec2Limits) -> Table {
    let bucket = |limit: &BucketLimit| {
        Value::Table(table([("size", number(limit.size)), ("refill_per_s", number(limit.refill_per_s))]))
    };
    let mut all: Table = limits.requests.iter().map(|(api, limit)| (api.clone(), bucket(limit))).collect();
    all.insert("instances".into(), bucket(&limits.instances));
    all
}

/// A latency that is given is of one form; another form's keys are not added to it.
fn latencies(scenario: &Scenario) -> Table {
    let of_each = |latency: &Latency| {
        let law = &scenario.latencies.get(*latency).law;
        (latency.name().to_owned(), Value::Table(distribution_table(law, latency.is_factor())))
    };
    Latency::ALL.iter().map(of_each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Problems;
    use crate::scenario::Read;

    fn parse(text: &str) -> Document {
        let mut problems = Problems::default();
        let document = Document::parse("a.toml", text, &mut problems);
        assert!(problems.is_empty(), "{:?}\n{text}", problems.into_vec());
        document
    }

    fn read_all(text: &str, catalogue: &Arc<Catalogue>) -> Scenario {
        let Read { scenario, .. } = read(&parse(text), "a", Path::new("experiments/scenarios"), catalogue)
            .unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        scenario
    }

    /// It says more and means the same, and says all that it means the second time.
    #[test]
    fn spelled_out_it_is_the_same_scenario() {
        let catalogue = Arc::new(Catalogue::compiled_in());
        let documented = include_str!("../../docs/scenario.md");
        let documented = documented.split("```toml").nth(1).unwrap().split("```").next().unwrap();
        let small = "[[deployments]]\nreplicas = 3\n";
        let pool = "[[deployments]]\nreplicas = 3\n[[node_pools]]\ninstance_types = [\"m5.large\"]\n[latency]\nboot_instance = { constant = \"9 s\" }\n";
        let scale_in = "[[deployments]]\nschedule = [{ at = \"0 s\", replicas = 9 }, { at = \"9 min\", replicas = 2 }]\n";
        for text in [documented, small, pool, scale_in] {
            let out = |text: &str| {
                let table = spelled_out(&parse(text), "a", Path::new("experiments/scenarios"), &catalogue);
                toml::to_string(&table).unwrap()
            };
            let once = out(text);
            let (mut meant, said) = (read_all(text, &catalogue), read_all(&once, &catalogue));
            for latency in Latency::ALL {
                assert_eq!(meant.latencies.get(*latency).law, said.latencies.get(*latency).law);
            }
            meant.latencies = said.latencies.clone();
            assert_eq!(format!("{meant:?}"), format!("{said:?}"));
            assert_eq!(out(&once), once);
            assert!(once.contains("subnet_prefix_length") || text.contains("[[subnets]]"));
            assert!(once.contains("[ec2_limits.AttachNetworkInterface]"), "{once}");
        }
    }
}
