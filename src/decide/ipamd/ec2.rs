//! The EC2 and IMDS of a case: fixed stock, effects at the end of calls, IMDS behind by a fixed lag.

use super::Durations;
use crate::actors::ipamd::{Answer, Api, Call, EniSerial};
use crate::units::{SimDuration, SimTime};

/// What the subnet can still give; `None`: without end.
pub(super) struct Subnet {
    pub addresses: Option<u64>,
    pub prefixes: Option<u64>,
}

/// From when to when IMDS lists something.
#[derive(Clone, Copy)]
struct Shown {
    from: SimTime,
    until: SimTime,
}

impl Shown {
    const HIDDEN: Shown = Shown { from: SimTime::NEVER, until: SimTime::NEVER };
    fn at(&self, now: SimTime) -> bool {
        self.from <= now && now < self.until
    }
}

struct Eni {
    serial: EniSerial,
    /// Its CIDRs, those that were unassigned included.
    cidrs: Vec<(u32, Shown)>,
    shown: Shown,
    attached: bool,
    /// Until when it detaches and holds its slot.
    detached_at: Option<SimTime>,
    exists: bool,
}

pub(super) struct Ec2 {
    subnet: Subnet,
    max_enis: u32,
    imds_lag: SimDuration,
    detaching: SimDuration,
    enis: Vec<Eni>,
    next_cidr: u32,
    view: Vec<(EniSerial, Vec<u32>)>,
}

impl Ec2 {
    pub fn new(subnet: Subnet, max_enis: u32, durations: &Durations) -> Ec2 {
        let primary = Eni {
            serial: 0,
            cidrs: Vec::new(),
            shown: Shown { from: SimTime::ZERO, until: SimTime::NEVER },
            attached: true,
            detached_at: None,
            exists: true,
        };
        let (imds_lag, detaching) = (durations.imds_lag, durations.detaching);
        Ec2 { subnet, max_enis, imds_lag, detaching, enis: vec![primary], next_cidr: 0, view: Vec::new() }
    }

    /// From when on IMDS lists the ENI.
    pub fn shows_at(&self, eni: EniSerial) -> SimTime {
        self.enis[eni as usize].shown.from
    }
    /// What IMDS lists now.
    pub fn imds(&mut self, now: SimTime) -> Answer<'_> {
        let listed = |eni: &Eni| {
            let cidrs = eni.cidrs.iter().filter(|(_, shown)| shown.at(now)).map(|(cidr, _)| *cidr);
            (eni.serial, cidrs.collect())
        };
        self.view = self.enis.iter().filter(|eni| eni.shown.at(now)).map(listed).collect();
        Answer::View(&self.view)
    }

    /// The call ends now: takes effect, or is refused. `unassigned` are the CIDRs of an Unassign, `named`
    /// the ENIs of a Describe of all.
    pub fn end_call(
        &mut self,
        call: Call,
        prefixes: bool,
        unassigned: &[u32],
        named: &[EniSerial],
        now: SimTime,
    ) -> Answer<'_> {
        let shown = Shown { from: now + self.imds_lag, until: SimTime::NEVER };
        let place = call.eni as usize;
        match call.api {
            Api::DescribeNetworkInterfaces if call.eni == Call::ALL_ENIS => {
                match named.iter().find(|eni| !self.enis[**eni as usize].exists) {
                    Some(gone) => Answer::NotFound(*gone),
                    None => Answer::Done,
                }
            }
            Api::DescribeNetworkInterfaces => {
                let eni = &self.enis[place];
                let held = eni.cidrs.iter().filter(|(_, shown)| shown.until == SimTime::NEVER);
                self.view = vec![(call.eni, held.map(|(cidr, _)| *cidr).collect())];
                Answer::View(&self.view)
            }
            Api::AssignPrivateIpAddresses => {
                if !self.take(call.count, prefixes, 0) {
                    return Answer::Insufficient;
                }
                let first_cidr = self.add_cidrs(place, call.count, shown);
                Answer::Granted { first_cidr }
            }
            Api::CreateNetworkInterface => {
                if !self.take(call.count, prefixes, 1) {
                    return Answer::Insufficient;
                }
                let serial = self.enis.len() as u32;
                let new = Eni {
                    serial,
                    cidrs: Vec::new(),
                    shown: Shown::HIDDEN,
                    attached: false,
                    detached_at: None,
                    exists: true,
                };
                self.enis.push(new);
                let listed = Shown { from: SimTime::ZERO, until: SimTime::NEVER };
                let first_cidr = self.add_cidrs(serial as usize, call.count, listed);
                Answer::Created { eni: serial, first_cidr }
            }
            Api::AttachNetworkInterface => {
                let slots =
                    self.enis.iter().filter(|eni| eni.attached || eni.detached_at.is_some_and(|at| now < at));
                if slots.count() as u32 >= self.max_enis {
                    return Answer::Failed;
                }
                self.enis[place].attached = true;
                self.enis[place].shown = shown;
                Answer::Done
            }
            Api::DetachNetworkInterface => {
                let eni = &mut self.enis[place];
                eni.attached = false;
                eni.detached_at = Some(now + self.detaching);
                eni.shown.until = now + self.imds_lag;
                Answer::Done
            }
            Api::DeleteNetworkInterface => {
                if self.enis[place].detached_at.is_some_and(|at| now < at) {
                    return Answer::Failed;
                }
                self.enis[place].exists = false;
                let held =
                    self.enis[place].cidrs.iter().filter(|(_, shown)| shown.until == SimTime::NEVER).count();
                self.give_back(held as u32, prefixes, 1);
                Answer::Done
            }
            Api::UnassignPrivateIpAddresses => {
                let until = now + self.imds_lag;
                let gone = self.enis[place].cidrs.iter_mut().filter(|(cidr, _)| unassigned.contains(cidr));
                gone.for_each(|(_, shown)| shown.until = until);
                self.give_back(call.count, prefixes, 0);
                Answer::Done
            }
            Api::CreateTags
            | Api::DescribeSubnets
            | Api::DescribeInstances
            | Api::ModifyNetworkInterfaceAttribute => Answer::Done,
        }
    }

    fn add_cidrs(&mut self, place: usize, count: u32, shown: Shown) -> u32 {
        let first = self.next_cidr;
        self.next_cidr += count;
        self.enis[place].cidrs.extend((first..first + count).map(|cidr| (cidr, shown)));
        first
    }
    fn take(&mut self, count: u32, prefixes: bool, primaries: u32) -> bool {
        let (addresses, blocks) = if prefixes { (primaries, count) } else { (primaries + count, 0) };
        let enough = |stock: Option<u64>, asked: u32| stock.is_none_or(|left| left >= u64::from(asked));
        let fits = enough(self.subnet.addresses, addresses) && enough(self.subnet.prefixes, blocks);
        if fits {
            self.subnet.addresses = self.subnet.addresses.map(|left| left - u64::from(addresses));
            self.subnet.prefixes = self.subnet.prefixes.map(|left| left - u64::from(blocks));
        }
        fits
    }
    fn give_back(&mut self, count: u32, prefixes: bool, primaries: u32) {
        let (addresses, blocks) = if prefixes { (primaries, count) } else { (primaries + count, 0) };
        self.subnet.addresses = self.subnet.addresses.map(|left| left + u64::from(addresses));
        self.subnet.prefixes = self.subnet.prefixes.map(|left| left + u64::from(blocks));
    }
}
