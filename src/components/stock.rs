//! What a pool of EC2 capacity has left: it empties as instances are bought and refills with time.

use crate::chance::Distribution;
use crate::units::{SimDuration, SimTime};

/// Instances of one pool. Others buy and return too: that is the refill.
#[derive(Clone, Debug)]
pub(super) struct Stock {
    law: Distribution,
    refill: SimDuration,
    depth: f64,
    left: f64,
    at: SimTime,
}

impl Stock {
    /// To be filled before it is asked.
    pub fn new(law: Distribution, refill: SimDuration) -> Stock {
        Stock { law, refill, depth: 0.0, left: 0.0, at: SimTime::ZERO }
    }

    /// An episode of capacity begins: as many instances as the law gives, one at least.
    pub fn fill(&mut self, now: SimTime, uniform: f64) {
        self.depth = self.law.quantile(uniform).max(1.0).floor();
        (self.left, self.at) = (self.depth, now);
    }

    pub fn has_one(&mut self, now: SimTime) -> bool {
        let gained = self.depth * (now.since(self.at).secs_f64() / self.refill.secs_f64());
        (self.left, self.at) = ((self.left + gained).min(self.depth), now);
        self.left >= 1.0
    }
    pub fn take(&mut self) {
        self.left -= 1.0;
    }
    pub fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.depth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instances had at an instant when all that there are are taken.
    fn buy(stock: &mut Stock, now: SimTime) -> u32 {
        let mut bought = 0;
        while stock.has_one(now) {
            stock.take();
            bought += 1;
        }
        bought
    }

    #[test]
    fn it_empties_and_refills_evenly_up_to_its_depth() {
        let mut stock = Stock::new(Distribution::Constant(10.0), SimDuration::from_secs(100));
        stock.fill(SimTime::ZERO, 0.5);
        assert_eq!(buy(&mut stock, SimTime::ZERO), 10);
        assert_eq!(buy(&mut stock, SimTime::from_secs(35)), 3);
        assert_eq!(buy(&mut stock, SimTime::from_secs(1_000)), 10);
        stock.give_back();
        assert_eq!(buy(&mut stock, SimTime::from_secs(1_000)), 1);
    }
}
