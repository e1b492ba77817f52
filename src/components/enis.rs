//! What ipamd's calls do in EC2 as they end: interfaces made, tied to their instance and deleted, addresses taken from subnets and
//! given back, and the books of both.

use smallvec::SmallVec;

use super::state::{Held, Tie};
use super::*;
use crate::actors::ipamd::{Answer, Api, CidrSerial, SubnetView, subnets_to_try};
use crate::scenario::CniMode;

impl Run<'_> {
    /// What the call does, at its end.
    pub(super) fn end_call(&mut self, node: u32, call: Call) -> Answer<'static> {
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
    pub(super) fn eni_subnets(&self, node: u32) -> SmallVec<[usize; 4]> {
        let (at, settings) = (&self.nodes[node as usize], self.settings(node));
        let specs = &self.scenario.subnets;
        let of_zone = (0..specs.len()).filter(|place| specs[*place].zone == at.zone);
        let of_zone: SmallVec<[usize; 4]> = of_zone.collect();
        if settings.custom_networking {
            return of_zone.into_iter().filter(|place| specs[*place].eni_config).collect();
        }
        let view = |place: &usize| SubnetView {
            free: self.subnets[*place].free(),
            own: *place == at.subnet,
            role_cni: &specs[*place].role_cni,
            clusters: &specs[*place].clusters,
        };
        let views: SmallVec<[SubnetView<'_>; 4]> = of_zone.iter().map(view).collect();
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
    pub(super) fn end_orphaned_call(&mut self, node: u32, call: Call) {
        if call.api == Api::UnassignPrivateIpAddresses {
            let gone = self.restarts.take_unassigning(node);
            self.unassign(node, call.eni, &gone, self.settings(node).prefix_delegation);
        } else {
            self.end_call(node, call);
        }
        self.books.note_peaks();
        self.store_differs(node);
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
        self.watch.note(book.free(), outcome.is_err());
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
}
