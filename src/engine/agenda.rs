//! The future event list: a hierarchical timing wheel, with a heap for the tick at hand.
//!
//! Time is cut into ticks of 4.2 ms. An event hangs in the list of its tick, of its 64 ticks, of its 4,096, and so
//! on: at the level of the highest digit, to base 64, in which its tick differs from the tick at hand. When a
//! level's next list comes up its events move down; those of the tick at hand go into the heap, which alone
//! knows their exact order. So an event costs a few moves, however many are pending. Cancelling empties the slot;
//! what is left of it is dropped when it comes up. What it saves the main job stands in `benches/README.md`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::units::SimTime;

/// Sequence numbers take the 28 bits below the class.
const CLASS_SHIFT: u32 = 28;
/// So many events one run may schedule; a run of 3,500 pods needs about a hundred thousand.
const MAX_SCHEDULED: u32 = 1 << CLASS_SHIFT;

/// A tick is 2^22 ns: of a run's events some two share one.
const TICK_SHIFT: u32 = 22;
/// Bits of a digit: a level has 64 lists, and one word says which of them hold anything.
const DIGIT: u32 = 6;
/// Enough for every tick of a `u64` of nanoseconds.
const LEVELS: usize = (u64::BITS - TICK_SHIFT).div_ceil(DIGIT) as usize;
const NOBODY: u32 = u32::MAX;

/// Handle of a scheduled event, for cancelling it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheduled {
    slot: u32,
    order: u32,
}

/// Events to come, in order of (time, class, sequence).
#[derive(Debug)]
pub struct Agenda<E> {
    /// Events up to the tick at hand: `time << 64 | class << 60 | sequence << 32 | slot`.
    due: BinaryHeap<Reverse<u128>>,
    tick: u64,
    levels: [Level; LEVELS],
    slots: Vec<Slot<E>>,
    /// The first of the slots that are free.
    free: u32,
    now: SimTime,
    scheduled: u32,
    live: usize,
}

/// Lists of slots, by one digit of the tick; the digits above are those of the tick at hand.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// A bit a list: it holds something.
    filled: u64,
    first: [u32; 1 << DIGIT],
}

#[derive(Debug)]
struct Slot<E> {
    at: SimTime,
    /// Class and sequence number, by which an old handle is told apart.
    order: u32,
    /// The next slot of its list.
    next: u32,
    event: Option<E>,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Agenda::with_capacity(0)
    }
}

impl<E> Agenda<E> {
    pub fn with_capacity(events: usize) -> Self {
        Agenda {
            due: BinaryHeap::new(),
            tick: 0,
            levels: [Level { filled: 0, first: [NOBODY; 1 << DIGIT] }; LEVELS],
            slots: Vec::with_capacity(events),
            free: NOBODY,
            now: SimTime::ZERO,
            scheduled: 0,
            live: 0,
        }
    }

    /// The instant of the last event taken.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Events scheduled and neither taken nor cancelled.
    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Schedules `event` for the instant `at`; at equal instants a lower `class` goes first.
    ///
    /// # Panics
    /// If `at` lies in the past, if `class` is above 15, or after 2^28 events.
    pub fn at(&mut self, at: SimTime, class: u8, event: E) -> Scheduled {
        assert!(at >= self.now, "an event for {at} was scheduled at {}: time never runs back", self.now);
        assert!(class < 16, "event class {class} does not fit into four bits");
        assert!(self.scheduled < MAX_SCHEDULED, "more than {MAX_SCHEDULED} events in one run");
        let order = u32::from(class) << CLASS_SHIFT | self.scheduled;
        self.scheduled += 1;
        self.live += 1;
        let fresh = Slot { at, order, next: NOBODY, event: Some(event) };
        let slot = self.free;
        let slot = if slot == NOBODY {
            self.slots.push(fresh);
            (self.slots.len() - 1) as u32
        } else {
            self.free = self.slots[slot as usize].next;
            self.slots[slot as usize] = fresh;
            slot
        };
        self.place(slot);
        Scheduled { slot, order }
    }

    /// Takes an event off the agenda; `None` if it was taken or cancelled before.
    pub fn cancel(&mut self, handle: Scheduled) -> Option<E> {
        let slot = &mut self.slots[handle.slot as usize];
        if slot.order != handle.order {
            return None;
        }
        let event = slot.event.take();
        self.live -= usize::from(event.is_some());
        event
    }

    /// Takes the next event and moves the clock to it.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        loop {
            while let Some(Reverse(key)) = self.due.pop() {
                if let Some(event) = self.empty(key as u32) {
                    let at = SimTime::from_nanos((key >> 64) as u64);
                    debug_assert!(at >= self.now, "the agenda gave {at} after {}", self.now);
                    self.now = at;
                    self.live -= 1;
                    return Some((at, event));
                }
            }
            if !self.advance() {
                return None;
            }
        }
    }

    /// Frees a slot that no list holds any more.
    fn empty(&mut self, slot: u32) -> Option<E> {
        let free = std::mem::replace(&mut self.free, slot);
        let slot = &mut self.slots[slot as usize];
        slot.next = free;
        slot.event.take()
    }

    /// Hangs a slot where its instant belongs.
    fn place(&mut self, slot: u32) {
        let Slot { at, order, .. } = self.slots[slot as usize];
        let tick = at.nanos() >> TICK_SHIFT;
        if tick <= self.tick {
            let key = u128::from(at.nanos()) << 64 | u128::from(order) << 32 | u128::from(slot);
            self.due.push(Reverse(key));
            return;
        }
        let level = (tick ^ self.tick).ilog2() / DIGIT;
        let digit = tick >> (level * DIGIT) & ((1 << DIGIT) - 1);
        let level = &mut self.levels[level as usize];
        level.filled |= 1 << digit;
        self.slots[slot as usize].next = std::mem::replace(&mut level.first[digit as usize], slot);
    }

    /// Moves the tick at hand to the next list that holds anything, and its events down; false if there is none.
    fn advance(&mut self) -> bool {
        // Lower levels hold what is nearer: their ticks share more digits with the tick at hand.
        let Some(height) = self.levels.iter().position(|level| level.filled != 0) else { return false };
        let level = &mut self.levels[height];
        let digit = level.filled.trailing_zeros();
        level.filled &= level.filled - 1;
        let mut slot = std::mem::replace(&mut level.first[digit as usize], NOBODY);
        let shift = height as u32 * DIGIT;
        self.tick = (self.tick >> shift >> DIGIT << DIGIT | u64::from(digit)) << shift;
        while slot != NOBODY {
            let next = self.slots[slot as usize].next;
            if self.slots[slot as usize].event.is_some() {
                self.place(slot);
            } else {
                self.empty(slot);
            }
            slot = next;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn class_goes_before_sequence_at_one_instant() {
        let mut agenda = Agenda::default();
        let t = SimTime::from_secs(1);
        agenda.at(t, 3, "late class");
        agenda.at(t, 1, "first of class 1");
        agenda.at(t, 1, "second of class 1");
        agenda.at(SimTime::ZERO, 9, "earlier");
        let order: Vec<&str> = std::iter::from_fn(|| agenda.pop().map(|(_, event)| event)).collect();
        assert_eq!(order, ["earlier", "first of class 1", "second of class 1", "late class"]);
    }

    #[test]
    fn a_cancelled_event_never_happens_and_its_handle_does_not_hit_a_successor() {
        let mut agenda = Agenda::default();
        let first = agenda.at(SimTime::from_secs(1), 0, 1);
        assert_eq!(agenda.cancel(first), Some(1));
        assert_eq!(agenda.cancel(first), None);
        assert_eq!(agenda.pop(), None);
        let second = agenda.at(SimTime::from_secs(2), 0, 2);
        assert_eq!(agenda.cancel(first), None, "the slot has a new tenant");
        assert_eq!(agenda.pop(), Some((SimTime::from_secs(2), 2)));
        assert_eq!(agenda.cancel(second), None);
        assert!(agenda.is_empty());
    }

    #[test]
    #[should_panic(expected = "time never runs back")]
    fn the_past_cannot_be_scheduled() {
        let mut agenda = Agenda::default();
        agenda.at(SimTime::from_secs(2), 0, ());
        agenda.pop();
        agenda.at(SimTime::from_secs(1), 0, ());
    }

    proptest! {
        /// Any mixture of scheduling, cancelling and taking gives what a sorted list would give.
        #[test]
        fn agrees_with_a_sorted_list(steps in prop::collection::vec((0u8..4, 0u64..50, 0u8..16), 1..300), spread in 0u32..52) {
            let mut agenda = Agenda::default();
            let mut model: Vec<(u64, u8, usize, Scheduled)> = Vec::new();
            for (sequence, (what, delay, class)) in steps.into_iter().enumerate() {
                match what {
                    0 | 1 => {
                        let at = agenda.now().nanos() + (delay << spread);
                        let handle = agenda.at(SimTime::from_nanos(at), class, sequence);
                        model.push((at, class, sequence, handle));
                    }
                    2 if !model.is_empty() => {
                        let (_, _, event, handle) = model.remove(delay as usize % model.len());
                        prop_assert_eq!(agenda.cancel(handle), Some(event));
                    }
                    _ => {
                        model.sort_by_key(|(at, class, sequence, _)| (*at, *class, *sequence));
                        let expected = (!model.is_empty()).then(|| model.remove(0));
                        let got = agenda.pop().map(|(at, event)| (at.nanos(), event));
                        prop_assert_eq!(got, expected.map(|(at, _, event, _)| (at, event)));
                    }
                }
                prop_assert_eq!(agenda.len(), model.len());
            }
        }
    }
}
