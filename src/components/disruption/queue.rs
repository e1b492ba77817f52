//! Carrying out what the disruption loop found: taint, launch the replacements, wait for them, delete the claims.
//!
//! Source: karpenter v1.14.0, `pkg/controllers/disruption/queue.go`.

use super::super::state::NodeStage;
use super::*;

const LOOK: SimDuration = SimDuration::from_secs(1);
/// A command that has not come about after so long is given up; so much for each node in the queue, within bounds.
const TIMEOUT_EACH: SimDuration = SimDuration::from_millis(80);
const TIMEOUT_LEAST: SimDuration = SimDuration::from_secs(600);
const TIMEOUT_MOST: SimDuration = SimDuration::from_secs(3_600);

/// A command under way.
#[derive(Clone, Debug)]
pub(super) struct Started {
    reason: Reason,
    nodes: Vec<u32>,
    replacements: Vec<u32>,
    at: SimTime,
    over: bool,
}

impl Run<'_> {
    pub(super) fn start_command(&mut self, command: Command) {
        let nodes: Vec<u32> = command.candidates.iter().map(|candidate| candidate.node).collect();
        let (count, new) = (nodes.len(), command.new_nodes.len());
        let line = TraceLine::new("disrupting").text("reason", command.reason.name());
        self.trace(|| line.count("nodes", count).count("replacements", new));
        nodes.iter().for_each(|node| self.taint_disrupted(*node));
        let replacements = command.new_nodes.into_iter().map(|new| self.make_replacement(new)).collect();
        command.onto.iter().for_each(|node| self.note_nominated(*node));
        self.disruption.changed_at = self.now;
        let index = self.disruption.queue.len() as u32;
        let (reason, at) = (command.reason, self.now);
        self.disruption.queue.push(Started { reason, nodes, replacements, at, over: false });
        self.at(self.now, Event::DisruptionLookedAfter(index));
    }

    fn make_replacement(&mut self, new: NewNode) -> u32 {
        let node = self.nodes.len() as u32;
        self.nodes.push(replacement(new));
        self.claim_exists(node);
        node
    }

    /// Once all replacements are initialized, the claims are deleted.
    pub(in super::super) fn disruption_looked_after(&mut self, index: u32) {
        if self.prepared.era.deprovisioning {
            return self.awaited_looked_at();
        }
        let under_way = self.disruption.queue.iter().filter(|started| !started.over);
        let in_queue: usize = under_way.map(|started| started.nodes.len()).sum();
        let timeout = (TIMEOUT_EACH * in_queue as u64).max(TIMEOUT_LEAST).min(TIMEOUT_MOST);
        let started = &self.disruption.queue[index as usize];
        let replacement = |node: &u32| &self.nodes[*node as usize];
        let ready = |node: &u32| replacement(node).lives() && replacement(node).initialized_at <= self.now;
        let (all_ready, any_gone) = (
            started.replacements.iter().all(ready),
            started.replacements.iter().any(|node| replacement(node).stage == NodeStage::Gone),
        );
        if !all_ready && !any_gone && self.now.since(started.at) <= timeout {
            self.at(self.now + LOOK, Event::DisruptionLookedAfter(index));
            return;
        }
        let (reason, nodes) = (started.reason, started.nodes.clone());
        self.disruption.queue[index as usize].over = true;
        self.disruption.changed_at = self.now;
        for node in nodes {
            if all_ready {
                self.delete_claim(node, reason);
            } else {
                self.spare(node);
            }
        }
    }

    /// The node stays after all, unless it goes for another reason.
    pub(super) fn spare(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        if at.lives() && at.leaving.is_none() {
            at.disrupted = false;
            self.untainted(node);
        }
    }
}

/// The claim of what is to be launched.
pub(super) fn replacement(new: NewNode) -> Node {
    Node {
        planned: new.requests,
        planned_pods: new.pods,
        claim: Some(new.spec.into()),
        ..Node::claim(new.pool)
    }
}
