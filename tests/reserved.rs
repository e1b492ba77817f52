//! Capacity reservations: the solver on the cases of Karpenter's own tests, and whole runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilopod::actors::karpenter::labels::{HOSTNAME, INSTANCE_TYPE, NODE_POOL};
use kilopod::actors::karpenter::launch;
use kilopod::actors::karpenter::offers::{CapacityType, Offered, Offers, all_available};
use kilopod::actors::karpenter::requirement::{Requirement, Requirements};
use kilopod::actors::karpenter::reservations::{Mode, Reservation};
use kilopod::actors::karpenter::solve::{ByName, Limits, NodePool, Placed, Provisioner, Shape};
use kilopod::actors::node_affinity::{NodeAffinity, Term};
use kilopod::actors::pod_affinity::{PodAffinity, PodTerm};
use kilopod::catalogue::{Catalogue, SpotAdvice};
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::Outcome;
use kilopod::scenario;
use kilopod::units::{MIB, Resources};
use serde::Deserialize;
use serde_json::Value;

/// Pods offered round after round until all have a node, with what each round launches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(rename = "source")]
    _source: String,
    /// As in simulations of disruption.
    #[serde(default)]
    fallback: bool,
    /// (id, size, instances left), all in the first zone.
    reservations: Vec<(String, String, u32)>,
    #[serde(default = "one_pool")]
    pools: Vec<RowPool>,
    pods: Vec<RowPods>,
    /// By round: (size, reservation) of each launch, in order.
    rounds: Vec<Vec<(String, Option<String>)>>,
    /// Of all launches.
    pool: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowPool {
    name: String,
    #[serde(default)]
    weight: i32,
    /// Those that its node class selects, by place.
    reservations: Option<Vec<u32>>,
}

fn one_pool() -> Vec<RowPool> {
    vec![RowPool { name: "default".into(), weight: 0, reservations: None }]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowPods {
    #[serde(default = "one")]
    count: usize,
    #[serde(default)]
    cpu_millis: i64,
    r#type: Option<String>,
    pool: Option<String>,
    prefers_pool: Option<String>,
    #[serde(default)]
    anti_affine: bool,
}

fn one() -> usize {
    1
}

/// The types of the real tests: by name, so that the smallest comes last.
fn types() -> Vec<Offered> {
    let catalogue = Catalogue::compiled_in();
    let mut plain = catalogue.get(catalogue.find("m5.large").unwrap()).clone();
    plain.spot = Some(SpotAdvice { savings_pct: 0, interruption_band: 0 });
    let sized = |(name, size): (&str, i64)| {
        plain.name = name.into();
        let resources = Resources::new(size * 1_000, size * 1_024 * MIB, 5);
        let left = resources - Resources::new(100, 10 * MIB, 0);
        let zones = ["z1".to_string(), "z2".to_string()];
        let offered = Offered::new(&plain, "region", &zones, (resources, left), |_| true).unwrap();
        Offered { prices: [Some(size as f64); 2], ..offered }
    };
    [("large", 6), ("medium", 3), ("small", 2)].map(sized).into()
}

fn shape((number, row): (u32, &RowPods)) -> Shape {
    let select = |(key, value): (&str, &Option<String>)| Some((key.to_string(), value.clone()?));
    let selected = [(INSTANCE_TYPE, &row.r#type), (NODE_POOL, &row.pool)];
    let prefers = |pool: &String| (1, Term(vec![(NODE_POOL.into(), Requirement::any_of([pool.clone()]))]));
    Shape {
        node_selector: selected.into_iter().filter_map(select).collect(),
        node_affinity: NodeAffinity {
            required: Vec::new(),
            preferred: row.prefers_pool.iter().map(prefers).collect(),
        },
        pod_affinity: PodAffinity {
            anti_affinity: row.anti_affine.then(|| PodTerm::new(HOSTNAME, [number])).into_iter().collect(),
            ..PodAffinity::default()
        },
        ..Shape::plain(Resources::new(row.cpu_millis, 0, 1))
    }
}

fn provisioner(row: &Row) -> Provisioner {
    let mut types = types();
    for (name, size, _) in &row.reservations {
        types
            .iter_mut()
            .filter(|offered| offered.name == *size)
            .for_each(|offered| offered.also_reserved(name));
    }
    let place = |name: &str| types.iter().position(|offered| offered.name == name).unwrap();
    let reservation = |(name, size, left): &(String, String, u32)| Reservation {
        name: name.clone(),
        types: vec![place(size)],
        zone: 0,
        left: *left,
    };
    let reservations = row.reservations.iter().map(reservation).collect();
    let pool = |row: &RowPool| NodePool {
        name: row.name.clone(),
        weight: row.weight,
        requirements: Requirements::default(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        types: None,
        reservations: row.reservations.clone(),
    };
    let zones = vec!["z1".into(), "z2".into()];
    let available = all_available(&types, 2);
    let offers = Offers::new(types, zones, available, Resources::ZERO).with_reservations(reservations);
    let shapes: Vec<Shape> = (0..).zip(&row.pods).map(shape).collect();
    Provisioner::new(offers, row.pools.iter().map(pool).collect(), &shapes)
}

/// (size, reservation, pool) of a claim's launch, which Karpenter counts.
fn launch_one(
    provisioner: &mut Provisioner,
    row: &Row,
    (spec, pool): (&launch::ClaimSpec, u32),
) -> (String, Option<String>, String) {
    let offers = &mut provisioner.offers;
    let request = launch::request(offers, spec).unwrap();
    let reserved = request.capacity_type == CapacityType::Reserved;
    let number = reserved.then(|| offers.reservation_at(offers.set(spec.set), request.types[0], 0).unwrap());
    let name = number.map(|number| {
        let Reservation { name, left, .. } = offers.reservations()[number as usize].clone();
        offers.set_left(number, left - 1);
        name
    });
    (offers.types[request.types[0]].name.clone(), name, row.pools[pool as usize].name.clone())
}

#[test]
fn rounds_book_reservations_as_karpenters_tests_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/reserved.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    for line in text.lines() {
        let row: Row = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let mut provisioner = provisioner(&row);
        let limits = vec![Limits::default(); row.pools.len()];
        let mode = if row.fallback { Mode::Fallback } else { Mode::Strict };
        let mut pods: Vec<u32> =
            (0..).zip(&row.pods).flat_map(|(shape, pods)| std::iter::repeat_n(shape, pods.count)).collect();
        for (round, wanted) in row.rounds.iter().enumerate() {
            let solution = provisioner.solve_in(mode, &pods, &[], &limits, &mut ByName);
            let specs: Vec<(launch::ClaimSpec, u32)> = solution
                .claims
                .iter()
                .map(|claim| {
                    let options = provisioner.options(claim);
                    (launch::claim(&provisioner.offers, claim.set, &options).unwrap(), claim.pool)
                })
                .collect();
            let launched: Vec<_> =
                specs.iter().map(|(spec, pool)| launch_one(&mut provisioner, &row, (spec, *pool))).collect();
            let got: Vec<(String, Option<String>)> =
                launched.iter().map(|(size, name, _)| (size.clone(), name.clone())).collect();
            assert_eq!(got, *wanted, "{}, round {round}", row.id);
            let in_pool = |(.., pool): &(String, Option<String>, String)| {
                row.pool.as_ref().is_none_or(|wanted| wanted == pool)
            };
            assert!(launched.iter().all(in_pool), "{}, round {round}: {launched:?}", row.id);
            let waits = |placed: &&Placed| matches!(placed, Placed::Nowhere(_));
            let waiting = pods.iter().zip(&solution.placed).filter(|(_, placed)| waits(placed));
            pods = waiting.map(|(pod, _)| *pod).collect();
        }
        assert!(pods.is_empty(), "{}: {} pods still wait", row.id, pods.len());
    }
    assert_eq!(text.lines().count(), 9);
}

fn read(text: &str) -> Result<Prepared, Vec<String>> {
    let mut problems = Problems::default();
    let document = Document::parse("reserved.toml", text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    scenario::read(&document, "reserved", Path::new("."), &Arc::new(Catalogue::compiled_in()))
        .map(|read| Prepared::new(read.scenario))
        .map_err(|problems| problems.into_iter().map(|problem| problem.key).collect())
}

fn run(text: &str) -> Told {
    let prepared = read(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    // In this replication Karpenter reads no counts in the first seconds.
    tell(&prepared, 7, 1, Wishes { check: true, trace: true, ..Wishes::default() })
}

fn lines(told: &Told, event: &str) -> Vec<Value> {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|line| line["event"] == event).collect()
}

/// Launches by capacity type.
fn launches(told: &Told, kind: &str) -> usize {
    lines(told, "instance_launched").iter().filter(|line| line["capacity_type"] == kind).count()
}

const FOUR_RESERVED: &str =
    "[[capacity_reservations]]\ninstance_type = \"m5.large\"\nzone = \"us-east-1b\"\ncount = 4\n";

/// Pods of which one fits on an m5.large.
fn one_a_node(head: &str, deployment: &str, reservation: &str, pool: &str) -> String {
    format!(
        "horizon = \"25 min\"\n{head}\n[[deployments]]\n{deployment}\ncpu = \"1500m\"\nmemory = \"2 GiB\"\n\
         [[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.large\"]\n\
         capacity_types = [\"reserved\", \"on-demand\"]\n{pool}\n{reservation}"
    )
}

#[test]
fn what_is_reserved_goes_first_and_the_others_wait_a_round() {
    let told = run(&one_a_node("", "replicas = 10", FOUR_RESERVED, ""));
    assert_eq!(told.record.outcome, Outcome::Reached);
    assert_eq!((launches(&told, "reserved"), launches(&told, "on-demand")), (4, 6));
    let reserved: Vec<Value> = lines(&told, "instance_launched");
    let reserved = reserved.iter().filter(|line| line["capacity_type"] == "reserved");
    assert!(reserved.clone().all(|line| line["zone"] == "us-east-1b"));
    assert_eq!(told.record.reserved.unwrap().nodes, 4);
    let waited = told.record.cause_pod_ms[kilopod::world::cause::Cause::ReservationBooked as usize];
    // Six pods, from the first round's end until the next, which comes with their ten-second turn at the latest.
    assert!((6_000..6 * 15_000).contains(&waited), "{waited} ms");
    // A reserved instance costs what it costs on demand.
    let bought = run(&one_a_node("", "replicas = 10", "", ""));
    assert_eq!(bought.record.cost_per_hour_micro_usd, told.record.cost_per_hour_micro_usd);
    assert_eq!((launches(&bought, "on-demand"), bought.record.reserved), (10, None));
}

#[test]
fn a_reservation_that_others_have_filled_refuses_and_the_market_serves() {
    let taken = format!("{FOUR_RESERVED}others = [{{ at = \"1 s\", instances = 4 }}]\n");
    let told = run(&one_a_node("", "replicas = 10", &taken, ""));
    assert_eq!(told.record.outcome, Outcome::Reached);
    assert_eq!((launches(&told, "reserved"), launches(&told, "on-demand")), (0, 10));
    let errors = lines(&told, "capacity_error");
    assert!(errors.iter().all(|line| line["error"] == "ReservationCapacityExceeded"), "{errors:?}");
    // The first refusal teaches that nothing is left; the other claims have nothing to ask for any more.
    assert_eq!((told.record.reserved.unwrap().full, told.record.capacity_errors), (1, 4));
}

#[test]
fn places_come_back_with_the_instances_end() {
    let schedule = "schedule = [{ at = \"0 s\", replicas = 4 }, { at = \"5 min\", replicas = 0 }, \
                    { at = \"15 min\", replicas = 4 }]";
    let pool = "disruption = { consolidate_after = \"0 s\", budgets = [{ nodes = \"100%\" }] }";
    let told = run(&one_a_node("target_pods = 4\nuntil = \"horizon\"", schedule, FOUR_RESERVED, pool));
    assert_eq!(lines(&told, "node_gone").len(), 4);
    assert_eq!((launches(&told, "reserved"), launches(&told, "on-demand")), (8, 0));
}

/// Ten places at 0.096 USD an hour, all paid for until somebody runs an instance in them, and again once it has stopped.
#[test]
fn places_that_nobody_uses_cost_what_used_ones_do() {
    let ten = FOUR_RESERVED.replace("count = 4", "count = 10\nused = 2");
    let cost = |reservation: &str, replicas: u32, pool: &str| {
        let steps = format!(
            "schedule = [{{ at = \"0 s\", replicas = {replicas} }}, {{ at = \"10 min\", replicas = 1 }}]"
        );
        let head = format!("target_pods = {replicas}\nuntil = \"horizon\"");
        run(&one_a_node(&head, &steps, reservation, pool)).record
    };
    let usd = |hours: f64| (hours * 96_000.0) as u64;
    let near =
        |found: u64, wanted: u64| assert!(found.abs_diff(wanted) <= 2, "{found} micro-USD, not {wanted}");
    let all = 25.0 / 60.0 * 8.0;
    let (stays, goes) = ("", "disruption = { budgets = [{ nodes = \"100%\" }] }");
    for (replicas, pool) in [(1, stays), (6, stays), (8, stays), (6, goes)] {
        let record = cost(&ten, replicas, pool);
        let reserved = record.reserved.unwrap();
        assert_eq!(reserved.nodes, u64::from(replicas));
        // Used or not, the places cost the same in all.
        near(reserved.unused_to_horizon_micro_usd + record.cost_to_horizon_micro_usd, usd(all));
        let until = record.time_to_target_ms.unwrap() as f64 / 3.6e6;
        near(reserved.unused_to_target_micro_usd + record.cost_to_target_micro_usd, usd(8.0 * until));
    }
    // From then on others pay.
    let others = format!("{ten}others = [{{ at = \"15 min\", instances = 5 }}]\n");
    let record = cost(&others, 1, stays);
    let left = record.reserved.unwrap().unused_to_horizon_micro_usd + record.cost_to_horizon_micro_usd;
    near(left, usd(all - 5.0 * 10.0 / 60.0));
    assert_eq!(cost("", 1, stays).reserved, None);
}

#[test]
fn what_is_reserved_counts_against_the_quota_before_it_runs() {
    let quota = "quotas = { on_demand_vcpus = 14, spot_vcpus = 0 }";
    let told = run(&one_a_node(quota, "replicas = 6", FOUR_RESERVED, ""));
    // The nodes that are there have four vCPUs, the reservation eight: two are left of fourteen, for one instance.
    assert_eq!((launches(&told, "reserved"), launches(&told, "on-demand")), (4, 1));
    assert_eq!(told.record.outcome, Outcome::Stuck);
}

#[test]
fn a_pool_may_ask_for_one_reservation_alone() {
    let two = format!("{FOUR_RESERVED}name = \"cr-a\"\n{}", FOUR_RESERVED.replace("count = 4", "count = 8"));
    let pool = "requirements = [{ key = \"karpenter.k8s.aws/capacity-reservation-id\", operator = \"In\", \
                values = [\"cr-a\"] }]";
    let told = run(&one_a_node("", "replicas = 6", &two, pool));
    // The market is in no reservation.
    assert_eq!((launches(&told, "reserved"), launches(&told, "on-demand")), (4, 0));
    let told = run(&one_a_node("", "replicas = 6", &format!("{FOUR_RESERVED}node_pools = []\n"), ""));
    assert_eq!((launches(&told, "reserved"), launches(&told, "on-demand")), (0, 6));
}

#[test]
fn what_is_no_reservation_is_told() {
    let wrong = "[[capacity_reservations]]\nname = \"a\"\ninstance_type = \"m5.lrge\"\nzone = \"us-west-2a\"\nused = 3\n\
                 node_pools = [\"other\"]\n[[capacity_reservations]]\nname = \"a\"\ninstance_type = \"m5.large\"\n\
                 zone = \"us-east-1a\"\ncount = 2\ncuont = 1\n";
    let mut keys = read(&one_a_node("", "replicas = 1", wrong, "")).map(|_| ()).unwrap_err();
    keys.sort_unstable();
    let wanted = ["count", "instance_type", "node_pools", "used", "zone"].map(|key| format!("[0].{key}"));
    let wanted = wanted.into_iter().chain(["cuont", "name"].map(|key| format!("[1].{key}")));
    let wanted: Vec<String> = wanted.map(|key| format!("capacity_reservations{key}")).collect();
    assert_eq!(keys, wanted);
}
