//! The future event list: a 4-ary heap of 16-byte keys over a slab of events.
//!
//! A key packs time, class, sequence number and slab slot into one integer, so that an order is one
//! comparison and four children share a cache line. Cancelling marks the slot; the key is dropped when
//! it surfaces. Measured against a binary heap and a pairing heap in `benches/README.md`.

use crate::units::SimTime;

/// Sequence numbers take the 28 bits below the class.
const CLASS_SHIFT: u32 = 28;
/// So many events one run may schedule; a run of 3,500 pods needs about a hundred thousand.
const MAX_SCHEDULED: u32 = 1 << CLASS_SHIFT;

/// Handle of a scheduled event, for cancelling it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scheduled {
    slot: u32,
    order: u32,
}

/// Events to come, in order of (time, class, sequence).
#[derive(Debug)]
pub struct Agenda<E> {
    /// `time << 64 | class << 60 | sequence << 32 | slot`.
    heap: Vec<u128>,
    /// The event of each slot with the order it was given, so that an old handle is told apart.
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    now: SimTime,
    scheduled: u32,
    live: usize,
}

#[derive(Debug)]
struct Slot<E> {
    order: u32,
    event: Option<E>,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Agenda {
            heap: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            now: SimTime::ZERO,
            scheduled: 0,
            live: 0,
        }
    }
}

impl<E> Agenda<E> {
    pub fn with_capacity(events: usize) -> Self {
        Agenda {
            heap: Vec::with_capacity(events),
            slots: Vec::with_capacity(events),
            free: Vec::with_capacity(events),
            ..Agenda::default()
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
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Slot { order, event: Some(event) };
                slot
            }
            None => {
                self.slots.push(Slot { order, event: Some(event) });
                (self.slots.len() - 1) as u32
            }
        };
        self.heap.push(u128::from(at.nanos()) << 64 | u128::from(order) << 32 | u128::from(slot));
        self.sift_up(self.heap.len() - 1);
        self.live += 1;
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

    /// The instant of the next event.
    pub fn next_at(&mut self) -> Option<SimTime> {
        self.drop_cancelled();
        self.heap.first().map(|key| SimTime::from_nanos((key >> 64) as u64))
    }

    /// Takes the next event and moves the clock to it.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        loop {
            let key = self.pop_key()?;
            let slot = key as u32;
            self.free.push(slot);
            if let Some(event) = self.slots[slot as usize].event.take() {
                let at = SimTime::from_nanos((key >> 64) as u64);
                debug_assert!(at >= self.now, "the heap gave {at} after {}", self.now);
                self.now = at;
                self.live -= 1;
                return Some((at, event));
            }
        }
    }

    fn drop_cancelled(&mut self) {
        while let Some(key) = self.heap.first() {
            let slot = *key as u32;
            if self.slots[slot as usize].event.is_some() {
                return;
            }
            self.pop_key();
            self.free.push(slot);
        }
    }

    fn pop_key(&mut self) -> Option<u128> {
        let last = self.heap.pop()?;
        let Some(top) = self.heap.first().copied() else { return Some(last) };
        self.sift_down(last);
        Some(top)
    }

    fn sift_up(&mut self, mut place: usize) {
        let key = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 4;
            if self.heap[parent] <= key {
                break;
            }
            self.heap[place] = self.heap[parent];
            place = parent;
        }
        self.heap[place] = key;
    }

    /// Puts `key` in place of the root: down to a leaf along the smallest children, then up again,
    /// since a key from the end of the heap nearly always belongs near the end.
    fn sift_down(&mut self, key: u128) {
        let heap = &mut self.heap[..];
        let (mut place, length) = (0, heap.len());
        loop {
            let first = 4 * place + 1;
            if first + 4 <= length {
                let c = &heap[first..first + 4];
                let left = if c[1] < c[0] { (1, c[1]) } else { (0, c[0]) };
                let right = if c[3] < c[2] { (3, c[3]) } else { (2, c[2]) };
                let least = if right.1 < left.1 { right } else { left };
                heap[place] = least.1;
                place = first + least.0;
            } else if first < length {
                let mut least = first;
                for child in first + 1..length {
                    if heap[child] < heap[least] {
                        least = child;
                    }
                }
                heap[place] = heap[least];
                place = least;
            } else {
                break;
            }
        }
        heap[place] = key;
        self.sift_up(place);
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
        assert_eq!(agenda.next_at(), None);
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
        fn agrees_with_a_sorted_list(steps in prop::collection::vec((0u8..4, 0u64..50, 0u8..16), 1..300)) {
            let mut agenda = Agenda::default();
            let mut model: Vec<(u64, u8, usize, Scheduled)> = Vec::new();
            for (sequence, (what, delay, class)) in steps.into_iter().enumerate() {
                match what {
                    0 | 1 => {
                        let at = agenda.now().nanos() + delay;
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
