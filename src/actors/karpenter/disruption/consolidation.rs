//! What is done about candidates once it is known where their pods would go: they are deleted, replaced by one cheaper
//! node, or left.
//!
//! Source: karpenter v1.14.0, `pkg/controllers/disruption/consolidation.go` and `multinodeconsolidation.go`.

use super::candidates::Candidate;
use super::simulation::{NewNode, Simulated};
use crate::actors::karpenter::labels::CAPACITY_TYPE;
use crate::actors::karpenter::launch;
use crate::actors::karpenter::offers::{CapacityType, Offers, SetId, Types};

/// A single spot node is replaced by spot only where so many types are cheaper, and by the cheapest of these.
const SPOT_TO_SPOT_TYPES: usize = 15;
/// So many nodes are consolidated at once. By an off-by-one it can be one more.
const MOST_AT_ONCE: usize = 100;

/// What is done.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Their pods fit on nodes that are there.
    Delete,
    Replace(NewNode),
}

/// Why nothing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Some pod would find no place, or one on a node that still comes up.
    PodsDoNotFit,
    /// It would take several new nodes.
    SeveralNodes,
    /// The feature gate `SpotToSpotConsolidation` is off.
    SpotToSpotOff,
    NotCheaper,
    /// Fewer than fifteen types of spot are cheaper.
    TooFewCheaper,
}

/// What is done about the candidates.
///
/// # Errors
/// Why nothing is.
pub fn consolidate(
    offers: &mut Offers,
    candidates: &[Candidate],
    simulated: &Simulated,
    spot_to_spot: bool,
) -> Result<Action, Refusal> {
    if !simulated.all_fit {
        return Err(Refusal::PodsDoNotFit);
    }
    let new = match simulated.new_nodes.as_slice() {
        [] => return Ok(Action::Delete),
        [one] => one.clone(),
        _ => return Err(Refusal::SeveralNodes),
    };
    let price = candidates.iter().map(|candidate| candidate.price).sum();
    let kinds = offers.set(new.spec.set).kinds;
    let all_spot = candidates.iter().all(|candidate| candidate.kind == CapacityType::Spot);
    if all_spot && kinds[CapacityType::Spot as usize] {
        if !spot_to_spot {
            return Err(Refusal::SpotToSpotOff);
        }
        return spot_for_spot(offers, candidates.len(), new, price).map(Action::Replace);
    }
    let mut new = cheaper(offers, new, price)?;
    // The price was that of spot: without spot capacity nothing is to be launched.
    if kinds == [true, true] {
        new = pinned_to_spot(offers, new)?;
    }
    Ok(Action::Replace(new))
}

fn spot_for_spot(offers: &mut Offers, count: usize, new: NewNode, price: f64) -> Result<NewNode, Refusal> {
    let new = pinned_to_spot(offers, new)?;
    let mut new = cheaper(offers, new, price)?;
    if count > 1 {
        return Ok(new);
    }
    if new.spec.types.len() < SPOT_TO_SPOT_TYPES {
        return Err(Refusal::TooFewCheaper);
    }
    // Fifteen, or as many more as the pool's variety wants.
    let all = new.spec.types.len();
    let most = (SPOT_TO_SPOT_TYPES..all).find(|most| varied(offers, new.spec.set, &new.spec.types[..*most]));
    new.spec.types.truncate(most.unwrap_or(all));
    Ok(new)
}

fn varied(offers: &Offers, set: SetId, types: &[usize]) -> bool {
    let set = offers.set(set);
    !set.has_min_values || offers.satisfies_min_values(&set.requirements, types)
}

fn pinned_to_spot(offers: &mut Offers, new: NewNode) -> Result<NewNode, Refusal> {
    let spot = CapacityType::Spot;
    let set =
        offers.pin(new.spec.set, CAPACITY_TYPE, &[spot.name().to_owned()]).ok_or(Refusal::NotCheaper)?;
    let zones = offers.set(set).zones;
    let there = |place: &usize| offers.available()[*place][spot as usize] & zones != 0;
    let types = Types::of(new.spec.types.iter().copied().filter(there), offers.types.len());
    let spec = launch::claim(offers, set, &types).ok_or(Refusal::NotCheaper)?;
    Ok(NewNode { spec, ..new })
}

/// The node with those of its types alone that cost less however they are launched.
fn cheaper(offers: &Offers, mut new: NewNode, price: f64) -> Result<NewNode, Refusal> {
    let set = new.spec.set;
    new.spec.types.retain(|place| worst_launch_price(offers, set, *place) < price);
    if new.spec.types.is_empty() || !varied(offers, set, &new.spec.types) {
        return Err(Refusal::NotCheaper);
    }
    Ok(new)
}

/// What a launch of the type costs: reserved or spot if it can be had, else on-demand. All zones cost the same here.
fn worst_launch_price(offers: &Offers, set: SetId, place: usize) -> f64 {
    let set = offers.set(set);
    let can_be_had = |kind: &CapacityType| match kind {
        CapacityType::Reserved => offers.reserved(set, place).next().is_some(),
        market => set.kinds[*market as usize] && offers.available()[place][*market as usize] & set.zones != 0,
    };
    let kinds = [CapacityType::Reserved, CapacityType::Spot, CapacityType::OnDemand];
    let kind = kinds.into_iter().find(can_be_had);
    kind.and_then(|kind| offers.types[place].price(kind)).unwrap_or(f64::MAX)
}

/// Where several nodes would become one of a type that one of them has: it must be cheaper than that one, or keeping it
/// and deleting the others is better.
///
/// # Errors
/// [`Refusal::NotCheaper`] if no type is.
pub fn other_type(offers: &Offers, candidates: &[Candidate], new: NewNode) -> Result<NewNode, Refusal> {
    let known = candidates.iter().filter(|candidate| new.spec.types.contains(&candidate.offered));
    let cheapest = known.map(|candidate| candidate.price).fold(f64::MAX, f64::min);
    cheaper(offers, new, cheapest)
}

/// What a type costs where it is cheapest on the market (USD/h); `None`: it cannot be had.
pub fn cheapest_price(offers: &Offers, place: usize) -> Option<f64> {
    let can_be_had = |kind: &CapacityType| offers.available()[place][*kind as usize] != 0;
    let kinds = CapacityType::MARKETS.into_iter().filter(can_be_had);
    kinds.filter_map(|kind| offers.types[place].prices[kind as usize]).min_by(f64::total_cmp)
}

/// The action on the longest prefix of at least two candidates that `act` finds one for, by bisection.
pub fn longest_prefix<T>(candidates: usize, mut act: impl FnMut(usize) -> Option<T>) -> Option<T> {
    let (mut low, mut high) = (1, MOST_AT_ONCE.min(candidates.saturating_sub(1)));
    let mut best = None;
    while low <= high {
        let middle = (low + high) / 2;
        match act(middle + 1) {
            Some(action) => (best, low) = (Some(action), middle + 1),
            None => high = middle - 1,
        }
    }
    best
}

/// Does what was found still hold, now that the pods would go there? Nothing to replace what was to be replaced, or a
/// replacement that has come to need other types, do not.
pub fn still_holds(found: &[NewNode], simulated: &Simulated) -> bool {
    simulated.all_fit
        && match (found, simulated.new_nodes.as_slice()) {
            ([], []) => true,
            ([then], [now]) => then.spec.types.iter().all(|place| now.spec.types.contains(place)),
            _ => false,
        }
}
