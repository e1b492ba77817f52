//! Tables of Karpenter: its solver on the types of its own tests, what it predicts of nodes, what it asks EC2 for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilopod::actors::host_port::{HostPort, Protocol};
use kilopod::actors::karpenter::daemons::DaemonSet;
use kilopod::actors::karpenter::labels::{HOSTNAME, ZONE};
use kilopod::actors::karpenter::launch;
use kilopod::actors::karpenter::offers::{CapacityType, Offered, Offers, all_available, runs_al2023};
use kilopod::actors::karpenter::requirement::{Requirement, Requirements};
use kilopod::actors::karpenter::solve::{
    ByName, ExistingNode, Limits, NodeFeatures, NodePool, Placed, Provisioner, Shape, Spread,
};
use kilopod::actors::karpenter::{NodeFamily, NodeSettings, Operator, allocatable, capacity, kube_reserved};
use kilopod::actors::node_affinity::Term;
use kilopod::actors::pod_affinity::{PodAffinity, PodTerm};
use kilopod::actors::taints::{Effect, Taint, Toleration};
use kilopod::catalogue::{Architecture, Catalogue, InstanceType, SpotAdvice};
use kilopod::decide::{Program, answer_line};
use kilopod::units::{ExtendedCounts, MIB, Resources};
use serde::Deserialize;
use serde_json::{Value, json};

const ZONES: [&str; 3] = ["z1", "z2", "z3"];

fn table(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name)
}

/// What the types of Karpenter's own tests keep back.
const RESERVED: Resources = Resources::new(100, 10 * MIB, 0);

/// A type of Karpenter's own tests: a catalogue's row of which only what the solver sees counts.
fn fake(
    of: &InstanceType,
    name: &str,
    architecture: Architecture,
    resources: Resources,
    prices: [f64; 2],
) -> Offered {
    let mut instance = of.clone();
    (instance.name, instance.architecture) = (name.into(), Some(architecture));
    instance.spot = Some(SpotAdvice { savings_pct: 0, interruption_band: 0 });
    let zones = ZONES.map(String::from);
    let both = (resources, resources - RESERVED);
    let offered = Offered::new(&instance, "region", &zones, both, |_| true).unwrap();
    Offered { prices: prices.map(Some), ..offered }
}

/// The types of a set, by name.
fn types(set: &str) -> Vec<Offered> {
    let catalogue = Catalogue::compiled_in();
    let plain = catalogue.get(catalogue.find("m5.large").unwrap());
    let mut types = Vec::new();
    for row in csv::Reader::from_path(table("fake-instance-types.csv")).unwrap().records() {
        let row = row.unwrap();
        let number = |column: usize| row[column].parse::<i64>().unwrap();
        let resources = Resources::new(number(2), number(3) * MIB, number(4));
        let architecture = if &row[5] == "arm64" { Architecture::Arm64 } else { Architecture::Amd64 };
        let prices = [row[6].parse().unwrap(), row[7].parse().unwrap()];
        if &row[0] == set {
            types.push(fake(plain, &row[1], architecture, resources, prices));
        }
    }
    assert!(!types.is_empty(), "there is no set {set:?}");
    types.sort_by(|a, b| a.name.cmp(&b.name));
    types
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(rename = "source")]
    _source: String,
    types: String,
    #[serde(default = "one_pool")]
    pools: Vec<RowPool>,
    #[serde(default)]
    daemons: RowResources,
    /// DaemonSets that choose nodes.
    #[serde(default)]
    daemonsets: Vec<RowDaemonSet>,
    #[serde(default)]
    nodes: Vec<RowNode>,
    pods: Vec<RowPods>,
    expect: Expected,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RowResources {
    cpu_millis: i64,
    memory_bytes: i64,
    pods: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowDaemonSet {
    cpu_millis: i64,
    #[serde(default)]
    memory_bytes: i64,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    /// By the terms of its affinity.
    #[serde(default)]
    required: Vec<Vec<RowRequirement>>,
    #[serde(default)]
    host_ports: Vec<u16>,
}

fn host_ports(ports: &[u16]) -> Vec<HostPort> {
    let read = |port: &u16| HostPort { port: *port, protocol: Protocol::Tcp, ip: None };
    ports.iter().map(read).collect()
}

impl RowDaemonSet {
    fn read(&self) -> DaemonSet {
        let expression = |row: &RowRequirement| (row.key.clone(), row.read());
        let term = |rows: &Vec<RowRequirement>| Term(rows.iter().map(expression).collect());
        DaemonSet {
            requests: Resources::new(self.cpu_millis, self.memory_bytes, 1),
            node_selector: self.node_selector.clone(),
            required: self.required.iter().map(term).collect(),
            tolerations: Vec::new(),
            host_ports: host_ports(&self.host_ports),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowPool {
    name: String,
    #[serde(default)]
    weight: i32,
    #[serde(default)]
    requirements: Vec<RowRequirement>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    taints: Vec<RowTaint>,
    limit_cpu_millis: Option<i64>,
    #[serde(default)]
    used_cpu_millis: i64,
    /// Places among the row's reservations; left out: all.
    reservations: Option<Vec<u32>>,
}

fn one_pool() -> Vec<RowPool> {
    serde_json::from_value(json!([{"name": "default"}])).unwrap()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowRequirement {
    key: String,
    operator: String,
    values: Vec<String>,
    min_values: Option<u32>,
}

impl RowRequirement {
    fn read(&self) -> Requirement {
        let (_, operator) = Operator::ALL.into_iter().find(|(name, _)| *name == self.operator).unwrap();
        Requirement::new(operator, &self.values, self.min_values)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowTaint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

impl RowTaint {
    fn read(&self) -> Taint {
        let effect = Effect::parse(&self.effect).unwrap();
        Taint { key: self.key.clone(), value: self.value.clone(), effect }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowNode {
    r#type: String,
    used_cpu_millis: i64,
    used_pods: i64,
    #[serde(default)]
    taints: Vec<RowTaint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowPods {
    #[serde(default = "one")]
    count: usize,
    #[serde(default)]
    cpu_millis: i64,
    #[serde(default)]
    memory_bytes: i64,
    #[serde(default)]
    node_selector: BTreeMap<String, String>,
    #[serde(default)]
    host_ports: Vec<u16>,
    /// Does it tolerate every taint?
    #[serde(default)]
    tolerates: bool,
    #[serde(default)]
    spread: Vec<RowSpread>,
    #[serde(default)]
    affinity: Vec<RowTerm>,
    #[serde(default)]
    anti_affinity: Vec<RowTerm>,
    #[serde(default)]
    prefers_apart: Vec<RowTerm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowTerm {
    key: String,
    /// The pods that it selects, by their places among the row's.
    pods: Vec<u32>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowSpread {
    key: String,
    max_skew: i64,
    min_domains: Option<i64>,
}

/// What must come out; what is left out is not looked at, but for pods without a place, of which there are none then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    unschedulable: usize,
    existing: Option<usize>,
    /// Pods by claim, in rising order.
    claims: Option<Vec<u32>>,
    /// The cheapest type of each claim, in order of opening.
    types: Option<Vec<String>>,
    pools: Option<Vec<String>>,
    capacity_types: Option<Vec<String>>,
    /// Types that may be bought so for the first claim.
    overrides: Option<Vec<String>>,
    /// Pods by zone and by capacity type, in rising order.
    zones: Option<Vec<u32>>,
    by_capacity_type: Option<Vec<u32>>,
    /// Of the first claim: millicores, bytes, pods.
    requests: Option<[i64; 3]>,
}

fn pool(row: &RowPool) -> NodePool {
    let mut requirements = Requirements::default();
    for entry in &row.requirements {
        requirements.add(&entry.key, &entry.read());
    }
    NodePool {
        name: row.name.clone(),
        weight: row.weight,
        requirements,
        labels: row.labels.clone(),
        taints: row.taints.iter().map(RowTaint::read).collect(),
        types: None,
        reservations: row.reservations.clone(),
    }
}

fn shape(row: &RowPods) -> Shape {
    let spread = |row: &RowSpread| Spread {
        key: row.key.clone(),
        max_skew: row.max_skew,
        soft: false,
        min_domains: row.min_domains,
    };
    let terms = |terms: &[RowTerm]| {
        let read = |term: &RowTerm| PodTerm::new(&term.key, term.pods.iter().copied());
        terms.iter().map(read).collect::<Vec<PodTerm>>()
    };
    Shape {
        pod_affinity: PodAffinity {
            affinity: terms(&row.affinity),
            anti_affinity: terms(&row.anti_affinity),
            preferred_anti: terms(&row.prefers_apart).into_iter().map(|term| (1, term)).collect(),
            ..PodAffinity::default()
        },
        node_selector: row.node_selector.clone(),
        host_ports: host_ports(&row.host_ports),
        tolerations: row.tolerates.then(Toleration::of_everything).into_iter().collect(),
        spread: row.spread.iter().map(spread).collect(),
        ..Shape::plain(Resources::new(row.cpu_millis, row.memory_bytes, 1))
    }
}

fn node(row: &RowNode, types: &[Offered]) -> ExistingNode {
    let of = types.iter().find(|offered| offered.name == row.r#type).unwrap();
    let mut labels = Requirements::of_labels([(ZONE, ZONES[0]), (HOSTNAME, "n1")]);
    ["kubernetes.io/arch", "kubernetes.io/os"]
        .iter()
        .for_each(|key| labels.add(key, of.requirements.get(key).unwrap()));
    let used = Resources::new(row.used_cpu_millis, 0, row.used_pods);
    let taints = row.taints.iter().map(RowTaint::read).collect();
    let features = Some(Arc::new(NodeFeatures { labels, taints, host_ports: Vec::new() }));
    ExistingNode { features, ..ExistingNode::plain(of.allocatable - used) }
}

/// All types everywhere on demand, spot in the first two zones, as Karpenter's own tests have it.
fn offers(types: Vec<Offered>, overhead: Resources) -> Offers {
    let mut available = all_available(&types, ZONES.len());
    available.iter_mut().for_each(|zones| zones[CapacityType::Spot as usize] = 0b011);
    Offers::new(types, ZONES.map(String::from).to_vec(), available, overhead)
}

/// What a row's round comes to, under the names of [`Expected`].
fn outcome(row: &Row) -> BTreeMap<&'static str, Value> {
    let types = types(&row.types);
    let daemons = Resources::new(row.daemons.cpu_millis, row.daemons.memory_bytes, row.daemons.pods);
    let pools: Vec<NodePool> = row.pools.iter().map(pool).collect();
    let shapes: Vec<Shape> = row.pods.iter().map(shape).collect();
    let nodes: Vec<ExistingNode> = row.nodes.iter().map(|row| node(row, &types)).collect();
    let limit = |row: &RowPool| {
        let limits = Limits { cpu_millis: row.limit_cpu_millis, ..Limits::default() };
        limits.less(Resources::new(row.used_cpu_millis, 0, 0), 0)
    };
    let limits: Vec<Limits> = row.pools.iter().map(limit).collect();
    let pods: Vec<u32> =
        (0..).zip(&row.pods).flat_map(|(shape, pods)| std::iter::repeat_n(shape, pods.count)).collect();
    let daemonsets = row.daemonsets.iter().map(RowDaemonSet::read).collect();
    let offers = offers(types, daemons).with_daemonsets(daemonsets);
    let mut provisioner = Provisioner::new(offers, pools, &shapes);
    let solution = provisioner.solve(&pods, &nodes, &limits, &mut ByName);
    let placed = |is: fn(&Placed) -> bool| solution.placed.iter().filter(|placed| is(placed)).count();
    let mut unschedulable = placed(|placed| matches!(placed, Placed::Nowhere(_)));
    let (mut zones, mut kinds, mut claims) = ([0; ZONES.len()], [0; 2], Vec::new());
    let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut requests = None;
    for claim in &solution.claims {
        let options = provisioner.options(claim);
        let Some(spec) = launch::claim(&provisioner.offers, claim.set, &options) else {
            unschedulable += claim.pods as usize;
            continue;
        };
        let request = launch::request(&provisioner.offers, &spec).unwrap();
        let name = |place: &usize| provisioner.offers.types[*place].name.clone();
        lists.entry("types").or_default().push(name(&request.types[0]));
        lists.entry("pools").or_default().push(row.pools[claim.pool as usize].name.clone());
        lists.entry("capacity_types").or_default().push(request.capacity_type.name().to_owned());
        if claims.is_empty() {
            let bought = request.types.iter().zip(&request.zones).filter(|(_, zones)| **zones != 0);
            lists.insert("overrides", bought.map(|(place, _)| name(place)).collect());
            let all = provisioner.requests(claim);
            requests = Some([all.cpu_millis, all.memory_bytes, all.pods]);
        }
        let pinned = request.zones.iter().fold(0, |all, zones| all | zones);
        if pinned.count_ones() == 1 {
            zones[pinned.trailing_zeros() as usize] += claim.pods;
        }
        kinds[request.capacity_type as usize] += claim.pods;
        claims.push(claim.pods);
    }
    [&mut zones[..], &mut kinds[..], &mut claims[..]].iter_mut().for_each(|list| list.sort_unstable());
    let existing = placed(|placed| matches!(placed, Placed::Existing(_)));
    let list = |name: &str| json!(lists.get(name).cloned().unwrap_or_default());
    BTreeMap::from([
        ("unschedulable", json!(unschedulable)),
        ("existing", json!(existing)),
        ("claims", json!(claims)),
        ("types", list("types")),
        ("pools", list("pools")),
        ("capacity_types", list("capacity_types")),
        ("overrides", list("overrides")),
        ("zones", json!(zones)),
        ("by_capacity_type", json!(kinds)),
        ("requests", json!(requests)),
    ])
}

fn expectations(expect: &Expected) -> Vec<(&'static str, Value)> {
    let stated = [
        ("unschedulable", json!(expect.unschedulable)),
        ("existing", json!(expect.existing)),
        ("claims", json!(expect.claims)),
        ("types", json!(expect.types)),
        ("pools", json!(expect.pools)),
        ("capacity_types", json!(expect.capacity_types)),
        ("overrides", json!(expect.overrides)),
        ("zones", json!(expect.zones)),
        ("by_capacity_type", json!(expect.by_capacity_type)),
        ("requests", json!(expect.requests)),
    ];
    stated.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

#[test]
fn rounds_place_pods_as_karpenters_tests_say() {
    let text = std::fs::read_to_string(table("karpenter-packing.jsonl")).unwrap();
    let mut failed = Vec::new();
    for line in text.lines() {
        let row: Row = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let got = outcome(&row);
        let wrong = expectations(&row.expect).into_iter().filter(|(name, stated)| got[name] != *stated);
        failed
            .extend(wrong.map(|(name, stated)| format!("{}: {name} {}, stated {stated}", row.id, got[name])));
    }
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(text.lines().count(), 70);
}

/// P27 (instance_selection_test.go): three equal pods of 49 sizes make one claim, and every type it names holds them.
#[test]
fn every_type_of_a_claim_holds_its_pods() {
    let catalogue = Catalogue::compiled_in();
    let plain = catalogue.get(catalogue.find("m5.large").unwrap());
    let mut assorted = Vec::new();
    for cpu in [1, 2, 4, 8, 16, 32, 64] {
        for gib in [1, 2, 4, 8, 16, 32, 64, 128] {
            for architecture in [Architecture::Amd64, Architecture::Arm64] {
                let resources = Resources::new(cpu * 1_000, gib * 1_024 * MIB, 5);
                let price = 0.1 * cpu as f64 + 0.1 * resources.memory_bytes as f64 / 1e9;
                let name = format!("{cpu}-cpu-{gib}-mem-{}", architecture.label());
                assorted.push(fake(plain, &name, architecture, resources, [price; 2]));
            }
        }
    }
    assorted.sort_by(|a, b| a.name.cmp(&b.name));
    for cpu_millis in [100, 1_000, 2_000, 2_500, 4_000, 8_000, 16_000] {
        for tenths in [1, 10, 20, 40, 80, 160, 320] {
            let pod = Resources::new(cpu_millis, tenths * 1_024 * MIB / 10, 1);
            let pools = vec![pool(&one_pool()[0])];
            let offers = offers(assorted.clone(), Resources::ZERO);
            let mut provisioner = Provisioner::new(offers, pools, &[Shape::plain(pod)]);
            let solution = provisioner.solve(&[0; 3], &[], &[Limits::default()], &mut ByName);
            assert_eq!(solution.claims.len(), 1, "{pod:?}");
            let claim = &solution.claims[0];
            let spec = launch::claim(&provisioner.offers, claim.set, &provisioner.options(claim)).unwrap();
            let three = pod + pod + pod;
            for place in &spec.types {
                let offered = &provisioner.offers.types[*place];
                assert!(three.fits(&offered.allocatable), "{} for three of {pod:?}", offered.name);
            }
            let able = assorted.iter().filter(|offered| three.fits(&offered.allocatable)).count();
            assert_eq!(spec.types.len(), able, "{pod:?}");
        }
    }
}

/// A1 and A3 (karpenter-provider-aws pkg/providers/instancetype/suite_test.go): the 60 cheapest types that hold the pod,
/// no bare metal and no accelerator among them.
#[test]
fn a_request_names_the_sixty_cheapest_plain_types() {
    let catalogue = Catalogue::compiled_in();
    let on_demand = json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]});
    let case = json!({"id": "A1", "instance_types": "all", "zones": ["z1"],
        "node_pools": [{"name": "default", "requirements": [on_demand]}], "pods": [{"cpu_millis": 1000}]});
    let (answer, good) = answer_line(Program::Karpenter, &case.to_string(), &catalogue);
    assert!(good, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let settings = NodeSettings::default();
    let holds = |instance: &&InstanceType| {
        instance.complete
            && !instance.is_exotic()
            && runs_al2023(&instance.name)
            && Resources::new(1_000, 0, 1).fits(&allocatable(instance, &settings).unwrap())
    };
    let mut able: Vec<&InstanceType> = catalogue.types().iter().filter(holds).collect();
    let price = |instance: &InstanceType| instance.on_demand_usd_per_hour.unwrap();
    able.sort_by(|a, b| price(a).total_cmp(&price(b)).then_with(|| a.name.cmp(&b.name)));
    let cheapest: Vec<&str> = able.iter().take(60).map(|instance| instance.name.as_str()).collect();
    assert_eq!(answer["claims"][0]["instance_types"], json!(cheapest));
}

#[test]
fn nodes_are_predicted_as_the_providers_tests_say() {
    let catalogue = Catalogue::compiled_in();
    let rows: Vec<BTreeMap<String, String>> = csv::Reader::from_path(table("node-settings.csv"))
        .unwrap()
        .deserialize()
        .map(Result::unwrap)
        .collect();
    let mut failed = Vec::new();
    for row in &rows {
        let settings = NodeSettings {
            family: if row["family"] == "Bottlerocket" {
                NodeFamily::Bottlerocket
            } else {
                NodeFamily::Amazon
            },
            max_pods: row["max_pods"].parse().ok(),
            reserved_enis: row["reserved_enis"].parse().unwrap(),
            vm_memory_overhead_percent: row["vm_overhead"].parse().unwrap(),
            extended: ExtendedCounts::ZERO,
        };
        let instance = catalogue.get(catalogue.find(&row["instance_type"]).unwrap());
        let has = capacity(instance, &settings).unwrap();
        let offers = allocatable(instance, &settings).unwrap();
        let reserved = kube_reserved(instance, &settings).unwrap();
        let stated: i64 = row["value"].parse().unwrap();
        let kib = offers.memory_bytes / 1_024;
        let (got, holds) = match row["field"].as_str() {
            "pods" => (has.pods, None),
            "reserved_cpu_millis" => (reserved.cpu_millis, None),
            "reserved_mib" => (reserved.memory_bytes / MIB, None),
            "memory_overhead_mib" => ((has - offers).memory_bytes / MIB, None),
            "kept_beside_reserved_mib" => ((has - offers - reserved).memory_bytes / MIB, None),
            "allocatable_cpu_millis" => (offers.cpu_millis, None),
            "allocatable_mib" => (offers.memory_bytes / MIB, None),
            "allocatable_kib_at_most" => (kib, Some(kib <= stated)),
            other => panic!("{other} is no field"),
        };
        if !holds.unwrap_or(got == stated) {
            failed.push(format!("{}: {} {got}, stated {stated}", row["id"], row["field"]));
        }
    }
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
    assert_eq!(rows.len(), 22);
}
