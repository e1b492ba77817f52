//! Which subnet of each zone Karpenter launches into, where a zone has several: the one with most addresses by its own
//! count, from which it takes what a launch is predicted to use until it reads EC2's counts again.
//!
//! A launch is offered one subnet a zone; what was taken off those that EC2 did not choose is given back with the
//! answer. In 2022 (`era`) it went by EC2's counts alone, which it kept for a minute from the launch on that had asked for them.
//! Where each zone has one subnet there is nothing to choose, and nothing is kept. Source:
//! karpenter-provider-aws v1.14.1, `pkg/providers/subnet/subnet.go`.

use super::launch::UNAVAILABLE_FOR;
use super::*;

/// Karpenter reads subnets so often.
const READ_EVERY: SimDuration = SimDuration::from_secs(60);

/// What Karpenter knows of subnets.
#[derive(Clone, Debug)]
pub(super) struct LaunchSubnets {
    /// By subnet: addresses free at the last read, 0 since EC2 said that it had none.
    cached: Vec<u32>,
    /// What it takes to be left of them, once it has launched there since.
    in_flight: Vec<Option<i64>>,
    /// Until when a subnet that refused is left alone.
    dry_until: Vec<SimTime>,
    /// Until when the last read is good, where there are no reads each minute.
    good_until: SimTime,
    /// By claim whose launch is under way, and zone: what it was offered.
    offered: BTreeMap<u32, Vec<Option<Offer>>>,
}

/// A zone's subnet in a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Offer {
    subnet: usize,
    /// As known when it was offered.
    cached: u32,
    /// Addresses that the launch is taken to use: the least pods of the request's types.
    predicted: i64,
}

impl LaunchSubnets {
    /// `None` where no zone has a choice.
    pub fn new(scenario: &Scenario) -> Option<Box<LaunchSubnets>> {
        let mut zones: Vec<u32> =
            scenario.subnets.iter().filter(|subnet| subnet.nodes).map(|subnet| subnet.zone).collect();
        zones.sort_unstable();
        let several = zones.windows(2).any(|pair| pair[0] == pair[1]);
        let count = scenario.subnets.len();
        several.then(|| {
            Box::new(LaunchSubnets {
                cached: vec![0; count],
                in_flight: vec![None; count],
                dry_until: vec![SimTime::ZERO; count],
                good_until: SimTime::ZERO,
                offered: BTreeMap::new(),
            })
        })
    }

    fn left(&self, subnet: usize) -> i64 {
        self.in_flight[subnet].unwrap_or(i64::from(self.cached[subnet]))
    }

    /// The subnets offered to a launch, by zone.
    fn subnets_of(&self, claim: u32) -> impl Iterator<Item = Option<usize>> + '_ {
        self.offered.get(&claim).into_iter().flatten().map(|offer| offer.map(|offer| offer.subnet))
    }
}

impl Run<'_> {
    pub(super) fn start_launch_subnets(&mut self) {
        if self.launch_subnets.is_some() && self.prepared.era.counts_launches {
            self.read_subnets();
            let phase = self.chance.uniform(Component::NodeClass, 0, 1);
            self.at(SimTime::ZERO + READ_EVERY.mul_f64(phase), Event::SubnetsRead);
        }
    }
    pub(super) fn subnets_read(&mut self) {
        self.read_subnets();
        self.at(self.now + READ_EVERY, Event::SubnetsRead);
    }
    fn read_subnets(&mut self) {
        let Some(known) = &mut self.launch_subnets else { return };
        known.cached = self.subnets.iter().map(Subnet::free).collect();
        known.in_flight.fill(None);
    }

    /// Karpenter chooses a subnet in each zone for a claim's launch.
    pub(super) fn choose_subnets(&mut self, claim: u32) {
        let Some(known) = &mut self.launch_subnets else { return };
        let counts = self.prepared.era.counts_launches;
        if !counts && known.good_until <= self.now {
            known.good_until = self.now + READ_EVERY;
            self.read_subnets();
        }
        let request = self.request(claim);
        let least_pods = |zone: u32| {
            let each = request.iter().flat_map(|request| request.types.iter().zip(&request.zones));
            let there = each.filter(|(_, zones)| **zones >> zone & 1 == 1);
            let pods = there.map(|(place, _)| self.provisioner.offers.types[*place].capacity.pods);
            pods.min().unwrap_or(0)
        };
        let predicted: Vec<i64> = (0..self.scenario.zones.len() as u32).map(least_pods).collect();
        let Some(known) = &mut self.launch_subnets else { return };
        let offers = (0..).zip(&predicted).map(|(zone, predicted)| {
            let specs = self.scenario.subnets.iter().enumerate();
            let of_zone = specs.filter(|(_, spec)| spec.zone == zone && spec.nodes).map(|(at, _)| at);
            // Of equal ones that with most at the last read, then the first; in 2022 the last.
            let place = |at: usize| if counts { -(at as i64) } else { at as i64 };
            let best = |at: &usize| (known.left(*at), known.cached[*at], place(*at));
            let subnet = of_zone.max_by_key(best)?;
            if counts {
                known.in_flight[subnet] = Some(known.left(subnet) - predicted);
            }
            Some(Offer { subnet, cached: known.cached[subnet], predicted: *predicted })
        });
        let offers = offers.collect();
        known.offered.insert(claim, offers);
    }

    /// Do two launches ask for the very same subnets?
    pub(super) fn same_subnets(&self, one: u32, other: u32) -> bool {
        let known = self.launch_subnets.as_ref();
        known.is_none_or(|known| known.subnets_of(one).eq(known.subnets_of(other)))
    }

    /// The subnet that a claim's launch is offered in a zone; `None` where there is no choice.
    pub(super) fn offered_subnet(&self, claim: u32, zone: u32) -> Option<usize> {
        let offers = self.launch_subnets.as_ref()?.offered.get(&claim)?;
        offers[zone as usize].map(|offer| offer.subnet)
    }

    /// EC2 has answered: what was not used is given back, unless counts were read since.
    pub(super) fn settle_subnets(&mut self, claim: u32, used: Option<u32>) {
        let Some(known) = &mut self.launch_subnets else { return };
        let offers = known.offered.remove(&claim).unwrap_or_default();
        let unused = (0..).zip(offers).filter(|(zone, _)| Some(*zone) != used);
        for offer in unused.filter_map(|(_, offer)| offer) {
            if known.cached[offer.subnet] == offer.cached
                && let Some(left) = &mut known.in_flight[offer.subnet]
            {
                *left += offer.predicted;
            }
        }
    }

    /// EC2 found no address for a claim's launch in a zone: its subnet is left alone, and the zone once all its subnets
    /// are.
    pub(super) fn subnet_dry(&mut self, claim: u32, zone: u32) {
        let until = self.now + UNAVAILABLE_FOR;
        let subnet = self.offered_subnet(claim, zone);
        let (Some(subnet), Some(known)) = (subnet, &mut self.launch_subnets) else {
            self.dry_zones[zone as usize] = until;
            return;
        };
        (known.cached[subnet], known.in_flight[subnet]) = (0, None);
        known.dry_until[subnet] = until;
        let of_zone = self.scenario.subnets.iter().zip(&known.dry_until);
        let of_zone = of_zone.filter(|(spec, _)| spec.zone == zone && spec.nodes);
        self.dry_zones[zone as usize] = of_zone.map(|(_, until)| *until).min().unwrap_or(until);
    }
}
