//! The tables of `tests/tables/`, each row a case.

use std::collections::BTreeMap;

use kilopod::actors::ipamd::{Limits, PoolState, Rest, Settings, Version, resting_states};
use kilopod::actors::karpenter::{NodeSettings, allocatable, capacity};
use kilopod::catalogue::Catalogue;
use kilopod::decide::{Program, answer_line};
use kilopod::units::{MIB, SimDuration};
use serde_json::{Value, json};

fn rest(instance_type: &str, settings: &str, max_pods: u32, pods: u32) -> Rest {
    let catalogue = Catalogue::compiled_in();
    let found = catalogue.get(catalogue.find(instance_type).unwrap());
    let limits = Limits::of(found).unwrap();
    let pairs = settings.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    let env: BTreeMap<String, String> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
    let settings = Settings::read(Version::V1_23, &env, limits, max_pods, &mut Vec::new());
    resting_states(&settings, pods).pop().unwrap()
}

#[test]
fn warm_pools_come_to_rest_as_documented() {
    let mut table = csv::Reader::from_path("tests/tables/warm-pool.csv").unwrap();
    let (mut rows, mut differing) = (0, Vec::new());
    for row in table.records() {
        let row = row.unwrap();
        let number = |column: usize| row[column].parse::<u32>().unwrap();
        let max_pods = if row[4].is_empty() { 737 } else { number(4) };
        let Rest::Still(state) = rest(&row[2], &row[3], max_pods, number(5)) else {
            differing.push(format!("{}: no rest", &row[0]));
            continue;
        };
        let mut per_eni = state.per_eni.clone();
        per_eni.sort_unstable_by(|a, b| b.cmp(a));
        let per_eni: Vec<String> = per_eni.iter().map(u32::to_string).collect();
        let got = (state.enis(), state.total(), state.warm(), per_eni.join(" "));
        let stated = (number(6), number(7), number(8), row[9].to_string());
        if got != stated {
            differing.push(format!("{}: {got:?}, stated {stated:?}", &row[0]));
        }
        rows += 1;
    }
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
    assert_eq!(rows, 92);
}

/// `10:18 20:27` as (ms, count).
fn points(text: &str) -> Vec<(u64, u64)> {
    let point = |point: &str| {
        let (at, count) = point.split_once(':').unwrap();
        ((at.parse::<f64>().unwrap() * 1_000.0).round() as u64, count.parse().unwrap())
    };
    text.split_whitespace().map(point).collect()
}

/// All pods at once, failed ones again every 10 s: when they get addresses and how the pool grows, with calls that take
/// no time and with typical ones. The loop is that of `decide ipamd` with time, whose answers are the real program's.
#[test]
fn bursts_are_served_at_the_stated_times() {
    let typical = json!({"AssignPrivateIpAddresses": 500, "CreateNetworkInterface": 500, "DescribeInstances": 150,
        "AttachNetworkInterface": 700, "ModifyNetworkInterfaceAttribute": 250, "DescribeNetworkInterfaces": 150,
        "DescribeSubnets": 150, "CreateTags": 250});
    let catalogue = Catalogue::compiled_in();
    let mut rows = 0;
    for row in csv::Reader::from_path("tests/tables/burst.csv").unwrap().records() {
        let row = row.unwrap();
        let pairs = row[2].split_whitespace().map(|pair| pair.split_once('=').unwrap());
        let env: BTreeMap<&str, &str> = pairs.collect();
        let time =
            if &row[4] == "none" { json!({}) } else { json!({"latency_ms": typical, "imds_lag_ms": 1_600}) };
        let mut case = json!({"id": &row[0], "instance_type": &row[1], "env": env, "time": time,
            "events": [{"at_ms": 0, "add": row[5].parse::<u32>().unwrap()}], "until_ms": 150_000});
        if !row[3].is_empty() {
            case["max_pods"] = json!(row[3].parse::<u32>().unwrap());
        }
        let (answer, good) = answer_line(Program::Ipamd, &case.to_string(), &catalogue);
        assert!(good, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let mut served = BTreeMap::<u64, u64>::new();
        for at in answer["assigned_ms"].as_array().unwrap().iter().filter_map(Value::as_u64) {
            *served.entry(at).or_default() += 1;
        }
        let mut sum = 0;
        let got: Vec<(u64, u64)> = served
            .iter()
            .map(|(at, count)| {
                sum += count;
                (*at, sum)
            })
            .collect();
        assert_eq!(got, points(&row[6]), "{}", &row[0]);
        assert_eq!(answer["start"]["total"], row[7].parse::<u64>().unwrap(), "{}", &row[0]);
        let mut total = row[7].parse::<u64>().unwrap();
        let mut grown = Vec::new();
        for step in answer["steps"].as_array().unwrap() {
            let now = step["total"].as_u64().unwrap();
            if now != total {
                grown.push((step["end_ms"].as_u64().unwrap(), now));
            }
            total = now;
        }
        // Later growth, beyond what the table tells, may follow.
        let told = points(&row[8]);
        assert_eq!(grown[..told.len()], told, "{}", &row[0]);
        rows += 1;
    }
    assert_eq!(rows, 17);
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
