//! EC2's request limits: `models/ec2-limits.toml`, and a scenario's own over them.

use std::collections::BTreeMap;

use super::checked::{BucketLimit, Ec2Limits};
use crate::input::{Problems, Section, Value};

/// The limits of `models/ec2-limits.toml`.
///
/// # Panics
/// Never: a test reads the same text.
pub(super) fn compiled_in() -> Ec2Limits {
    let table: toml::Table =
        include_str!("../../models/ec2-limits.toml").parse().expect("models/ec2-limits.toml is TOML");
    let bucket = |value: &toml::Value| {
        let number =
            |key: &str| value.get(key).and_then(toml::Value::as_integer).and_then(|n| u32::try_from(n).ok());
        let number =
            |key: &str| number(key).unwrap_or_else(|| panic!("models/ec2-limits.toml: {key} in {value}"));
        BucketLimit { size: number("size"), refill_per_s: number("refill_per_s") }
    };
    let requests: BTreeMap<String, BucketLimit> = table["requests"]
        .as_table()
        .expect("models/ec2-limits.toml has [requests]")
        .iter()
        .map(|(name, value)| (name.clone(), bucket(value)))
        .collect();
    Ec2Limits { requests, instances: bucket(&table["instances"]), background_per_s: BTreeMap::new() }
}

/// `[ec2_limits]` of a scenario: `CreateFleet = { size = 50, refill_per_s = 5 }`, `instances = ...`.
pub(super) fn read(section: Option<Section<'_>>, problems: &mut Problems) -> Ec2Limits {
    let mut limits = compiled_in();
    let Some(mut section) = section else { return limits };
    if let Some(mut background) = section.section("background", problems) {
        for (name, node) in background.all() {
            let known = limits.requests.get(name).map(|limit| limit.refill_per_s);
            let rate = match &node.value {
                Value::Integer(rate) => u32::try_from(*rate).ok(),
                _ => None,
            };
            match (known, rate) {
                (Some(refill), Some(rate)) if rate <= refill => {
                    limits.background_per_s.insert(name.clone(), rate);
                }
                (None, _) => {
                    let names: Vec<&str> = limits.requests.keys().map(String::as_str).collect();
                    let hint = Some(format!("the calls are {}", names.join(", ")));
                    let what = format!("{name:?} is not a call with a limit of its own");
                    problems.add(&node.origin, &background.key(name), what, hint);
                }
                (Some(refill), _) => {
                    let what = format!(
                        "a whole number of calls a second is wanted, at most the {refill} that refill"
                    );
                    problems.add(&node.origin, &background.key(name), what, None);
                }
            }
        }
    }
    for (name, node) in section.all().iter().filter(|(name, _)| name != "background") {
        let key = section.key(name);
        let mut entry = Section::new(node, &key, problems);
        let size = entry.whole("size", 1, 1_000_000, problems);
        let refill = entry.whole("refill_per_s", 0, 1_000_000, problems);
        entry.finish(problems);
        let slot =
            if name == "instances" { Some(&mut limits.instances) } else { limits.requests.get_mut(name) };
        let Some(slot) = slot else {
            let names: Vec<&str> = limits.requests.keys().map(String::as_str).collect();
            let what = format!("{name:?} is not a call with a limit of its own");
            problems.add(
                &node.origin,
                &key,
                what,
                Some(format!("the calls are {}, instances", names.join(", "))),
            );
            continue;
        };
        *slot = BucketLimit {
            size: size.unwrap_or(slot.size),
            refill_per_s: refill.unwrap_or(slot.refill_per_s),
        };
    }
    limits
}
