//! `extended_resources` of pods, and what pools' `limits` say of them.

use crate::input::{Problems, Section, nearest};
use crate::units::{ExtendedCounts, ExtendedResource};

/// `{ "nvidia.com/gpu" = 1 }`: whole pieces, of a pod's own container.
pub(super) fn requests(section: &mut Section<'_>, problems: &mut Problems) -> ExtendedCounts {
    let Some(mut part) = section.section("extended_resources", problems) else { return ExtendedCounts::ZERO };
    let names = ExtendedResource::DEVICES.map(ExtendedResource::name);
    for (name, node) in part.all() {
        let resource = ExtendedResource::ALL.into_iter().find(|resource| resource.name() == name);
        let (what, hint) = match resource {
            Some(ExtendedResource::PodEni) => (
                "pods are given branch interfaces, they do not ask for them".to_string(),
                Some("write security_groups = true".to_string()),
            ),
            Some(_) => continue,
            None => (
                format!("no instance type has {name:?}: known are {}", names.join(", ")),
                nearest(name, &names).map(|near| format!("did you mean {near:?}?")),
            ),
        };
        problems.add(&node.origin, &part.key(name), what, hint);
    }
    counts(&mut part, ExtendedCounts::MOST, problems)
        .into_iter()
        .fold(ExtendedCounts::ZERO, |all, (resource, count)| all.with(resource, count))
}

/// What all nodes of a pool may have.
pub(super) fn limits(part: &mut Section<'_>, problems: &mut Problems) -> Vec<(ExtendedResource, i64)> {
    counts(part, 1_000_000, problems)
}

fn counts(part: &mut Section<'_>, most: u32, problems: &mut Problems) -> Vec<(ExtendedResource, i64)> {
    let mut read = |resource: ExtendedResource| {
        part.whole(resource.name(), 0, most, problems).map(|count| (resource, i64::from(count)))
    };
    ExtendedResource::DEVICES.into_iter().filter_map(&mut read).collect()
}
