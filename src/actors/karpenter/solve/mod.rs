//! The scheduling loop of Karpenter's provisioner: which pods go onto nodes that exist, and which new claims the others
//! make.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/scheduling`.

mod affinity;
mod anti_affinity;
mod asked;
mod attachments;
mod claims;
mod company;
mod host_ports;
mod relax;
mod round;
mod topology;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use self::host_ports::clash;
use self::relax::Relaxed;
use self::round::Round;
use super::labels::may_select;
use super::offers::{Offers, SetId, Types};
use super::requirement::{Requirement, Requirements};
use super::reservations::{Bookings, Mode};
use crate::actors::host_port::HostPort;
use crate::actors::pod_affinity::PodAffinity;
use crate::actors::taints::{Effect, Toleration, tolerated};
use crate::units::Resources;

pub use self::asked::{
    Claim, Existing, ExistingNode, Limits, NodeFeatures, NodePool, Placed, Shape, Solution, Spread, Why,
};
pub use self::topology::{ByName, Ties};

/// A shape as far as it has been relaxed.
#[derive(Clone, Debug)]
struct Variant {
    /// What it asks of labels, what it only prefers included.
    requirements: Requirements,
    /// Of these: a number that no other requirements have.
    number: u32,
    /// What it asks of labels in any case.
    strict: Requirements,
    /// Nodes that its spread counts meet one of these.
    filters: Vec<Requirements>,
    tolerations: Vec<Toleration>,
    /// The shape's constraints that are left, by their places.
    spread: Vec<usize>,
    /// The terms that it prefers and that are left, of affinity to pods and of anti-affinity, by their places.
    preferred_pods: [Vec<usize>; 2],
    /// It tolerates what is only preferred: its spread groups are others.
    relaxed_taints: bool,
    /// Templates whose taints it tolerates.
    templates: Vec<bool>,
}

/// A shape with what follows from it and the pools.
#[derive(Clone, Debug)]
struct Prepared {
    requests: Resources,
    spread: Vec<Spread>,
    pod_affinity: PodAffinity,
    host_ports: Vec<HostPort>,
    attachments: u32,
    /// What its volumes ask, and a number that no other requirements have.
    volumes: (Requirements, u32),
    /// By template: types whose DaemonSets leave it its ports; `None`: all.
    port_types: Vec<Option<Types>>,
    /// Has it a term of affinity between pods, or does one of another shape select it?
    has_company: bool,
    variants: Vec<Variant>,
    /// It selects what no pod may select.
    left_out: bool,
}

impl Prepared {
    /// Does it matter where other pods are, or to others where its own are?
    fn is_topological(&self) -> bool {
        !self.spread.is_empty() || self.has_company
    }
    /// The set narrowed by what a pod asks so far relaxed, and by its volumes.
    fn narrow(&self, offers: &mut Offers, set: SetId, variant: usize) -> Option<SetId> {
        let Variant { requirements, number, .. } = &self.variants[variant];
        let set = offers.narrow(set, *number, requirements)?;
        offers.narrow(set, self.volumes.1, &self.volumes.0)
    }
    /// Do pods on a node keep its own off, whatever room they leave?
    fn minds_neighbours(&self) -> bool {
        self.is_topological() || !self.host_ports.is_empty()
    }
    /// May one of several domains be taken by chance?
    fn draws(&self) -> bool {
        let PodAffinity { affinity, preferred, .. } = &self.pod_affinity;
        !self.spread.is_empty() || !affinity.is_empty() || !preferred.is_empty()
    }
    /// Does it matter as far as the shape has been relaxed?
    fn minds_others(&self, variant: usize) -> bool {
        !self.variants[variant].spread.is_empty() || self.has_company
    }
}

/// Pools, pod shapes and what is offered; kept from round to round.
#[derive(Clone, Debug)]
pub struct Provisioner {
    pub offers: Offers,
    /// Sorted as they are tried, each with its place in the list given and its template.
    pools: Vec<(NodePool, u32, SetId)>,
    shapes: Vec<Prepared>,
    /// Values that nodes of the pools may have, by label; for spreading.
    domains: BTreeMap<String, Vec<String>>,
}

impl Provisioner {
    pub fn new(mut offers: Offers, pools: Vec<NodePool>, shapes: &[Shape]) -> Provisioner {
        let soft = |pool: &NodePool| pool.taints.iter().any(|taint| taint.effect == Effect::PreferNoSchedule);
        let relax_taints = pools.iter().any(soft);
        let domains = topology::domains(&offers.types, &pools, shapes);
        let mut pools: Vec<(NodePool, u32)> = pools.into_iter().zip(0..).collect();
        // Equal weights: by name, the last first.
        pools.sort_by(|(a, _), (b, _)| b.weight.cmp(&a.weight).then_with(|| b.name.cmp(&a.name)));
        let all = Types::of(0..offers.types.len(), offers.types.len());
        let with_template = |(pool, place): (NodePool, u32)| {
            let every = || (0..offers.reservations().len() as u32).collect();
            let reservations: Vec<u32> = pool.reservations.clone().unwrap_or_else(every);
            let types = pool.types.as_ref().unwrap_or(&all);
            let set = offers.root(pool.template(), &pool.taints, types, &reservations);
            (pool, place, set)
        };
        let pools: Vec<(NodePool, u32, SetId)> = pools.into_iter().map(with_template).collect();
        let mut numbers = 0;
        let prepared = |(number, shape): (u32, &Shape)| Prepared {
            has_company: company::has(number, shapes),
            port_types: pools.iter().map(|(.., set)| port_types(&offers, *set, shape)).collect(),
            ..prepare(shape, &pools, relax_taints, &mut numbers)
        };
        let shapes = (0..).zip(shapes).map(prepared).collect();
        Provisioner { offers, pools, shapes, domains }
    }

    /// One round over pods, given by their shapes, on the nodes that exist, in the order in which they are tried.
    /// `limits` is what is left of the pools' limits, by the order of the pools given.
    pub fn solve(
        &mut self,
        pods: &[u32],
        nodes: &[ExistingNode],
        limits: &[Limits],
        ties: &mut dyn Ties,
    ) -> Solution {
        self.solve_in(Mode::Strict, pods, nodes, limits, ties)
    }

    /// [`Provisioner::solve`] in a mode of reserved capacity.
    pub fn solve_in(
        &mut self,
        mode: Mode,
        pods: &[u32],
        nodes: &[ExistingNode],
        limits: &[Limits],
        ties: &mut dyn Ties,
    ) -> Solution {
        self.solve_among(mode, pods, Existing::all(nodes), limits, ties)
    }

    /// [`Provisioner::solve_in`] with full nodes left out.
    pub fn solve_among(
        &mut self,
        mode: Mode,
        pods: &[u32],
        existing: Existing<'_>,
        limits: &[Limits],
        ties: &mut dyn Ties,
    ) -> Solution {
        self.offers.refresh();
        let mut round = Round::new(self, mode, existing, limits, ties);
        let mut placed = vec![Placed::Nowhere(Why::LeftOut); pods.len()];
        let takes_part = |pod: &u32| !round.provisioner.shapes[pods[*pod as usize] as usize].left_out;
        let mut queue: Vec<u32> = (0..pods.len() as u32).filter(takes_part).collect();
        queue.sort_by_key(|pod| {
            let requests = round.provisioner.shapes[pods[*pod as usize] as usize].requests;
            (Reverse(requests.cpu_millis), Reverse(requests.memory_bytes))
        });
        let mut queue: VecDeque<u32> = queue.into();
        // The queue's length when a pod last came back to it.
        let mut lengths = vec![0; pods.len()];
        while let Some(pod) = queue.front().copied() {
            if lengths[pod as usize] == queue.len() {
                break;
            }
            let shape = pods[pod as usize];
            if round.node_for_many(shape).is_some() {
                // What comes next and is alike goes there, too, and onto the nodes behind, as long as there is room.
                let alike = queue.iter().take_while(|pod| pods[**pod as usize] == shape).count();
                let filled = round.fill_nodes(shape, alike);
                for (pod, place) in queue.drain(..filled.len()).zip(filled) {
                    placed[pod as usize] = Placed::Existing(place);
                }
                continue;
            }
            queue.pop_front();
            let outcome = round.schedule(pods[pod as usize]);
            placed[pod as usize] = outcome;
            if matches!(outcome, Placed::Nowhere(_)) {
                queue.push_back(pod);
                lengths[pod as usize] = queue.len();
            }
        }
        let Round { claims, bookings, tries_existing, tries_new, .. } = round;
        let mut claims = claims.finish();
        for (claim, number) in claims.iter_mut().zip(0..) {
            let held = bookings.held(number);
            if !held.is_empty() {
                claim.set = self.offers.pin_reserved(claim.set, held);
            }
        }
        Solution { placed, claims, tries_existing, tries_new }
    }

    /// The types a claim may become, by the requests that it ended with.
    pub fn options(&self, claim: &Claim) -> Types {
        let holders = self.offers.holders(claim.set, claim.requests);
        claim.within.as_ref().map_or_else(|| holders.clone(), |within| holders.and(within))
    }
    /// The types that a pool, by the order of the pools given, may launch.
    pub fn template(&self, pool: u32) -> SetId {
        let (.., set) = self.pools.iter().find(|(_, place, _)| *place == pool).expect("the pool was given");
        *set
    }
    /// The types of a pool, by the order of the pools given, whose labels and taints a pod of the shape could live with
    /// once all is relaxed that may be.
    pub fn within_reach(&self, shape: u32, pool: u32) -> Types {
        let prepared = &self.shapes[shape as usize];
        let place = self.pools.iter().position(|(_, place, _)| *place == pool).expect("the pool was given");
        let set = self.offers.set(self.pools[place].2);
        let lives_with = |variant: &Variant, offered: usize| {
            let mut both = (*set.requirements).clone();
            both.add_all(&variant.strict);
            both.add_all(&prepared.volumes.0);
            variant.templates[place]
                && set.requirements.compatible(&variant.strict, true)
                && set.requirements.compatible(&prepared.volumes.0, true)
                && self.offers.types[offered].requirements.intersects(&both)
        };
        let free = &prepared.port_types[place];
        set.compatible.filter(|offered| {
            let open = !prepared.left_out && free.as_ref().is_none_or(|free| free.has(offered));
            open && prepared.variants.iter().any(|variant| lives_with(variant, offered))
        })
    }
    /// All that the claim's node must hold, of DaemonSets the least that any of its types gets.
    pub fn requests(&self, claim: &Claim) -> Resources {
        let daemons = self.offers.daemons(self.offers.set(claim.set));
        claim.requests + daemons.same().unwrap_or_else(|| daemons.least(&self.options(claim)))
    }
}

/// Types of a template whose DaemonSets leave the shape its host ports; `None`: all.
fn port_types(offers: &Offers, template: SetId, shape: &Shape) -> Option<Types> {
    let set = offers.set(template);
    let free = |place| !clash(&shape.host_ports, offers.daemons(set).host_ports(place));
    let types = set.compatible.filter(free);
    (types != set.compatible).then_some(types)
}

/// The shape with its relaxations in their order. `numbers` counts the requirements met so far.
fn prepare(
    shape: &Shape,
    pools: &[(NodePool, u32, SetId)],
    relax_taints: bool,
    numbers: &mut u32,
) -> Prepared {
    let mut relaxed = Relaxed::new(shape, relax_taints);
    let mut variants: Vec<Variant> = Vec::new();
    loop {
        let variant = relaxed.variant(shape, pools, *numbers);
        match variants.last().filter(|last| last.requirements == variant.requirements) {
            Some(last) => variants.push(Variant { number: last.number, ..variant }),
            None => {
                variants.push(variant);
                *numbers += 1;
            }
        }
        if !relaxed.relax(shape) {
            break;
        }
    }
    *numbers += 1;
    Prepared {
        requests: shape.requests,
        spread: shape.spread.clone(),
        pod_affinity: shape.pod_affinity.clone(),
        host_ports: shape.host_ports.clone(),
        attachments: shape.attachments,
        volumes: (shape.volumes.clone(), *numbers - 1),
        port_types: Vec::new(),
        has_company: false,
        variants,
        left_out: shape.node_selector.iter().any(|(key, value)| !may_select(key, value)),
    }
}

/// Requirements of a node by its labels.
pub fn node_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Requirements {
    Requirements::of_labels(labels)
}

/// A type's labels that have one value, as a node of the type carries them.
pub fn labels_of_type(requirements: &Requirements) -> impl Iterator<Item = (&str, &str)> {
    requirements
        .iter()
        .filter_map(|(key, requirement): (&str, &Requirement)| requirement.single().map(|value| (key, value)))
}
