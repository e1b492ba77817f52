//! Each node's ipamd: its calls, the account's request limits, the SDK's retries and its naps. `enis` has what a call does.

use super::*;
use crate::actors::ipamd::{Answer, Api, Ask, Nap, PodAddress, Settings};
use crate::scenario::CniMode;

/// kubelet restarts a container whose liveness probe fails after so long.
const RESTART: SimDuration = SimDuration::from_secs(85);

impl<'a> Run<'a> {
    pub(super) fn settings(&self, node: u32) -> &'a Settings {
        let id = self.nodes[node as usize].instance_type;
        self.prepared.ipamd[id.index()].as_ref().expect("a launched type's interface limits are known")
    }

    pub(super) fn aws_node_started(&mut self, node: u32) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        if self.scenario.cni.mode == CniMode::VpcIpv6 {
            return self.start_ipv6(node);
        }
        let machine = match self.nodes[node as usize].ipamd {
            None if self.nodes[node as usize].held.len() == 1 => Ipamd::new(self.settings(node)),
            _ => self.recover_ipamd(node),
        };
        self.nodes[node as usize].ipamd = Some(Box::new(machine));
        self.start_cleaner(node);
        self.resume(node, Answer::Start);
    }

    /// The primary ENI is described and tagged and gets its /80; there is no pool to keep.
    fn start_ipv6(&mut self, node: u32) {
        let mut at = self.now;
        for api in [Api::DescribeNetworkInterfaces, Api::CreateTags, Api::AssignPrivateIpAddresses] {
            self.api_counts[api as usize].calls += 1;
            at += self.call_latency(node, latency_of(api));
        }
        let writes = self.draw(Latency::CniConfigWrite, Component::Boot, node, 5);
        self.at(at + writes, Event::CniReady(node));
    }

    /// The machine's nap is over, or what it idled for has come.
    pub(super) fn ipamd_woken(&mut self, node: u32) {
        let at = &mut self.nodes[node as usize];
        at.wakes = None;
        if let Some(since) = at.idle_since.take() {
            let now = self.now;
            at.ipamd.as_mut().expect("ipamd idles").skip_idle(since, now);
        }
        self.resume(node, Answer::Woken);
    }

    pub(super) fn ec2_call_ended(&mut self, node: u32, call: Call, process: u8) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        if process != self.nodes[node as usize].process {
            return self.end_orphaned_call(node, call);
        }
        let answer = self.end_call(node, call);
        self.books.note_peaks();
        if call.api == Api::DescribeNetworkInterfaces && self.nodes[node as usize].metadata_differs {
            return self.describe_what_is(node, call, answer);
        }
        self.resume(node, answer);
    }

    /// Hands the machine its answer and starts what it asks for next.
    fn resume(&mut self, node: u32, first: Answer<'_>) {
        if !self.nodes[node as usize].lives() {
            return;
        }
        let (settings, chance, now) = (self.settings(node), self.chance, self.now);
        let mut answer = first;
        // What instance metadata lists where it differs from the store.
        let mut listed: Option<Vec<(u32, Vec<u32>)>> = None;
        loop {
            let Node { ipamd, draws, .. } = &mut self.nodes[node as usize];
            let machine = ipamd.as_mut().expect("aws-node runs");
            let served = machine.serves();
            let mut jitter = || {
                *draws += 1;
                chance.uniform(Component::IpamdJitter, node, *draws)
            };
            let ask = match listed.take() {
                Some(view) => machine.resume(settings, Answer::View(&view), now, &mut jitter),
                None => machine.resume(settings, answer, now, &mut jitter),
            };
            if machine.serves() && !served {
                self.ipamd_serves(node);
            }
            match ask {
                Ask::Call(call) => {
                    self.send(node, call, 1);
                    break;
                }
                Ask::Nap(nap, span) => {
                    self.nap(node, nap, span);
                    break;
                }
                Ask::AwaitEni(eni) => {
                    let shows = self.now + self.call_latency(node, Latency::EniInMetadata);
                    self.eni_shows(node, eni, shows);
                    answer = Answer::ShowsAt(shows);
                }
                Ask::ReadImds => {
                    listed = self.metadata(node);
                    answer = Answer::ImdsAgrees;
                }
                Ask::Exit(_) => {
                    self.end_process(node);
                    self.at(self.now + RESTART, Event::AwsNodeStarted(node));
                    break;
                }
            }
        }
        self.refresh_addressless(node);
        if self.pod_enis.is_some() {
            self.announce_trunk(node);
            self.refresh_branchless_of(node);
        }
    }

    /// Instance metadata lists something new from `shows` on: an ipamd that idles looks at its next reconcile.
    pub(super) fn metadata_changes(&mut self, node: u32, shows: SimTime) {
        let Some(since) = self.nodes[node as usize].idle_since else { return };
        let until = Ipamd::reconcile_not_before(since, shows);
        if until < self.nodes[node as usize].wakes_at {
            self.wake_at(node, until);
        }
    }
    fn wake_at(&mut self, node: u32, until: SimTime) {
        let at = &mut self.nodes[node as usize];
        at.wakes_at = until;
        if let Some(wakes) = at.wakes.take() {
            self.agenda.cancel(wakes);
        }
        let wakes = self.at(until, Event::IpamdWoken(node));
        self.nodes[node as usize].wakes = Some(wakes);
    }

    /// After a step nothing happens before something can have changed: reconciles find what the store has.
    fn nap(&mut self, node: u32, nap: Nap, span: SimDuration) {
        let settings = self.settings(node);
        let mut until = self.now + span;
        if nap == Nap::Look && self.shows_later(node, until) {
            self.store_differs(node);
        }
        let at = &mut self.nodes[node as usize];
        if nap == Nap::BeforeReconcile {
            let machine = at.ipamd.as_ref().expect("aws-node runs");
            until = machine.idle_until(settings, self.now).expect("it naps after a step");
            if at.metadata_differs {
                until = until.min(machine.next_reconcile(self.now));
            }
            if let Some((_, shows)) = self.trunk_in_metadata(node) {
                until = until.min(Ipamd::reconcile_not_before(self.now, shows));
            }
            let at = &mut self.nodes[node as usize];
            at.idle_since = Some(self.now);
            at.wakes_at = until;
        }
        if until < SimTime::NEVER {
            let wakes = self.at(until, Event::IpamdWoken(node));
            self.nodes[node as usize].wakes = Some(wakes);
        }
    }

    /// A pod came or went: an ipamd that idles looks at its next step, if it could act there.
    fn pool_changed(&mut self, node: u32) {
        let (settings, now) = (self.settings(node), self.now);
        let at = &mut self.nodes[node as usize];
        let Some(since) = at.idle_since else { return };
        let until = Ipamd::step_not_before(since, now);
        let machine = at.ipamd.as_ref().expect("ipamd idles");
        if until >= at.wakes_at || !machine.would_act(settings, until) {
            return;
        }
        self.wake_at(node, until);
    }

    /// A sandbox asks for an address.
    pub(super) fn assign_address(&mut self, node: u32) -> Option<PodAddress> {
        let (now, at) = (self.now, &mut self.nodes[node as usize]);
        if at.ipamd_down {
            return None;
        }
        let given = at.ipamd.as_mut()?.add_pod(now)?;
        self.books.settle(now);
        self.books.assigned += 1;
        self.pool_changed(node);
        Some(given)
    }
    pub(super) fn release_address(&mut self, node: u32, address: PodAddress) {
        let now = self.now;
        if let Some(ipamd) = self.nodes[node as usize].ipamd.as_mut() {
            let before = ipamd.pool().assigned();
            ipamd.delete_pod(address, now);
            let released = before - ipamd.pool().assigned();
            self.books.settle(now);
            self.books.assigned -= u64::from(released);
            self.books.note_peaks();
            self.pool_changed(node);
        }
    }

    /// A node that has been there for long: every call answered at once until there is nothing to do.
    pub(super) fn settle_ipamd(&mut self, node: u32, pods: u32) {
        let settings = self.settings(node);
        let mut machine = Ipamd::new(settings);
        let mut listed: Vec<(u32, Vec<u32>)>;
        let mut answer = Answer::Start;
        let (mut left, mut called) = (pods, false);
        for _ in 0..10_000 {
            let ask = machine.resume(settings, answer, self.now, &mut || 0.0);
            answer = match ask {
                Ask::Call(call) => {
                    called = true;
                    self.end_call(node, call)
                }
                Ask::AwaitEni(eni) => {
                    self.eni_shows(node, eni, self.now);
                    Answer::ShowsAt(self.now)
                }
                Ask::ReadImds => match self.trunk_in_metadata(node) {
                    // The primary ENI and the trunk are all there is by then.
                    Some((trunk, _)) if !machine.pool().has_trunk() => {
                        called = true;
                        listed = machine.pool().listed().chain([(trunk, Vec::new())]).collect();
                        Answer::View(&listed)
                    }
                    _ => Answer::ImdsAgrees,
                },
                Ask::Nap(Nap::BeforeReconcile, _) => {
                    while left > 0 && machine.add_pod(self.now).is_some() {
                        (left, called) = (left - 1, true);
                        self.books.assigned += 1;
                    }
                    if !called {
                        break;
                    }
                    called = false;
                    Answer::Woken
                }
                Ask::Nap(..) => Answer::Woken,
                Ask::Exit(_) => break,
            };
        }
        let at = &mut self.nodes[node as usize];
        at.ipamd = Some(Box::new(machine));
        at.idle_since = Some(self.now);
        at.wakes_at = SimTime::NEVER;
        self.books.note_peaks();
    }

    fn call_latency(&mut self, node: u32, latency: Latency) -> SimDuration {
        self.nodes[node as usize].draws += 1;
        self.draw(latency, Component::Ec2Call, node, self.nodes[node as usize].draws)
    }

    pub(super) fn ec2_call_retried(&mut self, node: u32, call: Call, tries: u8, process: u8) {
        let at = &self.nodes[node as usize];
        if !at.lives() || at.process != process {
            return;
        }
        let (before, cause) = (at.ipamd_throttled, at.address_cause);
        self.send(node, call, tries + 1);
        let at = &self.nodes[node as usize];
        let same = before && at.ipamd_throttled && cause == Cause::AddressThrottled;
        // A pod's wait ends by itself only where addresses cool.
        if !(same && at.ipamd.as_ref().is_some_and(|ipamd| !ipamd.pool().may_cool())) {
            self.refresh_addressless(node);
        }
    }

    fn send(&mut self, node: u32, call: Call, tries: u8) {
        let count = &mut self.api_counts[call.api as usize];
        count.calls += 1;
        if self.buckets[call.api as usize].try_take(1, self.now) {
            self.nodes[node as usize].ipamd_throttled = false;
            let takes = self.call_latency(node, latency_of(call.api));
            let process = self.nodes[node as usize].process;
            let Call { api, eni, count } = call;
            self.at(self.now + takes, Event::Ec2CallEnded { node, eni, count, api, process });
            return;
        }
        count.throttled += 1;
        let (chance, at) = (self.chance, &mut self.nodes[node as usize]);
        let mutating =
            matches!(call.api, Api::AssignPrivateIpAddresses | Api::ModifyNetworkInterfaceAttribute);
        let retries = &self.prepared.era.ipamd_retries[usize::from(mutating)];
        let wait = retries.after(u32::from(tries), || {
            at.draws += 1;
            chance.uniform(Component::IpamdJitter, node, at.draws)
        });
        at.ipamd_throttled = wait.is_some();
        match wait {
            Some(wait) => {
                let process = self.nodes[node as usize].process;
                let Call { api, eni, count } = call;
                let retried = Event::Ec2CallRetried { node, eni, count, api, process, tries };
                self.at(self.now + wait, retried);
            }
            None => {
                if self.has_parted(node, call) {
                    self.store_differs(node);
                }
                self.resume(node, Answer::Failed);
            }
        }
    }
    /// Has the store dropped what the call, which has failed, was to give back?
    fn has_parted(&self, node: u32, call: Call) -> bool {
        let ipamd = self.nodes[node as usize].ipamd.as_ref();
        match call.api {
            Api::UnassignPrivateIpAddresses => true,
            Api::DescribeNetworkInterfaces | Api::DetachNetworkInterface => {
                ipamd.is_some_and(|ipamd| ipamd.frees(call.eni))
            }
            _ => false,
        }
    }

    /// DescribeNetworkInterfaces about one ENI tells its addresses.
    fn describe_what_is(&mut self, node: u32, call: Call, answer: Answer<'static>) {
        let attached = self.attached_enis(node);
        let assigned =
            |run: &Self| run.nodes[node as usize].ipamd.as_ref().map_or(0, |it| it.pool().assigned());
        let before = assigned(self);
        match attached.iter().position(|(eni, _)| *eni == call.eni) {
            Some(place) => self.resume(node, Answer::View(&attached[place..=place])),
            None => self.resume(node, answer),
        }
        // Pods whose addresses EC2 has no more on the node hold none.
        self.books.settle(self.now);
        self.books.assigned -= u64::from(before - assigned(self));
    }

    /// Could this node's pods, if none leaves, ever get another address?
    pub(super) fn may_gain_addresses(&self, node: u32) -> bool {
        let at = &self.nodes[node as usize];
        let settings = self.settings(node);
        let has_room = |place: usize| {
            let book = &self.subnets[place];
            if settings.prefix_delegation { book.free_blocks() > Some(0) } else { book.free_singles() > 0 }
        };
        let left = at.held.iter().any(|held| has_room(held.subnet))
            || self.eni_subnets(node).into_iter().any(has_room);
        let Some(ipamd) = &at.ipamd else { return left };
        if self.may_find_addresses(node) {
            return true;
        }
        if at.ipamd_down {
            // The next process hands out what pods have left, or asks for more.
            return left || ipamd.pool().total() > ipamd.pool().assigned();
        }
        // What is cooling down will be there again.
        ipamd.pool().total() > ipamd.pool().assigned() || (left && ipamd.may_grow(settings, self.now))
    }
    /// Could any node give addresses back, with no pod coming or going?
    pub(super) fn may_free_addresses(&self) -> bool {
        (0..self.nodes.len() as u32).any(|node| {
            let at = &self.nodes[node as usize];
            at.lives()
                && at.ipamd.as_ref().is_some_and(|ipamd| ipamd.may_give_back(self.settings(node), self.now))
        })
    }
}

pub(super) fn latency_of(api: Api) -> Latency {
    match api {
        Api::DescribeNetworkInterfaces => Latency::DescribeNetworkInterfaces,
        Api::CreateTags => Latency::CreateTags,
        Api::DescribeSubnets => Latency::DescribeSubnets,
        Api::ModifyNetworkInterfaceAttribute => Latency::ModifyNetworkInterfaceAttribute,
        Api::AssignPrivateIpAddresses => Latency::AssignPrivateIpAddresses,
        Api::UnassignPrivateIpAddresses => Latency::UnassignPrivateIpAddresses,
        Api::CreateNetworkInterface => Latency::CreateNetworkInterface,
        Api::DescribeInstances => Latency::DescribeInstances,
        Api::AttachNetworkInterface => Latency::AttachNetworkInterface,
        Api::DetachNetworkInterface => Latency::DetachNetworkInterface,
        Api::DeleteNetworkInterface => Latency::DeleteNetworkInterface,
    }
}
