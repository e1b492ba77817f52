//! Where pods may go and what nodes keep off: selectors, affinities, spread, taints and labels, and how kube-scheduler
//! scores.

use std::collections::BTreeMap;

use super::checked::{NodePoolSpec, Scenario};
use super::host_ports;
use super::node_pools::requirement;
use super::pod_terms::{self, NamedTerm};
use super::volumes;
use crate::actors::host_port::HostPort;
use crate::actors::karpenter::labels::{
    CAPACITY_TYPE, HOSTNAME, NODE_POOL, ZONE, is_label_value, is_well_known, may_select, normalized,
};
use crate::actors::karpenter::requirement::{Operator as Compares, Requirement};
use crate::actors::kube_scheduler::score::Strategy;
use crate::actors::node_affinity::{NodeAffinity, Term};
use crate::actors::taints::{Effect, Operator, Taint, Toleration};
use crate::input::{Node, Problems, Section, Value, nearest};
use crate::units::SimDuration;

/// What pods ask of nodes and of each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Placement {
    pub node_selector: BTreeMap<String, String>,
    pub node_affinity: NodeAffinity,
    pub tolerations: Vec<Toleration>,
    pub topology_spread: Vec<TopologySpread>,
    /// Affinity to pods.
    pub pod_affinity: Vec<NamedTerm>,
    /// Anti-affinity to pods.
    pub pod_anti_affinity: Vec<NamedTerm>,
    /// Ports that each pod takes of its node.
    pub host_ports: Vec<HostPort>,
    /// Zones of each volume.
    pub volumes: Vec<Vec<String>>,
}

impl Placement {
    /// Do they ask for nothing beside room?
    pub fn is_plain(&self) -> bool {
        *self == Placement::default()
    }
    /// Do the pods ask nothing of a node's labels, as far as they do not only prefer?
    pub fn takes_any_labels(&self) -> bool {
        self.node_selector.is_empty() && self.node_affinity.required.is_empty()
    }
    /// Do a node's labels meet what the pods ask for?
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.node_affinity.admits(labels)
    }
    /// Does each volume have the node's zone?
    pub fn reaches_volumes(&self, labels: &BTreeMap<String, String>) -> bool {
        let has_zone = |zones: &Vec<String>| labels.get(ZONE).is_some_and(|zone| zones.contains(zone));
        self.volumes.iter().all(has_zone)
    }
    /// The labels that it names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let NodeAffinity { required, preferred } = &self.node_affinity;
        let terms = required.iter().chain(preferred.iter().map(|(_, term)| term));
        let selected = self.node_selector.keys().map(String::as_str);
        let asked = terms.flat_map(|term| &term.0).map(|(key, _)| key.as_str());
        let spread = self.topology_spread.iter().map(|spread| spread.topology_key.as_str());
        let company = self.pod_affinity.iter().chain(&self.pod_anti_affinity);
        let volumes = self.volumes.iter().map(|_| ZONE);
        let of_pods = spread.chain(company.map(|term| term.topology_key.as_str()));
        selected.chain(asked).chain(of_pods).chain(volumes)
    }
}

/// One of `topologySpreadConstraints`; it selects the Deployment's own pods, and nodes by its affinity, not by taints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopologySpread {
    pub topology_key: String,
    pub max_skew: u32,
    /// `DoNotSchedule`; otherwise `ScheduleAnyway`.
    pub hard: bool,
    pub min_domains: Option<u32>,
}

/// A taint of new nodes that somebody takes off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartupTaint {
    pub taint: Taint,
    /// So long after the Node object appeared.
    pub removed_after: SimDuration,
}

/// Topology keys that no node has would spread over nothing.
pub(super) fn check_keys(scenario: &Scenario, root: &Node, problems: &mut Problems) {
    let of_pool = |pool: &NodePoolSpec, key: &str| {
        pool.labels.contains_key(key) || pool.requirements.iter().any(|asked| normalized(&asked.key) == key)
    };
    let known = |key: &str| {
        key == HOSTNAME || is_well_known(key) || scenario.node_pools.iter().any(|pool| of_pool(pool, key))
    };
    let deployments =
        scenario.deployments.iter().enumerate().map(|(index, spec)| ("deployments", index, spec));
    let jobs = scenario.jobs.iter().enumerate().map(|(index, spec)| ("jobs", index, spec));
    for (list, index, deployment) in deployments.chain(jobs) {
        let spread = deployment.placement.topology_spread.iter().map(|spread| &spread.topology_key);
        let near = deployment.placement.pod_affinity.iter().map(|term| ("pod_affinity", &term.topology_key));
        let apart = deployment.placement.pod_anti_affinity.iter();
        let apart = apart.map(|term| ("pod_anti_affinity", &term.topology_key));
        let keys = spread.map(|key| ("topology_spread", key));
        for (name, key) in keys.chain(near).chain(apart) {
            if !key.is_empty() && !known(key) {
                let hint = nearest(key, &[HOSTNAME, ZONE, CAPACITY_TYPE, NODE_POOL]);
                let hint = hint.map(|known| format!("did you mean {known:?}?"));
                let what = format!("no node carries the label {key:?}");
                let key = format!("{list}[{index}].{name}");
                problems.add(root.origin_of(&key), &key, what, hint);
            }
        }
    }
}

/// The constraints of `[[deployments]]`.
pub(super) fn read(section: &mut Section<'_>, problems: &mut Problems) -> Placement {
    Placement {
        topology_spread: topology_spread(section, problems),
        pod_affinity: pod_terms::read(section, "pod_affinity", problems),
        pod_anti_affinity: pod_terms::read(section, "pod_anti_affinity", problems),
        volumes: volumes::read(section, problems),
        ..read_of_nodes(section, problems)
    }
}

/// What is asked of nodes alone, as in `[[daemonsets]]`.
pub(super) fn read_of_nodes(section: &mut Section<'_>, problems: &mut Problems) -> Placement {
    Placement {
        node_selector: labels(section, "node_selector", problems, |key, value| {
            (!is_label_value(value)).then(|| format!("{value:?} cannot be the value of {key}"))
        }),
        node_affinity: section
            .section("node_affinity", problems)
            .map(|part| node_affinity(part, problems))
            .unwrap_or_default(),
        tolerations: tolerations(section, problems),
        host_ports: host_ports::read(section, problems),
        ..Placement::default()
    }
}

/// A table of labels; `wrong` says what is wrong with one.
fn labels(
    section: &mut Section<'_>,
    name: &'static str,
    problems: &mut Problems,
    wrong: impl Fn(&str, &str) -> Option<String>,
) -> BTreeMap<String, String> {
    let Some(mut table) = section.section(name, problems) else { return BTreeMap::new() };
    let mut read = BTreeMap::new();
    for (key, node) in table.all() {
        let what = match &node.value {
            Value::Text(value) => {
                read.insert(normalized(key).to_owned(), value.clone());
                wrong(key, value)
            }
            other => Some(format!("a label's value is text in quotes, not {}", other.kind())),
        };
        if let Some(what) = what {
            problems.add(&node.origin, &table.key(key), what, None);
        }
    }
    read
}

/// `labels` of `[[node_pools]]`.
pub(super) fn pool_labels(section: &mut Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    labels(section, "labels", problems, |key, value| {
        let what = format!("a pool cannot give its nodes the label {key} = {value:?}");
        (!may_select(key, value)).then_some(what)
    })
}

fn node_affinity(mut part: Section<'_>, problems: &mut Problems) -> NodeAffinity {
    let mut read = NodeAffinity::default();
    for mut entry in part.sections("required", problems).unwrap_or_default() {
        read.required.push(term(&mut entry, problems));
        entry.finish(problems);
    }
    for mut entry in part.sections("preferred", problems).unwrap_or_default() {
        let weight = entry.whole("weight", 1, 100, problems).unwrap_or(1);
        read.preferred.push((i64::from(weight), term(&mut entry, problems)));
        entry.finish(problems);
    }
    part.finish(problems);
    read
}

/// `expressions = [{ key, operator, values }]`, at least one.
fn term(entry: &mut Section<'_>, problems: &mut Problems) -> Term {
    let mut read = Term::default();
    let expressions = entry.sections("expressions", problems).unwrap_or_default();
    if expressions.is_empty() {
        let hint = "write expressions = [{ key = \"topology.kubernetes.io/zone\", operator = \"In\", values = [\"us-east-1a\"] }]";
        let what = "a term without expressions matches no node";
        problems.add(entry.origin_of("expressions"), &entry.key("expressions"), what, Some(hint.into()));
    }
    for mut expression in expressions {
        if let Some(asked) = requirement(&mut expression, problems) {
            if matches!(asked.operator, Compares::Gte | Compares::Lte) {
                let hint = Some("write Gt or Lt with the next number".into());
                let what = "pods know no Gte and Lte, which are Karpenter's own";
                problems.add(expression.origin_of("operator"), &expression.key("operator"), what, hint);
            }
            if asked.min_values.is_some() {
                let what = "min_values is for pools";
                problems.add(expression.origin_of("min_values"), &expression.key("min_values"), what, None);
            }
            let requirement = Requirement::new(asked.operator, &asked.values, None);
            read.0.push((normalized(&asked.key).to_owned(), requirement));
        }
        expression.finish(problems);
    }
    read
}

const EFFECTS: [(&str, Effect); 3] = [
    ("NoSchedule", Effect::NoSchedule),
    ("PreferNoSchedule", Effect::PreferNoSchedule),
    ("NoExecute", Effect::NoExecute),
];

fn tolerations(section: &mut Section<'_>, problems: &mut Problems) -> Vec<Toleration> {
    let operators = [("Equal", Operator::Equal), ("Exists", Operator::Exists)];
    let entries = section.sections("tolerations", problems).unwrap_or_default();
    let each = |mut entry: Section<'_>| {
        let read = Toleration {
            key: entry.text("key", problems).unwrap_or_default(),
            operator: entry.choice("operator", &operators, problems).unwrap_or(Operator::Equal),
            value: entry.text("value", problems).unwrap_or_default(),
            effect: entry.choice("effect", &EFFECTS, problems),
        };
        let wrong = match read.operator {
            Operator::Equal if read.key.is_empty() => {
                Some("a toleration of every key has the operator Exists")
            }
            Operator::Exists if !read.value.is_empty() => Some("Exists takes no value"),
            _ => None,
        };
        if let Some(what) = wrong {
            problems.add(entry.origin_of("operator"), &entry.key("operator"), what, None);
        }
        entry.finish(problems);
        read
    };
    entries.into_iter().map(each).collect()
}

fn taint(entry: &mut Section<'_>, problems: &mut Problems) -> Option<Taint> {
    let key = entry.text("key", problems).filter(|key| !key.is_empty());
    let value = entry.text("value", problems).unwrap_or_default();
    let effect = entry.choice("effect", &EFFECTS, problems);
    if key.is_none() || effect.is_none() {
        let hint = Some("write { key = \"dedicated\", value = \"batch\", effect = \"NoSchedule\" }".into());
        problems.add(entry.origin_of("key"), &entry.key("key"), "a taint has a key and an effect", hint);
    }
    Some(Taint { key: key?, value, effect: effect? })
}

/// `taints` of `[[node_pools]]`.
pub(super) fn taints(section: &mut Section<'_>, problems: &mut Problems) -> Vec<Taint> {
    let mut read = Vec::new();
    for mut entry in section.sections("taints", problems).unwrap_or_default() {
        read.extend(taint(&mut entry, problems));
        entry.finish(problems);
    }
    read
}

/// `startup_taints` of `[[node_pools]]`.
pub(super) fn startup_taints(section: &mut Section<'_>, problems: &mut Problems) -> Vec<StartupTaint> {
    let mut read = Vec::new();
    for mut entry in section.sections("startup_taints", problems).unwrap_or_default() {
        let taint = taint(&mut entry, problems);
        let removed_after = entry.span("removed_after", problems);
        if removed_after.is_none() {
            let what = "when is it taken off? such as removed_after = \"20 s\"";
            problems.add(entry.origin_of("removed_after"), &entry.key("removed_after"), what, None);
        }
        if let (Some(taint), Some(removed_after)) = (taint, removed_after) {
            read.push(StartupTaint { taint, removed_after });
        }
        entry.finish(problems);
    }
    read
}

fn topology_spread(section: &mut Section<'_>, problems: &mut Problems) -> Vec<TopologySpread> {
    let when = [("DoNotSchedule", true), ("ScheduleAnyway", false)];
    let mut read: Vec<TopologySpread> = Vec::new();
    for mut entry in section.sections("topology_spread", problems).unwrap_or_default() {
        let key = entry.text("topology_key", problems);
        let spread = TopologySpread {
            topology_key: key.as_deref().map(normalized).unwrap_or_default().to_owned(),
            max_skew: entry.whole("max_skew", 1, 100_000, problems).unwrap_or(1),
            hard: entry.choice("when_unsatisfiable", &when, problems).unwrap_or(true),
            min_domains: entry.whole("min_domains", 1, 10_000, problems),
        };
        let same =
            |other: &TopologySpread| (&other.topology_key, other.hard) == (&spread.topology_key, spread.hard);
        let wrong = if key.is_none() {
            Some(("topology_key", "over what? such as topology_key = \"topology.kubernetes.io/zone\""))
        } else if spread.min_domains.is_some() && !spread.hard {
            Some(("min_domains", "min_domains goes with DoNotSchedule only"))
        } else if read.iter().any(same) {
            Some(("topology_key", "there is a constraint of this key and kind already"))
        } else {
            None
        };
        if let Some((key, what)) = wrong {
            problems.add(entry.origin_of(key), &entry.key(key), what, None);
        }
        entry.finish(problems);
        read.push(spread);
    }
    read
}

/// `scoring_strategy` and `shape` of `[kube_scheduler]`.
pub(super) fn strategy(section: &mut Section<'_>, problems: &mut Problems) -> Strategy {
    #[derive(Clone, Copy, PartialEq)]
    enum Name {
        Least,
        Most,
        Shaped,
    }
    let names = [
        ("LeastAllocated", Name::Least),
        ("MostAllocated", Name::Most),
        ("RequestedToCapacityRatio", Name::Shaped),
    ];
    let name = section.choice("scoring_strategy", &names, problems).unwrap_or(Name::Least);
    let mut shape: Vec<(i64, i64)> = Vec::new();
    let points = section.sections("shape", problems);
    if points.is_some() != (name == Name::Shaped) {
        let what = "a shape goes with RequestedToCapacityRatio, and with it alone";
        let hint = "write shape = [{ utilization = 0, score = 0 }, { utilization = 100, score = 10 }]";
        problems.add(section.origin_of("shape"), &section.key("shape"), what, Some(hint.into()));
    }
    for mut point in points.unwrap_or_default() {
        let utilization = point.whole("utilization", 0, 100, problems).unwrap_or(0);
        let score = point.whole("score", 0, 10, problems).unwrap_or(0);
        if shape.last().is_some_and(|(before, _)| *before >= i64::from(utilization)) {
            problems.add(
                point.origin_of("utilization"),
                &point.key("utilization"),
                "the utilizations of a shape rise",
                None,
            );
        }
        shape.push((i64::from(utilization), i64::from(score)));
        point.finish(problems);
    }
    match name {
        Name::Least => Strategy::LeastAllocated,
        Name::Most => Strategy::MostAllocated,
        Name::Shaped => Strategy::shaped(shape),
    }
}

#[cfg(test)]
mod tests;
