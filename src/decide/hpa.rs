//! `decide hpa`: one sync of the horizontal pod autoscaler.

use serde::{Deserialize, Serialize};

use crate::actors::hpa::{
    At, Autoscaler, Behavior, Metric, PodMetric, PodState, Policies, Policy, PolicyKind, Select,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    current: i32,
    #[serde(default = "one")]
    min: i32,
    max: i32,
    metric_ratio: Option<f64>,
    ready: Option<i32>,
    target_percent: Option<i32>,
    pods: Option<Vec<CasePod>>,
    proposal: Option<i32>,
    #[serde(default = "tolerance")]
    tolerance: f64,
    behavior: Option<CaseBehavior>,
    history: Option<Vec<Earlier>>,
    #[serde(default)]
    scale_events: Vec<Change>,
    #[serde(default)]
    at_ms: i64,
}

fn one() -> i32 {
    1
}
fn tolerance() -> f64 {
    0.1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePod {
    usage_millis: Option<i64>,
    request_millis: i64,
    #[serde(default)]
    state: CaseState,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum CaseState {
    #[default]
    Ready,
    Ignored,
    Missing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Earlier {
    at_ms: i64,
    replicas: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    at_ms: i64,
    change: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseBehavior {
    scale_up: Option<CaseRules>,
    scale_down: Option<CaseRules>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseRules {
    stabilization_window_seconds: Option<i64>,
    select_policy: Option<CaseSelect>,
    policies: Option<Vec<CasePolicy>>,
}

#[derive(Deserialize)]
enum CaseSelect {
    Max,
    Min,
    Disabled,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CasePolicy {
    r#type: CaseKind,
    value: i32,
    period_seconds: i64,
}

#[derive(Deserialize)]
enum CaseKind {
    Pods,
    Percent,
}

#[derive(Serialize)]
struct Answer {
    id: String,
    desired: i32,
}

/// The answer to one line.
pub(super) fn answer(line: &str) -> Result<String, String> {
    let case: Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let metric = metric(&case)?;
    let recommendations = match &case.history {
        // The first sync of an object remembers its count before anything else.
        None => vec![At { at_ms: case.at_ms, value: case.current }],
        Some(history) => {
            history.iter().map(|earlier| At { at_ms: earlier.at_ms, value: earlier.replicas }).collect()
        }
    };
    let event = |change: &Change| At { at_ms: change.at_ms, value: change.change };
    let autoscaler = Autoscaler {
        min: case.min,
        max: case.max,
        tolerance: case.tolerance,
        behavior: case.behavior.map(|behavior| Behavior {
            up: rules(behavior.scale_up, Policies::default_up()),
            down: rules(behavior.scale_down, Policies::default_down()),
        }),
        recommendations,
        scale_events: case.scale_events.iter().map(event).collect(),
    };
    let desired = match metric {
        Some(metric) => autoscaler.sync(case.current, &metric, case.at_ms).desired,
        // A count out of its bounds needs no metric.
        None => autoscaler.without_metric(case.current).ok_or(ONE_METRIC)?,
    };
    serde_json::to_string(&Answer { id: case.id, desired }).map_err(|error| error.to_string())
}

const ONE_METRIC: &str = "give one of metric_ratio, target_percent (with pods) and proposal";

fn metric(case: &Case) -> Result<Option<Metric>, String> {
    let metric = match (case.metric_ratio, case.target_percent, case.proposal) {
        (None, None, None) => return Ok(None),
        (Some(ratio), None, None) => Metric::Ratio { ratio, ready: case.ready.unwrap_or(case.current) },
        (None, Some(target_percent), None) if target_percent > 0 => {
            let pods = case.pods.as_deref().ok_or("pods must be given with target_percent")?;
            Metric::Utilisation { target_percent, pods: pods.iter().map(read_pod).collect() }
        }
        (None, Some(_), None) => return Err("target_percent must be at least 1".into()),
        (None, None, Some(proposal)) => Metric::Replicas(proposal),
        _ => return Err(ONE_METRIC.into()),
    };
    Ok(Some(metric))
}

fn read_pod(pod: &CasePod) -> PodMetric {
    let state = match pod.state {
        CaseState::Ready => PodState::Ready,
        CaseState::Ignored => PodState::Ignored,
        CaseState::Missing => PodState::Missing,
    };
    PodMetric { usage_millis: pod.usage_millis, request_millis: pod.request_millis, state }
}

/// What is given replaces the default, a list of policies as a whole.
fn rules(given: Option<CaseRules>, default: Policies) -> Policies {
    let Some(given) = given else { return default };
    let policy = |policy: CasePolicy| Policy {
        kind: match policy.r#type {
            CaseKind::Pods => PolicyKind::Pods,
            CaseKind::Percent => PolicyKind::Percent,
        },
        value: policy.value,
        period_ms: policy.period_seconds * 1_000,
    };
    Policies {
        window_ms: given.stabilization_window_seconds.map_or(default.window_ms, |seconds| seconds * 1_000),
        select: match given.select_policy {
            None => default.select,
            Some(CaseSelect::Max) => Select::Max,
            Some(CaseSelect::Min) => Select::Min,
            Some(CaseSelect::Disabled) => Select::Disabled,
        },
        policies: given
            .policies
            .map_or(default.policies, |policies| policies.into_iter().map(policy).collect()),
    }
}
