//! The latency models: what is drawn, from which distribution, with which source and grade.

use super::distribution_text::parse_distribution;
use crate::chance::Distribution;

/// Declares [`Latency`]: one line a latency, its name in `models/latency.toml` and scenarios.
macro_rules! latencies {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is drawn. Seconds unless the item says a factor or a rate.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Latency { $($(#[$doc])* $name,)* }
        impl Latency {
            pub const ALL: &[Latency] = &[$(Latency::$name,)*];
            pub fn from_name(name: &str) -> Option<Latency> {
                Latency::ALL.iter().copied().find(|latency| latency.name() == name)
            }
            /// Is it a bare factor rather than a span?
            pub const fn is_factor(self) -> bool {
                matches!(
                    self,
                    Latency::BootNodeFactor
                        | Latency::BootZoneFactor
                        | Latency::ImageRateFactor
                        | Latency::ImageRate
                )
            }
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
    /// Answer of Detach until the interface can be deleted.
    Detaching = "detaching",
    DeleteNetworkInterface = "delete_network_interface",
    DescribeNetworkInterfaces = "describe_network_interfaces",
    DescribeInstances = "describe_instances",
    DescribeSubnets = "describe_subnets",
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
    /// Before Kubernetes 1.26: from there until kubelet next looks at its runtime.
    NodeRuntimePoll = "node_runtime_poll",
    /// Then until it next writes its status.
    NodeStatusLoop = "node_status_loop",
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
    /// Compressed megabytes a second of an image on its way onto a node.
    ImageRate = "image_rate",
    /// Karpenter's solve: for each pod of a round.
    SolvePerPod = "solve_per_pod",
    /// For each claim of the round that a pod is tried on.
    SolvePerClaimTried = "solve_per_claim_tried",
    /// For each node or launched claim that a pod is tried on.
    SolvePerExistingTried = "solve_per_existing_tried",
    /// Spot interruption notice until Karpenter's queue consumer has it.
    SpotNotice = "spot_notice",
    /// TerminateInstances, request to answer, from when on the instance shuts down.
    TerminateInstances = "terminate_instances",
    /// Shutting down until the instance is terminated and its interfaces are gone.
    InstanceShutdown = "instance_shutdown",
    /// An instance gone with pods on it until the control plane deletes these.
    PodLossNoticed = "pod_loss_noticed",
    CreateNetworkInterfacePermission = "create_network_interface_permission",
    AssociateTrunkInterface = "associate_trunk_interface",
    DisassociateTrunkInterface = "disassociate_trunk_interface",
    /// A Ready node until its CSI driver has registered.
    CsiDriverStart = "csi_driver_start",
    /// A Ready node until kubelet has told of its devices.
    DevicePluginStart = "device_plugin_start",
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
    pub fn from_name(name: &str) -> Option<Grade> {
        [Grade::Measured, Grade::Published, Grade::Recalled, Grade::Estimated, Grade::Given]
            .into_iter()
            .find(|grade| grade.name() == name)
    }
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
    /// The models of `models/latency.toml`.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    pub fn compiled_in() -> Self {
        let table: toml::Table = include_str!("../../models/latency.toml")
            .parse()
            .unwrap_or_else(|error| panic!("models/latency.toml: {error}"));
        let model = |latency: &Latency| {
            let entry = table.get(latency.name()).and_then(toml::Value::as_table);
            let entry = entry.unwrap_or_else(|| panic!("models/latency.toml has no [{}]", latency.name()));
            let law =
                parse_distribution(entry).unwrap_or_else(|error| panic!("[{}]: {error}", latency.name()));
            let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).map(str::to_string);
            let grade = text("grade").and_then(|name| Grade::from_name(&name));
            LatencyModel {
                law,
                source: text("source").unwrap_or_else(|| panic!("[{}] has no source", latency.name())),
                grade: grade.unwrap_or_else(|| panic!("[{}] has no grade", latency.name())),
            }
        };
        assert_eq!(table.len(), Latency::ALL.len(), "models/latency.toml has a table that no latency reads");
        LatencyModels::new(Latency::ALL.iter().map(model).collect())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_has_a_model_with_a_source() {
        let models = LatencyModels::compiled_in();
        for latency in Latency::ALL {
            assert!(models.get(*latency).source.len() > 10, "{}", latency.name());
            assert_eq!(Latency::from_name(latency.name()), Some(*latency));
        }
    }

    /// Phase D as published is LN(5 s, 9 s); its parts must add up to that.
    #[test]
    fn the_parts_of_phase_d_add_up_to_the_published_phase() {
        let models = LatencyModels::compiled_in();
        let parts = [
            Latency::AwsNodeStart,
            Latency::DescribeNetworkInterfaces,
            Latency::CreateTags,
            Latency::DescribeSubnets,
            Latency::ModifyNetworkInterfaceAttribute,
            Latency::AssignPrivateIpAddresses,
            Latency::CniConfigWrite,
        ];
        let chance = crate::chance::Chance::new(1, 0);
        let mut sums: Vec<f64> = (0..20_000)
            .map(|node| {
                let draw = |(i, l): (usize, &Latency)| {
                    models.get(*l).law.quantile(chance.uniform(
                        crate::chance::Component::Boot,
                        node,
                        i as u32,
                    ))
                };
                parts.iter().enumerate().map(draw).sum()
            })
            .collect();
        sums.sort_by(f64::total_cmp);
        let (median, p95) = (sums[10_000], sums[19_000]);
        assert!((median - 5.0).abs() < 0.4, "median {median} against 5.0 s");
        assert!((p95 - 9.0).abs() < 0.9, "p95 {p95} against 9.0 s");
    }
}
