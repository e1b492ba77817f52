//! The scheduling queue: pods to try now, pods that wait out a back-off, pods that wait for an event.
//!
//! Source: kubernetes v1.24, v1.30 `internal/queue/scheduling_queue.go`; v1.34 `backend/queue`.
//! The queue's own timers (a tick each second, one each 30 s) are applied when the queue is next looked at,
//! which gives the same order of pods as ticking would.

use std::collections::VecDeque;

use crate::units::{SimDuration, SimTime};

const SECOND: u64 = 1_000_000_000;
const LONGEST_BACKOFF_S: u64 = 10;
const LEFTOVER_TICK: SimDuration = SimDuration::from_secs(30);
const LEFTOVER_AFTER: SimDuration = SimDuration::from_secs(300);
const LEFTOVER_AFTER_V1_23: SimDuration = SimDuration::from_secs(60);

/// Releases whose queues differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum QueueVersion {
    /// 1.23: what waits for an event goes on without one after a minute, not five.
    V1_23,
    /// 1.24: an attempt that ends in an error waits for an event.
    V1_24,
    /// 1.25 to 1.32.
    V1_30,
    /// From 1.33: whole seconds of the wall clock, and an idle scheduler takes pods out of their back-off.
    V1_34,
}

/// Where a pod is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueState {
    /// Not in the queue: not created, under way, placed or gone.
    Out,
    Active,
    Backoff,
    Unschedulable,
}

/// How an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A plugin rejected the pod on every node.
    Rejected,
    /// Anything else, a cluster without nodes included.
    Error,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: QueueState,
    priority: i32,
    /// When it entered the queue, or was put back after its last failure.
    entered: SimTime,
    attempts: u32,
    rejections: u32,
    errors: u32,
    expires: SimTime,
    event_in_cycle: bool,
    /// Victims are being told to go for its sake: PreEnqueue of DefaultPreemption lets it into no other queue.
    held: bool,
    /// It was stopped so: from then on a pod's deletion alone moves it.
    gated: bool,
}

/// Of highest priority, then first entered, first; equal ones by number: the three in one number, which compares fast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Order(u128);

impl Order {
    fn new(priority: i32, entered: SimTime, pod: u32) -> Order {
        let rank = i32::MAX.abs_diff(priority);
        Order(u128::from(rank) << 96 | u128::from(entered.nanos()) << 32 | u128::from(pod))
    }
    fn pod(self) -> u32 {
        self.0 as u32
    }
}

/// Pods in their order. Most come in it, so that the list is a queue: both ends cost nothing.
#[derive(Clone, Debug, Default)]
struct Line(VecDeque<Order>);

impl Line {
    fn join(&mut self, order: Order) {
        if self.0.back().is_none_or(|last| *last < order) {
            self.0.push_back(order);
        } else {
            let place = self.0.partition_point(|other| *other < order);
            self.0.insert(place, order);
        }
    }
}

/// Pods that wait out a back-off, by its end; those with the same end make a line. Ends are few, or come nearly in order, so
/// that a sorted list serves, and the lines of ends that are past serve anew.
#[derive(Clone, Debug, Default)]
struct Backoffs {
    lines: VecDeque<(SimTime, Line)>,
    /// The place of the line that was last joined: the next pod joins it, too, as a rule.
    joined: usize,
    spare: Vec<Line>,
}

impl Backoffs {
    fn join(&mut self, expires: SimTime, order: Order) {
        if let Some((_, line)) = self.lines.get_mut(self.joined).filter(|(other, _)| *other == expires) {
            return line.join(order);
        }
        let later = self.lines.iter().rev().take_while(|(other, _)| *other > expires).count();
        let place = self.lines.len() - later;
        match self.lines.get_mut(place.wrapping_sub(1)) {
            Some((other, line)) if *other == expires => {
                self.joined = place - 1;
                line.join(order);
            }
            _ => {
                self.joined = place;
                let mut line = self.spare.pop().unwrap_or_default();
                line.join(order);
                self.lines.insert(place, (expires, line));
            }
        }
    }
    /// When the first back-off ends.
    fn first_expires(&self) -> Option<SimTime> {
        self.lines.front().map(|(expires, _)| *expires)
    }
    /// Out with one of them, wherever it is.
    fn leave(&mut self, expires: SimTime, order: Order) {
        let Some(place) = self.lines.iter().position(|(other, _)| *other == expires) else { return };
        let line = &mut self.lines[place].1;
        line.0.retain(|other| *other != order);
        if line.0.is_empty() {
            self.spare.extend(self.lines.remove(place).map(|(_, line)| line));
        }
    }
    fn pop(&mut self) -> Option<Order> {
        let (_, first) = self.lines.front_mut()?;
        let order = first.0.pop_front().expect("no line is empty");
        if first.0.is_empty() {
            self.spare.extend(self.lines.pop_front().map(|(_, line)| line));
        }
        Some(order)
    }
}

/// See the module's page. Pods are numbered by the caller from 0 on.
#[derive(Clone, Debug)]
pub struct SchedulingQueue {
    version: QueueVersion,
    /// What the wall clock showed beyond a whole second when the queue started.
    phase: SimDuration,
    entries: Vec<Entry>,
    active: Line,
    backoff: Backoffs,
    /// After errors, from 1.33 on: never taken out early.
    error_backoff: Backoffs,
    unschedulable: Vec<u32>,
    /// Pods that are gated.
    gated: u32,
    /// The pod whose attempt keeps the loop, where one takes its time.
    under_way: Option<u32>,
    leftover_looked_at: SimTime,
    /// No timer is due before.
    quiet_until: SimTime,
    /// Pods that an event, a timer or force has brought to another queue, and nobody has asked for yet.
    moved: Vec<u32>,
}

impl SchedulingQueue {
    pub fn new(version: QueueVersion, phase: SimDuration) -> SchedulingQueue {
        SchedulingQueue {
            version,
            phase,
            entries: Vec::new(),
            active: Line::default(),
            backoff: Backoffs::default(),
            error_backoff: Backoffs::default(),
            unschedulable: Vec::new(),
            gated: 0,
            under_way: None,
            leftover_looked_at: SimTime::ZERO,
            quiet_until: SimTime::ZERO,
            moved: Vec::new(),
        }
    }

    /// One of the pods that have come to another queue otherwise than by being added, taken or failing.
    #[inline]
    pub fn next_moved(&mut self) -> Option<u32> {
        self.moved.pop()
    }

    /// What the wall clock shows beyond a whole second when the run's clock shows one.
    pub fn phase(&self) -> SimDuration {
        self.phase
    }
    pub fn state(&self, pod: u32) -> QueueState {
        self.entries.get(pod as usize).map_or(QueueState::Out, |entry| entry.state)
    }
    /// Attempts so far, the one under way included.
    pub fn attempts(&self, pod: u32) -> u32 {
        self.entries.get(pod as usize).map_or(0, |entry| entry.attempts)
    }
    /// Pods that wait for an event, in the order they came.
    pub fn unschedulable(&self) -> &[u32] {
        &self.unschedulable
    }

    /// A pod was created.
    pub fn add(&mut self, pod: u32, priority: i32, now: SimTime) {
        let fresh = Entry {
            state: QueueState::Out,
            priority,
            entered: now,
            attempts: 0,
            rejections: 0,
            errors: 0,
            expires: SimTime::ZERO,
            event_in_cycle: false,
            held: false,
            gated: false,
        };
        if self.entries.len() <= pod as usize {
            self.entries.resize(pod as usize + 1, fresh);
        }
        self.entries[pod as usize] = fresh;
        self.activate(pod);
    }

    /// The next pod to try: of the active ones, or from 1.33 on, where there is none, the one whose back-off
    /// ends first.
    pub fn pop(&mut self, now: SimTime) -> Option<u32> {
        let early = self.version == QueueVersion::V1_34;
        self.pop_active(now).or_else(|| {
            let order = early.then(|| self.backoff.pop()).flatten()?;
            Some(self.taken(order.pod()))
        })
    }

    /// The next of the active pods alone, as a scheduler takes it that is never idle.
    pub fn pop_active(&mut self, now: SimTime) -> Option<u32> {
        self.apply_timers(now);
        let order = self.active.0.pop_front()?;
        Some(self.taken(order.pod()))
    }

    fn taken(&mut self, pod: u32) -> u32 {
        let entry = &mut self.entries[pod as usize];
        entry.state = QueueState::Out;
        entry.attempts += 1;
        entry.event_in_cycle = false;
        pod
    }

    /// An event that could help the pod arrived while its attempt was under way.
    pub fn event_in_cycle(&mut self, pod: u32) {
        self.entries[pod as usize].event_in_cycle = true;
    }
    /// The attempt of a pod that was taken goes on for a time. Up to 1.24 every event until it fails counts as one that could
    /// help it.
    pub fn goes_on(&mut self, pod: u32) {
        self.under_way = Some(pod);
    }

    /// From now on victims are told to go for the pod.
    pub fn hold(&mut self, pod: u32) {
        self.entries[pod as usize].held = true;
    }
    /// All of them have been, but for the last.
    pub fn release(&mut self, pod: u32, now: SimTime) {
        self.apply_timers(now);
        if let Some(entry) = self.entries.get_mut(pod as usize) {
            entry.held = false;
        }
    }
    /// They could not be told: a pod that waits is tried again at once, unless others are told for it already.
    pub fn force(&mut self, pod: u32, now: SimTime) {
        self.apply_timers(now);
        match self.state(pod) {
            QueueState::Unschedulable => self.unschedulable.retain(|waiting| *waiting != pod),
            QueueState::Backoff => {
                let (expires, order) = (self.entries[pod as usize].expires, self.order(pod));
                self.backoff.leave(expires, order);
                self.error_backoff.leave(expires, order);
            }
            QueueState::Out | QueueState::Active => return,
        }
        self.moved.push(pod);
        if self.is_stopped(pod) {
            self.wait(pod);
        } else {
            self.activate(pod);
        }
    }

    /// The attempt of a pod that was taken has failed.
    pub fn fail(&mut self, pod: u32, failure: Failure, now: SimTime) {
        self.apply_timers(now);
        self.under_way = None;
        let version = self.version;
        let entry = &mut self.entries[pod as usize];
        entry.entered = now;
        match failure {
            Failure::Rejected => (entry.rejections, entry.errors) = (entry.rejections + 1, 0),
            Failure::Error => entry.errors += 1,
        }
        let exponent = match (version, failure) {
            (QueueVersion::V1_34, Failure::Rejected) => entry.rejections,
            (QueueVersion::V1_34, Failure::Error) => entry.errors,
            _ => entry.attempts,
        };
        entry.expires = now + backoff(exponent);
        if version == QueueVersion::V1_34 {
            entry.expires = floor_second(entry.expires, self.phase);
        }
        let waits_for_event = match failure {
            Failure::Rejected => !entry.event_in_cycle,
            Failure::Error => version <= QueueVersion::V1_24 && !entry.event_in_cycle,
        };
        if waits_for_event || self.is_stopped(pod) {
            self.wait(pod);
        } else {
            self.back_off(pod, failure);
        }
    }

    /// An event that could help: out of the waiting pods, to the active ones or into what is left of its
    /// back-off. Others stay where they are.
    pub fn wake(&mut self, pod: u32, now: SimTime) {
        self.wake_where(now, |waiting| waiting == pod);
    }

    /// [`SchedulingQueue::wake`] for every waiting pod of which `concerns` says so; the event is no pod's deletion.
    pub fn wake_where(&mut self, now: SimTime, mut concerns: impl FnMut(u32) -> bool) {
        if self.gated == 0 {
            return self.move_where(now, concerns);
        }
        let gated: Vec<u32> = self.unschedulable.iter().copied().filter(|pod| self.is_gated(*pod)).collect();
        self.move_where(now, |pod| !gated.contains(&pod) && concerns(pod));
    }

    /// The same where a pod was deleted.
    pub fn wake_after_deletion(&mut self, now: SimTime, concerns: impl FnMut(u32) -> bool) {
        self.move_where(now, concerns);
    }

    fn move_where(&mut self, now: SimTime, mut concerns: impl FnMut(u32) -> bool) {
        self.apply_timers(now);
        if let Some(pod) = self.under_way.filter(|_| self.version <= QueueVersion::V1_24) {
            self.event_in_cycle(pod);
        }
        let over = self.back_offs_over_at(now);
        let mut waiting = std::mem::take(&mut self.unschedulable);
        waiting.retain(|pod| !(concerns(*pod) && self.leave(*pod, over)));
        self.unschedulable = waiting;
    }

    fn is_gated(&self, pod: u32) -> bool {
        self.entries[pod as usize].gated
    }
    /// PreEnqueue: is the pod to stay with those that wait?
    fn is_stopped(&mut self, pod: u32) -> bool {
        let entry = &mut self.entries[pod as usize];
        if !entry.held {
            self.ungate(pod);
            return false;
        }
        self.gated += u32::from(!std::mem::replace(&mut entry.gated, true));
        true
    }
    fn ungate(&mut self, pod: u32) {
        self.gated -= u32::from(std::mem::replace(&mut self.entries[pod as usize].gated, false));
    }

    /// When a timer of the queue will next make a pod active; `None` if none will.
    pub fn next_timer(&self, now: SimTime) -> Option<SimTime> {
        let heads = [&self.backoff, &self.error_backoff];
        let backoff = heads.iter().filter_map(|pods| pods.first_expires()).map(|at| self.leaves_at(at));
        let mut entries = self.unschedulable.iter().map(|pod| &self.entries[*pod as usize]);
        let oldest = entries.find(|entry| !entry.gated).map(|entry| entry.entered);
        // A tick takes what is older than the limit, not what is just as old.
        let leftover = oldest.map(|entered| {
            let due = (entered + self.leftover_after()).nanos() / LEFTOVER_TICK.nanos() + 1;
            SimTime::from_nanos(due * LEFTOVER_TICK.nanos())
        });
        backoff.chain(leftover).min().map(|at| at.max(now))
    }

    /// How long a pod waits for an event at most, but for the ticks at which that is looked after.
    fn leftover_after(&self) -> SimDuration {
        if self.version == QueueVersion::V1_23 { LEFTOVER_AFTER_V1_23 } else { LEFTOVER_AFTER }
    }

    /// Does a waiting pod come to another queue? Back-offs that end before `over` are over.
    fn leave(&mut self, pod: u32, over: SimTime) -> bool {
        if self.is_stopped(pod) {
            return false;
        }
        self.moved.push(pod);
        if self.entries[pod as usize].expires < over {
            self.activate(pod);
        } else {
            self.back_off(pod, Failure::Rejected);
        }
        true
    }

    fn order(&self, pod: u32) -> Order {
        let entry = &self.entries[pod as usize];
        Order::new(entry.priority, entry.entered, pod)
    }
    fn activate(&mut self, pod: u32) {
        self.entries[pod as usize].state = QueueState::Active;
        self.active.join(self.order(pod));
    }
    fn wait(&mut self, pod: u32) {
        self.entries[pod as usize].state = QueueState::Unschedulable;
        self.unschedulable.push(pod);
    }
    fn back_off(&mut self, pod: u32, failure: Failure) {
        self.entries[pod as usize].state = QueueState::Backoff;
        let (expires, order) = (self.entries[pod as usize].expires, self.order(pod));
        self.quiet_until = self.quiet_until.min(self.leaves_at(expires));
        match failure {
            Failure::Error if self.version == QueueVersion::V1_34 => self.error_backoff.join(expires, order),
            _ => self.backoff.join(expires, order),
        }
    }

    /// To an event at `now` back-offs are over that end before this.
    fn back_offs_over_at(&self, now: SimTime) -> SimTime {
        match self.version {
            QueueVersion::V1_34 => floor_second(now, self.phase),
            _ => now + SimDuration::from_nanos(1),
        }
    }
    /// The tick that ends a back-off.
    fn leaves_at(&self, expires: SimTime) -> SimTime {
        match self.version {
            QueueVersion::V1_34 => expires + SimDuration::from_secs(1),
            _ => SimTime::from_nanos(expires.nanos().div_ceil(SECOND) * SECOND),
        }
    }

    fn apply_timers(&mut self, now: SimTime) {
        if now < self.quiet_until {
            return;
        }
        self.apply_leftover(now);
        for after_error in [false, true] {
            loop {
                let pods = if after_error { &self.error_backoff } else { &self.backoff };
                if pods.first_expires().is_none_or(|expires| self.leaves_at(expires) > now) {
                    break;
                }
                let pods = if after_error { &mut self.error_backoff } else { &mut self.backoff };
                let order = pods.pop().expect("it has a first");
                self.moved.push(order.pod());
                self.activate(order.pod());
            }
        }
        let tick = SimTime::from_nanos((now.nanos() / LEFTOVER_TICK.nanos() + 1) * LEFTOVER_TICK.nanos());
        let heads = [self.backoff.first_expires(), self.error_backoff.first_expires()];
        let leave = heads.into_iter().flatten().map(|expires| self.leaves_at(expires)).min();
        self.quiet_until = leave.map_or(tick, |at| at.min(tick));
    }

    /// Each 30 s what has waited for an event for too long goes on without one.
    fn apply_leftover(&mut self, now: SimTime) {
        let tick = SimTime::from_nanos(now.nanos() / LEFTOVER_TICK.nanos() * LEFTOVER_TICK.nanos());
        if tick <= self.leftover_looked_at {
            return;
        }
        self.leftover_looked_at = tick;
        let longest = self.leftover_after();
        let old = |entry: &Entry| !entry.gated && tick.saturating_since(entry.entered) > longest;
        let mut waiting = std::mem::take(&mut self.unschedulable);
        // They come in order of time, but for gated ones.
        let is_first_old = |queue: &SchedulingQueue| {
            let mut entries = waiting.iter().map(|pod| &queue.entries[*pod as usize]);
            entries.find(|entry| !entry.gated).is_some_and(old)
        };
        if is_first_old(self) {
            let over = self.back_offs_over_at(tick);
            waiting.retain(|pod| !(old(&self.entries[*pod as usize]) && self.leave(*pod, over)));
        }
        self.unschedulable = waiting;
    }
}

/// 1, 2, 4, 8 s, then 10 s.
fn backoff(exponent: u32) -> SimDuration {
    let seconds = match exponent {
        0 => 0,
        1..=4 => 1 << (exponent - 1),
        _ => LONGEST_BACKOFF_S,
    };
    SimDuration::from_secs(seconds)
}

/// The whole second of the wall clock that `at` lies in.
fn floor_second(at: SimTime, phase: SimDuration) -> SimTime {
    let wall = at.nanos() + phase.nanos();
    SimTime::from_nanos((wall / SECOND * SECOND).saturating_sub(phase.nanos()))
}
