//! Karpenter before it had NodeClaims: the provisioner's loop launches all that a round has planned at once, waits for every
//! launch, and makes the Node objects itself. Sources: see [`super::era`].
//!
//! CreateFleet's batcher makes one call after the other. Each instance is then described by a call of its own, tried anew
//! with growing waits; if that comes to nothing Karpenter does not know of the node until its kubelet registers it. What
//! failed is not launched again: the loop begins anew at once, and its round plans for the pods again.

use std::collections::VecDeque;

use super::state::{NONE, NodeStage};
use super::*;
use crate::actors::ipamd::Api;

/// `retry.Do` around DescribeInstances: so many attempts, 1 s apart, then 2 s, and so on, each up to 0.1 s later.
const ATTEMPTS: u8 = 6;
const DELAY: SimDuration = SimDuration::from_secs(1);
const JITTER: SimDuration = SimDuration::from_millis(100);
/// Draws of a node from here on are for calls that describe its instance.
const DESCRIBE_DRAWS: u32 = 3_000;
/// The draw by which CreateFleet's batcher orders its calls.
const ORDER_DRAW: u32 = 90;

/// Launches of the loop that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Launches {
    /// Does the loop wait for launches?
    pub under_way: bool,
    /// Did any of them fail?
    failed: bool,
    /// CreateFleet calls to come, in their order, and whether one is under way.
    fleets: VecDeque<u32>,
    pub calling: bool,
    /// By node: when its Node object was made.
    pub made: BTreeMap<u32, SimTime>,
}

impl Run<'_> {
    /// The round's claims are launched, all at the same time.
    pub(super) fn launch_planned(&mut self) {
        let planned = std::mem::take(&mut self.solved);
        if planned.is_empty() {
            return;
        }
        let made = std::mem::take(&mut self.launches.made);
        self.launches = Launches { under_way: true, made, ..Launches::default() };
        self.unlaunched += planned.len() as u32;
        for node in planned {
            self.nodes[node as usize].created_at = self.now;
            self.trace_claim(node);
            self.refresh_nominated(node);
            self.launch_requested(node);
        }
    }

    /// A launch has ended. After the last the loop goes on; after an error it does so at once, whether pods come or not.
    pub(super) fn loop_launch_settled(&mut self, failed: bool) {
        self.launches.failed |= failed;
        if self.unlaunched > 0 {
            return;
        }
        self.launches.under_way = false;
        if self.launches.failed {
            self.batcher.trigger_node(self.now);
        }
        self.batcher.reopen(self.now);
        self.refresh_undecided();
        self.appoint();
    }

    /// Calls that the batcher's window has gathered, in the order of a Go map: any.
    pub(super) fn queue_fleets(&mut self, batches: std::ops::Range<u32>) {
        let chance = self.chance;
        let first = |batch: u32| self.fleets[batch as usize].claims[0];
        let mut order: Vec<u32> = batches.collect();
        order.sort_by_cached_key(|batch| chance.bits(Component::CreateFleet, first(*batch), ORDER_DRAW));
        self.launches.fleets.extend(order);
        self.send_next_fleet();
    }
    /// A call has ended, or will not be tried again.
    pub(super) fn fleet_ended(&mut self) {
        if self.launches.calling {
            self.send_next_fleet();
        }
    }
    /// The batcher's next call; after the last the window opens for what has come meanwhile.
    fn send_next_fleet(&mut self) {
        let next = self.launches.fleets.pop_front();
        self.launches.calling = next.is_some();
        match next {
            Some(batch) => self.fleet_sent(batch),
            None if !self.fleet_waiting.is_empty() => self.open_fleet_window(),
            None => {}
        }
    }

    /// The instance is launched, and described so that the Node object can be made.
    pub(super) fn describe_launched(&mut self, node: u32) {
        self.nodes[node as usize].unknown = true;
        self.instance_described(node, 1, 1);
    }

    /// DescribeInstances, the SDK's `tries`-th try in Karpenter's `attempt`-th attempt.
    pub(super) fn instance_described(&mut self, node: u32, attempt: u8, tries: u8) {
        self.api_counts[ApiCount::DESCRIBE_INSTANCES].calls += 1;
        let draw = DESCRIBE_DRAWS + 16 * u32::from(attempt) + u32::from(tries);
        if self.buckets[Api::DescribeInstances as usize].try_take(1, self.now) {
            let takes = self.draw(Latency::DescribeInstances, Component::Karpenter, node, draw);
            // EC2 lets too few through for Karpenter's own limit of 200 requests a second to matter.
            let (sent, created) = (self.now + takes, Event::NodeCreated(node));
            return self.send_request(
                Flow::KubeSystem(Namespace::None),
                RequestKind::Create,
                sent,
                SimDuration::ZERO,
                created,
            );
        }
        self.api_counts[ApiCount::DESCRIBE_INSTANCES].throttled += 1;
        let uniform = self.chance.uniform(Component::Karpenter, node, draw);
        let retries = &self.prepared.era.karpenter_retries;
        let next = match retries.after(tries.into(), || uniform) {
            Some(wait) => (wait, attempt, tries + 1),
            None if attempt < ATTEMPTS => {
                (DELAY * (1 << (attempt - 1)) + JITTER.mul_f64(uniform), attempt + 1, 1)
            }
            None => return self.forget_launched(node),
        };
        let (wait, attempt, tries) = next;
        self.at(self.now + wait, Event::InstanceDescribed { node, attempt, tries });
    }

    /// The Node object stands in the API; kubelet fills it in later.
    pub(super) fn node_created(&mut self, node: u32) {
        self.nodes[node as usize].unknown = false;
        self.launches.made.entry(node).or_insert(self.now);
        if self.disruption.on {
            self.note_nominated(node);
        }
        self.launch_settled(node, false);
    }

    /// Karpenter could not describe the instance: it takes the launch for failed.
    fn forget_launched(&mut self, node: u32) {
        let pods = std::mem::take(&mut self.nodes[node as usize].nominated);
        for pod in &pods {
            let state = &mut self.pods[*pod as usize];
            (state.nominated, state.refused) = (NONE, Some(Cause::LaunchThrottled));
            self.undecided.push(*pod);
            self.refresh_pending(*pod);
        }
        self.launch_settled(node, true);
    }

    /// Nothing of a launch that failed is left.
    pub(super) fn launch_failed(&mut self, node: u32) {
        self.nodes[node as usize].stage = NodeStage::Gone;
        self.launch_settled(node, true);
    }
}
