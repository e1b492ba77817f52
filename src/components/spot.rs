//! Pools of capacity, and what happens to a spot instance that is reclaimed.
//!
//! No replacement is launched ahead. The notice deletes the claim; the instance goes when the drain is done, two minutes
//! after the notice at the latest. Source: karpenter-provider-aws v1.14.1, `pkg/controllers/interruption`.

use super::capacity::CapacityPool;
use super::launch::{Mark, Offering, UNAVAILABLE_FOR};
use super::*;
use crate::scenario::region;

impl Run<'_> {
    fn pool_number(&self, offering: Offering) -> u32 {
        let zones = self.scenario.zones.len() as u32;
        (offering.instance_type.0 * zones + offering.zone) * 2 + u32::from(offering.spot)
    }
    fn offering_of(&self, number: u32) -> Offering {
        let zones = self.scenario.zones.len() as u32;
        let place = number / 2;
        Offering { instance_type: TypeId(place / zones), zone: place % zones, spot: number % 2 == 1 }
    }

    /// Of the scenario's zones in the same region.
    fn first_of_region(&self, zone: u32) -> u32 {
        let zones = &self.scenario.zones;
        let own = region(&zones[zone as usize]);
        zones.iter().position(|other| region(other) == own).expect("its own is one") as u32
    }

    fn capacity_pool(&mut self, offering: Offering) -> &mut CapacityPool {
        let number = self.pool_number(offering);
        let process = self.pool_number(Offering { zone: self.first_of_region(offering.zone), ..offering });
        let process = if offering.spot { process } else { number };
        let kind = self.scenario.catalogue.get(offering.instance_type);
        let tight = self.scenario.market == Market::Tight;
        let (model, chance, depths) = (&self.prepared.capacity, &self.chance, &self.scenario.pool_depth);
        let depth = if offering.spot { &depths.spot } else { &depths.on_demand };
        self.capacity_pools.entry(number).or_insert_with(|| {
            let pool = CapacityPool::at_start(model, kind, offering.spot, tight, (number, process), chance);
            match depth {
                Some(depth) => pool.with_depth(depth, depths.refill, chance),
                None => pool,
            }
        })
    }

    pub(super) fn has_capacity(&mut self, offering: Offering) -> bool {
        let (now, chance) = (self.now, self.chance);
        self.capacity_pool(offering).has_capacity(now, &chance)
    }
    pub(super) fn take_capacity(&mut self, offering: Offering) {
        self.capacity_pool(offering).take();
    }
    pub(super) fn give_back_capacity(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        let offering = Offering { instance_type: at.instance_type, zone: at.zone, spot: at.spot };
        self.capacity_pool(offering).give_back();
    }

    /// A spot instance runs: its own interruption, and the end of its pool's plenty, are appointed.
    pub(super) fn watch_spot(&mut self, node: u32, offering: Offering) {
        let horizon = SimTime::ZERO + self.scenario.horizon;
        let kind = self.scenario.catalogue.get(offering.instance_type);
        let uniform = self.chance.uniform(Component::SpotInterruption, node, 0);
        let tight = self.scenario.market == Market::Tight;
        let own = self.prepared.capacity.interruption(kind, tight, uniform, self.now);
        if own <= horizon {
            self.market_events += 1;
            self.at(own, Event::SpotInterrupted(node));
        }
        let chance = self.chance;
        let pool = self.capacity_pool(offering);
        let (until, reclaims) = (pool.until(), pool.ends_with_reclaim(&chance));
        let number = self.pool_number(offering);
        if until <= horizon && !self.watched_pools.contains_key(&number) {
            self.watched_pools.insert(number, reclaims);
            self.market_events += 1;
            self.at(until, Event::PoolTightens(number));
        }
    }

    /// The pool has no more to give. Where EC2 takes instances back, too, most of them are noticed within minutes.
    pub(super) fn pool_tightens(&mut self, number: u32) {
        self.market_events -= 1;
        let reclaims = self.watched_pools.remove(&number).expect("a pool that runs out was watched");
        let offering = self.offering_of(number);
        for node in 0..self.nodes.len() as u32 {
            let at = &self.nodes[node as usize];
            let of_pool = at.spot && at.instance_type == offering.instance_type && at.zone == offering.zone;
            if !(of_pool && at.lives() && !at.disrupted) {
                continue;
            }
            self.recommend_rebalance(node);
            let share = self.prepared.capacity.reclaim_share;
            if reclaims && self.chance.uniform(Component::SpotInterruption, node, 1) < share {
                let part = self.chance.uniform(Component::SpotInterruption, node, 2);
                let wait = self.prepared.capacity.reclaim_within.mul_f64(part);
                self.market_events += 1;
                self.at(self.now + wait, Event::SpotInterrupted(node));
            }
        }
    }

    /// EC2 says that the instance's risk has grown, which Karpenter notes as an event and does nothing about.
    ///
    /// It comes as the pool tightens, so that the notice follows within three minutes, if at all; of an
    /// instance whose pool is well it comes with the notice. Real leads are not published: "earlier or together".
    fn recommend_rebalance(&mut self, node: u32) {
        if std::mem::replace(&mut self.nodes[node as usize].rebalance_recommended, true) {
            return;
        }
        self.rebalance_recommendations += 1;
        self.trace(|| TraceLine::new("rebalance_recommended").node(node));
    }

    /// The notice, two minutes ahead.
    pub(super) fn spot_interrupted(&mut self, node: u32) {
        self.market_events -= 1;
        let at = &mut self.nodes[node as usize];
        if !at.lives() || at.stopped || at.noticed_at < SimTime::NEVER {
            return;
        }
        at.noticed_at = self.now;
        self.interruptions += 1;
        self.recommend_rebalance(node);
        let late = self.draw(Latency::SpotNotice, Component::SpotInterruption, node, 3);
        self.at(self.now + late, Event::NoticeReceived(node));
        self.at(self.now + self.prepared.capacity.notice_before, Event::InstanceReclaimed(node));
    }

    pub(super) fn notice_received(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        let offering = Offering { instance_type: at.instance_type, zone: at.zone, spot: true };
        let until = self.now + UNAVAILABLE_FOR;
        self.marks.insert(offering, Mark { until, quota: false });
        self.provisioning.offers_hold_until = self.now;
        self.delete_claim(node, Reason::Interrupted);
    }
}
