//! Karpenter's disruption against the cases of its own tests, `tests/tables/disruption.csv`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kilopod::actors::int_or_percent::IntOrPercent;
use kilopod::actors::karpenter::disruption::Reason;
use kilopod::actors::karpenter::disruption::balanced::{PoolTotals, passes, score};
use kilopod::actors::karpenter::disruption::budgets::{Budget, Counted, allowed};
use kilopod::actors::karpenter::disruption::candidates::{
    Candidate, eviction_cost, interweave, reschedule_cost, sort, within_budgets,
};
use kilopod::actors::karpenter::disruption::consolidation::{
    Action, consolidate, longest_prefix, other_type, still_holds,
};
use kilopod::actors::karpenter::disruption::simulation::{Situation, simulate};
use kilopod::actors::karpenter::offers::{CapacityType, Offered, Offers, all_available};
use kilopod::actors::karpenter::requirement::{Operator, Requirement, Requirements};
use kilopod::actors::karpenter::solve::{ExistingNode, Limits, NodePool, Provisioner, Shape};
use kilopod::actors::karpenter::{NodeSettings, allocatable, capacity};
use kilopod::catalogue::Catalogue;
use kilopod::units::{MIB, Resources, SimTime};
use proptest::prelude::*;

/// `key=value` words.
struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Words<'a> {
        Words(text.split_whitespace().map(|word| word.split_once('=').unwrap()).collect())
    }
    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }
    fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        let text = self.text(key).unwrap_or_else(|| panic!("the row has no {key}"));
        text.parse().unwrap_or_else(|_| panic!("{key} = {text}"))
    }
}

/// What DaemonSets request on every node.
const DAEMONS: Resources = Resources::new(150, 0, 2);
const NOW: SimTime = SimTime::from_secs(100);

/// `10%+0:Drifted` or `10%@later`.
fn budgets(text: &str) -> Vec<Budget> {
    let each = |text: &str| {
        let (text, later) = text.strip_suffix("@later").map_or((text, false), |text| (text, true));
        let (nodes, reason) =
            text.split_once(':').map_or((text, None), |(nodes, reason)| (nodes, Some(reason)));
        let reasons = reason.map(|name| *Reason::ALL.iter().find(|reason| reason.name() == name).unwrap());
        Budget {
            nodes: IntOrPercent::parse(nodes).unwrap(),
            reasons: reasons.into_iter().collect(),
            active: later.then_some((SimTime::from_secs(200), SimTime::from_secs(300))),
        }
    };
    text.split('+').map(each).collect()
}

fn candidate(node: u32, price: f64, pods: usize) -> Candidate {
    Candidate {
        node,
        pool: 0,
        offered: 0,
        kind: CapacityType::OnDemand,
        price,
        reschedule_cost: reschedule_cost((0..pods).map(|_| 1.0)),
        pods: vec![0; pods],
    }
}

/// How many of `nodes` alike, empty or with a pod each, go at once.
fn disrupted(words: &Words<'_>, pods: usize, reason: Reason) -> String {
    let nodes = words.number("nodes");
    let counted = Counted { nodes, disrupting: 0 };
    let mut left = [allowed(&budgets(words.text("budgets").unwrap()), counted, reason, NOW)];
    let all: Vec<Candidate> = (0..nodes).map(|node| candidate(node, 1.0, pods)).collect();
    assert!(all.iter().all(|candidate| candidate.is_empty() == (pods == 0)));
    let (kept, constrained) = within_budgets(all, &mut left);
    assert_eq!(constrained, kept.len() < nodes as usize);
    kept.len().to_string()
}

/// Offers of the whole catalogue's m5 and c5 types and the shapes of the cases: one CPU and 2 GiB, and more than any type
/// holds.
fn provisioner(pool: &str, kinds: &str) -> Provisioner {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::compiled_in);
    let (settings, zones) = (NodeSettings::default(), vec!["us-east-1a".to_string()]);
    let mut names: Vec<&str> = CATALOGUE.types().iter().map(|found| found.name.as_str()).collect();
    names.retain(|name| {
        ["m5", "m5a", "m5n", "c5", "r5", "m6i", "c6i"].contains(&name.split('.').next().unwrap())
    });
    names.sort_unstable();
    let offered = |name: &&str| {
        let found = CATALOGUE.get(CATALOGUE.find(name).unwrap());
        let resources = (capacity(found, &settings)?, allocatable(found, &settings)?);
        Offered::new(found, "us-east-1", &zones, resources, |_| true)
    };
    let types: Vec<Offered> = names.iter().filter_map(offered).collect();
    let available = all_available(&types, zones.len());
    let offers = Offers::new(types, zones, available, DAEMONS);
    let mut requirements = Requirements::default();
    let values = |text: &str| text.split(',').map(str::to_string).collect::<Vec<String>>();
    if pool != "all" {
        let named = Requirement::new(Operator::In, &values(pool), None);
        requirements.add("node.kubernetes.io/instance-type", &named);
    }
    requirements.add("karpenter.sh/capacity-type", &Requirement::new(Operator::In, &values(kinds), None));
    let (labels, taints) = (BTreeMap::new(), Vec::new());
    let name = "default".into();
    let pool = NodePool { name, weight: 0, requirements, labels, taints, types: None, reservations: None };
    let shapes = [1, 10_000].map(|cpus| Shape::plain(Resources::new(cpus * 1_000, 2_048 * MIB, 1)));
    Provisioner::new(offers, vec![pool], &shapes)
}

/// A node of `m5.xlarge:spot:3` or `m5.xlarge:spot:3:uninitialized`, and the same as a candidate.
fn node(index: u32, text: &str, provisioner: &Provisioner) -> (ExistingNode, bool, Candidate) {
    let parts: Vec<&str> = text.split(':').collect();
    let offered = provisioner.offers.types.iter().position(|offered| offered.name == parts[0]).unwrap();
    let (kind, pods) = (CapacityType::parse(parts[1]).unwrap(), parts[2].parse::<usize>().unwrap());
    let found = &provisioner.offers.types[offered];
    let used = (0..pods).fold(DAEMONS, |sum, _| sum + Resources::new(1_000, 2_048 * MIB, 1));
    let existing = ExistingNode::plain(found.allocatable - used);
    let price = found.prices[kind as usize].unwrap();
    (existing, parts.len() == 3, Candidate { offered, kind, ..candidate(index, price, pods) })
}

fn consolidated(words: &Words<'_>) -> String {
    let pool = words.text("pool").unwrap();
    let mut provisioner = provisioner(pool, words.text("kinds").unwrap_or("spot,on-demand"));
    let mut situation = Situation { limits: vec![Limits::default()], ..Situation::default() };
    let mut candidates = Vec::new();
    for (index, text) in words.text("nodes").unwrap().split('+').enumerate() {
        let (existing, initialized, candidate) = node(index as u32, text, &provisioner);
        situation.nodes.push(existing);
        situation.initialized.push(initialized);
        candidates.extend(initialized.then_some(candidate));
    }
    situation.pending = vec![1; words.text("pending").map_or(0, |count| count.parse().unwrap())];
    sort(&mut candidates);
    candidates.truncate(words.text("take").map_or(1, |count| count.parse().unwrap()));
    let gone: Vec<usize> = candidates.iter().map(|candidate| candidate.node as usize).collect();
    let pods: Vec<u32> = candidates.iter().flat_map(|candidate| &candidate.pods).copied().collect();
    let before = situation.nodes.iter().map(|node| node.room).collect::<Vec<Resources>>();
    let simulated = simulate(&mut provisioner, &mut situation, &gone, &pods);
    assert_eq!(before, situation.nodes.iter().map(|node| node.room).collect::<Vec<Resources>>());
    let gate = words.text("gate") == Some("on");
    let offers = &mut provisioner.offers;
    let action = consolidate(offers, &candidates, &simulated, gate).and_then(|action| match action {
        Action::Replace(new) if candidates.len() > 1 => {
            other_type(offers, &candidates, new).map(Action::Replace)
        }
        action => Ok(action),
    });
    match action {
        Err(refusal) => format!("{refusal:?}"),
        Ok(Action::Delete) => {
            assert!(still_holds(&[], &simulated), "nothing has changed");
            format!("delete {}", candidates[0].node)
        }
        Ok(Action::Replace(new)) => {
            assert!(still_holds(std::slice::from_ref(&new), &simulated), "nothing has changed");
            assert!(!still_holds(&[], &simulated), "it takes a new node");
            let kinds = offers.set(new.spec.set).kinds;
            let own = CapacityType::MARKETS.into_iter().filter(|kind| kinds[*kind as usize]);
            let own: Vec<&str> = own.map(CapacityType::name).collect();
            match new.spec.types.len() {
                1 => format!("replace with 1 {}", own.join(" or ")),
                count => format!("replace with {count}"),
            }
        }
    }
}

fn outcome(what: &str, input: &str) -> String {
    if what == "amount" {
        return IntOrPercent::parse(input).map_or("error".to_string(), |amount| format!("{amount:?}"));
    }
    let words = Words::of(input);
    match what {
        "empty" => disrupted(&words, 0, Reason::Empty),
        "underutilized" => disrupted(&words, 1, Reason::Underutilized),
        "budget" => {
            let counted = Counted { nodes: words.number("nodes"), disrupting: words.number("disrupting") };
            allowed(&budgets(words.text("budgets").unwrap()), counted, Reason::Empty, NOW).to_string()
        }
        "consolidate" => consolidated(&words),
        "score" => {
            let totals = PoolTotals {
                cost: words.number("pool_cost"),
                reschedule_cost: words.number("pool_disruption"),
            };
            let score = score(words.number("savings"), words.number("disruption"), totals);
            format!("{score:.2} {}", if passes(score) { "approve" } else { "reject" })
        }
        "ratio" => {
            format!("{:.2}", candidate(0, words.number("price"), words.number("pods")).savings_ratio())
        }
        "totals" => {
            let one = candidate(0, words.number("price"), words.number("pods"));
            let nodes: f64 = words.number("nodes");
            format!("{:.2} {}", nodes * one.price, nodes * one.reschedule_cost)
        }
        "eviction" => {
            let cost = eviction_cost(words.number("deletion_cost"), words.number("priority"));
            match cost {
                1.0 | 10.0 => cost.to_string(),
                cost if cost > 1.0 => "> 1".to_string(),
                _ => "< 1".to_string(),
            }
        }
        other => panic!("no case is of kind {other}"),
    }
}

#[test]
fn disruption_decides_as_in_karpenters_own_tests() {
    let mut table = csv::Reader::from_path("tests/tables/disruption.csv").unwrap();
    let mut rows = 0;
    for row in table.records() {
        let row = row.unwrap();
        assert_eq!(outcome(&row[1], &row[2]), row[3], "{}: {} {}", &row[0], &row[1], &row[2]);
        rows += 1;
    }
    assert_eq!(rows, 41);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    /// What budgets let through never exceeds any of them, and keeps the order.
    #[test]
    fn no_budget_is_ever_exceeded(
        shares in prop::collection::vec((0u32..120, any::<bool>()), 1..4),
        disrupting in 0u32..20,
        pods in prop::collection::vec(0usize..5, 0..60),
    ) {
        let nodes = pods.len() as u32 + disrupting;
        let amount = |(number, share): &(u32, bool)| {
            if *share { IntOrPercent::Percent(*number) } else { IntOrPercent::Count(*number) }
        };
        let budgets: Vec<Budget> = shares.iter().map(|share| Budget { nodes: amount(share), ..Budget::standard() }).collect();
        let mut all: Vec<Candidate> =
            pods.iter().enumerate().map(|(node, pods)| candidate(node as u32, 1.0, *pods)).collect();
        sort(&mut all);
        prop_assert!(all.windows(2).all(|pair| pair[0].savings_ratio() >= pair[1].savings_ratio()));
        let mut left = [allowed(&budgets, Counted { nodes, disrupting }, Reason::Empty, NOW)];
        let (kept, constrained) = within_budgets(all.clone(), &mut left);
        prop_assert_eq!(constrained, kept.len() < all.len());
        prop_assert_eq!(&all[..kept.len()], &kept[..]);
        for budget in &budgets {
            prop_assert!(kept.is_empty() || kept.len() as u32 + disrupting <= budget.nodes.of(nodes));
        }
    }

    /// Bisection finds the longest prefix where longer ones fail once one fails.
    #[test]
    fn the_longest_prefix_is_found(candidates in 0usize..300, works in 0usize..300) {
        let found = longest_prefix(candidates, |count| (count <= works).then_some(count));
        let most = works.min(candidates).min(101);
        prop_assert_eq!(found, (most >= 2).then_some(most));
    }

    /// Interweaving loses nobody and takes from each pool in its order.
    #[test]
    fn pools_take_turns(pools in prop::collection::vec(0u32..4, 0..40)) {
        let all: Vec<Candidate> =
            pools.iter().enumerate().map(|(node, pool)| Candidate { pool: *pool, ..candidate(node as u32, 1.0, 1) }).collect();
        let woven = interweave(all.clone());
        prop_assert_eq!(woven.len(), all.len());
        for pool in 0..4 {
            let of = |list: &[Candidate]| list.iter().filter(|c| c.pool == pool).map(|c| c.node).collect::<Vec<u32>>();
            prop_assert_eq!(of(&woven), of(&all));
        }
    }
}
