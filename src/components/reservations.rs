//! Capacity reservations: what EC2 has left of them, who takes it, and what Karpenter takes to be left.
//!
//! Karpenter counts its own launches and terminations and reads the true counts once a minute; between two reads others
//! may have taken what it counts on, and a launch finds the reservation full. Source: karpenter-provider-aws v1.14.1,
//! `pkg/providers/capacityreservation` and `pkg/controllers/nodeclass/capacityreservation.go`.

use super::launch::Refusal;
use super::*;
use crate::actors::karpenter::offers::Set;

/// Karpenter reads counts so often.
const READ_EVERY: SimDuration = SimDuration::from_secs(60);

/// A reservation's instances as EC2 has them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub free: u32,
}

pub(super) fn at_start(scenario: &Scenario) -> Vec<Places> {
    scenario.capacity_reservations.iter().map(|spec| Places { free: spec.count - spec.used }).collect()
}

/// vCPUs of all that is reserved: they count against the quota whether or not an instance runs.
pub(super) fn vcpus(scenario: &Scenario) -> u32 {
    let of_each = |spec: &crate::scenario::CapacityReservationSpec| {
        spec.count * scenario.catalogue.get(spec.instance_type).vcpus.unwrap_or(0)
    };
    scenario.capacity_reservations.iter().map(of_each).sum()
}

impl Run<'_> {
    pub(super) fn start_reservations(&mut self) {
        if self.reservations.is_empty() {
            return;
        }
        for (reservation, spec) in (0..).zip(&self.scenario.capacity_reservations) {
            let free = self.reservations[reservation as usize].free;
            self.books.unused.pay(self.price_of(reservation) * u64::from(free), self.now);
            for (user, (at, _)) in (0..).zip(&spec.others) {
                self.at(*at, Event::ReservationTaken { reservation, user });
            }
        }
        let phase = self.chance.uniform(Component::NodeClass, 0, 0);
        self.at(SimTime::ZERO + READ_EVERY.mul_f64(phase), Event::ReservationsRead);
    }

    /// Somebody outside the cluster runs so many instances more in it, or as many as there are.
    pub(super) fn reservation_taken(&mut self, reservation: u32, user: u32) {
        let (_, instances) = self.scenario.capacity_reservations[reservation as usize].others[user as usize];
        let free = &mut self.reservations[reservation as usize].free;
        let taken = instances.min(*free);
        *free -= taken;
        self.books.unused.stop_paying(self.price_of(reservation) * u64::from(taken), self.now);
    }

    /// A place's price, whether or not it is used (micro-USD an hour).
    fn price_of(&self, reservation: u32) -> u64 {
        let kind = self.scenario.capacity_reservations[reservation as usize].instance_type;
        let price = self.scenario.catalogue.get(kind).on_demand_usd_per_hour.unwrap_or(0.0);
        (price * 1e6).round() as u64
    }
    /// Is all paid for that nobody runs anything in?
    pub(super) fn check_unused(&self) {
        let free = (0..)
            .zip(&self.reservations)
            .map(|(number, places)| self.price_of(number) * u64::from(places.free));
        let stopped =
            self.nodes.iter().filter(|node| node.reservation != state::NONE && node.lives() && node.stopped);
        let rate = free.sum::<u64>() + stopped.map(|node| node.price_micro_usd).sum::<u64>();
        assert_eq!(rate, self.books.unused.rate(), "unused places, micro-USD an hour at {}", self.now);
    }

    pub(super) fn reservations_read(&mut self) {
        for (reservation, places) in (0..).zip(&self.reservations) {
            self.provisioner.offers.set_left(reservation, places.free);
        }
        self.at(self.now + READ_EVERY, Event::ReservationsRead);
    }

    /// The reservation that a claim's launch of this type goes for in the zone.
    pub(super) fn reservation_for(&self, claim: u32, place: u32, zone: u32) -> Option<u32> {
        let spec = self.nodes[claim as usize].claim.as_ref()?;
        let offers = &self.provisioner.offers;
        offers.reservation_at(offers.set(spec.set), place as usize, zone)
    }

    /// EC2 starts an instance in the reservation, whatever the market has and the quota leaves.
    pub(super) fn try_reservation(&mut self, claim: u32, reservation: u32, zone: u32) -> Result<(), Refusal> {
        if self.reservations[reservation as usize].free == 0 {
            self.reservation_errors += 1;
            return Err(Refusal::ReservationCapacityExceeded);
        }
        if !self.attach_primary(claim, zone) {
            return Err(Refusal::InsufficientFreeAddressesInSubnet);
        }
        Ok(())
    }

    /// Until its next read Karpenter takes the reservation to be full.
    pub(super) fn mark_reservation(&mut self, reservation: u32) {
        self.provisioner.offers.set_left(reservation, 0);
    }

    pub(super) fn reservation_used(&mut self, claim: u32, reservation: u32) {
        self.nodes_reserved += 1;
        self.nodes[claim as usize].reservation = reservation;
        self.reservations[reservation as usize].free -= 1;
        self.books.unused.stop_paying(self.price_of(reservation), self.now);
        let known = self.provisioner.offers.reservations()[reservation as usize].left;
        self.provisioner.offers.set_left(reservation, known.saturating_sub(1));
    }

    /// An instance in it is terminated.
    pub(super) fn reservation_freed(&mut self, reservation: u32) {
        self.reservations[reservation as usize].free += 1;
        let known = self.provisioner.offers.reservations()[reservation as usize].left;
        self.provisioner.offers.set_left(reservation, known + 1);
    }

    /// Is there still an instance of the type for claims of the set that is in a reservation?
    pub(super) fn may_be_reserved(&self, set: &Set, place: usize) -> bool {
        let known = self.provisioner.offers.reservations();
        set.reservations.iter().any(|number| {
            self.reservations[*number as usize].free > 0 && known[*number as usize].types.contains(&place)
        })
    }
}
