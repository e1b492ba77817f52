//! What is the same in every replication of a scenario, worked out once.

use super::capacity::CapacityModel;
use crate::actors::ipamd::{Api, Limits, Settings, Version};
use crate::actors::karpenter::{NodeFamily, NodeSettings, allocatable, capacity, label, passes};
use crate::catalogue::{InstanceType, Latency, TypeId};
use crate::chance::Sampler;
use crate::scenario::{AmiFamily, BucketLimit, NodeOverhead, NodePoolSpec, Profile, Scenario};
use crate::units::Resources;

/// A type that a pool may launch.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub id: TypeId,
    /// What pods may request, the DaemonSets' included.
    pub allocatable: Resources,
    /// What counts against a pool's limits.
    pub capacity: Resources,
    pub vcpus: u32,
    pub on_demand_micro_usd: u64,
    /// `None`: the type has no spot offering.
    pub spot_micro_usd: Option<u64>,
    /// Bare metal and accelerators: launched only if nothing else is left.
    pub exotic: bool,
}

/// A NodePool with its types by rising price.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub allows_spot: bool,
    pub allows_on_demand: bool,
    pub offered: Vec<Offered>,
    /// What its types hold, less those of which another holds more.
    pub largest: Vec<Resources>,
    /// Zones its requirements allow and that have a subnet, as places in [`Scenario::zones`].
    pub zones: Vec<u32>,
    pub family: AmiFamily,
    pub limits: Option<Resources>,
}

/// A scenario ready to run.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub scenario: Scenario,
    /// By weight.
    pub(super) pools: Vec<Pool>,
    pub(super) daemons: Resources,
    /// ipamd's settings by type; `None` where the type's limits are unknown.
    pub(super) ipamd: Vec<Option<Settings>>,
    pub(super) prefixes: bool,
    /// By [`Api::ALL`].
    pub(super) buckets: Vec<BucketLimit>,
    pub(super) capacity: CapacityModel,
    /// By [`Latency::ALL`].
    pub(super) samplers: Vec<Sampler>,
}

impl Prepared {
    pub fn new(scenario: Scenario) -> Prepared {
        let daemons = scenario.daemonsets.iter().fold(Resources::ZERO, |sum, daemon| sum + daemon.requests);
        let version = if scenario.profile == Profile::Nov2022 { Version::V1_12 } else { Version::V1_23 };
        let settings = |found: &InstanceType| {
            let limits = Limits {
                max_enis: found.max_enis?,
                ipv4_per_eni: found.ipv4_per_eni?,
                prefixes: found.supports_prefixes(),
                trunking: found.trunking,
            };
            let max_pods = scenario.cni.max_pods.or(found.eni_limited_max_pods())?;
            Some(Settings::read(version, &scenario.cni.env, limits, max_pods, &mut Vec::new()))
        };
        let ipamd: Vec<Option<Settings>> = scenario.catalogue.types().iter().map(settings).collect();
        let default = BucketLimit { size: 50, refill_per_s: 5 };
        let bucket = |api: &Api| scenario.ec2_limits.requests.get(api.name()).copied().unwrap_or(default);
        let mut specs: Vec<&NodePoolSpec> = scenario.node_pools.iter().collect();
        // Karpenter's order of equal weights: by name, the last first.
        specs.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| b.name.cmp(&a.name)));
        Prepared {
            pools: specs.into_iter().map(|spec| pool(&scenario, spec)).collect(),
            daemons,
            prefixes: ipamd.iter().flatten().any(|settings| settings.prefix_delegation),
            ipamd,
            buckets: Api::ALL.iter().map(bucket).collect(),
            capacity: CapacityModel::compiled_in(),
            samplers: Latency::ALL
                .iter()
                .map(|latency| scenario.latencies.get(*latency).law.sampler())
                .collect(),
            scenario,
        }
    }

    /// Capacity and allocatable of a node of this type; `None` where the catalogue does not say enough.
    pub(super) fn resources(
        scenario: &Scenario,
        found: &InstanceType,
        family: AmiFamily,
    ) -> Option<(Resources, Resources)> {
        let settings = NodeSettings {
            family: if family == AmiFamily::Bottlerocket {
                NodeFamily::Bottlerocket
            } else {
                NodeFamily::Amazon
            },
            max_pods: scenario.cni.max_pods,
            reserved_enis: scenario.karpenter.reserved_enis,
            vm_memory_overhead_percent: scenario.karpenter.vm_memory_overhead_percent,
        };
        let all = capacity(found, &settings)?;
        let left = match scenario.overhead {
            NodeOverhead::Eks => allocatable(found, &settings)?,
            NodeOverhead::Fixed { cpu_millis, memory_bytes } => {
                all - Resources::new(cpu_millis, memory_bytes, 0)
            }
        };
        Some((all, left))
    }
}

const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

fn pool(scenario: &Scenario, spec: &NodePoolSpec) -> Pool {
    let allowed = |key: &str, value: &str| {
        let mut of_key = spec.requirements.iter().filter(|requirement| requirement.key == key);
        of_key.all(|requirement| passes(Some(value), requirement.operator, &requirement.values))
    };
    let (allows_spot, allows_on_demand) =
        (allowed(CAPACITY_TYPE, "spot"), allowed(CAPACITY_TYPE, "on-demand"));
    let fits = |found: &InstanceType| {
        spec.requirements.iter().filter(|r| ![CAPACITY_TYPE, ZONE, REGION].contains(&r.key.as_str())).all(
            |requirement| {
                passes(label(found, &requirement.key).as_deref(), requirement.operator, &requirement.values)
            },
        )
    };
    let micro_usd = |price: f64| (price * 1e6).round() as u64;
    let offered = |(index, found): (usize, &InstanceType)| {
        let on_demand = micro_usd(found.on_demand_usd_per_hour?);
        let spot = found.spot_usd_per_hour().map(micro_usd).filter(|_| allows_spot);
        // AL2023 has no image for a1.
        let has_image = !(spec.ami_family == AmiFamily::Al2023 && found.family == "a1");
        let has_offering = allows_on_demand || spot.is_some();
        if !(found.complete && has_image && has_offering && fits(found)) {
            return None;
        }
        let (capacity, allocatable) = Prepared::resources(scenario, found, spec.ami_family)?;
        Some(Offered {
            id: TypeId(index as u32),
            allocatable,
            capacity,
            vcpus: found.vcpus?,
            on_demand_micro_usd: on_demand,
            spot_micro_usd: spot,
            exotic: found.is_bare_metal() || found.gpu_count > 0 || found.accelerator_count > 0,
        })
    };
    let mut offered: Vec<Offered> =
        scenario.catalogue.types().iter().enumerate().filter_map(offered).collect();
    offered.sort_by_key(|offered| (offered.on_demand_micro_usd, offered.id));
    let zones = (0..scenario.zones.len() as u32).filter(|zone| {
        let name = scenario.zones[*zone as usize].as_str();
        // `us-east-1a` lies in `us-east-1`.
        allowed(ZONE, name) && allowed(REGION, name.trim_end_matches(|c: char| c.is_ascii_lowercase()))
    });
    // A zone without a subnet offers nothing.
    let has_subnet = |zone: &u32| scenario.subnets.iter().any(|subnet| subnet.zone == *zone);
    let zones: Vec<u32> = zones.filter(has_subnet).collect();
    let largest = if zones.is_empty() { Vec::new() } else { maxima(offered.iter().map(|o| o.allocatable)) };
    let limits = (spec.cpu_limit_millis.is_some() || spec.memory_limit_bytes.is_some()).then(|| {
        let none = i64::MAX / 4;
        Resources::new(spec.cpu_limit_millis.unwrap_or(none), spec.memory_limit_bytes.unwrap_or(none), none)
    });
    Pool { allows_spot, allows_on_demand, largest, offered, zones, family: spec.ami_family, limits }
}

/// Those of which no other holds at least as much of everything.
pub(super) fn maxima(all: impl Iterator<Item = Resources>) -> Vec<Resources> {
    let mut kept: Vec<Resources> = Vec::new();
    for one in all {
        if kept.iter().any(|other| one.fits(other)) {
            continue;
        }
        kept.retain(|other| !other.fits(&one));
        kept.push(one);
    }
    kept
}
