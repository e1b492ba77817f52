use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::*;
use crate::catalogue::Catalogue;
use crate::input::{Document, Problems};
use crate::scenario;

#[derive(Deserialize)]
struct Term {
    key: String,
    kinds: Vec<u32>,
}

#[derive(Deserialize)]
struct Spread {
    key: String,
    max_skew: u32,
    min_domains: Option<u32>,
}

/// Pods of one Deployment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    cpu: i64,
    memory: i64,
    #[serde(default)]
    gpu: u32,
    priority: i32,
    #[serde(default)]
    never: bool,
    allowed: Option<u32>,
    #[serde(default)]
    spread: Vec<Spread>,
    #[serde(default)]
    near: Vec<Term>,
    #[serde(default)]
    apart: Vec<Term>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    tolerates: bool,
    #[serde(default)]
    zones: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    zone: String,
    cpu: i64,
    memory: i64,
    #[serde(default)]
    gpu: i64,
    slots: i64,
    #[serde(default)]
    critical: bool,
    #[serde(default)]
    cordoned: bool,
    /// (kind, start [s] or -1, 0 stays, 1 is deleted, 2 by preemption)
    pods: Vec<(u32, i64, u8)>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Found {
    node: u32,
    victims: Vec<usize>,
    violations: u32,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Expected {
    /// A node that takes the pod as it is.
    fits: Option<u32>,
    eligible: bool,
    #[serde(default)]
    candidates: Vec<Found>,
    #[serde(default)]
    chosen: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    kinds: Vec<Kind>,
    nodes: Vec<At>,
    pod: u32,
    promised: Option<u32>,
    #[serde(default)]
    nominated: Vec<(u32, u32)>,
    expect: Expected,
}

/// The cluster as a scenario, whose pods never come by themselves.
fn text(case: &Case) -> String {
    let mut text = "horizon = \"2 h\"\ndaemonsets = []\n[cni]\nmode = \"none\"\n\
                    [[node_pools]]\ninstance_types = [\"m5.large\"]\n"
        .to_owned();
    let terms = |terms: &[Term]| {
        let term = |Term { key, kinds }: &Term| {
            let names: Vec<String> = kinds.iter().map(|kind| format!("\"d{kind}\"")).collect();
            format!("{{ topology_key = \"{key}\", deployments = [{}] }}", names.join(", "))
        };
        terms.iter().map(term).collect::<Vec<_>>().join(", ")
    };
    // Static nodes take the subnets in turn.
    let zones = case.nodes.iter().map(|at| at.zone.as_str());
    for (place, zone) in zones.chain(["us-east-1a", "us-east-1b", "us-east-1c"]).enumerate() {
        text += &format!("[[subnets]]\nname = \"s{place}\"\nzone = \"{zone}\"\n");
    }
    for At { cpu, memory, slots, critical, .. } in &case.nodes {
        text += &format!(
            "[[static_nodes]]\ncount = 1\ninstance_type = \"m5.large\"\ncritical_addons_only = {critical}\n\
             pods_with_address = 0\nallocatable = {{ cpu = \"{cpu}m\", memory = \"{memory} MiB\", pods = {slots} }}\n"
        );
    }
    for (number, kind) in case.kinds.iter().enumerate() {
        let spread = |Spread { key, max_skew, min_domains }: &Spread| {
            let domains = min_domains.map_or_else(String::new, |most| format!(", min_domains = {most}"));
            format!("{{ topology_key = \"{key}\", max_skew = {max_skew}{domains} }}")
        };
        let spread: Vec<String> = kind.spread.iter().map(spread).collect();
        let Kind { cpu, memory, gpu, priority, ports, .. } = kind;
        let policy = if kind.never { "Never" } else { "PreemptLowerPriority" };
        text += &format!(
            "[[deployments]]\nname = \"d{number}\"\nschedule = [{{ at = \"1 h\", replicas = 1 }}]\ncpu = \"{cpu}m\"\n\
             memory = \"{memory} MiB\"\nextended_resources = {{ \"nvidia.com/gpu\" = {gpu} }}\npriority = {priority}\n\
             preemption_policy = \"{policy}\"\ntopology_spread = [{}]\npod_affinity = [{}]\npod_anti_affinity = [{}]\n\
             host_ports = {ports:?}\n",
            spread.join(", "),
            terms(&kind.near),
            terms(&kind.apart),
        );
        if kind.tolerates {
            text += "tolerations = [{ key = \"CriticalAddonsOnly\", operator = \"Exists\" }]\n";
        }
        if !kind.zones.is_empty() {
            text += &format!(
                "[deployments.node_affinity]\nrequired = [{{ expressions = [{{ key = \"topology.kubernetes.io/zone\", \
                 operator = \"In\", values = {:?} }}] }}]\n",
                kind.zones
            );
        }
    }
    // Without differing priorities a run knows of no preemption.
    text + "[[deployments]]\nname = \"other\"\nschedule = [{ at = \"1 h\", replicas = 1 }]\npriority = 100\n"
}

fn prepare(text: &str) -> Prepared {
    let mut problems = Problems::default();
    let document = Document::parse("case.toml", text, &mut problems);
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).scenario)
}

const ON_NODE: u32 = 1 << 16;

impl Run<'_> {
    fn new_pod(&mut self, kind: u32, stage: PodStage) -> u32 {
        self.pods.push(Pod { stage, ..Pod::new(kind) });
        self.pods.len() as u32 - 1
    }
    fn settle(&mut self, node: u32, at: &At) {
        let (cordoned, gpu) = (at.cordoned, at.gpu);
        let there = &mut self.nodes[node as usize];
        there.cordoned = cordoned;
        there.allocatable.extended = ExtendedCounts::ZERO.with(ExtendedResource::NvidiaGpu, gpu);
        for (place, (kind, start, state)) in at.pods.iter().enumerate() {
            let stage = if *state == 0 { PodStage::Ready } else { PodStage::Terminating };
            let pod = self.new_pod(*kind, stage);
            let start = u64::try_from(*start).map_or(SimTime::NEVER, SimTime::from_secs);
            let state_of = &mut self.pods[pod as usize];
            (state_of.node, state_of.synced_at, state_of.preempted) = (node, start, *state == 2);
            // Kept for the answer.
            state_of.evictions = node * ON_NODE + place as u32;
            let requests = self.requests(pod);
            let there = &mut self.nodes[node as usize];
            there.pods.push(pod);
            there.requested += requests;
            let zone = there.zone;
            if *state == 0 {
                self.fittings[*kind as usize].place(node, zone, 1);
            } else {
                self.terminating += 1;
            }
        }
    }
}

fn answer(case: &Case) -> Expected {
    let prepared = prepare(&text(case));
    let mut run = Run::begun(&prepared, Chance::new(1, 0), Wishes::default());
    run.now = SimTime::from_secs(2_000);
    (0..).zip(&case.nodes).for_each(|(node, at)| run.settle(node, at));
    (0..case.nodes.len() as u32).for_each(|node| run.refit(node));
    for (kind, node) in &case.nominated {
        let pod = run.new_pod(*kind, PodStage::Pending);
        run.promise(pod, *node);
    }
    let pod = run.new_pod(case.pod, PodStage::Pending);
    run.queue.add(pod, run.priority(pod), run.now);
    assert_eq!(run.queue.pop(run.now), Some(pod));
    if let Some(node) = case.promised {
        run.promise(pod, node);
    }
    let fits = run.choose_node_constrained(pod);
    let eligible = !run.never_preempts(&run.pods[pod as usize]) && run.may_ask_others_to_go(pod);
    let budgets = (0..).zip(&case.kinds).filter_map(|(kind, of)| Some((kind, of.allowed?))).collect();
    run.withdraw_promise(pod);
    let mut found = if eligible { run.preemption_candidates(pod, &budgets) } else { Vec::new() };
    found.sort_by_key(|(node, _)| *node);
    let least = found.iter().map(|(_, candidate)| cost(candidate)).min();
    let chosen = found.iter().filter(|(_, candidate)| Some(cost(candidate)) == least);
    let chosen = chosen.map(|(node, _)| *node).collect();
    let place = |victim: &Victim| (run.pods[victim.pod as usize].evictions % ON_NODE) as usize;
    let tell = |(node, candidate): &(u32, Candidate)| Found {
        node: *node,
        victims: candidate.victims.iter().map(place).collect(),
        violations: candidate.violations,
    };
    Expected { fits, eligible, candidates: found.iter().map(tell).collect(), chosen }
}

/// Who would go on each node that could be made free, in which order, and which nodes are the cheapest.
#[test]
fn victims_are_those_of_the_real_plugin() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/preemption.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let cases: Vec<Case> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let differing = cases.iter().filter_map(|case| {
        let got = answer(case);
        (got != case.expect).then(|| format!("{}: {got:?}\nreal {:?}", case.id, case.expect))
    });
    let differing: Vec<String> = differing.collect();
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert_eq!(cases.len(), 302);
}
