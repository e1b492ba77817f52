//! The datastore: ENIs, their CIDRs, which addresses pods hold and which cool.
//!
//! A CIDR is one address, or a /28 of sixteen. Which of a CIDR's equal addresses a pod gets changes no
//! count, so that they are counted, not named. Where the program walks a Go map, ENIs and CIDRs are taken
//! in the order they joined.

use std::collections::VecDeque;

use super::settings::{Settings, Version};
use crate::units::{SimDuration, SimTime};

/// An ENI of the node, numbered by the caller; 0 is the primary ENI.
pub type EniSerial = u32;
/// A CIDR, numbered by the caller.
pub type CidrSerial = u32;

/// What a pod holds: an address of this CIDR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PodAddress {
    pub eni: EniSerial,
    pub cidr: CidrSerial,
}

#[derive(Clone, Debug)]
pub(super) struct Eni {
    pub serial: EniSerial,
    /// When it entered the store, from which its age counts.
    pub joined: SimTime,
    pub cidrs: Vec<Cidr>,
    pub assigned: u32,
    /// Made by the VPC resource controller for branch interfaces: never filled, never freed.
    pub trunk: bool,
    /// Its subnet is not for pods: its addresses count for nothing, and no pod gets another.
    pub excluded: bool,
}

impl Eni {
    /// May pods have addresses of it?
    pub fn serves_pods(&self, settings: &Settings) -> bool {
        // v1.12 might fill a trunk too.
        let trunk = self.trunk && settings.version == Version::V1_23;
        let unused_primary = settings.custom_networking && self.serial == 0;
        !(trunk || self.excluded || unused_primary)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cidr {
    pub serial: CidrSerial,
    pub assigned: u32,
}

#[derive(Clone, Copy, Debug)]
struct Released {
    address: PodAddress,
    at: SimTime,
}

/// The node's addresses; see the module's page.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(super) enis: Vec<Eni>,
    /// By rising time of release; those that have finished go when next looked at.
    released: VecDeque<Released>,
    cidrs: u32,
    /// Those of them without an assigned address.
    free_cidrs: u32,
    assigned: u32,
    /// Is one of the ENIs excluded?
    excludes: bool,
    cidr_size: u32,
    cooldown: Option<SimDuration>,
}

/// Counts at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolCounts {
    pub enis: u32,
    /// Addresses pods may have, on all ENIs; the ENIs' own primaries are not counted.
    pub total: u32,
    pub assigned: u32,
    pub cooling: u32,
    /// CIDRs (in prefix mode prefixes) without an assigned address.
    pub free_cidrs: u32,
    pub cidrs: u32,
}

impl PoolCounts {
    /// Addresses not assigned; those that cool are among them, as in the program.
    pub fn available(&self) -> i64 {
        i64::from(self.total) - i64::from(self.assigned)
    }
}

impl Pool {
    pub(super) fn new(cidr_size: u32, cooldown: Option<SimDuration>) -> Pool {
        Pool {
            enis: Vec::new(),
            released: VecDeque::new(),
            cidrs: 0,
            free_cidrs: 0,
            assigned: 0,
            excludes: false,
            cidr_size,
            cooldown,
        }
    }

    #[inline]
    pub fn counts(&self, now: SimTime) -> PoolCounts {
        let excluded = self.excluded(now);
        PoolCounts {
            enis: self.enis.len() as u32,
            total: self.cidrs * self.cidr_size - excluded.total,
            assigned: self.assigned - excluded.assigned,
            cooling: self.cooling(now).count() as u32 - excluded.cooling,
            free_cidrs: self.free_cidrs,
            cidrs: self.cidrs,
        }
    }
    /// What excluded ENIs have of what is counted: their CIDRs as such stay counted, as in the program.
    fn excluded(&self, now: SimTime) -> PoolCounts {
        let mut counts = PoolCounts::default();
        if self.excludes {
            for eni in self.enis.iter().filter(|eni| eni.excluded) {
                counts.total += eni.cidrs.len() as u32 * self.cidr_size;
                counts.assigned += eni.assigned;
                counts.cooling +=
                    self.cooling(now).filter(|address| address.eni == eni.serial).count() as u32;
            }
        }
        counts
    }
    /// ENIs attached and known, the primary among them.
    pub fn eni_count(&self) -> u32 {
        self.enis.len() as u32
    }
    pub fn total(&self) -> u32 {
        self.cidrs * self.cidr_size
    }
    pub fn assigned(&self) -> u32 {
        self.assigned
    }

    /// Addresses pods may have, by ENI in the order they joined.
    pub fn addresses_per_eni(&self) -> impl Iterator<Item = u32> {
        self.enis.iter().map(|eni| eni.cidrs.len() as u32 * self.cidr_size)
    }
    /// When each ENI joined, in that order.
    pub(super) fn joined(&self) -> impl Iterator<Item = SimTime> {
        self.enis.iter().map(|eni| eni.joined)
    }

    /// Is a trunk ENI among them?
    pub fn has_trunk(&self) -> bool {
        self.enis.iter().any(|eni| eni.trunk)
    }
    /// Its ENIs and their CIDRs, as instance metadata lists them where it agrees.
    pub fn listed(&self) -> impl Iterator<Item = (EniSerial, Vec<CidrSerial>)> {
        self.enis.iter().map(|eni| (eni.serial, eni.cidrs.iter().map(|cidr| cidr.serial).collect()))
    }

    /// An ENI's CIDRs, those that pods have addresses of first.
    pub fn by_use(&self, serial: EniSerial) -> Vec<CidrSerial> {
        let mut cidrs = self.find(serial).map_or_else(Vec::new, |eni| eni.cidrs.clone());
        cidrs.sort_by_key(|cidr| cidr.assigned == 0);
        cidrs.into_iter().map(|cidr| cidr.serial).collect()
    }
    /// How many CIDRs an ENI has; `None`: there is no such ENI.
    pub fn cidrs_of(&self, serial: EniSerial) -> Option<u32> {
        self.find(serial).map(|eni| eni.cidrs.len() as u32)
    }
    /// Are these other ENIs than it has, or do they have more or fewer CIDRs?
    pub fn differs_from(&self, listed: &[(EniSerial, Vec<CidrSerial>)]) -> bool {
        let known = |(eni, cidrs): &(EniSerial, Vec<CidrSerial>)| {
            self.find(*eni).is_some_and(|known| known.cidrs.len() == cidrs.len())
        };
        listed.len() != self.enis.len() || !listed.iter().all(known)
    }

    /// Addresses a pod could have at once: neither held nor cooling.
    pub fn assignable(&self, now: SimTime) -> u32 {
        if self.excludes {
            let counts = self.counts(now);
            return (counts.total - counts.assigned).saturating_sub(counts.cooling);
        }
        let cooling = if self.released.is_empty() { 0 } else { self.cooling(now).count() as u32 };
        (self.total() - self.assigned).saturating_sub(cooling)
    }

    /// Gives a pod an address, or none if all are held or cool.
    pub fn assign(&mut self, now: SimTime) -> Option<PodAddress> {
        while self.released.front().is_some_and(|released| !self.still_cools(released.at, now)) {
            self.released.pop_front();
        }
        if self.assigned + self.released.len() as u32 >= self.total() {
            return None;
        }
        let (size, released) = (self.cidr_size, &self.released);
        let cooling_in = |cidr: CidrSerial| {
            if released.is_empty() {
                0
            } else {
                released.iter().filter(|r| r.address.cidr == cidr).count() as u32
            }
        };
        for eni in &mut self.enis {
            if eni.assigned == eni.cidrs.len() as u32 * size || eni.excluded {
                continue;
            }
            for cidr in &mut eni.cidrs {
                if cidr.assigned < size && cidr.assigned + cooling_in(cidr.serial) < size {
                    self.free_cidrs -= u32::from(cidr.assigned == 0);
                    cidr.assigned += 1;
                    eni.assigned += 1;
                    self.assigned += 1;
                    return Some(PodAddress { eni: eni.serial, cidr: cidr.serial });
                }
            }
        }
        None
    }

    /// A pod's address comes back and cools. An address whose CIDR has left the store is forgotten.
    pub fn release(&mut self, address: PodAddress, now: SimTime) {
        let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == address.eni) else { return };
        let Some(cidr) = eni.cidrs.iter_mut().find(|cidr| cidr.serial == address.cidr) else { return };
        assert!(cidr.assigned > 0, "an address of CIDR {} is released that nobody holds", cidr.serial);
        cidr.assigned -= 1;
        self.free_cidrs += u32::from(cidr.assigned == 0);
        eni.assigned -= 1;
        self.assigned -= 1;
        self.released.push_back(Released { address, at: now });
    }

    /// Was an address released that has not been seen to have finished cooling?
    pub fn may_cool(&self) -> bool {
        !self.released.is_empty()
    }

    /// When the last address that cools at `now` has finished; `None` if none cools.
    pub fn cooled_by(&self, now: SimTime) -> Option<SimTime> {
        let last = self.released.back().filter(|released| self.still_cools(released.at, now))?;
        // The limit itself still cools.
        Some(last.at + self.cooldown? + SimDuration::from_nanos(1))
    }

    fn still_cools(&self, released: SimTime, now: SimTime) -> bool {
        self.cooldown.is_some_and(|cooldown| now.saturating_since(released) <= cooldown)
    }
    fn cooling(&self, now: SimTime) -> impl Iterator<Item = PodAddress> {
        self.released.iter().filter(move |r| self.still_cools(r.at, now)).map(|r| r.address)
    }
    pub(super) fn eni_cools(&self, serial: EniSerial, now: SimTime) -> bool {
        self.cooling(now).any(|address| address.eni == serial)
    }

    pub(super) fn find(&self, serial: EniSerial) -> Option<&Eni> {
        self.enis.iter().find(|eni| eni.serial == serial)
    }
    pub(super) fn add_eni(&mut self, serial: EniSerial, now: SimTime) {
        assert!(self.find(serial).is_none(), "ENI {serial} joins the store twice");
        self.enis.push(Eni {
            serial,
            joined: now,
            cidrs: Vec::new(),
            assigned: 0,
            trunk: false,
            excluded: false,
        });
    }
    /// The ENI is set up anew: its age begins at `now`.
    pub(super) fn rejoin(&mut self, serial: EniSerial, now: SimTime) {
        if let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == serial) {
            eni.joined = now;
        }
    }
    /// `count` pods hold addresses of a CIDR that nobody has yet.
    pub(super) fn restore(&mut self, address: PodAddress, count: u32) {
        let eni = self.enis.iter_mut().find(|eni| eni.serial == address.eni);
        let cidr = eni.and_then(|eni| {
            eni.assigned += count;
            eni.cidrs.iter_mut().find(|cidr| cidr.serial == address.cidr)
        });
        let cidr = cidr.unwrap_or_else(|| panic!("pods hold {address:?}, which is not attached"));
        cidr.assigned += count;
        self.free_cidrs -= 1;
        self.assigned += count;
    }
    /// CIDRs that pods hold addresses of, and how many each.
    pub fn in_use(&self) -> impl Iterator<Item = (PodAddress, u32)> {
        let of = |eni: &Eni| {
            let serial = eni.serial;
            let used = eni.cidrs.iter().filter(|cidr| cidr.assigned > 0);
            used.map(move |cidr| (PodAddress { eni: serial, cidr: cidr.serial }, cidr.assigned))
                .collect::<Vec<_>>()
        };
        self.enis.iter().flat_map(of)
    }
    /// The ENI's subnet is not for pods.
    pub(super) fn exclude(&mut self, serial: EniSerial) {
        if let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == serial) {
            eni.excluded = true;
            self.excludes = true;
        }
    }
    /// The ENI turns out to be the trunk.
    pub(super) fn mark_trunk(&mut self, serial: EniSerial) {
        if let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == serial) {
            eni.trunk = true;
        }
    }
    pub(super) fn add_cidr(&mut self, serial: EniSerial, cidr: CidrSerial) {
        let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == serial) else { return };
        if eni.cidrs.iter().all(|known| known.serial != cidr) {
            eni.cidrs.push(Cidr { serial: cidr, assigned: 0 });
            self.cidrs += 1;
            self.free_cidrs += 1;
        }
    }
    /// `count` CIDRs that nobody can have seen before.
    pub(super) fn add_new_cidrs(&mut self, serial: EniSerial, first: CidrSerial, count: u32) {
        let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == serial) else { return };
        eni.cidrs.extend((first..first + count).map(|serial| Cidr { serial, assigned: 0 }));
        self.cidrs += count;
        self.free_cidrs += count;
    }
    pub(super) fn remove_eni(&mut self, serial: EniSerial) {
        let Some(at) = self.enis.iter().position(|eni| eni.serial == serial) else { return };
        let eni = self.enis.remove(at);
        self.cidrs -= eni.cidrs.len() as u32;
        self.free_cidrs -= eni.cidrs.iter().filter(|cidr| cidr.assigned == 0).count() as u32;
        self.assigned -= eni.assigned;
        self.released.retain(|released| released.address.eni != serial);
    }
    /// A CIDR leaves, with whatever pods and coolings it has.
    pub(super) fn remove_cidr(&mut self, serial: EniSerial, cidr: CidrSerial) {
        let Some(eni) = self.enis.iter_mut().find(|eni| eni.serial == serial) else { return };
        let Some(at) = eni.cidrs.iter().position(|known| known.serial == cidr) else { return };
        let gone = eni.cidrs.remove(at);
        eni.assigned -= gone.assigned;
        self.assigned -= gone.assigned;
        self.cidrs -= 1;
        self.free_cidrs -= u32::from(gone.assigned == 0);
        self.released.retain(|released| released.address.cidr != cidr);
    }
    /// Takes up to `most` CIDRs without pods off the `index`-th ENI; coolings do not protect them.
    pub(super) fn take_freeable(&mut self, index: usize, most: u32) -> Vec<CidrSerial> {
        let eni = &self.enis[index];
        let free = eni.cidrs.iter().filter(|cidr| cidr.assigned == 0).take(most as usize);
        let taken: Vec<CidrSerial> = free.map(|cidr| cidr.serial).collect();
        let serial = eni.serial;
        for cidr in &taken {
            self.remove_cidr(serial, *cidr);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::settings::Limits;
    use super::*;

    const LIMITS: Limits = Limits { max_enis: 3, ipv4_per_eni: 10, prefixes: true, trunking: None };

    /// One step: `eniN`, `-eniN`, `N:c` and `-N:c` add and remove an ENI or a CIDR; `!eniN` excludes one; `pod` asks,
    /// `release` gives the latest back, `wait` lets the coolings end. What the pool then has, as ENIs/total/assigned; `none`:
    /// no address. `fillable`: how many ENIs would be topped up.
    fn step(pool: &mut Pool, pods: &mut Vec<PodAddress>, now: &mut SimTime, step: &str) -> String {
        let cidr = |text: &str| {
            let (eni, name) = text.split_once(':').unwrap();
            (eni.parse().unwrap(), u32::from(name.as_bytes()[0]))
        };
        match step {
            "pod" => match pool.assign(*now) {
                Some(address) => pods.push(address),
                None => return "none".into(),
            },
            "release" => pool.release(pods.pop().unwrap(), *now),
            "fillable" => {
                let settings = Settings::read(Version::V1_23, &BTreeMap::new(), LIMITS, 110, &mut Vec::new());
                return pool.enis.iter().filter(|eni| eni.serves_pods(&settings)).count().to_string();
            }
            _ if step.starts_with("!eni") => pool.exclude(step[4..].parse().unwrap()),
            "wait" => *now += SimDuration::from_secs(31),
            _ if step.starts_with("eni") => pool.add_eni(step[3..].parse().unwrap(), *now),
            _ if step.starts_with("-eni") => pool.remove_eni(step[4..].parse().unwrap()),
            _ if step.starts_with('-') => {
                let (eni, cidr) = cidr(&step[1..]);
                pool.remove_cidr(eni, cidr);
            }
            _ => {
                let (eni, cidr) = cidr(step);
                pool.add_cidr(eni, cidr);
            }
        }
        let counts = pool.counts(*now);
        format!("{}/{}/{}", counts.enis, counts.total, counts.assigned)
    }

    /// The rows of `tests/tables/ipamd-store.csv`, each beginning with an empty primary ENI.
    #[test]
    fn the_store_counts_as_its_tests_say() {
        let mut failed = Vec::new();
        let mut table = csv::Reader::from_path("tests/tables/ipamd-store.csv").unwrap();
        let rows: Vec<BTreeMap<String, String>> = table.deserialize().map(Result::unwrap).collect();
        for row in &rows {
            let size = if row["prefixes"] == "yes" { 16 } else { 1 };
            let mut pool = Pool::new(size, Some(SimDuration::from_secs(30)));
            pool.add_eni(0, SimTime::ZERO);
            let (mut pods, mut now) = (Vec::new(), SimTime::ZERO);
            let steps = row["steps"].split_whitespace();
            let got: Vec<String> = steps.map(|text| step(&mut pool, &mut pods, &mut now, text)).collect();
            if got.join(" ") != row["expected"] {
                failed.push(format!("{}: {}, stated {}", row["id"], got.join(" "), row["expected"]));
            }
        }
        assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
        assert_eq!(rows.len(), 25);
    }
}
