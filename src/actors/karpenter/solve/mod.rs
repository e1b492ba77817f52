//! The scheduling loop of Karpenter's provisioner: which pods go onto nodes that exist, and which new claims the others
//! make.
//!
//! Left out: how many volumes a node may have attached.
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/scheduling`.

mod affinity;
mod anti_affinity;
mod asked;
mod claims;
mod company;
pub mod go_sort;
mod host_ports;
mod relax;
mod topology;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use self::claims::{Claims, Order};
use self::host_ports::{HostPorts, clash};
use self::relax::Relaxed;
use self::topology::{Host, Topology};
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
            if let Some(place) = round.node_for_many(shape) {
                // What comes next and is alike goes there, too, as long as there is room.
                while let Some(pod) = queue.front().filter(|pod| pods[**pod as usize] == shape)
                    && round.takes_another(shape, place)
                {
                    placed[*pod as usize] = Placed::Existing(place as u32);
                    queue.pop_front();
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
        volumes: (shape.volumes.clone(), *numbers - 1),
        port_types: Vec::new(),
        has_company: false,
        variants,
        left_out: shape.node_selector.iter().any(|(key, value)| !may_select(key, value)),
    }
}

/// A round under way.
struct Round<'a> {
    provisioner: &'a mut Provisioner,
    existing: Existing<'a>,
    nodes: &'a [ExistingNode],
    rooms: Vec<Resources>,
    limits: Vec<Limits>,
    claims: Claims,
    bookings: Bookings,
    topology: Topology<'a>,
    ports: HostPorts,
    ties: &'a mut dyn Ties,
    /// By shape: the first node that may still take one, and whether all but its room is known to suit. Rooms only
    /// shrink, so for shapes that do not spread it only moves on.
    first_node: Vec<(u32, bool)>,
    /// By shape that minds where its others are and gives nothing up: nodes that will not take one any more.
    shut_nodes: Vec<Vec<bool>>,
    /// By shape: the number of placements at its last failure. Nothing placed since: it fails again.
    failed_at: Vec<Option<(u64, Why)>>,
    placements: u64,
    tries_existing: u64,
    tries_new: u64,
}

impl<'a> Round<'a> {
    fn new(
        provisioner: &'a mut Provisioner,
        mode: Mode,
        existing: Existing<'a>,
        limits: &[Limits],
        ties: &'a mut dyn Ties,
    ) -> Round<'a> {
        let nodes = existing.nodes;
        let shapes = provisioner.shapes.len();
        let topology = Topology::new(&provisioner.shapes, &provisioner.domains, existing);
        let shut = |shape: &Prepared| vec![false; if shape.minds_neighbours() { nodes.len() } else { 0 }];
        let shut = provisioner.shapes.iter().map(shut).collect();
        Round {
            existing,
            nodes,
            rooms: nodes.iter().map(|node| node.room).collect(),
            limits: limits.to_vec(),
            claims: Claims::new(shapes),
            bookings: Bookings::new(provisioner.offers.reservations(), mode),
            topology,
            ports: HostPorts::new(&provisioner.shapes, nodes),
            ties,
            first_node: vec![(0, false); shapes],
            shut_nodes: shut,
            failed_at: vec![None; shapes],
            placements: 0,
            tries_existing: 0,
            tries_new: 0,
            provisioner,
        }
    }

    /// Tries the pod as it is, then relaxed step by step.
    fn schedule(&mut self, shape: u32) -> Placed {
        if let Some((at, why)) = self.failed_at[shape as usize]
            && at == self.placements
            && (self.ties.by_name() || !self.provisioner.shapes[shape as usize].draws())
        {
            return Placed::Nowhere(why);
        }
        let mut why = Why::NoFit;
        let topological = self.provisioner.shapes[shape as usize].is_topological();
        for variant in 0..self.provisioner.shapes[shape as usize].variants.len() {
            if topological {
                self.topology.use_variant(shape, variant, &self.provisioner.shapes[shape as usize]);
            }
            match self.add(shape, variant) {
                Ok(placed) => {
                    self.placements += 1;
                    return placed;
                }
                // What it prefers is kept for the later round.
                Err(Why::Booked) => {
                    why = Why::Booked;
                    break;
                }
                Err(reason) => why = reason,
            }
        }
        self.failed_at[shape as usize] = Some((self.placements, why));
        Placed::Nowhere(why)
    }

    fn add(&mut self, shape: u32, variant: usize) -> Result<Placed, Why> {
        if let Some(node) = self.add_to_existing(shape, variant) {
            return Ok(Placed::Existing(node));
        }
        self.claims.sort();
        self.tries_new += self.claims.len() as u64;
        if let Some(claim) = self.add_to_claim(shape, variant) {
            return Ok(Placed::Claim(claim));
        }
        self.open_claim(shape, variant).map(Placed::Claim)
    }

    fn add_to_existing(&mut self, shape: u32, variant: usize) -> Option<u32> {
        // A constraint may let a node in again; resources and labels never do.
        let topological = self.provisioner.shapes[shape as usize].is_topological();
        let found = match self.keeps_its_place(shape) {
            true => self.next_node(shape),
            false => {
                let open = self.first_open(shape);
                (open..self.nodes.len()).find(|place| self.node_takes(*place, shape, variant))
            }
        };
        self.tries_existing += self.existing.tried(found);
        let place = found?;
        self.rooms[place] = self.rooms[place] - self.provisioner.shapes[shape as usize].requests;
        if topological {
            self.topology.record(shape, Host::Node(place as u32), &self.nodes[place].features().labels);
        }
        self.ports.record(shape, Host::Node(place as u32));
        Some(place as u32)
    }

    /// Does the first node that takes a pod of the shape only move on?
    fn keeps_its_place(&self, shape: u32) -> bool {
        let prepared = &self.provisioner.shapes[shape as usize];
        !prepared.minds_neighbours() && prepared.variants.len() == 1
    }

    /// The node to which pods of the shape go one after the other until it has no more room; `None`: each is tried by itself.
    fn node_for_many(&mut self, shape: u32) -> Option<usize> {
        if self.keeps_its_place(shape) { self.next_node(shape) } else { None }
    }
    /// Puts another pod of the shape there, if there is room.
    fn takes_another(&mut self, shape: u32, place: usize) -> bool {
        let requests = self.provisioner.shapes[shape as usize].requests;
        let takes = requests.fits(&self.rooms[place]);
        if takes {
            self.rooms[place] = self.rooms[place] - requests;
            self.placements += 1;
            self.tries_existing += self.existing.tried(Some(place));
        }
        takes
    }

    /// The first node that is not known to take no pod of the shape any more.
    fn first_open(&mut self, shape: u32) -> usize {
        let shut = &self.shut_nodes[shape as usize];
        let (first, _) = &mut self.first_node[shape as usize];
        while shut.get(*first as usize) == Some(&true) {
            *first += 1;
        }
        *first as usize
    }

    /// The first node that takes a pod of a shape that never minds where others are and gives nothing up.
    fn next_node(&mut self, shape: u32) -> Option<usize> {
        let (from, suits) = self.first_node[shape as usize];
        let requests = self.provisioner.shapes[shape as usize].requests;
        let first = from as usize;
        if suits && requests.fits(&self.rooms[first]) && Resources::ZERO.fits(&self.rooms[first]) {
            return Some(first);
        }
        // Most are passed by for want of room, which is soon seen; what suits and has none too.
        let found = (first..self.nodes.len())
            .find(|place| requests.fits(&self.rooms[*place]) && self.node_takes(*place, shape, 0));
        self.first_node[shape as usize] = (found.unwrap_or(self.nodes.len()) as u32, found.is_some());
        found
    }

    fn node_takes(&mut self, place: usize, shape: u32, variant: usize) -> bool {
        let prepared = &self.provisioner.shapes[shape as usize];
        let relaxed = &prepared.variants[variant];
        let keeps = prepared.minds_neighbours() && prepared.variants.len() == 1;
        if keeps && self.shut_nodes[shape as usize][place] {
            return false;
        }
        let node = self.nodes[place].features();
        let open = prepared.requests.fits(&self.rooms[place])
            && Resources::ZERO.fits(&self.rooms[place])
            && node.taints.iter().all(|taint| tolerated(taint, &relaxed.tolerations))
            && node.labels.compatible(&relaxed.requirements, false)
            && node.labels.compatible(&prepared.volumes.0, false)
            && !clash(&prepared.host_ports, &node.host_ports)
            && !self.ports.are_taken(shape, Host::Node(place as u32));
        let (number, labels) = (place as u32, &node.labels);
        let takes = open && self.topology.admits_node(shape, variant, prepared, number, labels, self.ties);
        if keeps && !takes {
            let for_good = !open || self.topology.is_full(shape, Host::Node(number));
            self.shut_nodes[shape as usize][place] = for_good;
        }
        takes
    }

    fn add_to_claim(&mut self, shape: u32, variant: usize) -> Option<u32> {
        let mut order = Order::default();
        while let Some(index) = self.claims.next_candidate(&mut order, shape) {
            let claim = &self.claims[index];
            let requests = claim.requests + self.provisioner.shapes[shape as usize].requests;
            match self.accept(index, claim.template, claim.set, requests, shape, variant) {
                Ok(set) => {
                    self.claims.place(index, set, requests);
                    self.bookings.commit(index);
                    self.record(shape, index, set);
                    return Some(index);
                }
                Err(Refused::ForGood) if self.provisioner.shapes[shape as usize].variants.len() == 1 => {
                    self.claims.rule_out(index, shape);
                }
                Err(_) => {}
            }
        }
        None
    }

    /// May the claim take the pod, having `requests` then? Its requirements if so.
    fn accept(
        &mut self,
        claim: u32,
        template: u32,
        set: SetId,
        requests: Resources,
        shape: u32,
        variant: usize,
    ) -> Result<SetId, Refused> {
        let provisioner = &mut *self.provisioner;
        let prepared = &provisioner.shapes[shape as usize];
        if !prepared.variants[variant].templates[template as usize] {
            return Err(Refused::ForGood);
        }
        if self.ports.are_taken(shape, Host::Claim(claim)) {
            return Err(Refused::ForGood);
        }
        let offers = &mut provisioner.offers;
        let mut set = prepared.narrow(offers, set, variant).ok_or(Refused::ForGood)?;
        // Types only go and requests only grow; looked at before the domains, which are many.
        if !offers.set(set).holds(requests) {
            return Err(Refused::ForGood);
        }
        if prepared.minds_others(variant) {
            let chosen = self.topology.choose(
                shape,
                variant,
                prepared,
                Host::Claim(claim),
                &offers.set(set).requirements,
                self.ties,
            );
            let refused = || match self.topology.is_full(shape, Host::Claim(claim)) {
                true => Refused::ForGood,
                false => Refused::Now,
            };
            for (key, values) in chosen.ok_or_else(refused)? {
                set = offers.pin(set, &key, &values).ok_or(Refused::Now)?;
            }
        }
        let pinned = prepared.minds_others(variant);
        let refused = if pinned { Refused::Now } else { Refused::ForGood };
        if pinned && !offers.set(set).holds(requests) {
            return Err(refused);
        }
        let (limits, ports) = (self.claims.within(claim), prepared.port_types[template as usize].as_ref());
        let both = limits.zip(ports).map(|(limits, ports)| limits.and(ports));
        let within = both.as_ref().or(limits).or(ports);
        if within.is_some() || offers.set(set).has_min_values {
            let holders = offers.holders(set, requests);
            let holders: Vec<usize> =
                within.map_or_else(|| holders.clone(), |within| holders.and(within)).iter().collect();
            let requirements = &offers.set(set).requirements;
            if holders.is_empty() || !offers.satisfies_min_values(requirements, &holders) {
                return Err(refused);
            }
        }
        if !offers.reservations().is_empty() {
            let compatible = offers.reserved_holders(offers.set(set), requests, within);
            self.bookings.consider(claim, compatible).map_err(|_| Refused::Booked)?;
        }
        Ok(set)
    }

    fn record(&mut self, shape: u32, claim: u32, set: SetId) {
        self.ports.record(shape, Host::Claim(claim));
        let template = self.claims[claim].template as usize;
        if let Some(types) = &self.provisioner.shapes[shape as usize].port_types[template] {
            self.claims.keep_to(claim, types);
        }
        if !self.provisioner.shapes[shape as usize].is_topological() {
            return;
        }
        let requirements = self.provisioner.offers.set(set).requirements.clone();
        self.topology.record(shape, Host::Claim(claim), &requirements);
    }

    /// A new claim of the first pool that accepts the pod.
    fn open_claim(&mut self, shape: u32, variant: usize) -> Result<u32, Why> {
        let mut why = Why::NoFit;
        for template in 0..self.provisioner.pools.len() as u32 {
            let (_, pool, root) = self.provisioner.pools[template as usize];
            let offers = &self.provisioner.offers;
            let set = offers.set(root);
            let varied = || {
                let types: Vec<usize> = set.usable.iter().collect();
                offers.satisfies_min_values(&set.requirements, &types)
            };
            let usable = !set.usable.is_empty() && (!set.has_min_values || varied());
            let limits = self.limits[pool as usize];
            let within =
                limits.any().then(|| set.usable.filter(|place| limits.admit(offers.types[place].capacity)));
            let exhausted = limits.nodes == Some(0) || within.as_ref().is_some_and(Types::is_empty);
            let requests = self.provisioner.shapes[shape as usize].requests;
            if usable && !exhausted {
                let claim = self.claims.begin(pool, template, within);
                let accepted = self.accept(claim, template, root, requests, shape, variant);
                if let Ok(set) = accepted {
                    self.claims.open(set, requests);
                    self.bookings.commit(claim);
                    self.record(shape, claim, set);
                    self.book(claim);
                    return Ok(claim);
                }
                self.claims.give_up();
                // Pools that come after this one are no way out.
                if matches!(accepted, Err(Refused::Booked)) {
                    return Err(Why::Booked);
                }
            }
            why = self.reason(shape, variant, template).unwrap_or(why);
        }
        Err(why)
    }

    /// What the largest of the new claim's types holds is taken off the pool's limits, and never given back.
    fn book(&mut self, claim: u32) {
        let pool = self.claims[claim].pool as usize;
        if self.limits[pool].any() {
            let options = self.provisioner.options(&self.claims.outcome(claim));
            let capacities = options.iter().map(|place| self.provisioner.offers.types[place].capacity);
            let most = capacities.fold(Resources::ZERO, |most, one| {
                let (cpu, memory) =
                    (most.cpu_millis.max(one.cpu_millis), most.memory_bytes.max(one.memory_bytes));
                Resources::new(cpu, memory, 0)
            });
            self.limits[pool] = self.limits[pool].less(most, 0);
        }
    }

    /// Why a template that would hold the pod did not take it; `None`: it would not.
    fn reason(&mut self, shape: u32, variant: usize, template: u32) -> Option<Why> {
        let provisioner = &mut *self.provisioner;
        let prepared = &provisioner.shapes[shape as usize];
        let (_, pool, root) = provisioner.pools[template as usize];
        if !prepared.variants[variant].templates[template as usize] {
            return None;
        }
        let set = prepared.narrow(&mut provisioner.offers, root, variant)?;
        let free = prepared.port_types[template as usize].as_ref();
        if free.is_some_and(|free| free.and(&provisioner.offers.set(set).compatible).is_empty()) {
            return None;
        }
        if provisioner.offers.set(set).holds(prepared.requests) {
            // Without limits it is the other pods.
            let limited = self.limits[pool as usize].any() || !prepared.is_topological();
            return limited.then_some(Why::Limits);
        }
        provisioner.offers.could_hold(set, prepared.requests).then_some(Why::Unavailable)
    }
}

/// Will a claim that refused a pod refuse another like it, whatever comes?
enum Refused {
    ForGood,
    Now,
    /// The places of capacity reservations that it could use are booked, which another claim may change.
    Booked,
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
