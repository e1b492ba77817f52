//! Karpenter: the batch window, first fit onto claims under way, and the launch of each claim.

use super::*;

/// karpenter-provider-aws v1.14.1, `pkg/batcher/createfleet.go`.
const FLEET_BATCH_IDLE: SimDuration = SimDuration::from_millis(35);
const FLEET_BATCH_MAX: SimDuration = SimDuration::from_secs(1);
const FLEET_BATCH_MOST: usize = 1_000;

/// What a solve takes for each pod (s); see LIMITATIONS.
const SOLVE_S_PER_POD: f64 = 1e-4;

impl Run<'_> {
    /// A pod was marked unschedulable: the window opens, or its idle time begins anew.
    pub(super) fn trigger_batch(&mut self, at: SimTime) {
        self.batch_opened.get_or_insert(at);
        self.batch_last = self.batch_last.max(at);
        if self.window.is_none() {
            let closes = self.window_end();
            self.window = Some(self.at(closes, Event::WindowCloses));
        }
    }

    fn window_end(&self) -> SimTime {
        let settings = &self.scenario.karpenter;
        let opened = self.batch_opened.expect("a window is open");
        (self.batch_last + settings.batch_idle).min(opened + settings.batch_max)
    }

    pub(super) fn window_closes(&mut self) {
        self.window = None;
        if self.batch_opened.is_none() {
            return;
        }
        let end = self.window_end();
        // Nothing is solved while claims are still being launched.
        if end > self.now || self.solving || self.launching > 0 {
            let again = end.max(self.now + SimDuration::from_secs(1));
            self.window = Some(self.at(if end > self.now { end } else { again }, Event::WindowCloses));
            return;
        }
        self.batch_opened = None;
        self.solve();
    }

    /// First fit, largest pods first: onto nodes and launched claims with room, then onto this round's
    /// claims, whose type lists only narrow, else a new claim. All pods that wait are looked at each time.
    fn solve(&mut self) {
        self.rounds += 1;
        let mut waiting = self.unschedulable.clone();
        let key = |pod: &u32| {
            let requests = self.requests(*pod);
            (std::cmp::Reverse(requests.cpu_millis), std::cmp::Reverse(requests.memory_bytes), *pod)
        };
        waiting.sort_by_key(key);
        let bindable = |node: &&Node| node.launched.is_some() || (node.static_node && node.usable);
        let mut rooms: Vec<Resources> =
            self.nodes.iter().filter(bindable).map(|node| node.allocatable - node.requested).collect();
        let (mut last, mut from) = (Resources::ZERO, 0);
        for pod in &waiting {
            let requests = self.requests(*pod);
            // Rooms only shrink: where an equal pod found none, this one finds none.
            from = if requests == last { from } else { 0 };
            last = requests;
            while from < rooms.len() && !requests.fits(&rooms[from]) {
                from += 1;
            }
            if let Some(room) = rooms.get_mut(from) {
                *room = *room - requests;
                continue;
            }
            let open = self.solved.clone();
            if !open.into_iter().any(|node| self.narrow(node, requests)) {
                self.open_claim(requests);
            }
        }
        self.solving = true;
        let takes = SimDuration::from_secs_f64(SOLVE_S_PER_POD * waiting.len() as f64);
        self.at(self.now + takes, Event::Solved);
    }

    /// Adds a pod to a claim of this round if some type still holds all of it.
    fn narrow(&mut self, node: u32, requests: Resources) -> bool {
        let prepared = self.prepared;
        let claim = &mut self.nodes[node as usize];
        let after = claim.requested + requests;
        let pool = &prepared.pools[claim.pool as usize];
        let fits = |id: &TypeId| pool.room[id.index()].is_some_and(|room| after.fits(&room));
        let left: Vec<TypeId> = claim.types.iter().copied().filter(fits).collect();
        if left.is_empty() {
            return false;
        }
        claim.types = left;
        claim.requested = after;
        true
    }

    /// A new claim of the first pool that can hold the pod; none if no pool can.
    fn open_claim(&mut self, requests: Resources) {
        let prepared = self.prepared;
        let found = prepared.pools.iter().enumerate().find(|(_, pool)| {
            !pool.zones.is_empty() && pool.offered.iter().any(|offered| requests.fits(&offered.room))
        });
        let Some((index, pool)) = found else { return };
        let types =
            pool.offered.iter().filter(|offered| requests.fits(&offered.room)).map(|offered| offered.id);
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { pool: index as u32, requested: requests, ..Node::new(types.collect()) });
        self.solved.push(node);
    }

    pub(super) fn claims_exist(&mut self) {
        self.solving = false;
        for node in std::mem::take(&mut self.solved) {
            self.launching += 1;
            let wait = self.draw(Latency::ClaimToLaunch, Component::Karpenter, node, 0);
            self.at(self.now + wait, Event::Launch(node));
        }
    }

    /// The claim's CreateFleet waits for others that ask for the very same.
    pub(super) fn launch(&mut self, node: u32) {
        let claim = &self.nodes[node as usize];
        let alike = |batch: &&mut FleetBatch| {
            let first = &self.nodes[batch.claims[0] as usize];
            batch.sent.is_none()
                && batch.claims.len() < FLEET_BATCH_MOST
                && first.pool == claim.pool
                && first.types == claim.types
        };
        let (now, open) = (self.now, self.fleets.iter_mut().find(alike));
        if let Some(batch) = open {
            batch.claims.push(node);
            batch.last = now;
            return;
        }
        let batch = self.fleets.len() as u32;
        self.fleets.push(FleetBatch { claims: vec![node], opened: now, last: now, sent: None });
        self.at(now + FLEET_BATCH_IDLE, Event::FleetBatch(batch));
    }

    /// One CreateFleet for the whole batch; throttled, it comes again a second later.
    pub(super) fn fleet_batch(&mut self, index: u32) {
        let batch = &mut self.fleets[index as usize];
        let closes = (batch.last + FLEET_BATCH_IDLE).min(batch.opened + FLEET_BATCH_MAX);
        if closes > self.now {
            self.at(closes, Event::FleetBatch(index));
            return;
        }
        batch.sent = Some(self.now);
        let (first, count) = (batch.claims[0], batch.claims.len() as u32);
        self.ec2_calls += 1;
        if !(self.fleet_bucket.try_take(1, self.now) && self.instance_bucket.try_take(count, self.now)) {
            self.ec2_throttles += 1;
            self.at(self.now + SimDuration::from_secs(1), Event::FleetBatch(index));
            return;
        }
        let spot = self.prepared.pools[self.nodes[first as usize].pool as usize].spot;
        let latency = if spot { Latency::CreateFleetSpot } else { Latency::CreateFleetOnDemand };
        let takes = self.draw(latency, Component::CreateFleet, first, 0);
        for claim in self.fleets[index as usize].claims.clone() {
            self.at(self.now + takes, Event::FleetAnswers(claim));
        }
    }

    /// The cheapest type of the list; among zones of equal price by chance.
    pub(super) fn fleet_answers(&mut self, node: u32) {
        self.launching -= 1;
        let prepared = self.prepared;
        let claim = &self.nodes[node as usize];
        let pool = &prepared.pools[claim.pool as usize];
        let cheapest = pool.offered.iter().find(|offered| claim.types.contains(&offered.id));
        let cheapest = cheapest.expect("a claim keeps at least one type");
        let pick = match self.scenario.zone_tie {
            crate::scenario::ZoneTie::First => 0,
            crate::scenario::ZoneTie::Uniform => {
                self.chance.below(Component::ZoneTie, node, 0, pool.zones.len() as u64) as usize
            }
        };
        let zone = pool.zones[pick];
        let claim = &mut self.nodes[node as usize];
        claim.types = vec![cheapest.id];
        claim.zone = zone;
        claim.price_micro_usd = cheapest.price_micro_usd;
        claim.allocatable = cheapest.room + prepared.daemons;
        claim.requested = prepared.daemons;
        if !self.attach_primary(node) {
            // No address for the instance itself: the claim goes, its pods wait for the next round.
            self.nodes[node as usize].types.clear();
            self.trigger_batch(self.now + SimDuration::from_secs(180));
            return;
        }
        self.nodes[node as usize].launched = Some(self.now);
        self.boot(node, pool.family);
    }
}
