//! Everything that can happen.

use crate::actors::ipamd::{Api, EniSerial};

/// With thousands of events to come every word of one counts.
const _: () = assert!(size_of::<Event>() <= 16);

/// What happens. A number is that of a pod, a node (which is a NodeClaim from its creation on), a Deployment,
/// a batch or a command of the disruption loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A step of a Deployment's schedule.
    Scaled {
        deployment: u32,
        step: u32,
    },
    /// The ReplicaSet controller goes on with a Deployment's sync.
    ReplicaSetSyncs(u32),
    /// A sync of its has done what there was to do, but for the status.
    ReplicaSetSynced(u32),
    /// It has written an event about a pod that it made or deleted.
    ControllerEventWritten,
    /// Somebody changes a Deployment's pod template; told of the ReplicaSet to come.
    TemplateChanged(u32),
    /// The Deployment controller hears of a change of the Deployment.
    DeploymentSyncs(u32),
    /// It has written something: a ReplicaSet's size, or the Deployment's status.
    DeploymentWrote(u32),
    /// The ReplicaSet controller has written a status.
    ReplicaSetReported(u32),
    /// Pods of the ReplicaSet may have become available.
    ReplicaSetLooks(u32),
    /// A Job is synced, if it is due; told by the number of its pods' template.
    JobSyncs(u32),
    /// A request of its sync is answered.
    JobSteps(u32),
    PodCreated(u32),
    /// The loop of kube-scheduler is free again; the pod's condition is patched.
    ConditionPatched(u32),
    /// kube-scheduler has cleared the nomination of a pod of lower priority, put its condition on a victim, deleted a victim.
    NominationCleared {
        preemption: u32,
        pod: u32,
    },
    VictimPatched {
        preemption: u32,
        pod: u32,
    },
    VictimDeleted {
        preemption: u32,
        pod: u32,
    },
    /// A timer of the scheduling queue is due.
    QueueTimer,
    PodBound(u32),
    /// Karpenter's batch window may close.
    WindowCloses,
    /// A solve has finished; its claims exist.
    Solved,
    /// Karpenter calls for the claim's instance.
    LaunchRequested(u32),
    /// The batcher's window may close.
    FleetWindowCloses,
    /// A throttled CreateFleet is sent again.
    FleetSent(u32),
    FleetAnswered(u32),
    /// A claim that cannot be launched is gone from the API.
    ClaimGone(u32),
    /// Karpenter describes an instance that it launched: its try, and the SDK's within it, from 1 on.
    InstanceDescribed {
        node: u32,
        attempt: u8,
        tries: u8,
    },
    /// Karpenter has made the Node object.
    NodeCreated(u32),
    /// The instance runs, kubelet starts.
    Booted(u32),
    NodeRegistered(u32),
    UnregisteredTaintGone(u32),
    /// Somebody takes one of the pool's startup taints off.
    StartupTaintGone {
        node: u32,
        place: u32,
    },
    AwsNodeStarted(u32),
    IpamdWoken(u32),
    /// Of this process of the node's ipamd. The fields of [`Call`] one by one, here and below: an event has room in two words.
    Ec2CallEnded {
        node: u32,
        eni: EniSerial,
        count: u32,
        api: Api,
        process: u8,
    },
    /// A throttled call of a process is sent again, so many attempts before.
    Ec2CallRetried {
        node: u32,
        eni: EniSerial,
        count: u32,
        api: Api,
        process: u8,
        tries: u8,
    },
    /// A rolling update of aws-node begins.
    AwsNodesUpdated(u32),
    /// The pod that it made is Ready.
    AwsNodeReady {
        node: u32,
        update: u32,
    },
    /// The cleaner in a process of the node's ipamd looks for leaked ENIs, so many throttled calls before.
    LeaksSought {
        node: u32,
        process: u8,
        tries: u8,
    },
    /// It sends a call about what it found.
    LeakCallSent {
        node: u32,
        process: u8,
    },
    LeakCallEnded {
        node: u32,
        process: u8,
    },
    CniReady(u32),
    NodeReady(u32),
    /// CSINode has what the node's CSI driver tells of it; told where pods have volumes.
    CsiDriverRegistered(u32),
    /// Its device plugins have registered, and kubelet has told of the devices.
    DevicesRegistered(u32),
    /// Somebody cordons a node.
    NodeCordoned(u32),
    /// A worker of the node lifecycle controller has read the node.
    LifecycleRead(u32),
    LifecyclePatched(u32),
    /// The patch was refused, since the node had changed: the worker reads it again.
    LifecycleRetried(u32),
    /// It looks at all nodes, each 5 s; told where some came or went.
    NodesMonitored,
    /// It has written an event about one of these.
    NodeEventWritten,
    /// A pod of a DaemonSet has come so far on a new node.
    DaemonPod {
        node: u32,
        daemon: u16,
        step: DaemonStep,
    },
    SandboxDue(u32),
    SandboxReady(u32),
    ImagePulled(u32),
    ContainerStarted(u32),
    /// Applications on a node have done the work of starting.
    StartUpsEnd(u32),
    /// Told of the container's start of this number, from 1 on.
    PodReady {
        pod: u32,
        start: u32,
    },
    /// The container of a Job's pod ends of itself.
    WorkDone(u32),
    /// The API server has deleted the pod for its ReplicaSet.
    PodDeleted(u32),
    /// A deleted pod's containers and its sandbox are gone.
    PodStopped(u32),
    /// It is gone from the API too.
    PodGone(u32),
    /// Memory of a node's pods changes its course, or comes to a bound.
    MemoryDue(u32),
    /// kubelet looks whether the node's memory is short.
    EvictionLook(u32),
    /// The API server has the node's condition MemoryPressure.
    PressureReported(u32),
    /// The node's taints are those of its condition.
    PressureTainted(u32),
    /// kubelet looks at a pod whose container is dead.
    RestartLook(u32),
    ContainerRestarted(u32),
    /// A node's image pulls take a step.
    PullsDue(u32),
    /// kubelet looks at a pod whose pull failed.
    PullLook(u32),
    /// The next container of the pod may start.
    InitContainerDone(u32),
    /// Of the container's start of this number.
    StartupProbePassed {
        pod: u32,
        start: u32,
    },
    /// It has been tried as often as it may, unless it has passed.
    StartupProbeFails {
        pod: u32,
        start: u32,
    },
    /// A container that kubelet killed is gone.
    ContainerStopped {
        pod: u32,
        start: u32,
    },
    /// A pod's busy spell ends, or begins.
    PodTurns(u32),
    /// The same of all pods of a Deployment.
    DeploymentTurns(u32),
    /// A pool of spot capacity runs out.
    PoolTightens(u32),
    SpotInterrupted(u32),
    /// Karpenter has the notice.
    NoticeReceived(u32),
    /// EC2 takes the instance back, two minutes after the notice.
    InstanceReclaimed(u32),
    /// The drain of a node is looked at.
    DrainChecked(u32),
    /// The Eviction API answers for a pod.
    EvictionAnswered(u32),
    /// Karpenter takes the node for initialized; told where some pool wants disruption.
    ClaimInitialized(u32),
    /// `expireAfter` has passed.
    ClaimExpired(u32),
    /// Karpenter's disruption loop begins anew.
    DisruptionPolled,
    /// What it found is looked at again.
    DisruptionValidated,
    /// What it began is looked after.
    DisruptionLookedAfter(u32),
    /// Karpenter reads what subnets have left; told where it has a choice of them.
    SubnetsRead,
    /// The window of TerminateInstances' batcher may close.
    TerminateWindowCloses,
    /// A throttled TerminateInstances is sent again.
    TerminateSent(u32),
    /// Karpenter asks again for the instance's end.
    TerminateRequested(u32),
    /// EC2 shuts the instance down.
    InstanceStopping(u32),
    InstanceGone(u32),
    /// The control plane has missed the node on which the pod was lost.
    PodLossNoticed(u32),
    /// Another user of a subnet takes addresses.
    OtherUserTakes {
        subnet: u32,
        user: u32,
    },
    /// It gives a lot of them back.
    OtherUserReturns(u32),
    /// The Deployment's autoscaler looks at its metric.
    AutoscalerSyncs(u32),
    /// A request comes to the API server.
    RequestArrives(u32),
    /// It gives its seats back.
    RequestLeaves(u32),
    /// It has waited for too long.
    RequestGivesUp(u32),
    /// The API server shares its seats anew among priority levels.
    SeatsLent,
    /// A node's agent lists all pods.
    AgentLists(u32),
    AgentListed(u32),
    /// Somebody else takes instances of a capacity reservation.
    ReservationTaken {
        reservation: u32,
        user: u32,
    },
    /// Karpenter reads what capacity reservations have left.
    ReservationsRead,
    /// A job of the VPC resource controller comes to its queue.
    ResourceJobDue(u32),
    /// Its call of EC2 goes out.
    ResourceCallSent(u32),
    /// Its call or request is answered.
    ResourceJobAnswered(u32),
    /// Is anything still moving?
    ProgressChecked,
}

impl Event {
    /// Its name in traces, and its number in the trace's hash.
    // Inlined, so that the hash looks up the number alone.
    #[inline(always)]
    pub(super) const fn kind(&self) -> (&'static str, u8) {
        match self {
            Event::Scaled { .. } => ("scaled", 1),
            Event::ReplicaSetSyncs(_) => ("replica_set_syncs", 2),
            Event::ReplicaSetSynced(_) => ("replica_set_synced", 160),
            Event::ControllerEventWritten => ("controller_event_written", 161),
            Event::TemplateChanged(_) => ("template_changed", 130),
            Event::DeploymentSyncs(_) => ("deployment_syncs", 131),
            Event::DeploymentWrote(_) => ("deployment_wrote", 132),
            Event::ReplicaSetReported(_) => ("replica_set_reported", 133),
            Event::ReplicaSetLooks(_) => ("replica_set_looks", 134),
            Event::JobSyncs(_) => ("job_syncs", 135),
            Event::JobSteps(_) => ("job_steps", 136),
            Event::WorkDone(_) => ("work_done", 137),
            Event::PodCreated(_) => ("pod_created", 3),
            Event::ConditionPatched(_) => ("condition_patched", 4),
            Event::NominationCleared { .. } => ("nomination_cleared", 171),
            Event::VictimPatched { .. } => ("victim_patched", 172),
            Event::VictimDeleted { .. } => ("victim_deleted", 173),
            Event::QueueTimer => ("queue_timer", 5),
            Event::PodBound(_) => ("pod_bound", 6),
            Event::WindowCloses => ("window_closes", 7),
            Event::Solved => ("solved", 8),
            Event::LaunchRequested(_) => ("launch_requested", 9),
            Event::FleetWindowCloses => ("fleet_window_closes", 10),
            Event::FleetSent(_) => ("fleet_sent", 11),
            Event::FleetAnswered(_) => ("fleet_answered", 12),
            Event::ClaimGone(_) => ("claim_gone", 13),
            Event::InstanceDescribed { .. } => ("instance_described", 153),
            Event::NodeCreated(_) => ("node_created", 154),
            Event::Booted(_) => ("booted", 14),
            Event::NodeRegistered(_) => ("node_registered", 15),
            Event::UnregisteredTaintGone(_) => ("unregistered_taint_gone", 16),
            Event::AwsNodeStarted(_) => ("aws_node_started", 17),
            Event::IpamdWoken(_) => ("ipamd_woken", 18),
            Event::Ec2CallEnded { .. } => ("ec2_call_ended", 19),
            Event::Ec2CallRetried { .. } => ("ec2_call_retried", 20),
            Event::AwsNodesUpdated(_) => ("aws_nodes_updated", 143),
            Event::AwsNodeReady { .. } => ("aws_node_ready", 144),
            Event::LeaksSought { .. } => ("leaks_sought", 140),
            Event::LeakCallSent { .. } => ("leak_call_sent", 141),
            Event::LeakCallEnded { .. } => ("leak_call_ended", 142),
            Event::CniReady(_) => ("cni_ready", 21),
            Event::NodeReady(_) => ("node_ready", 22),
            Event::CsiDriverRegistered(_) => ("csi_driver_registered", 155),
            Event::DevicesRegistered(_) => ("devices_registered", 170),
            Event::LifecycleRead(_) => ("lifecycle_read", 23),
            Event::LifecyclePatched(_) => ("lifecycle_patched", 24),
            Event::LifecycleRetried(_) => ("lifecycle_retried", 150),
            Event::NodesMonitored => ("nodes_monitored", 151),
            Event::NodeEventWritten => ("node_event_written", 152),
            Event::SandboxDue(_) => ("sandbox_due", 25),
            Event::SandboxReady(_) => ("sandbox_ready", 26),
            Event::ImagePulled(_) => ("image_pulled", 27),
            Event::ContainerStarted(_) => ("container_started", 28),
            Event::PodReady { .. } => ("pod_ready", 29),
            Event::PoolTightens(_) => ("pool_tightens", 30),
            Event::SpotInterrupted(_) => ("spot_interrupted", 31),
            Event::NoticeReceived(_) => ("notice_received", 32),
            Event::InstanceGone(_) => ("instance_gone", 33),
            Event::ProgressChecked => ("progress_checked", 34),
            Event::OtherUserTakes { .. } => ("other_user_takes", 35),
            Event::OtherUserReturns(_) => ("other_user_returns", 36),
            Event::AutoscalerSyncs(_) => ("autoscaler_syncs", 37),
            Event::PodDeleted(_) => ("pod_deleted", 38),
            Event::PodStopped(_) => ("pod_stopped", 39),
            Event::PodGone(_) => ("pod_gone", 40),
            Event::InstanceReclaimed(_) => ("instance_reclaimed", 41),
            Event::DrainChecked(_) => ("drain_checked", 42),
            Event::EvictionAnswered(_) => ("eviction_answered", 43),
            Event::InstanceStopping(_) => ("instance_stopping", 44),
            Event::PodLossNoticed(_) => ("pod_loss_noticed", 45),
            Event::ClaimExpired(_) => ("claim_expired", 46),
            Event::ClaimInitialized(_) => ("claim_initialized", 50),
            Event::DisruptionPolled => ("disruption_polled", 47),
            Event::DisruptionValidated => ("disruption_validated", 48),
            Event::DisruptionLookedAfter(_) => ("disruption_looked_after", 49),
            Event::DaemonPod { .. } => ("daemon_pod", 60),
            Event::StartupTaintGone { .. } => ("startup_taint_gone", 61),
            Event::StartUpsEnd(_) => ("start_ups_end", 70),
            Event::PodTurns(_) => ("pod_turns", 71),
            Event::DeploymentTurns(_) => ("deployment_turns", 72),
            Event::MemoryDue(_) => ("memory_due", 90),
            Event::EvictionLook(_) => ("eviction_look", 91),
            Event::PressureReported(_) => ("pressure_reported", 92),
            Event::PressureTainted(_) => ("pressure_tainted", 93),
            Event::RestartLook(_) => ("restart_look", 94),
            Event::ContainerRestarted(_) => ("container_restarted", 95),
            Event::PullsDue(_) => ("pulls_due", 100),
            Event::PullLook(_) => ("pull_look", 101),
            Event::InitContainerDone(_) => ("init_container_done", 102),
            Event::StartupProbePassed { .. } => ("startup_probe_passed", 103),
            Event::StartupProbeFails { .. } => ("startup_probe_fails", 104),
            Event::ContainerStopped { .. } => ("container_stopped", 105),
            Event::RequestArrives(_) => ("request_arrives", 80),
            Event::RequestLeaves(_) => ("request_leaves", 81),
            Event::RequestGivesUp(_) => ("request_gives_up", 82),
            Event::SeatsLent => ("seats_lent", 83),
            Event::AgentLists(_) => ("agent_lists", 84),
            Event::AgentListed(_) => ("agent_listed", 85),
            Event::NodeCordoned(_) => ("node_cordoned", 113),
            Event::SubnetsRead => ("subnets_read", 125),
            Event::TerminateWindowCloses => ("terminate_window_closes", 122),
            Event::TerminateSent(_) => ("terminate_sent", 123),
            Event::TerminateRequested(_) => ("terminate_requested", 124),
            Event::ReservationTaken { .. } => ("reservation_taken", 120),
            Event::ReservationsRead => ("reservations_read", 121),
            Event::ResourceJobDue(_) => ("resource_job_due", 110),
            Event::ResourceCallSent(_) => ("resource_call_sent", 111),
            Event::ResourceJobAnswered(_) => ("resource_job_answered", 112),
        }
    }

    /// Whom it concerns: a pod, a node or a number, 0 if nobody.
    pub(super) const fn whom(&self) -> (Whom, u32) {
        match *self {
            Event::Scaled { deployment, .. }
            | Event::ReplicaSetSyncs(deployment)
            | Event::ReplicaSetSynced(deployment)
            | Event::DeploymentSyncs(deployment)
            | Event::DeploymentWrote(deployment) => (Whom::Deployment, deployment),
            Event::JobSyncs(job) | Event::JobSteps(job) => (Whom::KubernetesJob, job),
            Event::TemplateChanged(set) | Event::ReplicaSetReported(set) | Event::ReplicaSetLooks(set) => {
                (Whom::ReplicaSet, set)
            }
            Event::PodCreated(pod)
            | Event::ConditionPatched(pod)
            | Event::NominationCleared { pod, .. }
            | Event::VictimPatched { pod, .. }
            | Event::VictimDeleted { pod, .. }
            | Event::PodBound(pod)
            | Event::SandboxDue(pod)
            | Event::SandboxReady(pod)
            | Event::ImagePulled(pod)
            | Event::ContainerStarted(pod)
            | Event::PodReady { pod, .. }
            | Event::PullLook(pod)
            | Event::InitContainerDone(pod)
            | Event::StartupProbePassed { pod, .. }
            | Event::StartupProbeFails { pod, .. }
            | Event::ContainerStopped { pod, .. }
            | Event::RestartLook(pod)
            | Event::ContainerRestarted(pod)
            | Event::WorkDone(pod)
            | Event::PodDeleted(pod)
            | Event::PodStopped(pod)
            | Event::PodGone(pod)
            | Event::EvictionAnswered(pod)
            | Event::PodLossNoticed(pod)
            | Event::PodTurns(pod) => (Whom::Pod, pod),
            Event::QueueTimer
            | Event::WindowCloses
            | Event::Solved
            | Event::FleetWindowCloses
            | Event::DisruptionPolled
            | Event::DisruptionValidated
            | Event::SeatsLent
            | Event::ReservationsRead
            | Event::SubnetsRead
            | Event::TerminateWindowCloses
            | Event::NodesMonitored
            | Event::NodeEventWritten
            | Event::ControllerEventWritten
            | Event::AwsNodesUpdated(_)
            | Event::ProgressChecked => (Whom::Nobody, 0),
            Event::FleetSent(batch) | Event::FleetAnswered(batch) | Event::TerminateSent(batch) => {
                (Whom::Batch, batch)
            }
            Event::DisruptionLookedAfter(command) => (Whom::Command, command),
            Event::PoolTightens(pool) => (Whom::Pool, pool),
            Event::ReservationTaken { reservation, .. } => (Whom::Reservation, reservation),
            Event::OtherUserTakes { subnet, .. } => (Whom::Subnet, subnet),
            Event::OtherUserReturns(lot) => (Whom::Lot, lot),
            Event::RequestArrives(request)
            | Event::RequestLeaves(request)
            | Event::RequestGivesUp(request) => (Whom::Request, request),
            Event::ResourceJobDue(job) | Event::ResourceCallSent(job) | Event::ResourceJobAnswered(job) => {
                (Whom::Job, job)
            }
            Event::AutoscalerSyncs(deployment) | Event::DeploymentTurns(deployment) => {
                (Whom::Deployment, deployment)
            }
            Event::StartUpsEnd(node)
            | Event::PullsDue(node)
            | Event::MemoryDue(node)
            | Event::EvictionLook(node)
            | Event::PressureReported(node)
            | Event::PressureTainted(node)
            | Event::StartupTaintGone { node, .. }
            | Event::LaunchRequested(node)
            | Event::InstanceDescribed { node, .. }
            | Event::NodeCreated(node)
            | Event::ClaimGone(node)
            | Event::Booted(node)
            | Event::NodeRegistered(node)
            | Event::UnregisteredTaintGone(node)
            | Event::AwsNodeStarted(node)
            | Event::IpamdWoken(node)
            | Event::Ec2CallEnded { node, .. }
            | Event::AwsNodeReady { node, .. }
            | Event::Ec2CallRetried { node, .. }
            | Event::LeaksSought { node, .. }
            | Event::LeakCallSent { node, .. }
            | Event::LeakCallEnded { node, .. }
            | Event::CniReady(node)
            | Event::NodeReady(node)
            | Event::CsiDriverRegistered(node)
            | Event::DevicesRegistered(node)
            | Event::NodeCordoned(node)
            | Event::LifecycleRead(node)
            | Event::LifecyclePatched(node)
            | Event::LifecycleRetried(node)
            | Event::SpotInterrupted(node)
            | Event::NoticeReceived(node)
            | Event::InstanceReclaimed(node)
            | Event::DrainChecked(node)
            | Event::ClaimExpired(node)
            | Event::ClaimInitialized(node)
            | Event::TerminateRequested(node)
            | Event::InstanceStopping(node)
            | Event::InstanceGone(node)
            | Event::AgentLists(node)
            | Event::AgentListed(node)
            | Event::DaemonPod { node, .. } => (Whom::Node, node),
        }
    }
}

/// How far a DaemonSet's pod is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DaemonStep {
    Created,
    Bound,
    SandboxDue,
    SandboxReady,
}

/// What an event's number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    Nobody,
    Pod,
    Node,
    Deployment,
    ReplicaSet,
    Batch,
    Command,
    Pool,
    Subnet,
    Lot,
    Request,
    Job,
    KubernetesJob,
    Reservation,
}

impl Whom {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Whom::Nobody => "",
            Whom::Pod => "pod",
            Whom::Node => "node",
            Whom::Deployment => "deployment",
            Whom::ReplicaSet => "replica_set",
            Whom::Batch => "batch",
            Whom::Command => "command",
            Whom::Pool => "pool",
            Whom::Subnet => "subnet",
            Whom::Lot => "lot",
            Whom::Request => "request",
            Whom::Job => "job",
            Whom::KubernetesJob => "kubernetes_job",
            Whom::Reservation => "reservation",
        }
    }
}
