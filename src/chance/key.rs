//! The uses of chance, each with a number of its own. Append; never renumber, since results hang on it.

/// What a draw is for. The entity beside it is a pod for what the workload brings, a node for what the
/// host brings, and an offering's place in the market for what does not differ between scenarios.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Component {
    /// Image pull of a pod: manifest (draw 0), stream rate (draw 1).
    ImagePull = 1,
    /// Container and application start of a pod.
    Start = 2,
    Readiness = 3,
    /// kubelet's sandbox: set-up (even draws) and wait before the retry (odd draws), by attempt.
    Sandbox = 4,
    /// The scheduler's random tie, by pod and attempt; and the start of its rotation.
    SchedulerTie = 5,
    /// Phases of a node's boot, a draw a phase.
    Boot = 6,
    /// The zone's common factor, by zone and minute.
    ZoneFactor = 7,
    /// CreateFleet's latency, by batch.
    CreateFleet = 8,
    /// Which of equal zones an on-demand fleet takes, by claim.
    ZoneTie = 9,
    /// ipamd's calls, by node and call.
    Ec2Call = 10,
    /// ipamd's sleeps, by node and sleep.
    IpamdJitter = 11,
    /// Which address EC2 hands out, by subnet and count.
    Address = 12,
    /// A spot pool's episodes, by offering and episode.
    SpotMarket = 13,
    /// Interruption of an instance, by node.
    SpotInterruption = 14,
    /// Capacity of on-demand pools, by offering and episode.
    OnDemandMarket = 15,
    /// Controllers' API calls.
    Controller = 16,
    /// Karpenter's own steps on a claim: launch, registration, initialization.
    Karpenter = 17,
    /// What a Deployment's distribution of requests draws for a pod.
    Workload = 18,
    /// kubelet's own waits on a node: phase of its status loop.
    Kubelet = 19,
    /// Which addresses other users of a subnet hold at the start.
    SubnetStart = 20,
    /// Which of equal domains Karpenter takes, by round and draw.
    DomainTie = 21,
    /// Which addresses another user of a subnet takes, by lot.
    OtherUser = 22,
    /// When an autoscaler syncs, and how fast what it asks for is seen, by Deployment.
    Autoscaler = 23,
    /// Scrambling of a design's Sobol' points, by dimension and the digits before.
    SobolScramble = 24,
    /// A design's Latin hypercube: order (even draws) and place within the interval (odd draws), by dimension.
    LatinHypercube = 25,
    /// A DaemonSet's pods on a node, by the node's count of draws.
    Daemon = 26,
    /// Busy spells of a pod; from draw 2^31 on, those that a Deployment's pods have together.
    Usage = 27,
    /// How long a request holds its seat of the API server, by request.
    ApiRequest = 30,
    /// When a node's agent lists for the first time, by node.
    Agent = 31,
    // From 32 on: chance of what is done with results, outside runs.
    /// Where a screening's trajectories begin and go, by trajectory.
    Screening = 32,
    /// Which rows or replications a resample takes, by resample.
    Resample = 33,
    // From 40 on: chance within runs again.
    /// How much memory a pod's container uses, by pod and start.
    Memory = 40,
    /// When kubelet looks at its node's memory (draw 0), and when it tells, by node.
    Eviction = 41,
    /// A dead container's restarts, by pod and look.
    Restart = 42,
    /// A container's start, run and probes, by pod, start and container.
    Container = 43,
    /// The VPC resource controller's calls and waits, by job.
    ResourceController = 44,
    /// When Karpenter reads what EC2 has of its node classes for the first time.
    NodeClass = 45,
    /// The Deployment controller's requests and what it hears, by Deployment.
    Rollout = 46,
    /// The Job controller's requests, by Job.
    Job = 47,
    /// How long a Job's pod works (draw 0), whether it fails (1), and when kubelet hears of its end (2).
    Work = 48,
    /// Looks of the cleaner of leaked ENIs: waits and calls, by node.
    LeakCleaner = 50,
    /// When instance metadata shows a change that nobody waits for, by node and ENI.
    Metadata = 51,
    /// How long the node lifecycle controller pauses after a refused patch, by node and try; of nobody, when it monitors.
    NodeLifecycle = 52,
    /// Which nodes a pod that takes the place of others looks at, by pod, attempt and node; up to 1.24 from which on.
    Preemption = 53,
    /// kubelet's status loop: each run's wait, when what has not changed is told (from draw 2^30 on), phases (from 2^31 on), by node.
    NodeStatus = 54,
}
