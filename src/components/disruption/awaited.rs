//! What Karpenter 0.19's loop began, and waited for: replacements are launched and come up, then the nodes are deleted and go.
//!
//! A replacement that cannot be launched or is not initialized after 9.5 min is an error: the nodes stay, and the loop begins
//! anew after a rest. A node that is not gone after 9.5 min is waited for no longer. Replacements are looked at together, where
//! each has waits of its own, some tenths of a second apart. Source: aws/karpenter-core cf29e8b,
//! `pkg/controllers/deprovisioning/controller.go`.

use super::queue::replacement;
use super::*;
use crate::actors::karpenter::disruption::deprovisioning::{rest_after, wait_after};

/// Draws of a node from here on are for waits between looks.
const WAIT_DRAWS: u32 = 4_000;

/// What the loop waits for.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    reason: Reason,
    nodes: Vec<u32>,
    replacements: Vec<u32>,
    awaits: Awaits,
    /// Looks so far at what is awaited.
    looks: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaits {
    /// Launches that have not ended; whether one has failed. Its nodes are cordoned, and Karpenter plans nothing for their pods.
    Launches {
        left: usize,
        failed: bool,
    },
    Initialized,
    /// The end of the node at this place, those before it are gone.
    Gone(usize),
}

impl Run<'_> {
    pub(super) fn carry_out(&mut self, command: Command) {
        let nodes: Vec<u32> = command.candidates.iter().map(|candidate| candidate.node).collect();
        let (count, left) = (nodes.len(), command.new_nodes.len());
        let line = TraceLine::new("disrupting").text("reason", command.reason.name());
        self.trace(|| line.count("nodes", count).count("replacements", left));
        let first = self.nodes.len() as u32;
        for new in command.new_nodes {
            let mut node = replacement(new);
            node.created_at = self.now;
            self.nodes.push(node);
        }
        let replacements: Vec<u32> = (first..self.nodes.len() as u32).collect();
        if left > 0 {
            nodes.iter().for_each(|node| self.taint_disrupted(*node));
        }
        let awaits = Awaits::Launches { left, failed: false };
        let launched = replacements.clone();
        let under_way = UnderWay { reason: command.reason, nodes, replacements, awaits, looks: 0 };
        self.disruption.deprovisioning.under_way = Some(under_way);
        for node in launched {
            self.trace_claim(node);
            self.launch_requested(node);
        }
        if left == 0 {
            self.delete_awaited();
        }
    }

    /// Is the claim the loop's own?
    pub(in super::super) fn replaces(&self, claim: u32) -> bool {
        let under_way = self.disruption.deprovisioning.under_way.as_ref();
        under_way.is_some_and(|under_way| under_way.replacements.contains(&claim))
    }
    /// Does the node wait for its replacement's launch? Nothing is planned for its pods then.
    pub(in super::super) fn is_only_cordoned(&self, node: u32) -> bool {
        let under_way = self.disruption.deprovisioning.under_way.as_ref();
        under_way.is_some_and(|under_way| {
            matches!(under_way.awaits, Awaits::Launches { .. }) && under_way.nodes.contains(&node)
        })
    }
    fn awaited(&mut self) -> &mut UnderWay {
        self.disruption.deprovisioning.under_way.as_mut().expect("something is under way")
    }
    fn await_next(&mut self, awaits: Awaits) {
        let under_way = self.awaited();
        (under_way.awaits, under_way.looks) = (awaits, 0);
    }

    /// The launch of a replacement has ended.
    pub(in super::super) fn replacement_settled(&mut self, now_failed: bool) {
        let Awaits::Launches { left, failed } = &mut self.awaited().awaits else { return };
        *left -= 1;
        *failed |= now_failed;
        match (*left, *failed) {
            (0, true) => self.give_nodes_back(),
            (0, false) => {
                self.await_next(Awaits::Initialized);
                self.awaited_looked_at();
            }
            _ => {}
        }
    }

    /// A look at replacements or at nodes that are to go.
    pub(super) fn awaited_looked_at(&mut self) {
        match self.awaited().awaits {
            Awaits::Launches { .. } => {}
            Awaits::Initialized => {
                let nodes = self.awaited().replacements.clone();
                let ready = |node: &u32| {
                    let at = &self.nodes[*node as usize];
                    at.lives() && at.initialized_at <= self.now
                };
                if nodes.iter().all(ready) {
                    self.delete_awaited();
                } else if !self.look_again_at(nodes[0]) {
                    self.give_nodes_back();
                }
            }
            Awaits::Gone(place) => self.await_end(place),
        }
    }

    fn delete_awaited(&mut self) {
        self.await_next(Awaits::Gone(0));
        let (nodes, reason) = (self.awaited().nodes.clone(), self.awaited().reason);
        nodes.into_iter().for_each(|node| self.delete_claim(node, reason));
        self.await_end(0);
    }

    /// Nodes are waited for one after the other.
    fn await_end(&mut self, from: usize) {
        for place in from..self.awaited().nodes.len() {
            let node = self.awaited().nodes[place];
            let at = &self.nodes[node as usize];
            if at.lives() && !at.stopped && self.look_again_at(node) {
                return;
            }
            self.await_next(Awaits::Gone(place + 1));
        }
        self.disruption.deprovisioning.under_way = None;
        self.disruption.took = SimDuration::ZERO;
        self.rest_and_poll();
    }

    /// Another look is to come, unless this was the last.
    fn look_again_at(&mut self, node: u32) -> bool {
        let under_way = self.awaited();
        under_way.looks += 1;
        let looks = under_way.looks;
        let uniform = self.chance.uniform(Component::Karpenter, node, WAIT_DRAWS + looks);
        let wait = wait_after(looks, uniform);
        if let Some(wait) = wait {
            self.at(self.now + wait, Event::DisruptionLookedAfter(0));
        }
        wait.is_some()
    }

    /// What was to be replaced is not: an error.
    fn give_nodes_back(&mut self) {
        let under_way = self.disruption.deprovisioning.under_way.take().expect("something is under way");
        for node in under_way.nodes {
            self.spare(node);
        }
        let errors = &mut self.disruption.deprovisioning.errors;
        *errors += 1;
        let rest = rest_after(*errors);
        self.at(self.now + rest, Event::DisruptionPolled);
    }
}
