//! Which nodes each Deployment's pods fit, kept up to date as nodes and requests change, so that an attempt
//! need not look at every node.

use super::state::Node;
use crate::actors::kube_scheduler::filter;
use crate::actors::kube_scheduler::view::Version;
use crate::units::Resources;

/// What the filters say of a node; no bit: the node is not there.
type Status = u8;
const THERE: Status = 1;
const TAINTED: Status = 2;
const TOO_MANY_PODS: Status = 4;
const CPU: Status = 8;
const MEMORY: Status = 16;
/// The request is larger than the whole node.
const NEVER_FITS: Status = 32;

/// Nodes by what the filters say, as the message of a failed attempt counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub nodes: u32,
    pub tainted: u32,
    too_many_pods: u32,
    cpu: u32,
    memory: u32,
    never_fits: u32,
}

impl Counts {
    fn add(&mut self, status: Status, sign: u32) {
        let count = |bit: Status| u32::from(status & bit != 0).wrapping_mul(sign);
        self.nodes = self.nodes.wrapping_add(count(THERE));
        self.tainted = self.tainted.wrapping_add(count(TAINTED));
        self.too_many_pods = self.too_many_pods.wrapping_add(count(TOO_MANY_PODS));
        self.cpu = self.cpu.wrapping_add(count(CPU));
        self.memory = self.memory.wrapping_add(count(MEMORY));
        self.never_fits = self.never_fits.wrapping_add(count(NEVER_FITS));
    }
    /// Did NodeResourcesFit reject any?
    pub fn rejected_by_fit(&self) -> bool {
        self.too_many_pods + self.cpu + self.memory > 0
    }
    /// See [`message`].
    pub fn message(&self) -> u64 {
        message(&[self.nodes, self.tainted, self.too_many_pods, self.cpu, self.memory, self.never_fits])
    }
}

/// A number for a failed attempt's message, which counts nodes by why they are out: it differs, but for an accident of 1 in
/// 2^64, where the counts do; never 0.
pub(super) fn message(counts: &[u32]) -> u64 {
    let mixed = counts.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, count| {
        (hash ^ u64::from(*count)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    mixed | 1
}

/// One Deployment's view of the nodes.
#[derive(Clone, Debug)]
pub(super) struct Fitting {
    requests: Resources,
    status: Vec<Status>,
    /// A bit a node: fits.
    feasible: Vec<u64>,
    feasible_count: u32,
    counts: Counts,
    /// Pods of the Deployment by node and by zone.
    on_node: Vec<u32>,
    in_zone: Vec<u32>,
}

impl Fitting {
    pub fn new(requests: Resources, zones: usize) -> Fitting {
        Fitting {
            requests,
            status: Vec::new(),
            feasible: Vec::new(),
            feasible_count: 0,
            counts: Counts::default(),
            on_node: Vec::new(),
            in_zone: vec![0; zones],
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }
    pub fn feasible_count(&self) -> u32 {
        self.feasible_count
    }
    pub fn on_node(&self, node: u32) -> u32 {
        self.on_node[node as usize]
    }
    /// The same of a node that may not be known here.
    pub fn pods_on(&self, node: u32) -> u32 {
        self.on_node.get(node as usize).copied().unwrap_or(0)
    }
    pub fn in_zone(&self, zone: u32) -> u32 {
        self.in_zone[zone as usize]
    }
    /// Would a pod fit the node if nothing else were on it?
    pub fn fits_empty(&self, node: &Node) -> bool {
        self.requests.fits(&node.allocatable)
    }

    /// A pod of the Deployment was placed (`sign` 1) or taken away (-1).
    pub fn place(&mut self, node: u32, zone: u32, sign: i32) {
        self.grow(node);
        let add = |slot: &mut u32| *slot = slot.checked_add_signed(sign).expect("placed pods are counted");
        add(&mut self.on_node[node as usize]);
        add(&mut self.in_zone[zone as usize]);
    }

    fn grow(&mut self, node: u32) {
        let nodes = node as usize + 1;
        if self.status.len() < nodes {
            self.status.resize(nodes, 0);
            self.on_node.resize(nodes, 0);
            self.feasible.resize(nodes.div_ceil(64), 0);
        }
    }

    /// The node's taints, requests or existence changed.
    pub fn update(&mut self, index: u32, node: &Node) {
        self.grow(index);
        let status = self.judge(node);
        let before = std::mem::replace(&mut self.status[index as usize], status);
        if before == status {
            return;
        }
        self.counts.add(before, u32::MAX);
        self.counts.add(status, 1);
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        let (was, is) = (before == THERE, status == THERE);
        self.feasible[word] = if is { self.feasible[word] | bit } else { self.feasible[word] & !bit };
        self.feasible_count = self.feasible_count + u32::from(is) - u32::from(was);
    }

    fn judge(&self, node: &Node) -> Status {
        if !node.is_registered() {
            return 0;
        }
        if node.is_tainted() {
            return THERE | TAINTED;
        }
        let (need, all) = (self.requests, node.allocatable);
        let [pods, cpu, memory] = filter::lacking(need, node.requested, all, Version::V1_34);
        let mut status = THERE;
        for (lacks, bit) in [(pods, TOO_MANY_PODS), (cpu, CPU), (memory, MEMORY)] {
            status |= if lacks.is_some() { bit } else { 0 };
        }
        if status != THERE && (need.cpu_millis > all.cpu_millis || need.memory_bytes > all.memory_bytes) {
            status |= NEVER_FITS;
        }
        status
    }

    /// Up to `most` feasible nodes, beginning at `from` and going round; and how many nodes were looked at.
    pub fn feasible_from(&self, from: u32, most: u32, found: &mut Vec<u32>) -> u32 {
        found.clear();
        let nodes = self.status.len() as u32;
        if self.feasible_count <= most {
            found.extend(self.ones(0, nodes));
            return self.counts.nodes;
        }
        let from = from % nodes;
        found.extend(self.ones(from, nodes).chain(self.ones(0, from)).take(most as usize));
        let last = found.last().copied().unwrap_or(from);
        (last + nodes - from) % nodes + 1
    }

    /// The feasible nodes of a range.
    fn ones(&self, from: u32, to: u32) -> impl Iterator<Item = u32> {
        let words = from / 64..to.div_ceil(64);
        words.flat_map(move |word| {
            let mut bits = self.feasible[word as usize];
            std::iter::from_fn(move || {
                while bits != 0 {
                    let node = word * 64 + bits.trailing_zeros();
                    bits &= bits - 1;
                    if node >= from && node < to {
                        return Some(node);
                    }
                }
                None
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::state::NodeStage;
    use super::*;
    use crate::actors::kube_scheduler::cycle;
    use crate::actors::kube_scheduler::score::{self, Strategy as Scoring};
    use crate::actors::kube_scheduler::spread::{self, Candidate, HOSTNAME, ZONE};
    use crate::actors::kube_scheduler::view::{self, Container, Spreading};
    use crate::actors::node_affinity::NodeAffinity;
    use crate::actors::taints::{Effect, Taint};

    const REQUESTS: Resources = Resources::new(700, 900, 1);
    const ZONES: u32 = 3;

    /// The node as the plain pass sees it.
    fn view(index: usize, node: &Node, matching: u32) -> view::Node {
        let labels = [(HOSTNAME, format!("n{index}")), (ZONE, format!("z{}", node.zone))];
        let not_ready = Taint {
            key: "node.kubernetes.io/not-ready".into(),
            value: String::new(),
            effect: Effect::NoSchedule,
        };
        view::Node {
            name: format!("n{index}"),
            labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
            allocatable: node.allocatable,
            requested: node.requested,
            non_zero_requested: node.requested,
            matching_pods: matching.into(),
            unschedulable: false,
            taints: if node.is_tainted() { vec![not_ready] } else { Vec::new() },
            images: Vec::new(),
        }
    }

    fn pod() -> view::Pod {
        let container = Container {
            cpu_millis: Some(REQUESTS.cpu_millis),
            memory_bytes: Some(REQUESTS.memory_bytes),
            image: None,
        };
        view::Pod {
            containers: vec![container],
            init_containers: Vec::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            spreading: Spreading::Defaults,
            node_affinity: NodeAffinity::default(),
            anti_affinity: Vec::new(),
        }
    }

    /// The plain pass over all registered nodes and the kept-up counts say the same of each.
    fn compare(fitting: &Fitting, nodes: &[Node]) {
        let there: Vec<usize> = (0..nodes.len()).filter(|index| nodes[*index].is_registered()).collect();
        let views: Vec<view::Node> =
            there.iter().map(|index| view(*index, &nodes[*index], fitting.on_node(*index as u32))).collect();
        let plain = cycle::judge(&pod(), &views, &Scoring::LeastAllocated, Version::V1_34);
        let mut found = Vec::new();
        fitting.feasible_from(0, u32::MAX, &mut found);
        let passed: Vec<u32> = there
            .iter()
            .zip(&plain)
            .filter(|(_, said)| said.is_ok())
            .map(|(index, _)| *index as u32)
            .collect();
        assert_eq!(found, passed);
        assert_eq!(fitting.counts().nodes as usize, there.len());
        let zone = |index: &u32| nodes[*index as usize].zone;
        let candidates: Vec<Candidate> = found
            .iter()
            .map(|index| Candidate {
                on_node: fitting.on_node(*index),
                in_zone: fitting.in_zone(zone(index)),
            })
            .collect();
        let zones = (0..ZONES).filter(|z| found.iter().any(|index| zone(index) == *z)).count();
        let mut spread = Vec::new();
        spread::default_scores(&candidates, zones, &mut spread);
        let totals: Vec<i64> = plain.iter().flatten().map(|scores| scores.total()).collect();
        for ((index, spread), total) in found.iter().zip(spread).zip(totals) {
            let node = &nodes[*index as usize];
            let kept_up = 2 * spread + score::resources(node.requested + REQUESTS, node.allocatable);
            // No soft taints: 100 for each node, with weight 3.
            assert_eq!(kept_up + 300, total, "node {index}");
        }
    }

    /// SC-7 (TestFairEvaluationForNodes): 150 of 500 feasible nodes a cycle; the next begins where the last one ended.
    #[test]
    fn each_cycle_begins_where_the_last_one_ended() {
        let mut fitting = Fitting::new(REQUESTS, 1);
        let mut node = Node { allocatable: Resources::new(4_000, 4_000, 110), ..Node::claim(0) };
        (node.stage, node.unregistered, node.not_ready) = (NodeStage::Ready, false, false);
        (0..500).for_each(|index| fitting.update(index, &node));
        let (mut start, mut found) = (0, Vec::new());
        for cycle in 1..=20 {
            start = (start + fitting.feasible_from(start, 150, &mut found)) % 500;
            assert_eq!((found.len(), start), (150, 150 * cycle % 500), "cycle {cycle}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]
        /// Nodes join, lose their taints and go, pods come and leave: the fast pass is the plain one at every step.
        #[test]
        fn kept_up_counts_agree_with_the_plain_pass(
            sizes in prop::collection::vec((1i64..9, 1i64..9, 1i64..12, 0..ZONES), 1..80),
            steps in prop::collection::vec((0usize..80, 0u8..8), 1..120),
        ) {
            let mut fitting = Fitting::new(REQUESTS, ZONES as usize);
            let mut nodes: Vec<Node> = sizes
                .iter()
                .map(|(cpu, memory, pods, zone)| Node {
                    allocatable: Resources::new(cpu * 500, memory * 600, *pods),
                    zone: *zone,
                    ..Node::claim(0)
                })
                .collect();
            for (index, node) in nodes.iter().enumerate() {
                fitting.update(index as u32, node);
            }
            for (index, action) in steps {
                let index = index % nodes.len();
                let node = &mut nodes[index];
                match action {
                    0 | 1 => node.stage = NodeStage::Ready,
                    2 => (node.unregistered, node.not_ready) = (false, false),
                    3 if fitting.on_node(index as u32) == 0 => node.stage = NodeStage::Gone,
                    4 if fitting.on_node(index as u32) > 0 => {
                        node.requested = node.requested - REQUESTS;
                        fitting.place(index as u32, node.zone, -1);
                    }
                    _ if node.is_registered() && REQUESTS.fits(&(node.allocatable - node.requested)) => {
                        node.requested += REQUESTS;
                        fitting.place(index as u32, node.zone, 1);
                    }
                    _ => {}
                }
                fitting.update(index as u32, &nodes[index]);
                compare(&fitting, &nodes);
            }
        }
    }
}
