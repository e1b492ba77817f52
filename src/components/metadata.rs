//! What instance metadata lists of a node's ENIs where it is not what ipamd's store has: after a restart of aws-node,
//! for a while after an ENI is detached, after calls that failed for good, and with ENIs that others attach. Everywhere else reconciles find what the store has, and nothing here is asked.

use super::state::{Held, Tie};
use super::*;
use crate::actors::ipamd::unmanaged::{EniTags, is_unmanaged};
use crate::scenario::CniMode;

/// ENIs and the numbers of their CIDRs.
pub(super) type Listed = Vec<(u32, Vec<u32>)>;

impl Run<'_> {
    /// What somebody attaches to the instance as it comes, as far as the type and the subnet have room. It takes no part in
    /// the waste, if ipamd leaves it alone.
    pub(super) fn attach_others_enis(&mut self, node: u32) {
        let scenario = self.scenario;
        if scenario.cni.mode != CniMode::Vpc {
            return;
        }
        let manages_untagged = self.settings(node).manages_untagged;
        for other in &scenario.cni.other_interfaces {
            let tags = EniTags { no_manage: other.no_manage.as_deref(), own: false };
            let unmanaged = is_unmanaged(tags, false, manages_untagged);
            for _ in 0..other.count {
                let subnet = self.nodes[node as usize].subnet;
                if self.is_full(node) {
                    return;
                }
                let Some(primary) = self.take(node, subnet, 1, false) else { return };
                let at = &mut self.nodes[node as usize];
                let (eni, primary) = (at.next_eni, primary.first().copied());
                at.next_eni += 1;
                at.held.push(Held { eni, unmanaged, subnet, primary, ..Held::default() });
                self.books.instances += u64::from(unmanaged);
                self.books.note_peaks();
            }
        }
    }

    /// Instance metadata lists the ENI from `shows` on.
    pub(super) fn eni_shows(&mut self, node: u32, eni: u32, shows: SimTime) {
        let held = &mut self.nodes[node as usize].held;
        if let Some(held) = held.iter_mut().find(|held| held.eni == eni) {
            held.shows_at = shows;
        }
    }

    /// EC2 may have ENIs or CIDRs that ipamd's store has not, or lack what it has: a reconcile finds out. Instance metadata
    /// lists attached ENIs all the same where no process waits for them.
    pub(super) fn store_differs(&mut self, node: u32) {
        let mut shows = self.now;
        for place in 0..self.nodes[node as usize].held.len() {
            let held = &self.nodes[node as usize].held[place];
            if held.tie != Tie::None && held.shows_at == SimTime::NEVER {
                shows = self.now + self.draw(Latency::EniInMetadata, Component::Metadata, node, held.eni);
                self.nodes[node as usize].held[place].shows_at = shows;
            }
        }
        self.nodes[node as usize].metadata_differs = true;
        self.metadata_changes(node, shows);
    }

    /// Does instance metadata list an ENI only after ipamd's last look for it, at `look`?
    pub(super) fn shows_later(&self, node: u32, look: SimTime) -> bool {
        let held = &self.nodes[node as usize].held;
        held.iter().any(|held| held.tie != Tie::None && held.shows_at > look)
    }

    /// How many interfaces it lists now, others' and those that were just detached included.
    pub(super) fn interfaces_in_metadata(&self, node: u32) -> u32 {
        let held = self.nodes[node as usize].held.iter();
        let listed = held.filter(|held| {
            let shows = self.trunk_shows_at(node, held.eni).unwrap_or(held.shows_at);
            held.eni == 0 || (held.tie != Tie::None && shows <= self.now)
        });
        let detached = self.detached.get(&node).into_iter().flatten();
        (listed.count() + detached.filter(|(_, until)| self.now < *until).count()) as u32
    }

    /// What it lists now of what is attached, and what it will list later counted only once it does.
    pub(super) fn attached_enis(&mut self, node: u32) -> Listed {
        let mut listed = Vec::new();
        for place in 0..self.nodes[node as usize].held.len() {
            let held = &self.nodes[node as usize].held[place];
            let shows = self.trunk_shows_at(node, held.eni).unwrap_or(held.shows_at);
            if held.tie != Tie::None && !held.unmanaged && shows <= self.now {
                let eni = held.eni;
                listed.push((eni, self.attached_cidrs(node, place)));
            }
        }
        listed
    }

    /// The numbers of an ENI's CIDRs: those that the store has, as far as EC2 has them, and new ones for what it does not know.
    fn attached_cidrs(&mut self, node: u32, place: usize) -> Vec<u32> {
        let at = &mut self.nodes[node as usize];
        let held = &at.held[place];
        if !held.placed.is_empty() || held.count == 0 {
            return held.placed.iter().map(|(cidr, _)| *cidr).collect();
        }
        let pool = at.ipamd.as_ref().map(|ipamd| ipamd.pool());
        let mut cidrs = pool.map_or_else(Vec::new, |pool| pool.by_use(held.eni));
        cidrs.truncate(held.count as usize);
        let new = held.count - cidrs.len() as u32;
        cidrs.extend(at.next_cidr..at.next_cidr + new);
        at.next_cidr += new;
        cidrs
    }

    /// The view of a reconcile that begins now; `None`: what the store has.
    pub(super) fn metadata(&mut self, node: u32) -> Option<Listed> {
        if !self.nodes[node as usize].metadata_differs {
            return self.found_trunk(node);
        }
        let (mut listed, now) = (self.attached_enis(node), self.now);
        let at = &mut self.nodes[node as usize];
        let detached = self.detached.get_mut(&node);
        let still = detached.map_or(Vec::new(), |detached| {
            detached.retain(|(_, until)| now < *until);
            detached.iter().map(|(eni, _)| (*eni, Vec::new())).collect()
        });
        let to_come = at.held.iter().any(|held| held.tie != Tie::None && held.shows_at > now);
        listed.extend(still.iter().cloned());
        let pool = at.ipamd.as_ref().expect("ipamd reconciles").pool();
        let differs = pool.differs_from(&listed);
        at.metadata_differs = differs || to_come || !still.is_empty();
        differs.then_some(listed)
    }

    /// Has EC2 an ENI on the node that ipamd's store has not, or has less of? A reconcile will find it.
    pub(super) fn may_find_addresses(&self, node: u32) -> bool {
        let at = &self.nodes[node as usize];
        let Some(ipamd) = at.ipamd.as_ref().filter(|_| at.metadata_differs) else { return false };
        at.held.iter().any(|held| {
            let ours = held.tie != Tie::None && !held.unmanaged;
            let found = ipamd.pool().cidrs_of(held.eni).is_some_and(|stored| stored >= held.count);
            ours && !found && self.trunk_shows_at(node, held.eni).is_none()
        })
    }

    /// A trunk that ipamd has not found yet, beside what its store has.
    fn found_trunk(&self, node: u32) -> Option<Listed> {
        let (trunk, _) = self.trunk_in_metadata(node).filter(|(_, shows)| *shows <= self.now)?;
        let known = self.nodes[node as usize].ipamd.as_ref()?.pool().listed();
        Some(known.chain([(trunk, Vec::new())]).collect())
    }

    /// Instance metadata lists a detached ENI for a while: a reconcile that comes before asks EC2 about it.
    pub(super) fn eni_detached(&mut self, node: u32, eni: u32) {
        let lag = self.draw(Latency::EniInMetadata, Component::Metadata, node, eni);
        let until = self.now + lag;
        self.detached.entry(node).or_default().push((eni, until));
        self.nodes[node as usize].metadata_differs = true;
    }

    /// EC2's answer to DescribeNetworkInterfaces of a process whose metadata differs from what there is.
    pub(super) fn missing_eni(&self, node: u32) -> Option<u32> {
        let at = &self.nodes[node as usize];
        if !at.metadata_differs {
            return None;
        }
        let mut named = at.ipamd.as_ref()?.named_enis();
        named.find(|eni| at.held.iter().all(|held| held.eni != *eni))
    }
}
