//! The batch window of Karpenter's provisioner, and the pods that come back to it every ten seconds.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/batcher.go` and `controller.go`.

use std::collections::VecDeque;

use crate::units::{SimDuration, SimTime};

/// A pod that Karpenter may act on comes to the batcher anew after so long (`PodController.Reconcile`).
const REQUEUE: SimDuration = SimDuration::from_secs(10);

/// The batcher; pods are numbers from 0 on.
#[derive(Clone, Debug)]
pub struct Batcher {
    idle: SimDuration,
    max: SimDuration,
    /// Does a pod that is in the window already not prolong it?
    only_new: bool,
    /// When the window's first pod came; `None`: no window is open.
    opened: Option<SimTime>,
    /// When its last new pod came.
    last: SimTime,
    /// Windows so far, from 1 on.
    window: u32,
    /// By pod: the last window that had it, 0 for none.
    in_window: Vec<u32>,
    /// By pod: will it come again by itself?
    requeues: Vec<bool>,
    /// Pods that come again, by rising time.
    requeued: VecDeque<(SimTime, u32)>,
}

impl Batcher {
    /// `idle` is `BATCH_IDLE_DURATION`, `max` `BATCH_MAX_DURATION`.
    pub fn new(idle: SimDuration, max: SimDuration) -> Batcher {
        Batcher {
            idle,
            max,
            only_new: true,
            opened: None,
            last: SimTime::ZERO,
            window: 1,
            in_window: Vec::new(),
            requeues: Vec::new(),
            requeued: VecDeque::new(),
        }
    }

    /// The same of Karpenter 0.19, in which every pod that came prolonged the window, new there or not.
    pub fn prolonged_by_all(self) -> Batcher {
        Batcher { only_new: false, ..self }
    }

    /// A pod comes: it opens a window or prolongs it, if it is not in it already.
    pub fn trigger(&mut self, pod: u32, at: SimTime) {
        if self.requeues.len() <= pod as usize {
            self.requeues.resize(pod as usize + 1, false);
            self.in_window.resize(pod as usize + 1, 0);
        }
        if !std::mem::replace(&mut self.requeues[pod as usize], true) {
            self.requeued.push_back((at + REQUEUE, pod));
        }
        self.enter(pod, at);
    }
    /// A node whose pods must move comes; it is taken for new.
    pub fn trigger_node(&mut self, at: SimTime) {
        self.signal(at);
    }

    fn enter(&mut self, pod: u32, at: SimTime) {
        let is_new = std::mem::replace(&mut self.in_window[pod as usize], self.window) != self.window;
        if is_new || !self.only_new {
            self.signal(at);
        }
    }
    fn signal(&mut self, at: SimTime) {
        self.opened.get_or_insert(at);
        self.last = self.last.max(at);
    }

    /// Lets pods that are due come again, those for which there is `still` something to do.
    pub fn requeue_due(&mut self, now: SimTime, still: impl Fn(u32) -> bool) {
        while let Some((at, pod)) = self.requeued.front().copied().filter(|(at, _)| *at <= now) {
            self.requeued.pop_front();
            let comes = still(pod);
            self.requeues[pod as usize] = comes;
            if comes {
                self.requeued.push_back((at + REQUEUE, pod));
                self.enter(pod, at);
            }
        }
    }

    fn window_end(&self) -> Option<SimTime> {
        Some((self.last + self.idle).min(self.opened? + self.max))
    }
    /// When to look again: at the window's end, or when the next pod that comes again would have ended one.
    pub fn next_look(&self) -> Option<SimTime> {
        self.window_end().or_else(|| self.requeued.front().map(|(at, _)| *at + self.idle))
    }
    /// Closes the window if it is over; was it?
    pub fn close(&mut self, now: SimTime) -> bool {
        let over = self.window_end().is_some_and(|end| end <= now);
        if over {
            self.opened = None;
            self.window += 1;
        }
        over
    }
    /// Signals that came while a round was under way open the next window now.
    pub fn reopen(&mut self, now: SimTime) {
        if self.opened.is_some() {
            (self.opened, self.last) = (Some(now), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> SimTime {
        SimTime::from_secs(seconds)
    }

    /// Case V1 of the real tests: a pod that is in the window already does not prolong it.
    #[test]
    fn only_new_pods_prolong_a_window_and_none_beyond_its_longest() {
        let mut batcher = Batcher::new(SimDuration::from_secs(5), SimDuration::from_secs(10));
        batcher.trigger(0, seconds(0));
        batcher.trigger(0, seconds(3));
        assert_eq!(batcher.next_look(), Some(seconds(5)));
        batcher.trigger(1, seconds(4));
        assert_eq!(batcher.next_look(), Some(seconds(9)));
        batcher.trigger(2, seconds(8));
        assert_eq!(batcher.next_look(), Some(seconds(10)));
        assert!(!batcher.close(seconds(9)) && batcher.close(seconds(10)));
    }

    #[test]
    fn before_every_pod_prolonged_a_window() {
        let batcher = Batcher::new(SimDuration::from_secs(5), SimDuration::from_secs(10));
        let mut batcher = batcher.prolonged_by_all();
        batcher.trigger(0, seconds(0));
        batcher.trigger(0, seconds(3));
        assert_eq!(batcher.next_look(), Some(seconds(8)));
    }

    #[test]
    fn a_pod_comes_again_every_ten_seconds_as_long_as_it_waits() {
        let mut batcher = Batcher::new(SimDuration::from_secs(1), SimDuration::from_secs(10));
        batcher.trigger(0, seconds(0));
        assert!(batcher.close(seconds(1)));
        assert_eq!(batcher.next_look(), Some(seconds(11)));
        batcher.requeue_due(seconds(11), |_| true);
        assert!(batcher.close(seconds(11)));
        batcher.requeue_due(seconds(30), |_| false);
        assert_eq!(batcher.next_look(), None);
    }
}
