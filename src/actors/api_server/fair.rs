//! One priority level's queues: each flow's requests go to the shortest of the few that its hash deals to it, and queues are
//! served in fair turn.
//!
//! Fair turn goes by virtual time R, which runs as fast as each queue with work would be served if all shared the level's seats
//! alike. A queue's next request starts, in virtual time, when what was served of the queue before has its share; the queue
//! whose next request would end first is next. A request counts for 3 ms until it is done, and then for what it took.
//!
//! Left out: seats that a write holds on to for the sake of those who watch. R never comes near the end of its numbers.
//! Source: kubernetes v1.34.4, `apiserver/pkg/util/flowcontrol/fairqueuing/queueset` and `apiserver/pkg/util/shufflesharding`.

use std::collections::VecDeque;

use crate::units::SimDuration;

/// What a request is taken to last as long as it is not done (ns).
const ESTIMATED: f64 = 3e6;
/// Places in each queue.
const QUEUE_LENGTH: usize = 50;

/// Seats times their time (ns), in hundred-millionths of a second, as the server counts.
fn seat_seconds(seats: f64, nanos: f64) -> i64 {
    libm::round(seats * nanos / 10.0) as i64
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: u32,
    width: u32,
    /// R at its arrival.
    arrival: i64,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    /// When, by R, its next request starts.
    next: i64,
    waiting: VecDeque<Waiting>,
    seats_waiting: u32,
    executing: u32,
}

impl Queue {
    fn has_work(&self) -> bool {
        self.executing > 0 || !self.waiting.is_empty()
    }
    /// Nothing starts before it arrives, even where the queue has had less than its share.
    fn bound(&mut self) {
        if let Some(head) = self.waiting.front() {
            self.next = self.next.max(head.arrival);
        }
    }
    /// When, by R, its head would be done.
    fn finish(&self) -> Option<i64> {
        let head = self.waiting.front()?;
        Some(self.next + seat_seconds(f64::from(head.width), ESTIMATED))
    }
}

/// See the module's page. Before anything else is asked of it, it is told the time (`pass`).
#[derive(Clone, Debug)]
pub(super) struct Queues {
    queues: Vec<Queue>,
    hand: u32,
    r: i64,
    /// The queue that was served last.
    robin: usize,
    enqueued: usize,
    waiting: u32,
    /// Seats that those who wait ask for, and those that are taken.
    pub seats_waiting: u32,
    pub busy: u32,
    executing: u32,
    /// Queues with work.
    active: u32,
}

impl Queues {
    /// So many queues, of which a flow has so many.
    pub fn new(queues: u32, hand: u32) -> Queues {
        Queues {
            queues: vec![Queue::default(); queues as usize],
            hand,
            r: 0,
            robin: 0,
            enqueued: 0,
            waiting: 0,
            seats_waiting: 0,
            busy: 0,
            executing: 0,
            active: 0,
        }
    }

    pub fn any_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// As it is now it has been for so long, with so many seats.
    pub fn pass(&mut self, span: SimDuration, limit: u32) {
        if self.active > 0 {
            let seats = f64::from((self.busy + self.seats_waiting).min(limit));
            self.r += seat_seconds(seats / f64::from(self.active), span.nanos() as f64);
        }
    }

    /// A request of a flow with this hash comes; its queue, unless that is full and no seat is free.
    pub fn enqueue(&mut self, request: u32, hash: u64, width: u32, limit: u32) -> Option<u32> {
        let place = self.shortest(hash);
        let queue = &mut self.queues[place];
        let full = self.busy >= limit && queue.waiting.len() >= QUEUE_LENGTH;
        if !full {
            if !queue.has_work() {
                queue.next = self.r;
                self.active += 1;
            }
            queue.waiting.push_back(Waiting { request, width, arrival: self.r });
            queue.seats_waiting += width;
            self.waiting += 1;
            self.seats_waiting += width;
        }
        queue.bound();
        (!full).then_some(place as u32)
    }

    /// Of the flow's queues the one with least to do, from another one on each time.
    fn shortest(&mut self, hash: u64) -> usize {
        let hand = deal(hash, self.queues.len() as u64, self.hand);
        let offset = self.enqueued % hand.len();
        self.enqueued += 1;
        let order = hand[offset..].iter().chain(&hand[..offset]).map(|place| *place as usize);
        order.min_by_key(|place| self.queues[*place].seats_waiting).expect("a hand has cards")
    }

    /// Starts the next request in fair turn, if there are seats for it; its queue and width too.
    pub fn dispatch(&mut self, limit: u32) -> Option<(u32, u32, u32)> {
        if self.waiting == 0 || self.busy >= limit {
            return None;
        }
        let all = self.queues.len();
        let order = (1..=all).map(|step| (self.robin + step) % all);
        let finishes = order.filter_map(|place| Some((self.queues[place].finish()?, place)));
        let (_, place) = finishes.min_by_key(|(finish, _)| *finish).expect("somebody waits");
        let queue = &mut self.queues[place];
        let Waiting { request, width, .. } = *queue.waiting.front().expect("its head would be done first");
        // One wider than the level is served once it is alone there.
        if self.busy + width > limit && self.executing > 0 {
            return None;
        }
        self.robin = place;
        queue.waiting.pop_front();
        queue.seats_waiting -= width;
        queue.executing += 1;
        queue.next += seat_seconds(f64::from(width), ESTIMATED);
        queue.bound();
        self.waiting -= 1;
        self.seats_waiting -= width;
        self.busy += width;
        self.executing += 1;
        Some((request, place as u32, width))
    }

    /// A request of the queue is done, and was served for so long.
    pub fn finish(&mut self, queue: u32, width: u32, served: SimDuration) {
        let queue = &mut self.queues[queue as usize];
        queue.executing -= 1;
        queue.next -= seat_seconds(f64::from(width), ESTIMATED - served.nanos() as f64);
        queue.bound();
        self.active -= u32::from(!queue.has_work());
        self.busy -= width;
        self.executing -= 1;
    }

    /// A request of the queue waits no more.
    ///
    /// # Panics
    /// If it does not wait.
    pub fn remove(&mut self, queue: u32, request: u32) {
        let queue = &mut self.queues[queue as usize];
        let place = queue.waiting.iter().position(|other| other.request == request);
        let gone = queue.waiting.remove(place.expect("who gives up waits")).expect("the place is within");
        queue.seats_waiting -= gone.width;
        queue.bound();
        self.active -= u32::from(!queue.has_work());
        self.waiting -= 1;
        self.seats_waiting -= gone.width;
    }
}

/// So many different numbers below `deck`, as the hash says: shuffle sharding.
fn deal(mut hash: u64, deck: u64, hand: u32) -> Vec<u64> {
    let mut remainders = Vec::with_capacity(hand as usize);
    for dealt in 0..u64::from(hand) {
        remainders.push(hash % (deck - dealt));
        hash /= deck - dealt;
    }
    let card = |place: usize| {
        let before = remainders[..place].iter().rev();
        before.fold(remainders[place], |card, other| card + u64::from(card >= *other))
    };
    (0..remainders.len()).map(card).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A hand has no card twice, and every card is dealt as first.
        #[test]
        fn hands_are_dealt_without_repeats(hash in any::<u64>(), deck in 6u64..129, hand in 1u32..7) {
            let dealt = deal(hash, deck, hand);
            prop_assert_eq!(dealt.iter().copied().collect::<BTreeSet<u64>>().len(), hand as usize);
            prop_assert!(dealt.iter().all(|card| *card < deck));
            prop_assert_eq!(deal(hash % deck, deck, 1), [hash % deck]);
        }
    }

    /// By hand: 23 = 5 + 6 (3): 5 first; of five left 3 is the fourth, 3 again; of four left 0.
    #[test]
    fn a_hand_is_the_published_one() {
        assert_eq!(deal(23, 6, 3), [5, 3, 0]);
        assert_eq!(deal(0, 6, 3), [0, 1, 2]);
    }

    /// Requests that are there from the start on, so many of each flow, each served for so many ms, on one seat: the flows of the
    /// first as they are served.
    fn turns(flows: [(u64, u32, u64); 2], most: usize) -> Vec<usize> {
        let mut queues = Queues::new(64, 1);
        let mut known = Vec::new();
        for (flow, (hash, count, _)) in flows.into_iter().enumerate() {
            for _ in 0..count {
                queues.enqueue(known.len() as u32, hash, 1, 1).expect("there is a place");
                known.push(flow);
            }
        }
        let mut served = Vec::new();
        while served.len() < most
            && let Some((request, queue, width)) = queues.dispatch(1)
        {
            let flow = known[request as usize];
            let span = SimDuration::from_millis(flows[flow].2);
            queues.pass(span, 1);
            queues.finish(queue, width, span);
            served.push(flow);
        }
        served
    }

    #[test]
    fn flows_have_their_turn_whatever_they_ask_for() {
        let of_second = |served: &[usize]| served.iter().filter(|flow| **flow == 1).count();
        // Forty wait of the one, ten of the other, which is served as often as long as it has any.
        assert_eq!(of_second(&turns([(1, 40, 10), (2, 10, 10)], 20)), 10);
        // What takes three times as long has its turn a third as often.
        assert_eq!(of_second(&turns([(1, 40, 10), (2, 40, 30)], 40)), 10);
        // In one queue: in order of arrival.
        assert_eq!(turns([(1, 20, 10), (1, 10, 10)], 20), [0; 20]);
    }

    /// A flow that had nothing to do for a while has no claim to what it did not use.
    #[test]
    fn nobody_saves_up() {
        let mut queues = Queues::new(64, 1);
        (0..30).for_each(|request| assert!(queues.enqueue(request, 1, 1, 1).is_some()));
        let mut late = 0;
        for served in 0..20 {
            if served == 10 {
                (100..110).for_each(|request| assert!(queues.enqueue(request, 2, 1, 1).is_some()));
            }
            let (request, queue, width) = queues.dispatch(1).expect("somebody waits");
            late += u32::from(request >= 100);
            queues.pass(SimDuration::from_millis(10), 1);
            queues.finish(queue, width, SimDuration::from_millis(10));
        }
        assert!((4..=6).contains(&late), "{late} of ten turns");
    }
}
