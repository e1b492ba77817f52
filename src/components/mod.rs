//! The parts of the cluster as handlers of events: each hands the world's values to an actor, draws what
//! chance decides, and books what follows. [`simulate`] runs one replication.

mod api_server;
mod autoscaler;
mod aws_node;
mod books;
mod capacity;
mod claims;
mod constraints;
mod contention;
mod controllers;
mod cpu;
mod daemons;
mod deletion;
mod devices;
mod dispatch;
mod disruption;
mod drain;
mod drain_waves;
mod enis;
mod era;
mod event;
mod event_writer;
mod expected_daemons;
mod finish;
mod fitting;
mod host_ports;
mod image_status;
mod images;
mod ipamd;
mod job_pods;
mod jobs;
mod karpenter;
mod kubelet;
mod kubelet_client;
mod launch;
mod launch_subnets;
mod leaks;
mod memory;
mod memory_use;
mod metadata;
mod meter;
mod node;
mod node_lifecycle;
mod others;
mod placing;
mod pod_enis;
mod preemption;
mod prepared;
mod pressure;
mod reservations;
mod restarts;
mod revisions;
mod rollouts;
mod scheduler;
mod serial_drain;
mod spot;
mod startup;
mod state;
mod stock;
mod subnet_sizes;
mod surplus;
mod synchronous;
mod termination;
mod trace;
mod tried_nodes;
mod volumes;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use books::{AtTarget, Books};
use constraints::Constraints;
use contention::Contention;
use event::{Event, Whom};
use fitting::Fitting;
use image_status::ImageNews;
use images::Images;
use launch::FleetBatch;
use memory_use::Memory;
use state::{Node, Pod, PodList, ReplicaSet};
use subnet_sizes::Watch;
use trace::TraceLine;
use waiting::Ledger;

use crate::actors::api_server::{Flow, Namespace};
use crate::actors::client_limit::ClientBucket;
use crate::actors::ec2::TokenBucket;
use crate::actors::hpa::Autoscaler;
use crate::actors::ipamd::{Call, Ipamd};
use crate::actors::karpenter::batcher::Batcher;
use crate::actors::karpenter::disruption::Reason;
use crate::actors::karpenter::solve::Provisioner;
use crate::actors::kube_scheduler::queue::SchedulingQueue;
use crate::catalogue::{Latency, TypeId};
use crate::chance::{Chance, Component};
use crate::engine::{Agenda, Scheduled};
use crate::results::{ApiCount, ReplicationRecord};
use crate::scenario::{Market, RequestKind, Scenario, Until, ZoneTie};
use crate::units::{ExtendedCounts, ExtendedResource, Resources, SimDuration, SimTime};
use crate::world::cause::{AddressLack, Cause};
use crate::world::subnet::Subnet;

pub use jobs::JobTold;
pub use prepared::Prepared;
pub use rollouts::Unfinished;
pub use subnet_sizes::simulate_from_smallest;

/// More events than any run of 10,000 pods needs; beyond it a loop spins.
const MOST_EVENTS: u64 = 50_000_000;

/// `KUBE_CLIENT_QPS` and `KUBE_CLIENT_BURST` of Karpenter; what its eviction queue retries at most, on one CPU.
const KARPENTER_CLIENT: (u32, u32) = (200, 300);
const EVICTION_RETRIES: (u32, u32) = (100, 1_000);

/// What a run is asked to do beside its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wishes {
    /// Tell every event, as JSON lines.
    pub trace: bool,
    /// Keep what each pod waited for, and when.
    pub history: bool,
    /// Check all books after every event (slow).
    pub check: bool,
    /// End where nothing can change any more, rather than at the horizon.
    pub stop_when_stuck: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Wishes { trace: false, history: false, check: false, stop_when_stuck: true }
    }
}

/// A result with what was wished for.
#[derive(Clone, Debug)]
pub struct Told {
    pub record: ReplicationRecord,
    pub trace: Vec<String>,
    /// (pod, what it waits for from then on, when); `None`: it is Ready or gone.
    pub history: Vec<(u32, Option<Cause>, SimTime)>,
    /// Karpenter's nodes by type and capacity type, the most first; kept with the history.
    pub launched: Vec<(String, &'static str, u32)>,
    /// How each Job stands at the end.
    pub jobs: Vec<JobTold>,
    pub unfinished_rollouts: Vec<Unfinished>,
    /// Pods wanted at the end: of Deployments so many replicas, of Jobs their completions.
    pub wanted_at_end: u32,
    /// Deployments with an autoscaler, and the replicas that it has come to.
    pub autoscaled: Vec<(String, u32)>,
}

/// One replication under way.
#[derive(Clone)]
struct Run<'a> {
    prepared: &'a Prepared,
    scenario: &'a Scenario,
    chance: Chance,
    agenda: Agenda<Event>,
    now: SimTime,
    pods: Vec<Pod>,
    nodes: Vec<Node>,
    subnets: Vec<Subnet>,
    watch: Watch,
    first_dry: Vec<Option<SimTime>>,
    replica_sets: Vec<ReplicaSet>,
    /// `None` where no pod template changes.
    rollouts: Option<Box<rollouts::Rollouts>>,
    /// `None` where there are none.
    jobs: Option<Box<jobs::Jobs>>,
    controller_client: ClientBucket,
    pod_events: controllers::PodEvents,
    daemon_client: ClientBucket,
    /// By Deployment.
    autoscalers: Vec<Option<Autoscaler>>,

    queue: SchedulingQueue,
    queueing_hints: bool,
    queue_timer_at: SimTime,
    scheduler_busy: bool,
    scheduler_client: ClientBucket,
    tellings: preemption::Tellings,
    next_start_node: u32,
    /// By Deployment.
    fittings: Vec<Fitting>,
    constraints: Option<Box<Constraints>>,
    /// Of nodes' CPU; `None` where no Deployment says its usage.
    contention: Option<Box<Contention>>,
    /// Of nodes' memory; `None` where no Deployment says what it uses.
    memory: Option<Box<Memory>>,
    /// Of nodes' images; `None` where the scenario has no `[kubelet]`.
    images: Option<Box<Images>>,
    image_news: ImageNews,
    found: Vec<u32>,
    scores: Vec<i64>,

    batcher: Batcher,
    provisioning: karpenter::Loop,
    provisioner: Provisioner,
    disruption: disruption::Disruption,
    /// Was a node ever tainted as disrupted?
    has_disrupted: bool,
    /// Pods marked unschedulable for which no node is planned.
    undecided: PodList,
    /// Claims of the round under way.
    solved: Vec<u32>,
    /// Claims without an instance.
    unlaunched: u32,
    fleet_waiting: Vec<FleetBatch>,
    fleet_opened: SimTime,
    fleet_last: SimTime,
    fleets: Vec<FleetBatch>,
    marks: BTreeMap<launch::Offering, launch::Mark>,
    /// By zone: until when its subnets are left alone.
    dry_zones: Vec<SimTime>,
    /// Of the provisioner's loop, where there are no NodeClaims.
    launches: synchronous::Launches,

    /// By API; of the fleets; of the instances in them.
    buckets: Vec<TokenBucket>,
    fleet_bucket: TokenBucket,
    instance_bucket: TokenBucket,
    /// Of running instances: on-demand, with all that is reserved, and spot.
    vcpus: [u32; 2],
    capacity_pools: BTreeMap<u32, capacity::CapacityPool>,
    /// As EC2 has them.
    reservations: Vec<reservations::Places>,
    /// `None` where no zone has a choice of subnets.
    launch_subnets: Option<Box<launch_subnets::LaunchSubnets>>,
    terminations: termination::Terminations,
    daemon_drains: drain_waves::DaemonDrains,
    /// Pools whose end of plenty is appointed, and whether EC2 takes instances back then.
    watched_pools: BTreeMap<u32, bool>,
    lifecycle: node_lifecycle::Lifecycle,
    karpenter_client: ClientBucket,
    eviction_retries: ClientBucket,
    serial_drains: serial_drain::SerialDrains,
    /// `None`: it answers everybody at once.
    api_server: Option<Box<api_server::ApiServer>>,
    /// Security groups for pods; `None` where aws-node has them off.
    pod_enis: Option<Box<pod_enis::PodEnis>>,

    books: Books,
    ledger: Ledger,
    times: finish::Marks,
    /// What stood in the books at the target, and what pods had waited for until then (ms).
    at_target: Option<(AtTarget, [u64; Cause::COUNT])>,
    stops_when_stuck: bool,
    checks: bool,
    stuck: bool,
    /// At the last look for a run that is stuck.
    progress: finish::Progress,
    /// Changes of the spot market that will happen before the horizon.
    market_events: u32,
    /// Pods that kubelet stops.
    terminating: u32,
    lines: Option<Vec<String>>,
    hash: u64,
    events: u64,
    rounds: u64,
    /// By [`ApiCount::names`].
    api_counts: [ApiCount; ApiCount::APIS],
    enis_created: u64,
    enis_deleted: u64,
    leaks: leaks::Leaks,
    restarts: aws_node::Restarts,
    /// By node: detached ENIs that instance metadata lists, and until when.
    detached: BTreeMap<u32, Vec<(u32, SimTime)>>,
    /// Of other users of the subnets: all lots ever taken, those that will come back, and addresses held, by subnet.
    lots: Vec<others::Lot>,
    lots_to_come_back: u32,
    held_by_others: Vec<u32>,
    /// How long pods that found no address at first waited for one (ms), and pods that have asked for one.
    address_waits_ms: Vec<u64>,
    asked_for_address: u64,
    /// By [`AddressLack`].
    sandbox_failures: [u64; AddressLack::COUNT],
    capacity_errors: u64,
    interruptions: u64,
    rebalance_recommendations: u64,
    nodes_launched: u32,
    /// Of these, into a capacity reservation; and launches that found one full.
    nodes_reserved: u64,
    reservation_errors: u64,
    /// Claims deleted, by [`Reason`].
    nodes_removed: [u64; Reason::ALL.len()],
    pods_evicted: u64,
    preemptions: u64,
    pods_preempted: u64,
    /// Pods that an instance still had when it stopped.
    pods_lost: u64,
    /// From the notice of an interruption until the pod in the place of one that it took was Ready (ms).
    replacements_ms: Vec<u64>,
}

/// Runs one replication until the target's number of pods is Ready, nothing can change any more, or the horizon.
pub fn simulate(prepared: &Prepared, seed: u64, replication: u32) -> ReplicationRecord {
    tell(prepared, seed, replication, Wishes::default()).record
}

/// [`simulate`], with a trace or a history, or its books checked.
///
/// # Panics
/// If the books do not balance, or if a run never ends.
pub fn tell(prepared: &Prepared, seed: u64, replication: u32, wishes: Wishes) -> Told {
    let mut run = Run::begun(prepared, Chance::new(seed, replication), wishes);
    run.run_on();
    let trace = run.lines.take().unwrap_or_default();
    let history = run.ledger.history.take().unwrap_or_default();
    let launched = if wishes.history { run.launched_by_kind() } else { Vec::new() };
    let (jobs, unfinished_rollouts) = (run.jobs_told(), run.unfinished_rollouts());
    let (wanted_at_end, autoscaled) = (run.wanted(), run.autoscaled());
    let record = run.record(replication);
    Told { record, trace, history, launched, jobs, unfinished_rollouts, wanted_at_end, autoscaled }
}

impl<'a> Run<'a> {
    fn new(prepared: &'a Prepared, chance: Chance, wishes: Wishes) -> Self {
        let scenario = &prepared.scenario;
        let bucket = |limit: &crate::scenario::BucketLimit| TokenBucket::new(limit.size, limit.refill_per_s);
        let client = scenario.controller_manager;
        let scheduler = scenario.scheduler.client;
        let era = prepared.era;
        let batcher = Batcher::new(scenario.karpenter.batch_idle, scenario.karpenter.batch_max);
        let phase = SimDuration::from_secs_f64(chance.uniform(Component::SchedulerTie, u32::MAX, 0));
        let zones = scenario.zones.len();
        let fitting = |(place, deployment): (usize, &crate::scenario::DeploymentSpec)| {
            Fitting::new(deployment.requests, zones, prepared.images.of_pods(place).clone())
        };
        Run {
            prepared,
            scenario,
            chance,
            agenda: Agenda::with_capacity(4_096),
            now: SimTime::ZERO,
            pods: Vec::with_capacity(scenario.target_pods as usize),
            // One a pod at most, as a rule.
            nodes: Vec::with_capacity(scenario.target_pods.min(4_096) as usize + 2),
            subnets: scenario
                .subnets
                .iter()
                .map(|spec| {
                    // Blocks matter where prefixes are asked for or reserved.
                    let places = prepared.prefixes || spec.reserved_prefixes > 0;
                    let mut subnet = Subnet::new(spec.prefix_length, places);
                    if spec.reserved_prefixes > 0 {
                        subnet.reserve_for_prefixes(spec.reserved_prefixes);
                    }
                    subnet
                })
                .collect(),
            watch: Watch::default(),
            first_dry: vec![None; scenario.subnets.len()],
            replica_sets: Vec::new(),
            rollouts: rollouts::Rollouts::new(prepared),
            jobs: jobs::Jobs::new(scenario),
            controller_client: ClientBucket::new(client.qps, client.burst),
            pod_events: controllers::PodEvents::default(),
            daemon_client: ClientBucket::new(client.qps, client.burst),
            autoscalers: Vec::new(),
            queue: SchedulingQueue::new(era.queue, phase),
            queueing_hints: era.queueing_hints,
            queue_timer_at: SimTime::NEVER,
            scheduler_busy: false,
            scheduler_client: ClientBucket::new(scheduler.qps, scheduler.burst),
            tellings: preemption::Tellings::default(),
            next_start_node: 0,
            fittings: scenario.deployments.iter().enumerate().map(fitting).collect(),
            constraints: Constraints::new(prepared),
            contention: Contention::new(scenario),
            memory: Memory::new(scenario),
            images: scenario.kubelet.map(Images::new),
            image_news: ImageNews::default(),
            found: Vec::new(),
            scores: Vec::new(),
            batcher: if era.only_new_pods_prolong { batcher } else { batcher.prolonged_by_all() },
            provisioning: karpenter::Loop::new(),
            provisioner: prepared.provisioner.clone(),
            disruption: disruption::Disruption::new(scenario),
            has_disrupted: false,
            undecided: PodList::new(),
            solved: Vec::new(),
            unlaunched: 0,
            fleet_waiting: Vec::new(),
            fleet_opened: SimTime::ZERO,
            fleet_last: SimTime::ZERO,
            fleets: Vec::new(),
            marks: BTreeMap::new(),
            launches: synchronous::Launches::default(),
            dry_zones: vec![SimTime::ZERO; zones],
            buckets: prepared.buckets.iter().map(bucket).collect(),
            fleet_bucket: bucket(&prepared.fleet_bucket),
            instance_bucket: bucket(&scenario.ec2_limits.instances),
            vcpus: [reservations::vcpus(scenario), 0],
            capacity_pools: BTreeMap::new(),
            reservations: reservations::at_start(scenario),
            launch_subnets: launch_subnets::LaunchSubnets::new(scenario),
            terminations: termination::Terminations::new(bucket(&prepared.terminate_bucket)),
            daemon_drains: drain_waves::DaemonDrains::default(),
            watched_pools: BTreeMap::new(),
            lifecycle: node_lifecycle::Lifecycle::new(
                ClientBucket::new(client.qps, client.burst),
                chance.uniform(Component::NodeLifecycle, u32::MAX, 0),
            ),
            karpenter_client: ClientBucket::new(KARPENTER_CLIENT.0, KARPENTER_CLIENT.1),
            eviction_retries: ClientBucket::new(EVICTION_RETRIES.0, EVICTION_RETRIES.1),
            serial_drains: serial_drain::SerialDrains::new(),
            api_server: scenario.api_server.as_ref().map(api_server::ApiServer::new),
            pod_enis: pod_enis::PodEnis::new(prepared),
            books: Books::new(scenario.horizon),
            ledger: Ledger::new(wishes.history),
            times: finish::Marks::default(),
            at_target: None,
            // What comes after the target matters even if the target cannot be reached.
            stops_when_stuck: wishes.stop_when_stuck && scenario.until == Until::Target,
            checks: wishes.check,
            stuck: false,
            progress: finish::Progress::default(),
            market_events: 0,
            terminating: 0,
            lines: wishes.trace.then(Vec::new),
            hash: 0,
            events: 0,
            rounds: 0,
            api_counts: [ApiCount::default(); ApiCount::APIS],
            enis_created: 0,
            enis_deleted: 0,
            leaks: leaks::Leaks::new(),
            restarts: aws_node::Restarts::default(),
            detached: BTreeMap::new(),
            lots: Vec::new(),
            lots_to_come_back: 0,
            held_by_others: scenario.subnets.iter().map(crate::scenario::SubnetSpec::used_at_start).collect(),
            address_waits_ms: Vec::new(),
            asked_for_address: 0,
            sandbox_failures: [0; AddressLack::COUNT],
            capacity_errors: 0,
            interruptions: 0,
            rebalance_recommendations: 0,
            nodes_launched: 0,
            nodes_reserved: 0,
            reservation_errors: 0,
            nodes_removed: [0; Reason::ALL.len()],
            pods_evicted: 0,
            preemptions: 0,
            pods_preempted: 0,
            pods_lost: 0,
            replacements_ms: Vec::new(),
        }
    }

    fn at(&mut self, at: SimTime, event: Event) -> Scheduled {
        self.agenda.at(at, 0, event)
    }
    fn draw(&self, latency: Latency, component: Component, entity: u32, draw: u32) -> SimDuration {
        SimDuration::from_secs_f64(self.factor(latency, component, entity, draw))
    }
    fn factor(&self, latency: Latency, component: Component, entity: u32, draw: u32) -> f64 {
        self.prepared.samplers[latency as usize].draw(|| self.chance.uniform(component, entity, draw))
    }

    /// A run at its first instant.
    fn begun(prepared: &'a Prepared, chance: Chance, wishes: Wishes) -> Self {
        let mut run = Run::new(prepared, chance, wishes);
        run.start();
        run
    }

    /// Goes on to the run's end, or until the addresses of a subnet that is watched are low; is it at its end?
    fn run_on(&mut self) -> bool {
        let horizon = SimTime::ZERO + self.scenario.horizon;
        while !self.ends_at_target() && !self.stuck {
            if self.watch.low {
                return false;
            }
            let Some((at, event)) = self.agenda.pop() else { break };
            if at > horizon {
                break;
            }
            if at > self.books.next_point {
                self.books.pass_points(at);
            }
            self.now = at;
            self.events += 1;
            assert!(self.events < MOST_EVENTS, "more than {MOST_EVENTS} events by {at}: {:?}", self.chance);
            self.hash_event(&event);
            self.trace_event(&event);
            self.handle(event);
            self.refresh_moved();
            if self.checks {
                self.check_books();
            }
        }
        if !self.ends_at_target() {
            // Of a run that is stuck nothing more is told until the horizon: what it holds then, it holds now.
            self.now = horizon;
        }
        true
    }

    fn start(&mut self) {
        for (index, spec) in self.scenario.subnets.iter().enumerate() {
            let others = spec.used_at_start();
            let (chance, mut count) = (self.chance, 0);
            let mut below = |bound| {
                count += 1;
                chance.below(Component::SubnetStart, index as u32, count, bound)
            };
            let taken = self.subnets[index].take_singles(others, &mut Vec::new(), &mut below);
            taken.expect("a checked scenario's subnets hold what is in them at the start");
            self.books.free += u64::from(self.subnets[index].free());
        }
        self.start_static_nodes();
        self.schedule_deployments();
        self.schedule_rollouts();
        self.schedule_jobs();
        self.schedule_others();
        self.schedule_restarts();
        self.start_reservations();
        self.start_launch_subnets();
        self.start_autoscalers();
        self.start_disruption();
        self.await_progress();
        self.start_api_server();
    }
}
