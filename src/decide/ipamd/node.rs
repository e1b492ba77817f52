//! The clock of a case: pods' events first, then pods that try again, then whatever ipamd does.

use std::collections::BTreeSet;

use super::ec2::Ec2;
use super::{Answer as CaseAnswer, CallMade, Durations, Event, State, Step};
use crate::actors::ipamd::{Answer, Api, Ask, Call, Ipamd, Nap, PodAddress, Settings};
use crate::units::{SimDuration, SimTime};

enum Pod {
    Waiting(SimTime),
    Holds(PodAddress),
    Gone,
}

enum Pending {
    Start,
    Call(Call),
    Nap(Nap),
}

pub(super) struct Node<'a> {
    settings: &'a Settings,
    durations: Durations,
    ec2: Ec2,
    machine: Ipamd,
    now: SimTime,
    /// When the loop began, or ipamd exited; instants of the case count from here.
    origin: Option<SimTime>,
    exited: bool,
    until: SimDuration,
    events: Vec<Event>,
    next_event: usize,
    pods: Vec<Pod>,
    assigned_ms: Vec<Option<u64>>,
    retries: BTreeSet<(SimTime, usize)>,
    oldest: usize,
    add_failures: u32,
    calls: Vec<(SimTime, Call, bool)>,
    step_began: SimTime,
    start: Option<State>,
    steps: Vec<(SimTime, SimTime, State)>,
}

impl<'a> Node<'a> {
    pub fn new(
        settings: &'a Settings,
        durations: Durations,
        ec2: Ec2,
        events: Vec<Event>,
        until_ms: u64,
    ) -> Self {
        Node {
            settings,
            durations,
            ec2,
            machine: Ipamd::new(settings),
            now: SimTime::ZERO,
            origin: None,
            exited: false,
            until: SimDuration::from_millis(until_ms),
            events,
            next_event: 0,
            pods: Vec::new(),
            assigned_ms: Vec::new(),
            retries: BTreeSet::new(),
            oldest: 0,
            add_failures: 0,
            calls: Vec::new(),
            step_began: SimTime::ZERO,
            start: None,
            steps: Vec::new(),
        }
    }

    pub fn run(mut self, id: String, timed: bool) -> CaseAnswer {
        let mut pending = Pending::Start;
        loop {
            let mut ask = self.resume(&pending);
            ask = self.answer_at_once(ask);
            let Some((next, at)) = self.schedule(ask) else { break };
            let in_loop = matches!(next, Pending::Nap(Nap::BeforeStep | Nap::BeforeReconcile));
            if in_loop && self.origin.is_some_and(|origin| at > origin + self.until) {
                break;
            }
            self.pods_until(at);
            self.now = at;
            if matches!(next, Pending::Nap(Nap::BeforeStep)) {
                self.step_began = at;
            }
            pending = next;
        }
        self.pods_until(SimTime::NEVER);
        self.report(id, timed)
    }

    fn resume(&mut self, pending: &Pending) -> Ask {
        let (settings, now) = (self.settings, self.now);
        let mut no_jitter = || 0.0;
        match pending {
            Pending::Start => self.machine.resume(settings, Answer::Start, now, &mut no_jitter),
            Pending::Nap(_) => self.machine.resume(settings, Answer::Woken, now, &mut no_jitter),
            Pending::Call(call) => {
                let unassigned = self.machine.unassigning().to_vec();
                let named: Vec<_> = self.machine.named_enis().collect();
                let outcome = self.ec2.end_call(*call, settings.prefix_delegation, &unassigned, &named, now);
                if matches!(outcome, Answer::Insufficient | Answer::Failed | Answer::NotFound(_)) {
                    self.calls.last_mut().expect("the call that ends was made").2 = false;
                }
                self.machine.resume(settings, outcome, now, &mut no_jitter)
            }
        }
    }

    fn answer_at_once(&mut self, mut ask: Ask) -> Ask {
        loop {
            let answer = match ask {
                Ask::AwaitEni(eni) => Answer::ShowsAt(self.ec2.shows_at(eni)),
                Ask::ReadImds => self.ec2.imds(self.now),
                Ask::Call(_) | Ask::Nap(..) | Ask::Exit(_) => return ask,
            };
            ask = self.machine.resume(self.settings, answer, self.now, &mut || 0.0);
        }
    }

    /// What is waited for and until when; `None` if ipamd has exited.
    fn schedule(&mut self, ask: Ask) -> Option<(Pending, SimTime)> {
        match ask {
            Ask::Call(call) => {
                self.calls.push((self.now, call, true));
                let place = Api::ALL.iter().position(|api| *api == call.api).expect("ALL lists every call");
                Some((Pending::Call(call), self.now + self.durations.call[place]))
            }
            Ask::Nap(nap, span) => {
                match nap {
                    Nap::BeforeStep if self.origin.is_none() => {
                        self.origin = Some(self.now);
                        self.start = Some(self.state());
                    }
                    Nap::BeforeReconcile => self.steps.push((self.step_began, self.now, self.state())),
                    _ => {}
                }
                let skipped = nap == Nap::Settle && self.durations.kubelet_retry.is_none();
                Some((Pending::Nap(nap), if skipped { self.now } else { self.now + span }))
            }
            Ask::Exit(_) => {
                self.origin = Some(self.now);
                self.exited = true;
                None
            }
            Ask::AwaitEni(_) | Ask::ReadImds => panic!("{ask:?} is answered at once"),
        }
    }

    /// Everything that pods do up to `at`, that instant included, and never after the case's end.
    fn pods_until(&mut self, at: SimTime) {
        let Some(origin) = self.origin else { return };
        let at = at.min(origin + self.until);
        loop {
            let event = self.events.get(self.next_event).copied();
            let event_at =
                event.map_or(SimTime::NEVER, |event| origin + SimDuration::from_millis(event.at_ms));
            let retry = self.retries.first().copied();
            let retry_at = retry.map_or(SimTime::NEVER, |(at, _)| at);
            if event_at.min(retry_at) > at || event_at.min(retry_at) == SimTime::NEVER {
                return;
            }
            if event_at <= retry_at {
                self.next_event += 1;
                let event = event.expect("an event falls due");
                for _ in 0..event.add {
                    self.pods.push(Pod::Gone);
                    self.assigned_ms.push(None);
                    self.try_add(self.pods.len() - 1, event_at);
                }
                self.delete(event.del, event_at);
            } else {
                self.retries.pop_first();
                self.try_add(retry.expect("a retry falls due").1, retry_at);
            }
        }
    }

    fn try_add(&mut self, pod: usize, now: SimTime) {
        let given = if self.exited { None } else { self.machine.add_pod(now) };
        self.pods[pod] = match (given, self.durations.kubelet_retry) {
            (Some(address), _) => {
                let origin = self.origin.expect("pods come after the start-up");
                self.assigned_ms[pod] = Some(now.since(origin).millis());
                Pod::Holds(address)
            }
            (None, Some(wait)) => {
                self.retries.insert((now + wait, pod));
                Pod::Waiting(now + wait)
            }
            (None, None) => Pod::Gone,
        };
        self.add_failures += u32::from(given.is_none());
    }

    fn delete(&mut self, count: u32, now: SimTime) {
        let mut left = count;
        while left > 0 && self.oldest < self.pods.len() {
            match std::mem::replace(&mut self.pods[self.oldest], Pod::Gone) {
                Pod::Holds(address) => {
                    self.machine.delete_pod(address, now);
                    left -= 1;
                }
                Pod::Waiting(at) => {
                    self.retries.remove(&(at, self.oldest));
                    left -= 1;
                }
                Pod::Gone => {}
            }
            self.oldest += 1;
        }
    }

    fn state(&self) -> State {
        let counts = self.machine.pool().counts(self.now);
        let prefixes = if self.settings.prefix_delegation { counts.cidrs } else { 0 };
        let (enis, total, assigned, cooling) = (counts.enis, counts.total, counts.assigned, counts.cooling);
        State { enis, total, assigned, cooling, prefixes }
    }

    fn report(self, id: String, timed: bool) -> CaseAnswer {
        let origin = self.origin.expect("start-up has ended");
        let ms = |at: SimTime| at.millis() as i64 - origin.millis() as i64;
        let shown_untimed = |api: Api| api.counts() || api == Api::DeleteNetworkInterface;
        let calls = self.calls.iter().filter(|(_, call, _)| timed || shown_untimed(call.api)).map(
            |(at, call, ok)| CallMade {
                // Without time the start-up is one instant, before the first step at 2.5 s.
                at_ms: if !timed && *at == SimTime::ZERO { -1 } else { ms(*at) },
                api: call.api.name(),
                count: call.api.counts().then_some(call.count),
                ok: (!ok).then_some(false),
            },
        );
        let calls = calls.collect();
        let step = |(began, ended, state): &(SimTime, SimTime, State)| Step {
            at_ms: ms(*began),
            end_ms: timed.then(|| ms(*ended)),
            state: *state,
        };
        CaseAnswer {
            id,
            init_ms: timed.then(|| origin.millis()),
            start: self.start,
            steps: self.steps.iter().map(step).collect(),
            calls,
            add_failures: (!timed).then_some(self.add_failures),
            assigned_ms: timed.then_some(self.assigned_ms),
        }
    }
}
