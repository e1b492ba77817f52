//! The latency models: what is drawn, from which distribution, with which source and grade.

use crate::chance::Distribution;

/// Declares [`Latency`]: one line a latency, its name in `models/latency.toml` and scenarios.
macro_rules! latencies {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is drawn. Seconds unless the item says a factor or a rate.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Latency { $($(#[$doc])* $name,)* }
        impl Latency {
            pub const ALL: &[Latency] = &[$(Latency::$name,)*];
            /// Its key in `models/latency.toml` and under `[latency]` of a scenario.
            pub const fn name(self) -> &'static str {
                match self { $(Latency::$name => $text,)* }
            }
        }
    };
}

latencies! {
    /// CreateFleet of type instant, on-demand, request to answer.
    CreateFleetOnDemand = "create_fleet_on_demand",
    /// CreateFleet of type instant, spot, request to answer.
    CreateFleetSpot = "create_fleet_spot",
    CreateNetworkInterface = "create_network_interface",
    AttachNetworkInterface = "attach_network_interface",
    AssignPrivateIpAddresses = "assign_private_ip_addresses",
    UnassignPrivateIpAddresses = "unassign_private_ip_addresses",
    ModifyNetworkInterfaceAttribute = "modify_network_interface_attribute",
    DetachNetworkInterface = "detach_network_interface",
    DeleteNetworkInterface = "delete_network_interface",
    DescribeNetworkInterfaces = "describe_network_interfaces",
    DescribeInstances = "describe_instances",
    CreateTags = "create_tags",
    /// Attach answered until the interface and its addresses stand in instance metadata.
    EniInMetadata = "eni_in_metadata",
    /// Addresses assigned until they stand in instance metadata.
    AddressInMetadata = "address_in_metadata",
    /// Phase A, fleet answer to the first kernel line: Nitro types without GPU.
    BootInstance = "boot_instance",
    BootInstanceGpu = "boot_instance_gpu",
    BootInstanceMetal = "boot_instance_metal",
    BootInstanceXen = "boot_instance_xen",
    /// Phase B, kernel to kubelet, by AMI family.
    BootSystemAl2 = "boot_system_al2",
    BootSystemAl2023 = "boot_system_al2023",
    BootSystemBottlerocket = "boot_system_bottlerocket",
    /// Factor common to phases A and B of one node.
    BootNodeFactor = "boot_node_factor",
    /// Factor common to phases A and B of all nodes of one zone launched in the same minute.
    BootZoneFactor = "boot_zone_factor",
    /// Phase C, kubelet's start to the Node object.
    KubeletRegister = "kubelet_register",
    /// Phase D, first part: Node object to ipamd's first step (images, start of aws-node), cached images.
    AwsNodeStart = "aws_node_start",
    /// What is added to it where system images must be pulled (Bottlerocket).
    AwsNodePull = "aws_node_pull",
    /// Phase D, last part: ipamd ready until the CNI configuration is written.
    CniConfigWrite = "cni_config_write",
    /// Phase E, CNI configuration until the Ready condition.
    NodeReady = "node_ready",
    /// Phase D as a whole on a node without the VPC CNI (`cni.mode = "none"`).
    OtherCniStart = "other_cni_start",
    /// Node object until Karpenter's patch that takes the unregistered taint off.
    UnregisteredTaint = "unregistered_taint",
    /// Registered until Initialized, once the node is Ready.
    ClaimInitialized = "claim_initialized",
    /// NodeClaim created until Karpenter calls CreateFleet.
    ClaimToLaunch = "claim_to_launch",
    /// A pod bound until kubelet asks for its sandbox (watch, volumes, admission).
    KubeletSync = "kubelet_sync",
    /// The sandbox with its address.
    SandboxSetup = "sandbox_setup",
    /// kubelet's wait after a failed sandbox: 10 to 15 s (backed-off pod worker).
    SandboxRetry = "sandbox_retry",
    /// Manifest and token of an image not on the node.
    ImageManifest = "image_manifest",
    /// Factor on the pull's rate, by pod.
    ImageRateFactor = "image_rate_factor",
    /// Container create and start.
    ContainerStart = "container_start",
    /// Started container until kubelet's status says Running or Ready.
    StatusUpdate = "status_update",
    /// One request of the ReplicaSet controller, felt once a batch.
    ControllerRequest = "controller_request",
    /// A Binding from its client's token to the bound pod.
    BindRequest = "bind_request",
    /// Scale command until the first pod is created.
    FirstPod = "first_pod",
    /// Spot interruption notice until Karpenter's queue consumer has it.
    SpotNotice = "spot_notice",
}

/// How well a number is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grade {
    /// Somebody published the numbers of a run.
    Measured,
    /// The vendor's or project's documentation or code states it.
    Published,
    /// Documentation is known to state it, but could not be re-read in full.
    Recalled,
    /// Inferred; the reasoning is given beside it.
    Estimated,
    /// Written in the user's scenario.
    Given,
}

impl Grade {
    pub const fn name(self) -> &'static str {
        match self {
            Grade::Measured => "measured",
            Grade::Published => "published",
            Grade::Recalled => "recalled",
            Grade::Estimated => "estimated",
            Grade::Given => "given",
        }
    }
}

/// One latency with where it comes from.
#[derive(Clone, PartialEq, Debug)]
pub struct LatencyModel {
    pub law: Distribution,
    pub source: String,
    pub grade: Grade,
}

/// A model for every [`Latency`].
#[derive(Clone, PartialEq, Debug)]
pub struct LatencyModels(Vec<LatencyModel>);

impl LatencyModels {
    /// In the order of [`Latency::ALL`].
    ///
    /// # Panics
    /// If there is not exactly one model for each.
    pub fn new(models: Vec<LatencyModel>) -> Self {
        assert_eq!(models.len(), Latency::ALL.len(), "a latency model for each of the latencies");
        LatencyModels(models)
    }
    pub fn get(&self, latency: Latency) -> &LatencyModel {
        &self.0[latency as usize]
    }
    pub fn set(&mut self, latency: Latency, model: LatencyModel) {
        self.0[latency as usize] = model;
    }
}
