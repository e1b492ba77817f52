//! What is the same in every replication of a scenario, worked out once.

use crate::actors::ipamd::{Api, Limits, Settings, Version};
use crate::actors::karpenter::{NodeFamily, NodeSettings, allocatable, label, passes};
use crate::catalogue::{InstanceType, TypeId};
use crate::scenario::{AmiFamily, BucketLimit, NodeOverhead, NodePoolSpec, Profile, Scenario};
use crate::units::Resources;

/// A type that a pool may launch.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub id: TypeId,
    /// What is left for pods once the DaemonSets' have theirs.
    pub room: Resources,
    pub price_micro_usd: u64,
}

/// A NodePool with its types by rising price.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub spot: bool,
    pub offered: Vec<Offered>,
    /// The room of each type, by its place in the catalogue; `None`: not offered.
    pub room: Vec<Option<Resources>>,
    /// Zones its requirements allow, as places in [`Scenario::zones`].
    pub zones: Vec<u32>,
    pub family: AmiFamily,
}

/// A scenario ready to run.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub scenario: Scenario,
    pub(super) pools: Vec<Pool>,
    pub(super) daemons: Resources,
    /// ipamd's settings by type; `None` where the type's limits are unknown.
    pub(super) ipamd: Vec<Option<Settings>>,
    pub(super) prefixes: bool,
    /// By [`Api::ALL`].
    pub(super) buckets: Vec<BucketLimit>,
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
        specs.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
        Prepared {
            pools: specs.into_iter().map(|spec| pool(&scenario, spec, daemons)).collect(),
            daemons,
            prefixes: ipamd.iter().flatten().any(|settings| settings.prefix_delegation),
            ipamd,
            buckets: Api::ALL.iter().map(bucket).collect(),
            scenario,
        }
    }

    /// What pods may request on a node of this type, its DaemonSets' requests not yet taken off.
    pub(super) fn allocatable(
        scenario: &Scenario,
        found: &InstanceType,
        family: AmiFamily,
    ) -> Option<Resources> {
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
        match scenario.overhead {
            NodeOverhead::Eks => allocatable(found, &settings),
            NodeOverhead::Fixed { cpu_millis, memory_bytes } => {
                let all = crate::actors::karpenter::capacity(found, &settings)?;
                Some(all - Resources::new(cpu_millis, memory_bytes, 0))
            }
        }
    }
}

const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
const ZONE: &str = "topology.kubernetes.io/zone";

fn pool(scenario: &Scenario, spec: &NodePoolSpec, daemons: Resources) -> Pool {
    let allowed = |key: &str, value: &str| {
        let mut of_key = spec.requirements.iter().filter(|requirement| requirement.key == key);
        of_key.all(|requirement| passes(Some(value), requirement.operator, &requirement.values))
    };
    // Karpenter launches spot where the requirements allow it.
    let spot = allowed(CAPACITY_TYPE, "spot");
    let fits = |found: &InstanceType| {
        spec.requirements.iter().filter(|r| r.key != CAPACITY_TYPE && r.key != ZONE).all(|requirement| {
            passes(label(found, &requirement.key).as_deref(), requirement.operator, &requirement.values)
        })
    };
    let offered = |(index, found): (usize, &InstanceType)| {
        let price = if spot { found.spot_usd_per_hour()? } else { found.on_demand_usd_per_hour? };
        // AL2023 has no image for a1.
        let has_image = !(spec.ami_family == AmiFamily::Al2023 && found.family == "a1");
        let room = Prepared::allocatable(scenario, found, spec.ami_family)? - daemons;
        let offered =
            Offered { id: TypeId(index as u32), room, price_micro_usd: (price * 1e6).round() as u64 };
        (found.complete && has_image && fits(found)).then_some(offered)
    };
    let mut offered: Vec<Offered> =
        scenario.catalogue.types().iter().enumerate().filter_map(offered).collect();
    offered.sort_by_key(|offered| (offered.price_micro_usd, offered.id));
    let mut room = vec![None; scenario.catalogue.types().len()];
    offered.iter().for_each(|offered| room[offered.id.index()] = Some(offered.room));
    let zones =
        (0..scenario.zones.len() as u32).filter(|zone| allowed(ZONE, &scenario.zones[*zone as usize]));
    // A zone without a subnet offers nothing.
    let has_subnet = |zone: &u32| scenario.subnets.iter().any(|subnet| subnet.zone == *zone);
    Pool { spot, offered, room, zones: zones.filter(has_subnet).collect(), family: spec.ami_family }
}
