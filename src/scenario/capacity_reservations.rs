//! `[[capacity_reservations]]`: instances that the account has reserved (On-Demand Capacity Reservations).

use super::checked::{NodePoolSpec, SubnetSpec};
use super::workload;
use crate::catalogue::{Catalogue, TypeId};
use crate::input::{Problems, Section};
use crate::units::{SimDuration, SimTime};

/// A capacity reservation that node classes select.
#[derive(Clone, PartialEq, Debug)]
pub struct CapacityReservationSpec {
    /// Its id, by which pools and pods may ask for it.
    pub name: String,
    pub instance_type: TypeId,
    /// Index into [`Scenario::zones`](super::Scenario::zones).
    pub zone: u32,
    /// Instances reserved.
    pub count: u32,
    /// Of these, run by others at the start.
    pub used: u32,
    /// Instances that others run in it from an instant on.
    pub others: Vec<(SimTime, u32)>,
    /// Pools whose node class selects it; `None`: all.
    pub node_pools: Option<Vec<String>>,
}

/// What reservations are made of.
pub(super) struct Known<'a> {
    pub zones: &'a [String],
    pub subnets: &'a [SubnetSpec],
    pub pools: &'a [NodePoolSpec],
    pub catalogue: &'a Catalogue,
}

pub(super) fn read(
    root: &mut Section<'_>,
    known: &Known<'_>,
    problems: &mut Problems,
) -> Vec<CapacityReservationSpec> {
    let sections = root.sections("capacity_reservations", problems).unwrap_or_default();
    let mut read: Vec<CapacityReservationSpec> = Vec::with_capacity(sections.len());
    for (mut section, index) in sections.into_iter().zip(1..) {
        let spec = reservation(&mut section, index, known, problems);
        if read.iter().any(|other| other.name == spec.name) {
            let what = format!("{:?} is the name of two reservations", spec.name);
            problems.add(section.origin_of("name"), &section.key("name"), what, None);
        }
        section.finish(problems);
        read.push(spec);
    }
    read
}

fn reservation(
    section: &mut Section<'_>,
    index: u32,
    known: &Known<'_>,
    problems: &mut Problems,
) -> CapacityReservationSpec {
    let name = section.text("name", problems).unwrap_or_else(|| format!("cr-{index}"));
    let instance_type = instance_type(section, known.catalogue, problems);
    let zone = zone(section, known, problems);
    let count = section.whole("count", 1, 10_000, problems);
    if section.get("count").is_none() {
        let hint = Some("write count = 10: instances reserved".to_string());
        problems.add(
            section.origin_of("count"),
            &section.key("count"),
            "a reservation is of so many instances",
            hint,
        );
    }
    let count = count.unwrap_or(1);
    let used = section.whole("used", 0, 10_000, problems).unwrap_or(0);
    if used > count {
        let what = format!("others run {used} instances in a reservation of {count}");
        problems.add(section.origin_of("used"), &section.key("used"), what, None);
    }
    let others = section.sections("others", problems).unwrap_or_default();
    let others = others.into_iter().map(|entry| other_user(entry, problems)).collect();
    let node_pools = section.texts("node_pools", problems);
    for pool in node_pools.iter().flatten() {
        if !known.pools.iter().any(|known| known.name == *pool) {
            let names: Vec<&str> = known.pools.iter().map(|known| known.name.as_str()).collect();
            let what = format!("there is no pool {pool:?}");
            let hint = Some(format!("the pools are {}", names.join(", ")));
            problems.add(section.origin_of("node_pools"), &section.key("node_pools"), what, hint);
        }
    }
    CapacityReservationSpec { name, instance_type, zone, count, used: used.min(count), others, node_pools }
}

fn instance_type(section: &mut Section<'_>, catalogue: &Catalogue, problems: &mut Problems) -> TypeId {
    let name = section.text("instance_type", problems).unwrap_or_default();
    let found = catalogue.find(&name);
    if found.is_none() {
        let what = format!("{name:?} is not an instance type of the catalogue");
        let hint = match name.is_empty() {
            true => "write instance_type = \"m5.large\"".to_string(),
            false => workload::type_meant(&name, catalogue),
        };
        let hint = Some(hint);
        problems.add(section.origin_of("instance_type"), &section.key("instance_type"), what, hint);
    }
    found.unwrap_or(TypeId(0))
}

/// Its zone, in which Karpenter must have a subnet to launch into.
fn zone(section: &mut Section<'_>, known: &Known<'_>, problems: &mut Problems) -> u32 {
    let name = section.text("zone", problems).unwrap_or_default();
    let zone = known.zones.iter().position(|zone| *zone == name);
    let served = |zone: usize| known.subnets.iter().any(|subnet| subnet.zone == zone as u32 && subnet.nodes);
    if !zone.is_some_and(served) {
        let what = format!("{name:?} is not a zone with a subnet for nodes");
        let hint = Some(format!("the zones are {}", known.zones.join(", ")));
        problems.add(section.origin_of("zone"), &section.key("zone"), what, hint);
    }
    zone.unwrap_or(0) as u32
}

/// `{ at = "60 s", instances = 5 }`
fn other_user(mut entry: Section<'_>, problems: &mut Problems) -> (SimTime, u32) {
    let at = entry.span("at", problems).unwrap_or(SimDuration::ZERO);
    let instances = entry.whole("instances", 1, 10_000, problems).unwrap_or(1);
    entry.finish(problems);
    (SimTime::ZERO + at, instances)
}
