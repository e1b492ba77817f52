//! kube-scheduler's filter and score: pods of one Deployment onto empty nodes, with the kept-up groups and by the plain pass
//! over all nodes.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use kilopod::actors::kube_scheduler::alike::{Alike, Kind};
use kilopod::actors::kube_scheduler::cycle;
use kilopod::actors::kube_scheduler::filter;
use kilopod::actors::kube_scheduler::nodes_to_find;
use kilopod::actors::kube_scheduler::score::{self, Strategy};
use kilopod::actors::kube_scheduler::spread::{HOSTNAME, ZONE};
use kilopod::actors::kube_scheduler::view::{Container, Node, Pod, Spreading, Version};
use kilopod::actors::node_affinity::NodeAffinity;
use kilopod::actors::pod_affinity::PodAffinity;
use kilopod::chance::{Chance, Component};
use kilopod::units::Resources;

const REQUESTS: Resources = Resources::new(1_000, 2 << 30, 1);
const ZONES: u32 = 3;

/// m5.4xlarge and m5.8xlarge in turn, in three zones.
fn allocatable(node: u32) -> Resources {
    if node.is_multiple_of(2) {
        Resources::new(15_890, 57 << 30, 234)
    } else {
        Resources::new(31_850, 117 << 30, 234)
    }
}

/// Nodes with what is kept up of them.
struct Cluster {
    requested: Vec<Resources>,
    pods: Vec<u32>,
    in_zone: [u32; ZONES as usize],
    alike: Alike,
    start: u32,
}

impl Cluster {
    fn new(nodes: u32) -> Cluster {
        let mut cluster = Cluster {
            requested: vec![Resources::ZERO; nodes as usize],
            pods: vec![0; nodes as usize],
            in_zone: [0; ZONES as usize],
            alike: Alike::default(),
            start: 0,
        };
        (0..nodes).for_each(|node| cluster.look_at(node));
        cluster
    }

    /// Filter and resource scores of a node that has changed.
    fn look_at(&mut self, node: u32) {
        let (requested, all) = (self.requested[node as usize], allocatable(node));
        let fits = !filter::lacking(REQUESTS, requested, all, Version::V1_34).any();
        let kind = || Kind {
            zone: node % ZONES,
            pods: self.pods[node as usize],
            score: score::resources(requested + REQUESTS, all),
        };
        let kind = fits.then(kind);
        self.alike.set(node, kind);
    }

    /// Places pods until they are all placed; how many were.
    fn place(&mut self, pods: u32, chance: &Chance) -> u32 {
        let nodes = self.pods.len() as u32;
        for pod in 0..pods {
            let pick = |ties| chance.below(Component::SchedulerTie, pod, 0, ties);
            let window = (self.start, nodes_to_find(nodes), nodes);
            let Some(choice) = self.alike.choose(window, &self.in_zone, pick) else { return pod };
            self.start = (self.start + choice.looked_at) % nodes;
            self.requested[choice.node as usize] += REQUESTS;
            self.pods[choice.node as usize] += 1;
            self.in_zone[(choice.node % ZONES) as usize] += 1;
            self.look_at(choice.node);
        }
        pods
    }
}

fn kept_up(criterion: &mut Criterion) {
    let chance = Chance::new(1, 0);
    let mut group = criterion.benchmark_group("scheduler, kept up");
    group.sample_size(10);
    for (pods, nodes) in [(1_000, 100), (1_000, 1_000), (50_000, 5_000)] {
        let empty = || Cluster::new(nodes);
        group.bench_function(BenchmarkId::from_parameter(format!("{pods} pods, {nodes} nodes")), |bencher| {
            bencher.iter_with_setup(empty, |mut cluster| {
                assert_eq!(cluster.place(black_box(pods), &chance), pods);
                cluster
            });
        });
    }
    group.finish();
}

/// One pod, every node looked at.
fn plain(criterion: &mut Criterion) {
    let container = Container {
        cpu_millis: Some(REQUESTS.cpu_millis),
        memory_bytes: Some(REQUESTS.memory_bytes),
        image: None,
    };
    let pod = Pod {
        containers: vec![container],
        init_containers: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        spreading: Spreading::Defaults,
        node_affinity: NodeAffinity::default(),
        kind: 0,
        pod_affinity: PodAffinity::default(),
        host_ports: Vec::new(),
    };
    let node = |index: u32| Node {
        name: format!("n{index}"),
        labels: [(HOSTNAME, format!("n{index}")), (ZONE, format!("z{}", index % ZONES))]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
        allocatable: allocatable(index),
        requested: Resources::ZERO,
        non_zero_requested: Resources::ZERO,
        matching_pods: 0,
        pods: Vec::new(),
        unschedulable: false,
        taints: Vec::new(),
        images: Vec::new(),
        used_ports: Vec::new(),
    };
    let mut group = criterion.benchmark_group("scheduler, plain");
    group.sample_size(10);
    for nodes in [100, 1_000, 5_000] {
        let nodes: Vec<Node> = (0..nodes).map(node).collect();
        group.bench_function(
            BenchmarkId::from_parameter(format!("1 pod, {} nodes", nodes.len())),
            |bencher| {
                bencher.iter(|| {
                    cycle::judge(black_box(&pod), &nodes, &Strategy::LeastAllocated, Version::V1_34).len()
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, kept_up, plain);
criterion_main!(benches);
