//! The future event list: a hierarchical timing wheel, with a sorted list for the tick at hand.
//!
//! Time is cut into ticks of 8.4 ms. An event hangs in the list of its tick, of its 2,048 ticks, and so on: at the
//! level of the highest digit, to base 2,048, in which its tick differs from the tick at hand. So what is less than
//! some 17 s away, nearly all of a run, hangs where it will be taken from at once. When a level's next list comes
//! up its events move down; those of the tick at hand are sorted, and they alone stand in their exact order.
//! Cancelling empties the slot; what is left of it is dropped when it comes up. What it saves the main job stands in
//! `benches/README.md`.

use crate::units::SimTime;

/// Sequence numbers take the 28 bits below the class.
const CLASS_SHIFT: u32 = 28;
/// So many events one run may schedule; a run of 3,500 pods needs about a hundred thousand.
const MAX_SCHEDULED: u32 = (1 << CLASS_SHIFT) - 1;

/// A tick is 2^23 ns: of a run's events some two share one.
const TICK_SHIFT: u32 = 23;
/// Bits of a digit.
const DIGIT: u32 = 11;
/// Lists of a level.
const LISTS: usize = 1 << DIGIT;
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
#[derive(Clone, Debug)]
pub struct Agenda<E> {
    /// Events up to the tick at hand in their order: `time << 64 | class << 60 | sequence << 32 | slot`.
    due: Vec<u128>,
    /// So many of them are taken.
    taken: usize,
    tick: u64,
    levels: Box<[Level; LEVELS]>,
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
    /// A bit a word of `filled`: it is not zero.
    words: u32,
    /// A bit a list: it holds something.
    filled: [u64; LISTS / 64],
    first: [u32; LISTS],
}

#[derive(Clone, Copy, Debug)]
struct Slot<E> {
    at: SimTime,
    /// Class and sequence number, by which an old handle is told apart; [`NOBODY`] once taken or cancelled.
    order: u32,
    /// The next slot of its list.
    next: u32,
    event: E,
}

impl Level {
    const EMPTY: Level = Level { words: 0, filled: [0; LISTS / 64], first: [NOBODY; LISTS] };

    /// Makes `slot` the first of a list; the one that was.
    fn hang(&mut self, digit: usize, slot: u32) -> u32 {
        self.words |= 1 << (digit / 64);
        self.filled[digit / 64] |= 1 << (digit % 64);
        std::mem::replace(&mut self.first[digit], slot)
    }

    /// Takes down the lowest list of a level that holds something: its digit, and its first slot.
    fn take_lowest(&mut self) -> (u64, u32) {
        let word = self.words.trailing_zeros() as usize;
        let filled = &mut self.filled[word];
        let digit = word * 64 + filled.trailing_zeros() as usize;
        *filled &= *filled - 1;
        if *filled == 0 {
            self.words &= self.words - 1;
        }
        (digit as u64, std::mem::replace(&mut self.first[digit], NOBODY))
    }
}

impl<E> Slot<E> {
    #[inline]
    fn key(&self, slot: u32) -> u128 {
        u128::from(self.at.nanos()) << 64 | u128::from(self.order) << 32 | u128::from(slot)
    }
}

impl<E: Copy> Default for Agenda<E> {
    fn default() -> Self {
        Agenda::with_capacity(0)
    }
}

impl<E: Copy> Agenda<E> {
    pub fn with_capacity(events: usize) -> Self {
        Agenda {
            due: Vec::new(),
            taken: 0,
            tick: 0,
            levels: Box::new([Level::EMPTY; LEVELS]),
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
    /// If `at` lies in the past, if `class` is above 15, or after some 2^28 events.
    pub fn at(&mut self, at: SimTime, class: u8, event: E) -> Scheduled {
        assert!(at >= self.now, "an event for {at} was scheduled at {}: time never runs back", self.now);
        assert!(class < 16, "event class {class} does not fit into four bits");
        assert!(self.scheduled < MAX_SCHEDULED, "more than {MAX_SCHEDULED} events in one run");
        let order = u32::from(class) << CLASS_SHIFT | self.scheduled;
        self.scheduled += 1;
        self.live += 1;
        let tick = at.nanos() >> TICK_SHIFT;
        let fresh = Slot { at, order, next: NOBODY, event };
        let slot = self.free;
        let slot = if slot == NOBODY {
            self.slots.push(fresh);
            (self.slots.len() - 1) as u32
        } else {
            let place = &mut self.slots[slot as usize];
            self.free = place.next;
            *place = fresh;
            slot
        };
        self.place(slot, tick);
        Scheduled { slot, order }
    }

    /// Takes an event off the agenda; `None` if it was taken or cancelled before.
    pub fn cancel(&mut self, handle: Scheduled) -> Option<E> {
        let slot = &mut self.slots[handle.slot as usize];
        if slot.order != handle.order {
            return None;
        }
        slot.order = NOBODY;
        self.live -= 1;
        Some(slot.event)
    }

    /// Takes the next event and moves the clock to it.
    #[inline]
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        loop {
            while let Some(key) = self.due.get(self.taken).copied() {
                self.taken += 1;
                if let Some(next) = self.take(key as u32) {
                    return Some(next);
                }
            }
            let slot = self.advance()?;
            if slot != NOBODY
                && let Some(next) = self.take(slot)
            {
                return Some(next);
            }
        }
    }

    /// Frees a slot that no list holds any more; its event, unless it was cancelled.
    #[inline]
    fn take(&mut self, slot: u32) -> Option<(SimTime, E)> {
        let free = std::mem::replace(&mut self.free, slot);
        let slot = &mut self.slots[slot as usize];
        slot.next = free;
        if std::mem::replace(&mut slot.order, NOBODY) == NOBODY {
            return None;
        }
        debug_assert!(slot.at >= self.now, "the agenda gave {} after {}", slot.at, self.now);
        self.now = slot.at;
        self.live -= 1;
        Some((slot.at, slot.event))
    }

    /// Hangs a slot where its instant, which lies in `tick`, belongs.
    #[inline]
    fn place(&mut self, slot: u32, tick: u64) {
        if tick <= self.tick {
            return self.insert_due(slot);
        }
        let apart = tick ^ self.tick;
        if apart >= LISTS as u64 {
            return self.place_far(slot, tick, apart);
        }
        self.slots[slot as usize].next = self.levels[0].hang(tick as usize % LISTS, slot);
    }
    #[inline(never)]
    fn place_far(&mut self, slot: u32, tick: u64, apart: u64) {
        let level = apart.ilog2() / DIGIT;
        let digit = (tick >> (level * DIGIT)) as usize % LISTS;
        self.slots[slot as usize].next = self.levels[level as usize].hang(digit, slot);
    }

    /// Puts an event of the tick at hand among those still to be taken; most belong behind them all.
    fn insert_due(&mut self, slot: u32) {
        let key = self.slots[slot as usize].key(slot);
        let later = self.due[self.taken..].iter().rev().take_while(|other| **other > key).count();
        self.due.insert(self.due.len() - later, key);
    }

    /// Moves the tick at hand to the next list that holds anything, and its events down; `None` if there is none. The
    /// slot, if it is the only one of its tick, else [`NOBODY`].
    fn advance(&mut self) -> Option<u32> {
        self.due.clear();
        self.taken = 0;
        // Lower levels hold what is nearer: their ticks share more digits with the tick at hand.
        let height = self.levels.iter().position(|level| level.words != 0)?;
        let (digit, mut slot) = self.levels[height].take_lowest();
        let shift = height as u32 * DIGIT;
        self.tick = (self.tick >> shift >> DIGIT << DIGIT | digit) << shift;
        if height > 0 {
            self.move_down(slot);
            return Some(NOBODY);
        }
        if self.slots[slot as usize].next == NOBODY {
            return Some(slot);
        }
        while slot != NOBODY {
            let at = &self.slots[slot as usize];
            self.due.push(at.key(slot));
            slot = at.next;
        }
        match &mut self.due[..] {
            [first, second] if *first > *second => std::mem::swap(first, second),
            [_, _] => {}
            due => due.sort_unstable(),
        }
        Some(NOBODY)
    }

    /// Hangs the slots of a list nearer.
    fn move_down(&mut self, mut slot: u32) {
        while slot != NOBODY {
            let Slot { at, order, next, .. } = &self.slots[slot as usize];
            let (tick, next, cancelled) = (at.nanos() >> TICK_SHIFT, *next, *order == NOBODY);
            if cancelled {
                self.take(slot);
            } else {
                self.place(slot, tick);
            }
            slot = next;
        }
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
