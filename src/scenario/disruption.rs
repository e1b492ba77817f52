//! What may be taken away while it runs: PodDisruptionBudgets of pods, disruption of NodePools.

use super::checked::{ConsolidationPolicy, DisruptionSpec, DoNotDisrupt};
use super::cron::{self, Cron, Minutes};
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
const MINUTE: SimDuration = SimDuration::from_secs(60);
/// A node that goes before it can have come is a slip of the pen.
const LEAST_AGE: SimDuration = SimDuration::from_secs(300);

/// A whole number, or a share such as "10%" of no more than all.
pub(super) fn int_or_percent(
    section: &mut Section<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<IntOrPercent> {
    int_or_percent_to(100, section, name, problems)
}

/// The same with shares up to `most` per cent.
pub(super) fn int_or_percent_to(
    most: u32,
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
    let sane = read.filter(|amount| !matches!(amount, IntOrPercent::Percent(share) if *share > most));
    if sane.is_none() {
        let what = format!("a whole number or a share from \"0%\" to \"{most}%\" is wanted");
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
        problems.add(section.origin_of("min_available"), &section.key("min_available"), what, None);
    }
    let least =
        int_or_percent(&mut section, "min_available", problems).map(PodDisruptionBudget::MinAvailable);
    let most =
        int_or_percent(&mut section, "max_unavailable", problems).map(PodDisruptionBudget::MaxUnavailable);
    section.finish(problems);
    least.or(most)
}

/// `do_not_disrupt = true`, or a time from the pod's start on.
pub(super) fn do_not_disrupt(section: &mut Section<'_>, problems: &mut Problems) -> Option<DoNotDisrupt> {
    if let Some(Value::Bool(always)) = section.get("do_not_disrupt").map(|node| &node.value) {
        return always.then_some(DoNotDisrupt::Always);
    }
    let span = section.span("do_not_disrupt", problems)?;
    if span.is_zero() {
        let what = "protection that ends at once is none: Karpenter takes it for no annotation";
        let hint = Some("write do_not_disrupt = true, or a time such as \"10 min\"".to_string());
        problems.add(section.origin_of("do_not_disrupt"), &section.key("do_not_disrupt"), what, hint);
    }
    Some(DoNotDisrupt::For(span))
}

/// `disruption = { consolidation_policy, consolidate_after, budgets }` of a NodePool, with Karpenter's own defaults.
pub(super) fn read(mut section: Section<'_>, clock: Clock, problems: &mut Problems) -> DisruptionSpec {
    let policy = section.choice("consolidation_policy", &POLICIES, problems);
    let never = matches!(section.get("consolidate_after").map(|node| &node.value), Some(Value::Text(text)) if text == "Never");
    let after = if never { None } else { section.span("consolidate_after", problems) };
    let given = section.sections("budgets", problems);
    let budgets =
        given.map(|list| list.into_iter().flat_map(|entry| budget(entry, clock, problems)).collect());
    section.finish(problems);
    DisruptionSpec {
        policy: policy.unwrap_or(ConsolidationPolicy::WhenEmptyOrUnderutilized),
        consolidate_after: (!never).then(|| after.unwrap_or(SimDuration::ZERO)),
        budgets: budgets.unwrap_or_else(|| vec![Budget::standard()]),
    }
}

/// `{ nodes = "10%", reasons = ["Empty"], from = "10 min", lasts = "1 h" }`; one with a `schedule` comes as one for each time
/// that it holds within the run.
fn budget(mut section: Section<'_>, clock: Clock, problems: &mut Problems) -> Vec<Budget> {
    let nodes = int_or_percent(&mut section, "nodes", problems).unwrap_or(Budget::standard().nodes);
    let names: Vec<&str> = Reason::BUDGETED.iter().map(|reason| reason.name()).collect();
    let mut reasons = Vec::new();
    for text in section.texts("reasons", problems).unwrap_or_default() {
        match Reason::BUDGETED.iter().find(|reason| reason.name() == text) {
            Some(reason) => reasons.push(*reason),
            None => {
                let what = format!("{text:?} is not one of {}", names.join(", "));
                problems.add(section.origin_of("reasons"), &section.key("reasons"), what, None);
            }
        }
    }
    let from = section.span("from", problems);
    let lasts = section.span("lasts", problems);
    if from.is_some() != lasts.is_some() {
        let what = "a budget for a while has both from and lasts";
        problems.add(section.origin_of("from"), &section.key("from"), what, None);
    }
    let span = from.zip(lasts).map(|(from, lasts)| (SimTime::ZERO + from, SimTime::ZERO + from + lasts));
    let scheduled = scheduled(&mut section, clock, problems);
    if span.is_some() && scheduled.is_some() {
        let what = "a budget holds by its schedule or from an instant of the run, not both";
        problems.add(section.origin_of("schedule"), &section.key("schedule"), what, None);
    }
    section.finish(problems);
    let times: Vec<Option<(SimTime, SimTime)>> = match scheduled {
        Some(spans) => spans.into_iter().map(Some).collect(),
        None => vec![span],
    };
    times.into_iter().map(|active| Budget { nodes, reasons: reasons.clone(), active }).collect()
}

/// What a run's instants are on the calendar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When the run begins, in UTC; `None`: nobody said.
    starts_at: Option<Minutes>,
    horizon: SimDuration,
}

impl Clock {
    /// `starts_at` of a scenario. Its `horizon` is read, and what is wrong with it told, elsewhere.
    pub(super) fn read(root: &mut Section<'_>, problems: &mut Problems) -> Clock {
        let text = root.text("starts_at", problems);
        let starts_at = text.as_deref().and_then(cron::instant);
        if text.is_some() && starts_at.is_none() {
            let hint =
                "write starts_at = \"2026-11-02 09:00\", which is UTC, or \"2026-11-02T10:00:00+01:00\"";
            let what = "this is no date and time to the minute";
            problems.add(root.origin_of("starts_at"), "starts_at", what, Some(hint.to_string()));
        }
        let horizon = root.span("horizon", &mut Problems::default()).unwrap_or(super::read::HORIZON);
        Clock { starts_at, horizon }
    }
}

/// The spans of the run in which a budget with `schedule` and `duration` holds: for so long after each time that it is due,
/// those before the run included.
fn scheduled(
    section: &mut Section<'_>,
    clock: Clock,
    problems: &mut Problems,
) -> Option<Vec<(SimTime, SimTime)>> {
    let schedule = section.text("schedule", problems);
    let duration = section.span("duration", problems);
    if schedule.is_some() != duration.is_some() {
        let what = "a budget by the calendar has both schedule and duration";
        problems.add(section.origin_of("schedule"), &section.key("schedule"), what, None);
    }
    let (schedule, duration) = (schedule?, duration?);
    let key = section.key("schedule");
    let cron = match Cron::parse(&schedule) {
        Ok(cron) => cron,
        Err(what) => {
            let hint = "write schedule = \"0 9 * * mon-fri\" or \"@daily\"".to_string();
            problems.add(section.origin_of("schedule"), &key, what, Some(hint));
            return None;
        }
    };
    let Some(starts_at) = clock.starts_at else {
        let hint = "write starts_at = \"2026-11-02 09:00\" (UTC) beside horizon".to_string();
        problems.add(section.origin(), &key, "the run's first instant has no date", Some(hint));
        return None;
    };
    let minutes = |span: SimDuration| (span.nanos() / MINUTE.nanos()) as Minutes;
    let due = cron.due(starts_at - minutes(duration) - 1, starts_at + minutes(clock.horizon));
    let after = |minutes: Minutes| MINUTE * minutes.unsigned_abs();
    let span = |at: Minutes| match at - starts_at {
        before @ ..0 => {
            let gone = after(before);
            (duration > gone).then(|| (SimTime::ZERO, SimTime::ZERO + (duration - gone)))
        }
        since => Some((SimTime::ZERO + after(since), SimTime::ZERO + after(since) + duration)),
    };
    Some(due.into_iter().filter_map(span).collect())
}

/// `expire_after = "2 h"` of a NodePool.
pub(super) fn expire_after(section: &mut Section<'_>, problems: &mut Problems) -> Option<SimDuration> {
    let age = section.span("expire_after", problems)?;
    if age < LEAST_AGE {
        let what = "a node that expires in less than 5 min may never serve";
        problems.add(section.origin_of("expire_after"), &section.key("expire_after"), what, None);
    }
    Some(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Document;

    /// Spans (min) in which the budgets of `disruption` hold, and the problems.
    fn spans(root: &str, budgets: &str) -> (Vec<Option<(u64, u64)>>, Vec<String>) {
        let mut problems = Problems::default();
        let text = format!("{root}\n[disruption]\nbudgets = [{budgets}]");
        let document = Document::parse("a.toml", &text, &mut problems);
        let mut root = Section::new(&document.root, "", &mut problems);
        let clock = Clock::read(&mut root, &mut problems);
        let spec = read(root.section("disruption", &mut problems).unwrap(), clock, &mut problems);
        let minutes = |at: SimTime| at.millis() / 60_000;
        let spans =
            spec.budgets.iter().map(|budget| budget.active.map(|(from, to)| (minutes(from), minutes(to))));
        (spans.collect(), problems.into_vec().into_iter().map(|problem| problem.what).collect())
    }

    #[test]
    fn a_schedule_becomes_the_spans_of_the_run_in_which_it_holds() {
        let root = "starts_at = \"2026-11-02 09:30\"\nhorizon = \"5 h\"";
        let budgets = "{ nodes = 0, schedule = \"0 9,14 * * mon-fri\", duration = \"1 h\" }, { nodes = 1 }";
        assert_eq!(spans(root, budgets), (vec![Some((0, 30)), Some((270, 330)), None], vec![]));
        // Due exactly as long ago as it lasts: over.
        let budgets = "{ nodes = 0, schedule = \"30 8 * * *\", duration = \"1 h\" }";
        assert_eq!(spans(root, budgets), (vec![], vec![]));
    }

    #[test]
    fn half_a_schedule_and_a_run_without_a_date_are_told() {
        let whole = "{ nodes = 0, schedule = \"@daily\", duration = \"1 h\" }";
        assert_eq!(spans("", whole).1, ["the run's first instant has no date"]);
        let root = "starts_at = \"2026-11-02 09:30\"";
        assert_eq!(spans(root, "{ schedule = \"@daily\" }").1.len(), 1);
        assert!(spans(root, "{ schedule = \"9 * *\", duration = \"1 h\" }").1[0].contains("3 fields"));
        assert_eq!(
            spans("starts_at = \"soon\"", "{ nodes = 1 }").1,
            ["this is no date and time to the minute"]
        );
    }
}
