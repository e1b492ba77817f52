//! A node's trunk: attached once ipamd has asked for it, found by ipamd in instance metadata, told to the scheduler.

use super::*;
use crate::components::state::Held;

/// A node whose trunk could not be made is looked at again at its next event: kubelet reports at least this often.
const STATUS_REPORT: SimDuration = SimDuration::from_secs(300);

#[derive(Clone, Debug)]
pub(super) struct NodeTrunk {
    pub cache: Trunk,
    /// ipamd's number of it, once it is made.
    eni: Option<u32>,
    /// When EC2 calls it attached and instance metadata lists it; never, if that is not known yet.
    shows_at: SimTime,
    /// Where it and its branch interfaces have their addresses.
    pub subnet: usize,
    /// Branch interfaces in use or cooling down, and their addresses' offsets where those are placed.
    pub branches: BTreeMap<u32, Option<u32>>,
    pub next_branch: u32,
    /// When it was last looked at what it has to delete, the next look, and its job.
    pub looked_at: SimTime,
    pub look: Option<(SimTime, Scheduled)>,
    pub deletes: u32,
    /// Is that job under way?
    pub deleting: bool,
}

impl Run<'_> {
    /// ipamd asks for a trunk, on a node whose type can have one and that has a slot for it.
    pub(in super::super) fn announce_trunk(&mut self, node: u32) {
        let Some(enis) = &self.pod_enis else { return };
        let at = &self.nodes[node as usize];
        let asks = at.ipamd.as_ref().is_some_and(|ipamd| ipamd.asks_for_trunk(self.settings(node)));
        let kind = self.scenario.catalogue.get(at.instance_type);
        if enis.trunks.contains_key(&node) || !asks || kind.trunk_branches() == 0 {
            return;
        }
        let job = self.add_trunk(node);
        self.resource_job_due(job);
    }

    fn add_trunk(&mut self, node: u32) -> u32 {
        let most = self.scenario.catalogue.get(self.nodes[node as usize].instance_type).trunk_branches();
        let subnet = self.branch_subnet(node);
        let (now, enis) = (self.now, self.pod_enis());
        let (job, deletes) = (enis.open(Work::Trunk(node)), enis.open(Work::Deletes(node)));
        enis.trunks.insert(
            node,
            NodeTrunk {
                cache: Trunk::new(most),
                eni: None,
                shows_at: SimTime::NEVER,
                subnet,
                branches: BTreeMap::new(),
                next_branch: 0,
                looked_at: now,
                look: None,
                deletes,
                deleting: false,
            },
        );
        job
    }

    /// The node's own subnet, or its zone's ENIConfig's.
    fn branch_subnet(&self, node: u32) -> usize {
        let own = self.nodes[node as usize].subnet;
        let custom = self.settings(node).custom_networking;
        if custom { self.eni_subnets(node).first().copied().unwrap_or(own) } else { own }
    }

    /// A node that has been there for long has its trunk.
    pub(in super::super) fn settle_trunk(&mut self, node: u32) {
        let found = self.scenario.catalogue.get(self.nodes[node as usize].instance_type);
        let fits = self.settings(node).eni_budget > 1;
        if self.pod_enis.is_none() || found.trunk_branches() == 0 || !fits {
            return;
        }
        self.add_trunk(node);
        if self.make_trunk(node) {
            let now = self.now;
            self.trunk(node).shows_at = now;
            let most = i64::from(found.trunk_branches());
            let at = &mut self.nodes[node as usize];
            at.allocatable = at.allocatable.with_pod_enis(most);
        }
    }

    pub(super) fn trunk(&mut self, node: u32) -> &mut NodeTrunk {
        self.pod_enis().trunks.get_mut(&node).expect("a job's node has a trunk, or will have")
    }
    fn trunk_shows(&self, node: u32) -> SimTime {
        let trunk = self.pod_enis.as_ref().and_then(|enis| enis.trunks.get(&node));
        trunk.map_or(SimTime::NEVER, |trunk| trunk.shows_at)
    }
    /// Has the node of a job still what the job is about?
    pub(super) fn knows_trunk(&self, node: u32) -> bool {
        self.pod_enis.as_ref().is_some_and(|enis| enis.trunks.contains_key(&node))
    }

    pub(super) fn begin_trunk(&mut self, job: u32, node: u32) {
        let of = self.pod_enis().job(job);
        (of.at, of.repeats) = (0, 0);
        if !self.knows_trunk(node) {
            return self.leave_worker(job);
        }
        let first = controller::trunk_calls(self.settings(node).custom_networking)[0];
        self.call(job, first);
    }

    /// Takes the trunk's address; it holds no other.
    fn make_trunk(&mut self, node: u32) -> bool {
        let subnet = self.trunk(node).subnet;
        let Some(primary) = self.take(node, subnet, 1, false) else { return false };
        let at = &mut self.nodes[node as usize];
        let eni = at.next_eni;
        at.next_eni += 1;
        at.held.push(Held { eni, subnet, primary: primary.first().copied(), ..Held::default() });
        self.trunk(node).eni = Some(eni);
        self.books.note_peaks();
        true
    }

    pub(super) fn trunk_answered(&mut self, job: u32, node: u32, step: Step) {
        if !self.knows_trunk(node) {
            return self.leave_worker(job);
        }
        match step {
            Step::Call(Api::CreateNetworkInterface) if !self.make_trunk(node) => {
                self.count_refusal(Api::CreateNetworkInterface);
                return self.trunk_failed(job, node);
            }
            Step::Call(Api::AttachNetworkInterface) => {
                let draw = self.next_draw(job);
                let lag = self.draw(Latency::EniInMetadata, Component::ResourceController, job, draw);
                let shows = self.now + lag;
                self.trunk(node).shows_at = shows;
                self.metadata_changes(node, shows);
            }
            Step::Call(Api::DescribeNetworkInterfaces) if self.now < self.trunk_shows(node) => {
                let (jitter, looks) = (self.uniform_of(job), self.pod_enis().job(job).repeats + 1);
                return match controller::look_again_after(looks, jitter) {
                    Some(wait) => self.call_later(job, wait),
                    None => self.trunk_failed(job, node),
                };
            }
            Step::Call(Api::DescribeNetworkInterfaces) => {
                return self.ask_api_server(job, Step::Patch, RequestKind::Patch);
            }
            Step::Patch => {
                self.advertise_pod_enis(node);
                return self.leave_worker(job);
            }
            _ => {}
        }
        let calls = controller::trunk_calls(self.settings(node).custom_networking);
        let of = self.pod_enis().job(job);
        of.at += 1;
        of.repeats = 0;
        let next = calls[of.at as usize];
        self.call(job, next);
    }

    /// What was made is taken back; the node is tried anew.
    pub(super) fn trunk_failed(&mut self, job: u32, node: u32) {
        if self.knows_trunk(node) {
            if let Some(eni) = self.trunk(node).eni.take() {
                let held = &mut self.nodes[node as usize].held;
                let place =
                    held.iter().position(|held| held.eni == eni).expect("a trunk that is made is held");
                let held = held.remove(place);
                self.release_eni(&held, false);
            }
            self.trunk(node).shows_at = SimTime::NEVER;
            self.at(self.now + STATUS_REPORT, Event::ResourceJobDue(job));
        }
        self.leave_worker(job);
    }

    /// The node has so many `vpc.amazonaws.com/pod-eni` from now on.
    fn advertise_pod_enis(&mut self, node: u32) {
        let most = self.scenario.catalogue.get(self.nodes[node as usize].instance_type).trunk_branches();
        let at = &mut self.nodes[node as usize];
        at.allocatable = at.allocatable.with_pod_enis(most.into());
        self.trunk(node).looked_at = self.now;
        self.node_grew(node, ExtendedCounts::ZERO.with(ExtendedResource::PodEni, most.into()));
    }

    /// What instance metadata lists at `at` beside what the node's store has, and from when on.
    pub(in super::super) fn trunk_in_metadata(&self, node: u32) -> Option<(u32, SimTime)> {
        let trunk = self.pod_enis.as_ref()?.trunks.get(&node)?;
        let known = self.nodes[node as usize].ipamd.as_ref().is_some_and(|ipamd| ipamd.pool().has_trunk());
        let eni = trunk.eni.filter(|_| !known && trunk.shows_at < SimTime::NEVER)?;
        Some((eni, trunk.shows_at))
    }

    /// If the ENI is the node's trunk: when instance metadata lists it.
    pub(in super::super) fn trunk_shows_at(&self, node: u32, eni: u32) -> Option<SimTime> {
        let trunk = self.pod_enis.as_ref()?.trunks.get(&node)?;
        (trunk.eni == Some(eni)).then_some(trunk.shows_at)
    }

    /// The instance is gone, with its trunk and its branch interfaces.
    pub(in super::super) fn release_pod_enis(&mut self, node: u32) {
        let Some(enis) = &mut self.pod_enis else { return };
        let Some(trunk) = enis.trunks.remove(&node) else { return };
        if let Some((_, look)) = trunk.look {
            self.agenda.cancel(look);
        }
        let enis = self.pod_enis();
        let held = enis.pods.values_mut().filter(|of| of.node == node && of.branch.is_some());
        let mut used = 0;
        for of in held {
            of.branch = None;
            used += 1;
        }
        let now = self.now;
        self.books.settle(now);
        self.books.assigned -= used;
        for offset in trunk.branches.into_values() {
            self.give_back(trunk.subnet, 1, &offset.into_iter().collect::<Vec<u32>>(), false);
        }
    }
}
