//! From a claim to an instance: Karpenter's batcher, CreateFleet, EC2's choice, and what an error leaves behind.

use smallvec::SmallVec;

use super::state::{NONE, NodeStage};
use super::*;
use crate::actors::karpenter::launch::{self, Request};
use crate::actors::karpenter::offers::CapacityType;

/// karpenter-provider-aws v1.14.1, `pkg/batcher/createfleet.go`.
const FLEET_MOST: usize = 1_000;
/// An offering that met a capacity error is left alone for so long.
pub(super) const UNAVAILABLE_FOR: SimDuration = SimDuration::from_secs(180);
/// A claim that met one is gone from the API after so long.
const CLAIM_GONE_AFTER: SimDuration = SimDuration::from_secs(1);
/// Stands for the launch timeout of 5 min: the back-offs before the last try add up to 183 s, its calls come on top.
const LAUNCH_TIMEOUT_TRIES: u32 = 8;

/// Instance type x zone x capacity type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Offering {
    pub instance_type: TypeId,
    pub zone: u32,
    pub spot: bool,
}

/// An offering or a zone's subnets that Karpenter leaves alone for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub until: SimTime,
    pub quota: bool,
}

/// What EC2 gives for a claim.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    /// Among what is offered.
    place: u32,
    offering: Offering,
    /// `None`: bought on the market.
    reservation: Option<u32>,
}

/// A type in a zone that a call offers to EC2.
#[derive(Clone, Copy, Debug)]
struct Override {
    /// By which EC2 prefers it: interruption band (spot), price.
    rank: (u8, u64),
    /// Among what is offered.
    place: u32,
    zone: u32,
    /// Of its part in ties.
    draw: u32,
    /// EC2 has tried it for this call, and has none.
    refused: Option<Refusal>,
}

/// All of a call's. They are those of the launch: whatever becomes known afterwards, a call never goes from one capacity
/// type to another.
#[derive(Clone, Debug, Default)]
struct Overrides {
    spot: bool,
    reserved: bool,
    /// By rank.
    all: Vec<Override>,
}

/// One CreateFleet for claims that ask for the very same.
#[derive(Clone, Debug)]
pub(super) struct FleetBatch {
    pub claims: Vec<u32>,
    tries: u32,
    /// Which of Karpenter's views of what can be had it was made from.
    view: u32,
    overrides: Overrides,
}

/// Why EC2 refuses an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    InsufficientInstanceCapacity,
    InsufficientFreeAddressesInSubnet,
    /// `VcpuLimitExceeded` or `MaxSpotInstanceCountExceeded`.
    VcpuLimitExceeded,
    ReservationCapacityExceeded,
}

impl Refusal {
    const fn name(self, spot: bool) -> &'static str {
        match self {
            Refusal::InsufficientInstanceCapacity => "InsufficientInstanceCapacity",
            Refusal::InsufficientFreeAddressesInSubnet => "InsufficientFreeAddressesInSubnet",
            Refusal::VcpuLimitExceeded if spot => "MaxSpotInstanceCountExceeded",
            Refusal::VcpuLimitExceeded => "VcpuLimitExceeded",
            Refusal::ReservationCapacityExceeded => "ReservationCapacityExceeded",
        }
    }
}

impl<'a> Run<'a> {
    /// The claim joins the batcher's window, which all claims share.
    pub(super) fn launch_requested(&mut self, node: u32) {
        self.nodes[node as usize].launches += 1;
        self.choose_subnets(node);
        if !self.join_fleet(node) {
            let Some(overrides) = self.overrides(node) else {
                // All that it could be is out: there is nothing to call EC2 for.
                self.capacity_errors += 1;
                self.settle_subnets(node, None);
                return self.give_up(node, Cause::CapacityError);
            };
            let view = self.provisioning.offers_view;
            self.fleet_waiting.push(FleetBatch { claims: vec![node], tries: 0, view, overrides });
        }
        self.fleet_last = self.now;
        if self.waiting_claims() == 1 && !self.launches.calling {
            self.open_fleet_window();
        }
    }
    /// Does the claim ask for the very same as others that wait? Then it goes with them.
    fn join_fleet(&mut self, node: u32) -> bool {
        self.refresh_offers();
        let claim = &self.nodes[node as usize];
        let alike = |batch: &FleetBatch| {
            let first = &self.nodes[batch.claims[0] as usize];
            batch.view == self.provisioning.offers_view
                && first.pool == claim.pool
                && first.claim == claim.claim
                && self.same_subnets(batch.claims[0], node)
        };
        let place = self.fleet_waiting.iter().position(alike);
        place.inspect(|place| self.fleet_waiting[*place].claims.push(node)).is_some()
    }
    fn waiting_claims(&self) -> usize {
        self.fleet_waiting.iter().map(|batch| batch.claims.len()).sum()
    }
    pub(super) fn open_fleet_window(&mut self) {
        (self.fleet_opened, self.fleet_last) = (self.now, self.now);
        self.at(self.now + self.prepared.era.fleet_window.0, Event::FleetWindowCloses);
    }

    /// What has gathered goes out.
    pub(super) fn fleet_window_closes(&mut self) {
        let (idle, max) = self.prepared.era.fleet_window;
        let closes = (self.fleet_last + idle).min(self.fleet_opened + max);
        if closes > self.now && self.waiting_claims() < FLEET_MOST {
            self.at(closes, Event::FleetWindowCloses);
            return;
        }
        let fresh = self.fleets.len();
        self.fleets.append(&mut self.fleet_waiting);
        let fresh = fresh as u32..self.fleets.len() as u32;
        if self.prepared.era.node_claims {
            fresh.for_each(|batch| self.fleet_sent(batch));
        } else {
            self.queue_fleets(fresh);
        }
    }

    /// One CreateFleet. Throttled, the SDK sends it again; then each claim begins anew.
    pub(super) fn fleet_sent(&mut self, index: u32) {
        let batch = &mut self.fleets[index as usize];
        batch.tries += 1;
        let (tries, first, count) = (batch.tries, batch.claims[0], batch.claims.len() as u32);
        self.api_counts[ApiCount::CREATE_FLEET].calls += 1;
        if self.fleet_bucket.try_take(1, self.now) && self.instance_bucket.try_take(count, self.now) {
            let spot = self.fleets[index as usize].overrides.spot;
            let latency = if spot { Latency::CreateFleetSpot } else { Latency::CreateFleetOnDemand };
            let takes = self.draw(latency, Component::CreateFleet, first, tries);
            self.at(self.now + takes, Event::FleetAnswered(index));
            return;
        }
        self.api_counts[ApiCount::CREATE_FLEET].throttled += 1;
        let claims = self.fleets[index as usize].claims.clone();
        self.set_throttled(&claims, true);
        let chance = self.chance;
        let retries = &self.prepared.era.karpenter_retries;
        if let Some(wait) =
            retries.after(tries, || chance.uniform(Component::CreateFleet, first, 100 + tries))
        {
            self.at(self.now + wait, Event::FleetSent(index));
            return;
        }
        for claim in claims {
            self.settle_subnets(claim, None);
            let launches = self.nodes[claim as usize].launches;
            if launches >= LAUNCH_TIMEOUT_TRIES || !self.prepared.era.node_claims {
                self.give_up(claim, Cause::LaunchThrottled);
            } else {
                let wait = SimDuration::from_secs((1u64 << (launches - 1)).min(60));
                self.at(self.now + wait, Event::LaunchRequested(claim));
            }
        }
        self.fleet_ended();
    }

    fn set_throttled(&mut self, claims: &[u32], throttled: bool) {
        for claim in claims {
            if std::mem::replace(&mut self.nodes[*claim as usize].throttled, throttled) != throttled {
                self.refresh_nominated(*claim);
            }
        }
    }

    /// The fleet's answer: for each claim an instance, or the errors of all that EC2 tried.
    pub(super) fn fleet_answered(&mut self, index: u32) {
        let batch = &mut self.fleets[index as usize];
        let (claims, mut known) = (std::mem::take(&mut batch.claims), std::mem::take(&mut batch.overrides));
        self.set_throttled(&claims, false);
        for claim in claims {
            let chosen = self.choose_instance(claim, &mut known);
            self.settle_subnets(claim, chosen.ok().map(|chosen| chosen.offering.zone));
            match chosen {
                Ok(chosen) => self.launched(claim, chosen),
                Err(refusal) => {
                    self.capacity_errors += 1;
                    self.api_counts[ApiCount::CREATE_FLEET].refused += 1;
                    let quota = refusal == Refusal::VcpuLimitExceeded;
                    self.give_up(claim, if quota { Cause::Quota } else { Cause::CapacityError });
                }
            }
        }
        self.fleet_ended();
    }

    /// What Karpenter asks for now; `None`: nothing is left.
    pub(super) fn request(&mut self, claim: u32) -> Option<Request> {
        self.refresh_offers();
        let spec = self.nodes[claim as usize].claim.as_ref()?;
        launch::request(&self.provisioner.offers, spec)
    }

    /// What a call for the claim offers to EC2; `None`: nothing is left to ask for.
    fn overrides(&mut self, claim: u32) -> Option<Overrides> {
        let request = self.request(claim)?;
        let spot = request.capacity_type == CapacityType::Spot;
        let reserved = request.capacity_type == CapacityType::Reserved;
        let count: u32 = request.zones.iter().map(|zones| zones.count_ones()).sum();
        let mut all: Vec<Override> = Vec::with_capacity(count as usize);
        for (rank, (place, zones)) in (0..).zip(request.types.iter().zip(&request.zones)) {
            let sold = self.prepared.sold[*place];
            let price = sold.micro_usd[usize::from(spot)].unwrap_or(u64::MAX);
            let advice = self.scenario.catalogue.get(sold.id).spot;
            let band = advice.filter(|_| spot).map_or(0, |advice| advice.interruption_band);
            let place = *place as u32;
            let zones = (0..self.scenario.zones.len() as u32).filter(|zone| zones >> zone & 1 == 1);
            all.extend(zones.map(|zone| Override {
                rank: (band, price),
                place,
                draw: rank << 8 | zone,
                zone,
                refused: None,
            }));
        }
        all.sort_by_key(|one| one.rank);
        Some(Overrides { spot, reserved, all })
    }

    /// What EC2 takes of them: on-demand the cheapest, spot of the pools with capacity the one least interrupted, then the
    /// cheapest; equal ones by chance.
    fn choose_instance(&mut self, claim: u32, known: &mut Overrides) -> Result<Chosen, Refusal> {
        let mut last = None;
        let (spot, reserved) = (known.spot, known.reserved);
        for equal in known.all.chunk_by_mut(|one, next| one.rank == next.rank) {
            let mut order: SmallVec<[(u64, u32, usize); 6]> = (0..)
                .zip(equal.iter())
                .map(|(at, one)| match self.scenario.zone_tie {
                    ZoneTie::Uniform if equal.len() > 1 => {
                        (self.chance.bits(Component::ZoneTie, claim, one.draw), one.zone, at)
                    }
                    _ => (u64::from(one.zone), one.zone, at),
                })
                .collect();
            order.sort_unstable();
            for (_, _, at) in order {
                let one = &mut equal[at];
                let outcome = match one.refused {
                    Some(refusal) => Err(refusal),
                    None => self.try_override(claim, one, spot, reserved),
                };
                match outcome {
                    Ok(chosen) => return Ok(chosen),
                    Err(refusal) => last = Some(refusal),
                }
                // Another reservation of the type may have places.
                one.refused = last.filter(|_| !reserved);
            }
        }
        Err(last.expect("a call asks for something"))
    }

    fn try_override(
        &mut self,
        claim: u32,
        one: &Override,
        spot: bool,
        reserved: bool,
    ) -> Result<Chosen, Refusal> {
        let &Override { place, zone, .. } = one;
        let sold = self.prepared.sold[place as usize];
        let offering = Offering { instance_type: sold.id, zone, spot };
        let reservation = if reserved {
            let left = self.reservation_for(claim, place, zone);
            Some(left.ok_or(Refusal::ReservationCapacityExceeded)?)
        } else {
            None
        };
        let outcome = match reservation {
            Some(reservation) => self.try_reservation(claim, reservation, zone),
            None => self.try_offering(claim, sold.vcpus, offering),
        };
        match outcome {
            Ok(()) => Ok(Chosen { place, offering, reservation }),
            Err(refusal) => {
                self.mark(claim, offering, reservation, refusal);
                Err(refusal)
            }
        }
    }

    /// vCPUs that the account may run now, by capacity type.
    pub(super) fn vcpu_quota(&self, spot: bool) -> u32 {
        let quotas = &self.scenario.quotas;
        let mut raised = quotas.raises.iter().rev().filter(|(at, ..)| *at <= self.now);
        let latest = raised.find_map(|(_, on_demand, of_spot)| if spot { *of_spot } else { *on_demand });
        latest.unwrap_or(if spot { quotas.spot_vcpus } else { quotas.on_demand_vcpus })
    }

    fn try_offering(&mut self, claim: u32, vcpus: u32, offering: Offering) -> Result<(), Refusal> {
        if self.vcpus[usize::from(offering.spot)] + vcpus > self.vcpu_quota(offering.spot) {
            return Err(Refusal::VcpuLimitExceeded);
        }
        if !self.has_capacity(offering) {
            return Err(Refusal::InsufficientInstanceCapacity);
        }
        if !self.attach_primary(claim, offering.zone) {
            return Err(Refusal::InsufficientFreeAddressesInSubnet);
        }
        self.take_capacity(offering);
        Ok(())
    }

    /// What an error teaches Karpenter: of a reservation that it has nothing left, else of the offering.
    fn mark(&mut self, claim: u32, offering: Offering, reservation: Option<u32>, refusal: Refusal) {
        let quota = refusal == Refusal::VcpuLimitExceeded;
        let dry = refusal == Refusal::InsufficientFreeAddressesInSubnet;
        let learns = !dry || self.prepared.era.learns_of_dry_subnets;
        match reservation {
            Some(reservation) => self.mark_reservation(reservation),
            None if !learns => {}
            None => drop(self.marks.insert(offering, Mark { until: self.now + UNAVAILABLE_FOR, quota })),
        }
        self.provisioning.offers_hold_until = self.now;
        if dry && learns {
            self.subnet_dry(claim, offering.zone);
        }
        let name = self.scenario.catalogue.get(offering.instance_type).name.as_str();
        let zone = self.scenario.zones[offering.zone as usize].as_str();
        let error = refusal.name(offering.spot);
        self.trace(|| {
            TraceLine::new("capacity_error")
                .text("instance_type", name)
                .text("zone", zone)
                .text("error", error)
        });
    }

    /// Marks that have run out are dropped.
    pub(super) fn sweep_marks(&mut self) {
        let now = self.now;
        self.marks.retain(|_, mark| mark.until > now);
    }
    /// Tells the provisioner which offerings can be had now, where that may have changed.
    pub(super) fn refresh_offers(&mut self) {
        if self.provisioning.offers_hold_until > self.now {
            return;
        }
        let (now, mut until) = (self.now, SimTime::NEVER);
        let mut available = self.prepared.provisioner.offers.available().clone();
        for (zone, dry_until) in self.dry_zones.iter().enumerate().filter(|(_, dry)| **dry > now) {
            until = until.min(*dry_until);
            available.iter_mut().flatten().for_each(|zones| *zones &= !(1 << zone));
        }
        for (offering, mark) in self.marks.iter().filter(|(_, mark)| mark.until > now) {
            until = until.min(mark.until);
            // A type may stand for several AMI families.
            let sold = self.prepared.sold.iter().enumerate();
            for (place, _) in sold.filter(|(_, sold)| sold.id == offering.instance_type) {
                available[place][usize::from(offering.spot)] &= !(1 << offering.zone);
            }
        }
        self.provisioner.offers.set_available(available);
        self.provisioning.offers_hold_until = until;
        self.provisioning.offers_view += 1;
    }

    fn launched(&mut self, claim: u32, chosen: Chosen) {
        let Chosen { place, offering, reservation } = chosen;
        let sold = self.prepared.sold[place as usize];
        let predicted = self.provisioner.offers.types[place as usize].allocatable;
        let allocatable = predicted + self.prepared.system_reserved;
        self.nodes_launched += 1;
        self.books.nodes += 1;
        match reservation {
            Some(reservation) => self.reservation_used(claim, reservation),
            None => self.vcpus[usize::from(offering.spot)] += sold.vcpus,
        }
        let price = sold.micro_usd[usize::from(offering.spot)].expect("what is launched has a price");
        self.books.bill.pay(price, self.now);
        let node = &mut self.nodes[claim as usize];
        node.instance_type = offering.instance_type;
        node.offered = place;
        node.zone = offering.zone;
        node.spot = offering.spot;
        node.price_micro_usd = price;
        // Branch interfaces are there once the trunk is, devices once their plugin has registered.
        node.allocatable = Resources { extended: ExtendedCounts::ZERO, ..allocatable };
        node.requested = self.prepared.daemons;
        node.kubelet_client = super::kubelet_client::bucket(self.prepared.era.kubelet_client);
        node.launched = self.now;
        node.stage = NodeStage::Booting;
        let family = self.prepared.pools[node.pool as usize].family;
        self.label_node(claim);
        self.refresh_nominated(claim);
        self.attach_others_enis(claim);
        self.boot(claim, family);
        self.watch_age(claim);
        if offering.spot {
            self.watch_spot(claim, offering);
        }
        let name = self.scenario.catalogue.get(offering.instance_type).name.as_str();
        let zone = self.scenario.zones[offering.zone as usize].as_str();
        let kind = self.nodes[claim as usize].capacity_type().name();
        self.trace(|| {
            let line = TraceLine::new("instance_launched").node(claim).text("instance_type", name);
            line.text("zone", zone).text("capacity_type", kind)
        });
        if self.prepared.era.node_claims {
            self.launch_settled(claim, false);
        } else {
            self.describe_launched(claim);
        }
    }

    /// The claim will go; its pods wait for the next round.
    fn give_up(&mut self, claim: u32, why: Cause) {
        let pods = std::mem::take(&mut self.nodes[claim as usize].nominated);
        for pod in &pods {
            let state = &mut self.pods[*pod as usize];
            (state.nominated, state.refused) = (NONE, Some(why));
            self.undecided.push(*pod);
            self.refresh_pending(*pod);
        }
        if self.prepared.era.node_claims {
            self.at(self.now + CLAIM_GONE_AFTER, Event::ClaimGone(claim));
        } else {
            self.launch_failed(claim);
        }
    }
    pub(super) fn claim_gone(&mut self, claim: u32) {
        self.nodes[claim as usize].stage = NodeStage::Gone;
        self.launch_settled(claim, true);
    }
    /// A claim has its instance, or has gone.
    pub(super) fn launch_settled(&mut self, claim: u32, failed: bool) {
        if self.replaces(claim) {
            return self.replacement_settled(failed);
        }
        self.unlaunched -= 1;
        if self.launches.under_way {
            self.loop_launch_settled(failed);
        } else if self.unlaunched == 0 && self.provisioning.gated {
            self.provisioning.gated = false;
            self.refresh_undecided();
        }
    }
}
