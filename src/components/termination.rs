//! TerminateInstances: Karpenter's batcher, EC2's limit on the call, and what comes of a throttle.
//!
//! A batch that is still throttled after the SDK's three tries is broken up, and each of its instances asked for alone;
//! one that is refused alone comes to the batcher again after its controller's back-off. Left out: DescribeInstances
//! before each call. Source: karpenter-provider-aws v1.14.1, `pkg/batcher/terminateinstances.go`; karpenter core
//! v1.14.0, `pkg/controllers/node/termination/controller.go`.

use super::*;

const IDLE: SimDuration = SimDuration::from_millis(100);
const MAX: SimDuration = SimDuration::from_secs(1);
const MOST: usize = 500;
/// The controller's back-off after an error, doubled each time up to the longest.
const BACK_OFF: SimDuration = SimDuration::from_millis(100);
const BACK_OFF_MAX: SimDuration = SimDuration::from_secs(10);
/// Draws of a node from here on are for waits between tries.
const RETRY_DRAWS: u32 = 2_000;

/// Instances that are to go.
#[derive(Clone, Debug)]
pub(super) struct Terminations {
    bucket: TokenBucket,
    waiting: Vec<u32>,
    opened: SimTime,
    last: SimTime,
    calls: Vec<TerminateCall>,
}

/// One TerminateInstances.
#[derive(Clone, Debug)]
struct TerminateCall {
    nodes: Vec<u32>,
    tries: u32,
    /// Of a batch that was broken up.
    alone: bool,
}

impl Terminations {
    pub fn new(bucket: TokenBucket) -> Terminations {
        let (opened, last) = (SimTime::ZERO, SimTime::ZERO);
        Terminations { bucket, waiting: Vec::new(), opened, last, calls: Vec::new() }
    }
}

impl Run<'_> {
    /// The node is drained, or never joined: its instance joins the batcher's window, unless EC2 takes it anyhow.
    pub(super) fn terminate_instance(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        if let Some(leaving) = &mut at.leaving {
            leaving.terminates = true;
        }
        if at.stopped {
            return;
        }
        if !self.prepared.era.batches_terminations {
            return self.call_terminate(vec![node], true);
        }
        let all = &mut self.terminations;
        all.waiting.push(node);
        all.last = self.now;
        if all.waiting.len() == 1 {
            all.opened = self.now;
            self.at(self.now + IDLE, Event::TerminateWindowCloses);
        }
    }

    pub(super) fn terminate_window_closes(&mut self) {
        let all = &mut self.terminations;
        let closes = (all.last + IDLE).min(all.opened + MAX);
        if closes > self.now && all.waiting.len() < MOST {
            self.at(closes, Event::TerminateWindowCloses);
            return;
        }
        let nodes = std::mem::take(&mut all.waiting);
        self.call_terminate(nodes, false);
    }

    fn call_terminate(&mut self, nodes: Vec<u32>, alone: bool) {
        let call = self.terminations.calls.len() as u32;
        self.terminations.calls.push(TerminateCall { nodes, tries: 0, alone });
        self.terminate_sent(call);
    }

    /// One call. Throttled, the SDK sends it again.
    pub(super) fn terminate_sent(&mut self, index: u32) {
        let call = &mut self.terminations.calls[index as usize];
        call.tries += 1;
        let (tries, first) = (call.tries, call.nodes[0]);
        self.api_counts[ApiCount::TERMINATE_INSTANCES].calls += 1;
        if self.terminations.bucket.try_take(1, self.now) {
            let takes = self.draw(Latency::TerminateInstances, Component::Karpenter, first, 3);
            let call = &mut self.terminations.calls[index as usize];
            for node in std::mem::take(&mut call.nodes) {
                self.at(self.now + takes, Event::InstanceStopping(node));
            }
            return;
        }
        self.api_counts[ApiCount::TERMINATE_INSTANCES].throttled += 1;
        let at = &mut self.nodes[first as usize];
        at.terminate_throttles += 1;
        let (chance, draw) = (self.chance, RETRY_DRAWS + at.terminate_throttles);
        match self
            .prepared
            .era
            .karpenter_retries
            .after(tries, || chance.uniform(Component::Karpenter, first, draw))
        {
            Some(wait) => drop(self.at(self.now + wait, Event::TerminateSent(index))),
            None => self.terminate_failed(index),
        }
    }

    fn terminate_failed(&mut self, index: u32) {
        let call = &mut self.terminations.calls[index as usize];
        let (nodes, alone) = (std::mem::take(&mut call.nodes), call.alone);
        for node in nodes {
            if alone {
                let throttles = self.nodes[node as usize].terminate_throttles;
                // Three throttles are one error.
                let wait = (BACK_OFF * (1 << (throttles / 3).min(10))).min(BACK_OFF_MAX);
                self.at(self.now + wait, Event::TerminateRequested(node));
            } else {
                self.call_terminate(vec![node], true);
            }
        }
    }
}
