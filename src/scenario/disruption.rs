//! What may be taken away while it runs: PodDisruptionBudgets.

use crate::actors::eviction::PodDisruptionBudget;
use crate::actors::int_or_percent::IntOrPercent;
use crate::input::{Problems, Section, Value};

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
