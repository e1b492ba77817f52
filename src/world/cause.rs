//! Why a pod is not Ready yet: exactly one cause at every instant, the first unmet step in this order.

/// What a waiting pod waits for. The order is that of the steps on the way to Ready.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Cause {
    /// The ReplicaSet controller has not created it: slow start and its 20/s client.
    PodCreation,
    /// Waiting for kube-scheduler's attempt: active queue or its client limit.
    SchedulerQueue,
    /// Failed an attempt that a node now there could serve; waits out its back-off or the next wake-up, or until pods
    /// that make room for it have stopped.
    SchedulerBackoff,
    /// Karpenter has not decided: batch window open.
    BatchWindow,
    /// Karpenter has not decided: a claim is not launched yet, so rounds are skipped.
    SyncGate,
    /// Karpenter has not decided: a solve is running.
    Solve,
    /// Nothing fits: no instance type of a NodePool that the pod may use can hold it, or a constraint keeps it off.
    NoInstanceType,
    /// Nothing fits: the NodePool's limit.
    PoolLimit,
    /// Nothing fits: every offering is marked unavailable after capacity errors.
    CapacityUnavailable,
    /// Nothing fits: the account's vCPU quota refuses.
    Quota,
    /// Claims under way have booked all places of the capacity reservations that it could use: Karpenter puts it off to a
    /// later round.
    ReservationBooked,
    /// Its claim waits for CreateFleet's answer.
    CreateFleet,
    /// Its claim waits for a throttled EC2 call.
    LaunchThrottled,
    /// Its claim met a capacity error; the pod waits for the next round.
    CapacityError,
    /// The instance boots.
    Boot,
    /// kubelet registers the node, Karpenter takes the unregistered taint off.
    Registration,
    /// aws-node starts: images, ipamd's start-up.
    CniStart,
    /// The network is there; the Ready condition is not.
    NodeReady,
    /// Ready, but still tainted not-ready: the node lifecycle controller's own client limit.
    TaintRemoval,
    /// The node's device plugin has not registered what the pod asks for: GPUs, accelerators, adapters.
    DevicePlugin,
    /// The scheduler chose a node; the Binding waits for the client limit.
    Bind,
    /// Its volumes are not mounted: the node's CSI driver has not registered, or the instance has no slot left for them.
    VolumeAttach,
    /// The sandbox has no address: the warm pool grows.
    AddressWarmPool,
    /// The sandbox has no address: an EC2 call for more is under way.
    AddressEc2Call,
    /// The sandbox has no address: EC2 throttles.
    AddressThrottled,
    /// The sandbox has no address: the subnet is dry.
    AddressSubnetDry,
    /// The node holds all the addresses its type, MAX_ENI or its targets allow.
    AddressNodeFull,
    /// The node's trunk interface is still to come, with the branch interfaces that the scheduler counts, or ipamd has not
    /// found it yet.
    TrunkEni,
    /// The sandbox has no branch interface: the VPC resource controller's queue, workers or client limits.
    BranchEniQueue,
    /// The sandbox has no branch interface: the trunk has no room before those of deleted pods have cooled down.
    BranchEniCoolDown,
    /// Addresses are there; kubelet retries the sandbox 10 to 15 s after it failed.
    AddressKubeletRetry,
    /// Sandbox creation itself.
    Sandbox,
    /// The image is pulled.
    ImagePull,
    /// Containers before its own run, or start.
    InitContainers,
    /// Its container died: kubelet hears of it, and starts it again after its back-off.
    CrashLoopBackoff,
    /// Container and application start.
    Start,
    /// Started; the start-up probe has not passed.
    StartupProbe,
    /// Started; the readiness probe has not passed.
    Readiness,
}

/// Why a sandbox failed for want of an address, from what its pod waits for then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum AddressLack {
    /// Addresses, or the pod's branch interface, are on their way.
    Coming,
    /// EC2 throttles who fetches them.
    Throttled,
    SubnetDry,
    NodeFull,
    /// The node's trunk, or room on it or a turn for the pod's branch interface, is still to come.
    PodEni,
}

impl AddressLack {
    pub const COUNT: usize = 5;

    pub fn of(cause: Option<Cause>) -> AddressLack {
        match cause {
            Some(Cause::AddressThrottled) => AddressLack::Throttled,
            Some(Cause::AddressSubnetDry) => AddressLack::SubnetDry,
            Some(Cause::AddressNodeFull) => AddressLack::NodeFull,
            Some(Cause::TrunkEni | Cause::BranchEniQueue | Cause::BranchEniCoolDown) => AddressLack::PodEni,
            _ => AddressLack::Coming,
        }
    }
}

impl Cause {
    pub const COUNT: usize = Cause::ALL.len();
    pub const ALL: [Cause; 38] = [
        Cause::PodCreation,
        Cause::SchedulerQueue,
        Cause::SchedulerBackoff,
        Cause::BatchWindow,
        Cause::SyncGate,
        Cause::Solve,
        Cause::NoInstanceType,
        Cause::PoolLimit,
        Cause::CapacityUnavailable,
        Cause::Quota,
        Cause::ReservationBooked,
        Cause::CreateFleet,
        Cause::LaunchThrottled,
        Cause::CapacityError,
        Cause::Boot,
        Cause::Registration,
        Cause::CniStart,
        Cause::NodeReady,
        Cause::TaintRemoval,
        Cause::DevicePlugin,
        Cause::Bind,
        Cause::VolumeAttach,
        Cause::AddressWarmPool,
        Cause::AddressEc2Call,
        Cause::AddressThrottled,
        Cause::AddressSubnetDry,
        Cause::AddressNodeFull,
        Cause::TrunkEni,
        Cause::BranchEniQueue,
        Cause::BranchEniCoolDown,
        Cause::AddressKubeletRetry,
        Cause::Sandbox,
        Cause::ImagePull,
        Cause::InitContainers,
        Cause::CrashLoopBackoff,
        Cause::Start,
        Cause::StartupProbe,
        Cause::Readiness,
    ];

    /// `snake_case`, as in column names and traces.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::PodCreation => "pod_creation",
            Cause::SchedulerQueue => "scheduler_queue",
            Cause::SchedulerBackoff => "scheduler_backoff",
            Cause::BatchWindow => "batch_window",
            Cause::SyncGate => "sync_gate",
            Cause::Solve => "solve",
            Cause::NoInstanceType => "no_instance_type",
            Cause::PoolLimit => "pool_limit",
            Cause::CapacityUnavailable => "capacity_unavailable",
            Cause::Quota => "quota",
            Cause::ReservationBooked => "reservation_booked",
            Cause::CreateFleet => "create_fleet",
            Cause::LaunchThrottled => "launch_throttled",
            Cause::CapacityError => "capacity_error",
            Cause::Boot => "boot",
            Cause::Registration => "registration",
            Cause::CniStart => "cni_start",
            Cause::NodeReady => "node_ready",
            Cause::TaintRemoval => "taint_removal",
            Cause::DevicePlugin => "device_plugin",
            Cause::Bind => "bind",
            Cause::VolumeAttach => "volume_attach",
            Cause::AddressWarmPool => "address_warm_pool",
            Cause::AddressEc2Call => "address_ec2_call",
            Cause::AddressThrottled => "address_throttled",
            Cause::AddressSubnetDry => "address_subnet_dry",
            Cause::AddressNodeFull => "address_node_full",
            Cause::TrunkEni => "trunk_eni",
            Cause::BranchEniQueue => "branch_eni_queue",
            Cause::BranchEniCoolDown => "branch_eni_cool_down",
            Cause::AddressKubeletRetry => "address_kubelet_retry",
            Cause::Sandbox => "sandbox",
            Cause::ImagePull => "image_pull",
            Cause::InitContainers => "init_containers",
            Cause::CrashLoopBackoff => "crash_loop_backoff",
            Cause::Start => "start",
            Cause::StartupProbe => "startup_probe",
            Cause::Readiness => "readiness",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_cause_once_in_order() {
        for (index, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, index, "{} is out of place", cause.name());
        }
    }
}
