//! Which nodes each Deployment's pods fit, kept up to date as nodes and requests change, so that an attempt
//! need not look at every node.

mod presence;

use self::presence::Presence;
use super::state::Node;
use crate::actors::kube_scheduler::alike::{Alike, Choice, Kind};
use crate::actors::kube_scheduler::filter::{self, Lacking};
use crate::actors::kube_scheduler::image::PodImages;
use crate::actors::kube_scheduler::view::Version;
use crate::actors::kube_scheduler::{nodes_to_find, score};
use crate::units::{ExtendedCounts, ExtendedResource, Resources};

/// What the filters say of a node; no bit: the node is not there.
type Status = u16;
const THERE: Status = 1;
const TAINTED: Status = 2;
/// The request is larger than the whole node.
const NEVER_FITS: Status = 4;
/// From this bit on: what lacks.
const LACKING: usize = 3;
const EXTENDED: usize = LACKING + Lacking::EXTENDED;

/// Nodes by what the filters say, as the message of a failed attempt counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    pub nodes: u32,
    pub tainted: u32,
    too_many_pods: u32,
    cpu: u32,
    memory: u32,
    never_fits: u32,
    extended: [u32; ExtendedResource::COUNT],
}

impl Counts {
    fn add(&mut self, status: Status, sign: u32) {
        let count = |bit: Status| u32::from(status & bit != 0).wrapping_mul(sign);
        let lacking = |place: usize| count(1 << (LACKING + place));
        self.nodes = self.nodes.wrapping_add(count(THERE));
        self.tainted = self.tainted.wrapping_add(count(TAINTED));
        self.too_many_pods = self.too_many_pods.wrapping_add(lacking(Lacking::PODS));
        self.cpu = self.cpu.wrapping_add(lacking(Lacking::CPU));
        self.memory = self.memory.wrapping_add(lacking(Lacking::MEMORY));
        self.never_fits = self.never_fits.wrapping_add(count(NEVER_FITS));
        if status >> EXTENDED != 0 {
            for (place, nodes) in self.extended.iter_mut().enumerate() {
                *nodes = nodes.wrapping_add(lacking(Lacking::EXTENDED + place));
            }
        }
    }
    /// Did NodeResourcesFit reject any?
    pub fn rejected_by_fit(&self) -> bool {
        self.too_many_pods + self.cpu + self.memory > 0 || self.extended != [0; ExtendedResource::COUNT]
    }
    fn message(&self) -> u64 {
        let Counts { nodes, tainted, too_many_pods, cpu, memory, never_fits, extended } = *self;
        let [a, b, c, d, e, f, g] = extended;
        message(&[nodes, tainted, too_many_pods, cpu, memory, never_fits, a, b, c, d, e, f, g])
    }
}

/// A number for a failed attempt's message, which counts nodes by why they are out: it differs, but for an accident of 1 in
/// 2^64, where the counts do; never 0.
pub(super) fn message(counts: &[u32]) -> u64 {
    let mixed = counts.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, count| {
        (hash ^ u64::from(*count)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    mixed | 1
}

/// One Deployment's view of the nodes.
#[derive(Clone, Debug)]
pub(super) struct Fitting {
    requests: Resources,
    status: Vec<Status>,
    alike: Alike,
    presence: Presence,
    /// By node: what is told of the images, of those that fit; 0: nothing.
    presences: Vec<u32>,
    /// Nodes with something.
    with_images: u32,
    /// The number of nodes that images are scored by.
    scored_among: u32,
    counts: Counts,
    /// Their [`Counts::message`]; 0 where they have changed since it was asked for.
    message: u64,
    /// Pods of the Deployment by node and by zone.
    on_node: Vec<u32>,
    in_zone: Vec<u32>,
}

impl Fitting {
    pub fn new(requests: Resources, zones: usize, images: PodImages) -> Fitting {
        Fitting {
            requests,
            status: Vec::new(),
            alike: Alike::default(),
            presence: Presence::new(images),
            presences: Vec::new(),
            with_images: 0,
            scored_among: 1,
            counts: Counts::default(),
            message: 0,
            on_node: Vec::new(),
            in_zone: vec![0; zones],
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }
    /// See [`message`].
    pub fn message(&mut self) -> u64 {
        if self.message == 0 {
            self.message = self.counts.message();
        }
        self.message
    }
    pub fn on_node(&self, node: u32) -> u32 {
        self.on_node[node as usize]
    }
    /// The same of a node that may not be known here.
    pub fn pods_on(&self, node: u32) -> u32 {
        self.on_node.get(node as usize).copied().unwrap_or(0)
    }
    /// Would a pod fit the node if nothing else were on it?
    pub fn fits_empty(&self, node: &Node) -> bool {
        self.requests.fits(&node.allocatable)
    }

    /// Is this an image of the pods?
    pub fn wants_image(&self, image: u32) -> bool {
        self.presence.wants(image)
    }

    /// Does a pod ask for one of these?
    pub fn asks_for(&self, extended: ExtendedCounts) -> bool {
        !extended.among(self.requests.extended).is_zero()
    }

    /// A pod of the Deployment was placed (`sign` 1) or taken away (-1).
    pub fn place(&mut self, node: u32, zone: u32, sign: i32) {
        self.grow(node);
        let add = |slot: &mut u32| *slot = slot.checked_add_signed(sign).expect("placed pods are counted");
        add(&mut self.on_node[node as usize]);
        add(&mut self.in_zone[zone as usize]);
    }

    fn grow(&mut self, node: u32) {
        let nodes = node as usize + 1;
        if self.status.len() < nodes {
            self.status.resize(nodes, 0);
            self.on_node.resize(nodes, 0);
            self.presences.resize(nodes, 0);
        }
    }

    /// The node's taints, requests, pods or existence changed, or what it tells of images.
    pub fn update(&mut self, index: u32, node: &Node) {
        self.grow(index);
        let status = self.judge(node);
        let images = self.score_images(index, node, status == THERE);
        let kind = || Kind {
            zone: node.zone,
            pods: self.on_node[index as usize],
            score: score::resources(node.requested + self.requests, node.allocatable) + images,
        };
        let kind = (status == THERE).then(kind);
        self.alike.set(index, kind);
        let before = std::mem::replace(&mut self.status[index as usize], status);
        if before != status {
            self.counts.add(before, u32::MAX);
            self.counts.add(status, 1);
            self.message = 0;
        }
    }

    fn score_images(&mut self, index: u32, node: &Node, fits: bool) -> i64 {
        let presence = if fits { self.presence.of(&node.image_status) } else { 0 };
        let before = std::mem::replace(&mut self.presences[index as usize], presence);
        self.with_images = self.with_images + u32::from(presence > 0) - u32::from(before > 0);
        if presence > 0 { self.presence.score(presence, self.scored_among) } else { 0 }
    }
    /// Nodes have come or gone, so that others are the share that has the images.
    fn score_images_anew(&mut self, nodes: u32) {
        let before = std::mem::replace(&mut self.scored_among, nodes);
        if self.with_images == 0 {
            return;
        }
        for (node, presence) in (0..).zip(&self.presences).filter(|(_, presence)| **presence > 0) {
            let more = self.presence.score(*presence, nodes) - self.presence.score(*presence, before);
            if more != 0 {
                self.alike.raise(node, more);
            }
        }
    }

    fn judge(&self, node: &Node) -> Status {
        if !node.is_registered() {
            return 0;
        }
        if node.is_tainted() {
            return THERE | TAINTED;
        }
        let (need, all) = (self.requests, node.allocatable);
        let lacking = filter::lacking(need, node.requested, all, Version::V1_34);
        let mut status = THERE | lacking.bits() << LACKING;
        // Of pod slots it is not said: the filter counts them by themselves.
        if status != THERE && !need.fits(&Resources { pods: need.pods, ..all }) {
            status |= NEVER_FITS;
        }
        status
    }

    /// Does any node take a pod now?
    pub fn any(&self) -> bool {
        self.alike.count() > 0
    }
    /// One of the best nodes for a pod, the looking beginning at `from`; see [`Alike::choose`].
    pub fn choose(&mut self, from: u32, pick: impl FnOnce(u64) -> u64) -> Option<Choice> {
        let nodes = self.counts.nodes;
        if nodes > 0 && self.scored_among != nodes {
            self.score_images_anew(nodes);
        }
        self.alike.choose((from, nodes_to_find(nodes), nodes), &self.in_zone, pick)
    }
}

#[cfg(test)]
mod tests;
