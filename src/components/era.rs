//! What the releases of a profile do differently, as far as a run sees it.
//!
//! Karpenter 0.19 launched within its loop: `pkg/controllers/provisioning/provisioner.go` of karpenter-core 8adba7b, and
//! `pkg/cloudprovider/{instance,instancetype,createfleetbatcher}.go` of karpenter-provider-aws 011c021, 0115e3b and 6024bfc,
//! all of November and December 2022; its batch window in `batcher.go` of that time, the order of nodes in `pkg/controllers/state/cluster.go`
//! of karpenter-core 6e02c5a, the choice of subnets in `pkg/cloudprovider/{instance,subnets}.go` of karpenter v0.19.2, what errors teach in its `pkg/errors/errors.go`, disruption and
//! drains in `pkg/controllers/{deprovisioning,termination}` of karpenter-core cf29e8b. Today's: karpenter-provider-aws v1.14.1,
//! `pkg/batcher`, and karpenter core v1.14.0. kubelet's limits: kubernetes v1.27 on, and amazon-eks-ami of 23 September 2022.

use crate::actors::ec2::Retries;
use crate::actors::ipamd;
use crate::actors::karpenter::launch::Rules as LaunchRules;
use crate::actors::kube_scheduler::queue::QueueVersion;
use crate::actors::kube_scheduler::view::Version;
use crate::scenario::Profile;
use crate::units::{MIB, Resources, SimDuration};

#[derive(Clone, Debug)]
pub(super) struct Era {
    pub ipamd: ipamd::Version,
    pub queue: QueueVersion,
    pub queueing_hints: bool,
    /// kube-scheduler's filters and preemption.
    pub filters: Version,
    /// Are victims of preemption told to go while kube-scheduler's loop goes on (SchedulerAsyncPreemption, from 1.33 on)?
    pub preempts_in_background: bool,
    /// kubelet's `kubeAPIQPS` and `kubeAPIBurst`.
    pub kubelet_client: (u32, u32),
    /// Does kubelet tell at once that its node is Ready? Else at the next look at its runtime and the next status update.
    pub tells_ready_at_once: bool,
    /// Do the periods of a readiness probe count from its last attempt?
    pub probes_count_anew: bool,
    /// Are there NodeClaims, launched by a controller of their own? Else the provisioner's loop launches what it has planned,
    /// waits for all of it, and makes the Node objects.
    pub node_claims: bool,
    /// A pod that comes to the batch window again prolongs it only if it is new there.
    pub only_new_pods_prolong: bool,
    /// Does Karpenter pack pods onto nodes that are not its own?
    pub packs_foreign_nodes: bool,
    /// Does Karpenter try nodes that are initialized first? Else by the second in which their Node objects were made, and within
    /// one by their UIDs: in any order.
    pub initialized_first: bool,
    /// Of several subnets of a zone: does it count addresses of its launches under way? Else it goes by its last look, for as
    /// long as that is kept.
    pub counts_launches: bool,
    /// Does Karpenter leave an offering alone whose subnet had no address? Else it asks for it again at once.
    pub learns_of_dry_subnets: bool,
    /// What Karpenter takes off a type's allocatable, which kubelet does not.
    pub system_reserved: Resources,
    /// `karpenter.sh/unregistered`
    pub unregistered_taint: bool,
    /// How a launch chooses among a claim's types.
    pub launch: LaunchRules,
    /// How long CreateFleet's batcher waits for a further claim, and altogether.
    pub fleet_window: (SimDuration, SimDuration),
    /// Is disruption 0.19's deprovisioning (`disruption::deprovisioning`)?
    pub deprovisioning: bool,
    /// Do drains go in waves, past pods that are protected, and does a node on its way out bring a round of the provisioner?
    /// Else as `serial_drain` tells.
    pub drains_in_waves: bool,
    /// Does TerminateInstances have a batcher?
    pub batches_terminations: bool,
    /// Of Karpenter's calls.
    pub karpenter_retries: Retries,
    /// Of ipamd's calls; AssignPrivateIpAddresses and ModifyNetworkInterfaceAttribute apart.
    pub ipamd_retries: [Retries; 2],
}

static CURRENT: Era = Era {
    ipamd: ipamd::Version::V1_23,
    queue: QueueVersion::V1_34,
    queueing_hints: true,
    filters: Version::V1_34,
    preempts_in_background: true,
    kubelet_client: (50, 100),
    tells_ready_at_once: true,
    probes_count_anew: true,
    node_claims: true,
    only_new_pods_prolong: true,
    packs_foreign_nodes: true,
    initialized_first: true,
    counts_launches: true,
    learns_of_dry_subnets: true,
    system_reserved: Resources::ZERO,
    unregistered_taint: true,
    launch: LaunchRules::V1_14,
    fleet_window: (SimDuration::from_millis(35), SimDuration::from_secs(1)),
    deprovisioning: false,
    drains_in_waves: true,
    batches_terminations: true,
    karpenter_retries: Retries::V2,
    ipamd_retries: [Retries::V2; 2],
};

static NOVEMBER_2022: Era = Era {
    ipamd: ipamd::Version::V1_12,
    queue: QueueVersion::V1_23,
    queueing_hints: false,
    filters: Version::V1_24,
    preempts_in_background: false,
    // Of the EKS image from 23 September 2022 on.
    kubelet_client: (10, 20),
    tells_ready_at_once: false,
    probes_count_anew: false,
    node_claims: false,
    only_new_pods_prolong: false,
    packs_foreign_nodes: false,
    initialized_first: false,
    counts_launches: false,
    learns_of_dry_subnets: false,
    system_reserved: Resources::new(100, 100 * MIB, 0),
    unregistered_taint: false,
    launch: LaunchRules::V0_19,
    fleet_window: (SimDuration::from_millis(10), SimDuration::from_millis(100)),
    deprovisioning: true,
    drains_in_waves: false,
    batches_terminations: false,
    karpenter_retries: Retries::V1,
    ipamd_retries: [Retries::V1_IPAMD, Retries::V1_IPAMD_MUTATING],
};

impl Era {
    pub fn of(profile: Profile) -> &'static Era {
        match profile {
            Profile::Current => &CURRENT,
            Profile::Nov2022 => &NOVEMBER_2022,
        }
    }
}
