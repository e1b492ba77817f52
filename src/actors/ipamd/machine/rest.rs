//! When a loop that finds nothing to do will find something: what lets a simulator leave idle ticks out.

use super::super::pool::Eni;
use super::*;

/// One turn of the loop where nothing takes time.
const LOOP: SimDuration = SimDuration::from_millis(5_000);

impl Ipamd {
    /// After a step that ended at `step`: when the next one is that can do anything, as long as no pod comes or
    /// goes; [`SimTime::NEVER`] if none is. `None` where the machine is not between step and reconcile.
    pub fn idle_until(&self, settings: &Settings, step: SimTime) -> Option<SimTime> {
        if self.stage != Stage::BeforeReconcile {
            return None;
        }
        if self.would_act(settings, step + LOOP) {
            return Some(step + LOOP);
        }
        let nano = SimDuration::from_nanos(1);
        let ages = self.pool.enis.iter().skip(1).map(|eni| eni.joined + free::MIN_ENI_LIFETIME);
        let pause = self.last_insufficient.map(|at| at + INSUFFICIENT_PAUSE + nano);
        let rested = self.last_decrease.map(|at| at + DECREASE_INTERVAL + nano);
        let change = ages.chain(pause).chain(rested).filter(|at| *at > step).min();
        Some(change.map_or(SimTime::NEVER, |change| Ipamd::step_not_before(step, change)))
    }

    /// Could a step at `at` do anything with the pool as it is now?
    pub fn would_act(&self, settings: &Settings, at: SimTime) -> bool {
        let counts = self.pool.counts(at);
        let growth = targets::too_low(settings, &counts) && self.paused_until(at).is_none();
        (growth && !self.cordoned)
            || counts.cooling > 0
            || targets::too_high(settings, &counts)
            || (!self.cordoned
                && free::gate_open(settings, &self.pool, counts.available())
                && free::some_will_go(settings, &self.pool))
    }

    /// The first step at `at` or later of a loop that stepped at `step` and idles.
    pub fn step_not_before(step: SimTime, at: SimTime) -> SimTime {
        let turns = at.saturating_since(step).nanos().div_ceil(LOOP.nanos());
        step + LOOP * turns.max(1)
    }

    /// Leaves out the idle turns from the step at `from` to the one at `to`, or to the reconcile at `to`, at which the
    /// machine is then to be resumed. Reconciles in between found what the store has.
    ///
    /// # Panics
    /// If the machine is not between step and reconcile.
    pub fn skip_idle(&mut self, from: SimTime, to: SimTime) {
        assert!(self.stage == Stage::BeforeReconcile, "ipamd does not idle but is at {:?}", self.stage);
        let mut reconcile = from + HALF_LOOP;
        while reconcile < to {
            if self.last_action.is_none_or(|at| reconcile.since(at) > RECONCILE_INTERVAL) {
                self.last_action = Some(reconcile);
            }
            reconcile += LOOP;
        }
        // A step lies whole turns after a step, a reconcile half a turn more.
        if to.since(from).nanos() % LOOP.nanos() != HALF_LOOP.nanos() {
            self.stage = Stage::BeforeStep;
        }
    }

    /// Of a loop that stepped at `step` and idles: the first reconcile at `at` or later.
    pub fn reconcile_not_before(step: SimTime, at: SimTime) -> SimTime {
        let turns = at.saturating_since(step + HALF_LOOP).nanos().div_ceil(LOOP.nanos());
        step + HALF_LOOP + LOOP * turns
    }

    /// Of a loop that stepped at `step` and idles: the first reconcile that the last action does not defer.
    pub fn next_reconcile(&self, step: SimTime) -> SimTime {
        let nano = SimDuration::from_nanos(1);
        let due = self.last_action.map_or(step, |at| at + RECONCILE_INTERVAL + nano);
        Ipamd::reconcile_not_before(step, due)
    }

    /// Could the machine, with no pod coming or going, ever give addresses back?
    pub fn may_give_back(&self, settings: &Settings, now: SimTime) -> bool {
        let giving = matches!(
            self.stage,
            Stage::Unassign { .. }
                | Stage::UndoDelete { .. }
                | Stage::FreeDescribe { .. }
                | Stage::FreeDetach { .. }
                | Stage::Settle { .. }
                | Stage::FreeDelete { .. }
                | Stage::DescribeInstances { .. }
                | Stage::Attach { .. }
        );
        let counts = self.pool.counts(now);
        giving
            || targets::too_high(settings, &counts)
            || (!self.cordoned
                && free::gate_open(settings, &self.pool, counts.available())
                && free::some_will_go(settings, &self.pool))
    }

    /// Could it still ask for more addresses, now or after a pause?
    pub fn may_grow(&self, settings: &Settings, now: SimTime) -> bool {
        let unfilled = |eni: &Eni| (eni.cidrs.len() as u32) < settings.slots && eni.serves_pods(settings);
        let room = self.pool.enis.iter().any(unfilled) || self.has_room(settings);
        let open = room && !self.cordoned;
        self.in_startup || (targets::too_low(settings, &self.pool.counts(now)) && open)
    }

    /// Is a call of EC2 under way?
    pub fn calls(&self) -> bool {
        !matches!(
            self.stage,
            Stage::NotStarted
                | Stage::BeforeStep
                | Stage::BeforeReconcile
                | Stage::Settle { .. }
                | Stage::Gone
                | Stage::ReadImds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::{Limits, Settings};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A node whose calls take no time; `skips`: idle turns are left out.
    struct Node {
        settings: Settings,
        machine: Ipamd,
        skips: bool,
        /// The next step or reconcile, and the last step.
        next: SimTime,
        stepped: SimTime,
        pods: Vec<PodAddress>,
        serial: u32,
        free: u32,
        calls: Vec<(SimTime, Api, u32)>,
    }

    impl Node {
        fn go_on(&mut self, now: SimTime, first: Answer<'static>) {
            let mut answer = first;
            loop {
                match self.machine.resume(&self.settings, answer, now, &mut || 0.0) {
                    Ask::Call(call) => {
                        self.calls.push((now, call.api, call.count));
                        answer = self.call(call);
                    }
                    Ask::AwaitEni(_) => answer = Answer::ShowsAt(now),
                    Ask::ReadImds => answer = Answer::ImdsAgrees,
                    Ask::Nap(nap @ (Nap::BeforeStep | Nap::BeforeReconcile), span) => {
                        self.next = now + span;
                        if nap == Nap::BeforeReconcile {
                            self.stepped = now;
                            if self.skips {
                                self.next = self.machine.idle_until(&self.settings, now).unwrap();
                            }
                        }
                        return;
                    }
                    Ask::Nap(..) => answer = Answer::Woken,
                    Ask::Exit(_) => unreachable!("nothing makes it exit here"),
                }
            }
        }
        fn call(&mut self, call: Call) -> Answer<'static> {
            if call.api == Api::CreateNetworkInterface {
                assert!(
                    self.machine.pool().eni_count() < self.settings.eni_budget,
                    "an ENI more than the type has"
                );
            }
            self.serial += call.count.max(1);
            let first_cidr = self.serial - call.count.max(1);
            match call.api {
                Api::AssignPrivateIpAddresses | Api::CreateNetworkInterface if call.count > self.free => {
                    Answer::Insufficient
                }
                Api::AssignPrivateIpAddresses => {
                    self.free -= call.count;
                    Answer::Granted { first_cidr }
                }
                Api::CreateNetworkInterface => {
                    self.free -= call.count;
                    Answer::Created { eni: self.serial, first_cidr }
                }
                _ => Answer::Done,
            }
        }
        fn run_to(&mut self, until: SimTime) {
            while self.next < until {
                let now = self.next;
                if self.skips && self.machine.stage == Stage::BeforeReconcile {
                    self.machine.skip_idle(self.stepped, now);
                }
                self.go_on(now, Answer::Woken);
            }
        }
        /// Books that must balance at any instant.
        fn check(&self) {
            let pool = self.machine.pool();
            let most = self.settings.addresses_per_eni();
            assert!(pool.addresses_per_eni().all(|held| i64::from(held) <= most), "an ENI holds too much");
            assert!(pool.assigned() as usize == self.pods.len() && pool.assigned() <= pool.total());
        }
        fn change(&mut self, now: SimTime, add: bool) {
            if add {
                self.pods.extend(self.machine.add_pod(now));
            } else if !self.pods.is_empty() {
                self.machine.delete_pod(self.pods.remove(0), now);
            }
            let step = Ipamd::step_not_before(self.stepped.min(now), now);
            let idles = self.skips && self.machine.stage == Stage::BeforeReconcile;
            if idles && self.next > step && self.machine.would_act(&self.settings, step) {
                self.next = step;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]
        /// Whatever pods do, leaving idle turns out makes the same calls at the same instants.
        #[test]
        fn idle_turns_left_out_change_nothing(
            changes in prop::collection::vec((1u64..200_000, prop::bool::weighted(0.7)), 0..25),
            environment in 0usize..13,
            free in prop::sample::select(vec![12u32, 25, 40, 10_000]),
        ) {
            let pairs: [&[(&str, &str)]; 13] = [
                &[],
                &[("WARM_ENI_TARGET", "0")],
                &[("WARM_IP_TARGET", "2"), ("MINIMUM_IP_TARGET", "5")],
                &[("WARM_IP_TARGET", "1"), ("MINIMUM_IP_TARGET", "1")],
                &[("ENABLE_PREFIX_DELEGATION", "true"), ("WARM_PREFIX_TARGET", "1")],
                &[("WARM_IP_TARGET", "12")],
                &[("WARM_ENI_TARGET", "3"), ("IP_COOLDOWN_PERIOD", "0")],
                &[("ENABLE_PREFIX_DELEGATION", "true"), ("WARM_IP_TARGET", "5"), ("MINIMUM_IP_TARGET", "20")],
                &[("ENABLE_PREFIX_DELEGATION", "true"), ("WARM_PREFIX_TARGET", "0")],
                &[("ENABLE_POD_ENI", "true"), ("WARM_IP_TARGET", "3")],
                &[("MAX_ENI", "2"), ("MINIMUM_IP_TARGET", "14")],
                &[("ENABLE_SUBNET_DISCOVERY", "false"), ("WARM_ENI_TARGET", "2")],
                &[("AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "true"), ("WARM_IP_TARGET", "1")],
            ];
            let env: BTreeMap<String, String> =
                pairs[environment].iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            let limits = Limits { max_enis: 3, ipv4_per_eni: 10, prefixes: true, trunking: Some(false) };
            let settings = Settings::read(Version::V1_23, &env, limits, 29, &mut Vec::new());
            let mut nodes: Vec<Node> = [false, true].map(|skips| {
                let machine = Ipamd::new(&settings);
                let never = SimTime::NEVER;
                let mut node = Node { settings: settings.clone(), machine, skips, next: never, stepped: never,
                    pods: Vec::new(), serial: 1, free, calls: Vec::new() };
                node.go_on(SimTime::ZERO, Answer::Start);
                node
            }).into();
            let mut at = 0;
            for (wait, add) in changes {
                // Never in the instant of a step, whose order against a pod is the caller's.
                at += wait;
                let now = SimTime::from_nanos(at * 1_000_000 + 1);
                for node in &mut nodes {
                    node.run_to(now);
                    node.change(now, add);
                    node.check();
                }
            }
            for node in &mut nodes {
                node.run_to(SimTime::from_millis(at + 400_000));
            }
            prop_assert_eq!(&nodes[0].calls, &nodes[1].calls);
            prop_assert_eq!(nodes[0].machine.pool().total(), nodes[1].machine.pool().total());
            prop_assert_eq!(nodes[0].pods.len(), nodes[1].pods.len());
        }
    }
}
