//! One replication's result: integers, so that sums do not depend on their order.

use crate::actors::ipamd::Api;
use crate::actors::karpenter::disruption::Reason;
use crate::actors::vpc_resource_controller as controller;
use crate::world::cause::{AddressLack, Cause};

/// Who makes trunk and branch interfaces.
const RESOURCE_CONTROLLER: &str = "vpc-resource-controller";

/// Points of the timeline's grid: the horizon in 180 equal steps, both ends included.
pub const TIMELINE_POINTS: usize = 181;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The target's number of pods became Ready.
    Reached,
    /// Nothing that is pending can still free an address, capacity or quota.
    Stuck,
    /// The horizon came first.
    Horizon,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Reached => "reached",
            Outcome::Stuck => "stuck",
            Outcome::Horizon => "horizon",
        }
    }
}

/// One replication of one cell.
#[derive(Clone, PartialEq, Debug)]
pub struct ReplicationRecord {
    pub replication: u32,
    pub outcome: Outcome,
    /// The cause most unready pods wait for at the end, unless reached; `None` if reached.
    pub reason: Option<Cause>,
    /// The N-th pod Ready (ms), as the target counts them; `None` unless reached.
    pub time_to_target_ms: Option<u64>,
    /// The N-th pod Running (ms).
    pub time_to_target_running_ms: Option<u64>,
    /// 50, 90 and 99 % of N Ready (ms).
    pub time_to_50pct_ms: Option<u64>,
    pub time_to_90pct_ms: Option<u64>,
    pub time_to_99pct_ms: Option<u64>,
    /// min(T, H): the time to target or the horizon (ms).
    pub observed_ms: u64,
    /// Where the run ended: at the target or at the horizon (ms).
    pub ended_ms: u64,
    pub pods_ready_at_end: u32,
    /// Karpenter's nodes alive at the end of observation, the static ones not counted.
    pub nodes: u32,
    pub nodes_launched: u32,
    pub books: AddressBooks,
    /// By `SubnetId`.
    pub subnets: Vec<SubnetRecord>,
    /// (instance type's name, launched by Karpenter), by name.
    pub nodes_by_type: Vec<(String, u32)>,
    /// Karpenter's nodes from launch to min(T, H) (micro-USD).
    pub cost_to_target_micro_usd: u64,
    /// The same until the horizon, those alive at the end counted until then (micro-USD).
    pub cost_to_horizon_micro_usd: u64,
    /// Karpenter's nodes alive at the end, for an hour (micro-USD).
    pub cost_per_hour_micro_usd: u64,
    /// By [`ApiCount::names`].
    pub api_counts: [ApiCount; ApiCount::APIS],
    pub enis_created: u64,
    pub enis_deleted: u64,
    /// ENIs at the end that hang on no instance and that no ipamd is about to attach or to delete.
    pub enis_leaked: u64,
    /// Leaked ENIs that cleaners have deleted.
    pub enis_cleaned: u64,
    /// For pods with security groups; `None` where aws-node has them off.
    pub branch_enis: Option<BranchEniRecord>,
    pub waste_at_end: WasteSplit,
    /// 95th percentile of the time pods waited for an address (ms); `None`: no pod asked for one.
    pub address_wait_p95_ms: Option<u64>,
    /// Sandboxes that failed for want of an address.
    pub sandbox_failures: u64,
    /// The same by [`AddressLack`].
    pub sandbox_failures_by_lack: [u64; AddressLack::COUNT],
    pub capacity_errors: u64,
    /// `None` where the API server answers everybody at once.
    pub api_server: Option<ApiServerRecord>,
    pub interruptions: u64,
    pub rebalance_recommendations: u64,
    pub claims: ClaimRecord,
    /// Claims deleted, by [`Reason`].
    pub nodes_removed: [u64; Reason::ALL.len()],
    /// Pods that drains evicted.
    pub pods_evicted: u64,
    /// How often kube-scheduler made room on a node for a pod of higher priority, and the pods that it sent away for it;
    /// `None` where all have one priority.
    pub preemptions: Option<u64>,
    pub pods_preempted: Option<u64>,
    /// Pods that an instance still had when it stopped.
    pub pods_lost: u64,
    /// 95th percentile over interrupted pods of the time from the notice until the pod in its place was Ready (ms).
    pub replacement_p95_ms: Option<u64>,
    pub scheduling_rounds: u64,
    /// Pod-milliseconds waited until min(T, H), by [`Cause`].
    pub cause_pod_ms: [u64; Cause::COUNT],
    /// Where a Deployment says its usage.
    pub cpu: Option<CpuRecord>,
    /// Where the scenario has `[kubelet]`, or a Deployment what needs it.
    pub kubelet: Option<KubeletRecord>,
    /// Where a Deployment says its memory usage.
    pub memory: Option<MemoryRecord>,
    /// Where the scenario has Jobs.
    pub jobs: Option<JobRecord>,
    /// The longest change of a pod template, where some change and all are done (ms).
    pub rollout_ms: Option<u64>,
    /// Where the scenario has capacity reservations.
    pub reserved: Option<ReservedRecord>,
    /// Events handled.
    pub events: u64,
    /// Hash of every event in order.
    pub trace_hash: u64,
    /// At most [`TIMELINE_POINTS`] equally spaced instants from 0 to the horizon; where a run ended
    /// before, its last state stands for the rest.
    pub timeline: Vec<TimelinePoint>,
}

impl ReplicationRecord {
    /// The record of the same run in subnets that each have so many addresses more, which it had no need of.
    pub fn in_larger_subnets(&self, more: &[u32]) -> ReplicationRecord {
        let mut record = self.clone();
        for (subnet, more) in record.subnets.iter_mut().zip(more) {
            subnet.least_free += more;
            subnet.free_at_end += more;
        }
        let all: u32 = more.iter().sum();
        record.timeline.iter_mut().for_each(|point| point.addresses_free += all);
        record
    }
}

/// Addresses over the whole cluster. Waste = attached - assigned to pods - one primary per node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressBooks {
    /// At the target, empty unless reached.
    pub attached_at_target: Option<u64>,
    pub assigned_at_target: Option<u64>,
    pub waste_at_target: Option<u64>,
    pub waste_peak: u64,
    pub attached_peak: u64,
    pub attached_at_end: u64,
    /// Wasted address-milliseconds over [0, min(T, H)].
    pub waste_address_ms: u64,
    /// The same over [0, H], so that cells compare.
    pub waste_address_ms_to_horizon: u64,
    /// Attached address-milliseconds over [0, min(T, H)] and over [0, H].
    pub attached_address_ms: u64,
    pub attached_address_ms_to_horizon: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubnetRecord {
    /// First instant at which a call was refused for want of addresses (ms).
    pub first_dry_ms: Option<u64>,
    /// Least free addresses over the run.
    pub least_free: u32,
    pub free_at_end: u32,
    /// Wholly free /28 blocks; `None` where addresses are only counted.
    pub free_blocks_at_end: Option<u32>,
    /// The least of them over the run.
    pub least_free_blocks: Option<u32>,
}

/// Calls of one API of EC2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ApiCount {
    /// Retries included.
    pub calls: u64,
    /// Of these, refused for the account's request limits.
    pub throttled: u64,
    /// Of these, refused for want of addresses, capacity or quota.
    pub refused: u64,
}

impl ApiCount {
    pub const APIS: usize = Api::ALL.len() + 3 + controller::Api::ALL.len();
    /// CreateFleet's place.
    pub const CREATE_FLEET: usize = Api::ALL.len();
    /// TerminateInstances' place.
    pub const TERMINATE_INSTANCES: usize = ApiCount::APIS - 2;
    /// The last: DescribeInstances of Karpenter, where each instance is described by itself.
    pub const DESCRIBE_INSTANCES: usize = ApiCount::APIS - 1;

    /// (API, who calls it), by place.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        let ipamd = Api::ALL.iter().map(|api| (api.name(), "ipamd"));
        let controller = controller::Api::ALL.iter().map(|api| (api.name(), RESOURCE_CONTROLLER));
        let last = [("TerminateInstances", "karpenter"), ("DescribeInstances", "karpenter")];
        ipamd.chain([("CreateFleet", "karpenter")]).chain(controller).chain(last)
    }
    /// Has a cell in which nobody called it no row of it? So of what scenarios rarely come to.
    pub fn is_rare(api: &str, caller: &str) -> bool {
        caller == RESOURCE_CONTROLLER || (caller == "karpenter" && api != "CreateFleet")
    }
    /// The place of a call of the VPC resource controller.
    pub fn of_resource_controller(api: controller::Api) -> usize {
        ApiCount::CREATE_FLEET + 1 + api as usize
    }
}

/// Branch interfaces of pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BranchEniRecord {
    pub created: u64,
    pub deleted: u64,
}

/// The API server's requests until min(T, H).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ApiServerRecord {
    /// Of the scale-out itself.
    pub requests: u64,
    /// Of these, served after a wait for seats.
    pub waited: u64,
    /// Refusals of these, for a full queue or too long a wait; each was sent again.
    pub refused: u64,
    /// From arrival until they had seats, summed up over them (ns).
    pub wait_ns: u64,
    /// So long a level that they go to had no seat free, of these levels the one for which that was longest (ms).
    pub bound_ms: u64,
    /// Of agents.
    pub lists: u64,
    pub lists_waited: u64,
    /// So long the lists' level had no seat free (ms).
    pub lists_bound_ms: u64,
}

/// Karpenter's claims over the run, and its nodes at the end, those on their way out not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClaimRecord {
    /// Means over the claims that came so far (ms): in the API until the instance is launched, from there until
    /// Karpenter has it as registered, and from there until pods may come. `None`: none did.
    pub launch_ms: Option<u64>,
    pub registration_ms: Option<u64>,
    pub usable_ms: Option<u64>,
    /// CPU in millicores; requests are those of pods, DaemonSets' included.
    pub allocatable_cpu_m: u64,
    pub requested_cpu_m: u64,
    pub allocatable_memory_mib: u64,
    pub requested_memory_mib: u64,
    /// Free on nodes on which no pod of any Deployment fits any more.
    pub stranded_cpu_m: u64,
    pub stranded_memory_mib: u64,
}

/// What waste is made of (addresses).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WasteSplit {
    /// Free for pods: single addresses, or those of prefixes that no pod uses; and what ENIs bring that are on their way.
    pub warm: u64,
    /// Released, and not to be had for half a minute.
    pub cooling: u64,
    /// Primary addresses of ENIs beyond a node's first.
    pub eni_primaries: u64,
    /// Free addresses of prefixes that are in use.
    pub prefix_remainder: u64,
    /// Of ENIs that have leaked.
    pub leaked: u64,
}

/// CPU that pods wanted and got, over all pods of Deployments that say their usage, while their containers ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuRecord {
    /// Pod-milliseconds in all; of these, with less than was wanted; and of these, held back by the pod's own limit.
    pub pod_ms: u64,
    pub short_ms: u64,
    pub throttled_ms: u64,
    /// CPU-milliseconds.
    pub wanted_cpu_ms: u64,
    pub missing_cpu_ms: u64,
    /// Pod-milliseconds of start-ups that are work, and what the work done would have taken with all the CPU wanted.
    pub starting_ms: u64,
    pub starting_alone_ms: u64,
}

/// What kubelets refused and gave up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KubeletRecord {
    /// Image pulls without a token of the registry's limit.
    pub pulls_refused: u64,
    /// Containers killed because their start-up probe did not pass in time.
    pub startups_failed: u64,
}

/// What came of memory that ran short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryRecord {
    /// Pods that kubelet evicted.
    pub evictions: u64,
    /// Containers killed, at their own limit or because the node's memory was used up.
    pub oom_kills: u64,
    /// How often a node came under memory pressure.
    pub pressures: u64,
}

/// What came of Jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JobRecord {
    /// The longest from a Job's creation until it was complete (ms), if all were.
    pub longest_ms: Option<u64>,
    /// Pods that Jobs count as succeeded, and pods of theirs that failed, deleted ones included.
    pub succeeded: u64,
    pub failed: u64,
}

/// Launches into capacity reservations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReservedRecord {
    /// Nodes that were launched into one.
    pub nodes: u64,
    /// Launches that found it full.
    pub full: u64,
    /// What places cost that nobody used, to min(T, H) and to the horizon (micro-USD).
    pub unused_to_target_micro_usd: u64,
    pub unused_to_horizon_micro_usd: u64,
}

/// The cluster at one instant of the grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TimelinePoint {
    pub pods_pending: u32,
    pub pods_running: u32,
    pub pods_ready: u32,
    pub nodes: u32,
    pub addresses_attached: u32,
    pub addresses_assigned: u32,
    /// Free in all subnets.
    pub addresses_free: u32,
    /// Of all instances (US cents).
    pub cents_per_hour: u32,
}
