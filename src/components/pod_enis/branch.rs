//! A pod's branch interface: made once the pod is bound, used by its sandbox once the pod is annotated with it, deleted a
//! while after the pod.

use super::*;
use crate::components::state::PodStage;

/// How far a pod's interface is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The job waits: for a worker, its client's limit or its return to the queue.
    Queued,
    /// A call or request is under way.
    Called,
    Throttled,
    /// EC2 refused for want of an address.
    Dry,
    /// The trunk has no room before others have cooled down.
    CoolingDown,
    /// The pod is annotated with it.
    Made,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PodEni {
    pub node: u32,
    stage: Stage,
    /// From its creation until it is given up.
    pub branch: Option<u32>,
}

impl Run<'_> {
    /// A pod with security groups is bound.
    pub(in super::super) fn want_branch(&mut self, pod: u32) {
        let node = self.pods[pod as usize].node;
        if self.pod_enis.is_none() || self.requests(pod).pod_enis() == 0 {
            return;
        }
        let enis = self.pod_enis();
        enis.pods.insert(pod, PodEni { node, stage: Stage::Queued, branch: None });
        let job = enis.open(Work::Branch(pod));
        self.resource_job_due(job);
    }

    /// The sandbox asks ipamd: has the node its trunk, and the pod its annotation?
    pub(in super::super) fn finds_branch(&self, pod: u32, node: u32) -> bool {
        let found = self.pod_enis.as_ref().and_then(|enis| enis.pods.get(&pod));
        self.ipamd_knows_trunk(node) && found.is_some_and(|of| of.stage == Stage::Made)
    }
    fn ipamd_knows_trunk(&self, node: u32) -> bool {
        let at = &self.nodes[node as usize];
        !at.ipamd_down && at.ipamd.as_ref().is_some_and(|ipamd| ipamd.pool().has_trunk())
    }

    /// What a pod waits for whose sandbox found no interface.
    fn branch_cause(&self, pod: u32, node: u32) -> Cause {
        let found = self.pod_enis.as_ref().and_then(|enis| enis.pods.get(&pod));
        match found.map(|of| of.stage) {
            _ if self.nodes[node as usize].ipamd_down => Cause::CniStart,
            _ if !self.ipamd_knows_trunk(node) => Cause::TrunkEni,
            Some(Stage::Made) => Cause::AddressKubeletRetry,
            Some(Stage::Called) => Cause::AddressEc2Call,
            Some(Stage::Throttled) => Cause::AddressThrottled,
            Some(Stage::Dry) => Cause::AddressSubnetDry,
            Some(Stage::CoolingDown) => Cause::BranchEniCoolDown,
            Some(Stage::Queued) | None => Cause::BranchEniQueue,
        }
    }
    /// A pod without its interface may wait for something else now.
    pub(in super::super) fn refresh_branchless(&mut self, pod: u32) {
        let state = &self.pods[pod as usize];
        if state.stage == PodStage::Bound && state.lacks_since < SimTime::NEVER {
            let cause = self.branch_cause(pod, state.node);
            self.waits_for(pod, Some(cause));
        }
    }
    /// ipamd took a step that may have found the trunk.
    pub(in super::super) fn refresh_branchless_of(&mut self, node: u32) {
        let pods = self.nodes[node as usize].pods.clone();
        let own = pods.into_iter().filter(|pod| self.requests(*pod).pod_enis() > 0).collect::<Vec<_>>();
        own.into_iter().for_each(|pod| self.refresh_branchless(pod));
    }

    pub(super) fn set_pod_eni(&mut self, pod: u32, stage: Stage) {
        if let Some(of) = self.pod_enis().pods.get_mut(&pod) {
            of.stage = stage;
        }
        self.refresh_branchless(pod);
    }

    /// Is the pod still there, on a node with a trunk?
    fn wants_branch(&self, pod: u32) -> Option<u32> {
        let state = &self.pods[pod as usize];
        (state.stage != PodStage::Gone && self.knows_trunk(state.node)).then_some(state.node)
    }

    pub(super) fn begin_branch(&mut self, job: u32, pod: u32) {
        if self.wants_branch(pod).is_none() {
            return self.leave_worker(job);
        }
        self.set_pod_eni(pod, Stage::Called);
        self.ask_api_server(job, Step::Read, RequestKind::Get);
    }

    pub(super) fn branch_answered(&mut self, job: u32, pod: u32, step: Step) {
        let node = self.pod_enis().pods[&pod].node;
        if !self.knows_trunk(node) {
            return self.leave_worker(job);
        }
        match step {
            Step::Read if self.wants_branch(pod).is_none() => self.leave_worker(job),
            Step::Read if !self.trunk(node).cache.has_room() => {
                self.set_pod_eni(pod, Stage::CoolingDown);
                self.at(self.now + controller::COOL_DOWN, Event::ResourceJobDue(job));
                self.leave_worker(job);
            }
            Step::Read => self.call(job, controller::BRANCH_CALLS[0]),
            Step::Call(Api::CreateNetworkInterface) if !self.make_branch(pod, node) => {
                self.count_refusal(Api::CreateNetworkInterface);
                self.branch_failed(job, pod, Stage::Dry);
            }
            // Jobs that looked before others had theirs find no room: EC2 refuses.
            Step::Call(Api::AssociateTrunkInterface) if !self.trunk(node).cache.has_room() => {
                self.count_refusal(Api::AssociateTrunkInterface);
                self.branch_failed(job, pod, Stage::CoolingDown);
            }
            Step::Call(api) => {
                if api == Api::AssociateTrunkInterface {
                    self.trunk(node).cache.created();
                }
                let made = controller::BRANCH_CALLS.iter().position(|call| *call == api);
                match made.and_then(|place| controller::BRANCH_CALLS.get(place + 1)) {
                    Some(next) => self.call(job, *next),
                    None => self.ask_api_server(job, Step::Patch, RequestKind::Patch),
                }
            }
            Step::Patch | Step::Queue => {
                // Where nobody is there any more to be annotated, it was made for nobody.
                if self.wants_branch(pod).is_some() {
                    self.set_pod_eni(pod, Stage::Made);
                } else {
                    self.trunk(node).cache.lost();
                    self.discard_branch(pod, node);
                }
                self.leave_worker(job);
            }
        }
    }

    /// Takes the interface's address.
    fn make_branch(&mut self, pod: u32, node: u32) -> bool {
        let subnet = self.trunk(node).subnet;
        let Some(taken) = self.take(node, subnet, 1, false) else { return false };
        let trunk = self.trunk(node);
        let branch = trunk.next_branch;
        trunk.next_branch += 1;
        trunk.branches.insert(branch, taken.first().copied());
        let enis = self.pod_enis();
        enis.created += 1;
        enis.pods.get_mut(&pod).expect("a job's pod is known").branch = Some(branch);
        self.books.assigned += 1;
        self.books.note_peaks();
        true
    }

    /// What was made goes to what is to be deleted; the job comes back to its queue, or waits for the next resync.
    pub(super) fn branch_failed(&mut self, job: u32, pod: u32, why: Stage) {
        let node = self.pod_enis().pods[&pod].node;
        if self.knows_trunk(node) {
            self.discard_branch(pod, node);
        }
        self.set_pod_eni(pod, why);
        let now = self.now;
        let enis = self.pod_enis();
        enis.job(job).failures += 1;
        let due = match controller::requeue_after(enis.job(job).failures) {
            Some(wait) => (now + wait).max(enis.requeues.reserve(now)),
            None => {
                enis.job(job).failures = 0;
                let period = controller::RESYNC.nanos();
                SimTime::from_nanos((now.nanos() / period + 1) * period)
            }
        };
        self.at(due, Event::ResourceJobDue(job));
        self.leave_worker(job);
    }

    /// The interface is nobody's any more, if there is one.
    fn discard_branch(&mut self, pod: u32, node: u32) {
        if let Some(branch) = self.take_branch(pod) {
            self.trunk(node).cache.discard(branch);
            self.appoint_deletes(node);
        }
    }
    fn take_branch(&mut self, pod: u32) -> Option<u32> {
        let branch = self.pod_enis().pods.get_mut(&pod)?.branch.take()?;
        let now = self.now;
        self.books.settle(now);
        self.books.assigned -= 1;
        self.books.note_peaks();
        Some(branch)
    }

    /// The pod has left the API: its interface cools down.
    pub(in super::super) fn release_branch(&mut self, pod: u32) {
        if self.pod_enis.is_none() {
            return;
        }
        let Some(of) = self.pod_enis().pods.get(&pod).copied() else { return };
        if of.stage == Stage::Made
            && self.knows_trunk(of.node)
            && let Some(branch) = self.take_branch(pod)
        {
            let now = self.now;
            self.trunk(of.node).cache.release(branch, now);
            self.appoint_deletes(of.node);
        }
    }

    /// The next look at what the trunk has to delete.
    fn appoint_deletes(&mut self, node: u32) {
        let now = self.now;
        let trunk = self.trunk(node);
        let (due, deletes) = (trunk.cache.next_look(trunk.looked_at, now), trunk.deletes);
        let Some(due) = due else { return };
        if trunk.deleting || trunk.look.is_some_and(|(at, _)| at <= due) {
            return;
        }
        if let Some((_, look)) = trunk.look.take() {
            self.agenda.cancel(look);
        }
        let look = self.at(due, Event::ResourceJobDue(deletes));
        self.trunk(node).look = Some((due, look));
    }

    /// Deletes what has cooled down, one after the other.
    pub(super) fn delete_next(&mut self, job: u32, node: u32) {
        let now = self.now;
        if !self.knows_trunk(node) {
            return self.leave_worker(job);
        }
        let trunk = self.trunk(node);
        (trunk.deleting, trunk.look) = (true, None);
        match trunk.cache.next_deleted(now) {
            Some(branch) => {
                let of = self.pod_enis().job(job);
                (of.at, of.repeats, of.failures) = (branch, 0, 0);
                self.call(job, Api::DisassociateTrunkInterface);
            }
            None => {
                (trunk.deleting, trunk.looked_at) = (false, now);
                self.appoint_deletes(node);
                self.leave_worker(job);
            }
        }
    }

    pub(super) fn delete_answered(&mut self, job: u32, node: u32, step: Step) {
        if !self.knows_trunk(node) {
            return self.leave_worker(job);
        }
        if step == Step::Call(Api::DisassociateTrunkInterface) {
            return self.call(job, Api::DeleteNetworkInterface);
        }
        let branch = self.pod_enis().job(job).at;
        let trunk = self.trunk(node);
        let subnet = trunk.subnet;
        let offset = trunk.branches.remove(&branch).expect("what is deleted is there");
        self.give_back(subnet, 1, &offset.into_iter().collect::<Vec<u32>>(), false);
        self.books.note_peaks();
        self.pod_enis().deleted += 1;
        self.delete_next(job, node);
    }

    /// A refused Disassociate stops nothing; a refused Delete is repeated, then tried anew, then forgotten.
    pub(super) fn delete_failed(&mut self, job: u32, node: u32, api: Api) {
        if !self.knows_trunk(node) {
            return self.leave_worker(job);
        }
        if api == Api::DisassociateTrunkInterface {
            return self.call(job, Api::DeleteNetworkInterface);
        }
        let (jitter, of) = (self.uniform_of(job), self.pod_enis().job(job));
        if let Some(wait) = controller::delete_again_after(of.repeats + 1, jitter) {
            return self.call_later(job, wait);
        }
        (of.repeats, of.failures) = (0, of.failures + 1);
        if of.failures < controller::DELETE_ROUNDS {
            self.call(job, Api::DisassociateTrunkInterface);
        } else {
            self.delete_next(job, node);
        }
    }
}
