//! `decide ipamd`: one node's address pool over time, with calls that take no time or a fixed one.

mod ec2;
mod node;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::actors::ipamd::{self, Api, Limits, Settings, Version};
use crate::catalogue::Catalogue;
use crate::units::SimDuration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    instance_type: Option<String>,
    limits: Option<CaseLimits>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    max_pods: Option<u32>,
    subnet_free: Option<u64>,
    subnet_free_prefixes: Option<u64>,
    #[serde(default)]
    events: Vec<Event>,
    until_ms: u64,
    time: Option<CaseTime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseLimits {
    max_enis: u32,
    ipv4_per_eni: u32,
    #[serde(default = "nitro")]
    nitro: bool,
}

fn nitro() -> bool {
    true
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct Event {
    at_ms: u64,
    #[serde(default)]
    add: u32,
    #[serde(default)]
    del: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseTime {
    #[serde(default)]
    latency_ms: BTreeMap<String, u64>,
    #[serde(default)]
    imds_lag_ms: u64,
    #[serde(default)]
    detaching_ms: u64,
    #[serde(default = "kubelet_retry")]
    kubelet_retry_ms: u64,
}

fn kubelet_retry() -> u64 {
    10_000
}

/// How long things take on the case's node.
#[derive(Clone, Debug, Default)]
struct Durations {
    /// By [`Api::ALL`].
    call: [SimDuration; Api::ALL.len()],
    imds_lag: SimDuration,
    detaching: SimDuration,
    /// `None`: a failed ADD is forgotten, and the 2 s between Detach and Delete are left out.
    kubelet_retry: Option<SimDuration>,
}

#[derive(Serialize, Clone, Copy)]
struct State {
    enis: u32,
    total: u32,
    assigned: u32,
    cooling: u32,
    prefixes: u32,
}

#[derive(Serialize)]
struct Step {
    at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_ms: Option<i64>,
    #[serde(flatten)]
    state: State,
}

#[derive(Serialize)]
struct CallMade {
    at_ms: i64,
    api: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    init_ms: Option<u64>,
    start: Option<State>,
    steps: Vec<Step>,
    calls: Vec<CallMade>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_ms: Option<Vec<Option<u64>>>,
}

/// The answer to one line.
pub(super) fn answer(line: &str, catalogue: &Catalogue) -> Result<String, String> {
    let case: Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let limits = limits(&case, catalogue)?;
    spans(&case)?;
    if let Some(name) = case.env.keys().find(|name| !ipamd::NAMES.contains(&name.as_str())) {
        return Err(format!("env: {name} is not one of {}", ipamd::NAMES.join(", ")));
    }
    let max_pods = case.max_pods.unwrap_or(limits.max_enis * limits.ipv4_per_eni.saturating_sub(1) + 2);
    let settings = Settings::read(Version::V1_23, &case.env, limits, max_pods, &mut Vec::new());
    let durations = durations(case.time.as_ref())?;
    let mut events = case.events.clone();
    events.sort_by_key(|event| event.at_ms);
    let subnet = ec2::Subnet { addresses: case.subnet_free, prefixes: case.subnet_free_prefixes };
    let ec2 = ec2::Ec2::new(subnet, limits.max_enis, &durations);
    let node = node::Node::new(&settings, durations, ec2, events, case.until_ms);
    let answer = node.run(case.id, case.time.is_some());
    serde_json::to_string(&answer).map_err(|error| error.to_string())
}

fn limits(case: &Case, catalogue: &Catalogue) -> Result<Limits, String> {
    match (&case.instance_type, &case.limits) {
        (None, Some(limits)) if limits.max_enis > 0 && limits.ipv4_per_eni > 0 => Ok(Limits {
            max_enis: limits.max_enis,
            ipv4_per_eni: limits.ipv4_per_eni,
            prefixes: limits.nitro,
            trunking: None,
        }),
        (None, Some(_)) => Err("limits: max_enis and ipv4_per_eni must be at least 1".into()),
        (Some(name), None) => {
            let id = catalogue
                .find(name)
                .ok_or_else(|| format!("instance_type: {name:?} is not in the catalogue"))?;
            let found = catalogue.get(id);
            Limits::of(found)
                .ok_or_else(|| format!("instance_type: the interface limits of {name} are not known"))
        }
        _ => Err("give either instance_type or limits".into()),
    }
}

/// No case is longer than a year, nor is anything in it.
fn spans(case: &Case) -> Result<(), String> {
    const YEAR_MS: u64 = 365 * 86_400_000;
    let time = case.time.iter().flat_map(|time| {
        let own = [time.imds_lag_ms, time.detaching_ms, time.kubelet_retry_ms];
        time.latency_ms.values().copied().chain(own)
    });
    let mut all = case.events.iter().map(|event| event.at_ms).chain([case.until_ms]).chain(time);
    match all.find(|ms| *ms > YEAR_MS) {
        Some(ms) => Err(format!("{ms} ms are more than a year ({YEAR_MS} ms)")),
        None => Ok(()),
    }
}

fn durations(time: Option<&CaseTime>) -> Result<Durations, String> {
    let mut durations = Durations::default();
    let Some(time) = time else { return Ok(durations) };
    for (name, ms) in &time.latency_ms {
        let place = Api::ALL.iter().position(|api| api.name() == name);
        let place =
            place.ok_or_else(|| format!("time.latency_ms: {name} is not one of the calls of ipamd"))?;
        durations.call[place] = SimDuration::from_millis(*ms);
    }
    if time.kubelet_retry_ms == 0 {
        return Err("time.kubelet_retry_ms must be at least 1".into());
    }
    durations.imds_lag = SimDuration::from_millis(time.imds_lag_ms);
    durations.detaching = SimDuration::from_millis(time.detaching_ms);
    durations.kubelet_retry = Some(SimDuration::from_millis(time.kubelet_retry_ms));
    Ok(durations)
}
