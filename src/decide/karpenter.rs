//! `decide karpenter`: one scheduling loop, and what would be asked of EC2 for each new claim.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::taints::{CaseTaint, CaseToleration};
use crate::actors::karpenter::labels::{CAPACITY_TYPE, HOSTNAME, NODE_POOL, ZONE};
use crate::actors::karpenter::launch::{self, Request};
use crate::actors::karpenter::offers::{CapacityType, Offered, Offers, Zones, all_available, runs_al2023};
use crate::actors::karpenter::requirement::{Requirement, Requirements};
use crate::actors::karpenter::solve::{
    self, ByName, Claim, ExistingNode, Limits, NodeFeatures, NodePool, Placed, Provisioner, Shape, Spread,
};
use crate::actors::karpenter::{NodeFamily, NodeSettings, Operator, allocatable, capacity};
use crate::catalogue::{Catalogue, InstanceType};
use crate::units::Resources;

const REGION: &str = "us-east-1";
/// Of a case: as many as Kubernetes is made for.
const MOST_PODS: u64 = 150_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    instance_types: CaseTypes,
    zones: Vec<String>,
    #[serde(default)]
    unavailable: Vec<CaseOffering>,
    node_pools: Vec<CasePool>,
    #[serde(default)]
    ami_family: CaseFamily,
    max_pods: Option<u32>,
    #[serde(default)]
    reserved_enis: u32,
    #[serde(default)]
    daemonsets: Vec<CaseDaemonSet>,
    pods: Vec<CasePods>,
    #[serde(default)]
    existing_nodes: Vec<CaseNode>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CaseTypes {
    All(String),
    Listed(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseOffering {
    instance_type: String,
    zone: String,
    capacity_type: String,
}

#[derive(Deserialize, Default, PartialEq)]
enum CaseFamily {
    AL2,
    #[default]
    AL2023,
    Bottlerocket,
    Custom,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePool {
    name: String,
    #[serde(default)]
    weight: i32,
    #[serde(default)]
    requirements: Vec<CaseRequirement>,
    #[serde(default)]
    limits: CaseLimits,
    #[serde(default)]
    taints: Vec<CaseTaint>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRequirement {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
    min_values: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CaseLimits {
    cpu_millis: Option<i64>,
    memory_bytes: Option<i64>,
    nodes: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseDaemonSet {
    #[serde(default)]
    cpu_millis: i64,
    #[serde(default)]
    memory_bytes: i64,
    #[serde(default = "one")]
    pods: i64,
}

fn one() -> i64 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePods {
    #[serde(default = "one_pod")]
    count: u32,
    #[serde(default)]
    cpu_millis: i64,
    #[serde(default)]
    memory_bytes: i64,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    tolerations: Vec<CaseToleration>,
    #[serde(default)]
    topology_spread: Vec<CaseSpread>,
}

fn one_pod() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseSpread {
    key: String,
    #[serde(default = "one")]
    max_skew: i64,
    #[serde(default)]
    when_unsatisfiable: When,
    min_domains: Option<i64>,
}

#[derive(Deserialize, Default, PartialEq)]
enum When {
    ScheduleAnyway,
    #[default]
    DoNotSchedule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseNode {
    name: String,
    instance_type: String,
    zone: String,
    capacity_type: String,
    node_pool: Option<String>,
    #[serde(default)]
    used_cpu_millis: i64,
    #[serde(default)]
    used_memory_bytes: i64,
    #[serde(default)]
    used_pods: i64,
    #[serde(default)]
    initialized: bool,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    unschedulable: u32,
    on_existing: BTreeMap<String, u32>,
    claims: Vec<ShownClaim>,
}

#[derive(Serialize)]
struct ShownClaim {
    node_pool: String,
    pods: u32,
    requests: ShownResources,
    instance_types: Vec<String>,
    instance_type_count: usize,
    zones: Vec<String>,
    capacity_type: &'static str,
}

#[derive(Serialize)]
struct ShownResources {
    cpu_millis: i64,
    memory_bytes: i64,
    pods: i64,
}

/// The answer to one line.
pub(super) fn answer(line: &str, catalogue: &Catalogue) -> Result<String, String> {
    let case: Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let settings = NodeSettings {
        family: if case.ami_family == CaseFamily::Bottlerocket {
            NodeFamily::Bottlerocket
        } else {
            NodeFamily::Amazon
        },
        max_pods: case.max_pods,
        reserved_enis: case.reserved_enis,
        ..NodeSettings::default()
    };
    let types = types(&case, catalogue, &settings)?;
    let mut available = all_available(&types, case.zones.len());
    let place_of = |name: &str| types.iter().position(|offered| offered.name == name);
    for offering in &case.unavailable {
        let kind = capacity_type(&offering.capacity_type, "unavailable.capacity_type")?;
        let zone = case.zones.iter().position(|zone| *zone == offering.zone);
        // What is not offered at all cannot be had anyway.
        if let (Some(place), Some(zone)) = (place_of(&offering.instance_type), zone) {
            available[place][kind as usize] &= !(1 << zone);
        }
    }
    for (place, offered) in types.iter().enumerate() {
        if case.ami_family == CaseFamily::AL2023 && !runs_al2023(&offered.name) {
            available[place] = [0; 2];
        }
    }
    let daemon = |daemon: &CaseDaemonSet| Resources::new(daemon.cpu_millis, daemon.memory_bytes, daemon.pods);
    let overhead = case.daemonsets.iter().map(daemon).fold(Resources::ZERO, |sum, one| sum + one);
    let pools = case.node_pools.iter().map(pool).collect::<Result<Vec<NodePool>, String>>()?;
    let shapes = case.pods.iter().map(shape).collect::<Result<Vec<Shape>, String>>()?;
    let (nodes, names, limits) = existing(&case, &pools, catalogue, &settings)?;
    let offers = Offers::new(types, case.zones.clone(), available, overhead);
    let mut provisioner = Provisioner::new(offers, pools, &shapes);
    let count: u64 = case.pods.iter().map(|pods| u64::from(pods.count)).sum();
    if count > MOST_PODS {
        return Err(format!("pods: {count} are more than {MOST_PODS}"));
    }
    let pods: Vec<u32> = case
        .pods
        .iter()
        .zip(0..)
        .flat_map(|(pods, shape)| std::iter::repeat_n(shape, pods.count as usize))
        .collect();
    let solution = provisioner.solve(&pods, &nodes, &limits, &mut ByName);
    let mut on_existing = BTreeMap::new();
    let mut unschedulable = 0;
    for placed in &solution.placed {
        match placed {
            Placed::Existing(node) => *on_existing.entry(names[*node as usize].clone()).or_insert(0) += 1,
            Placed::Nowhere(_) => unschedulable += 1,
            Placed::Claim(_) => {}
        }
    }
    let mut claims = Vec::new();
    for claim in &solution.claims {
        let options = provisioner.options(claim);
        match launch::claim(&provisioner.offers, claim.set, &options) {
            None => unschedulable += claim.pods,
            Some(spec) => {
                let request = launch::request(&provisioner.offers, &spec);
                claims.push(show(&case, &provisioner, claim, options.len(), request));
            }
        }
    }
    let answer = Answer { id: case.id, unschedulable, on_existing, claims };
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}

fn show(
    case: &Case,
    provisioner: &Provisioner,
    claim: &Claim,
    options: usize,
    request: Option<Request>,
) -> ShownClaim {
    let offers = &provisioner.offers;
    let requests = provisioner.requests(claim);
    let zones = request.iter().flat_map(|request| &request.zones).fold(0, |all, zones| all | zones);
    let mut zones: Vec<String> = (0..case.zones.len())
        .filter(|zone| zones & (1 << zone) as Zones != 0)
        .map(|zone| case.zones[zone].clone())
        .collect();
    zones.sort_unstable();
    ShownClaim {
        node_pool: case.node_pools[claim.pool as usize].name.clone(),
        pods: claim.pods,
        requests: ShownResources {
            cpu_millis: requests.cpu_millis,
            memory_bytes: requests.memory_bytes,
            pods: requests.pods,
        },
        instance_types: request
            .iter()
            .flat_map(|request| &request.types)
            .map(|place| offers.types[*place].name.clone())
            .collect(),
        instance_type_count: options,
        zones,
        capacity_type: request.as_ref().map_or("", |request| request.capacity_type.name()),
    }
}

fn capacity_type(name: &str, key: &str) -> Result<CapacityType, String> {
    CapacityType::parse(name).ok_or_else(|| format!("{key}: {name:?} is not on-demand or spot"))
}

fn find<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a InstanceType, String> {
    let id = catalogue.find(name).ok_or_else(|| format!("{name:?} is not in the catalogue"))?;
    Ok(catalogue.get(id))
}

/// The case's types by name.
fn types(case: &Case, catalogue: &Catalogue, settings: &NodeSettings) -> Result<Vec<Offered>, String> {
    let mut found: Vec<&InstanceType> = match &case.instance_types {
        CaseTypes::All(all) if all == "all" => {
            catalogue.types().iter().filter(|instance| instance.complete).collect()
        }
        CaseTypes::All(other) => {
            return Err(format!("instance_types: {other:?} is neither \"all\" nor a list"));
        }
        CaseTypes::Listed(names) => {
            names.iter().map(|name| find(catalogue, name)).collect::<Result<_, _>>()?
        }
    };
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    if case.zones.is_empty() || case.zones.len() > Zones::BITS as usize {
        return Err(format!("zones: give 1 to {}", Zones::BITS));
    }
    found.into_iter().map(|instance| offered(instance, &case.zones, settings)).collect()
}

fn offered(instance: &InstanceType, zones: &[String], settings: &NodeSettings) -> Result<Offered, String> {
    let unknown = || format!("{}: the catalogue does not know it well enough", instance.name);
    let resources = (
        capacity(instance, settings).ok_or_else(unknown)?,
        allocatable(instance, settings).ok_or_else(unknown)?,
    );
    Offered::new(instance, REGION, zones, resources, |_| true).ok_or_else(unknown)
}

fn pool(case: &CasePool) -> Result<NodePool, String> {
    let mut requirements = Requirements::default();
    for entry in &case.requirements {
        let operator = Operator::ALL.into_iter().find(|(name, _)| *name == entry.operator);
        let (_, operator) = operator.ok_or_else(|| {
            let names: Vec<&str> = Operator::ALL.iter().map(|(name, _)| *name).collect();
            format!("node_pools.requirements.operator: {:?} is none of {}", entry.operator, names.join(", "))
        })?;
        requirements.add(&entry.key, &Requirement::new(operator, &entry.values, entry.min_values));
    }
    Ok(NodePool {
        name: case.name.clone(),
        weight: case.weight,
        requirements,
        labels: case.labels.clone(),
        types: None,
        reservations: None,
        taints: case.taints.iter().map(CaseTaint::read).collect::<Result<_, _>>()?,
    })
}

fn shape(case: &CasePods) -> Result<Shape, String> {
    let spread = |case: &CaseSpread| Spread {
        key: case.key.clone(),
        max_skew: case.max_skew,
        soft: case.when_unsatisfiable == When::ScheduleAnyway,
        min_domains: case.min_domains,
    };
    Ok(Shape {
        node_selector: case.node_selector.clone(),
        tolerations: case.tolerations.iter().map(CaseToleration::read).collect::<Result<_, _>>()?,
        spread: case.topology_spread.iter().map(spread).collect(),
        ..Shape::plain(Resources::new(case.cpu_millis, case.memory_bytes, 1))
    })
}

/// The nodes in the order in which they are tried, their names, and what they leave of the pools' limits.
type Existing = (Vec<ExistingNode>, Vec<String>, Vec<Limits>);

fn existing(
    case: &Case,
    pools: &[NodePool],
    catalogue: &Catalogue,
    settings: &NodeSettings,
) -> Result<Existing, String> {
    let limit = |pool: &CasePool| Limits {
        cpu_millis: pool.limits.cpu_millis,
        memory_bytes: pool.limits.memory_bytes,
        nodes: pool.limits.nodes,
        ..Limits::default()
    };
    let mut limits: Vec<Limits> = case.node_pools.iter().map(limit).collect();
    let mut sorted: Vec<&CaseNode> = case.existing_nodes.iter().collect();
    sorted.sort_by(|a, b| b.initialized.cmp(&a.initialized).then_with(|| a.name.cmp(&b.name)));
    let mut nodes = Vec::new();
    for node in &sorted {
        let kind = capacity_type(&node.capacity_type, "existing_nodes.capacity_type")?;
        let place = match &node.node_pool {
            None if pools.is_empty() => return Err("existing_nodes: there is no pool".into()),
            None => 0,
            Some(name) => pools
                .iter()
                .position(|pool| pool.name == *name)
                .ok_or_else(|| format!("existing_nodes.node_pool: there is no pool {name:?}"))?,
        };
        let instance = find(catalogue, &node.instance_type)?;
        let offered = offered(instance, std::slice::from_ref(&node.zone), settings)?;
        limits[place] = limits[place].less(offered.capacity, 1);
        let used = Resources::new(node.used_cpu_millis, node.used_memory_bytes, node.used_pods);
        let pool = &pools[place];
        let own = [
            (ZONE, node.zone.as_str()),
            (CAPACITY_TYPE, kind.name()),
            (NODE_POOL, pool.name.as_str()),
            (HOSTNAME, node.name.as_str()),
            ("karpenter.sh/registered", "true"),
        ];
        let initialized = node.initialized.then_some(("karpenter.sh/initialized", "true"));
        let of_type = solve::labels_of_type(&offered.requirements)
            .filter(|(key, _)| *key != CAPACITY_TYPE && *key != ZONE);
        let of_pool = pool.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let features = NodeFeatures {
            labels: Requirements::of_labels(own.into_iter().chain(initialized).chain(of_type).chain(of_pool)),
            taints: pool.taints.clone(),
            host_ports: Vec::new(),
        };
        let (room, features) = (offered.allocatable - used, Some(Arc::new(features)));
        nodes.push(ExistingNode { features, ..ExistingNode::plain(room) });
    }
    Ok((nodes, sorted.iter().map(|node| node.name.clone()).collect(), limits))
}
