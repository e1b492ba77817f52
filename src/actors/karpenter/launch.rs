//! What Karpenter asks EC2 for: which of a claim's types, in which order, and how they are bought.
//!
//! Left out: capacity blocks and interruptible reservations. Source: karpenter-provider-aws v1.14.1,
//! `pkg/providers/instance/instance.go` and `filter/filter.go`; kubernetes-sigs/karpenter v1.14.0,
//! `pkg/cloudprovider/types.go`.

use super::offers::{CapacityType, Offers, Set, SetId, Types, Zones};

/// How a release of Karpenter chooses among a claim's types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Types that a claim names at most, and a request for it.
    most_in_claim: usize,
    most_in_request: usize,
    /// Where both markets are open: is spot left out that is dearer than the cheapest on-demand?
    drops_dear_spot: bool,
}

impl Rules {
    pub const V1_14: Rules = Rules { most_in_claim: 600, most_in_request: 60, drops_dear_spot: true };
    /// karpenter-provider-aws 011c021 of December 2022, `pkg/cloudprovider/instance.go`: no claim, hence no first cut.
    pub const V0_19: Rules = Rules { most_in_claim: usize::MAX, most_in_request: 20, drops_dear_spot: false };
}

/// What a claim names once its round has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimSpec {
    pub set: SetId,
    /// By price; cut to [`Rules::V1_14`]'s 600.
    pub types: Vec<usize>,
    /// The ways, by [`CapacityType::MARKETS`], in which they could be had then.
    pub kinds: [bool; 2],
    /// Could one be had of a capacity reservation?
    pub reserved: bool,
}

/// A request for an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub capacity_type: CapacityType,
    /// By price; cut to 60, or 20.
    pub types: Vec<usize>,
    /// By type: the zones where it can be had so.
    pub zones: Vec<Zones>,
}

/// Offerings as the filters leave them.
struct Offerings<'a> {
    offers: &'a Offers,
    set: &'a Set,
    kinds: [bool; 2],
    reserved: bool,
    /// Spot dearer than this is out (USD/h).
    spot_limit: f64,
}

impl Offerings<'_> {
    fn price(&self, place: usize, kind: CapacityType) -> Option<f64> {
        let price = self.offers.types[place].price(kind)?;
        (kind != CapacityType::Spot || price <= self.spot_limit).then_some(price)
    }
    /// Zones where the type can be had.
    fn zones(&self, place: usize, kind: CapacityType) -> Zones {
        if kind == CapacityType::Reserved {
            if !self.reserved || self.offers.reservations().is_empty() {
                return 0;
            }
            let zone = |number: u32| self.offers.reservations()[number as usize].zone;
            let numbers = self.offers.reserved(self.set, place);
            return numbers.fold(0, |zones, number| zones | 1 << zone(number));
        }
        if !self.kinds[kind as usize] {
            return 0;
        }
        let zones = self.offers.available()[place][kind as usize] & self.set.zones;
        if zones != 0 && self.price(place, kind).is_some() { zones } else { 0 }
    }
    fn has_zone(&self, place: usize) -> bool {
        KINDS.iter().any(|kind| self.zones(place, *kind) != 0)
    }
    fn any(&self, types: &[usize], kind: CapacityType) -> bool {
        types.iter().any(|place| self.zones(*place, kind) != 0)
    }
    /// The cheapest way to have the type (USD/h); the largest number if there is none.
    fn cheapest(&self, place: usize) -> f64 {
        let price = |kind| if self.zones(place, kind) != 0 { self.price(place, kind) } else { None };
        KINDS.into_iter().filter_map(price).fold(f64::MAX, f64::min)
    }
    /// By price, equal ones by name, which is the order of the types.
    fn cut(&self, types: &mut Vec<usize>, most: usize) {
        let mut priced: Vec<(Price, usize)> =
            types.iter().map(|place| (Price(self.cheapest(*place)), *place)).collect();
        // A request's are, as a rule, in the claim's order still.
        if !priced.is_sorted() {
            priced.sort_unstable();
            types.clear();
            types.extend(priced.into_iter().map(|(_, place)| place));
        }
        types.truncate(most);
    }
    fn varied(&self, types: &[usize]) -> bool {
        !self.set.has_min_values || self.offers.satisfies_min_values(&self.set.requirements, types)
    }
}

/// In the order in which a request goes for them.
const KINDS: [CapacityType; 3] = [CapacityType::Reserved, CapacityType::Spot, CapacityType::OnDemand];

/// A price that is no NaN.
#[derive(Clone, Copy, PartialEq)]
struct Price(f64);

impl Eq for Price {}
impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Price) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Price {
    fn cmp(&self, other: &Price) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The claim that a round's options make; `None`: cut they lack the variety that the pool wants, and the
/// claim's pods fail.
pub fn claim(offers: &Offers, set: SetId, options: &Types) -> Option<ClaimSpec> {
    let requirements = offers.set(set);
    let kinds = requirements.kinds;
    let all = Offerings { offers, set: requirements, kinds, reserved: true, spot_limit: f64::MAX };
    let mut types: Vec<usize> = options.iter().collect();
    all.cut(&mut types, offers.rules.most_in_claim);
    if !all.varied(&types) {
        return None;
    }
    let kinds = CapacityType::MARKETS.map(|kind| all.any(&types, kind));
    let reserved = all.any(&types, CapacityType::Reserved);
    Some(ClaimSpec { set, types, kinds, reserved })
}

/// The request for a claim as offerings are now; `None`: nothing is left to ask for.
pub fn request(offers: &Offers, claim: &ClaimSpec) -> Option<Request> {
    let set = offers.set(claim.set);
    let (kinds, reserved) = (claim.kinds, claim.reserved);
    let mut left = Offerings { offers, set, kinds, reserved, spot_limit: f64::MAX };
    let mut types = claim.types.clone();
    types.retain(|place| left.has_zone(*place));
    // A type without the label passes where values are out, and fails a bound: none is asked for then.
    if let Some(written) = set.requirements.written() {
        types.retain(|place| offers.types[*place].requirements.intersects(&written));
    }
    if left.any(&types, CapacityType::Reserved) {
        left.kinds = [false; 2];
        types.retain(|place| left.zones(*place, CapacityType::Reserved) != 0);
    }
    if !set.has_min_values && types.iter().any(|place| !offers.types[*place].exotic) {
        types.retain(|place| !offers.types[*place].exotic);
    }
    let both = CapacityType::MARKETS.iter().all(|kind| left.any(&types, *kind));
    if offers.rules.drops_dear_spot && !set.has_min_values && both {
        let on_demand = types.iter().filter(|place| left.zones(**place, CapacityType::OnDemand) != 0);
        let prices = on_demand.filter_map(|place| left.price(*place, CapacityType::OnDemand));
        left.spot_limit = prices.fold(f64::MAX, f64::min);
    }
    left.cut(&mut types, offers.rules.most_in_request);
    if types.is_empty() || !left.varied(&types) {
        return None;
    }
    let capacity_type =
        KINDS.into_iter().find(|kind| left.any(&types, *kind)).unwrap_or(CapacityType::OnDemand);
    let zones = types.iter().map(|place| left.zones(*place, capacity_type)).collect();
    Some(Request { capacity_type, types, zones })
}
