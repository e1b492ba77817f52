//! Instance types as Karpenter is offered them, and the sets of them that requirements leave, each worked out once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::daemons::{DaemonGroups, DaemonSet};
use super::labels::{CAPACITY_TYPE, ZONE, type_requirements};
use super::launch::Rules;
use super::requirement::{Requirement, Requirements};
use super::reservations::{PRICE_DIVISOR, RESERVATION_ID, Reservation};
use crate::actors::taints::Taint;
use crate::catalogue::InstanceType;
use crate::units::Resources;

/// How an instance is bought.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CapacityType {
    OnDemand,
    Spot,
    /// Into a capacity reservation.
    Reserved,
}

impl CapacityType {
    /// Those that are bought on the market, in every zone and without a count.
    pub const MARKETS: [CapacityType; 2] = [CapacityType::OnDemand, CapacityType::Spot];

    /// The value of `karpenter.sh/capacity-type`.
    pub const fn name(self) -> &'static str {
        match self {
            CapacityType::OnDemand => "on-demand",
            CapacityType::Spot => "spot",
            CapacityType::Reserved => "reserved",
        }
    }
    /// One of [`CapacityType::MARKETS`].
    pub fn parse(name: &str) -> Option<CapacityType> {
        CapacityType::MARKETS.into_iter().find(|kind| kind.name() == name)
    }
}

/// An instance type; it is offered in every zone.
#[derive(Clone, Debug)]
pub struct Offered {
    pub name: String,
    pub requirements: Requirements,
    /// What counts against a pool's limits.
    pub capacity: Resources,
    /// What pods may request, DaemonSets' included.
    pub allocatable: Resources,
    /// By [`CapacityType::MARKETS`] (USD/h, the same in all zones); `None`: not offered so.
    pub prices: [Option<f64>; 2],
    /// Bare metal and accelerators: launched only if nothing else is left.
    pub exotic: bool,
}

impl Offered {
    /// The type as it is offered in these zones, with this capacity and allocatable; its labels are those that are
    /// `wanted`. `None`: it has no price.
    pub fn new(
        instance: &InstanceType,
        region: &str,
        zones: &[String],
        (capacity, allocatable): (Resources, Resources),
        wanted: impl Fn(&str) -> bool,
    ) -> Option<Offered> {
        let on_demand = instance.on_demand_usd_per_hour?;
        let spot = instance.spot_usd_per_hour();
        let kinds: &[&str] = if spot.is_some() { &["on-demand", "spot"] } else { &["on-demand"] };
        Some(Offered {
            name: instance.name.clone(),
            requirements: type_requirements(instance, region, zones, kinds, wanted),
            capacity,
            allocatable,
            prices: [Some(on_demand), spot],
            exotic: instance.is_exotic(),
        })
    }

    /// The type is offered by a capacity reservation of this id too, as its labels say, where anybody asks for them.
    pub fn also_reserved(&mut self, id: &str) {
        for (key, value) in [(CAPACITY_TYPE, CapacityType::Reserved.name()), (RESERVATION_ID, id)] {
            if let Some(own) = self.requirements.get_mut(key) {
                *own = Requirement::any_of(own.named().chain([value]));
            }
        }
    }

    /// What Karpenter takes it to cost (USD/h); `None`: not offered so.
    pub fn price(&self, kind: CapacityType) -> Option<f64> {
        match kind {
            CapacityType::Reserved => self.prices[0].map(|price| price / PRICE_DIVISOR),
            market => self.prices[market as usize],
        }
    }
}

/// Zones by their places.
pub type Zones = u64;

/// A set of instance types.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Types(Vec<u64>);

impl Types {
    pub fn of(members: impl Iterator<Item = usize>, all: usize) -> Types {
        let mut types = Types(vec![0; all.div_ceil(64)]);
        members.for_each(|member| types.0[member / 64] |= 1 << (member % 64));
        types
    }
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros() as usize)?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Types {
        Types::of(self.iter().filter(|member| keep(*member)), self.0.len() * 64)
    }
    pub fn and(&self, other: &Types) -> Types {
        Types(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }
    pub fn has(&self, member: usize) -> bool {
        self.0[member / 64] >> (member % 64) & 1 == 1
    }
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Which offerings of the market can be had now: zones by type and [`CapacityType::MARKETS`].
pub type Available = Vec<[Zones; 2]>;

/// Does AL2023 run on the type? It does not on a1.
///
/// Source: karpenter-provider-aws v1.14.1, `pkg/providers/instancetype/compatibility`.
pub fn runs_al2023(instance_type: &str) -> bool {
    !instance_type.starts_with("a1.")
}

/// Everything offered, everywhere.
pub fn all_available(types: &[Offered], zones: usize) -> Available {
    let all: Zones = if zones == 64 { Zones::MAX } else { (1 << zones) - 1 };
    types.iter().map(|offered| offered.prices.map(|price| if price.is_some() { all } else { 0 })).collect()
}

/// Requirements of a claim, and the types that meet them.
#[derive(Clone, Debug)]
pub struct Set {
    pub requirements: Arc<Requirements>,
    /// Zones and capacity types of the market that the requirements allow.
    pub zones: Zones,
    pub kinds: [bool; 2],
    /// Capacity reservations that they allow, of types whose labels meet them.
    pub reservations: Vec<u32>,
    /// Types whose labels meet them.
    pub compatible: Types,
    /// Those of them that have an available offering.
    pub usable: Types,
    /// What pods may request of the usable ones beside the DaemonSets', less what another holds more of.
    rooms: Vec<Resources>,
    pub has_min_values: bool,
    /// Its pool's, as a place in [`Offers`].
    daemons: u32,
}

impl Set {
    /// Does some usable type hold so much beside the DaemonSets' pods?
    pub fn holds(&self, requests: Resources) -> bool {
        self.rooms.iter().any(|room| requests.fits(room))
    }
}

/// A [`Set`] by its place in [`Offers`].
pub type SetId = u32;

/// The sets met so far. Requirements never clash with themselves, so a set is found again by them.
#[derive(Clone, Debug)]
pub struct Offers {
    pub types: Arc<Vec<Offered>>,
    pub zones: Arc<Vec<String>>,
    available: Available,
    stale: bool,
    overhead: Resources,
    daemonsets: Vec<DaemonSet>,
    /// By pool, in the order of their roots.
    daemons: Vec<DaemonGroups>,
    /// How launches choose among types.
    pub(super) rules: Rules,
    reservations: Vec<Reservation>,
    sets: Vec<Set>,
    ids: BTreeMap<Arc<Requirements>, SetId>,
    /// The outcome of narrowing a set by the requirements of a given number.
    narrowed: BTreeMap<(SetId, u32), Option<SetId>>,
    pinned: BTreeMap<(SetId, String, Vec<String>), Option<SetId>>,
}

impl Offers {
    /// `overhead` are the requests of the DaemonSets' pods that are on each node.
    pub fn new(types: Vec<Offered>, zones: Vec<String>, available: Available, overhead: Resources) -> Offers {
        assert!(zones.len() <= Zones::BITS as usize, "{} zones", zones.len());
        Offers {
            types: Arc::new(types),
            zones: Arc::new(zones),
            available,
            stale: false,
            overhead,
            daemonsets: Vec::new(),
            daemons: Vec::new(),
            rules: Rules::V1_14,
            reservations: Vec::new(),
            sets: Vec::new(),
            ids: BTreeMap::new(),
            narrowed: BTreeMap::new(),
            pinned: BTreeMap::new(),
        }
    }

    /// The same with capacity reservations of types that know of them ([`Offered::also_reserved`]).
    pub fn with_reservations(mut self, reservations: Vec<Reservation>) -> Offers {
        assert!(self.sets.is_empty(), "reservations come before the pools");
        self.reservations = reservations;
        self
    }
    /// The same with DaemonSets that choose nodes.
    pub fn with_daemonsets(mut self, daemonsets: Vec<DaemonSet>) -> Offers {
        assert!(self.sets.is_empty(), "DaemonSets come before the pools");
        self.daemonsets = daemonsets;
        self
    }
    /// Those, with the terms that the pools' types have left them.
    pub fn daemonsets(&self) -> &[DaemonSet] {
        &self.daemonsets
    }
    /// The same of another release.
    pub fn with_rules(self, rules: Rules) -> Offers {
        Offers { rules, ..self }
    }
    pub fn reservations(&self) -> &[Reservation] {
        &self.reservations
    }
    /// Karpenter takes so many instances of a reservation to be left from now on.
    pub fn set_left(&mut self, reservation: u32, left: u32) {
        let known = &mut self.reservations[reservation as usize].left;
        self.stale |= (*known == 0) != (left == 0);
        *known = left;
    }
    /// Reservations of the set that have an instance of the type left.
    pub fn reserved<'a>(&'a self, set: &'a Set, place: usize) -> impl Iterator<Item = u32> + 'a {
        let left = move |number: &u32| {
            let reservation = &self.reservations[*number as usize];
            reservation.left > 0 && reservation.types.contains(&place)
        };
        set.reservations.iter().copied().filter(left)
    }
    /// The one of them in a zone that a launch goes for: that with most left, the first of equal ones.
    pub fn reservation_at(&self, set: &Set, place: usize, zone: u32) -> Option<u32> {
        let left = |number: &u32| self.reservations[*number as usize].left;
        let of_zone = self.reserved(set, place).filter(|at| self.reservations[*at as usize].zone == zone);
        of_zone.max_by_key(|number| (left(number), std::cmp::Reverse(*number)))
    }

    pub fn available(&self) -> &Available {
        &self.available
    }
    /// Other offerings can be had from now on; sets follow with [`Offers::refresh`].
    pub fn set_available(&mut self, available: Available) {
        self.stale |= self.available != available;
        self.available = available;
    }
    /// Lets the sets follow what can be had.
    pub fn refresh(&mut self) {
        if !std::mem::replace(&mut self.stale, false) {
            return;
        }
        for index in 0..self.sets.len() {
            let set = &self.sets[index];
            let usable = self.usable(&set.compatible, set.zones, set.kinds, &set.reservations);
            let rooms = self.rooms(&usable, set.daemons);
            (self.sets[index].usable, self.sets[index].rooms) = (usable, rooms);
        }
    }

    pub fn set(&self, id: SetId) -> &Set {
        &self.sets[id as usize]
    }
    /// What DaemonSets' pods request on nodes of the set.
    pub fn daemons(&self, set: &Set) -> &DaemonGroups {
        &self.daemons[set.daemons as usize]
    }
    /// What a node of the set and of this type must hold for pods to request so much.
    pub fn needs(&self, set: &Set, place: usize, requests: Resources) -> Resources {
        requests + self.daemons(set).overhead(place)
    }

    /// The set of a pool's template and taints, among some of the types and reservations.
    pub fn root(
        &mut self,
        template: Requirements,
        taints: &[Taint],
        within: &Types,
        reservations: &[u32],
    ) -> SetId {
        let (daemonsets, pool) = (&mut self.daemonsets, (taints, &template));
        let own = within.filter(|place| self.types[place].requirements.intersects(&template));
        self.daemons.push(DaemonGroups::new(daemonsets, self.overhead, pool, &self.types, &own));
        let daemons = self.daemons.len() as u32 - 1;
        self.intern(template, own, reservations.to_vec(), daemons)
    }

    /// The set of these requirements, which the types of `compatible` meet with their labels.
    fn intern(
        &mut self,
        requirements: Requirements,
        compatible: Types,
        mut reservations: Vec<u32>,
        daemons: u32,
    ) -> SetId {
        let requirements = Arc::new(requirements);
        if let Some(id) = self.ids.get(&requirements) {
            return *id;
        }
        let zones = (0..self.zones.len()).filter(|zone| requirements.allows(ZONE, &self.zones[*zone]));
        let zones = zones.fold(0, |zones, zone| zones | 1 << zone);
        let allows = |kind: CapacityType| requirements.allows(CAPACITY_TYPE, kind.name());
        // What is bought on the market is in no reservation.
        let unreserved = requirements.get(RESERVATION_ID).is_none_or(Requirement::allows_absence);
        let kinds = CapacityType::MARKETS.map(|kind| unreserved && allows(kind));
        reservations.retain(|number| {
            let reservation = &self.reservations[*number as usize];
            allows(CapacityType::Reserved)
                && requirements.allows(RESERVATION_ID, &reservation.name)
                && zones >> reservation.zone & 1 == 1
                && reservation.types.iter().any(|place| compatible.has(*place))
        });
        let usable = self.usable(&compatible, zones, kinds, &reservations);
        let rooms = self.rooms(&usable, daemons);
        let has_min_values = requirements.has_min_values();
        let set = Set {
            requirements: requirements.clone(),
            zones,
            kinds,
            reservations,
            compatible,
            usable,
            rooms,
            has_min_values,
            daemons,
        };
        let id = self.sets.len() as SetId;
        self.sets.push(set);
        self.ids.insert(requirements, id);
        id
    }

    fn usable(&self, compatible: &Types, zones: Zones, kinds: [bool; 2], reservations: &[u32]) -> Types {
        let reserved = |place: usize| {
            let mut of_set = reservations.iter().map(|number| &self.reservations[*number as usize]);
            of_set.any(|reservation| reservation.left > 0 && reservation.types.contains(&place))
        };
        compatible.filter(|place| {
            let offered =
                kinds.iter().zip(self.available[place]).any(|(kind, there)| *kind && there & zones != 0);
            (offered || reserved(place)) && Resources::ZERO.fits(&self.types[place].allocatable)
        })
    }

    /// Narrower requirements than those of a set.
    fn intern_within(&mut self, id: SetId, requirements: Requirements) -> SetId {
        let set = self.set(id);
        // Its types meet what is as before.
        let narrower = requirements.less(&set.requirements);
        let compatible = set.compatible.filter(|place| self.types[place].requirements.intersects(&narrower));
        let (reservations, daemons) = (set.reservations.clone(), set.daemons);
        self.intern(requirements, compatible, reservations, daemons)
    }

    fn rooms(&self, usable: &Types, daemons: u32) -> Vec<Resources> {
        let daemons = &self.daemons[daemons as usize];
        maxima(usable.iter().map(|place| self.types[place].allocatable - daemons.overhead(place)))
    }

    /// What `types` have that some type of the set's labels would hold, were all offerings available.
    pub fn could_hold(&self, id: SetId, requests: Resources) -> bool {
        let set = self.set(id);
        let holds = |place| self.needs(set, place, requests).fits(&self.types[place].allocatable);
        set.compatible.iter().any(holds)
    }

    /// The set narrowed by a pod's requirements, which are always the same under the same number; `None`: they clash.
    pub fn narrow(&mut self, id: SetId, number: u32, pod: &Requirements) -> Option<SetId> {
        if pod.is_empty() {
            return Some(id);
        }
        if let Some(known) = self.narrowed.get(&(id, number)) {
            return *known;
        }
        let own = self.set(id).requirements.clone();
        let narrowed = own.compatible(pod, true).then(|| {
            let mut both = (*own).clone();
            both.add_all(pod);
            self.intern_within(id, both)
        });
        self.narrowed.insert((id, number), narrowed);
        narrowed
    }

    /// The set with one label pinned to some values.
    pub fn pin(&mut self, id: SetId, key: &str, values: &[String]) -> Option<SetId> {
        let own = self.set(id).requirements.clone();
        let same = |requirement: &Requirement| {
            requirement.is_in() && requirement.named().eq(values.iter().map(String::as_str))
        };
        if own.get(key).is_some_and(same) {
            return Some(id);
        }
        let call = (id, key.to_owned(), values.to_vec());
        if let Some(known) = self.pinned.get(&call) {
            return *known;
        }
        let mut pins = Requirements::default();
        pins.add(key, &Requirement::any_of(values.iter().cloned()));
        let pinned = own.compatible(&pins, true).then(|| {
            let mut both = (*own).clone();
            both.add_all(&pins);
            self.intern_within(id, both)
        });
        self.pinned.insert(call, pinned);
        pinned
    }

    /// Reservations into which a claim of the set could be launched, and whose type holds `requests` beside the
    /// DaemonSets' pods.
    pub fn reserved_holders<'a>(
        &'a self,
        set: &'a Set,
        requests: Resources,
        within: Option<&'a Types>,
    ) -> impl Iterator<Item = u32> + 'a {
        let holds = move |place: &usize| {
            set.usable.has(*place)
                && within.is_none_or(|within| within.has(*place))
                && self.needs(set, *place, requests).fits(&self.types[*place].allocatable)
        };
        set.reservations.iter().copied().filter(move |number| {
            let reservation = &self.reservations[*number as usize];
            reservation.left > 0 && reservation.types.iter().any(holds)
        })
    }

    /// The set of a claim that holds places of these reservations, and hence will be launched into one of them.
    pub fn pin_reserved(&mut self, id: SetId, held: &[u32]) -> SetId {
        let names: Vec<String> =
            held.iter().map(|number| self.reservations[*number as usize].name.clone()).collect();
        let reserved = self.pin(id, CAPACITY_TYPE, &[CapacityType::Reserved.name().to_owned()]);
        let pinned = reserved.and_then(|id| self.pin(id, RESERVATION_ID, &names));
        pinned.expect("a claim books what its requirements allow")
    }

    /// Usable types of the set that hold `requests` beside the DaemonSets' pods.
    pub fn holders(&self, id: SetId, requests: Resources) -> Types {
        let set = self.set(id);
        set.usable.filter(|place| self.needs(set, place, requests).fits(&self.types[place].allocatable))
    }

    /// Do the types offer as many different values as the requirements want?
    pub fn satisfies_min_values(&self, requirements: &Requirements, types: &[usize]) -> bool {
        requirements.iter().all(|(key, requirement)| {
            let Some(wanted) = requirement.min_values else { return true };
            let labels = types.iter().filter_map(|place| self.types[*place].requirements.get(key));
            let mut values: Vec<&str> = labels.flat_map(Requirement::named).collect();
            values.sort_unstable();
            values.dedup();
            values.len() >= wanted as usize
        })
    }
}

/// Those of which no other holds at least as much of everything.
fn maxima(all: impl Iterator<Item = Resources>) -> Vec<Resources> {
    let mut kept: Vec<Resources> = Vec::new();
    for one in all {
        if kept.iter().any(|other| one.fits(other)) {
            continue;
        }
        kept.retain(|other| !other.fits(&one));
        kept.push(one);
    }
    kept
}
