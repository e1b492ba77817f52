//! What is the same in every replication of a scenario, worked out once.

use std::collections::BTreeSet;

use super::capacity::CapacityModel;
use super::era::Era;
use super::images::ImageTable;
use super::revisions::Revisions;
use crate::actors::ipamd::{Api, Limits, Settings};
use crate::actors::karpenter::daemons::DaemonSet;
use crate::actors::karpenter::labels::{CAPACITY_TYPE, INSTANCE_TYPE, REGION, ZONE};
use crate::actors::karpenter::offers::{Available, CapacityType, Offered, Offers, Types, runs_al2023};
use crate::actors::karpenter::requirement::Requirements;
use crate::actors::karpenter::reservations::Reservation;
use crate::actors::karpenter::solve::{Limits as PoolLimits, NodePool, Provisioner, Shape, Spread};
use crate::actors::taints::Toleration;
use crate::catalogue::{InstanceType, Latency, TypeId, VolumeSlots, volume_slots};
use crate::chance::Sampler;
use crate::scenario::{
    AmiFamily, BucketLimit, CapacityReservationSpec, CniMode, DaemonSetSpec, DeploymentSpec, NodeOverhead,
    NodePoolSpec, Scenario, TopologySpread, pod_affinity, region, volume_requirements,
};
use crate::units::{ExtendedCounts, ExtendedResource, Resources};

/// What a run wants to know of a type on offer, beside what Karpenter does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sold {
    pub id: TypeId,
    pub vcpus: u32,
    /// By [`CapacityType::MARKETS`]; `None`: not offered so.
    pub micro_usd: [Option<u64>; 2],
}

/// A NodePool.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub allows_spot: bool,
    pub allows_on_demand: bool,
    /// Zones its requirements allow and that have a subnet, as places in [`Scenario::zones`].
    pub zones: Vec<u32>,
    pub family: AmiFamily,
    pub limits: PoolLimits,
}

/// A scenario ready to run.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its Deployments are followed by its Jobs, and these by Deployments' templates to come, each as a ReplicaSet of its own.
    pub scenario: Scenario,
    /// Which these are; `None` where no template changes.
    pub(super) revisions: Option<Revisions>,
    /// As the scenario lists them.
    pub(super) pools: Vec<Pool>,
    /// With everything available.
    pub(super) provisioner: Provisioner,
    /// By pool and Deployment: the types that its pods could live with; `None`: with all, since nothing is constrained.
    pub(super) within_reach: Option<Vec<Vec<Types>>>,
    /// By the place among what is offered.
    pub(super) sold: Vec<Sold>,
    /// What DaemonSets' pods request on a node of which nobody asks for labels or taints.
    pub(super) daemons: Resources,
    pub(super) era: &'static Era,
    /// What Karpenter takes off allocatable beyond kubelet.
    pub(super) system_reserved: Resources,
    /// Extended resources that matter; none for most, who then pay nothing for them.
    pub(super) extended: ExtendedCounts,
    /// ipamd's settings by type; `None` where the type's limits are unknown.
    pub(super) ipamd: Vec<Option<Settings>>,
    pub(super) prefixes: bool,
    /// By [`Api::ALL`].
    pub(super) buckets: Vec<BucketLimit>,
    pub(super) fleet_bucket: BucketLimit,
    pub(super) terminate_bucket: BucketLimit,
    pub(super) capacity: CapacityModel,
    /// By [`Latency::ALL`].
    pub(super) samplers: Vec<Sampler>,
    /// At which kubelet pulls an image, but for a pod's own factor [bytes/s].
    pub(super) image_rate: f64,
    pub(super) images: ImageTable,
    /// By type; empty where no pod has a volume.
    pub(super) volume_slots: Vec<VolumeSlots>,
}

impl Prepared {
    /// Has any pod a volume?
    pub(super) fn has_volumes(&self) -> bool {
        !self.volume_slots.is_empty()
    }
    pub fn new(mut scenario: Scenario) -> Prepared {
        scenario.deployments.append(&mut scenario.jobs);
        let revisions = Revisions::unfold(&mut scenario);
        let daemons = scenario.daemon_requests();
        let era = Era::of(scenario.profile);
        let settings = |found: &InstanceType| {
            let limits = Limits::of(found)?;
            let max_pods = scenario.cni.max_pods.or(found.eni_limited_max_pods())?;
            Some(Settings::read(era.ipamd, &scenario.cni.env, limits, max_pods, &mut Vec::new()))
        };
        let ipamd: Vec<Option<Settings>> = scenario.catalogue.types().iter().map(settings).collect();
        let bucket = |name: &str| request_limit(&scenario, name);
        let (provisioner, sold) = provisioner(&scenario, era);
        let reach = |pool: usize| -> Vec<Types> {
            let shapes = 0..scenario.deployments.len() as u32;
            shapes.map(|shape| provisioner.within_reach(shape, pool as u32)).collect()
        };
        let pools = 0..scenario.node_pools.len();
        let has_volumes = scenario.deployments.iter().any(|spec| !spec.placement.volumes.is_empty());
        let types = if has_volumes { scenario.catalogue.types() } else { &[] };
        Prepared {
            era,
            volume_slots: volume_slots(types),
            system_reserved: system_reserved(&scenario, era),
            extended: scenario.extended_asked(),
            within_reach: scenario.has_constraints().then(|| pools.map(reach).collect()),
            pools: scenario.node_pools.iter().map(|spec| pool(&scenario, spec)).collect(),
            provisioner,
            sold,
            daemons,
            // In an IPv6 cluster nobody asks for IPv4 prefixes.
            prefixes: scenario.cni.mode == CniMode::Vpc
                && ipamd.iter().flatten().any(|settings| settings.prefix_delegation),
            ipamd,
            buckets: Api::ALL.iter().map(|api| bucket(api.name())).collect(),
            fleet_bucket: bucket("CreateFleet"),
            terminate_bucket: bucket("TerminateInstances"),
            capacity: CapacityModel::compiled_in(),
            samplers: Latency::ALL
                .iter()
                .map(|latency| scenario.latencies.get(*latency).law.sampler())
                .collect(),
            image_rate: scenario.latencies.get(Latency::ImageRate).law.quantile(0.5) * 1e6,
            images: ImageTable::new(&scenario, revisions.as_ref(), era.filters),
            revisions,
            scenario,
        }
    }

    /// The limit on requests of an API.
    pub(super) fn request_limit(&self, api: &str) -> BucketLimit {
        request_limit(&self.scenario, api)
    }
}

/// What EC2's limit on an API leaves: what the account's other tools call for is not there.
fn request_limit(scenario: &Scenario, api: &str) -> BucketLimit {
    let default = BucketLimit { size: 50, refill_per_s: 5 };
    let limit = scenario.ec2_limits.requests.get(api).copied().unwrap_or(default);
    let background = scenario.ec2_limits.background_per_s.get(api).copied().unwrap_or(0);
    BucketLimit { refill_per_s: limit.refill_per_s - background.min(limit.refill_per_s), ..limit }
}

fn has_subnet(scenario: &Scenario, zone: u32) -> bool {
    scenario.subnets.iter().any(|subnet| subnet.zone == zone)
}

fn pool(scenario: &Scenario, spec: &NodePoolSpec) -> Pool {
    let requirements = spec.joined_requirements();
    let zones = (0..scenario.zones.len() as u32).filter(|zone| {
        let name = scenario.zones[*zone as usize].as_str();
        let allowed = requirements.allows(ZONE, name) && requirements.allows(REGION, region(name));
        allowed && has_subnet(scenario, *zone)
    });
    Pool {
        allows_spot: requirements.allows(CAPACITY_TYPE, CapacityType::Spot.name()),
        allows_on_demand: requirements.allows(CAPACITY_TYPE, CapacityType::OnDemand.name()),
        zones: zones.collect(),
        family: spec.ami_family,
        limits: PoolLimits {
            cpu_millis: spec.cpu_limit_millis,
            memory_bytes: spec.memory_limit_bytes,
            nodes: spec.node_limit,
            extended: ExtendedResource::ALL.map(|one| {
                spec.extended_limits.iter().find(|(limited, _)| *limited == one).map(|(_, most)| *most)
            }),
        },
    }
}

/// Karpenter's provisioner over the types that some pool may launch, and what they are sold for. A type stands once
/// for each AMI family among the pools, since what it leaves to pods depends on it.
fn provisioner(scenario: &Scenario, era: &Era) -> (Provisioner, Vec<Sold>) {
    let in_use: Vec<u32> =
        (0..scenario.zones.len() as u32).filter(|zone| has_subnet(scenario, *zone)).collect();
    let zone_names: Vec<String> = in_use.iter().map(|zone| scenario.zones[*zone as usize].clone()).collect();
    let region = region(scenario.zones.first().map_or("", String::as_str));
    let (mut types, mut sold, mut families) = (Vec::new(), Vec::new(), Vec::new());
    let wanted: Vec<(AmiFamily, Requirements)> =
        scenario.node_pools.iter().map(|spec| (spec.ami_family, spec.joined_requirements())).collect();
    // Of other labels nobody asks.
    let by_pools = wanted.iter().flat_map(|(_, wanted)| wanted.iter().map(|(key, _)| key));
    let by_pods = scenario.deployments.iter().flat_map(|deployment| deployment.placement.keys());
    let by_daemons = scenario.daemonsets.iter().flat_map(|daemon| daemon.placement.keys());
    let named_labels: BTreeSet<&str> = by_pools.chain(by_pods).chain(by_daemons).collect();
    for family in [AmiFamily::Al2, AmiFamily::Al2023, AmiFamily::Bottlerocket] {
        let of_family: Vec<&Requirements> =
            wanted.iter().filter(|(other, _)| *other == family).map(|(_, wanted)| wanted).collect();
        for (index, found) in scenario.catalogue.types().iter().enumerate() {
            let runs = family != AmiFamily::Al2023 || runs_al2023(&found.name);
            let named = of_family.iter().any(|wanted| wanted.allows(INSTANCE_TYPE, &found.name));
            if !(found.complete && runs && named) {
                continue;
            }
            let (Some(resources), Some(vcpus)) = (scenario.node_resources(found, family), found.vcpus) else {
                continue;
            };
            let wanted = |key: &str| named_labels.contains(key);
            let mut offered = Offered::new(found, region, &zone_names, resources, wanted);
            let reserved = scenario.capacity_reservations.iter();
            for spec in reserved.filter(|spec| spec.instance_type.index() == index) {
                offered.iter_mut().for_each(|offered| offered.also_reserved(&spec.name));
            }
            let meets =
                |offered: &Offered| of_family.iter().any(|wanted| offered.requirements.intersects(wanted));
            let Some(mut offered) = offered.filter(meets) else { continue };
            offered.allocatable = offered.allocatable - system_reserved(scenario, era);
            let micro_usd = offered.prices.map(|price| price.map(|price| (price * 1e6).round() as u64));
            sold.push(Sold { id: TypeId(index as u32), vcpus, micro_usd });
            families.push(family);
            types.push(offered);
        }
    }
    let count = types.len();
    let of_family = |family| Types::of((0..count).filter(|place| families[*place] == family), count);
    let pools = scenario.node_pools.iter().map(|spec| NodePool {
        name: spec.name.clone(),
        weight: spec.weight as i32,
        requirements: spec.joined_requirements(),
        labels: spec.labels.clone(),
        taints: spec.taints.clone(),
        types: Some(of_family(spec.ami_family)),
        reservations: Some(selected_by(scenario, &spec.name)),
    });
    // Karpenter launches where there is a subnet.
    let zones = in_use.iter().fold(0, |zones, zone| zones | 1 << zone);
    let available: Available = types
        .iter()
        .map(|offered| offered.prices.map(|price| if price.is_some() { zones } else { 0 }))
        .collect();
    let (everywhere, daemonsets) = daemonsets(scenario);
    let offers = Offers::new(types, scenario.zones.clone(), available, everywhere)
        .with_daemonsets(daemonsets)
        .with_rules(era.launch)
        .with_reservations(reservations(scenario, &sold));
    let shapes: Vec<Shape> =
        (0..scenario.deployments.len()).map(|place| shape(place, &scenario.deployments)).collect();
    (Provisioner::new(offers, pools.collect(), &shapes), sold)
}

/// What DaemonSets request of which no more counts, since they have a pod on every node and no ports; and the others.
fn daemonsets(scenario: &Scenario) -> (Resources, Vec<DaemonSet>) {
    let (everywhere, others): (Vec<&DaemonSetSpec>, Vec<&DaemonSetSpec>) =
        scenario.daemonsets.iter().partition(|daemon| daemon.counts_by_requests());
    let known = |spec: &DaemonSetSpec| DaemonSet {
        requests: spec.requests,
        node_selector: spec.placement.node_selector.clone(),
        required: spec.placement.node_affinity.required.clone(),
        tolerations: match spec.tolerates_everything {
            true => vec![Toleration::of_everything()],
            false => spec.placement.tolerations.clone(),
        },
        host_ports: spec.placement.host_ports.clone(),
    };
    let requests = everywhere.iter().fold(Resources::ZERO, |sum, daemon| sum + daemon.requests);
    (requests, others.into_iter().map(known).collect())
}

/// What a release of Karpenter takes off allocatable beyond kubelet.
fn system_reserved(scenario: &Scenario, era: &Era) -> Resources {
    match scenario.overhead {
        NodeOverhead::Eks => era.system_reserved,
        NodeOverhead::Fixed { .. } => Resources::ZERO,
    }
}

/// The scenario's capacity reservations as Karpenter first knows them.
fn reservations(scenario: &Scenario, sold: &[Sold]) -> Vec<Reservation> {
    let known = |spec: &CapacityReservationSpec| Reservation {
        name: spec.name.clone(),
        types: (0..sold.len()).filter(|place| sold[*place].id == spec.instance_type).collect(),
        zone: spec.zone,
        left: spec.count - spec.used,
    };
    scenario.capacity_reservations.iter().map(known).collect()
}

/// Those that the node class of a pool selects.
fn selected_by(scenario: &Scenario, pool: &str) -> Vec<u32> {
    let selects = |spec: &CapacityReservationSpec| {
        spec.node_pools.as_ref().is_none_or(|pools| pools.iter().any(|name| name == pool))
    };
    let numbered = (0..).zip(&scenario.capacity_reservations);
    numbered.filter(|(_, spec)| selects(spec)).map(|(number, _)| number).collect()
}

/// The Deployment's pods as Karpenter packs them.
fn shape(place: usize, deployments: &[DeploymentSpec]) -> Shape {
    let deployment = &deployments[place];
    let placement = deployment.placement.clone();
    let spread = |spread: &TopologySpread| Spread {
        key: spread.topology_key.clone(),
        max_skew: spread.max_skew.into(),
        soft: !spread.hard,
        min_domains: spread.min_domains.map(i64::from),
    };
    Shape {
        requests: deployment.requests,
        spread: placement.topology_spread.iter().map(spread).collect(),
        node_selector: placement.node_selector,
        node_affinity: placement.node_affinity,
        tolerations: placement.tolerations,
        pod_affinity: pod_affinity(place, deployments),
        host_ports: placement.host_ports,
        attachments: placement.volumes.len() as u32,
        volumes: volume_requirements(&placement.volumes),
    }
}
