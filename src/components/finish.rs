//! How a run ends: is anything still moving, and what it came to.

use std::collections::BTreeSet;

use super::state::{Held, NONE, NodeStage, PodStage, Tie};
use super::*;
use crate::results::{BranchEniRecord, Outcome, ReservedRecord, SubnetRecord, WasteSplit};
use crate::scenario::{CniMode, DeploymentSpec};

/// How often a run is asked whether anything still moves.
const LOOK_EVERY: SimDuration = SimDuration::from_secs(10);

/// So many pods of the target, for the times to 50, 90, 99 and 100 %.
const SHARES: [u64; 4] = [50, 90, 99, 100];

/// Instants at which shares of the target were first Ready, and at which all were Running.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    ready: [Option<SimTime>; 4],
    running: Option<SimTime>,
}

/// What only grows or changes while a run gets on: as long as it does, nobody asks whether the run is stuck.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    claims: usize,
    launched: u32,
    assigned: u64,
    running: u32,
    ready: u32,
}

impl Run<'_> {
    fn target(&self) -> u64 {
        u64::from(self.scenario.target_pods)
    }

    /// One more pod counts as Running (or Ready).
    pub(super) fn mark_time(&mut self, running: bool) {
        let (now, target) = (self.now, self.target());
        if running {
            if u64::from(self.books.counted_running()) >= target {
                self.times.running.get_or_insert(now);
            }
            return;
        }
        let reached = self.reached();
        let ready = u64::from(self.books.counted_ready());
        for (slot, share) in self.times.ready.iter_mut().zip(SHARES) {
            if ready >= (target * share).div_ceil(100) {
                slot.get_or_insert(now);
            }
        }
        if self.reached() && !reached {
            self.at_target = Some((self.books.at_target(now), self.ledger.millis_until(now)));
        }
    }
    /// Has the run done all that it was asked for?
    pub(super) fn ends_at_target(&self) -> bool {
        self.reached() && self.scenario.until == Until::Target
    }
    pub(super) fn reached(&self) -> bool {
        self.times.ready[3].is_some()
    }

    pub(super) fn await_progress(&mut self) {
        self.at(self.now + LOOK_EVERY, Event::ProgressChecked);
    }
    pub(super) fn progress_checked(&mut self) {
        let progress = Progress {
            claims: self.nodes.len(),
            launched: self.nodes_launched,
            assigned: self.books.assigned,
            running: self.books.running_pods,
            ready: self.books.ready_pods,
        };
        let rests = std::mem::replace(&mut self.progress, progress) == progress;
        if self.stops_when_stuck && rests && self.is_stuck() {
            self.stuck = true;
        } else {
            self.await_progress();
        }
    }

    /// Can nothing that is pending bring another pod to Ready?
    ///
    /// True only if there are pods that are not Ready, or none while a Job has failed; if every such pod waits for an address
    /// that no call can bring, for slots of an instance that others' volumes have, for room that no node can give and no
    /// launch can make, for others to go that stay, or for a limit that nothing will lift; and if none may take another's place, no node gives addresses back, no instance goes,
    /// none is on its way to its first aws-node, which asks for the addresses that there are not, no pool of spot capacity
    /// changes and no quota is raised before the horizon.
    pub(super) fn is_stuck(&self) -> bool {
        let horizon = SimTime::ZERO + self.scenario.horizon;
        let ahead = |at: SimTime| at > self.now && at <= horizon;
        let raises = self.scenario.quotas.raises.iter().any(|(at, ..)| ahead(*at));
        let leaving = |node: &Node| node.lives() && (node.disrupted || node.noticed_at < SimTime::NEVER);
        let leaving = self.terminating > 0 || self.nodes.iter().any(leaving);
        let starts = |node: &Node| node.lives() && node.stage < NodeStage::CniReady && node.ipamd.is_none();
        let starting = self.nodes.iter().any(starts);
        // A node that is taken away may make room for addresses.
        let disrupts =
            self.disruption.on || self.scenario.node_pools.iter().any(|pool| pool.expire_after.is_some());
        let branches = self.pod_enis.as_ref().is_some_and(|enis| enis.going() > 0);
        let returns = self.others_may_return() || self.leaks.may_go() || self.restarts.go_on();
        let rolls = self.rollouts.as_ref().is_some_and(|rollouts| rollouts.any_under_way());
        let moving = self.market_events > 0
            || leaving
            || starting
            || disrupts
            || raises
            || branches
            || rolls
            || self.jobs_move()
            || returns;
        let unmade = self.replica_sets.iter().any(|set| !set.unmade.is_empty() || set.unnoticed > 0);
        let to_come = self.scenario.deployments.iter().flat_map(|d| &d.schedule).any(|(at, _)| ahead(*at));
        let horizon = SimTime::ZERO + self.scenario.horizon;
        let changes = self.scenario.deployments.iter().flat_map(|d| &d.rollouts.changes);
        let to_come = to_come || { changes }.any(|change| change.at > self.now && change.at <= horizon);
        // An autoscaler may still ask for more.
        let scales = self.autoscalers.iter().any(Option::is_some);
        if moving || unmade || to_come || scales || self.may_preempt() {
            return false;
        }
        let waiting = self.pods.iter().enumerate().filter(|(_, pod)| pod.cause.is_some());
        // A market that is short today is not proved short for ever: capacity is not asked after.
        let mut served = None;
        let mut hopeless = |(index, pod): (usize, &Pod)| match pod.stage {
            PodStage::Pending => !*served.get_or_insert_with(|| self.may_be_served(true)),
            PodStage::Bound => {
                let without = self.nodes[pod.node as usize].without_address.contains(&(index as u32));
                (without && !self.may_gain_addresses(pod.node)) || self.lacks_volume_slots(index as u32)
            }
            _ => false,
        };
        let mut any = false;
        let all = waiting.inspect(|_| any = true).all(&mut hopeless);
        if !any {
            // Nobody makes the pods that a failed Job lacks.
            return self.jobs_lack_for_good();
        }
        all && (self.scenario.cni.mode != CniMode::Vpc || !self.may_free_addresses())
    }

    /// May a pod that waits for a node get one: that is there, on its way, or still to be launched? Without `addresses` it does
    /// not matter whether it would find an address there.
    fn may_be_served(&self, addresses: bool) -> bool {
        self.nodes_that_may_serve(addresses) || self.may_launch(addresses)
    }
    /// Is a node there, or on its way, on which a pod more could run?
    fn nodes_that_may_serve(&self, addresses: bool) -> bool {
        let addresses = addresses && self.scenario.cni.mode == CniMode::Vpc;
        (0..self.nodes.len() as u32).any(|index| {
            let (node, room) = (&self.nodes[index as usize], self.room_for_karpenter(index));
            let fits = self.scenario.deployments.iter().zip(0..).any(|(deployment, number)| {
                deployment.requests.fits(&room)
                    && !self.exceeds_volumes(index, number)
                    && self.may_come_to_take(index, number)
                    && !self.is_shut(index, number)
            });
            let open = node.lives() && !node.disrupted;
            open && fits && (!addresses || self.may_gain_addresses(index))
        })
    }
    /// Could Karpenter ever launch another instance? Not where no subnet has an address, where others keep pods off, or where
    /// limits that nothing lifts bind.
    fn may_launch(&self, addresses: bool) -> bool {
        let prepared = self.prepared;
        let limits = self.limits_left();
        let waits = |pod: &&Pod| pod.stage == PodStage::Pending;
        let pending: BTreeSet<u32> = self.pods.iter().filter(waits).map(|pod| pod.deployment).collect();
        prepared.pools.iter().enumerate().any(|(index, pool)| {
            let offers = &self.provisioner.offers;
            let template = offers.set(self.provisioner.template(index as u32));
            // An instance that finds no address for pods helps nobody, even where it finds one for itself.
            let subnets = |instance_type: TypeId, deployment: u32| {
                let settings = self.prepared.ipamd[instance_type.index()].as_ref();
                let vpc = self.scenario.cni.mode == CniMode::Vpc;
                let prefixes = vpc && settings.is_some_and(|settings| settings.prefix_delegation);
                let books = self.subnets.iter().zip(&self.scenario.subnets);
                let has = |book: &Subnet| book.free() > 0 && (!prefixes || book.free_blocks() > Some(0));
                books
                    .filter(|(_, spec)| pool.zones.contains(&spec.zone))
                    .filter(|(_, spec)| !self.is_zone_shut(spec.zone, deployment))
                    .any(|(book, _)| !addresses || has(book))
            };
            let left = |allowed, spot| match allowed {
                true => self.vcpu_quota(spot).saturating_sub(self.vcpus[usize::from(spot)]),
                false => 0,
            };
            let left_vcpus = left(pool.allows_on_demand, false).max(left(pool.allows_spot, true));
            let reach = prepared.within_reach.as_ref().map(|pools| &pools[index]);
            pending.iter().any(|deployment| {
                let requests = self.scenario.deployments[*deployment as usize].requests;
                template.compatible.iter().any(|place| {
                    let (offered, sold) = (&offers.types[place], prepared.sold[place]);
                    offers.needs(template, place, requests).fits(&offered.allocatable)
                        && reach.is_none_or(|reach| reach[*deployment as usize].has(place))
                        && (sold.vcpus <= left_vcpus || self.may_be_reserved(template, place))
                        && subnets(sold.id, *deployment)
                        && limits[index].admit(offered.capacity)
                        && limits[index].nodes != Some(0)
                })
            })
        })
    }

    /// What most pods wait for; where nothing can help any more, what they will wait for in the end.
    fn main_cause(&self) -> Option<Cause> {
        let lasting = [
            Cause::NoInstanceType,
            Cause::PoolLimit,
            Cause::Quota,
            Cause::VolumeAttach,
            Cause::AddressNodeFull,
        ];
        let count = |cause: &Cause| self.ledger.pods(*cause);
        let most_of = |causes: &[Cause]| {
            let most = causes.iter().copied().max_by_key(|cause| (count(cause), std::cmp::Reverse(*cause)));
            most.filter(|cause| count(cause) > 0)
        };
        let most = most_of(&lasting);
        let waiting: u32 = Cause::ALL.iter().map(count).sum();
        // Where only a failed Job is short of the target, no pod waits.
        if !self.stuck || waiting == 0 {
            return most_of(&Cause::ALL);
        }
        let named = most.filter(|cause| count(cause) * 2 > waiting);
        let dry = || self.lacks_addresses().then_some(Cause::AddressSubnetDry);
        // Else kube-scheduler refuses the nodes that Karpenter counts on.
        named.or_else(dry).or(most).or(Some(Cause::NoInstanceType))
    }

    /// Would addresses help a pod that waits?
    fn lacks_addresses(&self) -> bool {
        let without = |pod: &Pod| {
            pod.stage >= PodStage::Bound && pod.cause.is_some_and(|cause| cause != Cause::VolumeAttach)
        };
        self.pods.iter().any(without) || self.may_be_served(false)
    }

    /// Deployments and Jobs; a Deployment's later templates are not by themselves.
    fn owners(&self) -> impl Iterator<Item = (&DeploymentSpec, u32)> {
        let all = self.scenario.deployments.iter().zip(0..);
        all.filter(|(_, number)| self.owner(*number) == *number)
    }
    /// Pods that they want now.
    pub(super) fn wanted(&self) -> u32 {
        let each = |(spec, number): (&DeploymentSpec, u32)| match &spec.job {
            Some(job) => job.completions,
            None => self.replicas_of(number),
        };
        self.owners().map(each).sum()
    }
    /// Deployments with an autoscaler, and the replicas that it has come to.
    pub(super) fn autoscaled(&self) -> Vec<(String, u32)> {
        let scaled = self.owners().filter(|(spec, _)| spec.autoscaler.is_some());
        scaled.map(|(spec, number)| (spec.name.clone(), self.replicas_of(number))).collect()
    }

    /// Karpenter's nodes by type and capacity type.
    pub(super) fn launched_by_kind(&self) -> Vec<(String, &'static str, u32)> {
        let mut counts = std::collections::BTreeMap::new();
        let launched = |node: &&Node| !node.is_static() && node.launched < SimTime::NEVER;
        for node in self.nodes.iter().filter(launched) {
            *counts.entry((node.instance_type, node.capacity_type())).or_insert(0u32) += 1;
        }
        let named = counts
            .into_iter()
            .map(|((id, kind), count)| (self.scenario.catalogue.get(id).name.clone(), kind.name(), count));
        let mut launched: Vec<(String, &'static str, u32)> = named.collect();
        launched.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
        launched
    }

    pub(super) fn record(mut self, replication: u32) -> ReplicationRecord {
        let (end, horizon) = (self.now, self.scenario.horizon);
        let reached = self.reached();
        let outcome = match (reached, self.stuck) {
            (true, _) => Outcome::Reached,
            (false, true) => Outcome::Stuck,
            (false, false) => Outcome::Horizon,
        };
        let reason = if reached { None } else { self.main_cause() };
        let millis = |at: Option<SimTime>| at.map(SimTime::millis);
        let mut by_type = std::collections::BTreeMap::new();
        let launched = |node: &&Node| !node.is_static() && node.launched < SimTime::NEVER;
        for node in self.nodes.iter().filter(launched) {
            *by_type.entry(node.instance_type).or_insert(0u32) += 1;
        }
        let name = |(id, count): (TypeId, u32)| (self.scenario.catalogue.get(id).name.clone(), count);
        let subnet = |(book, dry): (&Subnet, &Option<SimTime>)| SubnetRecord {
            first_dry_ms: millis(*dry),
            least_free: book.least_free(),
            free_at_end: book.free(),
            free_blocks_at_end: book.free_blocks(),
            least_free_blocks: book.least_free_blocks(),
        };
        let claims = self.claim_record();
        let servers = self.api_server.as_ref().zip(self.scenario.api_server.as_ref());
        let api_server = servers.map(|(server, spec)| server.record(spec.agents, end));
        let priorities = self.scenario.has_priorities();
        let cpu = self.cpu_record();
        let jobs = self.job_record();
        let cause_pod_ms = self.at_target.map_or_else(|| self.ledger.millis_until(end), |(_, millis)| millis);
        let (enis_leaked, leaked_addresses) = self.leaked_at_end();
        let (waste_at_end, address_wait_p95_ms) =
            (self.waste_split(leaked_addresses), self.address_wait_p95(end));
        let replacement_p95_ms = self.replacement_p95(end);
        let (pods_ready_at_end, nodes) = (self.books.counted_ready(), self.books.nodes);
        let cost_per_hour_micro_usd = self.books.bill.rate();
        let closed = self.books.close(end, horizon, self.at_target.map(|(books, _)| books));
        ReplicationRecord {
            replication,
            outcome,
            reason,
            time_to_target_ms: millis(self.times.ready[3]),
            time_to_target_running_ms: millis(self.times.running),
            time_to_50pct_ms: millis(self.times.ready[0]),
            time_to_90pct_ms: millis(self.times.ready[1]),
            time_to_99pct_ms: millis(self.times.ready[2]),
            observed_ms: millis(self.times.ready[3]).unwrap_or(horizon.millis()),
            ended_ms: end.millis(),
            pods_ready_at_end,
            nodes,
            nodes_launched: self.nodes_launched,
            books: closed.books,
            subnets: self.subnets.iter().zip(&self.first_dry).map(subnet).collect(),
            nodes_by_type: by_type.into_iter().map(name).collect(),
            cost_to_target_micro_usd: closed.cost_to_target_micro_usd,
            cost_to_horizon_micro_usd: closed.cost_to_horizon_micro_usd,
            cost_per_hour_micro_usd,
            api_counts: self.api_counts,
            reserved: (!self.reservations.is_empty()).then_some(ReservedRecord {
                nodes: self.nodes_reserved,
                full: self.reservation_errors,
                unused_to_target_micro_usd: closed.unused_micro_usd[0],
                unused_to_horizon_micro_usd: closed.unused_micro_usd[1],
            }),
            enis_created: self.enis_created,
            enis_deleted: self.enis_deleted,
            enis_leaked,
            enis_cleaned: self.leaks.cleaned,
            branch_enis: self
                .pod_enis
                .as_ref()
                .map(|enis| BranchEniRecord { created: enis.created, deleted: enis.deleted }),
            waste_at_end,
            address_wait_p95_ms,
            sandbox_failures: self.sandbox_failures.iter().sum(),
            sandbox_failures_by_lack: self.sandbox_failures,
            capacity_errors: self.capacity_errors,
            api_server,
            interruptions: self.interruptions,
            rebalance_recommendations: self.rebalance_recommendations,
            claims,
            nodes_removed: self.nodes_removed,
            pods_evicted: self.pods_evicted,
            preemptions: priorities.then_some(self.preemptions),
            pods_preempted: priorities.then_some(self.pods_preempted),
            pods_lost: self.pods_lost,
            replacement_p95_ms,
            scheduling_rounds: self.rounds,
            cause_pod_ms,
            cpu,
            kubelet: self.images.as_ref().map(|images| images.record()),
            memory: self.memory.as_ref().map(|memory| memory.counts),
            jobs,
            rollout_ms: self.rollouts.as_ref().and_then(|rollouts| rollouts.longest_ms()),
            events: self.events,
            trace_hash: self.hash,
            timeline: closed.timeline,
        }
    }

    /// What the waste at the end is made of.
    fn waste_split(&self, leaked: u64) -> WasteSplit {
        let mut split = WasteSplit { leaked, ..WasteSplit::default() };
        for node in self.nodes.iter().filter(|node| node.lives()) {
            let in_hand = node.ipamd.as_ref().and_then(|ipamd| ipamd.in_hand());
            let lost = |held: &&Held| held.tie == Tie::None && in_hand != Some(held.eni);
            let own = node.held.iter().filter(|held| !held.unmanaged && !lost(held)).count();
            split.eni_primaries += own.saturating_sub(1) as u64;
            let Some(ipamd) = &node.ipamd else { continue };
            let counts = ipamd.pool().counts(self.now);
            let size = counts.total / counts.cidrs.max(1);
            let in_use = u64::from((counts.cidrs - counts.free_cidrs) * size);
            let cooling = u64::from(counts.cooling);
            split.cooling += cooling;
            split.prefix_remainder += in_use.saturating_sub(u64::from(counts.assigned) + cooling);
        }
        split.cooling += self.pod_enis.as_ref().map_or(0, |enis| enis.going());
        let told = split.eni_primaries + split.cooling + split.prefix_remainder + split.leaked;
        split.warm = self.books.waste().saturating_sub(told);
        split
    }

    /// The 95th percentile of the time pods waited for an address, over all that asked for one; those that still wait
    /// count until the end. `None`: none asked.
    fn address_wait_p95(&self, end: SimTime) -> Option<u64> {
        let mut waits = self.address_waits_ms.clone();
        let still =
            self.pods.iter().filter(|pod| pod.stage == PodStage::Bound && pod.lacks_since < SimTime::NEVER);
        waits.extend(still.map(|pod| end.since(pod.lacks_since).millis()));
        waits.sort_unstable();
        let rank = (self.asked_for_address * 95).div_ceil(100).checked_sub(1)?;
        let at_once = self.asked_for_address.saturating_sub(waits.len() as u64);
        Some(rank.checked_sub(at_once).map_or(0, |place| waits[place as usize]))
    }

    /// The 95th percentile of the time from an interruption's notice until the pod that came in another's place was Ready;
    /// those that are not yet count until the end. `None`: nothing was taken.
    fn replacement_p95(&self, end: SimTime) -> Option<u64> {
        let mut waits = self.replacements_ms.clone();
        let still =
            self.pods.iter().filter(|pod| pod.replaces_since < SimTime::NEVER && pod.stage < PodStage::Ready);
        waits.extend(still.map(|pod| end.since(pod.replaces_since).millis()));
        waits.sort_unstable();
        let rank = (waits.len() * 95).div_ceil(100).checked_sub(1)?;
        Some(waits[rank])
    }

    /// Do the books balance?
    ///
    /// # Panics
    /// If not, with the numbers.
    pub(super) fn check_books(&self) {
        let mut attached = 0u64;
        let mut by_subnet = vec![0u64; self.subnets.len()];
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.held.is_empty()) {
            let vpc = self.scenario.cni.mode == CniMode::Vpc;
            let size = if vpc && self.settings(index as u32).prefix_delegation { 16 } else { 1 };
            for held in &node.held {
                let count = 1 + u64::from(held.count) * size;
                attached += count;
                by_subnet[held.subnet] += count;
            }
        }
        let in_use = self.pod_enis.as_ref().map_or(0, |enis| enis.count(&mut attached, &mut by_subnet));
        assert_eq!(attached, self.books.attached, "addresses on ENIs at {}", self.now);
        let loose = self.nodes.iter().flat_map(|node| &node.held).filter(|held| held.tie == Tie::None);
        assert_eq!(loose.count() as u32, self.leaks.unattached(), "ENIs on no instance at {}", self.now);
        for (at, subnet) in self.subnets.iter().enumerate() {
            let spec = &self.scenario.subnets[at];
            let size = u64::from(spec.size()) - 5;
            let others = u64::from(self.held_by_others[at]);
            let held = by_subnet[at] + others + u64::from(subnet.free());
            assert_eq!(held, size, "{}: addresses held, used by others and free, at {}", spec.name, self.now);
        }
        let assigned: u64 = self
            .nodes
            .iter()
            .filter_map(|node| node.ipamd.as_ref())
            .map(|ipamd| u64::from(ipamd.pool().assigned()))
            .sum();
        assert_eq!(assigned + in_use, self.books.assigned, "addresses assigned at {}", self.now);
        let stage =
            |stages: &[PodStage]| self.pods.iter().filter(|pod| stages.contains(&pod.stage)).count() as u32;
        assert_eq!(stage(&[PodStage::Ready]), self.books.ready_pods, "pods Ready at {}", self.now);
        assert_eq!(stage(&[PodStage::Running, PodStage::Ready]), self.books.running_pods, "at {}", self.now);
        self.check_surplus();
        for (index, pod) in self.pods.iter().enumerate() {
            let waits = pod.stage < PodStage::Ready && pod.cause.is_none();
            assert!(!waits, "pod {index} is {:?} and waits for nothing at {}", pod.stage, self.now);
            if pod.stage == PodStage::Pending {
                let cause = Some(self.pending_cause(index as u32));
                assert_eq!(pod.cause, cause, "what pod {index} waits for at {}", self.now);
            }
            if pod.nominated != NONE {
                let known = self.nodes[pod.nominated as usize].nominated.contains(&(index as u32));
                assert!(known, "pod {index} is nominated for {} which does not know", pod.nominated);
            }
        }
        let paid = self.nodes.iter().filter(|node| node.lives() && !node.stopped);
        let rate: u64 = paid.map(|node| node.price_micro_usd).sum();
        assert_eq!(rate, self.books.bill.rate(), "micro-USD an hour at {}", self.now);
        self.check_unused();
        for (index, set) in self.replica_sets.iter().enumerate() {
            let of = |pod: &&Pod| pod.deployment == index as u32 && pod.stage < PodStage::Terminating;
            let active = self.pods.iter().filter(of).count() as u32;
            assert_eq!(active, set.active, "pods of Deployment {index} at {}", self.now);
        }
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.lives()) {
            let daemons = self.daemon_requests(index as u32);
            let sum = node.pods.iter().fold(daemons, |sum, pod| sum + self.requests(*pod));
            assert_eq!(sum, node.requested, "requests of the pods on node {index} at {}", self.now);
        }
        self.check_cpu();
        self.check_memory();
        self.check_seen();
    }
}
