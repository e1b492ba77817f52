//! The tables of `tests/tables/`, each row a case.

use std::collections::BTreeMap;

use kilopod::actors::ipamd::{Limits, PoolState, Rest, Settings, Version, resting_states};
use kilopod::actors::karpenter::{NodeSettings, allocatable, capacity};
use kilopod::catalogue::Catalogue;
use kilopod::units::{MIB, SimDuration};

fn rest(instance_type: &str, settings: &str, max_pods: u32, pods: u32) -> Rest {
    let catalogue = Catalogue::compiled_in();
    let found = catalogue.get(catalogue.find(instance_type).unwrap());
    let limits = Limits {
        max_enis: found.max_enis.unwrap(),
        ipv4_per_eni: found.ipv4_per_eni.unwrap(),
        prefixes: found.supports_prefixes(),
        trunking: found.trunking,
    };
    let pairs = settings.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    let env: BTreeMap<String, String> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
    let settings = Settings::read(Version::V1_23, &env, limits, max_pods, &mut Vec::new());
    resting_states(&settings, pods).pop().unwrap()
}

#[test]
fn warm_pools_come_to_rest_as_documented() {
    let mut table = csv::Reader::from_path("tests/tables/warm-pool.csv").unwrap();
    let mut rows = 0;
    for row in table.records() {
        let row = row.unwrap();
        let number = |column: usize| row[column].parse::<u32>().unwrap();
        let max_pods = if row[4].is_empty() { 737 } else { number(4) };
        let Rest::Still(state) = rest(&row[2], &row[3], max_pods, number(5)) else {
            panic!("{}: no rest", &row[0])
        };
        let mut per_eni = state.per_eni.clone();
        per_eni.sort_unstable_by(|a, b| b.cmp(a));
        let per_eni: Vec<String> = per_eni.iter().map(u32::to_string).collect();
        let got = (state.enis(), state.total(), state.warm(), per_eni.join(" "));
        assert_eq!(got, (number(6), number(7), number(8), row[9].to_string()), "{}", &row[0]);
        rows += 1;
    }
    assert_eq!(rows, 53);
}

#[test]
fn without_a_warm_eni_an_idle_one_comes_and_goes() {
    let state = |per_eni: &[u32]| PoolState { per_eni: per_eni.to_vec(), assigned: 9, waiting: 0 };
    let Rest::Cycle { period, mut states } = rest("m5.large", "WARM_ENI_TARGET=0", 737, 9) else {
        panic!("it rests")
    };
    states.sort();
    assert_eq!(states, [state(&[9]), state(&[9, 9])]);
    // Made at a step, freed 60 s later, made again at the next step.
    assert_eq!(period, SimDuration::from_secs(65));
}

#[test]
fn a_minimum_alone_leaves_later_pods_without_an_address() {
    let Rest::Still(state) = rest("m5.4xlarge", "MINIMUM_IP_TARGET=30", 737, 31) else { panic!("it cycles") };
    assert_eq!((state.total(), state.assigned, state.waiting), (30, 30, 1));
}

#[test]
fn karpenter_predicts_what_its_documentation_lists_for_every_type() {
    let catalogue = Catalogue::compiled_in();
    let settings = NodeSettings::default();
    let mut table = csv::Reader::from_path("tests/tables/karpenter-allocatable.csv").unwrap();
    let (mut held, mut unknown, mut differing) = (0, Vec::new(), Vec::new());
    for row in table.records() {
        let row = row.unwrap();
        let listed: Vec<i64> = row.iter().skip(1).map(|text| text.parse().unwrap()).collect();
        let found = catalogue.find(&row[0]).map(|id| catalogue.get(id));
        let Some((found, has)) = found.and_then(|found| Some((found, capacity(found, &settings)?))) else {
            unknown.push(row[0].to_string());
            continue;
        };
        let offers = allocatable(found, &settings).unwrap();
        // The page gives EC2's memory as the capacity, before the overhead of virtual machines.
        let memory = found.memory_mib.unwrap() as i64;
        let offered = offers.memory_bytes / MIB;
        let got = [has.cpu_millis / 1_000, memory, has.pods, offers.cpu_millis, offered, offers.pods];
        if got[..] != listed[..] {
            differing.push(format!("{}: {got:?}, listed {listed:?}", &row[0]));
        }
        held += 1;
    }
    assert!(
        differing.is_empty(),
        "{} of {held} differ; the first: {:?}",
        differing.len(),
        &differing[..3.min(differing.len())]
    );
    assert!(unknown.len() <= 11 && held >= 943, "{held} held; unknown to the catalogue: {unknown:?}");
}
