//! A scenario that is valid, typed and resolved: all a run needs beside seed and replication.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api_server::ApiServerSpec;
use super::containers::{InitContainer, Layer};
use super::jobs::JobSpec;
use super::kubelet::KubeletSpec;
use super::memory_usage::MemoryUsageSpec;
use super::placement::{Placement, StartupTaint};
use super::rollouts::Rollouts;
use super::usage::UsageSpec;
use crate::actors::ebs_csi::EbsCsiSettings;
use crate::actors::int_or_percent::IntOrPercent;
pub use crate::actors::karpenter::Operator;
use crate::actors::karpenter::labels::CAPACITY_TYPE;
use crate::actors::kube_scheduler::score::Strategy;
use crate::actors::probe::Probe;
use crate::actors::taints::{Effect, Taint, first_untolerated, tolerated};
use crate::catalogue::{Catalogue, LatencyModels, TypeId};
use crate::units::{ExtendedResource, Resources, SimDuration, SimTime};

/// Which versions of the programs are simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// VPC CNI 1.23, Karpenter 1.14, Kubernetes 1.34.
    #[default]
    Current,
    /// VPC CNI 1.12, Karpenter 0.19, Kubernetes 1.23.
    Nov2022,
}

impl Profile {
    /// As written in scenarios.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Current => "current",
            Profile::Nov2022 => "2022-11",
        }
    }
}

/// What ends a run before its horizon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Until {
    /// The target's number of pods Ready.
    #[default]
    Target,
    /// Nothing: what comes after the target is looked at too, such as a scale-in.
    Horizon,
}

/// A scale-out: the cluster, the workload, and what is asked of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    pub name: String,
    pub profile: Profile,
    /// A run ends here at the latest.
    pub horizon: SimDuration,
    /// N of time-to-N: so many pods Ready.
    pub target_pods: u32,
    pub until: Until,
    /// Availability zones by name (`us-east-1a`), in order.
    pub zones: Vec<String>,
    /// `CLUSTER_NAME` of aws-node.
    pub cluster_name: Option<String>,
    pub subnets: Vec<SubnetSpec>,
    pub deployments: Vec<DeploymentSpec>,
    /// Jobs, as the templates of their pods.
    pub jobs: Vec<DeploymentSpec>,
    pub daemonsets: Vec<DaemonSetSpec>,
    pub static_nodes: Vec<StaticNodes>,
    pub node_pools: Vec<NodePoolSpec>,
    pub karpenter: KarpenterSettings,
    pub scheduler: SchedulerSettings,
    pub controller_manager: ClientLimit,
    /// `None`: it answers everybody at once.
    pub api_server: Option<ApiServerSpec>,
    /// `None`: images one after the other and without limits, probes' periods from the container's start on.
    pub kubelet: Option<KubeletSpec>,
    pub ebs_csi_driver: EbsCsiSettings,
    pub cni: CniSpec,
    pub quotas: Quotas,
    pub market: Market,
    pub pool_depth: super::PoolDepth,
    pub capacity_reservations: Vec<super::CapacityReservationSpec>,
    pub zone_tie: ZoneTie,
    pub ec2_limits: Ec2Limits,
    pub overhead: NodeOverhead,
    /// With the scenario's own overrides.
    pub latencies: LatencyModels,
    pub catalogue: Arc<Catalogue>,
}

impl Scenario {
    /// Are they the same but for the prefix lengths of their subnets?
    pub fn differs_in_subnet_sizes_only(&self, other: &Scenario) -> bool {
        let mut sized = other.clone();
        for (subnet, own) in sized.subnets.iter_mut().zip(&self.subnets) {
            subnet.prefix_length = own.prefix_length;
        }
        *self == sized
    }
    /// Do Deployments differ in priority?
    pub fn has_priorities(&self) -> bool {
        self.deployments.windows(2).any(|pair| pair[0].priority != pair[1].priority)
    }
    /// May Karpenter ever take an instance away: interrupted spot, expired, drifted or disrupted nodes?
    pub fn may_terminate(&self) -> bool {
        let allows_spot = |pool: &NodePoolSpec| {
            let mut of_kind = pool.requirements.iter().filter(|entry| entry.key == CAPACITY_TYPE);
            of_kind.all(|entry| {
                entry.operator != Operator::In || entry.values.iter().any(|value| value == "spot")
            })
        };
        self.node_pools.iter().any(|pool| {
            allows_spot(pool)
                || pool.disruption.is_some()
                || pool.expire_after.is_some()
                || pool.drift_at.is_some()
        })
    }
    /// Do pods, DaemonSets' included, or pools say more than room, or does the scheduler score by another strategy than its own?
    pub fn has_constraints(&self) -> bool {
        let plain = |pool: &NodePoolSpec| pool.taints.is_empty() && pool.startup_taints.is_empty();
        self.scheduler.strategy != Strategy::LeastAllocated
            || !self.scheduler.default_spread
            || self.has_priorities()
            // Nothing selects a Job's pods, so that the default spread is not for them.
            || self.deployments.iter().any(|deployment| deployment.job.is_some())
            || !self.deployments.iter().all(|deployment| deployment.placement.is_plain())
            || !self.node_pools.iter().all(plain)
            || !self.daemonsets.iter().all(|daemon| daemon.placement.takes_any_labels())
    }
}

/// One subnet. Its position is its `SubnetId`.
#[derive(Clone, PartialEq, Debug)]
pub struct SubnetSpec {
    /// `subnet-a`, or what the user calls it.
    pub name: String,
    /// Index into [`Scenario::zones`].
    pub zone: u32,
    /// 16 to 28.
    pub prefix_length: u8,
    /// Addresses others hold at the start, the control plane's interfaces not counted, and those of explicit
    /// reservations.
    pub used_addresses: u32,
    /// Control-plane interfaces in it at the start.
    pub control_plane_interfaces: u32,
    /// /28 blocks in a CIDR reservation of type prefix.
    pub reserved_prefixes: u32,
    /// May Karpenter launch into it?
    pub nodes: bool,
    /// The tag `kubernetes.io/role/cni`; empty: not there.
    pub role_cni: String,
    /// Clusters named in tags `cni.networking.k8s.aws/cluster/...`.
    pub clusters: Vec<String>,
    /// Its zone's ENIConfig names it (custom networking).
    pub eni_config: bool,
    /// Who else takes addresses over time.
    pub others: Vec<OtherUser>,
}

impl SubnetSpec {
    /// Addresses of its CIDR, the five that EC2 reserves among them.
    pub fn size(&self) -> u32 {
        1 << (32 - self.prefix_length)
    }
    /// Addresses in use before the first node comes.
    pub fn used_at_start(&self) -> u32 {
        self.used_addresses + self.control_plane_interfaces
    }
}

/// Another user of a subnet: takes addresses at an instant, perhaps again and again, and may give them back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OtherUser {
    pub at: SimTime,
    /// Taken each time, or as many as there are.
    pub addresses: u32,
    pub every: Option<SimDuration>,
    /// Each lot comes back after so long; `None`: it stays.
    pub lasts: Option<SimDuration>,
}

/// A Deployment and how it is scaled.
#[derive(Clone, PartialEq, Debug)]
pub struct DeploymentSpec {
    pub name: String,
    /// Of one pod, its other containers counted as the scheduler does; `pods` is 1, as is its branch interface where it has
    /// security groups of its own.
    pub requests: Resources,
    /// Of the pod's own container.
    pub own_requests: Resources,
    /// Compressed size (bytes); 0: on every node already.
    pub image_bytes: u64,
    pub image_layers: Vec<Layer>,
    pub init_containers: Vec<InitContainer>,
    /// Started container until the application is up, drawn per pod.
    pub startup: crate::chance::Distribution,
    pub startup_probe: Option<Probe>,
    pub readiness: Option<Probe>,
    /// A deleted pod's running container from SIGTERM until it is gone, drawn per pod.
    pub termination_grace: crate::chance::Distribution,
    /// `terminationGracePeriodSeconds`, at which kubelet kills it; `None`: as long as each takes.
    pub termination_grace_period: Option<SimDuration>,
    /// `karpenter.sh/do-not-disrupt`
    pub do_not_disrupt: Option<DoNotDisrupt>,
    /// Over all its pods.
    pub pdb: Option<crate::actors::eviction::PodDisruptionBudget>,
    /// Replicas wanted from an instant on, by rising time; the first is usually at t = 0. Beside an autoscaler a step
    /// only ever adds pods.
    pub schedule: Vec<(SimTime, u32)>,
    pub autoscaler: Option<AutoscalerSpec>,
    pub rollouts: Rollouts,
    /// `None`: a Deployment, not a Job.
    pub job: Option<JobSpec>,
    /// CPU that its pods want; `None`: what they request, and starting takes its time on any node.
    pub usage: Option<UsageSpec>,
    /// Memory that they use; `None`: what they request.
    pub memory_usage: Option<MemoryUsageSpec>,
    pub placement: Placement,
    /// Of its PriorityClass.
    pub priority: i32,
    /// `preemptionPolicy: Never`: nobody has to go for its pods.
    pub never_preempts: bool,
}

impl DeploymentSpec {
    /// Does it say more of its pods' start than runs without kubelet's own rules know?
    pub fn needs_kubelet(&self) -> bool {
        let shared = self.image_layers.iter().any(|layer| layer.name.is_some());
        !self.init_containers.is_empty() || self.startup_probe.is_some() || shared
    }
    /// Does a step of its schedule take pods away?
    pub fn scales_in(&self) -> bool {
        self.autoscaler.is_none() && self.schedule.windows(2).any(|steps| steps[1].1 < steps[0].1)
    }
}

/// `system-cluster-critical` and `system-node-critical`; no class of a user may have as high a value.
pub const CRITICAL_PRIORITIES: [i32; 2] = [2_000_000_000, 2_000_001_000];

/// How long Karpenter leaves a pod alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DoNotDisrupt {
    /// `"true"`
    Always,
    /// From its start on.
    For(SimDuration),
}

/// A horizontal pod autoscaler on CPU utilisation, and the load it answers to.
#[derive(Clone, PartialEq, Debug)]
pub struct AutoscalerSpec {
    pub min: u32,
    pub max: u32,
    /// CPU utilisation aimed at (percent of the request).
    pub target_percent: u32,
    pub sync: SimDuration,
    pub tolerance: f64,
    /// `spec.behavior.scaleUp`; `None`: none, and hence at most doubling.
    pub scale_up: Option<crate::actors::hpa::Policies>,
    /// A Ready pod has no metric before this age.
    pub metrics_age: SimDuration,
    /// Load that a pod serves with all of its request.
    pub pod_capacity: f64,
    /// A pod uses so much at most, however long the queue (percent of its request).
    pub limit_percent: u32,
    /// Load offered from an instant on, by rising time.
    pub load: Vec<(SimTime, f64)>,
}

/// A DaemonSet, whose pods nodes get first.
#[derive(Clone, PartialEq, Debug)]
pub struct DaemonSetSpec {
    pub name: String,
    /// Of one pod; `pods` is 1.
    pub requests: Resources,
    /// Pods on the host's network take no address of the warm pool.
    pub host_network: bool,
    /// Compressed size (bytes); 0: the AMI brings it.
    pub image_bytes: u64,
    /// Its pods come as the node registers, rather than once the node's taints are gone.
    pub tolerates_everything: bool,
    /// Of its PriorityClass.
    pub priority: i32,
    /// An evicted pod from SIGTERM until it is gone, drawn per node.
    pub termination_grace: crate::chance::Distribution,
    /// What its pods ask of nodes: no pod comes to others. What they prefer says nothing.
    pub placement: Placement,
}

impl DaemonSetSpec {
    /// Do its pods need anything of a new node beside requests and a pod slot?
    pub fn takes_part(&self) -> bool {
        !self.host_network || self.image_bytes > 0
    }
    /// Does a drain take its pods away? Not those that tolerate Karpenter's own taint.
    pub fn is_drained(&self) -> bool {
        let disrupted =
            Taint { key: "karpenter.sh/disrupted".into(), value: String::new(), effect: Effect::NoSchedule };
        !self.tolerates_everything && !tolerated(&disrupted, &self.placement.tolerations)
    }
    /// Has it a pod on every node, whatever labels and taints that has?
    pub fn is_everywhere(&self) -> bool {
        self.tolerates_everything && self.placement.takes_any_labels()
    }
    /// Do no more of it count for Karpenter than its requests, which are on every node?
    pub fn counts_by_requests(&self) -> bool {
        self.is_everywhere() && self.placement.host_ports.is_empty()
    }
    /// Has it a pod on a node with these labels and taints?
    pub fn comes_to(&self, labels: &BTreeMap<String, String>, taints: &[Taint]) -> bool {
        let tolerates =
            || self.tolerates_everything || first_untolerated(taints, &self.placement.tolerations).is_none();
        self.placement.selects(labels) && tolerates()
    }
}

/// Nodes that are there, Ready and untainted unless said, at t = 0.
#[derive(Clone, PartialEq, Debug)]
pub struct StaticNodes {
    pub count: u32,
    pub instance_type: TypeId,
    /// What pods may request in all; `None`: by the type and [`NodeOverhead`].
    pub allocatable: Option<Resources>,
    /// Tainted `CriticalAddonsOnly`: no pod of a Deployment tolerates it.
    pub critical_addons_only: bool,
    /// Somebody cordons them then.
    pub cordon_at: Option<SimTime>,
    /// Pods already on one of them that hold an address of its pool (coredns, Karpenter).
    pub pods_with_address: u32,
}

/// `key operator values`, as in a NodePool's `requirements`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSelectorRequirement {
    /// A well-known label, such as `karpenter.k8s.aws/instance-category`.
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
    pub min_values: Option<u32>,
}

/// Karpenter's NodePool.
#[derive(Clone, PartialEq, Debug)]
pub struct NodePoolSpec {
    pub name: String,
    /// Higher goes first.
    pub weight: u32,
    /// Capacity type included; a user's shorthand (`instance_types`, `capacity_types`) is resolved into it.
    pub requirements: Vec<NodeSelectorRequirement>,
    /// `spec.limits`; `None`: none.
    pub cpu_limit_millis: Option<i64>,
    pub memory_limit_bytes: Option<i64>,
    pub node_limit: Option<i64>,
    pub extended_limits: Vec<(ExtendedResource, i64)>,
    /// Given to its nodes, beside what its requirements say.
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub startup_taints: Vec<StartupTaint>,
    pub ami_family: AmiFamily,
    /// `None`: Karpenter takes no node away for being empty or underutilized.
    pub disruption: Option<DisruptionSpec>,
    /// `spec.template.spec.expireAfter`
    pub expire_after: Option<SimDuration>,
    /// `spec.template.spec.terminationGracePeriod`: what a claim's drain may take.
    pub termination_grace_period: Option<SimDuration>,
    /// From then on nodes whose claims are older are drifted: a new AMI, another template.
    pub drift_at: Option<SimTime>,
}

/// `spec.disruption`
#[derive(Clone, PartialEq, Debug)]
pub struct DisruptionSpec {
    pub policy: ConsolidationPolicy,
    /// `None`: Never.
    pub consolidate_after: Option<SimDuration>,
    pub budgets: Vec<crate::actors::karpenter::disruption::budgets::Budget>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsolidationPolicy {
    WhenEmpty,
    WhenEmptyOrUnderutilized,
    Balanced,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AmiFamily {
    Al2,
    Al2023,
    Bottlerocket,
}

#[derive(Clone, PartialEq, Debug)]
pub struct KarpenterSettings {
    pub batch_idle: SimDuration,
    pub batch_max: SimDuration,
    /// `VM_MEMORY_OVERHEAD_PERCENT`.
    pub vm_memory_overhead_percent: f64,
    pub reserved_enis: u32,
    /// The feature gate `SpotToSpotConsolidation`.
    pub spot_to_spot_consolidation: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct SchedulerSettings {
    pub client: ClientLimit,
    /// Of NodeResourcesFit.
    pub strategy: Strategy,
    /// The system's default topology spread for pods that say none.
    pub default_spread: bool,
}

/// client-go's own token bucket: `qps` requests a second, `burst` at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimit {
    pub qps: u32,
    pub burst: u32,
}

/// The CNI of the cluster.
#[derive(Clone, PartialEq, Debug)]
pub struct CniSpec {
    pub mode: CniMode,
    /// aws-node's environment as the user wrote it, by name; what is not there has aws-node's default.
    pub env: std::collections::BTreeMap<String, String>,
    /// kubelet's `maxPods`, where the user sets it.
    pub max_pods: Option<u32>,
    /// Rolling updates of aws-node.
    pub restarts: Vec<AwsNodeUpdate>,
    /// Interfaces that somebody else attaches to each node that Karpenter launches.
    pub other_interfaces: Vec<OtherInterface>,
    /// `ENABLE_POD_ENI`: nodes get a trunk interface for pods with security groups.
    pub pod_eni: bool,
}

/// Interfaces that are not ipamd's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherInterface {
    pub count: u32,
    /// The tag `node.k8s.amazonaws.com/no_manage`.
    pub no_manage: Option<String>,
}

/// aws-node's pods are replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AwsNodeUpdate {
    pub at: SimTime,
    /// How many of them may be away at once, of those on nodes at its begin.
    pub max_unavailable: IntOrPercent,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CniMode {
    /// The VPC CNI: pods have addresses of the subnets.
    Vpc,
    /// The VPC CNI in an IPv6 cluster: each node has a /80 of its own, so that pods never lack an address.
    VpcIpv6,
    /// Pods need no address (an overlay, or fake nodes).
    None,
}

/// vCPUs of standard instances the account may run, by capacity type.
#[derive(Clone, PartialEq, Debug)]
pub struct Quotas {
    pub on_demand_vcpus: u32,
    pub spot_vcpus: u32,
    /// Raises by the support, by rising time: (when, on-demand, spot).
    pub raises: Vec<(SimTime, Option<u32>, Option<u32>)>,
}

/// How short spot pools are of capacity.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Market {
    /// Episodes at the rate of an ordinary day.
    #[default]
    Calm,
    /// Episodes as in the traces of a week under pressure.
    Tight,
}

/// Which of equally cheap zones an on-demand fleet takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ZoneTie {
    #[default]
    Uniform,
    First,
}

/// What is taken off a node's capacity before pods may request it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeOverhead {
    /// kubelet's and the system's reservations and the eviction threshold, by type and AMI family.
    Eks,
    /// The same on every type.
    Fixed { cpu_millis: i64, memory_bytes: i64 },
}

/// A token bucket: `size` tokens, `refill_per_s` more each second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BucketLimit {
    pub size: u32,
    pub refill_per_s: u32,
}

/// EC2's request limits, by API; see `models/`.
#[derive(Clone, PartialEq, Debug)]
pub struct Ec2Limits {
    /// By the API's name (`CreateNetworkInterface`).
    pub requests: std::collections::BTreeMap<String, BucketLimit>,
    /// Instances of RunInstances and instant fleets.
    pub instances: BucketLimit,
    /// Calls a second of the account's other tools, by API; they always succeed.
    pub background_per_s: std::collections::BTreeMap<String, u32>,
}
