//! Each node's ipamd: its calls, the account's request limits, the SDK's retries, and what a call does to subnets.

use super::state::{Held, Tie};
use super::*;
use crate::actors::ec2::retry_after;
use crate::actors::ipamd::{
    Answer, Api, Ask, CidrSerial, Nap, PodAddress, Settings, SubnetView, subnets_to_try,
};
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
        if at.lives() && at.process == process {
            self.send(node, call, tries + 1);
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
            self.at(self.now + takes, Event::Ec2CallEnded(node, call, process));
            return;
        }
        count.throttled += 1;
        let (chance, at) = (self.chance, &mut self.nodes[node as usize]);
        let wait = retry_after(u32::from(tries), || {
            at.draws += 1;
            chance.uniform(Component::IpamdJitter, node, at.draws)
        });
        at.ipamd_throttled = wait.is_some();
        match wait {
            Some(wait) => {
                let process = self.nodes[node as usize].process;
                self.at(self.now + wait, Event::Ec2CallRetried(node, call, tries, process));
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

    /// What the call does, at its end.
    fn end_call(&mut self, node: u32, call: Call) -> Answer<'static> {
        let prefixes = self.settings(node).prefix_delegation;
        match call.api {
            Api::AssignPrivateIpAddresses => {
                let held = &self.nodes[node as usize].held;
                // One that a restart left loose may have been cleaned up.
                let Some(held) = held.iter().find(|held| held.eni == call.eni) else { return Answer::Failed };
                let subnet = held.subnet;
                match self.take(node, subnet, call.count, prefixes) {
                    None => {
                        if self.nodes[node as usize].ipamd.as_ref().is_some_and(|ipamd| ipamd.fills_new()) {
                            self.store_differs(node);
                        }
                        self.refused(call.api)
                    }
                    Some(taken) => {
                        Answer::Granted { first_cidr: self.hold(node, call.eni, call.count, taken) }
                    }
                }
            }
            Api::CreateNetworkInterface => self.create_eni(node, call.count, prefixes),
            Api::UnassignPrivateIpAddresses => {
                let ipamd = self.nodes[node as usize].ipamd.as_ref();
                let gone = ipamd.map_or_else(Vec::new, |ipamd| ipamd.unassigning().to_vec());
                self.unassign(node, call.eni, &gone, prefixes);
                Answer::Done
            }
            Api::DescribeSubnets if self.is_excluded(node, call.eni) => Answer::Excluded,
            Api::DescribeNetworkInterfaces if call.eni == Call::ALL_ENIS => {
                if let Some(eni) = self.missing_eni(node) {
                    return Answer::NotFound(eni);
                }
                self.trunk_in_metadata(node).map_or(Answer::Done, |(trunk, _)| Answer::Trunk(trunk))
            }
            Api::AttachNetworkInterface if self.is_full(node) => Answer::Failed,
            Api::AttachNetworkInterface => self.tie(node, call.eni, Tie::Attached),
            Api::ModifyNetworkInterfaceAttribute if call.eni != 0 => self.tie(node, call.eni, Tie::Bound),
            Api::DetachNetworkInterface => {
                self.eni_detached(node, call.eni);
                self.tie(node, call.eni, Tie::None)
            }
            Api::DeleteNetworkInterface => {
                let at = &mut self.nodes[node as usize];
                if let Some(place) = at.held.iter().position(|held| held.eni == call.eni) {
                    let held = at.held.remove(place);
                    self.enis_deleted += 1;
                    self.leaks.is_settled();
                    self.release_eni(&held, prefixes);
                }
                Answer::Done
            }
            _ => Answer::Done,
        }
    }

    /// Has the instance as many interfaces as its type allows (AttachmentLimitExceeded)?
    pub(super) fn is_full(&self, node: u32) -> bool {
        let at = &self.nodes[node as usize];
        let most = self.scenario.catalogue.get(at.instance_type).max_enis;
        let attached = at.held.iter().filter(|held| held.tie != Tie::None).count() as u32;
        most.is_some_and(|most| attached >= most)
    }

    /// An ENI is attached, bound to its instance or detached.
    fn tie(&mut self, node: u32, eni: u32, tie: Tie) -> Answer<'static> {
        let held = &mut self.nodes[node as usize].held;
        if let Some(held) = held.iter_mut().find(|held| held.eni == eni) {
            match (held.tie, tie) {
                (Tie::None, Tie::Attached) => self.leaks.is_settled(),
                (Tie::Attached | Tie::Bound, Tie::None) => self.leaks.comes_loose(held.made),
                _ => {}
            }
            held.tie = tie;
        }
        Answer::Done
    }

    fn refused(&mut self, api: Api) -> Answer<'static> {
        self.api_counts[api as usize].refused += 1;
        Answer::Insufficient
    }

    /// An ENI in the first subnet that has room for it and its addresses.
    fn create_eni(&mut self, node: u32, count: u32, prefixes: bool) -> Answer<'static> {
        let subnets = self.eni_subnets(node);
        if subnets.is_empty() {
            // No subnet is valid: an error, but none that pauses growth.
            return Answer::Failed;
        }
        for subnet in subnets {
            let Some(primary) = self.take(node, subnet, 1, false) else { continue };
            let Some(taken) = self.take(node, subnet, count, prefixes) else {
                self.give_back(subnet, 1, &primary, false);
                continue;
            };
            self.enis_created += 1;
            let (made, tie) = (self.now, Tie::None);
            self.leaks.comes_loose(made);
            let at = &mut self.nodes[node as usize];
            let eni = at.next_eni;
            at.next_eni += 1;
            let (shows_at, primary) = (SimTime::NEVER, primary.first().copied());
            at.held.push(Held { eni, tie, made, shows_at, subnet, primary, ..Held::default() });
            return Answer::Created { eni, first_cidr: self.hold(node, eni, count, taken) };
        }
        self.refused(Api::CreateNetworkInterface)
    }

    /// Subnets in which an ENI of the node may be made, in the order in which they are tried.
    pub(super) fn eni_subnets(&self, node: u32) -> Vec<usize> {
        let (at, settings) = (&self.nodes[node as usize], self.settings(node));
        let specs = &self.scenario.subnets;
        let of_zone: Vec<usize> = (0..specs.len()).filter(|place| specs[*place].zone == at.zone).collect();
        if settings.custom_networking {
            return of_zone.into_iter().filter(|place| specs[*place].eni_config).collect();
        }
        let view = |place: &usize| SubnetView {
            free: self.subnets[*place].free(),
            own: *place == at.subnet,
            role_cni: &specs[*place].role_cni,
            clusters: &specs[*place].clusters,
        };
        let views: Vec<SubnetView<'_>> = of_zone.iter().map(view).collect();
        let cluster = self.scenario.cluster_name.as_deref();
        let tried = subnets_to_try(&views, settings.subnet_discovery, cluster);
        tried.into_iter().map(|place| of_zone[place]).collect()
    }

    /// Is the ENI in a subnet that is not for pods?
    fn is_excluded(&self, node: u32, eni: u32) -> bool {
        let Some(held) = self.nodes[node as usize].held.iter().find(|held| held.eni == eni) else {
            return false;
        };
        let spec = &self.scenario.subnets[held.subnet];
        let view = SubnetView { free: 0, own: false, role_cni: &spec.role_cni, clusters: &spec.clusters };
        view.is_excluded(self.scenario.cluster_name.as_deref())
    }

    fn unassign(&mut self, node: u32, eni: u32, gone: &[CidrSerial], prefixes: bool) {
        let held = &mut self.nodes[node as usize].held;
        let Some(held) = held.iter_mut().find(|held| held.eni == eni) else { return };
        let (subnet, offsets) = (held.subnet, held.part_from(gone));
        let count = gone.len() as u32;
        self.give_back(subnet, count, &offsets, prefixes);
    }

    /// A call of a process that has ended: EC2 has carried it out, and nobody hears of it.
    fn end_orphaned_call(&mut self, node: u32, call: Call) {
        if call.api == Api::UnassignPrivateIpAddresses {
            let gone = self.restarts.take_unassigning(node);
            self.unassign(node, call.eni, &gone, self.settings(node).prefix_delegation);
        } else {
            self.end_call(node, call);
        }
        self.books.note_peaks();
        self.store_differs(node);
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

    pub(super) fn release_eni(&mut self, held: &Held, prefixes: bool) {
        let offsets: Vec<u32> = held.placed.iter().map(|(_, offset)| *offset).collect();
        self.give_back(held.subnet, held.count, &offsets, prefixes);
        let primary: Vec<u32> = held.primary.into_iter().collect();
        self.give_back(held.subnet, 1, &primary, false);
    }

    /// The instance goes, with the interfaces that are bound to it and the addresses its pods still have.
    pub(super) fn release_all(&mut self, node: u32) {
        let now = self.now;
        let prefixes = self.scenario.cni.mode == CniMode::Vpc && self.settings(node).prefix_delegation;
        let assigned = self.nodes[node as usize].ipamd.as_ref().map_or(0, |ipamd| ipamd.pool().assigned());
        self.books.settle(now);
        self.books.assigned -= u64::from(assigned);
        let held = &self.nodes[node as usize].held;
        let unmanaged = held.iter().filter(|held| held.unmanaged).count() as u64;
        for mut held in std::mem::take(&mut self.nodes[node as usize].held) {
            if held.tie == Tie::Bound {
                self.release_eni(&held, prefixes);
                continue;
            }
            if std::mem::replace(&mut held.tie, Tie::None) == Tie::Attached {
                self.leaks.comes_loose(held.made);
            }
            self.nodes[node as usize].held.push(held);
        }
        self.release_pod_enis(node);
        self.books.instances -= 1 + unmanaged;
        self.nodes[node as usize].ipamd = None;
    }

    /// The instance's own interface takes an address of the zone's subnet for nodes, or of the one that its launch was
    /// offered. Nodes that are there at the start take the one with most free.
    pub(super) fn attach_primary(&mut self, node: u32, zone: u32) -> bool {
        let specs = &self.scenario.subnets;
        let emptiest = || {
            let of_zone = (0..specs.len()).filter(|at| specs[*at].zone == zone && specs[*at].nodes);
            of_zone.max_by_key(|at| (self.subnets[*at].free(), std::cmp::Reverse(*at)))
        };
        let Some(subnet) = self.offered_subnet(node, zone).or_else(emptiest) else {
            return false;
        };
        self.nodes[node as usize].subnet = subnet;
        self.books.settle(self.now);
        let Some(primary) = self.take(node, subnet, 1, false) else { return false };
        self.books.instances += 1;
        self.books.note_peaks();
        let held = Held { subnet, primary: primary.first().copied(), ..Held::default() };
        self.nodes[node as usize].held.push(held);
        true
    }

    /// Takes addresses or prefixes of a subnet for a node: their offsets, where the subnet places them. `None`: too few
    /// are left.
    pub(super) fn take(&mut self, node: u32, subnet: usize, count: u32, prefixes: bool) -> Option<Vec<u32>> {
        let (chance, now) = (self.chance, self.now);
        let at = &mut self.nodes[node as usize];
        let draws = &mut at.draws;
        let mut below = |bound| {
            *draws += 1;
            chance.below(Component::Address, node, *draws, bound)
        };
        let book = &mut self.subnets[subnet];
        let mut taken = Vec::new();
        let outcome = match prefixes {
            true => book.take_prefixes(count, &mut taken, &mut below),
            false => book.take_singles(count, &mut taken, &mut below),
        };
        if outcome.is_err() {
            self.first_dry[subnet].get_or_insert(now);
            return None;
        }
        let addresses = u64::from(count) * if prefixes { 16 } else { 1 };
        self.books.settle(now);
        self.books.attached += addresses;
        self.books.free -= addresses;
        Some(taken)
    }

    fn hold(&mut self, node: u32, eni: u32, count: u32, taken: Vec<u32>) -> u32 {
        let node = &mut self.nodes[node as usize];
        let first = node.next_cidr;
        node.next_cidr += count;
        let held =
            node.held.iter_mut().find(|held| held.eni == eni).expect("an ENI that gets addresses is held");
        held.count += count;
        held.placed.extend((first..).zip(taken));
        first
    }

    pub(super) fn give_back(&mut self, subnet: usize, count: u32, offsets: &[u32], prefixes: bool) {
        let book = &mut self.subnets[subnet];
        match prefixes {
            true => book.return_prefixes(offsets),
            false => book.return_singles(count, offsets),
        }
        let addresses = u64::from(count) * if prefixes { 16 } else { 1 };
        self.books.settle(self.now);
        self.books.attached -= addresses;
        self.books.free += addresses;
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
        ipamd.pool().assignable(self.now) > 0 || (left && ipamd.may_grow(settings, self.now))
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
