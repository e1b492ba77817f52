//! Other users of the subnets: load balancers, another cluster, whatever takes addresses and perhaps gives them back.

use super::*;

/// Addresses that another user holds.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    subnet: usize,
    count: u32,
    /// Which they are, where the subnet places its addresses.
    offsets: Vec<u32>,
}

impl Run<'_> {
    pub(super) fn schedule_others(&mut self) {
        for (subnet, spec) in self.scenario.subnets.iter().enumerate() {
            for (user, other) in spec.others.iter().enumerate() {
                self.at(other.at, Event::OtherUserTakes { subnet: subnet as u32, user: user as u32 });
            }
        }
    }

    /// Takes its addresses, or as many as there are.
    pub(super) fn other_user_takes(&mut self, subnet: u32, user: u32) {
        let other = self.scenario.subnets[subnet as usize].others[user as usize];
        let book = &mut self.subnets[subnet as usize];
        let count = other.addresses.min(book.free_singles());
        self.watch.note(book.free() - count, count < other.addresses);
        let (chance, mut draw) = (self.chance, 0);
        let lot = self.lots.len() as u32;
        let mut below = |bound| {
            draw += 1;
            chance.below(Component::OtherUser, lot, draw, bound)
        };
        let mut offsets = Vec::new();
        book.take_singles(count, &mut offsets, &mut below).expect("no more is taken than there is");
        self.books.free -= u64::from(count);
        self.held_by_others[subnet as usize] += count;
        self.lots.push(Lot { subnet: subnet as usize, count, offsets });
        if let Some(lasts) = other.lasts {
            self.lots_to_come_back += 1;
            self.at(self.now + lasts, Event::OtherUserReturns(lot));
        }
        if let Some(every) = other.every {
            self.at(self.now + every, Event::OtherUserTakes { subnet, user });
        }
    }

    pub(super) fn other_user_returns(&mut self, lot: u32) {
        let Lot { subnet, count, offsets } = self.lots[lot as usize].clone();
        self.lots_to_come_back -= 1;
        self.subnets[subnet].return_singles(count, &offsets);
        self.books.free += u64::from(count);
        self.held_by_others[subnet] -= count;
    }

    /// May another user still give addresses back?
    pub(super) fn others_may_return(&self) -> bool {
        let again = |other: &crate::scenario::OtherUser| {
            other.lasts.is_some() && (other.every.is_some() || other.at > self.now)
        };
        self.lots_to_come_back > 0
            || self.scenario.subnets.iter().flat_map(|subnet| &subnet.others).any(again)
    }
}
