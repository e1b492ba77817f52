//! One EC2 instance type as the catalogue knows it. Unknown is `None`, never zero.

use crate::units::ExtendedResource;

/// CPU architecture, by its Kubernetes label value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    pub const fn label(self) -> &'static str {
        match self {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
}

/// What the instance runs on; decides whether it can hold /28 prefixes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hypervisor {
    Nitro,
    Xen,
    Metal,
}

/// One row of `models/instance-types/instance-types.csv`; see `models/instance-types/README.md` for units and sources.
#[derive(Clone, PartialEq, Debug)]
pub struct InstanceType {
    /// `m5.large`
    pub name: String,
    /// The text before the dot: `m5`.
    pub family: String,
    /// The text after the dot: `large`.
    pub size: String,
    /// Leading letters: `m`.
    pub category: String,
    /// The first number in the name: `5`. `None` where the name has none.
    pub generation: Option<u32>,
    pub architecture: Option<Architecture>,
    pub cpu_manufacturer: Option<String>,
    /// Sustained clock (MHz).
    pub cpu_mhz: Option<u32>,
    pub vcpus: Option<u32>,
    /// EC2's figure, before any overhead (MiB).
    pub memory_mib: Option<u64>,
    pub hypervisor: Option<Hypervisor>,
    pub burstable: bool,
    pub flex: bool,
    /// ENIs of the default network card.
    pub max_enis: Option<u32>,
    /// As many as ipamd takes the type to have: on a few types fewer.
    pub ipamd_max_enis: Option<u32>,
    /// IPv4 addresses of one ENI, its primary included.
    pub ipv4_per_eni: Option<u32>,
    pub network_cards: Option<u32>,
    pub default_network_card: Option<u32>,
    /// Can a trunk ENI be attached (security groups for pods)? `None`: unknown.
    pub trunking: Option<bool>,
    pub branch_interfaces: u32,
    pub efa_interfaces: u32,
    /// (Mbit/s)
    pub network_mbps: Option<u32>,
    /// (Mbit/s)
    pub ebs_mbps: Option<u32>,
    /// (GB); 0 where none is listed.
    pub local_nvme_gb: u32,
    pub gpu_count: u32,
    pub gpu_name: Option<String>,
    pub gpu_manufacturer: Option<String>,
    pub gpu_memory_mib_each: Option<u32>,
    pub accelerator_count: u32,
    pub accelerator_name: Option<String>,
    pub accelerator_manufacturer: Option<String>,
    /// us-east-1, Linux (USD/h). Types without a price are known but not offered.
    pub on_demand_usd_per_hour: Option<f64>,
    /// Spot saving against on-demand (%) and interruption band 0 to 4 of the advisor's us-east-1 Linux
    /// row; `None`: no row, hence no spot offering. Savings of 0 or less: spot costs what on-demand does.
    pub spot: Option<SpotAdvice>,
    /// Architecture, vCPUs, memory, hypervisor, interfaces, addresses and price are all known.
    pub complete: bool,
}

/// The advisor's row for a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpotAdvice {
    /// Saving against on-demand (%); may be 0 or negative.
    pub savings_pct: i32,
    /// Monthly interruption band: 0 is < 5 %, 1 is 5-10 %, 2 is 10-15 %, 3 is 15-20 %, 4 is > 20 %.
    pub interruption_band: u8,
}

impl InstanceType {
    /// Is it bare metal?
    pub fn is_bare_metal(&self) -> bool {
        self.hypervisor == Some(Hypervisor::Metal)
    }
    /// Bare metal by its size, or with GPUs or accelerators: Karpenter launches such only if nothing else is left.
    pub fn is_exotic(&self) -> bool {
        self.size.contains("metal") || self.gpu_count > 0 || self.accelerator_count > 0
    }
    /// `maxPods` of a node whose pods have secondary IPv4 addresses: ENIs x (addresses - 1) + 2, on the
    /// default network card. `None` where the limits are unknown.
    ///
    /// The 2 stand for aws-node and kube-proxy, which use the host's address.
    /// Source: amazon-eks-ami @81fec2e, nodeadm `eni_max_pods.go`; same in amazon-vpc-cni-k8s `misc/eni-max-pods.txt`.
    pub fn eni_limited_max_pods(&self) -> Option<u32> {
        Some(self.max_enis? * (self.ipv4_per_eni?.checked_sub(1)?) + 2)
    }
    /// Branch interfaces of pods with security groups; 0 where no trunk can be attached.
    ///
    /// Source: amazon-vpc-resource-controller-k8s v1.8.2, `pkg/aws/vpc/limits.go`; Karpenter counts the same.
    pub fn trunk_branches(&self) -> u32 {
        if self.trunking == Some(true) { self.branch_interfaces } else { 0 }
    }
    /// Whole pieces of the resource on an instance, as Karpenter counts them. Of a part of a GPU (g6f) there are none.
    ///
    /// Source: karpenter-provider-aws v1.14.1, `pkg/providers/instancetype/types.go`.
    pub fn devices(&self, resource: ExtendedResource) -> u32 {
        let gpus = |maker: &str| match self.gpu_manufacturer.as_deref() == Some(maker) {
            true => self.gpu_count,
            false => 0,
        };
        let cores = self.accelerator_name.as_deref().map_or(0, neuron_cores);
        match resource {
            ExtendedResource::PodEni => self.trunk_branches(),
            ExtendedResource::NvidiaGpu => gpus("nvidia"),
            ExtendedResource::AmdGpu => gpus("amd"),
            ExtendedResource::Neuron if cores > 0 => self.accelerator_count,
            ExtendedResource::Neuron => 0,
            ExtendedResource::NeuronCore => self.accelerator_count * cores,
            ExtendedResource::Gaudi => gpus("habana"),
            ExtendedResource::Efa => self.efa_interfaces,
        }
    }
    /// Can ENIs of this type hold /28 prefixes? (Nitro or bare metal.)
    pub fn supports_prefixes(&self) -> bool {
        matches!(self.hypervisor, Some(Hypervisor::Nitro | Hypervisor::Metal))
    }
    /// Spot price (USD/h), computed in double precision as on-demand x (1 - savings / 100), in that
    /// order; the on-demand price itself for savings of 0 or less. `None`: no spot offering.
    pub fn spot_usd_per_hour(&self) -> Option<f64> {
        let (price, advice) = (self.on_demand_usd_per_hour?, self.spot?);
        Some(if advice.savings_pct <= 0 {
            price
        } else {
            price * (1.0 - f64::from(advice.savings_pct) / 100.0)
        })
    }
}

/// NeuronCores of a chip; 0 of others' chips.
///
/// Source: the AWS Neuron documentation's pages on each chip's architecture; EC2's `NeuronInfo` says the same of types, its name
/// being the catalogue's accelerator.
fn neuron_cores(chip: &str) -> u32 {
    match chip {
        "inferentia" => 4,
        "inferentia2" | "trainium" => 2,
        "trainium2" => 8,
        _ => 0,
    }
}
