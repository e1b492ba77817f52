//! What a round is asked, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actors::host_port::HostPort;
use crate::actors::karpenter::labels::NODE_POOL;
use crate::actors::karpenter::offers::{SetId, Types};
use crate::actors::karpenter::requirement::Requirements;
use crate::actors::node_affinity::NodeAffinity;
use crate::actors::pod_affinity::PodAffinity;
use crate::actors::taints::{Taint, Toleration};
use crate::units::{ExtendedResource, Resources};

/// What is left of a NodePool's limits; `None`: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    pub cpu_millis: Option<i64>,
    pub memory_bytes: Option<i64>,
    pub nodes: Option<i64>,
    pub extended: [Option<i64>; ExtendedResource::COUNT],
}

impl Limits {
    pub(super) fn any(&self) -> bool {
        *self != Limits::default()
    }
    /// What is left once this much capacity is used.
    pub fn less(self, used: Resources, nodes: i64) -> Limits {
        Limits {
            cpu_millis: self.cpu_millis.map(|limit| limit - used.cpu_millis),
            memory_bytes: self.memory_bytes.map(|limit| limit - used.memory_bytes),
            nodes: self.nodes.map(|limit| limit - nodes),
            extended: ExtendedResource::ALL
                .map(|one| self.extended[one as usize].map(|limit| limit - used.extended.get(one))),
        }
    }
    /// Would a node of this capacity stay within?
    pub fn admit(&self, capacity: Resources) -> bool {
        self.cpu_millis.is_none_or(|left| capacity.cpu_millis <= left)
            && self.memory_bytes.is_none_or(|left| capacity.memory_bytes <= left)
            && self.nodes.is_none_or(|left| left >= 0)
            && ExtendedResource::ALL
                .into_iter()
                .all(|one| self.extended[one as usize].is_none_or(|left| capacity.extended.get(one) <= left))
    }
}

/// What new nodes are made from.
#[derive(Clone, Debug)]
pub struct NodePool {
    pub name: String,
    pub weight: i32,
    /// Its requirements.
    pub requirements: Requirements,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// The types of its node class, among those offered; `None`: all.
    pub types: Option<Types>,
    /// The capacity reservations that its node class selects, among those known; `None`: all.
    pub reservations: Option<Vec<u32>>,
}

impl NodePool {
    /// Requirements and labels, as the pool's nodes will have them.
    pub fn template(&self) -> Requirements {
        let mut template = self.requirements.clone();
        template.add_all(&Requirements::of_labels(self.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
        let own = [
            (NODE_POOL, self.name.as_str()),
            ("karpenter.k8s.aws/ec2nodeclass", "default"),
            ("karpenter.sh/registered", "true"),
            ("karpenter.sh/initialized", "true"),
        ];
        template.add_all(&Requirements::of_labels(own));
        template
    }
}

/// A topology spread constraint; it selects the pods of its own shape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spread {
    pub key: String,
    pub max_skew: i64,
    /// `ScheduleAnyway`.
    pub soft: bool,
    pub min_domains: Option<i64>,
}

/// Pods that are alike.
#[derive(Clone, PartialEq, Debug)]
pub struct Shape {
    pub requests: Resources,
    pub node_selector: BTreeMap<String, String>,
    pub node_affinity: NodeAffinity,
    pub tolerations: Vec<Toleration>,
    pub spread: Vec<Spread>,
    /// Its terms tell pods apart by their shapes.
    pub pod_affinity: PodAffinity,
    pub host_ports: Vec<HostPort>,
    /// How many volumes each of them has.
    pub attachments: u32,
    /// What its volumes ask of a node's labels. Spread and affinity between pods do not go by it.
    pub volumes: Requirements,
}

impl Shape {
    /// Only requests.
    pub fn plain(requests: Resources) -> Shape {
        Shape {
            requests,
            node_selector: BTreeMap::new(),
            node_affinity: NodeAffinity::default(),
            tolerations: Vec::new(),
            spread: Vec::new(),
            pod_affinity: PodAffinity::default(),
            host_ports: Vec::new(),
            attachments: 0,
            volumes: Requirements::NONE,
        }
    }
}

/// A managed node, or a claim that was launched before.
#[derive(Clone, Debug)]
pub struct ExistingNode {
    /// Allocatable less requested.
    pub room: Resources,
    /// May be left out where no pod selects, spreads or tolerates, and no node has a taint.
    pub features: Option<Arc<NodeFeatures>>,
    /// (shape, pods of it that are bound there), for shapes that mind.
    pub pods: Vec<(u32, u32)>,
    /// Shapes of the pods there that are deleted and not gone yet. Karpenter looks past them, but for whom they keep off.
    pub going: Vec<u32>,
    /// Volumes that it still takes, once its CSI driver has told; `None`: it has not, and there is no limit.
    pub volumes: Option<i64>,
}

impl ExistingNode {
    /// Of which only its room matters.
    pub fn plain(room: Resources) -> ExistingNode {
        ExistingNode { room, features: None, pods: Vec::new(), going: Vec::new(), volumes: None }
    }
}

/// The nodes that a round tries, in their order. Those that are full for all of its pods may be left out, where nobody minds where
/// others are.
#[derive(Clone, Copy, Debug)]
pub struct Existing<'a> {
    pub nodes: &'a [ExistingNode],
    /// What is left of each, which may stand without `nodes` where nothing else of them matters.
    pub rooms: &'a [Resources],
    /// Their places among all; `None`: none is left out.
    pub places: Option<&'a [u32]>,
    /// How many there are with those left out.
    pub count: u64,
    /// Nodes that are not tried, whose pods affinity between pods counts all the same.
    pub elsewhere: &'a [ExistingNode],
}

impl<'a> Existing<'a> {
    pub fn all(nodes: &'a [ExistingNode]) -> Existing<'a> {
        Existing { nodes, rooms: &[], places: None, count: nodes.len() as u64, elsewhere: &[] }
    }
    /// With those that are not tried.
    pub(super) fn all_nodes(&self) -> impl Iterator<Item = &'a ExistingNode> {
        self.nodes.iter().chain(self.elsewhere)
    }
    /// What pods may choose the node by.
    pub(super) fn features(&self, place: usize) -> &'a NodeFeatures {
        self.nodes.get(place).map_or(&FEATURELESS, ExistingNode::features)
    }
    /// Nodes that have been tried once the one at `at` took the pod, or none did.
    pub(super) fn tried(&self, at: Option<usize>) -> u64 {
        match (at, self.places) {
            (None, _) => self.count,
            (Some(at), None) => at as u64 + 1,
            (Some(at), Some(places)) => u64::from(places[at]) + 1,
        }
    }
}

/// What pods may choose a node by.
#[derive(Clone, Debug)]
pub struct NodeFeatures {
    pub labels: Requirements,
    pub taints: Vec<Taint>,
    /// Host ports that DaemonSets' pods have taken.
    pub host_ports: Vec<HostPort>,
}

static FEATURELESS: NodeFeatures =
    NodeFeatures { labels: Requirements::NONE, taints: Vec::new(), host_ports: Vec::new() };

impl ExistingNode {
    pub(super) fn features(&self) -> &NodeFeatures {
        self.features.as_deref().unwrap_or(&FEATURELESS)
    }
}

/// Where a pod goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    Existing(u32),
    /// A new claim, by the order of opening.
    Claim(u32),
    Nowhere(Why),
}

/// Why a pod found no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It selects a restricted label, and takes no part.
    LeftOut,
    /// No type of a pool that it may use would hold it, or a constraint keeps it off.
    NoFit,
    /// The types that would hold it have no available offering.
    Unavailable,
    /// They would breach the pool's limits.
    Limits,
    /// Claims of this round have booked all places of the capacity reservations that it could use; it is put off to a
    /// later round.
    Booked,
}

/// A new claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// As a place in the list of pools given.
    pub pool: u32,
    pub pods: u32,
    /// Of its pods, DaemonSets' apart.
    pub requests: Resources,
    pub set: SetId,
    /// What the pool's limits left when it was opened, and DaemonSets' host ports since.
    pub(super) within: Option<Types>,
}

impl Claim {
    /// Did its pool's limits or host ports keep types out?
    pub fn is_limited(&self) -> bool {
        self.within.is_some()
    }
}

/// The outcome of a round.
#[derive(Clone, Debug)]
pub struct Solution {
    /// By the order of the pods given.
    pub placed: Vec<Placed>,
    /// By the order of opening.
    pub claims: Vec<Claim>,
    /// Nodes and claims looked at.
    pub tries_existing: u64,
    pub tries_new: u64,
}
