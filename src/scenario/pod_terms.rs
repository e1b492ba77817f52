//! `pod_affinity` and `pod_anti_affinity`: which Deployments' pods are kept to, or kept off.

use super::checked::{DeploymentSpec, Scenario};
use crate::actors::karpenter::labels::normalized;
use crate::actors::pod_affinity::{PodAffinity, PodTerm};
use crate::input::{Node, Problems, Section, Value, nearest};

/// A term as the scenario says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedTerm {
    pub topology_key: String,
    /// Deployments and Jobs whose pods it selects, of all their templates; empty: pods of its own and of the same template.
    pub deployments: Vec<String>,
    /// 1 to 100: it is only preferred; `None`: required.
    pub weight: Option<u32>,
}

impl NamedTerm {
    fn selects(&self, own: usize, other: usize, deployments: &[DeploymentSpec]) -> bool {
        match self.deployments.is_empty() {
            true => other == own,
            false => self.deployments.contains(&deployments[other].name),
        }
    }
    fn numbered(&self, own: usize, deployments: &[DeploymentSpec]) -> PodTerm {
        let selected = (0..deployments.len()).filter(|other| self.selects(own, *other, deployments));
        PodTerm::new(&self.topology_key, selected.map(|other| other as u32))
    }
}

/// The terms of one of the Deployments, with numbers for names.
pub fn pod_affinity(own: usize, deployments: &[DeploymentSpec]) -> PodAffinity {
    let required = |terms: &[NamedTerm]| {
        let terms = terms.iter().filter(|term| term.weight.is_none());
        terms.map(|term| term.numbered(own, deployments)).collect()
    };
    let preferred = |terms: &[NamedTerm]| {
        let weighted = |term: &NamedTerm| Some((term.weight?.into(), term.numbered(own, deployments)));
        terms.iter().filter_map(weighted).collect()
    };
    let placement = &deployments[own].placement;
    PodAffinity {
        affinity: required(&placement.pod_affinity),
        anti_affinity: required(&placement.pod_anti_affinity),
        preferred: preferred(&placement.pod_affinity),
        preferred_anti: preferred(&placement.pod_anti_affinity),
    }
}

/// A list of topology keys, or of tables `{ topology_key, deployments, weight }`.
pub(super) fn read(section: &mut Section<'_>, name: &'static str, problems: &mut Problems) -> Vec<NamedTerm> {
    let Some(node) = section.get(name) else { return Vec::new() };
    let key = section.key(name);
    let Value::Array(entries) = &node.value else {
        let what = format!("a list of topology keys is wanted, not {}", node.value.kind());
        problems.add(&node.origin, &key, what, None);
        return Vec::new();
    };
    let mut read = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let path = format!("{key}[{place}]");
        match &entry.value {
            Value::Text(key) => {
                let topology_key = normalized(key).to_owned();
                read.push(NamedTerm { topology_key, deployments: Vec::new(), weight: None });
            }
            Value::Table(_) => read.extend(term(Section::new(entry, &path, problems), problems)),
            other => {
                let what = format!("{} is neither a topology key nor a table with one", other.kind());
                let hint = "write { topology_key = \"kubernetes.io/hostname\", deployments = [\"db\"] }";
                problems.add(&entry.origin, &path, what, Some(hint.into()));
            }
        }
    }
    read
}

fn term(mut entry: Section<'_>, problems: &mut Problems) -> Option<NamedTerm> {
    let topology_key = entry.text("topology_key", problems);
    let deployments = entry.texts("deployments", problems);
    let weight = entry.whole("weight", 1, 100, problems);
    if topology_key.is_none() {
        let what = "in one what? such as topology_key = \"kubernetes.io/hostname\"";
        problems.add(entry.origin(), &entry.key("topology_key"), what, None);
    }
    if deployments.as_ref().is_some_and(Vec::is_empty) {
        let hint = Some("name some, or leave it out for the Deployment's own pods".into());
        problems.add(entry.origin(), &entry.key("deployments"), "no Deployment is named", hint);
    }
    entry.finish(problems);
    let topology_key = normalized(&topology_key?).to_owned();
    Some(NamedTerm { topology_key, deployments: deployments.unwrap_or_default(), weight })
}

/// Names of Deployments that are none, and affinity to pods that cannot be.
pub(super) fn check_names(scenario: &Scenario, root: &Node, problems: &mut Problems) {
    let all = || scenario.deployments.iter().chain(&scenario.jobs);
    let names: Vec<&str> = all().map(|spec| spec.name.as_str()).collect();
    for (place, spec) in all().enumerate() {
        let (list, index) = match place.checked_sub(scenario.deployments.len()) {
            None => ("deployments", place),
            Some(job) => ("jobs", job),
        };
        let placement = &spec.placement;
        for (key, terms) in
            [("pod_affinity", &placement.pod_affinity), ("pod_anti_affinity", &placement.pod_anti_affinity)]
        {
            let path = format!("{list}[{index}].{key}");
            for name in terms.iter().flat_map(|term| &term.deployments) {
                if !names.contains(&name.as_str()) {
                    let hint = nearest(name, &names).map(|known| format!("did you mean {known:?}?"));
                    problems.add(
                        root.origin_of(&path),
                        &path,
                        format!("there is no Deployment named {name:?}"),
                        hint,
                    );
                }
            }
        }
        let required = placement.pod_affinity.iter().filter(|term| term.weight.is_none());
        let terms: Vec<&NamedTerm> = required.collect();
        let meets = |term: &NamedTerm, name: &str| match term.deployments.is_empty() {
            true => name == spec.name,
            false => term.deployments.iter().any(|named| named == name),
        };
        let met = |name: &&str| terms.iter().all(|term| meets(term, name));
        if terms.len() > 1 && !names.iter().any(met) {
            let hint = "a pod must be met by every term to count for any: name the same Deployments in all";
            let what = "no Deployment's pods meet all terms, so that its pods would never be placed";
            let key = format!("{list}[{index}].pod_affinity");
            problems.add(root.origin_of(&key), &key, what, Some(hint.into()));
        }
    }
}
