//! `decide kube-scheduler`: filter and score of one pod over all nodes of a cluster.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::taints::{CaseTaint, CaseToleration};
use crate::actors::kube_scheduler::cycle::{self, Scores};
use crate::actors::kube_scheduler::score::Strategy;
use crate::actors::kube_scheduler::spread::{Constraint, HOSTNAME, ZONE};
use crate::actors::kube_scheduler::view::{Container, Image, Node, Pod, Spreading, Version};
use crate::actors::node_affinity::NodeAffinity;
use crate::actors::pod_affinity::PodAffinity;
use crate::units::Resources;

/// 64 TiB, twice the largest instance's: sums over all containers, times a hundred, are still exact.
const MOST: i64 = 1 << 46;
const MOST_CONTAINERS: usize = 256;

/// A number that the API takes.
fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let value = i64::deserialize(from)?;
    let within = (0..=MOST).contains(&value);
    within.then_some(value).ok_or_else(|| D::Error::custom(format!("{value} is not within 0 and {MOST}")))
}
fn amount_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    amount(from).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    kubernetes: Kubernetes,
    nodes: Vec<CaseNode>,
    pod: CasePod,
}

#[derive(Deserialize, Default)]
enum Kubernetes {
    #[serde(rename = "1.24")]
    V1_24,
    #[serde(rename = "1.30")]
    V1_30,
    #[default]
    #[serde(rename = "1.34")]
    V1_34,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Profile {
    Name(String),
    Scoring(Scoring),
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::Name("default".into())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scoring {
    scoring: String,
    #[serde(default)]
    shape: Vec<(i64, i64)>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CaseResources {
    #[serde(default, deserialize_with = "amount")]
    cpu_millis: i64,
    #[serde(default, deserialize_with = "amount")]
    memory_bytes: i64,
    #[serde(default, deserialize_with = "amount")]
    pods: i64,
}

impl CaseResources {
    fn read(&self) -> Resources {
        Resources::new(self.cpu_millis, self.memory_bytes, self.pods)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseImage {
    name: String,
    #[serde(deserialize_with = "amount")]
    size_bytes: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseNode {
    name: String,
    zone: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    allocatable: CaseResources,
    #[serde(default)]
    requested: CaseResources,
    non_zero_requested: Option<CaseResources>,
    #[serde(default, deserialize_with = "amount")]
    matching_pods: i64,
    #[serde(default)]
    unschedulable: bool,
    #[serde(default)]
    taints: Vec<CaseTaint>,
    #[serde(default)]
    images: Vec<CaseImage>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CaseContainer {
    #[serde(default, deserialize_with = "amount_if_any")]
    cpu_millis: Option<i64>,
    #[serde(default, deserialize_with = "amount_if_any")]
    memory_bytes: Option<i64>,
    image: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePod {
    #[serde(default, deserialize_with = "amount_if_any")]
    cpu_millis: Option<i64>,
    #[serde(default, deserialize_with = "amount_if_any")]
    memory_bytes: Option<i64>,
    image: Option<String>,
    containers: Option<Vec<CaseContainer>>,
    #[serde(default)]
    init_containers: Vec<CaseContainer>,
    owner: Option<String>,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    tolerations: Vec<CaseToleration>,
    #[serde(default)]
    topology_spread: Vec<CaseConstraint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseConstraint {
    key: String,
    #[serde(default = "one", deserialize_with = "amount")]
    max_skew: i64,
    #[serde(default)]
    when: When,
    min_domains: Option<usize>,
    node_affinity_policy: Option<Policy>,
    node_taints_policy: Option<Policy>,
}

fn one() -> i64 {
    1
}

#[derive(Deserialize, Default, PartialEq)]
enum When {
    #[default]
    ScheduleAnyway,
    DoNotSchedule,
}

#[derive(Deserialize, PartialEq)]
enum Policy {
    Honor,
    Ignore,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    nodes: Vec<Judged>,
    best: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Judged {
    Passed { name: String, feasible: bool, scores: Shown, total: i64 },
    Rejected { name: String, feasible: bool, plugin: &'static str, reasons: Vec<String> },
}

/// The scores under the plugins' names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    node_resources_fit: i64,
    node_resources_balanced_allocation: i64,
    pod_topology_spread: i64,
    taint_toleration: i64,
    image_locality: i64,
    inter_pod_affinity: i64,
    node_affinity: i64,
}

impl From<&Scores> for Shown {
    fn from(scores: &Scores) -> Shown {
        Shown {
            node_resources_fit: scores.node_resources_fit,
            node_resources_balanced_allocation: scores.balanced_allocation,
            pod_topology_spread: scores.pod_topology_spread,
            taint_toleration: scores.taint_toleration,
            image_locality: scores.image_locality,
            inter_pod_affinity: scores.inter_pod_affinity,
            node_affinity: scores.node_affinity,
        }
    }
}

/// The answer to one line.
pub(super) fn answer(line: &str) -> Result<String, String> {
    let case: Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let version = match case.kubernetes {
        Kubernetes::V1_24 => Version::V1_24,
        Kubernetes::V1_30 => Version::V1_30,
        Kubernetes::V1_34 => Version::V1_34,
    };
    let strategy = strategy(case.profile)?;
    let nodes = case.nodes.into_iter().map(read_node).collect::<Result<Vec<Node>, String>>()?;
    let pod = read_pod(case.pod, version)?;
    let judged = cycle::judge(&pod, &nodes, &strategy, version);
    let most = judged.iter().flatten().map(Scores::total).max();
    let best = nodes.iter().zip(&judged);
    let best = best
        .filter(|(_, judged)| judged.as_ref().is_ok_and(|scores| Some(scores.total()) == most))
        .map(|(node, _)| node.name.clone())
        .collect();
    let shown = nodes.iter().zip(judged).map(|(node, judged)| {
        let name = node.name.clone();
        match judged {
            Ok(scores) => {
                Judged::Passed { name, feasible: true, scores: Shown::from(&scores), total: scores.total() }
            }
            Err(rejection) => Judged::Rejected {
                name,
                feasible: false,
                plugin: rejection.plugin,
                reasons: rejection.reasons,
            },
        }
    });
    let answer = Answer { id: case.id, nodes: shown.collect(), best };
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}

fn strategy(profile: Profile) -> Result<Strategy, String> {
    let scoring = match profile {
        Profile::Name(name) if name == "default" => return Ok(Strategy::LeastAllocated),
        Profile::Name(name) => return Err(format!("profile: {name:?} is not \"default\"")),
        Profile::Scoring(scoring) => scoring,
    };
    let shaped = scoring.scoring == "RequestedToCapacityRatio";
    if shaped == scoring.shape.is_empty() {
        return Err("profile.shape goes with RequestedToCapacityRatio, and with it alone".into());
    }
    let rising = scoring.shape.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let inside = scoring.shape.iter().all(|(x, y)| (0..=100).contains(x) && (0..=10).contains(y));
    if !rising || !inside {
        return Err("profile.shape: utilisations rise within 0..100, scores lie within 0..10".into());
    }
    match scoring.scoring.as_str() {
        "LeastAllocated" => Ok(Strategy::LeastAllocated),
        "MostAllocated" => Ok(Strategy::MostAllocated),
        "RequestedToCapacityRatio" => Ok(Strategy::shaped(scoring.shape.iter().copied())),
        other => Err(format!(
            "profile.scoring: {other:?} is not LeastAllocated, MostAllocated or RequestedToCapacityRatio"
        )),
    }
}

fn read_node(case: CaseNode) -> Result<Node, String> {
    let mut labels = case.labels;
    if let Some(zone) = case.zone {
        labels.insert(ZONE.to_owned(), zone);
    }
    labels.insert(HOSTNAME.to_owned(), case.name.clone());
    let requested = case.requested.read();
    let image = |image: CaseImage| Image { name: image.name, size_bytes: image.size_bytes };
    Ok(Node {
        name: case.name,
        labels,
        allocatable: case.allocatable.read(),
        requested,
        non_zero_requested: case.non_zero_requested.map_or(requested, |sums| sums.read()),
        matching_pods: case.matching_pods,
        pods: Vec::new(),
        used_ports: Vec::new(),
        unschedulable: case.unschedulable,
        taints: case.taints.iter().map(CaseTaint::read).collect::<Result<_, _>>()?,
        images: case.images.into_iter().map(image).collect(),
    })
}

fn read_pod(case: CasePod, version: Version) -> Result<Pod, String> {
    let container = |case: CaseContainer| Container {
        cpu_millis: case.cpu_millis,
        memory_bytes: case.memory_bytes,
        image: case.image,
    };
    let alone =
        CaseContainer { cpu_millis: case.cpu_millis, memory_bytes: case.memory_bytes, image: case.image };
    let containers: Vec<Container> = match case.containers {
        None => vec![container(alone)],
        Some(_) if alone.cpu_millis.is_some() || alone.memory_bytes.is_some() || alone.image.is_some() => {
            return Err("pod: give either containers or the request and image of one".into());
        }
        Some(containers) => containers.into_iter().map(container).collect(),
    };
    let init_containers: Vec<Container> = case.init_containers.into_iter().map(container).collect();
    if containers.len().max(init_containers.len()) > MOST_CONTAINERS {
        return Err(format!("pod: more than {MOST_CONTAINERS} containers"));
    }
    let own: Vec<Constraint> =
        case.topology_spread.into_iter().map(|case| constraint(case, version)).collect();
    let spreading = match case.owner {
        _ if !own.is_empty() => Spreading::Own(own),
        Some(_) => Spreading::Defaults,
        None => Spreading::None,
    };
    Ok(Pod {
        containers,
        init_containers,
        node_selector: case.node_selector,
        tolerations: case.tolerations.iter().map(CaseToleration::read).collect::<Result<_, _>>()?,
        host_ports: Vec::new(),
        spreading,
        node_affinity: NodeAffinity::default(),
        kind: 0,
        pod_affinity: PodAffinity::default(),
    })
}

/// 1.24 knows no policies: they have their default values.
fn constraint(case: CaseConstraint, version: Version) -> Constraint {
    let honors = |policy: Option<Policy>, default: bool| match policy {
        Some(policy) if version > Version::V1_24 => policy == Policy::Honor,
        _ => default,
    };
    Constraint {
        key: case.key,
        max_skew: case.max_skew,
        hard: case.when == When::DoNotSchedule,
        min_domains: case.min_domains.unwrap_or(1),
        honor_affinity: honors(case.node_affinity_policy, true),
        honor_taints: honors(case.node_taints_policy, false),
    }
}
