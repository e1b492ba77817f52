//! What nodes tell of the images they have, and what kube-scheduler's snapshot makes of it.
//!
//! kubelet lists its runtime's images each 30 s from its start on; its status loop tells what has changed, each 10 s to 10.4 s
//! from the Node's registration on, and what has not after some 5 min. The scheduler wakes nobody for it. Its cache counts the
//! nodes that have an image; the snapshot has that count by node, as of the attempt that first saw the node's last change (a
//! pod or the Node), up to 1.24 as of the Node's last update. So nothing of this is an event: what is due is taken in when an
//! attempt begins. Left out: the calls' own time, and updates of DaemonSets' pods, of labels and of annotations.
//! Source: kubernetes v1.34.1, `pkg/kubelet/{kubelet_node_status,images/image_gc_manager,nodestatus/setters}.go`,
//! `pkg/scheduler/backend/cache/cache.go` (`addNodeImageStates`, `UpdateSnapshot`), `framework/events.go`; v1.24.17.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use smallvec::SmallVec;

use super::*;
use crate::actors::kube_scheduler::view::Version;

const LISTS_EVERY: SimDuration = SimDuration::from_secs(30);
/// `nodeStatusUpdateFrequency`, and its jitter.
const LOOPS_EVERY: SimDuration = SimDuration::from_secs(10);
const LOOP_JITTER: f64 = 0.04;
/// `nodeStatusReportFrequency`; after a change the first is up to half as much sooner or later.
const REPORTS_EVERY: SimDuration = SimDuration::from_secs(300);
/// `nodeStatusMaxImages`: the largest are told.
const MOST_TOLD: usize = 50;

/// A status that is told though nothing has changed; no image.
const REPORT: u32 = u32::MAX;
/// Draws: the status loop's from 0 on; when reports come; the phases of nodes that were there.
const REPORTS: u32 = 1 << 30;
const PHASES: u32 = 1 << 31;

/// One node's.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageStatus {
    /// Images that its status tells, and how many nodes have each as the snapshot of this node says.
    told: SmallVec<[(u32, u32); 1]>,
    /// Has the scheduler heard of the node since its last attempt?
    is_news: bool,
    /// The last run of the status loop that anybody asked for, and how many there were.
    looped_at: SimTime,
    loops: u32,
    reports_at: SimTime,
}

impl ImageStatus {
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
    /// How many nodes have an image; 0 if this one has not.
    pub fn holders(&self, image: u32) -> u32 {
        self.told.iter().find(|(told, _)| *told == image).map_or(0, |(_, holders)| *holders)
    }
    #[cfg(test)]
    pub fn telling(told: &[(u32, u32)]) -> ImageStatus {
        ImageStatus { told: told.iter().copied().collect(), ..ImageStatus::default() }
    }
}

/// (instant, node, image)
type Due = BinaryHeap<Reverse<(SimTime, u32, u32)>>;

/// All nodes'.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageNews {
    /// Images that will be on nodes.
    stored: Due,
    /// Statuses that will be told.
    told: Due,
    /// By image: nodes whose status tells it.
    holders: Vec<u32>,
    /// Nodes with news.
    changed: Vec<u32>,
}

fn pop_due(due: &mut Due, now: SimTime) -> Option<(SimTime, u32, u32)> {
    let next = due.peek().filter(|next| next.0.0 <= now);
    next.is_some().then(|| due.pop().expect("it was there").0)
}

impl Run<'_> {
    /// The image is on the node from `at` on.
    pub(super) fn image_comes(&mut self, node: u32, image: u32, at: SimTime) {
        self.image_news.stored.push(Reverse((at, node, image)));
    }

    /// The node's status loop begins: its first run was its registration, or that of one that was there.
    pub(super) fn start_status_loop(&mut self, node: u32) {
        let begun = self.nodes[node as usize].joined_at.is_some();
        let phase = || self.chance.uniform(Component::NodeStatus, node, PHASES + 1);
        let wait = if begun { SimDuration::ZERO } else { LOOPS_EVERY.mul_f64(phase()) };
        self.nodes[node as usize].image_status.looped_at = self.now + wait;
    }

    /// kube-scheduler hears of the node, or of a pod on it.
    #[inline]
    pub(super) fn hear_of_node(&mut self, node: u32) {
        if !self.nodes[node as usize].image_status.is_empty() {
            self.note_news(node);
        }
    }
    fn note_news(&mut self, node: u32) {
        let at = &self.nodes[node as usize];
        if !at.is_registered() {
            return self.forget_images(node);
        }
        // Up to 1.24 pods changed nothing in what a node had of images.
        if !at.image_status.is_news && self.prepared.era.filters > Version::V1_24 {
            self.nodes[node as usize].image_status.is_news = true;
            self.image_news.changed.push(node);
        }
    }

    /// An attempt begins: its snapshot has what was told until now.
    #[inline]
    pub(super) fn snapshot_images(&mut self) {
        let news = &self.image_news;
        let is_due = |due: &Due| due.peek().is_some_and(|next| next.0.0 <= self.now);
        if is_due(&news.stored) || is_due(&news.told) {
            self.hear_of_images();
        }
        if !self.image_news.changed.is_empty() {
            let mut changed = std::mem::take(&mut self.image_news.changed);
            changed.drain(..).for_each(|node| {
                self.nodes[node as usize].image_status.is_news = false;
                self.count_holders(node);
            });
            self.image_news.changed = changed;
        }
    }

    fn hear_of_images(&mut self) {
        while let Some((at, node, image)) = pop_due(&mut self.image_news.stored, self.now) {
            if self.nodes[node as usize].is_registered() {
                let told = self.told_at(node, at);
                self.image_news.told.push(Reverse((told, node, image)));
            }
        }
        while let Some((at, node, what)) = pop_due(&mut self.image_news.told, self.now) {
            if self.nodes[node as usize].is_registered() {
                match what {
                    REPORT => self.status_reported(node, at),
                    image => self.image_told(node, image, at),
                }
            }
        }
    }

    /// When the status tells an image that is on the node from `stored` on.
    fn told_at(&mut self, node: u32, stored: SimTime) -> SimTime {
        let chance = self.chance;
        let draw = |draw| chance.uniform(Component::NodeStatus, node, draw);
        let at = &mut self.nodes[node as usize];
        let first = at.joined_at.unwrap_or_else(|| SimTime::ZERO + LISTS_EVERY.mul_f64(draw(PHASES)));
        let lists = stored.saturating_since(first).nanos().div_ceil(LISTS_EVERY.nanos());
        let (listed, status) = (first + LISTS_EVERY * lists, &mut at.image_status);
        while status.looped_at < listed {
            status.looped_at += LOOPS_EVERY.mul_f64(1.0 + LOOP_JITTER * draw(status.loops));
            status.loops += 1;
        }
        status.looped_at
    }

    fn image_told(&mut self, node: u32, image: u32, at: SimTime) {
        self.image_news.change_holders(image, 1);
        let delay = self.chance.uniform(
            Component::NodeStatus,
            node,
            REPORTS + self.nodes[node as usize].image_status.loops,
        );
        let status = &mut self.nodes[node as usize].image_status;
        status.told.push((image, 0));
        status.reports_at = at + REPORTS_EVERY.mul_f64(0.5 + delay);
        self.image_news.told.push(Reverse((status.reports_at, node, REPORT)));
        if status.told.len() > MOST_TOLD {
            self.tell_no_more(node);
        }
        self.node_updated(node);
    }
    /// The smallest is left out.
    fn tell_no_more(&mut self, node: u32) {
        let (images, status) = (&self.prepared.images, &mut self.nodes[node as usize].image_status);
        let smallest = (0..status.told.len()).min_by_key(|place| images.bytes(status.told[*place].0));
        let (image, _) = status.told.remove(smallest.expect("there are too many"));
        self.image_news.change_holders(image, -1);
    }

    /// Another change has been told since, unless this is the report that was due.
    fn status_reported(&mut self, node: u32, at: SimTime) {
        let status = &mut self.nodes[node as usize].image_status;
        if status.reports_at != at {
            return;
        }
        let missed = self.now.since(at).nanos() / REPORTS_EVERY.nanos();
        status.reports_at = at + REPORTS_EVERY * (missed + 1);
        self.image_news.told.push(Reverse((status.reports_at, node, REPORT)));
        self.node_updated(node);
    }

    /// The Node was updated.
    fn node_updated(&mut self, node: u32) {
        if self.prepared.era.filters > Version::V1_24 {
            self.hear_of_node(node);
        } else {
            self.count_holders(node);
        }
    }

    /// What the snapshot says of the node's images is what the cache says now.
    fn count_holders(&mut self, node: u32) {
        let mut other = SmallVec::<[u32; 2]>::new();
        for (image, counted) in &mut self.nodes[node as usize].image_status.told {
            let now = self.image_news.holders[*image as usize];
            if std::mem::replace(counted, now) != now {
                other.push(*image);
            }
        }
        // With constraints scores are made anew for each attempt.
        if !other.is_empty() && self.constraints.is_none() {
            let at = &self.nodes[node as usize];
            let wants = |fitting: &&mut Fitting| other.iter().any(|image| fitting.wants_image(*image));
            self.fittings.iter_mut().filter(wants).for_each(|fitting| fitting.update(node, at));
        }
    }

    /// There is no Node any more.
    fn forget_images(&mut self, node: u32) {
        self.hear_of_images();
        let status = std::mem::take(&mut self.nodes[node as usize].image_status);
        status.told.iter().for_each(|(image, _)| self.image_news.change_holders(*image, -1));
    }
}

impl ImageNews {
    fn change_holders(&mut self, image: u32, more: i32) {
        if self.holders.len() <= image as usize {
            self.holders.resize(image as usize + 1, 0);
        }
        let count = &mut self.holders[image as usize];
        *count = count.checked_add_signed(more).expect("nodes that tell an image are counted");
    }
}

#[cfg(test)]
mod tests;
