//! One round: each pod onto a node that exists, else onto a claim of the round, else onto a new one.

use super::attachments::Attachments;
use super::claims::{Claims, Order};
use super::host_ports::{HostPorts, clash};
use super::topology::{Host, Topology};
use super::*;

/// A round under way.
pub(super) struct Round<'a> {
    pub provisioner: &'a mut Provisioner,
    existing: Existing<'a>,
    rooms: Vec<Resources>,
    limits: Vec<Limits>,
    pub claims: Claims,
    pub bookings: Bookings,
    topology: Topology<'a>,
    ports: HostPorts,
    attachments: Attachments,
    ties: &'a mut dyn Ties,
    /// By shape: the first node that may still take one, and whether all but its room is known to suit. Rooms only
    /// shrink, so for shapes that do not spread it only moves on.
    first_node: Vec<(u32, bool)>,
    /// By shape that minds where its others are and gives nothing up: nodes that will not take one any more.
    shut_nodes: Vec<Vec<bool>>,
    /// By shape: the number of placements at its last failure. Nothing placed since: it fails again.
    failed_at: Vec<Option<(u64, Why)>>,
    placements: u64,
    pub tries_existing: u64,
    pub tries_new: u64,
}

impl<'a> Round<'a> {
    pub fn new(
        provisioner: &'a mut Provisioner,
        mode: Mode,
        existing: Existing<'a>,
        limits: &[Limits],
        ties: &'a mut dyn Ties,
    ) -> Round<'a> {
        let nodes = existing.nodes;
        let rooms = match existing.rooms {
            [] => nodes.iter().map(|node| node.room).collect(),
            rooms => rooms.to_vec(),
        };
        let shapes = provisioner.shapes.len();
        let topology = Topology::new(&provisioner.shapes, &provisioner.domains, existing);
        let shut = |shape: &Prepared| vec![false; if shape.minds_neighbours() { nodes.len() } else { 0 }];
        let shut = provisioner.shapes.iter().map(shut).collect();
        Round {
            existing,
            rooms,
            limits: limits.to_vec(),
            claims: Claims::new(shapes),
            bookings: Bookings::new(provisioner.offers.reservations(), mode),
            topology,
            ports: HostPorts::new(&provisioner.shapes, nodes),
            attachments: Attachments::new(&provisioner.shapes, nodes),
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
    pub fn schedule(&mut self, shape: u32) -> Placed {
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
                (open..self.rooms.len()).find(|place| self.node_takes(*place, shape, variant))
            }
        };
        self.tries_existing += self.existing.tried(found);
        let place = found?;
        self.rooms[place] = self.rooms[place] - self.provisioner.shapes[shape as usize].requests;
        if topological {
            self.topology.record(shape, Host::Node(place as u32), &self.existing.features(place).labels);
        }
        self.ports.record(shape, Host::Node(place as u32));
        self.attachments.record(self.provisioner.shapes[shape as usize].attachments, place);
        Some(place as u32)
    }

    /// Does the first node that takes a pod of the shape only move on?
    fn keeps_its_place(&self, shape: u32) -> bool {
        let prepared = &self.provisioner.shapes[shape as usize];
        !prepared.minds_neighbours() && prepared.variants.len() == 1
    }

    /// The node to which pods of the shape go one after the other until it has no more room; `None`: each is tried by itself.
    pub fn node_for_many(&mut self, shape: u32) -> Option<usize> {
        if self.keeps_its_place(shape) { self.next_node(shape) } else { None }
    }
    /// Puts another pod of the shape there, if there is room.
    fn takes_another(&mut self, shape: u32, place: usize) -> bool {
        let Prepared { requests, attachments, .. } = self.provisioner.shapes[shape as usize];
        let takes = requests.fits(&self.rooms[place]) && self.attachments.fit(attachments, place);
        if takes {
            self.attachments.record(attachments, place);
            self.rooms[place] = self.rooms[place] - requests;
            self.placements += 1;
            self.tries_existing += self.existing.tried(Some(place));
        }
        takes
    }

    /// Puts up to so many pods of the shape onto nodes, one after the other, until no node takes another: each one's place.
    pub fn fill_nodes(&mut self, shape: u32, pods: usize) -> Vec<u32> {
        let mut places = Vec::with_capacity(pods);
        while places.len() < pods
            && let Some(place) = self.node_for_many(shape)
        {
            while places.len() < pods && self.takes_another(shape, place) {
                places.push(place as u32);
            }
        }
        places
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
        let Prepared { requests, attachments, .. } = self.provisioner.shapes[shape as usize];
        let first = from as usize;
        if suits
            && requests.fits(&self.rooms[first])
            && Resources::ZERO.fits(&self.rooms[first])
            && self.attachments.fit(attachments, first)
        {
            return Some(first);
        }
        // Most are passed by for want of room, which is soon seen. Where nothing else of nodes matters and one suits, all do.
        let all_suit = suits && self.existing.nodes.is_empty();
        let found = (first..self.rooms.len()).find(|place| {
            requests.fits(&self.rooms[*place])
                && Resources::ZERO.fits(&self.rooms[*place])
                && (all_suit || self.node_takes(*place, shape, 0))
        });
        self.first_node[shape as usize] = (found.unwrap_or(self.rooms.len()) as u32, found.is_some());
        found
    }

    fn node_takes(&mut self, place: usize, shape: u32, variant: usize) -> bool {
        let prepared = &self.provisioner.shapes[shape as usize];
        let relaxed = &prepared.variants[variant];
        let keeps = prepared.minds_neighbours() && prepared.variants.len() == 1;
        if keeps && self.shut_nodes[shape as usize][place] {
            return false;
        }
        let node = self.existing.features(place);
        let open = prepared.requests.fits(&self.rooms[place])
            && Resources::ZERO.fits(&self.rooms[place])
            && node.taints.iter().all(|taint| tolerated(taint, &relaxed.tolerations))
            && node.labels.compatible(&relaxed.requirements, false)
            && node.labels.compatible(&prepared.volumes.0, false)
            && !clash(&prepared.host_ports, &node.host_ports)
            && !self.ports.are_taken(shape, Host::Node(place as u32))
            && self.attachments.fit(prepared.attachments, place);
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
                let extended = most.extended.most(one.extended);
                Resources { extended, ..Resources::new(cpu, memory, 0) }
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
        let (offers, free) = (&provisioner.offers, prepared.port_types[template as usize].as_ref());
        if free.is_some_and(|free| free.and(&offers.set(set).compatible).is_empty()) {
            return None;
        }
        if offers.set(set).holds(prepared.requests) {
            // Where the limits leave it types it is the other pods.
            let limits = self.limits[pool as usize];
            let open = |place: usize| {
                limits.admit(offers.types[place].capacity) && free.is_none_or(|free| free.has(place))
            };
            let any = limits.nodes != Some(0) && offers.holders(set, prepared.requests).iter().any(open);
            return (!any || !prepared.is_topological()).then_some(Why::Limits);
        }
        offers.could_hold(set, prepared.requests).then_some(Why::Unavailable)
    }
}

/// Will a claim that refused a pod refuse another like it, whatever comes?
enum Refused {
    ForGood,
    Now,
    /// The places of capacity reservations that it could use are booked, which another claim may change.
    Booked,
}
