//! From a claim to an instance: Karpenter's batcher, CreateFleet, EC2's choice, and what an error leaves behind.

use super::prepared::{Offered, Pool, maxima};
use super::state::{NONE, NodeStage};
use super::*;
use crate::actors::ec2::retry_after;

/// karpenter-provider-aws v1.14.1, `pkg/batcher/createfleet.go`.
const FLEET_IDLE: SimDuration = SimDuration::from_millis(35);
const FLEET_MAX: SimDuration = SimDuration::from_secs(1);
const FLEET_MOST: usize = 1_000;
/// Types a request names at most.
const MOST_TYPES: usize = 60;
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

/// Why EC2 refuses an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    InsufficientInstanceCapacity,
    InsufficientFreeAddressesInSubnet,
    /// `VcpuLimitExceeded` or `MaxSpotInstanceCountExceeded`.
    VcpuLimitExceeded,
}

impl Refusal {
    const fn name(self, spot: bool) -> &'static str {
        match self {
            Refusal::InsufficientInstanceCapacity => "InsufficientInstanceCapacity",
            Refusal::InsufficientFreeAddressesInSubnet => "InsufficientFreeAddressesInSubnet",
            Refusal::VcpuLimitExceeded if spot => "MaxSpotInstanceCountExceeded",
            Refusal::VcpuLimitExceeded => "VcpuLimitExceeded",
        }
    }
}

impl<'a> Run<'a> {
    /// The claim joins the batcher's window, which all claims share.
    pub(super) fn launch_requested(&mut self, node: u32) {
        self.nodes[node as usize].launches += 1;
        self.fleet_waiting.push(node);
        self.fleet_last = self.now;
        if self.fleet_waiting.len() == 1 {
            self.fleet_opened = self.now;
            self.at(self.now + FLEET_IDLE, Event::FleetWindowCloses);
        }
    }

    /// Claims that ask for the very same go out as one call.
    pub(super) fn fleet_window_closes(&mut self) {
        let closes = (self.fleet_last + FLEET_IDLE).min(self.fleet_opened + FLEET_MAX);
        if closes > self.now && self.fleet_waiting.len() < FLEET_MOST {
            self.at(closes, Event::FleetWindowCloses);
            return;
        }
        let fresh = self.fleets.len();
        for node in std::mem::take(&mut self.fleet_waiting) {
            let claim = &self.nodes[node as usize];
            let alike = |batch: &&mut FleetBatch| {
                let first = &self.nodes[batch.claims[0] as usize];
                first.pool == claim.pool && first.planned == claim.planned
            };
            match self.fleets[fresh..].iter_mut().find(alike) {
                Some(batch) => batch.claims.push(node),
                None => self.fleets.push(FleetBatch { claims: vec![node], tries: 0 }),
            }
        }
        (fresh..self.fleets.len()).for_each(|batch| self.fleet_sent(batch as u32));
    }

    /// One CreateFleet. Throttled, the SDK sends it again; then each claim begins anew.
    pub(super) fn fleet_sent(&mut self, index: u32) {
        let batch = &mut self.fleets[index as usize];
        batch.tries += 1;
        let (tries, first, count) = (batch.tries, batch.claims[0], batch.claims.len() as u32);
        self.ec2_calls += 1;
        if self.fleet_bucket.try_take(1, self.now) && self.instance_bucket.try_take(count, self.now) {
            let pool = self.pool(first);
            let spot = self.capacity_type(first).unwrap_or(pool.allows_spot);
            let latency = if spot { Latency::CreateFleetSpot } else { Latency::CreateFleetOnDemand };
            let takes = self.draw(latency, Component::CreateFleet, first, tries);
            self.at(self.now + takes, Event::FleetAnswered(index));
            return;
        }
        self.ec2_throttles += 1;
        let claims = self.fleets[index as usize].claims.clone();
        self.set_throttled(&claims, true);
        let chance = self.chance;
        if let Some(wait) = retry_after(tries, || chance.uniform(Component::CreateFleet, first, 100 + tries))
        {
            self.at(self.now + wait, Event::FleetSent(index));
            return;
        }
        for claim in claims {
            let launches = self.nodes[claim as usize].launches;
            if launches >= LAUNCH_TIMEOUT_TRIES {
                self.give_up(claim, Cause::LaunchThrottled);
            } else {
                let wait = SimDuration::from_secs((1u64 << (launches - 1)).min(60));
                self.at(self.now + wait, Event::LaunchRequested(claim));
            }
        }
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
        let claims = std::mem::take(&mut self.fleets[index as usize].claims);
        self.set_throttled(&claims, false);
        for claim in claims {
            match self.choose_instance(claim) {
                Ok((offered, offering)) => self.launched(claim, offered, offering),
                Err(refusal) => {
                    self.capacity_errors += 1;
                    let quota = refusal == Some(Refusal::VcpuLimitExceeded);
                    self.give_up(claim, if quota { Cause::Quota } else { Cause::CapacityError });
                }
            }
        }
    }

    fn pool(&self, claim: u32) -> &'a Pool {
        &self.prepared.pools[self.nodes[claim as usize].pool as usize]
    }

    /// Spot if the claim may be spot and any spot offering is available, else on-demand; `None`: neither.
    fn capacity_type(&self, claim: u32) -> Option<bool> {
        let (pool, planned) = (self.pool(claim), self.nodes[claim as usize].planned);
        let any = |spot: bool| {
            pool.offered(planned).any(|offered| {
                (!spot || offered.spot_micro_usd.is_some())
                    && pool.zones.iter().any(|zone| self.is_available(offered.id, *zone, spot))
            })
        };
        if pool.allows_spot && any(true) {
            Some(true)
        } else {
            (pool.allows_on_demand && any(false)).then_some(false)
        }
    }

    /// What EC2 takes of the request's overrides: on-demand the cheapest, spot of the pools with capacity the one
    /// least interrupted, then the cheapest; equal ones by chance.
    fn choose_instance(&mut self, claim: u32) -> Result<(Offered, Offering), Option<Refusal>> {
        let spot = self.capacity_type(claim).ok_or(None)?;
        let (pool, planned) = (self.pool(claim), self.nodes[claim as usize].planned);
        let price = |offered: &Offered| match spot {
            true => offered.spot_micro_usd.unwrap_or(u64::MAX),
            false => offered.on_demand_micro_usd,
        };
        let available = |offered: &&Offered| {
            price(offered) < u64::MAX
                && pool.zones.iter().any(|zone| self.is_available(offered.id, *zone, spot))
        };
        let mut types: Vec<&Offered> = pool.offered(planned).filter(available).collect();
        if types.iter().any(|offered| !offered.exotic) {
            types.retain(|offered| !offered.exotic);
        }
        types.sort_by_key(|offered| (price(offered), offered.id));
        types.truncate(MOST_TYPES);
        let mut overrides: Vec<(u64, u64, u64, u32, &Offered)> = Vec::new();
        for (place, offered) in types.iter().enumerate() {
            for zone in pool.zones.iter().filter(|zone| self.is_available(offered.id, **zone, spot)) {
                let tie = match self.scenario.zone_tie {
                    ZoneTie::First => u64::from(*zone),
                    ZoneTie::Uniform => {
                        self.chance.bits(Component::ZoneTie, claim, (place as u32) << 8 | zone)
                    }
                };
                let advice = self.scenario.catalogue.get(offered.id).spot;
                let band = advice.filter(|_| spot).map_or(0, |advice| u64::from(advice.interruption_band));
                overrides.push((band, price(offered), tie, *zone, offered));
            }
        }
        overrides.sort_by_key(|(band, price, tie, zone, offered)| (*band, *price, *tie, *zone, offered.id));
        let mut last = None;
        for (.., zone, offered) in overrides {
            let offering = Offering { instance_type: offered.id, zone, spot };
            match self.try_offering(claim, offered, offering) {
                Ok(()) => return Ok((offered.clone(), offering)),
                Err(refusal) => {
                    self.mark(offering, refusal);
                    last = Some(refusal);
                }
            }
        }
        Err(last)
    }

    /// vCPUs that the account may run now, by capacity type.
    pub(super) fn vcpu_quota(&self, spot: bool) -> u32 {
        let quotas = &self.scenario.quotas;
        let mut raised = quotas.raises.iter().rev().filter(|(at, ..)| *at <= self.now);
        let latest = raised.find_map(|(_, on_demand, of_spot)| if spot { *of_spot } else { *on_demand });
        latest.unwrap_or(if spot { quotas.spot_vcpus } else { quotas.on_demand_vcpus })
    }

    fn try_offering(&mut self, claim: u32, offered: &Offered, offering: Offering) -> Result<(), Refusal> {
        if self.vcpus[usize::from(offering.spot)] + offered.vcpus > self.vcpu_quota(offering.spot) {
            return Err(Refusal::VcpuLimitExceeded);
        }
        if !self.has_capacity(offering) {
            return Err(Refusal::InsufficientInstanceCapacity);
        }
        if !self.attach_primary(claim, offering.zone) {
            return Err(Refusal::InsufficientFreeAddressesInSubnet);
        }
        Ok(())
    }

    fn mark(&mut self, offering: Offering, refusal: Refusal) {
        let mark = Mark { until: self.now + UNAVAILABLE_FOR, quota: refusal == Refusal::VcpuLimitExceeded };
        self.marks.insert(offering, mark);
        if refusal == Refusal::InsufficientFreeAddressesInSubnet {
            self.dry_zones[offering.zone as usize] = self.now + UNAVAILABLE_FOR;
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
    fn is_available(&self, instance_type: TypeId, zone: u32, spot: bool) -> bool {
        let marked = |offering| self.marks.get(&offering).is_some_and(|mark: &Mark| mark.until > self.now);
        self.dry_zones[zone as usize] <= self.now
            && (self.marks.is_empty() || !marked(Offering { instance_type, zone, spot }))
    }
    fn is_offered(&self, pool: &Pool, offered: &Offered) -> bool {
        let capacity_types =
            [(pool.allows_on_demand, false), (pool.allows_spot && offered.spot_micro_usd.is_some(), true)];
        capacity_types.into_iter().any(|(allowed, spot)| {
            allowed && pool.zones.iter().any(|zone| self.is_available(offered.id, *zone, spot))
        })
    }

    /// The largest types that a pool has on offer.
    pub(super) fn largest_on_offer(&self, pool: &Pool) -> Vec<Resources> {
        if self.marks.is_empty() && self.dry_zones.iter().all(|until| *until <= self.now) {
            return pool.largest.clone();
        }
        let offered = pool.offered.iter().filter(|offered| self.is_offered(pool, offered));
        maxima(offered.map(|offered| offered.allocatable))
    }
    /// What a pool's limits leave.
    pub(super) fn limits_left(&self, index: u32, pool: &Pool) -> Option<Resources> {
        let used = |sum: Resources, node: &Node| match node.pool == index && node.lives() && !node.disrupted {
            true => sum + self.capacity_of(node),
            false => sum,
        };
        pool.limits.map(|limits| limits - self.nodes.iter().fold(Resources::ZERO, used))
    }
    fn capacity_of(&self, node: &Node) -> Resources {
        let pool = &self.prepared.pools[node.pool as usize];
        let found = pool.offered.iter().find(|offered| offered.id == node.instance_type);
        found.map_or(Resources::ZERO, |offered| offered.capacity)
    }
    /// Why what a pool could hold is not on offer.
    pub(super) fn why_not_offered(&self, index: u32) -> Option<Cause> {
        let pool = &self.prepared.pools[index as usize];
        let quota = |offering: &Offering, mark: &Mark| {
            mark.quota && pool.offered.iter().any(|offered| offered.id == offering.instance_type)
        };
        self.marks.iter().any(|(offering, mark)| quota(offering, mark)).then_some(Cause::Quota)
    }

    fn launched(&mut self, claim: u32, offered: Offered, offering: Offering) {
        self.unlaunched -= 1;
        self.nodes_launched += 1;
        self.books.nodes += 1;
        self.vcpus[usize::from(offering.spot)] += offered.vcpus;
        let price = if offering.spot { offered.spot_micro_usd } else { None };
        let node = &mut self.nodes[claim as usize];
        node.instance_type = offering.instance_type;
        node.zone = offering.zone;
        node.spot = offering.spot;
        node.price_micro_usd = price.unwrap_or(offered.on_demand_micro_usd);
        node.allocatable = offered.allocatable;
        node.requested = self.prepared.daemons;
        node.launched = self.now;
        node.stage = NodeStage::Booting;
        let family = self.prepared.pools[node.pool as usize].family;
        self.refresh_nominated(claim);
        self.boot(claim, family);
        if offering.spot {
            self.watch_spot(claim, offering);
        }
        let name = self.scenario.catalogue.get(offering.instance_type).name.as_str();
        let zone = self.scenario.zones[offering.zone as usize].as_str();
        let kind = if offering.spot { "spot" } else { "on-demand" };
        self.trace(|| {
            let line = TraceLine::new("instance_launched").node(claim).text("instance_type", name);
            line.text("zone", zone).text("capacity_type", kind)
        });
        self.release_gate();
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
        self.at(self.now + CLAIM_GONE_AFTER, Event::ClaimGone(claim));
    }
    pub(super) fn claim_gone(&mut self, claim: u32) {
        self.nodes[claim as usize].stage = NodeStage::Gone;
        self.unlaunched -= 1;
        self.release_gate();
    }
    fn release_gate(&mut self) {
        if self.unlaunched == 0 && self.batcher.gated {
            self.batcher.gated = false;
            self.refresh_undecided();
        }
    }
}
