//! What may be taken away while it runs: PodDisruptionBudgets of pods, disruption of NodePools.

use super::checked::{ConsolidationPolicy, DisruptionSpec};
use crate::actors::eviction::PodDisruptionBudget;
use crate::actors::int_or_percent::IntOrPercent;
use crate::actors::karpenter::disruption::Reason;
use crate::actors::karpenter::disruption::budgets::Budget;
use crate::input::{Problems, Section, Value};
use crate::units::{SimDuration, SimTime};

const POLICIES: [(&str, ConsolidationPolicy); 3] = [
    ("WhenEmpty", ConsolidationPolicy::WhenEmpty),
    ("WhenEmptyOrUnderutilized", ConsolidationPolicy::WhenEmptyOrUnderutilized),
    ("Balanced", ConsolidationPolicy::Balanced),
];
/// A node that goes before it can have come is a slip of the pen.
const LEAST_AGE: SimDuration = SimDuration::from_secs(300);

/// A whole number, or a share such as "10%".
fn int_or_percent(
    section: &mut Section<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<IntOrPercent> {
    let key = section.key(name);
    let node = section.get(name)?;
    let read = match &node.value {
        Value::Integer(count) => u32::try_from(*count).ok().map(IntOrPercent::Count),
        Value::Text(text) => IntOrPercent::parse(text),
        _ => None,
    };
    let sane = read.filter(|amount| !matches!(amount, IntOrPercent::Percent(101..)));
    if sane.is_none() {
        let what = "a whole number or a share from \"0%\" to \"100%\" is wanted";
        problems.add(&node.origin, &key, what, Some(format!("write {name} = 1 or {name} = \"10%\"")));
    }
    sane
}

/// `pdb = { min_available = "90%" }` or `{ max_unavailable = 10 }` of a Deployment.
pub(super) fn pdb(mut section: Section<'_>, problems: &mut Problems) -> Option<PodDisruptionBudget> {
    let least = section.get("min_available").is_some();
    let most = section.get("max_unavailable").is_some();
    if least == most {
        let what = "a PodDisruptionBudget has either min_available or max_unavailable";
        problems.add(section.origin(), &section.key("min_available"), what, None);
    }
    let least =
        int_or_percent(&mut section, "min_available", problems).map(PodDisruptionBudget::MinAvailable);
    let most =
        int_or_percent(&mut section, "max_unavailable", problems).map(PodDisruptionBudget::MaxUnavailable);
    section.finish(problems);
    least.or(most)
}

/// `disruption = { consolidation_policy, consolidate_after, budgets }` of a NodePool, with Karpenter's own defaults.
pub(super) fn read(mut section: Section<'_>, problems: &mut Problems) -> DisruptionSpec {
    let policy = section.choice("consolidation_policy", &POLICIES, problems);
    let never = matches!(section.get("consolidate_after").map(|node| &node.value), Some(Value::Text(text)) if text == "Never");
    let after = if never { None } else { section.span("consolidate_after", problems) };
    let given = section.sections("budgets", problems);
    let budgets = given.map(|list| list.into_iter().map(|entry| budget(entry, problems)).collect());
    section.finish(problems);
    DisruptionSpec {
        policy: policy.unwrap_or(ConsolidationPolicy::WhenEmptyOrUnderutilized),
        consolidate_after: (!never).then(|| after.unwrap_or(SimDuration::ZERO)),
        budgets: budgets.unwrap_or_else(|| vec![Budget::standard()]),
    }
}

/// `{ nodes = "10%", reasons = ["Empty"], from = "10 min", lasts = "1 h" }`
fn budget(mut section: Section<'_>, problems: &mut Problems) -> Budget {
    let nodes = int_or_percent(&mut section, "nodes", problems).unwrap_or(Budget::standard().nodes);
    let names: Vec<&str> = Reason::BUDGETED.iter().map(|reason| reason.name()).collect();
    let mut reasons = Vec::new();
    for text in section.texts("reasons", problems).unwrap_or_default() {
        match Reason::BUDGETED.iter().find(|reason| reason.name() == text) {
            Some(reason) => reasons.push(*reason),
            None => {
                let what = format!("{text:?} is not one of {}", names.join(", "));
                problems.add(section.origin(), &section.key("reasons"), what, None);
            }
        }
    }
    let from = section.span("from", problems);
    let lasts = section.span("lasts", problems);
    if from.is_some() != lasts.is_some() {
        let what = "a budget for a while has both from and lasts";
        problems.add(section.origin(), &section.key("from"), what, None);
    }
    section.finish(problems);
    let active = from.zip(lasts).map(|(from, lasts)| (SimTime::ZERO + from, SimTime::ZERO + from + lasts));
    Budget { nodes, reasons, active }
}

/// `expire_after = "2 h"` of a NodePool.
pub(super) fn expire_after(section: &mut Section<'_>, problems: &mut Problems) -> Option<SimDuration> {
    let age = section.span("expire_after", problems)?;
    if age < LEAST_AGE {
        let what = "a node that expires in less than 5 min may never serve";
        problems.add(section.origin(), &section.key("expire_after"), what, None);
    }
    Some(age)
}
