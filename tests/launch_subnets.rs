//! Which of a zone's subnets Karpenter launches into.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::{ApiCount, Outcome};
use kilopod::scenario;
use serde_json::Value;

/// Nodes that hold one pod and one address each, of one zone.
fn run(pods: u32, types: &str, subnets: &str) -> Told {
    let told = run_of("current", &format!("replicas = {pods}"), types, subnets);
    let reads = lines(&told, "subnets_read");
    assert!(reads.first().is_none_or(|line| line["at_ms"].as_f64().unwrap() > 10_000.0), "{reads:?}");
    told
}
fn run_of(profile: &str, pods: &str, types: &str, subnets: &str) -> Told {
    let text = format!(
        "profile = \"{profile}\"\nhorizon = \"20 min\"\nzones = [\"us-east-1a\"]\ncontrol_plane_interfaces = 0\n[cni]\nmode = \"none\"\n\
         [[deployments]]\n{pods}\ncpu = \"1500m\"\nmemory = \"2 GiB\"\n[[node_pools]]\nname = \"default\"\n\
         instance_types = [{types}]\ncapacity_types = [\"on-demand\"]\n{subnets}"
    );
    let mut problems = Problems::default();
    let document = Document::parse("subnets.toml", &text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let read = scenario::read(&document, "subnets", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    let prepared = Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:#?}")).scenario);
    // In this replication Karpenter reads no counts in the first seconds.
    tell(&prepared, 7, 1, Wishes { check: true, trace: true, ..Wishes::default() })
}

fn lines(told: &Told, event: &str) -> Vec<Value> {
    let all = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|line| line["event"] == event).collect()
}

const TWO: &str = "[[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 22\nused_addresses = 8\n\
                   [[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 22\nused_addresses = 20\n";

#[test]
fn launches_take_turns_by_what_they_are_predicted_to_use() {
    let told = run(20, "\"m5.large\"", TWO);
    // Two nodes were there before. A launch is taken for 29 addresses, an m5.large's pods, though it uses one: by what is
    // really free the first subnet would get ten launches before the second gets any.
    let used = |subnet: usize, at_start: u32| 1_019 - at_start - told.record.subnets[subnet].free_at_end;
    assert_eq!((used(0, 8), used(1, 20)), (2 + 10, 10));
    // Launches into different subnets are different calls.
    let one = run(20, "\"m5.large\"", "[[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 22\n");
    let calls = |told: &Told| told.record.api_counts[ApiCount::CREATE_FLEET].calls;
    assert!(calls(&told) > calls(&one), "{} and {}", calls(&told), calls(&one));
    assert!(lines(&one, "subnets_read").is_empty(), "there is nothing to choose");
}

#[test]
fn a_subnet_that_has_run_dry_leaves_its_zone_open() {
    let subnets = "[[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 24\nothers = [{ at = \"1 s\", addresses = 256 }]\n\
                   [[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 24\nused_addresses = 100\n";
    let told = run(1, "\"m5.large\", \"m5.xlarge\"", subnets);
    let errors = lines(&told, "capacity_error");
    // Of both types of the request, in the subnet that Karpenter took for the emptier.
    assert!(errors.iter().all(|line| line["error"] == "InsufficientFreeAddressesInSubnet"), "{errors:?}");
    assert_eq!(errors.len(), 2);
    assert_eq!(told.record.outcome, Outcome::Reached);
    let launched = lines(&told, "instance_launched");
    let since = launched[0]["at_ms"].as_f64().unwrap() - errors[0]["at_ms"].as_f64().unwrap();
    // The two offerings are left alone for three minutes, and then found in the other subnet.
    assert!((170e3..200e3).contains(&since), "{since} ms");
    assert_eq!(told.record.subnets[1].free_at_end, 150);
}

/// Karpenter 0.19 kept EC2's counts for a minute and counted nothing itself: until then all launches go into one subnet, however
/// full, and one that has no address is asked again and again.
#[test]
fn in_2022_all_launches_of_a_minute_went_into_one_subnet() {
    let told = run_of("2022-11", "replicas = 20", "\"m5.large\"", TWO);
    let used = |subnet: usize, at_start: u32| 1_019 - at_start - told.record.subnets[subnet].free_at_end;
    assert_eq!((used(0, 8), used(1, 20)), (2 + 20, 0));
    assert!(lines(&told, "subnets_read").is_empty(), "it looks when it launches");
    let subnets = "[[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 24\nothers = [{ at = \"15 s\", addresses = 256 }]\n\
                   [[subnets]]\nzone = \"us-east-1a\"\nprefix_length = 24\nused_addresses = 100\n";
    let steps = "schedule = [{ at = \"0 s\", replicas = 1 }, { at = \"20 s\", replicas = 2 }]";
    let told = run_of("2022-11", steps, "\"m5.large\"", subnets);
    let (errors, launched) = (lines(&told, "capacity_error"), lines(&told, "instance_launched"));
    assert_eq!((told.record.outcome, launched.len()), (Outcome::Reached, 2));
    assert!(errors.len() > 3, "{} errors", errors.len());
    let at = |line: &Value| line["at_ms"].as_f64().unwrap();
    let looked = at(&launched[1]) - at(&launched[0]);
    assert!((58e3..75e3).contains(&looked), "{looked} ms from look to look");
}
