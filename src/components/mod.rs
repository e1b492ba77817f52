//! The parts of the cluster as handlers of events: each hands the world's values to an actor, draws what
//! chance decides, and books what follows. [`simulate`] runs one replication.

mod ec2;
mod karpenter;
mod node;
mod pods;
mod prepared;

use crate::actors::client_limit::ClientBucket;
use crate::actors::ec2::TokenBucket;
use crate::actors::ipamd::{Call, Ipamd, PodAddress};
use crate::catalogue::{Latency, TypeId};
use crate::chance::{Chance, Component};
use crate::engine::{Agenda, Scheduled};
use crate::scenario::Scenario;
use crate::units::{Resources, SimDuration, SimTime};
use crate::world::subnet::Subnet;

pub use prepared::Prepared;

/// What happens. The number is that of a pod, a node or a claim.
#[derive(Clone, Copy, Debug)]
enum Event {
    PodCreated(u32),
    /// kube-scheduler is free for its next attempt.
    Schedule,
    Bound(u32),
    /// Karpenter's batch window may close.
    WindowCloses,
    /// A solve has finished; its claims exist.
    Solved,
    Launch(u32),
    /// A batch of equal CreateFleet requests may go out.
    FleetBatch(u32),
    FleetAnswers(u32),
    NodeRegisters(u32),
    AwsNodeStarts(u32),
    Ipamd(u32, Wake),
    CniReady(u32),
    NodeReady(u32),
    TaintRemoved(u32),
    Sandbox(u32),
    ImageManifest(u32),
    ImageStored(u32),
    Started(u32),
    Ready,
}

/// What ipamd waited for.
#[derive(Clone, Copy, Debug)]
enum Wake {
    Nap,
    CallEnds(Call),
    /// A throttled call goes out again; which attempt it is.
    CallAgain(Call, u8),
}

#[derive(Clone, Debug)]
struct Pod {
    deployment: u32,
    /// The node it is bound to.
    node: Option<u32>,
    address: Option<PodAddress>,
    attempts: u32,
    sandbox_tries: u32,
}

/// An ENI's addresses, for when they go back.
#[derive(Clone, Debug, Default)]
struct Held {
    eni: u32,
    cidrs: Vec<(u32, u32)>,
    primary: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Node {
    /// Types it may still become, by rising price; one from the launch on.
    types: Vec<TypeId>,
    pool: u32,
    zone: u32,
    /// Where its interfaces' addresses come from, as a place in [`Scenario::subnets`].
    subnet: usize,
    price_micro_usd: u64,
    allocatable: Resources,
    requested: Resources,
    launched: Option<SimTime>,
    /// May pods be bound to it?
    usable: bool,
    static_node: bool,
    ipamd: Option<Box<Ipamd>>,
    held: Vec<Held>,
    next_eni: u32,
    next_cidr: u32,
    draws: u32,
    image_free_at: SimTime,
}

impl Node {
    /// Nothing launched, nothing attached, no room yet.
    fn new(types: Vec<TypeId>) -> Node {
        Node {
            types,
            pool: 0,
            zone: 0,
            subnet: 0,
            price_micro_usd: 0,
            allocatable: Resources::ZERO,
            requested: Resources::ZERO,
            launched: None,
            usable: false,
            static_node: false,
            ipamd: None,
            held: Vec::new(),
            next_eni: 1,
            next_cidr: 0,
            draws: 0,
            image_free_at: SimTime::ZERO,
        }
    }
}

/// Claims whose launches go out as one CreateFleet.
#[derive(Clone, Debug)]
struct FleetBatch {
    claims: Vec<u32>,
    opened: SimTime,
    last: SimTime,
    sent: Option<SimTime>,
}

/// What a run comes to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The instants at which pods became Ready, by rising time.
    pub ready: Vec<SimTime>,
    pub reached: bool,
    pub ended: SimTime,
    pub nodes_by_type: Vec<(String, u32)>,
    /// All addresses on ENIs of live nodes, the static ones included.
    pub attached: u32,
    pub assigned: u32,
    /// Attached - assigned - one primary a node.
    pub wasted: u32,
    /// By subnet: name, free at the end, least free.
    pub subnets: Vec<(String, u32, u32)>,
    pub ec2_calls: u64,
    pub ec2_throttles: u64,
    pub sandbox_failures: u64,
    pub scheduling_rounds: u32,
    pub cost_per_hour_micro_usd: u64,
    pub events: u64,
}

/// One replication under way.
struct Run<'a> {
    prepared: &'a Prepared,
    scenario: &'a Scenario,
    chance: Chance,
    agenda: Agenda<Event>,
    now: SimTime,
    pods: Vec<Pod>,
    nodes: Vec<Node>,
    subnets: Vec<Subnet>,
    active: std::collections::VecDeque<u32>,
    unschedulable: Vec<u32>,
    scheduler_busy: bool,
    scheduler_client: ClientBucket,
    controller_client: ClientBucket,
    lifecycle_client: ClientBucket,
    batch_opened: Option<SimTime>,
    batch_last: SimTime,
    window: Option<Scheduled>,
    solving: bool,
    solved: Vec<u32>,
    fleets: Vec<FleetBatch>,
    launching: u32,
    rounds: u32,
    buckets: Vec<TokenBucket>,
    fleet_bucket: TokenBucket,
    instance_bucket: TokenBucket,
    ready: Vec<SimTime>,
    ec2_calls: u64,
    ec2_throttles: u64,
    sandbox_failures: u64,
    events: u64,
}

/// Runs one replication until the target's number of pods is Ready, nothing is left to happen, or the horizon.
pub fn simulate(prepared: &Prepared, seed: u64, replication: u32) -> Summary {
    let mut run = Run::new(prepared, Chance::new(seed, replication));
    run.start();
    let horizon = SimTime::ZERO + run.scenario.horizon;
    let target = run.scenario.target_pods as usize;
    while run.ready.len() < target {
        let Some((at, event)) = run.agenda.pop() else { break };
        if at > horizon {
            run.now = horizon;
            break;
        }
        run.now = at;
        run.events += 1;
        run.handle(event);
    }
    run.summary(target)
}

impl<'a> Run<'a> {
    fn new(prepared: &'a Prepared, chance: Chance) -> Self {
        let scenario = &prepared.scenario;
        let bucket = |limit: &crate::scenario::BucketLimit| TokenBucket::new(limit.size, limit.refill_per_s);
        let client = scenario.controller_manager;
        Run {
            prepared,
            scenario,
            chance,
            agenda: Agenda::with_capacity(4_096),
            now: SimTime::ZERO,
            pods: Vec::new(),
            nodes: Vec::new(),
            subnets: scenario
                .subnets
                .iter()
                .map(|subnet| Subnet::new(subnet.prefix_length, prepared.prefixes))
                .collect(),
            active: Default::default(),
            unschedulable: Vec::new(),
            scheduler_busy: false,
            scheduler_client: ClientBucket::new(
                scenario.scheduler.client.qps,
                scenario.scheduler.client.burst,
            ),
            controller_client: ClientBucket::new(client.qps, client.burst),
            lifecycle_client: ClientBucket::new(client.qps, client.burst),
            batch_opened: None,
            batch_last: SimTime::ZERO,
            window: None,
            solving: false,
            solved: Vec::new(),
            fleets: Vec::new(),
            launching: 0,
            rounds: 0,
            buckets: prepared.buckets.iter().map(bucket).collect(),
            fleet_bucket: bucket(&scenario.ec2_limits.requests["CreateFleet"]),
            instance_bucket: bucket(&scenario.ec2_limits.instances),
            ready: Vec::new(),
            ec2_calls: 0,
            ec2_throttles: 0,
            sandbox_failures: 0,
            events: 0,
        }
    }

    fn at(&mut self, at: SimTime, event: Event) -> Scheduled {
        self.agenda.at(at, 0, event)
    }
    fn draw(&self, latency: Latency, component: Component, entity: u32, draw: u32) -> SimDuration {
        let law = &self.scenario.latencies.get(latency).law;
        SimDuration::from_secs_f64(law.quantile(self.chance.uniform(component, entity, draw)))
    }

    fn start(&mut self) {
        for (index, spec) in self.scenario.subnets.iter().enumerate() {
            let others = spec.used_addresses + spec.control_plane_interfaces;
            let (chance, mut count) = (self.chance, 0);
            let mut below = |bound| {
                count += 1;
                chance.below(Component::SubnetStart, index as u32, count, bound)
            };
            let taken = self.subnets[index].take_singles(others, &mut Vec::new(), &mut below);
            taken.expect("a checked scenario's subnets hold what is in them at the start");
        }
        self.start_static_nodes();
        self.create_pods();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::PodCreated(pod) => self.pod_created(pod),
            Event::Schedule => self.schedule(),
            Event::Bound(pod) => self.bound(pod),
            Event::WindowCloses => self.window_closes(),
            Event::Solved => self.claims_exist(),
            Event::Launch(node) => self.launch(node),
            Event::FleetBatch(batch) => self.fleet_batch(batch),
            Event::FleetAnswers(node) => self.fleet_answers(node),
            Event::NodeRegisters(node) => self.node_registers(node),
            Event::AwsNodeStarts(node) => self.aws_node_starts(node),
            Event::Ipamd(node, wake) => self.ipamd_wakes(node, wake),
            Event::CniReady(node) => self.cni_ready(node),
            Event::NodeReady(node) => self.node_ready(node),
            Event::TaintRemoved(node) => self.taint_removed(node),
            Event::Sandbox(pod) => self.sandbox(pod),
            Event::ImageManifest(pod) => self.image_manifest(pod),
            Event::ImageStored(pod) => self.image_stored(pod),
            Event::Started(pod) => self.started(pod),
            Event::Ready => self.pod_ready(),
        }
    }

    fn summary(self, target: usize) -> Summary {
        let live = || self.nodes.iter().filter(|node| !node.held.is_empty());
        let size = if self.prepared.prefixes { 16 } else { 1 };
        let of_node = |node: &Node| {
            let addresses = |held: &Held| held.primary.len() as u32 + held.cidrs.len() as u32 * size;
            node.held.iter().map(addresses).sum::<u32>()
        };
        let attached: u32 = live().map(of_node).sum();
        let assigned: u32 =
            live().filter_map(|node| node.ipamd.as_ref()).map(|ipamd| ipamd.pool().assigned()).sum();
        let mut by_type = std::collections::BTreeMap::new();
        let launched = || self.nodes.iter().filter(|node| node.launched.is_some());
        for node in launched() {
            *by_type.entry(self.scenario.catalogue.get(node.types[0]).name.clone()).or_insert(0) += 1;
        }
        let subnet = |(spec, book): (&crate::scenario::SubnetSpec, &Subnet)| {
            (spec.name.clone(), book.free(), book.least_free())
        };
        Summary {
            reached: self.ready.len() >= target,
            ended: self.now,
            nodes_by_type: by_type.into_iter().collect(),
            attached,
            assigned,
            wasted: attached - assigned - live().count() as u32,
            subnets: self.scenario.subnets.iter().zip(&self.subnets).map(subnet).collect(),
            ec2_calls: self.ec2_calls,
            ec2_throttles: self.ec2_throttles,
            sandbox_failures: self.sandbox_failures,
            scheduling_rounds: self.rounds,
            cost_per_hour_micro_usd: launched().map(|node| node.price_micro_usd).sum(),
            events: self.events,
            ready: self.ready,
        }
    }
}
