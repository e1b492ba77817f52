//! ipamd's start-up and its loop, as one machine that is resumed with the outcome of what it asked for.

use super::free;
use super::pool::{CidrSerial, EniSerial, PodAddress, Pool};
use super::settings::{Settings, Version};
use super::targets;
use crate::units::{SimDuration, SimTime};

mod grow;
mod reconcile;
mod recover;
mod rest;
mod shrink;
mod start;

pub use recover::Attached;

/// EC2's calls that ipamd makes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Api {
    DescribeNetworkInterfaces,
    CreateTags,
    DescribeSubnets,
    ModifyNetworkInterfaceAttribute,
    AssignPrivateIpAddresses,
    UnassignPrivateIpAddresses,
    CreateNetworkInterface,
    DescribeInstances,
    AttachNetworkInterface,
    DetachNetworkInterface,
    DeleteNetworkInterface,
}

impl Api {
    pub const ALL: [Api; 11] = [
        Api::DescribeNetworkInterfaces,
        Api::CreateTags,
        Api::DescribeSubnets,
        Api::ModifyNetworkInterfaceAttribute,
        Api::AssignPrivateIpAddresses,
        Api::UnassignPrivateIpAddresses,
        Api::CreateNetworkInterface,
        Api::DescribeInstances,
        Api::AttachNetworkInterface,
        Api::DetachNetworkInterface,
        Api::DeleteNetworkInterface,
    ];

    /// EC2's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Api::DescribeNetworkInterfaces => "DescribeNetworkInterfaces",
            Api::CreateTags => "CreateTags",
            Api::DescribeSubnets => "DescribeSubnets",
            Api::ModifyNetworkInterfaceAttribute => "ModifyNetworkInterfaceAttribute",
            Api::AssignPrivateIpAddresses => "AssignPrivateIpAddresses",
            Api::UnassignPrivateIpAddresses => "UnassignPrivateIpAddresses",
            Api::CreateNetworkInterface => "CreateNetworkInterface",
            Api::DescribeInstances => "DescribeInstances",
            Api::AttachNetworkInterface => "AttachNetworkInterface",
            Api::DetachNetworkInterface => "DetachNetworkInterface",
            Api::DeleteNetworkInterface => "DeleteNetworkInterface",
        }
    }
    /// Does a call say how many addresses or prefixes?
    pub const fn counts(self) -> bool {
        matches!(
            self,
            Api::AssignPrivateIpAddresses | Api::UnassignPrivateIpAddresses | Api::CreateNetworkInterface
        )
    }
}

/// A call to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    pub api: Api,
    /// The ENI it names; [`Call::ALL_ENIS`]: all that the machine believes in, see [`Ipamd::named_enis`].
    pub eni: EniSerial,
    /// Addresses, or prefixes in prefix mode; 0 where the API has no count.
    pub count: u32,
}

impl Call {
    pub const ALL_ENIS: EniSerial = EniSerial::MAX;
}

/// Why the machine sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nap {
    /// The loop's first half; then a step begins.
    BeforeStep,
    /// The loop's second half; a step has just ended.
    BeforeReconcile,
    /// Until the look at IMDS that finds the new ENI, or the last one.
    Look,
    /// Between Detach and Delete.
    Settle,
    /// Before a refused Detach or Delete is tried again.
    Retry,
}

/// ipamd gave up; the container dies and is restarted by kubelet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit;

/// What the machine asks of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Answer at the call's end, with its outcome.
    Call(Call),
    /// Answer [`Answer::Woken`] after this span.
    Nap(Nap, SimDuration),
    /// Answer at once with [`Answer::ShowsAt`].
    AwaitEni(EniSerial),
    /// Answer at once with [`Answer::ImdsAgrees`] or [`Answer::View`].
    ReadImds,
    Exit(Exit),
}

/// How it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// The process starts.
    Start,
    Woken,
    /// The call worked and has nothing to tell.
    Done,
    /// Assign worked: CIDRs from this number on.
    Granted {
        first_cidr: CidrSerial,
    },
    /// Create worked: the ENI's number, its CIDRs from this number on.
    Created {
        eni: EniSerial,
        first_cidr: CidrSerial,
    },
    /// `InsufficientFreeAddressesInSubnet` or `InsufficientCidrBlocks`.
    Insufficient,
    /// Any other error, throttling after the SDK's retries included.
    Failed,
    /// DescribeNetworkInterfaces named this ENI, which is no more.
    NotFound(EniSerial),
    /// DescribeNetworkInterfaces worked, and this one is a trunk.
    Trunk(EniSerial),
    /// DescribeSubnets worked: the subnet of the ENI that is being set up is not for pods.
    Excluded,
    /// IMDS lists the ENI with all its addresses from this instant on.
    ShowsAt(SimTime),
    /// IMDS shows what the store has.
    ImdsAgrees,
    /// ENIs and their CIDRs, from IMDS or from DescribeNetworkInterfaces on one ENI.
    View(&'a [(EniSerial, Vec<CidrSerial>)]),
}

/// Where the machine is: what it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    NotStarted,
    InitDescribe { tries: u8 },
    InitTags { tries: u8 },
    InitSubnets,
    InitGroups,
    BeforeStep,
    Assign { index: u32, count: u32, second: bool },
    NewSubnets,
    Create { count: u32 },
    DescribeInstances { new: NewEni },
    Attach { new: NewEni },
    UndoDelete { eni: EniSerial, tries: u8 },
    Modify { new: NewEni },
    AssignNew { new: NewEni },
    Await { new: NewEni },
    Look { new: NewEni, found: bool },
    CheckSubnets { new: NewEni },
    Unassign { index: u32, budget: u32 },
    FreeDescribe { eni: EniSerial },
    FreeDetach { eni: EniSerial, tries: u8 },
    Settle { eni: EniSerial },
    FreeDelete { eni: EniSerial, tries: u8 },
    BeforeReconcile,
    ReadImds,
    DescribeAll,
    DescribeOne { at: u32, verify: bool },
    AdoptSubnets { at: u32 },
    RecoverTags { at: u32, tries: u8 },
    RecoverSubnets { at: u32 },
    RecoverGroups { at: u32 },
    Gone,
}

/// An ENI being made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct NewEni {
    serial: EniSerial,
    first_cidr: CidrSerial,
    count: u32,
}

/// ipamd of one node; see the module's page.
#[derive(Clone, Debug)]
pub struct Ipamd {
    pool: Pool,
    stage: Stage,
    in_startup: bool,
    decreased: bool,
    was_low: bool,
    /// What step A of the growth under way wants.
    wanted: u32,
    /// Available addresses when the step began.
    gate_available: i64,
    last_insufficient: Option<SimTime>,
    last_decrease: Option<SimTime>,
    last_action: Option<SimTime>,
    last_unassigned: Vec<CidrSerial>,
    /// Returned CIDRs and when, which reconcile does not take back at once.
    recently_freed: Vec<(CidrSerial, SimTime)>,
    /// The reconcile under way.
    view: Vec<(EniSerial, Vec<CidrSerial>)>,
    /// The ENI that EC2 says is a trunk.
    trunk: Option<EniSerial>,
    /// ENIs on the instance that it leaves alone.
    unmanaged: u32,
    /// Has the primary ENI its tags?
    tagged: bool,
    /// ENIs that a process found at its start and that it has to tag.
    untagged: Vec<EniSerial>,
    /// Is the node cordoned, and is that heeded?
    cordoned: bool,
}

const HALF_LOOP: SimDuration = SimDuration::from_millis(2_500);
const INSUFFICIENT_PAUSE: SimDuration = SimDuration::from_secs(120);
const DECREASE_INTERVAL: SimDuration = SimDuration::from_secs(30);
const RECONCILE_INTERVAL: SimDuration = SimDuration::from_secs(60);
const SETTLE: SimDuration = SimDuration::from_secs(2);
/// Tries of Detach, Delete, of the looks at IMDS and of the first Describe.
pub(super) const TRIES: u8 = 12;
const TAG_TRIES: u8 = 5;
const LONGEST_WAIT: SimDuration = SimDuration::from_secs(60);

impl Ipamd {
    /// A fresh node: one primary ENI without secondary addresses, not yet started.
    pub fn new(settings: &Settings) -> Ipamd {
        Ipamd {
            pool: Pool::new(settings.cidr_size(), settings.cooldown),
            stage: Stage::NotStarted,
            in_startup: true,
            decreased: false,
            was_low: false,
            wanted: 0,
            gate_available: 0,
            last_insufficient: None,
            last_decrease: None,
            last_action: None,
            last_unassigned: Vec::new(),
            recently_freed: Vec::new(),
            view: Vec::new(),
            trunk: None,
            unmanaged: 0,
            tagged: false,
            untagged: Vec::new(),
            cordoned: false,
        }
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }
    /// A sandbox asks for an address.
    pub fn add_pod(&mut self, now: SimTime) -> Option<PodAddress> {
        self.pool.assign(now)
    }
    /// A sandbox is gone.
    pub fn delete_pod(&mut self, address: PodAddress, now: SimTime) {
        self.pool.release(address, now);
    }
    /// The node is tainted `node.kubernetes.io/unschedulable`, or no more: its pool neither grows nor loses an ENI, but still
    /// gives addresses back.
    pub fn cordon(&mut self, settings: &Settings, cordoned: bool) {
        self.cordoned = cordoned && !settings.manages_cordoned;
    }
    /// The CIDRs of the Unassign call under way.
    pub fn unassigning(&self) -> &[CidrSerial] {
        &self.last_unassigned
    }
    /// Is an Unassign call under way?
    pub fn unassigns(&self) -> bool {
        matches!(self.stage, Stage::Unassign { .. })
    }
    /// Is this ENI, which has left the store, described or detached to be deleted?
    pub fn frees(&self, eni: EniSerial) -> bool {
        let freed = match self.stage {
            Stage::FreeDescribe { eni } | Stage::FreeDetach { eni, .. } => Some(eni),
            _ => None,
        };
        freed == Some(eni)
    }
    /// Is a new ENI, not yet in the store, given its addresses (v1.12)?
    pub fn fills_new(&self) -> bool {
        matches!(self.stage, Stage::AssignNew { .. })
    }
    /// Has the primary ENI its tags?
    pub fn has_tagged(&self) -> bool {
        self.tagged
    }
    /// The ENIs that a DescribeNetworkInterfaces of [`Call::ALL_ENIS`] names.
    pub fn named_enis(&self) -> impl Iterator<Item = EniSerial> {
        self.view.iter().map(|(eni, _)| *eni)
    }
    /// Has the start-up finished and the loop begun?
    pub fn serves(&self) -> bool {
        !self.in_startup
    }
    /// Has it asked the VPC resource controller for a trunk, by its feature on the CNINode? The last thing of the start-up
    /// before the pool grows, if a slot is free.
    pub fn asks_for_trunk(&self, settings: &Settings) -> bool {
        let early = matches!(
            self.stage,
            Stage::NotStarted
                | Stage::InitDescribe { .. }
                | Stage::InitTags { .. }
                | Stage::InitSubnets
                | Stage::InitGroups
                | Stage::RecoverTags { .. }
                | Stage::RecoverSubnets { .. }
                | Stage::RecoverGroups { .. }
        );
        settings.pod_eni && !early && self.pool.eni_count() + self.unmanaged < settings.eni_budget
    }
    /// The ENI on no instance that it is about to attach or to delete.
    pub fn in_hand(&self) -> Option<EniSerial> {
        match self.stage {
            Stage::DescribeInstances { new } | Stage::Attach { new } => Some(new.serial),
            Stage::UndoDelete { eni, .. } | Stage::Settle { eni } | Stage::FreeDelete { eni, .. } => {
                Some(eni)
            }
            _ => None,
        }
    }
    /// Until when growth is paused for want of addresses, if it is at `now`.
    pub fn paused_until(&self, now: SimTime) -> Option<SimTime> {
        self.last_insufficient.map(|at| at + INSUFFICIENT_PAUSE).filter(|until| now <= *until)
    }

    pub(super) fn last_decrease(&self) -> Option<SimTime> {
        self.last_decrease
    }

    /// Goes on with the outcome of the last ask. `jitter` gives uniforms for sleeps that the program lengthens.
    ///
    /// # Panics
    /// If the answer is not one to what was asked.
    pub fn resume(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        let ok = !matches!(answer, Answer::Failed | Answer::Insufficient | Answer::NotFound(_));
        match self.stage {
            Stage::NotStarted => self.init_describe(1),
            Stage::InitDescribe { tries } => self.init_described(settings, answer, now, tries),
            Stage::InitTags { tries } if !ok || matches!(answer, Answer::Woken) => {
                self.init_tag_again(answer, tries, jitter)
            }
            Stage::InitTags { .. } => {
                self.tagged = true;
                self.pool.add_eni(0, now);
                if settings.subnet_discovery {
                    self.call(Stage::InitSubnets, Api::DescribeSubnets, 0, 0)
                } else {
                    self.init_groups(settings, now)
                }
            }
            Stage::InitSubnets => {
                self.exclude_if_said(answer, 0);
                self.init_groups(settings, now)
            }
            Stage::InitGroups if settings.version == Version::V1_12 => self.start_loop(),
            Stage::InitGroups => self.pre_scale(settings, now),
            Stage::BeforeStep => self.step(settings, now),
            Stage::Assign { index, count, second } => {
                self.assigned(settings, answer, now, (index, count, second))
            }
            Stage::NewSubnets => self.create(settings, now),
            Stage::Create { count } => self.created(settings, answer, now, count),
            Stage::DescribeInstances { new } | Stage::Attach { new } if !ok => {
                let eni = new.serial;
                self.call(Stage::UndoDelete { eni, tries: 1 }, Api::DeleteNetworkInterface, eni, 0)
            }
            Stage::DescribeInstances { new } => {
                self.call(Stage::Attach { new }, Api::AttachNetworkInterface, new.serial, 0)
            }
            Stage::Attach { new } => {
                self.call(Stage::Modify { new }, Api::ModifyNetworkInterfaceAttribute, new.serial, 0)
            }
            Stage::UndoDelete { eni, tries } => self.undo_delete(settings, answer, now, (eni, tries), jitter),
            Stage::Modify { new } if !ok => {
                let eni = new.serial;
                self.call(Stage::FreeDescribe { eni }, Api::DescribeNetworkInterfaces, eni, 0)
            }
            Stage::Modify { new } => self.modified(settings, new),
            Stage::AssignNew { new } => self.assigned_new(settings, answer, now, new),
            Stage::Await { new } => self.look(answer, now, new, jitter),
            Stage::Look { new, found } => self.looked(settings, now, new, found),
            Stage::CheckSubnets { new } => {
                self.exclude_if_said(answer, new.serial);
                self.fill_new(settings, now, new)
            }
            Stage::Unassign { index, budget } => self.shrink(settings, now, index + 1, budget),
            Stage::FreeDescribe { .. } if matches!(answer, Answer::NotFound(_)) => self.end_step(now),
            Stage::FreeDescribe { .. } if !ok => self.end_step(now),
            Stage::FreeDescribe { eni } => {
                self.call(Stage::FreeDetach { eni, tries: 1 }, Api::DetachNetworkInterface, eni, 0)
            }
            Stage::FreeDetach { eni, tries } => self.detached(answer, now, eni, tries, jitter),
            Stage::Settle { eni } => {
                self.call(Stage::FreeDelete { eni, tries: 1 }, Api::DeleteNetworkInterface, eni, 0)
            }
            Stage::FreeDelete { eni, tries } => self.deleted(answer, now, eni, tries, jitter),
            Stage::BeforeReconcile => self.begin_reconcile(settings, now),
            Stage::ReadImds => self.imds_read(settings, answer, now),
            Stage::DescribeAll => self.described_all(settings, answer, now),
            Stage::DescribeOne { at, verify } => {
                self.described_one(settings, answer, now, at as usize, verify)
            }
            Stage::AdoptSubnets { at } => {
                self.exclude_if_said(answer, self.view[at as usize].0);
                self.adopted(settings, now, at as usize)
            }
            Stage::RecoverTags { at, tries } => self.eni_tagged(settings, answer, now, (at, tries), jitter),
            Stage::RecoverSubnets { at } => {
                self.exclude_if_said(answer, self.view[at as usize].0);
                self.recover_eni(settings, now, at + 1)
            }
            Stage::RecoverGroups { at } => self.recover_groups(settings, now, at + 1),
            Stage::Gone => panic!("ipamd has exited and is resumed with {answer:?}"),
        }
    }

    fn call(&mut self, stage: Stage, api: Api, eni: EniSerial, count: u32) -> Ask {
        self.stage = stage;
        Ask::Call(Call { api, eni, count })
    }
    fn nap(&mut self, stage: Stage, nap: Nap, span: SimDuration) -> Ask {
        self.stage = stage;
        Ask::Nap(nap, span)
    }
    fn exit(&mut self) -> Ask {
        self.stage = Stage::Gone;
        Ask::Exit(Exit)
    }

    /// The answer of DescribeSubnets about an ENI that joins the store.
    fn exclude_if_said(&mut self, answer: Answer<'_>, eni: EniSerial) {
        if answer == Answer::Excluded {
            self.pool.exclude(eni);
        }
    }

    fn step(&mut self, settings: &Settings, now: SimTime) -> Ask {
        let counts = self.pool.counts(now);
        self.gate_available = counts.available();
        self.decreased = false;
        let rested = self.last_decrease.is_none_or(|at| now.since(at) > DECREASE_INTERVAL);
        if targets::too_low(settings, &counts) {
            self.grow(settings, now)
        } else if targets::too_high(settings, &counts) && rested {
            self.decreased = true;
            let budget = targets::shrink_budget(settings, &counts) as u32;
            self.shrink(settings, now, 0, budget)
        } else {
            self.free_an_eni(settings, now)
        }
    }

    fn end_step(&mut self, now: SimTime) -> Ask {
        if self.decreased {
            self.last_decrease = Some(now);
            self.last_action = Some(now);
        }
        self.nap(Stage::BeforeReconcile, Nap::BeforeReconcile, HALF_LOOP)
    }
}

/// `first` doubled for each try that failed before, cut at a minute, lengthened by the share `more`.
fn doubled(first: SimDuration, failed: u8, more: f64) -> SimDuration {
    let wait = SimDuration::from_nanos(first.nanos() << (failed - 1)).min(LONGEST_WAIT);
    if more > 0.0 { wait.mul_f64(1.0 + more) } else { wait }
}

/// The pause after a refused CreateTags.
fn tag_wait(failed: u8, jitter: &mut dyn FnMut() -> f64) -> SimDuration {
    doubled(SimDuration::from_millis(500), failed, 0.30 * jitter())
}

/// The pause after a refused Delete.
pub(super) fn delete_wait(failed: u8, jitter: &mut dyn FnMut() -> f64) -> SimDuration {
    doubled(SimDuration::from_millis(500), failed, 0.15 * jitter())
}

#[cfg(test)]
mod tests;
