//! Whole replications: same seed, same outcome; books that add up.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Summary, simulate};
use kilopod::input::{Document, Problems};
use kilopod::scenario;

/// The scenario of a thousand pods, cut to `pods`, with settings.
fn run(pods: u32, settings: &[&str], seed: u64) -> Summary {
    let mut problems = Problems::default();
    let text = include_str!("../experiments/scenarios/thousand-pods.toml");
    let mut document = Document::parse("thousand-pods.toml", text, &mut problems);
    document.set(&format!("target_pods={pods}"), &mut problems);
    settings.iter().for_each(|setting| document.set(setting, &mut problems));
    let read =
        scenario::read(&document, "thousand-pods", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    let scenario = read.unwrap_or_else(|problems| panic!("{problems:?}")).scenario;
    assert!(problems.is_empty());
    simulate(&Prepared::new(scenario), seed, 0)
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let once = run(200, &[], 3);
    assert_eq!(format!("{once:?}"), format!("{:?}", run(200, &[], 3)));
    assert_ne!(once.ready, run(200, &[], 4).ready);
}

#[test]
fn addresses_taken_from_the_subnets_are_those_on_nodes() {
    for settings in [
        &["WARM_IP_TARGET=1"][..],
        &["WARM_ENI_TARGET=0"],
        &["ENABLE_PREFIX_DELEGATION=true", "WARM_PREFIX_TARGET=1"],
    ] {
        let summary = run(150, settings, 1);
        assert!(summary.reached, "{settings:?}: {summary:?}");
        let free: u32 = summary.subnets.iter().map(|(_, free, _)| free).sum();
        // Three /19, less five reserved each, less the control plane's four; an ENI being made counts in both.
        assert_eq!(3 * (8_192 - 5) - 4 - free, summary.attached, "{settings:?}");
        assert!(summary.assigned >= 150, "{settings:?}");
    }
}

#[test]
fn one_pod_a_node_cannot_reach_a_thousand_in_three_21_by_default() {
    // 1,000 nodes of 20 addresses against 6,129.
    let summary = run(1_000, &["subnet_prefix_length=21", "horizon=\"10 min\""], 1);
    assert!(!summary.reached);
    assert!(summary.subnets.iter().all(|(_, _, least)| *least < 20), "{:?}", summary.subnets);
}

#[test]
fn a_node_stays_in_the_subnet_its_instance_was_put_into() {
    // Two subnets in one zone, one in another; prefixes come and go and each must find its own subnet again.
    let subnet = |zone: &str| format!("{{ zone = \"us-east-1{zone}\", prefix_length = 19 }}");
    let subnets = format!("subnets=[{}, {}, {}]", subnet("a"), subnet("a"), subnet("b"));
    let summary = run(100, &[&subnets, "ENABLE_PREFIX_DELEGATION=true", "WARM_PREFIX_TARGET=1"], 1);
    assert!(summary.reached, "{summary:?}");
    assert!(summary.subnets.iter().all(|(_, free, _)| *free < 8_100), "{:?}", summary.subnets);
    let free: u32 = summary.subnets.iter().map(|(_, free, _)| free).sum();
    assert_eq!(3 * (8_192 - 5) - 4 - free, summary.attached);
}
