//! `volumes` of pods: the zones in which they are, or may come to be.
//!
//! A volume that is bound has its persistent volume's zone; one that is made for each pod once that has a node (WaitForFirstConsumer)
//! has its storage class's allowed topologies. To kube-scheduler and Karpenter both are zones that a pod must keep to.

use crate::actors::karpenter::labels::ZONE;
use crate::actors::karpenter::requirement::{Requirement, Requirements};
use crate::input::{Problems, Section};

/// Zones of each volume: `{ zone }`, or `{ zones }` of which any will do.
pub(super) fn read(section: &mut Section<'_>, problems: &mut Problems) -> Vec<Vec<String>> {
    let mut read: Vec<Vec<String>> = Vec::new();
    for mut entry in section.sections("volumes", problems).unwrap_or_default() {
        let (zone, zones) = (entry.text("zone", problems), entry.texts("zones", problems));
        match (zone, zones) {
            (Some(zone), None) => read.push(vec![zone]),
            (None, Some(zones)) if !zones.is_empty() => read.push(zones),
            _ => {
                let hint = "write { zone = \"us-east-1a\" }, or zones = [...] of its storage class";
                let what = "a volume has either a zone or a list of them";
                problems.add(entry.origin(), &entry.key("zone"), what, Some(hint.into()));
            }
        }
        entry.finish(problems);
    }
    let meets = |zone: &&String| read.iter().all(|zones| zones.contains(zone));
    if read.first().is_some_and(|first| !first.iter().any(|zone| meets(&zone))) {
        let what = "the volumes have no zone in common, so that no pod would ever be placed";
        problems.add(section.origin_of("volumes"), &section.key("volumes"), what, None);
    }
    read
}

/// What volumes in these zones ask of a node's labels.
pub fn volume_requirements(volumes: &[Vec<String>]) -> Requirements {
    let mut asked = Requirements::default();
    volumes.iter().for_each(|zones| asked.add(ZONE, &Requirement::any_of(zones.iter().cloned())));
    asked
}
