//! Capacity reservations: what Karpenter knows of them, and how the claims of a round book their places.
//!
//! A claim books every reservation that it could be launched into, since which one it will be is not known before EC2
//! answers, and gives back those that it comes to rule out. In strict mode, which is that of provisioning, a pod whose
//! claim could use reservations of which all places are booked is put off to a later round; in fallback mode, that of
//! simulations, it does without. Left out: capacity blocks, interruptible reservations, reservations that end.
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/scheduling/reservationmanager.go` and
//! `nodeclaim.go`; karpenter-provider-aws v1.14.1, `pkg/providers/instancetype/offering/reserved_capacity_resolver.go`.

/// The id of a node's or a claim's capacity reservation.
pub const RESERVATION_ID: &str = "karpenter.k8s.aws/capacity-reservation-id";

/// A reserved instance is as good as free, and cheaper types still go first: the on-demand price is divided by this.
pub const PRICE_DIVISOR: f64 = 10_000_000.0;

/// A capacity reservation that node classes select.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// Its id.
    pub name: String,
    /// Its instance type, by the places among what is offered: one for each AMI family.
    pub types: Vec<usize>,
    pub zone: u32,
    /// Instances that Karpenter takes to be left.
    pub left: u32,
}

/// May a claim do without the reservations that it could use?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Strict,
    Fallback,
}

/// All places that a claim could use are booked by others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Booked;

/// Which claims of a round hold places of which reservations.
#[derive(Clone, Debug)]
pub(super) struct Bookings {
    mode: Mode,
    /// By reservation: places that no claim has booked.
    left: Vec<u32>,
    /// By claim, as far as any has booked.
    held: Vec<Vec<u32>>,
    /// What the claim looked at last would hold.
    wanted: Vec<u32>,
}

impl Bookings {
    pub fn new(reservations: &[Reservation], mode: Mode) -> Bookings {
        let left = reservations.iter().map(|reservation| reservation.left).collect();
        Bookings { mode, left, held: Vec::new(), wanted: Vec::new() }
    }

    /// The reservations that a claim holds.
    pub fn held(&self, claim: u32) -> &[u32] {
        self.held.get(claim as usize).map_or(&[], Vec::as_slice)
    }

    /// What the claim would hold if it could be launched into `compatible`.
    ///
    /// # Errors
    /// In strict mode, if there is something compatible and nothing of it left, or nothing is compatible any more with a
    /// claim that has places.
    pub fn consider(&mut self, claim: u32, compatible: impl Iterator<Item = u32>) -> Result<(), Booked> {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.clear();
        let mut any = !self.held(claim).is_empty();
        for reservation in compatible {
            any = true;
            if self.left[reservation as usize] > 0 || self.held(claim).contains(&reservation) {
                wanted.push(reservation);
            }
        }
        let refused = self.mode == Mode::Strict && any && wanted.is_empty();
        self.wanted = wanted;
        if refused { Err(Booked) } else { Ok(()) }
    }

    /// The claim looked at last is made, or has taken the pod.
    pub fn commit(&mut self, claim: u32) {
        if self.left.is_empty() {
            return;
        }
        if self.held.len() <= claim as usize {
            self.held.resize(claim as usize + 1, Vec::new());
        }
        let held = std::mem::replace(&mut self.held[claim as usize], self.wanted.clone());
        self.wanted.iter().filter(|new| !held.contains(new)).for_each(|new| self.left[*new as usize] -= 1);
        held.iter().filter(|old| !self.wanted.contains(old)).for_each(|old| self.left[*old as usize] += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookings(left: &[u32], mode: Mode) -> Bookings {
        let one = |left: &u32| Reservation { name: String::new(), types: Vec::new(), zone: 0, left: *left };
        Bookings::new(&left.iter().map(one).collect::<Vec<_>>(), mode)
    }

    #[test]
    fn a_claim_books_all_that_it_could_use_and_gives_back_what_it_rules_out() {
        let mut bookings = bookings(&[1, 1], Mode::Strict);
        bookings.consider(0, [0, 1].into_iter()).unwrap();
        bookings.commit(0);
        assert_eq!((bookings.held(0), bookings.left.as_slice()), (&[0, 1][..], &[0, 0][..]));
        assert_eq!(bookings.consider(1, [1].into_iter()), Err(Booked));
        // Its own place is its own however often it is looked at.
        bookings.consider(0, [0].into_iter()).unwrap();
        bookings.commit(0);
        bookings.consider(1, [0, 1].into_iter()).unwrap();
        bookings.commit(1);
        assert_eq!((bookings.held(1), bookings.left.as_slice()), (&[1][..], &[0, 0][..]));
    }

    #[test]
    fn a_claim_with_places_does_not_leave_them_all_unless_it_may_fall_back() {
        for (mode, refuses) in [(Mode::Strict, true), (Mode::Fallback, false)] {
            let mut bookings = bookings(&[2], mode);
            bookings.consider(0, [0].into_iter()).unwrap();
            bookings.commit(0);
            assert_eq!(bookings.consider(0, [].into_iter()).is_err(), refuses, "{mode:?}");
            assert!(bookings.consider(1, [].into_iter()).is_ok(), "{mode:?}: it never had any");
        }
    }
}
