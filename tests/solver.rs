//! Karpenter's solver against a plain one that keeps nothing: every attempt looks at every node, claim and type anew.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use kilopod::actors::go_sort;
use kilopod::actors::host_port::{HostPort, Protocol};
use kilopod::actors::karpenter::daemons::DaemonSet;
use kilopod::actors::karpenter::labels::{HOSTNAME, INSTANCE_TYPE, ZONE};
use kilopod::actors::karpenter::offers::{Available, Offered, Offers, Types, all_available};
use kilopod::actors::karpenter::requirement::{Requirement, Requirements};
use kilopod::actors::karpenter::solve::{
    ByName, ExistingNode, Limits, NodeFeatures, NodePool, Placed, Provisioner, Shape,
};
use kilopod::actors::karpenter::{NodeSettings, allocatable, capacity};
use kilopod::actors::node_affinity::Term;
use kilopod::actors::pod_affinity::{PodAffinity, PodTerm};
use kilopod::actors::taints::{Effect, Operator, Taint, Toleration, tolerated};
use kilopod::catalogue::Catalogue;
use kilopod::units::{MIB, Resources};
use proptest::prelude::*;

const ZONES: [&str; 2] = ["us-east-1a", "us-east-1b"];
const KINDS: [&str; 8] =
    ["m5.large", "m5.xlarge", "c5.2xlarge", "r5.large", "t3.small", "m6g.large", "c5.4xlarge", "p3.2xlarge"];

#[derive(Clone, Debug)]
struct Case {
    kinds: Vec<bool>,
    unavailable: Vec<(usize, usize)>,
    /// By pool: weight, cpu limit in cores, tainted.
    pools: Vec<(i32, Option<i64>, bool)>,
    /// By shape: cpu in tenths of a core, memory in GiB, zone selected, tolerates.
    shapes: Vec<(i64, i64, Option<usize>, bool)>,
    pods: Vec<usize>,
    /// By shape, as far as there are: required terms, preferred ones with their weights, and does it keep apart by host?
    affinities: Vec<Affinity>,
    /// By shape, as far as there are.
    company: Vec<Company>,
    /// Room of nodes: cores, GiB, zone, a shape of which a pod is bound there, perhaps one of which a pod is on its way out.
    nodes: Vec<(i64, i64, usize, usize, Option<usize>)>,
    overhead: i64,
    daemons: Vec<Daemon>,
    /// By shape, as far as there are, and what DaemonSets have on the first node.
    ports: Vec<Vec<u16>>,
    /// Zones of a volume, by shape.
    volumes: Vec<Vec<usize>>,
}

/// Terms of affinity, terms of anti-affinity; each over zones or else hosts, with the shapes that it
/// selects and, if it is only preferred, its weight.
type Company = [Vec<(bool, Vec<usize>, Option<i64>)>; 2];

/// A DaemonSet: millicores, terms of types, tolerates, a host port.
type Daemon = (i64, Vec<Vec<usize>>, bool, Option<u16>);

/// Zones of each required term, (weight, zone) of each preferred one, apart by host.
type Affinity = (Vec<Vec<usize>>, Vec<(i64, usize)>, bool);

fn cases() -> impl Strategy<Value = Case> {
    let pool = (0i32..3, prop::option::of(1i64..40), prop::bool::weighted(0.3));
    let shape = (1i64..60, 1i64..20, prop::option::of(0usize..2), any::<bool>());
    // A third zone is one that is not there.
    let term = || prop::collection::vec(0usize..3, 1..3);
    let preferred = prop::collection::vec((1i64..100, 0usize..3), 0..3);
    let affinity = (prop::collection::vec(term(), 0..3), preferred, prop::bool::weighted(0.3));
    let selecting = prop::collection::vec(0usize..6, 1..3);
    let of_company = prop::collection::vec((any::<bool>(), selecting, prop::option::of(1i64..4)), 0..3);
    let company = [of_company.clone(), of_company];
    let of_types = prop::collection::vec(0..KINDS.len(), 1..5);
    let volume = prop::sample::select(vec![vec![], vec![], vec![0], vec![1], vec![0, 1], vec![1, 2]]);
    let port = prop::option::weighted(0.3, 80u16..83);
    let daemon = (1i64..900, prop::collection::vec(of_types, 0..3), any::<bool>(), port);
    let ports = prop::sample::select(vec![vec![], vec![], vec![80], vec![81], vec![80, 82]]);
    let going = prop::option::weighted(0.3, 0usize..6);
    (
        prop::collection::vec(prop::bool::weighted(0.6), KINDS.len()),
        prop::collection::vec((0..KINDS.len(), 0usize..2), 0..6),
        prop::collection::vec(pool, 1..4),
        prop::collection::vec(shape, 1..6),
        prop::collection::vec(0usize..6, 1..60),
        prop::collection::vec((1i64..8, 1i64..32, 0usize..2, 0usize..6, going), 0..5),
        prop::collection::vec(affinity, 0..5),
        prop::collection::vec(company, 0..4),
        0i64..400,
        (
            prop::collection::vec(daemon, 0..3),
            prop::collection::vec(ports, 0..5),
            prop::collection::vec(volume, 0..5),
        ),
    )
        .prop_map(
            |(
                kinds,
                unavailable,
                pools,
                shapes,
                pods,
                nodes,
                affinities,
                company,
                overhead,
                (daemons, ports, volumes),
            )| Case {
                kinds,
                unavailable,
                pods: pods.into_iter().map(|pod| pod % shapes.len()).collect(),
                pools,
                shapes,
                affinities,
                company,
                nodes,
                overhead,
                daemons,
                ports,
                volumes,
            },
        )
}

fn taint() -> Taint {
    Taint { key: "dedicated".into(), value: "a".into(), effect: Effect::NoSchedule }
}

/// In one of these zones.
fn term(zones: &[usize]) -> Term {
    let zones = zones.iter().map(|zone| ZONES.get(*zone).copied().unwrap_or("us-east-1z").to_owned());
    Term(vec![("topology.kubernetes.io/zone".into(), Requirement::any_of(zones))])
}

fn tcp(port: u16) -> HostPort {
    HostPort { port, protocol: Protocol::Tcp, ip: None }
}
/// Have they a port in common?
fn clash(some: &[HostPort], others: &[HostPort]) -> bool {
    some.iter().any(|one| others.iter().any(|other| one.port == other.port))
}

/// Of one of these types.
fn of_types(kinds: &[usize]) -> Term {
    let names = kinds.iter().map(|kind| KINDS[*kind].to_owned());
    Term(vec![(INSTANCE_TYPE.into(), Requirement::any_of(names))])
}

/// What is left of what a pod asks.
struct Asked {
    labels: Requirements,
    /// Without its preferences.
    strict: Requirements,
    /// Preferred terms of affinity to pods, and of anti-affinity.
    near: Vec<PodTerm>,
    apart: Vec<PodTerm>,
}

/// What a pod asks, in the order in which it gives up: required terms, then preferred ones of affinity to pods, of anti-affinity
/// and of affinity to nodes, each time the heaviest.
fn relaxed(shape: &Shape) -> Vec<Asked> {
    fn heaviest_first<T>(terms: &[(i64, T)]) -> Vec<&T> {
        let mut terms: Vec<&(i64, T)> = terms.iter().collect();
        terms.sort_by_key(|(weight, _)| -weight);
        terms.into_iter().map(|(_, term)| term).collect()
    }
    let selector = Requirements::of_labels(shape.node_selector.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let required: Vec<Option<&Term>> = match shape.node_affinity.required.is_empty() {
        true => vec![None],
        false => shape.node_affinity.required.iter().map(Some).collect(),
    };
    let near = heaviest_first(&shape.pod_affinity.preferred);
    let apart = heaviest_first(&shape.pod_affinity.preferred_anti);
    let preferred = heaviest_first(&shape.node_affinity.preferred);
    let counts = [required.len() - 1, near.len(), apart.len(), preferred.len()];
    let after = |steps: usize| {
        let mut steps = steps;
        let [first, near_from, apart_from, preferred_from] = counts.map(|count| {
            let taken = steps.min(count);
            steps -= taken;
            taken
        });
        let mut strict = selector.clone();
        required[first].into_iter().for_each(|term| term.narrow(&mut strict));
        let mut labels = strict.clone();
        preferred[preferred_from..].iter().take(1).for_each(|term| term.narrow(&mut labels));
        let left = |terms: &[&PodTerm]| terms.iter().copied().cloned().collect();
        Asked { labels, strict, near: left(&near[near_from..]), apart: left(&apart[apart_from..]) }
    };
    (0..=counts.iter().sum()).map(after).collect()
}

/// The zones that are named.
fn named(requirements: &Requirements) -> Vec<String> {
    let zone = requirements.get(ZONE).filter(|zone| zone.is_in());
    zone.into_iter().flat_map(|zone| zone.named()).map(str::to_owned).collect()
}

fn features(node: &ExistingNode) -> &NodeFeatures {
    node.features.as_deref().expect("the cases' nodes have features")
}

/// What both solvers are given.
struct Input {
    types: Vec<Offered>,
    available: Available,
    pools: Vec<NodePool>,
    limits: Vec<Limits>,
    shapes: Vec<Shape>,
    nodes: Vec<ExistingNode>,
    overhead: Resources,
    daemons: Vec<DaemonSet>,
}

fn input(case: &Case) -> Input {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::compiled_in);
    let (catalogue, settings) = (&*CATALOGUE, NodeSettings::default());
    let zones: Vec<String> = ZONES.map(String::from).to_vec();
    let mut names: Vec<&str> =
        KINDS.iter().zip(&case.kinds).filter(|(_, kept)| **kept).map(|(name, _)| *name).collect();
    names.sort_unstable();
    let offered = |name: &&str| {
        let instance = catalogue.get(catalogue.find(name).unwrap());
        let resources = (capacity(instance, &settings).unwrap(), allocatable(instance, &settings).unwrap());
        Offered::new(instance, "us-east-1", &zones, resources, |_| true).unwrap()
    };
    let types: Vec<Offered> = names.iter().map(offered).collect();
    let mut available = all_available(&types, zones.len());
    for (kind, zone) in &case.unavailable {
        if let Some(place) = types.iter().position(|offered| offered.name == KINDS[*kind]) {
            available[place].iter_mut().for_each(|zones| *zones &= !(1 << zone));
        }
    }
    let pool = |(index, (weight, _, tainted)): (usize, &(i32, Option<i64>, bool))| NodePool {
        name: format!("pool-{index}"),
        weight: *weight,
        requirements: Requirements::default(),
        labels: BTreeMap::new(),
        taints: if *tainted { vec![taint()] } else { Vec::new() },
        types: None,
        reservations: None,
    };
    let limit = |(_, cores, _): &(i32, Option<i64>, bool)| Limits {
        cpu_millis: cores.map(|cores| cores * 1_000),
        ..Limits::default()
    };
    let shape = |(cpu, memory, zone, tolerates): &(i64, i64, Option<usize>, bool)| {
        let mut shape = Shape::plain(Resources::new(cpu * 100, memory * 1_024 * MIB, 1));
        if let Some(zone) = zone {
            shape.node_selector.insert("topology.kubernetes.io/zone".into(), ZONES[*zone].into());
        }
        if *tolerates {
            let (key, value) = ("dedicated".to_string(), String::new());
            shape.tolerations.push(Toleration { key, operator: Operator::Exists, value, effect: None });
        }
        shape
    };
    let mut shapes: Vec<Shape> = case.shapes.iter().map(shape).collect();
    for (number, (shape, (required, preferred, apart))) in (0..).zip(shapes.iter_mut().zip(&case.affinities))
    {
        shape.node_affinity.required = required.iter().map(|zones| term(zones)).collect();
        shape.node_affinity.preferred =
            preferred.iter().map(|(weight, zone)| (*weight, term(&[*zone]))).collect();
        shape.pod_affinity.anti_affinity.extend(apart.then(|| PodTerm::new(HOSTNAME, [number])));
    }
    for (shape, [near, apart]) in shapes.iter_mut().zip(&case.company) {
        let own = &mut shape.pod_affinity;
        let lists = [(near, &mut own.affinity, &mut own.preferred)];
        let lists = lists.into_iter().chain([(apart, &mut own.anti_affinity, &mut own.preferred_anti)]);
        for (terms, required, preferred) in lists {
            for (by_zone, kinds, weight) in terms {
                let key = if *by_zone { ZONE } else { HOSTNAME };
                let term = PodTerm::new(key, kinds.iter().map(|kind| *kind as u32));
                match weight {
                    Some(weight) => preferred.push((*weight, term)),
                    None => required.push(term),
                }
            }
        }
    }
    let daemon = |(cpu_millis, terms, tolerates, port): &Daemon| DaemonSet {
        requests: Resources::new(*cpu_millis, 0, 1),
        node_selector: BTreeMap::new(),
        required: terms.iter().map(|kinds| of_types(kinds)).collect(),
        tolerations: tolerates.then(Toleration::of_everything).into_iter().collect(),
        host_ports: port.iter().map(|port| tcp(*port)).collect(),
    };
    for (shape, ports) in shapes.iter_mut().zip(&case.ports) {
        shape.host_ports = ports.iter().map(|port| tcp(*port)).collect();
    }
    for (shape, zones) in shapes.iter_mut().zip(&case.volumes).filter(|(_, zones)| !zones.is_empty()) {
        term(zones).narrow(&mut shape.volumes);
        shape.attachments = zones.len() as u32;
    }
    let node = |(cores, memory, zone, shape, going): &(i64, i64, usize, usize, Option<usize>)| ExistingNode {
        features: Some(Arc::new(NodeFeatures {
            labels: Requirements::of_labels([("topology.kubernetes.io/zone", ZONES[*zone])]),
            taints: Vec::new(),
            host_ports: if *cores % 3 == 0 { vec![tcp(81)] } else { Vec::new() },
        })),
        pods: vec![(*shape as u32, 1)],
        going: going.iter().map(|shape| *shape as u32).collect(),
        room: Resources::new(cores * 1_000, memory * 1_024 * MIB, 20),
        volumes: (*cores % 2 == 0).then_some(memory % 5 - 1),
    };
    Input {
        types,
        available,
        pools: case.pools.iter().enumerate().map(pool).collect(),
        limits: case.pools.iter().map(limit).collect(),
        shapes,
        nodes: case.nodes.iter().map(node).collect(),
        overhead: Resources::new(case.overhead, 0, 2),
        daemons: case.daemons.iter().map(daemon).collect(),
    }
}

/// A claim of the plain solver.
#[derive(Clone)]
struct Plain {
    pool: usize,
    pods: u32,
    requests: Resources,
    requirements: Requirements,
    types: Vec<usize>,
}

/// A pod that was put somewhere: its shape, its host and the zones in which that could come to be, if any were named then.
type Put = (u32, Placed, Vec<String>);

/// Added to the shape of a pod that is on its way out: it is none that others look for or keep off.
const GOING: u32 = 1_000;

/// A round of the plain solver.
struct Round {
    rooms: Vec<Resources>,
    /// Of nodes with a limit on volumes.
    volumes: Vec<Option<i64>>,
    put: Vec<Put>,
    claims: Vec<Plain>,
    sorted: Vec<usize>,
    limits: Vec<Option<i64>>,
}

impl Input {
    /// Pools as they are tried.
    fn by_weight(&self) -> Vec<usize> {
        let mut by_weight: Vec<usize> = (0..self.pools.len()).collect();
        by_weight.sort_by(|a, b| {
            let (a, b) = (&self.pools[*a], &self.pools[*b]);
            b.weight.cmp(&a.weight).then_with(|| b.name.cmp(&a.name))
        });
        by_weight
    }

    /// What DaemonSets request by pool and type.
    fn overheads(&self) -> Vec<Vec<Resources>> {
        let sum = |there: &Vec<&DaemonSet>| there.iter().fold(self.overhead, |sum, one| sum + one.requests);
        self.daemonsets().iter().map(|pool| pool.iter().map(sum).collect()).collect()
    }

    /// DaemonSets by pool and type. Once a term has failed for a type it is left out for good, but for the last.
    fn daemonsets(&self) -> Vec<Vec<Vec<&DaemonSet>>> {
        let mut all = vec![vec![Vec::new(); self.types.len()]; self.pools.len()];
        for daemon in &self.daemons {
            let mut first = 0;
            for pool in self.by_weight() {
                if !self.pools[pool].taints.iter().all(|taint| tolerated(taint, &daemon.tolerations)) {
                    continue;
                }
                for (place, offered) in self.types.iter().enumerate() {
                    let names = |at: usize| daemon.required[at].0[0].1.has(&offered.name);
                    while first + 1 < daemon.required.len() && !names(first) {
                        first += 1;
                    }
                    if daemon.required.is_empty() || names(first) {
                        all[pool][place].push(daemon);
                    }
                }
            }
        }
        all
    }

    /// The types of `among` that a claim of the pool with these requirements and requests may become.
    fn fitting(
        &self,
        pool: usize,
        among: &[usize],
        requirements: &Requirements,
        requests: Resources,
    ) -> Vec<usize> {
        let overheads = &self.overheads()[pool];
        let fits = |place: &&usize| {
            let offered = &self.types[**place];
            let zones = (0..ZONES.len())
                .filter(|zone| requirements.allows("topology.kubernetes.io/zone", ZONES[*zone]));
            let mut zones = zones.map(|zone| 1u64 << zone);
            offered.requirements.intersects(requirements)
                && (requests + overheads[**place]).fits(&offered.allocatable)
                && zones.any(|zone| self.available[**place].iter().any(|there| there & zone != 0))
        };
        among.iter().filter(fits).copied().collect()
    }

    /// The zones that a label may have.
    fn zones(&self) -> Vec<&str> {
        let there = |zone: &&str| self.nodes.iter().any(|node| features(node).labels.allows(ZONE, zone));
        ZONES.into_iter().filter(|zone| !self.types.is_empty() || there(zone)).collect()
    }

    /// Lists of zones that a pod on the host must keep to, all of them; `None`: it may not go there.
    fn company(
        &self,
        put: &[Put],
        number: u32,
        (host, requirements): (Placed, &Requirements),
        asked: &Asked,
    ) -> Option<Vec<Vec<String>>> {
        let mut lists = Vec::new();
        let zones = self.zones();
        let mut open = |term: &PodTerm, counts: &dyn Fn(u32) -> bool, near: bool| {
            let there: Vec<&Put> = put.iter().filter(|(shape, ..)| counts(*shape)).collect();
            let itself = near && counts(number);
            if term.topology_key == HOSTNAME {
                let met = there.iter().any(|(_, at, _)| *at == host);
                return if near { met || (itself && there.is_empty()) } else { !met };
            }
            let has = |zone: &str| {
                there.iter().any(|(_, _, at)| at.iter().any(|at| at == zone) && (!near || at.len() == 1))
            };
            let own: Vec<&str> =
                zones.iter().copied().filter(|zone| asked.strict.allows(ZONE, zone)).collect();
            let here = |zone: &&str| requirements.allows(ZONE, zone);
            let mut left: Vec<&str> =
                own.iter().copied().filter(|zone| has(zone) == near && here(zone)).collect();
            if itself && !own.iter().any(|zone| has(zone)) {
                left = own.iter().copied().find(here).into_iter().chain(own.first().copied()).collect();
            }
            lists.push(left.iter().map(|zone| zone.to_string()).collect());
            !left.is_empty()
        };
        for (owner, shape) in (0..).zip(&self.shapes) {
            let PodAffinity { affinity, anti_affinity, .. } = &shape.pod_affinity;
            let own = owner == number;
            let mut sought = affinity.iter().chain(&asked.near);
            let met = !own || sought.all(|term| open(term, &|kind| term.selects(kind), true));
            let mut own_apart = asked.apart.iter().filter(|_| own);
            let preferred = own_apart.all(|term| open(term, &|kind| term.selects(kind), false));
            let apart = |term: &PodTerm| {
                // It keeps off others until it is gone.
                let keeps_off = |kind| (kind == owner && !own) || kind == owner + GOING;
                (!own || open(term, &|kind| term.selects(kind), false))
                    && (!term.selects(number) || open(term, &keeps_off, false))
            };
            if !met || !preferred || !anti_affinity.iter().all(apart) {
                return None;
            }
        }
        Some(lists)
    }

    /// Has a pod on the host a port that the shape wants?
    fn port_is_taken(&self, put: &[Put], host: Placed, number: usize) -> bool {
        let wants = |shape: u32| &self.shapes.get(shape as usize).expect("a shape").host_ports;
        let there = put.iter().filter(|(shape, at, _)| *at == host && (*shape as usize) < self.shapes.len());
        there.into_iter().any(|(shape, ..)| clash(wants(number as u32), wants(*shape)))
    }

    fn accepts(
        &self,
        put: &[Put],
        (claim, place): (&Plain, usize),
        number: usize,
        asked: &Asked,
    ) -> Option<Plain> {
        let shape = &self.shapes[number];
        if !self.pools[claim.pool].taints.iter().all(|taint| tolerated(taint, &shape.tolerations)) {
            return None;
        }
        if !claim.requirements.compatible(&asked.labels, true) {
            return None;
        }
        let mut requirements = claim.requirements.clone();
        requirements.add_all(&asked.labels);
        if !requirements.compatible(&shape.volumes, true) {
            return None;
        }
        requirements.add_all(&shape.volumes);
        let host = (Placed::Claim(place as u32), &requirements);
        for zones in self.company(put, number as u32, host, asked)? {
            requirements.add(ZONE, &Requirement::any_of(zones));
        }
        if self.port_is_taken(put, Placed::Claim(place as u32), number) {
            return None;
        }
        let requests = claim.requests + shape.requests;
        let daemonsets = &self.daemonsets()[claim.pool];
        let types = self.fitting(claim.pool, &claim.types, &requirements, requests);
        let free =
            |place: &usize| daemonsets[*place].iter().all(|one| !clash(&shape.host_ports, &one.host_ports));
        let types: Vec<usize> = types.into_iter().filter(free).collect();
        let pods = claim.pods + 1;
        (!types.is_empty()).then_some(Plain { pool: claim.pool, pods, requests, requirements, types })
    }

    /// Where each pod goes, and the claims by their opening.
    fn solve(&self, pods: &[usize]) -> (Vec<Option<Placed>>, Vec<Plain>) {
        let mut order: Vec<usize> = (0..pods.len()).collect();
        order.sort_by_key(|pod| {
            let requests = self.shapes[pods[*pod]].requests;
            (-requests.cpu_millis, -requests.memory_bytes, *pod)
        });
        let by_weight = self.by_weight();
        let bound = |(place, node): (u32, &ExistingNode)| -> Vec<Put> {
            let going = node.going.iter().map(|shape| shape + GOING);
            let shapes = [node.pods[0].0].into_iter().chain(going);
            shapes.map(|shape| (shape, Placed::Existing(place), named(&features(node).labels))).collect()
        };
        let mut round = Round {
            rooms: self.nodes.iter().map(|node| node.room).collect(),
            volumes: self.nodes.iter().map(|node| node.volumes).collect(),
            put: (0..).zip(&self.nodes).flat_map(bound).collect(),
            limits: self.limits.iter().map(|limit| limit.cpu_millis).collect(),
            claims: Vec::new(),
            sorted: Vec::new(),
        };
        let mut placed = vec![None; pods.len()];
        // Until a whole turn brings nothing.
        loop {
            let mut progress = false;
            for pod in order.iter().copied() {
                if placed[pod].is_some() {
                    continue;
                }
                let asked = relaxed(&self.shapes[pods[pod]]);
                placed[pod] =
                    asked.iter().find_map(|asked| self.place(pods[pod], asked, &mut round, &by_weight));
                progress |= placed[pod].is_some();
            }
            if !progress {
                return (placed, round.claims);
            }
        }
    }

    fn place(&self, number: usize, asked: &Asked, round: &mut Round, by_weight: &[usize]) -> Option<Placed> {
        let shape = &self.shapes[number];
        let Round { rooms, volumes, put, claims, sorted, limits } = round;
        for (place, node) in self.nodes.iter().enumerate() {
            let (labels, host) = (&features(node).labels, Placed::Existing(place as u32));
            let meets = |zones: &Vec<String>| zones.iter().any(|zone| labels.allows(ZONE, zone));
            let company = || self.company(put, number as u32, (host, labels), asked);
            let attachments = i64::from(shape.attachments);
            if shape.requests.fits(&rooms[place])
                && (attachments == 0 || volumes[place].is_none_or(|left| attachments <= left))
                && !clash(&shape.host_ports, &features(node).host_ports)
                && !self.port_is_taken(put, host, number)
                && labels.compatible(&asked.labels, false)
                && labels.compatible(&shape.volumes, false)
                && company().is_some_and(|lists| lists.iter().all(meets))
            {
                rooms[place] = rooms[place] - shape.requests;
                volumes[place] = volumes[place].map(|left| left - attachments);
                put.push((number as u32, host, named(labels)));
                return Some(host);
            }
        }
        go_sort::sort_by_key(sorted, |claim| claims[*claim].pods);
        for claim in sorted.iter().copied() {
            if let Some(after) = self.accepts(put, (&claims[claim], claim), number, asked) {
                claims[claim] = after;
                let host = Placed::Claim(claim as u32);
                put.push((number as u32, host, named(&claims[claim].requirements)));
                return Some(host);
            }
        }
        for pool in by_weight.iter().copied() {
            let within = |place: &usize| {
                limits[pool].is_none_or(|left| self.types[*place].capacity.cpu_millis <= left)
            };
            let empty = Plain {
                pool,
                pods: 0,
                requests: Resources::ZERO,
                requirements: self.pools[pool].template(),
                types: (0..self.types.len()).filter(within).collect(),
            };
            if let Some(opened) = self.accepts(put, (&empty, claims.len()), number, asked) {
                let most = opened.types.iter().map(|place| self.types[*place].capacity.cpu_millis).max();
                limits[pool] = limits[pool].map(|left| left - most.unwrap_or(0));
                sorted.push(claims.len());
                let host = Placed::Claim(claims.len() as u32);
                put.push((number as u32, host, named(&opened.requirements)));
                claims.push(opened);
                return Some(host);
            }
        }
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn the_solver_is_the_plain_one(case in cases()) {
        let input = input(&case);
        let zones: Vec<String> = ZONES.map(String::from).to_vec();
        let offers = Offers::new(input.types.clone(), zones, input.available.clone(), input.overhead)
            .with_daemonsets(input.daemons.clone());
        let mut provisioner = Provisioner::new(offers, input.pools.clone(), &input.shapes);
        let pods: Vec<u32> = case.pods.iter().map(|shape| *shape as u32).collect();
        let solution = provisioner.solve(&pods, &input.nodes, &input.limits, &mut ByName);
        let (placed, claims) = input.solve(&case.pods);
        let got: Vec<Option<Placed>> = solution
            .placed
            .iter()
            .map(|placed| (!matches!(placed, Placed::Nowhere(_))).then_some(*placed))
            .collect();
        prop_assert_eq!(got, placed);
        prop_assert_eq!(solution.claims.len(), claims.len());
        let mut booked = vec![0; input.pools.len()];
        let overheads = input.overheads();
        for (claim, plain) in solution.claims.iter().zip(&claims) {
            let options: Vec<usize> = provisioner.options(claim).iter().collect();
            prop_assert_eq!(&options, &plain.types);
            prop_assert_eq!((claim.pods, claim.requests, claim.pool as usize), (plain.pods, plain.requests, plain.pool));
            // Whatever is launched holds its pods, and the pool keeps its limit.
            let needs = provisioner.requests(claim);
            prop_assert!(options.iter().all(|place| needs.fits(&input.types[*place].allocatable)));
            let overheads = options.iter().map(|place| overheads[plain.pool][*place]);
            prop_assert_eq!(needs, plain.requests + overheads.reduce(Resources::least).unwrap());
            booked[plain.pool] += options.iter().map(|place| input.types[*place].capacity.cpu_millis).max().unwrap();
        }
        for (booked, limits) in booked.iter().zip(&input.limits) {
            prop_assert!(limits.cpu_millis.is_none_or(|limit| *booked <= limit));
        }
        // Asked again, it says the same: what it keeps changes nothing.
        let again = provisioner.solve(&pods, &input.nodes, &input.limits, &mut ByName);
        prop_assert_eq!(again.placed, solution.placed);
    }
}

#[test]
fn an_empty_set_of_types_holds_nothing() {
    let types = Types::of([1usize, 64].into_iter(), 70);
    assert_eq!((types.len(), types.has(64), types.has(2)), (2, true, false));
    assert!(types.filter(|place| place > 64).is_empty());
}
