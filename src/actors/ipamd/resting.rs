//! Where a pool comes to rest when pods are added one at a time and EC2 has no bounds and answers at once.

use super::machine::{Answer, Api, Ask, Ipamd, Nap};
use super::settings::Settings;
use crate::units::{SimDuration, SimTime};

/// A pool between two steps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PoolState {
    /// Addresses pods may have, by ENI in the order they joined; the ENIs' own primaries are not counted.
    pub per_eni: Vec<u32>,
    /// Pods that hold one.
    pub assigned: u32,
    /// Pods that asked in vain.
    pub waiting: u32,
}

impl PoolState {
    pub fn enis(&self) -> u32 {
        self.per_eni.len() as u32
    }
    /// Addresses pods may have.
    pub fn total(&self) -> u32 {
        self.per_eni.iter().sum()
    }
    /// All addresses on ENIs, their primaries included.
    pub fn attached(&self) -> u32 {
        self.total() + self.enis()
    }
    pub fn warm(&self) -> u32 {
        self.total() - self.assigned
    }
}

/// How a pool ends up with a number of pods.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rest {
    Still(PoolState),
    /// It goes through these states for ever.
    Cycle {
        period: SimDuration,
        states: Vec<PoolState>,
    },
}

/// The loop's period where calls take no time.
const TICK: SimDuration = SimDuration::from_secs(5);
/// What a step can still tell apart: ages beyond a minute and returns longer ago than half a one are alike.
const OLDEST: u64 = 61;
const LAST_DECREASE: u64 = 31;

/// The rest for 0, 1, ... `pods` pods, each added when the pool has come to rest with the one before (or,
/// where it never rests, when its cycle has closed).
///
/// A pod that finds no address asks again before every step.
pub fn resting_states(settings: &Settings, pods: u32) -> Vec<Rest> {
    let mut node = Node::start(settings);
    let mut rests = Vec::new();
    for count in 0..=pods {
        node.waiting += u32::from(count > 0);
        rests.push(node.come_to_rest());
    }
    rests
}

/// All that the next steps can depend on.
type Signature = (PoolState, Vec<u64>, u64);

struct Node<'a> {
    settings: &'a Settings,
    machine: Ipamd,
    now: SimTime,
    waiting: u32,
    next_eni: u32,
    next_cidr: u32,
}

impl<'a> Node<'a> {
    fn start(settings: &'a Settings) -> Self {
        let mut node = Node {
            settings,
            machine: Ipamd::new(settings),
            now: SimTime::ZERO,
            waiting: 0,
            next_eni: 1,
            next_cidr: 0,
        };
        node.go_on(Answer::Start);
        node
    }

    /// Answers every call at once until the machine sleeps before its next step.
    fn go_on(&mut self, first: Answer<'_>) {
        let mut ask = self.machine.resume(self.settings, first, self.now, &mut || 0.0);
        loop {
            let answer = match ask {
                Ask::Call(call) => match call.api {
                    Api::AssignPrivateIpAddresses => {
                        self.next_cidr += call.count;
                        Answer::Granted { first_cidr: self.next_cidr - call.count }
                    }
                    Api::CreateNetworkInterface => {
                        self.next_eni += 1;
                        self.next_cidr += call.count;
                        Answer::Created { eni: self.next_eni - 1, first_cidr: self.next_cidr - call.count }
                    }
                    _ => Answer::Done,
                },
                Ask::AwaitEni(_) => Answer::ShowsAt(self.now),
                Ask::ReadImds => Answer::ImdsAgrees,
                Ask::Nap(Nap::BeforeStep, _) | Ask::Exit(_) => return,
                Ask::Nap(..) => Answer::Woken,
            };
            ask = self.machine.resume(self.settings, answer, self.now, &mut || 0.0);
        }
    }

    fn come_to_rest(&mut self) -> Rest {
        let mut seen: Vec<Signature> = Vec::new();
        loop {
            while self.waiting > 0 && self.machine.add_pod(self.now).is_some() {
                self.waiting -= 1;
            }
            let signature = self.signature();
            if let Some(before) = seen.iter().position(|known| *known == signature) {
                let period = TICK * (seen.len() - before) as u64;
                let mut states: Vec<PoolState> = seen.drain(before..).map(|(state, ..)| state).collect();
                states.dedup();
                return match states.len() {
                    1 => Rest::Still(states.remove(0)),
                    _ => Rest::Cycle { period, states },
                };
            }
            seen.push(signature);
            if self.machine.serves() {
                self.now += TICK;
                self.go_on(Answer::Woken);
            }
        }
    }

    fn signature(&self) -> Signature {
        let pool = self.machine.pool();
        let age = |joined: SimTime| (self.now.since(joined).millis() / 1_000).min(OLDEST);
        let decrease = self
            .machine
            .last_decrease()
            .map_or(LAST_DECREASE, |at| (self.now.since(at).millis() / 1_000).min(LAST_DECREASE));
        let state = PoolState {
            per_eni: pool.addresses_per_eni().collect(),
            assigned: pool.assigned(),
            waiting: self.waiting,
        };
        (state, pool.joined().map(age).collect(), decrease)
    }
}
