//! ipamd's calls: the account's request limits, the SDK's retries, and what a call does to subnets.

use super::*;
use crate::actors::ipamd::{Answer, Api, Ask, Settings};

/// Attempts of the SDK in all.
const SDK_ATTEMPTS: u8 = 3;

impl Run<'_> {
    /// The instance's own interface takes an address of the zone's subnet with most free ones.
    pub(super) fn attach_primary(&mut self, node: u32) -> bool {
        let zone = self.nodes[node as usize].zone;
        let of_zone = (0..self.subnets.len()).filter(|at| self.scenario.subnets[*at].zone == zone);
        let Some(subnet) = of_zone.max_by_key(|at| (self.subnets[*at].free(), std::cmp::Reverse(*at))) else {
            return false;
        };
        let Some(primary) = self.take(node, subnet, 1, false) else { return false };
        self.nodes[node as usize].subnet = subnet;
        let held = Held { eni: 0, cidrs: Vec::new(), primary };
        self.nodes[node as usize].held.push(held);
        true
    }

    /// Takes addresses or prefixes for a node: their offsets, or zeros where addresses are only counted.
    fn take(&mut self, node: u32, subnet: usize, count: u32, prefixes: bool) -> Option<Vec<u32>> {
        let (chance, draws) = (self.chance, &mut self.nodes[node as usize].draws);
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
        taken.resize(count as usize, 0);
        outcome.is_ok().then_some(taken)
    }

    fn settings(&self, node: u32) -> &'_ Settings {
        let id = self.nodes[node as usize].types[0];
        self.prepared.ipamd[id.index()].as_ref().expect("a launched type's interface limits are known")
    }

    pub(super) fn aws_node_starts(&mut self, node: u32) {
        let machine = Ipamd::new(self.settings(node));
        self.nodes[node as usize].ipamd = Some(Box::new(machine));
        self.resume(node, Answer::Start);
    }

    pub(super) fn ipamd_wakes(&mut self, node: u32, wake: Wake) {
        match wake {
            Wake::Nap => self.resume(node, Answer::Woken),
            Wake::CallAgain(call, attempt) => self.send(node, call, attempt),
            Wake::CallEnds(call) => {
                let answer = self.end_call(node, call);
                self.resume(node, answer);
            }
        }
    }

    /// Hands the machine its answer and starts what it asks for next.
    fn resume(&mut self, node: u32, answer: Answer<'static>) {
        let prepared = self.prepared;
        let id = self.nodes[node as usize].types[0];
        let settings =
            prepared.ipamd[id.index()].as_ref().expect("a launched type's interface limits are known");
        let (chance, now) = (self.chance, self.now);
        let mut answer = answer;
        loop {
            let Node { ipamd, draws, .. } = &mut self.nodes[node as usize];
            let machine = ipamd.as_mut().expect("aws-node runs");
            let served = machine.serves();
            let mut jitter = || {
                *draws += 1;
                chance.uniform(Component::IpamdJitter, node, *draws)
            };
            let ask = machine.resume(settings, answer, now, &mut jitter);
            if machine.serves() && !served && !self.nodes[node as usize].static_node {
                let writes = self.draw(Latency::CniConfigWrite, Component::Boot, node, 5);
                self.at(self.now + writes, Event::CniReady(node));
            }
            match ask {
                Ask::Call(call) => return self.send(node, call, 1),
                Ask::Nap(_, span) => {
                    self.at(self.now + span, Event::Ipamd(node, Wake::Nap));
                    return;
                }
                Ask::AwaitEni(_) => {
                    let lag = self.call_latency(node, Latency::EniInMetadata);
                    answer = Answer::ShowsAt(self.now + lag);
                }
                Ask::ReadImds => answer = Answer::ImdsAgrees,
                Ask::Exit(_) => {
                    // kubelet restarts the container once its liveness probe has failed.
                    self.at(self.now + SimDuration::from_secs(85), Event::AwsNodeStarts(node));
                    return;
                }
            }
        }
    }

    fn call_latency(&mut self, node: u32, latency: Latency) -> SimDuration {
        self.nodes[node as usize].draws += 1;
        self.draw(latency, Component::Ec2Call, node, self.nodes[node as usize].draws)
    }

    fn send(&mut self, node: u32, call: Call, attempt: u8) {
        self.ec2_calls += 1;
        let place = Api::ALL.iter().position(|api| *api == call.api).expect("ALL lists every call");
        if self.buckets[place].try_take(1, self.now) {
            let takes = self.call_latency(node, latency_of(call.api));
            self.at(self.now + takes, Event::Ipamd(node, Wake::CallEnds(call)));
            return;
        }
        self.ec2_throttles += 1;
        if attempt >= SDK_ATTEMPTS {
            return self.resume(node, Answer::Failed);
        }
        self.nodes[node as usize].draws += 1;
        let uniform = self.chance.uniform(Component::IpamdJitter, node, self.nodes[node as usize].draws);
        let wait = SimDuration::from_secs_f64(uniform * f64::from(1u32 << attempt));
        self.at(self.now + wait, Event::Ipamd(node, Wake::CallAgain(call, attempt + 1)));
    }

    /// What the call does, at its end.
    fn end_call(&mut self, node: u32, call: Call) -> Answer<'static> {
        let prefixes = self.settings(node).prefix_delegation;
        let at = node as usize;
        let subnet = self.nodes[at].subnet;
        match call.api {
            Api::AssignPrivateIpAddresses => match self.take(node, subnet, call.count, prefixes) {
                None => Answer::Insufficient,
                Some(taken) => Answer::Granted { first_cidr: self.hold(node, call.eni, taken) },
            },
            Api::CreateNetworkInterface => {
                let Some(primary) = self.take(node, subnet, 1, false) else { return Answer::Insufficient };
                let Some(taken) = self.take(node, subnet, call.count, prefixes) else {
                    self.give_singles(subnet, &primary);
                    return Answer::Insufficient;
                };
                let eni = self.nodes[at].next_eni;
                self.nodes[at].next_eni += 1;
                self.nodes[at].held.push(Held { eni, cidrs: Vec::new(), primary });
                Answer::Created { eni, first_cidr: self.hold(node, eni, taken) }
            }
            Api::UnassignPrivateIpAddresses => {
                let gone = self.nodes[at]
                    .ipamd
                    .as_ref()
                    .map(|ipamd| ipamd.unassigning().to_vec())
                    .unwrap_or_default();
                let held = self.nodes[at].held.iter_mut().find(|held| held.eni == call.eni);
                let held = held.expect("an ENI that gives back is held");
                let (back, kept) =
                    held.cidrs.drain(..).partition::<Vec<_>, _>(|(cidr, _)| gone.contains(cidr));
                held.cidrs = kept;
                self.give_back(subnet, &back, prefixes);
                Answer::Done
            }
            Api::DeleteNetworkInterface => {
                if let Some(place) = self.nodes[at].held.iter().position(|held| held.eni == call.eni) {
                    let held = self.nodes[at].held.remove(place);
                    self.give_back(subnet, &held.cidrs, prefixes);
                    self.give_singles(subnet, &held.primary);
                }
                Answer::Done
            }
            _ => Answer::Done,
        }
    }

    fn hold(&mut self, node: u32, eni: u32, taken: Vec<u32>) -> u32 {
        let node = &mut self.nodes[node as usize];
        let first = node.next_cidr;
        node.next_cidr += taken.len() as u32;
        let held =
            node.held.iter_mut().find(|held| held.eni == eni).expect("an ENI that gets addresses is held");
        held.cidrs.extend((first..).zip(taken));
        first
    }
    fn give_back(&mut self, subnet: usize, cidrs: &[(u32, u32)], prefixes: bool) {
        let offsets: Vec<u32> = cidrs.iter().map(|(_, offset)| *offset).collect();
        match prefixes {
            true => self.subnets[subnet].return_prefixes(&offsets),
            false => self.give_singles(subnet, &offsets),
        }
    }
    fn give_singles(&mut self, subnet: usize, offsets: &[u32]) {
        self.subnets[subnet].return_singles(offsets.len() as u32, offsets);
    }
}

fn latency_of(api: Api) -> Latency {
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
