//! `strategy`, `min_ready` and `rollouts` of `[[deployments]]`: changes of the pod template, and how they are rolled out.

use super::checked::DeploymentSpec;
use super::containers::{self, Layer};
use super::disruption::{int_or_percent, int_or_percent_to};
use crate::actors::deployment::Strategy;
use crate::actors::int_or_percent::IntOrPercent;
use crate::input::{Problems, Section};
use crate::units::{Resources, SimDuration, SimTime};

/// How a Deployment's pods are replaced, and when.
#[derive(Clone, PartialEq, Debug)]
pub struct Rollouts {
    pub strategy: Strategy,
    /// `minReadySeconds`: a pod counts as available once it has been Ready for so long.
    pub min_ready: SimDuration,
    /// By rising time.
    pub changes: Vec<TemplateChange>,
}

impl Rollouts {
    /// Of a Deployment whose pods are never replaced.
    pub const NONE: Rollouts =
        Rollouts { strategy: Strategy::STANDARD, min_ready: SimDuration::ZERO, changes: Vec::new() };
}

/// A new pod template; what it does not say is as in the Deployment.
#[derive(Clone, PartialEq, Debug)]
pub struct TemplateChange {
    pub at: SimTime,
    pub cpu_millis: Option<i64>,
    pub memory_bytes: Option<i64>,
    /// The new image; `None`: another one, of the same layers.
    pub image_layers: Option<Vec<Layer>>,
}

impl DeploymentSpec {
    /// The pods of a new template: nobody scales them but the Deployment.
    pub fn with_template(&self, change: &TemplateChange) -> DeploymentSpec {
        let own_requests = Resources::new(
            change.cpu_millis.unwrap_or(self.own_requests.cpu_millis),
            change.memory_bytes.unwrap_or(self.own_requests.memory_bytes),
            self.own_requests.pods,
        );
        let image_layers = change.image_layers.clone().unwrap_or_else(|| self.image_layers.clone());
        DeploymentSpec {
            requests: Resources {
                extended: self.requests.extended,
                ..containers::requests_of_pod(own_requests, &self.init_containers)
            },
            own_requests,
            image_bytes: image_layers.iter().map(|layer| layer.bytes).sum(),
            image_layers,
            schedule: Vec::new(),
            autoscaler: None,
            rollouts: Rollouts::NONE,
            ..self.clone()
        }
    }
}

pub(super) fn read(section: &mut Section<'_>, problems: &mut Problems) -> Rollouts {
    let strategy = section.section("strategy", problems);
    Rollouts {
        strategy: strategy.map_or(Strategy::STANDARD, |part| read_strategy(part, problems)),
        min_ready: section.span("min_ready", problems).unwrap_or(SimDuration::ZERO),
        changes: changes(section, problems),
    }
}

/// `{ type = "RollingUpdate", max_surge = "25%", max_unavailable = 1 }` or `{ type = "Recreate" }`
fn read_strategy(mut part: Section<'_>, problems: &mut Problems) -> Strategy {
    let recreates = part.choice("type", &[("RollingUpdate", false), ("Recreate", true)], problems);
    let recreates = recreates.unwrap_or(false);
    // Kubernetes bounds the share that may be missing alone.
    let surge = int_or_percent_to(u32::MAX, &mut part, "max_surge", problems);
    let unavailable = int_or_percent(&mut part, "max_unavailable", problems);
    if recreates && (surge.is_some() || unavailable.is_some()) {
        let hint = Some("leave max_surge and max_unavailable out".to_string());
        problems.add(part.origin_of("type"), &part.key("type"), "Recreate deletes all old pods first", hint);
    }
    let nothing = |amount| matches!(amount, Some(IntOrPercent::Count(0) | IntOrPercent::Percent(0)));
    if nothing(surge) && nothing(unavailable) {
        let what = "with neither surge nor unavailable pods nothing can be replaced";
        let hint = Some("set max_surge or max_unavailable to 1 or more".to_string());
        problems.add(part.origin_of("max_unavailable"), &part.key("max_unavailable"), what, hint);
    }
    part.finish(problems);
    if recreates {
        return Strategy::Recreate;
    }
    let standard = IntOrPercent::Percent(25);
    Strategy::RollingUpdate {
        max_surge: surge.unwrap_or(standard),
        max_unavailable: unavailable.unwrap_or(standard),
    }
}

fn changes(section: &mut Section<'_>, problems: &mut Problems) -> Vec<TemplateChange> {
    let mut read: Vec<TemplateChange> = Vec::new();
    for mut entry in section.sections("rollouts", problems).unwrap_or_default() {
        let at = entry.span("at", problems);
        if at.is_none() {
            problems.add(entry.origin_of("at"), &entry.key("at"), "when? such as at = \"10 min\"", None);
        }
        let at = SimTime::ZERO + at.unwrap_or(SimDuration::ZERO);
        if read.last().is_some_and(|before| before.at >= at) {
            problems.add(entry.origin_of("at"), &entry.key("at"), "the instants of rollouts must rise", None);
        }
        let says_image = entry.get("image").is_some() || entry.get("image_layers").is_some();
        read.push(TemplateChange {
            at,
            cpu_millis: entry.cpu("cpu", problems),
            memory_bytes: entry.bytes("memory", problems),
            image_layers: says_image.then(|| containers::layers(&mut entry, 0, problems)),
        });
        entry.finish(problems);
    }
    read
}
