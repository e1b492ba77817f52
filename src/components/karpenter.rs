//! Karpenter: the batch window, first fit onto claims under way, and the launch of each claim.

use super::*;

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

    /// First fit, largest pods first, onto claims under way whose type lists only narrow, else a new claim.
    fn solve(&mut self) {
        self.rounds += 1;
        let scenario = self.scenario;
        let mut waiting: Vec<u32> =
            self.unschedulable.iter().copied().filter(|pod| !self.pods[*pod as usize].nominated).collect();
        let key = |pod: &u32| {
            let requests = scenario.deployments[self.pods[*pod as usize].deployment as usize].requests;
            (std::cmp::Reverse(requests.cpu_millis), std::cmp::Reverse(requests.memory_bytes), *pod)
        };
        waiting.sort_by_key(key);
        let solved_pods = waiting.len();
        for pod in waiting {
            let requests = self.requests(pod);
            let open = self.solved.clone();
            let placed = open.into_iter().find(|node| self.narrow(*node, requests));
            let placed = placed.or_else(|| self.open_claim(requests));
            self.pods[pod as usize].nominated = placed.is_some();
            self.pods[pod as usize].node = placed;
        }
        self.solving = true;
        let takes = SimDuration::from_secs_f64(SOLVE_S_PER_POD * solved_pods as f64);
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

    fn open_claim(&mut self, requests: Resources) -> Option<u32> {
        let prepared = self.prepared;
        let (index, pool) = prepared.pools.iter().enumerate().find(|(_, pool)| {
            !pool.zones.is_empty() && pool.offered.iter().any(|offered| requests.fits(&offered.room))
        })?;
        let types =
            pool.offered.iter().filter(|offered| requests.fits(&offered.room)).map(|offered| offered.id);
        let node = self.nodes.len() as u32;
        self.nodes.push(Node {
            types: types.collect(),
            pool: index as u32,
            zone: 0,
            price_micro_usd: 0,
            allocatable: Resources::ZERO,
            requested: requests,
            launched: None,
            usable: false,
            static_node: false,
            ipamd: None,
            held: Vec::new(),
            next_eni: 1,
            next_cidr: 0,
            draws: 0,
            image_free_at: SimTime::ZERO,
        });
        self.solved.push(node);
        Some(node)
    }

    pub(super) fn claims_exist(&mut self) {
        self.solving = false;
        for node in std::mem::take(&mut self.solved) {
            self.launching += 1;
            let wait = self.draw(Latency::ClaimToLaunch, Component::Karpenter, node, 0);
            self.at(self.now + wait, Event::Launch(node));
        }
    }

    /// One CreateFleet a claim; throttled ones come again a second later.
    pub(super) fn launch(&mut self, node: u32) {
        self.ec2_calls += 1;
        if !(self.fleet_bucket.try_take(1, self.now) && self.instance_bucket.try_take(1, self.now)) {
            self.ec2_throttles += 1;
            self.at(self.now + SimDuration::from_secs(1), Event::Launch(node));
            return;
        }
        let spot = self.prepared.pools[self.nodes[node as usize].pool as usize].spot;
        let latency = if spot { Latency::CreateFleetSpot } else { Latency::CreateFleetOnDemand };
        let takes = self.draw(latency, Component::CreateFleet, node, 0);
        self.at(self.now + takes, Event::FleetAnswers(node));
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
            for pod in self.unschedulable.clone() {
                self.pods[pod as usize].nominated = false;
            }
            self.trigger_batch(self.now + SimDuration::from_secs(180));
            return;
        }
        self.nodes[node as usize].launched = Some(self.now);
        self.boot(node, pool.family);
    }
}
