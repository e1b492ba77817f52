use std::net::IpAddr;

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::super::image_status::ImageStatus;
use super::super::state::NodeStage;
use super::*;
use crate::actors::host_port::{HostPort, Protocol};
use crate::actors::karpenter::requirement::{Operator, Requirement};
use crate::actors::kube_scheduler::cycle;
use crate::actors::kube_scheduler::score::Strategy as Scoring;
use crate::actors::kube_scheduler::spread::{Constraint, HOSTNAME, ZONE};
use crate::actors::kube_scheduler::view::{self, Container, Others, Spreading};
use crate::actors::node_affinity::{NodeAffinity, Term};
use crate::actors::taints::Operator as Tolerates;
use crate::chance::Distribution;
use crate::scenario::{ClientLimit, NamedTerm, Rollouts, TopologySpread};

const REQUESTS: Resources = Resources::new(700, 900, 1);
const IMAGE_BYTES: i64 = 900_000_000;
const KEYS: [&str; 3] = [HOSTNAME, ZONE, "rack"];
/// The Deployment whose pods are placed, and others.
const NAMES: [&str; 3] = ["app", "db", "cache"];

/// A node: size, labels and taints, what is on it.
#[derive(Clone, Debug)]
struct Case {
    cpu: i64,
    memory: i64,
    slots: i64,
    zone: Option<u8>,
    rack: Option<u8>,
    taints: Vec<(u8, u8)>,
    /// By [`NAMES`].
    pods: [u32; 3],
    going: [u32; 3],
    others: i64,
    ready: bool,
    has_image: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let label = || prop::option::weighted(0.8, 0u8..4);
    let taints = prop::collection::vec((0u8..3, 0u8..3), 0..3);
    let size = (1i64..9, 1i64..9, 1i64..9);
    let there = (prop::bool::weighted(0.9), any::<bool>());
    let going = prop::array::uniform3(prop::sample::select(vec![0, 0, 0, 0, 1]));
    let mates = prop::array::uniform2(prop::sample::select(vec![0, 0, 0, 1, 2]));
    let pods = (0u32..4, mates, going);
    (size, label(), label(), taints, pods, 0i64..4, there).prop_map(
        |(
            (cpu, memory, slots),
            zone,
            rack,
            taints,
            (own, [db, cache], going),
            others,
            (ready, has_image),
        )| Case {
            cpu,
            memory,
            slots,
            zone,
            rack,
            taints,
            pods: [own, db, cache],
            going,
            others,
            ready,
            has_image,
        },
    )
}

fn effect(number: u8) -> Effect {
    [Effect::NoSchedule, Effect::PreferNoSchedule, Effect::NoExecute][usize::from(number)]
}

fn term(zones: &[u8]) -> Term {
    let zones: Vec<String> = zones.iter().map(|zone| format!("z{zone}")).collect();
    Term(vec![(ZONE.into(), Requirement::new(Operator::In, &zones, None))])
}

/// Up to so many terms, by some key, that select some of [`NAMES`] or the Deployment's own pods.
fn terms(most: usize) -> impl Strategy<Value = Vec<NamedTerm>> {
    let weight = prop::option::of(1u32..100);
    let term = (0usize..3, prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..3), weight);
    let read = |(key, names, weight): (usize, Vec<&str>, Option<u32>)| NamedTerm {
        topology_key: KEYS[key].into(),
        deployments: names.into_iter().map(String::from).collect(),
        weight,
    };
    prop::collection::vec(term.prop_map(read), 0..=most)
}

fn placement() -> impl Strategy<Value = Placement> {
    let zones = || prop::collection::vec(0u8..4, 1..3);
    let spread = (0usize..3, 1u32..4, any::<bool>(), prop::option::of(1u32..5));
    (
        prop::option::weighted(0.2, 0u8..4),
        prop::collection::vec(zones(), 0..3),
        prop::collection::vec((1i64..100, zones()), 0..3),
        prop::collection::vec((0u8..3, prop::option::of(0u8..3)), 0..3),
        prop::collection::vec(spread, 0..3),
        terms(3),
        terms(3),
    )
        .prop_map(|(rack, required, preferred, tolerations, spread, near, apart)| Placement {
            node_selector: rack.map(|rack| ("rack".to_string(), format!("r{rack}"))).into_iter().collect(),
            node_affinity: NodeAffinity {
                required: required.iter().map(|zones| term(zones)).collect(),
                preferred: preferred.iter().map(|(weight, zones)| (*weight, term(zones))).collect(),
            },
            tolerations: tolerations
                .into_iter()
                .map(|(key, of)| Toleration {
                    key: format!("k{key}"),
                    operator: Tolerates::Exists,
                    value: String::new(),
                    effect: of.map(effect),
                })
                .collect(),
            topology_spread: spread
                .into_iter()
                .map(|(key, max_skew, hard, min_domains)| TopologySpread {
                    topology_key: KEYS[key].into(),
                    max_skew,
                    hard,
                    min_domains: min_domains.filter(|_| hard),
                })
                .collect(),
            pod_affinity: near,
            pod_anti_affinity: apart,
            host_ports: Vec::new(),
            volumes: Vec::new(),
        })
}

fn port() -> impl Strategy<Value = HostPort> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]);
    let ip = prop::option::of((1u8..3).prop_map(|host| IpAddr::from([10, 0, 0, host])));
    (1u16..3, protocol, ip).prop_map(|(port, protocol, ip)| HostPort { port, protocol, ip })
}

/// What the pods on a node have of its ports.
fn used_ports(case: &Case, deployments: &[DeploymentSpec]) -> Vec<HostPort> {
    let there = deployments.iter().zip(case.pods).filter(|(_, count)| *count > 0);
    there.flat_map(|(deployment, _)| deployment.placement.host_ports.iter().copied()).collect()
}

fn ports_taken(case: &Case, deployments: &[DeploymentSpec]) -> bool {
    let own = &deployments[0].placement;
    let is_rival = |(other, count): (&DeploymentSpec, u32)| {
        let ports = &other.placement.host_ports;
        count > 0 && own.host_ports.iter().any(|own| ports.iter().any(|port| own.clashes(port)))
    };
    deployments.iter().zip(case.pods).any(is_rival)
}

fn labels(index: usize, case: &Case) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(HOSTNAME.to_string(), format!("n{index}"))]);
    labels.extend(case.zone.map(|zone| (ZONE.to_string(), format!("z{zone}"))));
    labels.extend(case.rack.map(|rack| ("rack".to_string(), format!("r{rack}"))));
    labels
}

fn taints(case: &Case) -> Vec<Taint> {
    let taint =
        |(key, of): &(u8, u8)| Taint { key: format!("k{key}"), value: String::new(), effect: effect(*of) };
    case.taints.iter().map(taint).collect()
}

fn node(case: &Case) -> Node {
    let (own, others) = (i64::from(case.pods[0]), case.others);
    Node {
        stage: if case.ready { NodeStage::Ready } else { NodeStage::Booting },
        allocatable: Resources::new(case.cpu * 500, case.memory * 600, case.slots),
        requested: Resources::new(700 * own + 90 * others, 900 * own + 50 * others, own + others),
        ..Node::claim(0)
    }
}

fn images() -> PodImages {
    PodImages::new([(3, IMAGE_BYTES)])
}
/// With the counts of a snapshot that has just been taken.
fn nodes_with_images(cases: &[Case]) -> Vec<Node> {
    let holders = cases.iter().filter(|case| case.ready && case.has_image).count() as u32;
    let told = |case: &Case| ImageStatus::telling(&[(3, holders)][..usize::from(case.has_image)]);
    cases.iter().map(|case| Node { image_status: told(case), ..node(case) }).collect()
}

fn plain_pod(deployments: &[DeploymentSpec], default_spread: bool) -> view::Pod {
    let placement = &deployments[0].placement;
    let constraint = |spread: &TopologySpread| Constraint {
        key: spread.topology_key.clone(),
        max_skew: spread.max_skew.into(),
        hard: spread.hard,
        min_domains: spread.min_domains.unwrap_or(1) as usize,
        honor_affinity: true,
        honor_taints: false,
    };
    let own: Vec<Constraint> = placement.topology_spread.iter().map(constraint).collect();
    view::Pod {
        containers: vec![Container {
            cpu_millis: Some(REQUESTS.cpu_millis),
            memory_bytes: Some(REQUESTS.memory_bytes),
            image: Some("app:1".into()),
        }],
        init_containers: Vec::new(),
        node_selector: placement.node_selector.clone(),
        node_affinity: placement.node_affinity.clone(),
        tolerations: placement.tolerations.clone(),
        host_ports: placement.host_ports.clone(),
        spreading: match (own.is_empty(), default_spread) {
            (false, _) => Spreading::Own(own),
            (true, true) => Spreading::Defaults,
            (true, false) => Spreading::None,
        },
        kind: 0,
        pod_affinity: pod_affinity(0, deployments),
    }
}

fn deployment(name: &str, placement: Placement) -> DeploymentSpec {
    DeploymentSpec {
        name: name.into(),
        requests: REQUESTS,
        own_requests: REQUESTS,
        image_bytes: 0,
        image_layers: Vec::new(),
        init_containers: Vec::new(),
        startup: Distribution::Constant(0.0),
        startup_probe: None,
        readiness: None,
        schedule: Vec::new(),
        autoscaler: None,
        rollouts: Rollouts::NONE,
        job: None,
        termination_grace: Distribution::Constant(0.0),
        termination_grace_period: None,
        do_not_disrupt: None,
        pdb: None,
        usage: None,
        memory_usage: None,
        placement,
        priority: 0,
        never_preempts: false,
    }
}

/// What the plain pass says of the nodes that are there.
fn plainly(
    cases: &[Case],
    deployments: &[DeploymentSpec],
    settings: &SchedulerSettings,
) -> Vec<(u32, Result<i64, String>)> {
    plainly_with(cases, deployments, settings, &[[0; 3]; 40])
}
/// The same, with so many pods more on each node by [`NAMES`].
fn plainly_with(
    cases: &[Case],
    deployments: &[DeploymentSpec],
    settings: &SchedulerSettings,
    more: &[[i64; 3]],
) -> Vec<(u32, Result<i64, String>)> {
    let there: Vec<usize> = (0..cases.len()).filter(|index| cases[*index].ready).collect();
    let others = |(kind, count): (u32, i64)| Others {
        kind,
        count,
        pod_affinity: pod_affinity(kind as usize, deployments),
    };
    let view = |index: &usize| {
        let (case, node, more) = (&cases[*index], node(&cases[*index]), more[*index]);
        let count = |kind: u32| {
            let [pods, going] = [case.pods, case.going].map(|pods| i64::from(pods[kind as usize]));
            // Those that are going keep company until they are gone.
            (kind, pods + going + more[kind as usize])
        };
        view::Node {
            name: format!("n{index}"),
            labels: labels(*index, case),
            allocatable: node.allocatable,
            requested: node.requested,
            non_zero_requested: node.requested,
            matching_pods: i64::from(case.pods[0]) + more[0],
            pods: (0..3).map(count).filter(|(_, count)| *count > 0).map(others).collect(),
            used_ports: used_ports(case, deployments),
            unschedulable: false,
            taints: taints(case),
            images: case
                .has_image
                .then(|| view::Image { name: "app:1".into(), size_bytes: IMAGE_BYTES })
                .into_iter()
                .collect(),
        }
    };
    let views: Vec<view::Node> = there.iter().map(view).collect();
    let pod = plain_pod(deployments, settings.default_spread);
    let said = cycle::judge(&pod, &views, &settings.strategy, Version::V1_34);
    let short = |said: Result<cycle::Scores, filter::Rejection>| {
        said.map(|scores| scores.total()).map_err(|rejection| rejection.plugin.to_owned())
    };
    there.iter().map(|index| *index as u32).zip(said.into_iter().map(short)).collect()
}

fn settings(strategy: Scoring, default_spread: bool) -> SchedulerSettings {
    SchedulerSettings { client: ClientLimit { qps: 50, burst: 100 }, strategy, default_spread }
}

/// What the run tells of the node's pods.
fn present(case: &Case) -> Vec<Present> {
    let pods = case.pods.iter().zip(case.going);
    pods.map(|(staying, going)| Present { staying: *staying, going }).collect()
}

/// The Deployment whose pods are placed, and two others that mind pods.
fn deployments(placement: Placement, others: [(Vec<NamedTerm>, Vec<NamedTerm>); 2]) -> Vec<DeploymentSpec> {
    let of_other =
        |(near, apart)| Placement { pod_affinity: near, pod_anti_affinity: apart, ..Placement::default() };
    let placements = [placement].into_iter().chain(others.map(of_other));
    NAMES.iter().zip(placements).map(|(name, placement)| deployment(name, placement)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]
    /// The same nodes fit with the same scores, and where none does the same plugins are told.
    #[test]
    fn a_constrained_pass_is_the_plain_one(
        cases in prop::collection::vec(case(), 1..40),
        placement in placement(),
        strategy in prop::sample::select(vec![
            Scoring::LeastAllocated,
            Scoring::MostAllocated,
            Scoring::shaped([(0, 0), (60, 10), (100, 2)]),
        ]),
        default_spread in any::<bool>(),
        others in prop::array::uniform2((terms(1), terms(1))),
        ports in prop::array::uniform3(prop::collection::vec(port(), 0..2)),
    ) {
        let settings = settings(strategy, default_spread);
        let mut deployments = deployments(placement, others);
        deployments.iter_mut().zip(ports).for_each(|(of, ports)| of.placement.host_ports = ports);
        let mut placing = Placing::new(0, &deployments, &settings, images(), Version::V1_34);
        let nodes = nodes_with_images(&cases);
        // Beforehand each node was as its neighbour is now, but for its labels, which stay.
        let before = |index: usize| {
            let Case { zone, rack, .. } = cases[index];
            Case { zone, rack, ..cases[(index + 1) % cases.len()].clone() }
        };
        let was = (0..cases.len()).map(before).enumerate();
        for (index, case) in was.chain(cases.iter().cloned().enumerate()) {
            let labels = labels(index, &case);
            let taken = Taken { ports: ports_taken(&case, &deployments), ..Taken::default() };
            placing.update(index as u32, &node(&case), &labels, &taints(&case), &present(&case), taken);
        }
        let said = plainly(&cases, &deployments, &settings);
        let (mut found, mut scores) = (Vec::new(), Vec::new());
        let looked_at = placing.feasible_from(3, |nodes| nodes, &mut found);
        prop_assert_eq!(looked_at as usize, said.len());
        placing.scores(&found, &nodes, &mut scores);
        let got: Vec<(u32, i64)> = found.iter().copied().zip(scores).collect();
        let passed = said.iter().filter_map(|(index, said)| Some((*index, *said.as_ref().ok()?)));
        let wanted: Vec<(u32, i64)> = passed.collect();
        prop_assert_eq!(&got, &wanted);
        if got.is_empty() {
            let by = |plugin: &str| said.iter().any(|(_, said)| said.as_ref().is_err_and(|by| by == plugin));
            let tally = placing.tally;
            prop_assert_eq!(tally.nodes as usize, said.len());
            prop_assert_eq!(tally.by_ports(), by("NodePorts"));
            prop_assert_eq!(tally.by_fit(), by("NodeResourcesFit"));
            prop_assert_eq!(tally.by_taints(), by("TaintToleration"));
            prop_assert_eq!(tally.by_labels(), by("NodeAffinity"));
            prop_assert_eq!(tally.by_spread(), by("PodTopologySpread"));
            prop_assert_eq!(tally.by_pod_affinity(), by("InterPodAffinity"));
        }
        // Fewer are wanted: they are of those that fit, from the start on.
        let some = placing.feasible_from(3, |_| 2, &mut found);
        if wanted.len() > 2 {
            let nodes = cases.len() as u32;
            let mut order: Vec<u32> = wanted.iter().map(|(index, _)| *index).collect();
            order.sort_by_key(|index| (index + nodes - 3 % nodes) % nodes);
            prop_assert_eq!(&found, &order[..2].to_vec());
            prop_assert!(some >= 2 && some <= nodes);
        }
    }

    /// A node with others gone and others expected, which nothing but room and ports decides beside, is open if and only if
    /// the plain pass over the cluster with those changes on that node says so, both with the expected and without.
    #[test]
    fn a_dry_run_is_the_plain_pass_over_what_would_be(
        cases in prop::collection::vec(case(), 1..12),
        placement in placement(),
        others in prop::array::uniform2((terms(1), terms(1))),
        gone in prop::array::uniform3(0i64..4),
        expected in prop::collection::vec(0u32..3, 0..3),
    ) {
        let settings = settings(Scoring::LeastAllocated, false);
        let deployments = deployments(placement, others);
        // Room for all.
        let cases: Vec<Case> =
            cases.into_iter().map(|case| Case { cpu: 99, memory: 99, slots: 99, ..case }).collect();
        let mut placing = Placing::new(0, &deployments, &settings, images(), Version::V1_34);
        for (index, case) in cases.iter().enumerate() {
            let expected = if index == 0 { expected.iter().copied().collect() } else { SmallVec::new() };
            let taken = Taken { expected, ..Taken::default() };
            placing.update(index as u32, &node(case), &labels(index, case), &taints(case), &present(case), taken);
        }
        let Case { pods, going, .. } = cases[0];
        // Of its own none leaves, as they are of its own priority.
        let gone = [1, 2].map(|kind| gone[kind].min(i64::from(pods[kind] + going[kind])));
        let mut more = Vec::new();
        for (kind, gone) in [1, 2].into_iter().zip(gone) {
            (0..gone).for_each(|_| placing.shift(&mut more, kind, -1));
        }
        let says = |with: &[u32]| {
            let of = |kind: u32| with.iter().filter(|other| **other == kind).count() as i64;
            let mut changes = vec![[0; 3]; cases.len()];
            changes[0] = [of(0), of(1) - gone[0], of(2) - gone[1]];
            plainly_with(&cases, &deployments, &settings, &changes).into_iter().find(|(index, _)| *index == 0)
        };
        let Some((_, alone)) = says(&[]) else { return Ok(()) };
        let (_, with) = says(&expected).expect("it is there");
        // Where nobody that is there says anything to it, and it asks for no company, affinity is not looked at.
        let skipped = placing.company.is_skipped();
        let passes = |said: &Result<i64, String>| match said {
            Ok(_) => true,
            Err(plugin) => skipped && plugin == "InterPodAffinity",
        };
        prop_assert_eq!(placing.admits_with(0, &more), alone.is_ok() && passes(&with));
        if gone == [0, 0] {
            prop_assert_eq!(placing.fits(0), placing.admits_with(0, &[]));
        }
    }
}
