//! Images on nodes as kubelet and containerd pull them, where the scenario has `[kubelet]`.
//!
//! A container whose image is not there asks for a pull, even if another has asked for the same: kubelet's pulls go one after
//! the other or side by side, each needs a token of the registry's limit when it begins, and one without fails. A pull reads
//! the manifest, then what the node has not got of the layers; those that another pull is fetching it waits for. Pulls side
//! by side share what the volume takes. A failed pull is looked at every 10 to 15 s until its back-off has passed, which
//! doubles from 10 s to 5 min. Left out: three layers of an image at a time, each with a connection of its own; a serial
//! puller's queue of ten. Source: Kubernetes 1.34.1 `pkg/kubelet/images` (`puller.go`, `image_manager.go`, `helpers.go`).

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::event::DaemonStep;
use super::restarts::RELIST;
use super::revisions::Revisions;
use super::state::PodStage;
use super::*;
use crate::actors::cpu_shares::{Claim, share};
use crate::actors::kube_scheduler::image::PodImages;
use crate::actors::kube_scheduler::view::Version;
use crate::results::KubeletRecord;
use crate::scenario::{KubeletSpec, Layer};

const FIRST_BACK_OFF: SimDuration = SimDuration::from_secs(10);
const LONGEST_BACK_OFF: SimDuration = SimDuration::from_secs(300);
/// Looks at failed pulls draw from here on.
const LOOKS: u32 = 1 << 16;

/// All images of a scenario, and their layers.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageTable {
    /// Compressed bytes, by layer.
    layers: Vec<u64>,
    /// Layers, by image.
    images: Vec<Vec<u32>>,
    /// The image of a Deployment's first container.
    first_of: Vec<u32>,
    first_daemon: u32,
    /// By Deployment: what kube-scheduler looks for on nodes.
    of_pods: Vec<PodImages>,
}

impl ImageTable {
    pub fn new(scenario: &Scenario, revisions: Option<&Revisions>, version: Version) -> ImageTable {
        let mut table = ImageTable::default();
        let mut names = BTreeMap::new();
        for deployment in &scenario.deployments {
            table.first_of.push(table.images.len() as u32);
            let init = deployment.init_containers.iter().map(|container| &container.layers);
            init.chain([&deployment.image_layers]).for_each(|layers| table.add(layers, &mut names));
        }
        table.first_daemon = table.images.len() as u32;
        for daemon in &scenario.daemonsets {
            let layer = table.layers.len() as u32;
            table.layers.extend((daemon.image_bytes > 0).then_some(daemon.image_bytes));
            table.images.push((layer..table.layers.len() as u32).collect());
        }
        let deployments = 0..scenario.deployments.len() as u32;
        let of_pods = deployments.map(|number| table.images_of_pods(number, scenario, revisions, version));
        table.of_pods = of_pods.collect();
        table
    }

    /// The images of all containers that ImageLocality counts: up to 1.24 a pod's own alone.
    fn images_of_pods(
        &self,
        deployment: u32,
        scenario: &Scenario,
        revisions: Option<&Revisions>,
        version: Version,
    ) -> PodImages {
        let before = scenario.deployments[deployment as usize].init_containers.len() as u32;
        let init = if version > Version::V1_24 { before } else { 0 };
        let first = self.first_of[deployment as usize];
        // A template with no image of its own has that of the one before.
        let sets = revisions.map_or(&[][..], |revisions| revisions.sets(revisions.owner(deployment)));
        let earlier =
            sets.iter().take_while(|set| **set != deployment).map(|set| self.first_of[*set as usize]);
        let own = earlier.chain([first]).map(|first| first + before);
        let own = own.filter(|image| self.bytes(*image) > 0).last().unwrap_or(first + before);
        let images = (first..first + init).chain([own]);
        PodImages::new(images.map(|image| (image, self.bytes(image) as i64)))
    }
    pub fn of_pods(&self, deployment: usize) -> &PodImages {
        &self.of_pods[deployment]
    }
    /// The image of the Deployment's pods' own container.
    pub fn own(&self, deployment: u32, init_containers: usize) -> u32 {
        self.first_of[deployment as usize] + init_containers as u32
    }
    /// What kubelet tells: containerd's sum of compressed layers.
    pub fn bytes(&self, image: u32) -> u64 {
        self.images[image as usize].iter().map(|layer| self.layers[*layer as usize]).sum()
    }

    fn add<'a>(&mut self, layers: &'a [Layer], names: &mut BTreeMap<&'a str, u32>) {
        let place = |layer: &'a Layer| {
            let next = self.layers.len() as u32;
            let known = layer.name.as_deref().map(|name| *names.entry(name).or_insert(next));
            if known.is_none_or(|known| known == next) {
                self.layers.push(layer.bytes);
            }
            known.unwrap_or(next)
        };
        let image = layers.iter().map(place).collect();
        self.images.push(image);
    }
}

/// Whose container wants the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Puller {
    Pod(u32),
    Daemon(u16),
}

#[derive(Clone, Debug)]
struct Pull {
    puller: Puller,
    image: u32,
    /// When its manifest is there.
    resolved_at: SimTime,
    /// The layers that it fetches itself, from then on.
    own: Option<Vec<u32>>,
    /// Of these (bytes).
    left: f64,
    /// The most it could get, and what it gets (bytes a second).
    stream: f64,
    gets: f64,
}

/// One node's images.
#[derive(Clone, Debug)]
struct NodeImages {
    layers: Vec<u32>,
    images: Vec<u32>,
    waiting: VecDeque<Pull>,
    active: Vec<Pull>,
    registry: TokenBucket,
    settled: SimTime,
    due: Option<(SimTime, Scheduled)>,
}

/// All nodes' images.
#[derive(Clone, Debug)]
pub(super) struct Images {
    spec: KubeletSpec,
    nodes: Vec<NodeImages>,
    /// Pulls that the registry's limit refused.
    pub refused: u64,
    /// Containers killed by their start-up probe.
    pub startups_failed: u64,
}

/// A pod's failed pulls of the image that it wants now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FailedPull {
    failures: u32,
    failed_at: SimTime,
}

impl FailedPull {
    fn tries_again_at(&self) -> SimTime {
        let doubled = FIRST_BACK_OFF * (1 << (self.failures - 1).min(5));
        self.failed_at + doubled.min(LONGEST_BACK_OFF)
    }
}

impl Images {
    pub fn new(spec: KubeletSpec) -> Box<Images> {
        Box::new(Images { spec, nodes: Vec::new(), refused: 0, startups_failed: 0 })
    }

    fn node(&mut self, node: u32) -> &mut NodeImages {
        let spec = self.spec;
        let empty = || NodeImages {
            layers: Vec::new(),
            images: Vec::new(),
            waiting: VecDeque::new(),
            active: Vec::new(),
            registry: TokenBucket::new(spec.registry_burst, spec.registry_pull_qps),
            settled: SimTime::ZERO,
            due: None,
        };
        if self.nodes.len() <= node as usize {
            self.nodes.resize_with(node as usize + 1, empty);
        }
        &mut self.nodes[node as usize]
    }
    pub fn record(&self) -> KubeletRecord {
        KubeletRecord { pulls_refused: self.refused, startups_failed: self.startups_failed }
    }
    /// Pulls that may go on at a time.
    fn most(&self) -> usize {
        match self.spec.serialize_image_pulls {
            true => 1,
            false => self.spec.max_parallel_image_pulls.map_or(usize::MAX, |most| most as usize),
        }
    }
}

impl NodeImages {
    fn settle(&mut self, now: SimTime) {
        let secs = now.since(self.settled).secs_f64();
        self.settled = now;
        self.active.iter_mut().for_each(|pull| pull.left -= pull.gets * secs);
    }

    /// Manifests that are there, and pulls that are done with.
    fn advance(&mut self, table: &ImageTable, now: SimTime) -> Vec<Puller> {
        let mut done = Vec::new();
        for place in 0..self.active.len() {
            if self.active[place].own.is_none() && self.active[place].resolved_at <= now {
                let fetched = |layer: &u32| {
                    let others = self.active.iter().filter_map(|pull| pull.own.as_ref());
                    self.layers.contains(layer) || others.flatten().any(|other| other == layer)
                };
                let layers = &table.images[self.active[place].image as usize];
                let own: Vec<u32> = layers.iter().copied().filter(|layer| !fetched(layer)).collect();
                let pull = &mut self.active[place];
                pull.left = own.iter().map(|layer| table.layers[*layer as usize] as f64).sum();
                pull.own = Some(own);
            }
        }
        while let Some(place) = self.active.iter().position(|pull| self.is_done(pull, table)) {
            let pull = self.active.remove(place);
            self.layers.extend(pull.own.unwrap_or_default());
            if !self.images.contains(&pull.image) {
                self.images.push(pull.image);
            }
            done.push(pull.puller);
        }
        done
    }
    fn is_done(&self, pull: &Pull, table: &ImageTable) -> bool {
        let Some(own) = &pull.own else { return false };
        let there = |layer: &u32| own.contains(layer) || self.layers.contains(layer);
        pull.left < 1.0 && table.images[pull.image as usize].iter().all(there)
    }

    /// Shares what the volume takes; when the next manifest or the next pull's own layers are there.
    fn share(&mut self, store_rate: i64, now: SimTime) -> Option<SimTime> {
        let claim = |pull: &Pull| {
            let demand = if pull.own.is_some() && pull.left >= 1.0 { pull.stream as i64 } else { 0 };
            Claim { weight: 1, demand, limit: None }
        };
        let claims: Vec<Claim> = self.active.iter().map(claim).collect();
        for (pull, gets) in self.active.iter_mut().zip(share(store_rate, &claims)) {
            pull.gets = gets;
        }
        let next = |pull: &Pull| match pull.own {
            None => Some(pull.resolved_at),
            Some(_) if pull.gets > 0.0 => Some(now + SimDuration::from_secs_f64(pull.left / pull.gets)),
            Some(_) => None,
        };
        self.active.iter().filter_map(next).min()
    }
}

impl Run<'_> {
    /// The image of the pod's next container.
    fn image_of(&self, pod: u32) -> u32 {
        let state = &self.pods[pod as usize];
        self.prepared.images.first_of[state.deployment as usize] + u32::from(state.container)
    }
    pub(super) fn images(&mut self) -> &mut Images {
        self.images.as_mut().expect("nodes' images are kept")
    }

    /// The pod's next container is started once its image is on the node.
    pub(super) fn want_image(&mut self, pod: u32) {
        let (node, image) = (self.pods[pod as usize].node, self.image_of(pod));
        let there = self.images().node(node).images.contains(&image);
        if there || self.prepared.images.images[image as usize].is_empty() {
            self.pods[pod as usize].failed_pull = None;
            return self.image_pulled(pod);
        }
        self.waits_for(pod, Some(Cause::ImagePull));
        self.ask_for_pull(node, Puller::Pod(pod), image);
    }

    /// The same for a DaemonSet's pod, of which nobody waits for the end.
    pub(super) fn pull_for_daemon(&mut self, node: u32, daemon: u16) {
        let image = self.prepared.images.first_daemon + u32::from(daemon);
        let there = self.images().node(node).images.contains(&image);
        if !there && !self.prepared.images.images[image as usize].is_empty() {
            self.ask_for_pull(node, Puller::Daemon(daemon), image);
        }
    }

    fn ask_for_pull(&mut self, node: u32, puller: Puller, image: u32) {
        let (component, entity, draw) = match puller {
            Puller::Pod(pod) => (Component::ImagePull, pod, 2 * self.draws_of_container(pod)),
            Puller::Daemon(_) => {
                let at = &mut self.nodes[node as usize];
                at.draws += 2;
                (Component::Daemon, node, at.draws - 1)
            }
        };
        let factor = self.factor(Latency::ImageRateFactor, component, entity, draw + 1);
        let manifest = self.draw(Latency::ImageManifest, component, entity, draw);
        let stream = self.images().spec.image_stream_rate as f64 * factor;
        // The manifest's time counts from the pull's begin on.
        let resolved_at = SimTime::ZERO + manifest;
        let pull = Pull { puller, image, resolved_at, own: None, left: 0.0, stream, gets: 0.0 };
        self.images().node(node).waiting.push_back(pull);
        self.pulls_go_on(node);
    }

    /// A pod's own container has the draws from 0 on, those before it the next.
    pub(super) fn draws_of_container(&self, pod: u32) -> u32 {
        let state = &self.pods[pod as usize];
        let before = self.scenario.deployments[state.deployment as usize].init_containers.len() as u32;
        let container = u32::from(state.container);
        if container == before { 0 } else { 1 + container }
    }

    pub(super) fn pulls_due(&mut self, node: u32) {
        self.images().node(node).due = None;
        if self.nodes[node as usize].lives() {
            self.pulls_go_on(node);
        }
    }

    /// Ends pulls, begins others, and appoints the next change.
    fn pulls_go_on(&mut self, node: u32) {
        let (now, table) = (self.now, &self.prepared.images);
        let images = self.images.as_mut().expect("nodes' images are kept");
        let (most, store_rate) = (images.most(), images.spec.image_store_rate);
        let at = images.node(node);
        at.settle(now);
        let known = at.images.len();
        let done = at.advance(table, now);
        let stored: SmallVec<[u32; 2]> =
            at.images[known..].iter().copied().filter(|image| *image < table.first_daemon).collect();
        let mut failed = Vec::new();
        while at.active.len() < most
            && let Some(mut pull) = at.waiting.pop_front()
        {
            if at.registry.try_take(1, now) {
                pull.resolved_at = now + pull.resolved_at.since(SimTime::ZERO);
                at.active.push(pull);
            } else {
                failed.push(pull.puller);
            }
        }
        let next = at.share(store_rate, now);
        let old = at.due.take();
        if let Some((_, old)) = old {
            self.agenda.cancel(old);
        }
        let due = next.map(|instant| (instant, self.at(instant.max(now), Event::PullsDue(node))));
        self.images().node(node).due = due;
        stored.into_iter().for_each(|image| self.image_comes(node, image, now));
        failed.into_iter().for_each(|puller| self.pull_failed(node, puller));
        for puller in done {
            if let Puller::Pod(pod) = puller
                && self.pods[pod as usize].stage == PodStage::Bound
            {
                self.pods[pod as usize].failed_pull = None;
                self.image_pulled(pod);
            }
        }
    }

    /// The registry's limit refuses.
    fn pull_failed(&mut self, node: u32, puller: Puller) {
        self.images().refused += 1;
        match puller {
            Puller::Pod(pod) => {
                let failed = self.pods[pod as usize].failed_pull.get_or_insert_default();
                failed.failures += 1;
                failed.failed_at = self.now;
                // The sandbox's own event makes kubelet look once more a second later, and wait anew.
                let more = if failed.failures == 1 { RELIST } else { SimDuration::ZERO };
                self.look_at_pull(pod, more);
            }
            Puller::Daemon(daemon) => {
                let wait = self.draw_of_daemon(node, Latency::SandboxRetry);
                let again = Event::DaemonPod { node, daemon, step: DaemonStep::SandboxReady };
                self.at(self.now + wait, again);
            }
        }
    }

    fn look_at_pull(&mut self, pod: u32, more: SimDuration) {
        let state = &mut self.pods[pod as usize];
        state.pull_looks += 1;
        let draw = LOOKS + state.pull_looks;
        let wait = self.draw(Latency::SandboxRetry, Component::ImagePull, pod, draw);
        self.at(self.now + more + wait, Event::PullLook(pod));
    }

    /// kubelet looks at a pod whose pull failed; an image that has come meanwhile is as good as any.
    pub(super) fn pull_look(&mut self, pod: u32) {
        let Some(failed) = self.pods[pod as usize].failed_pull else { return };
        if self.pods[pod as usize].stage != PodStage::Bound {
            return;
        }
        let (node, image) = (self.pods[pod as usize].node, self.image_of(pod));
        let there = self.images().node(node).images.contains(&image);
        if there || failed.tries_again_at() <= self.now {
            self.want_image(pod);
        } else {
            self.look_at_pull(pod, SimDuration::ZERO);
        }
    }
}
