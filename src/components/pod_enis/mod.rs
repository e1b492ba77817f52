//! Security groups for pods: the VPC resource controller's jobs, their queues, workers and calls. `trunk` has what a node's
//! job does, `branch` what a pod's does, and how branch interfaces go again.

mod branch;
mod trunk;

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::actors::ec2::Retries;
use crate::actors::vpc_resource_controller::{self as controller, Api, Trunk};
use branch::PodEni;
use trunk::NodeTrunk;

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// The node gets its trunk, or comes back with it.
    Trunk(u32),
    /// The pod gets its branch interface.
    Branch(u32),
    /// The node's trunk deletes what has cooled down.
    Deletes(u32),
}

/// What a job waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Its turn in the queue, or to be put there.
    Queue,
    /// The API server's answer to its first request.
    Read,
    Call(Api),
    /// The API server's answer to its last request.
    Patch,
}

#[derive(Clone, Copy, Debug)]
struct Job {
    work: Work,
    step: Step,
    /// Has the call its client's token?
    sent: bool,
    /// Of the call under way: tries of the SDK.
    tries: u32,
    /// Of the same call: how often the controller itself has repeated it.
    repeats: u32,
    /// Of the whole job, in a row.
    failures: u32,
    draws: u32,
    /// Of a trunk: calls made; of deletions: the branch interface.
    at: u32,
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(super) struct PodEnis {
    jobs: Vec<Job>,
    /// For nodes, for branch interfaces: jobs that wait, and workers without one.
    queues: [(VecDeque<u32>, u32); 2],
    user_client: ClientBucket,
    instance_client: ClientBucket,
    kubernetes_client: ClientBucket,
    requeues: ClientBucket,
    /// Of the calls that nobody else makes, as `OWN` lists them.
    buckets: Vec<TokenBucket>,
    trunks: BTreeMap<u32, NodeTrunk>,
    pods: BTreeMap<u32, PodEni>,
    pub created: u64,
    pub deleted: u64,
}

/// The API's place among those that ipamd calls too.
fn shared(api: Api) -> Option<usize> {
    crate::actors::ipamd::Api::ALL.iter().position(|other| other.name() == api.name())
}
/// The calls that nobody else makes.
const OWN: [Api; 3] =
    [Api::CreateNetworkInterfacePermission, Api::AssociateTrunkInterface, Api::DisassociateTrunkInterface];

fn latency_of(api: Api) -> Latency {
    match api {
        Api::DescribeInstances => Latency::DescribeInstances,
        Api::DescribeSubnets => Latency::DescribeSubnets,
        Api::CreateNetworkInterface => Latency::CreateNetworkInterface,
        Api::CreateNetworkInterfacePermission => Latency::CreateNetworkInterfacePermission,
        Api::AttachNetworkInterface => Latency::AttachNetworkInterface,
        Api::ModifyNetworkInterfaceAttribute => Latency::ModifyNetworkInterfaceAttribute,
        Api::DescribeNetworkInterfaces => Latency::DescribeNetworkInterfaces,
        Api::AssociateTrunkInterface => Latency::AssociateTrunkInterface,
        Api::DisassociateTrunkInterface => Latency::DisassociateTrunkInterface,
        Api::DeleteNetworkInterface => Latency::DeleteNetworkInterface,
    }
}

impl PodEnis {
    /// `None` where aws-node has no ENABLE_POD_ENI.
    pub fn new(prepared: &Prepared) -> Option<Box<PodEnis>> {
        let client = |limit: (u32, u32)| ClientBucket::new(limit.0, limit.1);
        let bucket = |api: &Api| {
            let limit = prepared.request_limit(api.name());
            TokenBucket::new(limit.size, limit.refill_per_s)
        };
        prepared.scenario.cni.pod_eni.then(|| {
            Box::new(PodEnis {
                jobs: Vec::new(),
                queues: [
                    (VecDeque::new(), controller::NODE_WORKERS),
                    (VecDeque::new(), controller::BRANCH_WORKERS),
                ],
                user_client: client(controller::USER_CLIENT),
                instance_client: client(controller::INSTANCE_CLIENT),
                kubernetes_client: client(controller::KUBERNETES_CLIENT),
                requeues: client(controller::REQUEUES),
                buckets: OWN.iter().map(bucket).collect(),
                trunks: BTreeMap::new(),
                pods: BTreeMap::new(),
                created: 0,
                deleted: 0,
            })
        })
    }

    /// Branch interfaces that no pod has: they wait for their deletion, or are deleted.
    pub fn going(&self) -> u64 {
        let all: usize = self.trunks.values().map(|trunk| trunk.branches.len()).sum();
        let held = |of: &&PodEni| of.branch.is_some() && self.trunks.contains_key(&of.node);
        (all - self.pods.values().filter(held).count()) as u64
    }
    /// Adds the addresses of all branch interfaces; how many of them pods have.
    pub fn count(&self, attached: &mut u64, by_subnet: &mut [u64]) -> u64 {
        for trunk in self.trunks.values() {
            *attached += trunk.branches.len() as u64;
            by_subnet[trunk.subnet] += trunk.branches.len() as u64;
        }
        self.pods.values().filter(|of| of.branch.is_some()).count() as u64
    }

    fn open(&mut self, work: Work) -> u32 {
        let (step, sent) = (Step::Queue, false);
        self.jobs.push(Job { work, step, sent, tries: 0, repeats: 0, failures: 0, draws: 0, at: 0 });
        self.jobs.len() as u32 - 1
    }
    fn job(&mut self, job: u32) -> &mut Job {
        &mut self.jobs[job as usize]
    }
    /// A job for a worker that has none.
    fn next_job(&mut self) -> Option<u32> {
        let (queue, idle) = self.queues.iter_mut().find(|(queue, idle)| *idle > 0 && !queue.is_empty())?;
        *idle -= 1;
        queue.pop_front()
    }
}

impl Run<'_> {
    fn pod_enis(&mut self) -> &mut PodEnis {
        self.pod_enis.as_mut().expect("a job of the VPC resource controller is one of a run that has it")
    }

    /// The job comes to its queue.
    pub(super) fn resource_job_due(&mut self, job: u32) {
        let enis = self.pod_enis();
        let place = usize::from(!matches!(enis.job(job).work, Work::Trunk(_)));
        enis.queues[place].0.push_back(job);
        self.start_jobs();
    }

    /// Workers without a job take the next ones.
    fn start_jobs(&mut self) {
        while let Some(job) = self.pod_enis().next_job() {
            match self.pod_enis().job(job).work {
                Work::Trunk(node) => self.begin_trunk(job, node),
                Work::Branch(pod) => self.begin_branch(job, pod),
                Work::Deletes(node) => self.delete_next(job, node),
            }
        }
    }

    /// The job's worker is free for others.
    fn leave_worker(&mut self, job: u32) {
        let enis = self.pod_enis();
        enis.job(job).step = Step::Queue;
        let place = usize::from(!matches!(enis.job(job).work, Work::Trunk(_)));
        enis.queues[place].1 += 1;
    }

    fn uniform_of(&mut self, job: u32) -> f64 {
        let draw = self.next_draw(job);
        self.chance.uniform(Component::ResourceController, job, draw)
    }
    fn next_draw(&mut self, job: u32) -> u32 {
        let job = self.pod_enis().job(job);
        job.draws += 1;
        job.draws
    }

    /// A request to the API server, through the controller's own limit.
    fn ask_api_server(&mut self, job: u32, step: Step, kind: RequestKind) {
        let (now, draw) = (self.now, self.next_draw(job));
        let enis = self.pod_enis();
        enis.job(job).step = step;
        let sent = enis.kubernetes_client.reserve(now);
        self.note_stage(job, if sent > now { branch::Stage::Queued } else { branch::Stage::Called });
        let takes = self.draw(Latency::ControllerRequest, Component::ResourceController, job, draw);
        self.send_request(
            Flow::KubeSystem(Namespace::Default),
            kind,
            sent,
            takes,
            Event::ResourceJobAnswered(job),
        );
    }

    /// A call of EC2, through the client's own limit.
    fn call(&mut self, job: u32, api: Api) {
        let of = self.pod_enis().job(job);
        (of.step, of.sent, of.tries) = (Step::Call(api), false, 0);
        self.send_call(job);
    }
    /// The same once more after a wait.
    fn call_later(&mut self, job: u32, wait: SimDuration) {
        let of = self.pod_enis().job(job);
        (of.sent, of.tries) = (false, 0);
        of.repeats += 1;
        self.at(self.now + wait, Event::ResourceCallSent(job));
    }

    pub(super) fn resource_call_sent(&mut self, job: u32) {
        self.send_call(job);
        self.start_jobs();
    }
    /// The call goes out once it has its token; throttled, the SDK sends it again.
    fn send_call(&mut self, job: u32) {
        let now = self.now;
        let enis = self.pod_enis();
        let Step::Call(api) = enis.job(job).step else { panic!("job {job} sends no call") };
        if !std::mem::replace(&mut enis.job(job).sent, true) {
            let client =
                if api.by_instance_client() { &mut enis.instance_client } else { &mut enis.user_client };
            let sent = client.reserve(now);
            if sent > now {
                self.note_stage(job, branch::Stage::Queued);
                self.at(sent, Event::ResourceCallSent(job));
                return;
            }
        }
        let place = ApiCount::of_resource_controller(api);
        self.api_counts[place].calls += 1;
        let granted = match shared(api) {
            Some(place) => self.buckets[place].try_take(1, now),
            None => {
                let own = OWN.iter().position(|other| *other == api).expect("an API is shared or its own");
                self.pod_enis().buckets[own].try_take(1, now)
            }
        };
        self.note_stage(job, if granted { branch::Stage::Called } else { branch::Stage::Throttled });
        if granted {
            let draw = self.next_draw(job);
            let takes = self.draw(latency_of(api), Component::ResourceController, job, draw);
            self.at(now + takes, Event::ResourceJobAnswered(job));
            return;
        }
        self.api_counts[place].throttled += 1;
        let of = self.pod_enis().job(job);
        (of.sent, of.tries) = (false, of.tries + 1);
        let (tries, uniform) = (of.tries, self.uniform_of(job));
        match Retries::V2.after(tries, || uniform) {
            Some(wait) => {
                self.at(now + wait, Event::ResourceCallSent(job));
            }
            None => self.call_failed(job, api),
        }
    }

    /// The pod of a job, if it is one for a pod, waits for something else.
    fn note_stage(&mut self, job: u32, stage: branch::Stage) {
        if let Work::Branch(pod) = self.pod_enis().job(job).work {
            self.set_pod_eni(pod, stage);
        }
    }

    /// EC2 refused for want of addresses.
    fn count_refusal(&mut self, api: Api) {
        self.api_counts[ApiCount::of_resource_controller(api)].refused += 1;
    }

    pub(super) fn resource_job_answered(&mut self, job: u32) {
        let Job { work, step, .. } = *self.pod_enis().job(job);
        match work {
            Work::Trunk(node) => self.trunk_answered(job, node, step),
            Work::Branch(pod) => self.branch_answered(job, pod, step),
            Work::Deletes(node) => self.delete_answered(job, node, step),
        }
        self.start_jobs();
    }

    /// EC2 throttled the call to the SDK's last try.
    fn call_failed(&mut self, job: u32, api: Api) {
        match self.pod_enis().job(job).work {
            Work::Trunk(node) => self.trunk_failed(job, node),
            Work::Branch(pod) => self.branch_failed(job, pod, branch::Stage::Throttled),
            Work::Deletes(node) => self.delete_failed(job, node, api),
        }
    }
}
