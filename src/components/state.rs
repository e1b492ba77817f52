//! What a run knows of each pod, node and Deployment. A dead one keeps its slot.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::image_status::ImageStatus;
use super::images::FailedPull;
use crate::actors::client_limit::ClientBucket;
use crate::actors::crash_loop::CrashLoop;
use crate::actors::ipamd::{Ipamd, PodAddress};
use crate::actors::karpenter::launch::ClaimSpec;
use crate::actors::karpenter::offers::CapacityType;
use crate::actors::taints::Taint;
use crate::catalogue::TypeId;
use crate::engine::Scheduled;
use crate::units::{Resources, SimDuration, SimTime};
use crate::world::cause::Cause;

/// A node's pods: few as a rule, which then need no memory of their own.
pub(super) type PodList = SmallVec<[u32; 4]>;

/// No node, no claim.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum PodStage {
    /// Wanted, not created.
    Wanted,
    /// In kube-scheduler's hands.
    Pending,
    /// kube-scheduler chose a node; the Binding is on its way.
    Assumed,
    /// kubelet's.
    Bound,
    Running,
    Ready,
    /// Deleted; kubelet stops it.
    Terminating,
    Gone,
}

/// What kube-scheduler and Karpenter look at, again and again and in all pods, stands first, in one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Pod {
    pub stage: PodStage,
    /// What it waits for; `None` once Ready or gone.
    pub cause: Option<Cause>,
    /// Why Karpenter's last round left it out.
    pub refused: Option<Cause>,
    /// Marked unschedulable, hence one of Karpenter's.
    pub provisionable: bool,
    pub rejected_by_fit: bool,
    pub rejected_by_taints: bool,
    pub rejected_by_labels: bool,
    pub rejected_by_spread: bool,
    pub rejected_by_pod_affinity: bool,
    pub rejected_by_ports: bool,
    pub rejected_by_volumes: bool,
    pub rejected_by_volume_limit: bool,
    pub deployment: u32,
    /// Where it is assumed or bound.
    pub node: u32,
    /// The claim or node for which Karpenter counts it.
    pub nominated: u32,
    /// The node on which others are told to go for it.
    pub promised: u32,
    /// The message of its last condition, as [`super::fitting::message`] codes it; 0: none written.
    pub message: u64,
    pub assumed_at: SimTime,
    /// How long a patch of its condition takes, once drawn.
    pub patch_takes: Option<SimDuration>,
    /// It was told to go for another.
    pub preempted: bool,
    /// The container that is to start or has started last, its own after those before.
    pub container: u8,
    /// kubelet evicts it, or it has ended of itself, which its controller will see.
    pub failed: bool,
    /// A Job's pod, of which the API is to hear that it has succeeded.
    pub succeeds: bool,
    pub sandbox_tries: u32,
    pub address: Option<PodAddress>,
    /// When it first failed for want of an address.
    pub lacks_since: SimTime,
    pub created_at: SimTime,
    pub ready_at: SimTime,
    /// When kubelet first saw to it.
    pub synced_at: SimTime,
    pub failed_pull: Option<FailedPull>,
    pub pull_looks: u32,
    /// Evictions asked for.
    pub evictions: u32,
    /// How often its own container has started, and the start of which kubelet has told last.
    pub starts: u32,
    pub told_start: u32,
    /// Of a container that has died.
    pub crashed: Option<Box<Crashed>>,
    /// When the interruption was noticed that took the pod in whose place it came; never, if none did.
    pub replaces_since: SimTime,
}

/// A pod's container that died.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crashed {
    /// Until it is started again.
    pub dead: bool,
    /// kubelet kills it, and it is not gone yet.
    pub stopping: bool,
    pub died: SimTime,
    pub back_off: CrashLoop,
    /// Of kubelet, at it dead; and its deaths.
    pub looks: u32,
}

impl Pod {
    pub fn new(deployment: u32) -> Pod {
        Pod {
            deployment,
            stage: PodStage::Wanted,
            cause: None,
            node: NONE,
            nominated: NONE,
            promised: NONE,
            preempted: false,
            assumed_at: SimTime::NEVER,
            patch_takes: None,
            refused: None,
            message: 0,
            rejected_by_fit: false,
            rejected_by_taints: false,
            rejected_by_labels: false,
            rejected_by_spread: false,
            rejected_by_pod_affinity: false,
            rejected_by_ports: false,
            rejected_by_volumes: false,
            rejected_by_volume_limit: false,
            provisionable: false,
            address: None,
            sandbox_tries: 0,
            lacks_since: SimTime::NEVER,
            created_at: SimTime::NEVER,
            ready_at: SimTime::NEVER,
            evictions: 0,
            synced_at: SimTime::NEVER,
            container: 0,
            failed_pull: None,
            pull_looks: 0,
            starts: 0,
            told_start: 0,
            crashed: None,
            failed: false,
            succeeds: false,
            replaces_since: SimTime::NEVER,
        }
    }
    /// Is it there, and has nobody deleted it? Those that are wanted and not created are not.
    pub fn is_active(&self) -> bool {
        self.stage > PodStage::Wanted && self.stage < PodStage::Terminating
    }
}

/// How far a node has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum NodeStage {
    /// A NodeClaim without an instance.
    Claim,
    /// The instance boots.
    Booting,
    /// kubelet runs; there is no Node object yet.
    Joining,
    Registered,
    CniReady,
    /// Ready; taints may still keep pods off.
    Ready,
    Gone,
}

/// How an ENI hangs on its node's instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Tie {
    /// Not at all: it is about to be attached or deleted, or has leaked.
    None,
    /// Attached, and left behind when the instance goes.
    Attached,
    /// It goes with the instance (DeleteOnTermination).
    #[default]
    Bound,
}

/// An ENI's addresses, for when they go back.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub eni: u32,
    pub tie: Tie,
    /// When ipamd made it, and when instance metadata lists it.
    pub made: SimTime,
    pub shows_at: SimTime,
    /// Somebody else's, which ipamd leaves alone.
    pub unmanaged: bool,
    /// Where its addresses come from, as a place in the scenario's subnets.
    pub subnet: usize,
    /// CIDRs other than the primary address.
    pub count: u32,
    /// Which they are, where the subnet places its addresses: (ipamd's number, offset).
    pub placed: Vec<(u32, u32)>,
    /// The primary address's offset, where it is placed.
    pub primary: Option<u32>,
}

impl Held {
    /// CIDRs leave it; their offsets, where they are placed.
    pub fn part_from(&mut self, gone: &[u32]) -> Vec<u32> {
        self.count -= gone.len() as u32;
        let (back, kept) = self.placed.drain(..).partition::<Vec<_>, _>(|(cidr, _)| gone.contains(cidr));
        self.placed = kept;
        back.into_iter().map(|(_, offset)| offset).collect()
    }
}

/// A node whose claim is deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    /// Its drain's begin.
    pub since: SimTime,
    /// Drained: TerminateInstances is called.
    pub terminates: bool,
}

/// What each step of ipamd, of kube-scheduler and of Karpenter's rounds looks at stands first, in the fewest cache lines:
/// with a thousand nodes no other is near.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Node {
    pub stage: NodeStage,
    /// `karpenter.sh/disrupted`: on its way out.
    pub disrupted: bool,
    /// `node.kubernetes.io/memory-pressure:NoSchedule`
    pub memory_pressure: bool,
    /// `node.kubernetes.io/unschedulable`: cordoned by somebody.
    pub cordoned: bool,
    pub critical_addons_only: bool,
    /// `karpenter.sh/unregistered`
    pub unregistered: bool,
    /// `node.kubernetes.io/not-ready:NoSchedule`
    pub not_ready: bool,
    /// Could pods of Deployments come to it already?
    pub was_usable: bool,
    pub spot: bool,
    pub throttled: bool,
    /// What pods without an address wait for.
    pub address_cause: Cause,
    /// Is a call of ipamd waiting out a throttle?
    pub ipamd_throttled: bool,
    /// Has its process ended, and does the next one not serve yet?
    pub ipamd_down: bool,
    /// Has Karpenter not heard of it yet?
    pub unknown: bool,
    /// May instance metadata list what ipamd's store has not, or lack what it has?
    pub metadata_differs: bool,
    /// How many processes of ipamd have ended: which one an event is of.
    pub process: u8,
    /// From the launch on.
    pub instance_type: TypeId,
    pub draws: u32,
    pub ipamd: Option<Box<Ipamd>>,
    /// Pods whose sandbox found no address.
    pub without_address: PodList,
    /// Its next appointment.
    pub wakes_at: SimTime,
    /// The step after which ipamd idles.
    pub idle_since: Option<SimTime>,
    pub wakes: Option<Scheduled>,
    /// Requests of the pods on it, its DaemonSets' included; of a claim, what was planned for it.
    pub requested: Resources,
    pub allocatable: Resources,
    pub planned: Resources,
    /// Its pool's startup taints that nobody has taken off yet.
    pub startup_taints: Vec<Taint>,
    /// Pods that wait and for which Karpenter counts it.
    pub nominated: PodList,
    /// Pods assumed or bound, those that are told to go included.
    pub pods: PodList,
    /// Its NodePool; [`NONE`] for those that were there at the start.
    pub pool: u32,
    /// What the claim names.
    pub claim: Option<Arc<ClaimSpec>>,
    /// From the launch on: its place among what is offered, for a pool's node.
    pub offered: u32,
    /// Its capacity reservation; [`NONE`] if it was bought on the market.
    pub reservation: u32,
    pub zone: u32,
    /// Of its primary interface, as a place in the scenario's subnets.
    pub subnet: usize,
    pub price_micro_usd: u64,
    pub planned_pods: u32,
    pub launched: SimTime,
    /// Launches tried.
    pub launches: u32,
    pub unregistered_gone_at: SimTime,
    pub lifecycle_read_at: SimTime,
    /// Patches of its taint that were refused.
    pub lifecycle_refusals: u32,
    /// When its kubelet started; of those that were there, long ago.
    pub joined_at: Option<SimTime>,
    /// Since when pods of Deployments could come to it.
    pub usable_at: SimTime,
    pub leaving: Option<Leaving>,
    /// Of the claim; never, as long as the round that makes it goes on.
    pub created_at: SimTime,
    /// When Karpenter takes it for initialized, the last that it noted of its pods, and until when it is left alone: kept
    /// where some pool wants disruption.
    pub initialized_at: SimTime,
    pub last_pod_event: Option<SimTime>,
    pub nominated_until: SimTime,
    /// Of its spot interruption; never, if there was none.
    pub noticed_at: SimTime,
    pub rebalance_recommended: bool,
    /// EC2 shuts the instance down, which costs nothing any more.
    pub stopped: bool,
    /// Throttled calls of TerminateInstances that it came first in.
    pub terminate_throttles: u32,
    /// Pods for which others on it are told to go.
    pub promised: PodList,
    /// From the launch on.
    pub kubelet_client: ClientBucket,
    pub held: Vec<Held>,
    pub next_eni: u32,
    pub next_cidr: u32,
    /// Of the cleaner of leaked ENIs.
    pub cleaner_draws: u32,
    /// kubelet pulls one image after the other.
    pub pulls_until: SimTime,
    /// (Deployment, when its image is on the node)
    pub images: SmallVec<[(u32, SimTime); 1]>,
    pub image_status: ImageStatus,
}

impl Node {
    pub fn claim(pool: u32) -> Node {
        Node {
            stage: NodeStage::Claim,
            pool,
            claim: None,
            instance_type: TypeId(0),
            offered: 0,
            spot: false,
            reservation: NONE,
            zone: 0,
            subnet: 0,
            price_micro_usd: 0,
            allocatable: Resources::ZERO,
            requested: Resources::ZERO,
            planned: Resources::ZERO,
            planned_pods: 0,
            launched: SimTime::NEVER,
            launches: 0,
            throttled: false,
            unregistered: true,
            unregistered_gone_at: SimTime::NEVER,
            not_ready: true,
            lifecycle_read_at: SimTime::NEVER,
            lifecycle_refusals: 0,
            startup_taints: Vec::new(),
            critical_addons_only: false,
            cordoned: false,
            was_usable: false,
            joined_at: None,
            memory_pressure: false,
            usable_at: SimTime::NEVER,
            disrupted: false,
            leaving: None,
            created_at: SimTime::ZERO,
            initialized_at: SimTime::NEVER,
            last_pod_event: None,
            nominated_until: SimTime::ZERO,
            noticed_at: SimTime::NEVER,
            rebalance_recommended: false,
            stopped: false,
            terminate_throttles: 0,
            nominated: PodList::new(),
            promised: PodList::new(),
            pods: PodList::new(),
            without_address: PodList::new(),
            address_cause: Cause::AddressWarmPool,
            ipamd: None,
            idle_since: None,
            wakes: None,
            wakes_at: SimTime::NEVER,
            ipamd_throttled: false,
            ipamd_down: false,
            unknown: false,
            metadata_differs: false,
            kubelet_client: ClientBucket::new(50, 100),
            held: Vec::new(),
            next_eni: 1,
            next_cidr: 0,
            cleaner_draws: 0,
            draws: 0,
            process: 0,
            pulls_until: SimTime::ZERO,
            images: SmallVec::new(),
            image_status: ImageStatus::default(),
        }
    }

    /// Was it there at the start?
    pub fn is_static(&self) -> bool {
        self.pool == NONE
    }
    /// How its instance was bought.
    pub fn capacity_type(&self) -> CapacityType {
        match self.spot {
            true => CapacityType::Spot,
            false if self.reservation != NONE => CapacityType::Reserved,
            false => CapacityType::OnDemand,
        }
    }
    /// Has it an instance?
    pub fn lives(&self) -> bool {
        self.stage > NodeStage::Claim && self.stage < NodeStage::Gone
    }
    /// Is there a Node object?
    pub fn is_registered(&self) -> bool {
        self.stage >= NodeStage::Registered && self.stage < NodeStage::Gone
    }
    /// Does a taint keep pods of Deployments off that tolerate none?
    pub fn is_tainted(&self) -> bool {
        self.unregistered
            || self.not_ready
            || self.critical_addons_only
            || self.cordoned
            || self.disrupted
            || self.memory_pressure
            || self.is_starting()
    }
    /// Are the taints that it has there to stay?
    pub fn is_settled(&self) -> bool {
        self.stage == NodeStage::Ready
            && !(self.unregistered || self.not_ready || self.memory_pressure)
            && self.startup_taints.is_empty()
    }
    /// Does a startup taint keep pods off?
    fn is_starting(&self) -> bool {
        self.startup_taints.iter().any(|taint| taint.effect.keeps_off())
    }

    /// What keeps the pods planned for it waiting: the first step it has not made; `None` once pods may come.
    pub fn unmet_step(&self) -> Option<Cause> {
        match self.stage {
            NodeStage::Claim if self.created_at == SimTime::NEVER => Some(Cause::Solve),
            NodeStage::Claim if self.throttled => Some(Cause::LaunchThrottled),
            NodeStage::Claim => Some(Cause::CreateFleet),
            NodeStage::Booting => Some(Cause::Boot),
            NodeStage::Joining => Some(Cause::Registration),
            _ if self.unregistered => Some(Cause::Registration),
            NodeStage::Registered => Some(Cause::CniStart),
            NodeStage::CniReady => Some(Cause::NodeReady),
            NodeStage::Ready if self.not_ready || self.is_starting() => Some(Cause::TaintRemoval),
            _ => None,
        }
    }
}

/// The ReplicaSet of a Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplicaSet {
    pub wanted: u32,
    /// Pods that are not deleted, those still to be created included.
    pub active: u32,
    /// Pods that were lost with their instance, which it takes for active still.
    pub unnoticed: u32,
    /// Pods wanted and not asked for yet.
    pub unmade: VecDeque<u32>,
    pub syncing: bool,
    /// Left of this sync's 500.
    pub left: u32,
    pub batch: u32,
    /// SuccessfulCreate events still to be written.
    pub events_left: u32,
    pub draws: u32,
    /// The Deployment as which it draws: the first of those that were scaled at one instant.
    pub draws_as: u32,
}

impl ReplicaSet {
    /// Pods that it has too few.
    pub fn lacks(&self) -> u32 {
        self.wanted.saturating_sub(self.active + self.unnoticed)
    }
}
