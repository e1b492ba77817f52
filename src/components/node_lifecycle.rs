//! The node lifecycle controller: it takes `node.kubernetes.io/not-ready:NoSchedule` off nodes that are Ready.
//!
//! Eight workers, each with one node: a GET and a PATCH through one client's limit. The patch is refused if somebody wrote the
//! node in between; then the worker pauses and begins again. Through the same limit it writes an event about each node that
//! has come or gone, one after the other, as its monitor finds them: among nine that ask in turn the workers get eight ninths
//! of the requests, which makes 8.9 nodes a second of 20 requests, for as long as events are left.
//! Source: kubernetes v1.34, `pkg/controller/nodelifecycle`, `pkg/controller/controller_utils.go` (`RemoveTaintOffNode`).

use std::collections::VecDeque;

use super::event_writer::EventWriter;
use super::*;

const WORKERS: u32 = 8;

/// `UpdateTaintBackoff`: so many tries, and a pause between two of so long and up to as much again.
const TRIES: u32 = 5;
const PAUSE: SimDuration = SimDuration::from_millis(100);

/// `--node-monitor-period`
const MONITOR_PERIOD: SimDuration = SimDuration::from_secs(5);

/// Nodes whose taint is to go, and workers without one.
#[derive(Clone, Debug)]
pub(super) struct Lifecycle {
    pub client: ClientBucket,
    queue: VecDeque<u32>,
    idle: u32,
    /// Its monitor looks at so much after each multiple of its period.
    phase: SimDuration,
    /// Nodes that came or went since.
    changed: u32,
    events: EventWriter,
}

impl Lifecycle {
    /// `phase` is the share of its period at which the monitor looks.
    pub fn new(client: ClientBucket, phase: f64) -> Lifecycle {
        let phase = MONITOR_PERIOD.mul_f64(phase);
        Lifecycle {
            client,
            queue: VecDeque::new(),
            idle: WORKERS,
            phase,
            changed: 0,
            events: EventWriter::default(),
        }
    }

    /// The next look of the monitor.
    fn next_look(&self, now: SimTime) -> SimTime {
        let (now, period) = (now.nanos(), MONITOR_PERIOD.nanos());
        let looks = now.saturating_sub(self.phase.nanos()).div_ceil(period);
        SimTime::from_nanos(looks * period + self.phase.nanos())
    }
}

impl Run<'_> {
    /// There is a Node object more, or less.
    pub(super) fn node_comes_or_goes(&mut self) {
        self.lifecycle.changed += 1;
        if self.lifecycle.changed == 1 {
            let at = self.lifecycle.next_look(self.now);
            self.at(at, Event::NodesMonitored);
        }
    }
    pub(super) fn nodes_monitored(&mut self) {
        let changed = std::mem::take(&mut self.lifecycle.changed);
        if self.lifecycle.events.add(changed) {
            self.write_node_event();
        }
    }
    /// The writer of events takes the next one.
    pub(super) fn write_node_event(&mut self) {
        if self.lifecycle.events.next() {
            let sent = self.lifecycle.client.reserve(self.now);
            let written = Event::NodeEventWritten;
            self.send_request(
                Flow::KubeSystem(Namespace::Default),
                RequestKind::Create,
                sent,
                SimDuration::ZERO,
                written,
            );
        }
    }

    /// The node is Ready and has its taint still.
    pub(super) fn await_lifecycle(&mut self, node: u32) {
        self.lifecycle.queue.push_back(node);
        self.assign_lifecycle_workers();
    }

    fn assign_lifecycle_workers(&mut self) {
        while self.lifecycle.idle > 0
            && let Some(node) = self.lifecycle.queue.pop_front()
        {
            self.lifecycle.idle -= 1;
            self.read_for_lifecycle(node);
        }
    }

    /// The node's worker reads it.
    pub(super) fn read_for_lifecycle(&mut self, node: u32) {
        let sent = self.lifecycle.client.reserve(self.now);
        let read = Event::LifecycleRead(node);
        self.send_request(Flow::KubeSystem(Namespace::None), RequestKind::Get, sent, SimDuration::ZERO, read);
    }
    /// Then it patches it.
    pub(super) fn lifecycle_read(&mut self, node: u32) {
        self.nodes[node as usize].lifecycle_read_at = self.now;
        let sent = self.lifecycle.client.reserve(self.now);
        let patched = Event::LifecyclePatched(node);
        self.send_request(
            Flow::KubeSystem(Namespace::None),
            RequestKind::Patch,
            sent,
            SimDuration::ZERO,
            patched,
        );
    }

    /// A node that Karpenter patched in between is read and patched once more.
    pub(super) fn lifecycle_patched(&mut self, node: u32) {
        let now = self.now;
        let at = &mut self.nodes[node as usize];
        if at.unregistered_gone_at > at.lifecycle_read_at && at.unregistered_gone_at <= now {
            at.lifecycle_refusals += 1;
            let refusals = at.lifecycle_refusals;
            if !refusals.is_multiple_of(TRIES) {
                let uniform = self.chance.uniform(Component::NodeLifecycle, node, refusals);
                self.at(now + PAUSE.mul_f64(1.0 + uniform), Event::LifecycleRetried(node));
                return;
            }
            // The worker gives up; what was written has brought the node back to the queue.
            self.lifecycle.queue.push_back(node);
        } else {
            at.not_ready = false;
            self.taint_gone(node);
        }
        self.lifecycle.idle += 1;
        self.assign_lifecycle_workers();
    }
}
