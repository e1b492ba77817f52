//! Leaked ENIs: they hang on no instance, and their addresses stay taken in their subnets until the cleaner of some node
//! finds them.
//!
//! An ENI leaks where ipamd gives up deleting it, where its process ends before the ENI is attached or after it is detached,
//! and where the instance goes before that or before ModifyNetworkInterfaceAttribute has bound the ENI's end to the
//! instance's. A look of a cleaner that finds nothing is one event: EC2 answers for the instant at which it is asked.

use super::state::{Held, Tie};
use super::*;
use crate::actors::ipamd::Api;
use crate::actors::ipamd::leaks::{self, Deletions, Step, Unattached, Verdict};

/// What descriptions of ENIs that ipamd makes begin with.
const DESCRIPTION: &str = "aws-K8S-";

/// See the module's page.
#[derive(Clone, Debug)]
pub(super) struct Leaks {
    /// ENIs on no instance, those in the hands of some ipamd included.
    unattached: u32,
    /// Before this instant no cleaner would delete any of them.
    ripe_from: SimTime,
    /// ENIs that cleaners have deleted.
    pub cleaned: u64,
    /// Events of cleaners that are to come.
    appointments: u32,
    /// Looks that found ENIs, by the node whose cleaner is at them.
    looks: BTreeMap<u32, Look>,
}

/// What a cleaner found, and how far it is.
#[derive(Clone, Debug)]
struct Look {
    /// Of DescribeNetworkInterfaces, still to come.
    pages: u32,
    /// (node, ipamd's number)
    found: Vec<(u32, u32)>,
    deletions: Deletions,
    /// Of the SDK, at the call under way.
    tries: u32,
}

/// What becomes of a call.
enum Sent {
    Ends(SimTime),
    Again(SimTime),
    Throttled,
}

impl Leaks {
    pub fn new() -> Leaks {
        let (unattached, ripe_from, cleaned, appointments) = (0, SimTime::NEVER, 0, 0);
        Leaks { unattached, ripe_from, cleaned, appointments, looks: BTreeMap::new() }
    }
    /// An ENI is made, or detached.
    pub fn comes_loose(&mut self, made: SimTime) {
        self.unattached += 1;
        self.ripe_from = self.ripe_from.min(made + leaks::COOL_DOWN);
    }
    /// It is attached, or deleted.
    pub fn is_settled(&mut self) {
        self.unattached -= 1;
    }
    pub fn unattached(&self) -> u32 {
        self.unattached
    }
    /// Are there ENIs that a cleaner may find before the horizon?
    pub fn may_go(&self) -> bool {
        self.unattached > 0 && self.appointments > 0
    }
}

impl Run<'_> {
    /// A process of ipamd starts; its first look comes within five minutes.
    pub(super) fn start_cleaner(&mut self, node: u32) {
        self.leaks.looks.remove(&node);
        if self.settings(node).cleans_leaks {
            let wait = leaks::delay(self.cleaner_uniform(node));
            self.appoint_look(node, self.now + wait, 0);
        }
    }
    /// That of a process that has run for long: anywhere within its hour.
    pub(super) fn settle_cleaner(&mut self, node: u32) {
        if self.settings(node).cleans_leaks {
            let wait = leaks::pause(0.5).mul_f64(self.cleaner_uniform(node));
            self.appoint_look(node, self.now + wait, 0);
        }
    }
    fn look_again(&mut self, node: u32, ended: SimTime) {
        let pause = leaks::pause(self.cleaner_uniform(node));
        self.appoint_look(node, ended + pause, 0);
    }

    fn appoint_look(&mut self, node: u32, at: SimTime, tries: u8) {
        let process = self.nodes[node as usize].process;
        self.appoint_cleaner(at, Event::LeaksSought { node, process, tries });
    }
    /// What comes after the horizon does not come.
    fn appoint_cleaner(&mut self, at: SimTime, event: Event) {
        if at <= SimTime::ZERO + self.scenario.horizon {
            self.leaks.appointments += 1;
            self.at(at, event);
        }
    }
    /// An appointment has come; is the process still there that made it?
    fn keeps_appointment(&mut self, node: u32, process: u8) -> bool {
        self.leaks.appointments -= 1;
        let at = &self.nodes[node as usize];
        at.lives() && at.process == process
    }
    fn cleaner_draw(&mut self, node: u32) -> u32 {
        let at = &mut self.nodes[node as usize];
        at.cleaner_draws += 1;
        at.cleaner_draws
    }
    fn cleaner_uniform(&mut self, node: u32) -> f64 {
        let draw = self.cleaner_draw(node);
        self.chance.uniform(Component::LeakCleaner, node, draw)
    }

    /// The cleaner asks EC2 for ENIs on no instance, `tries` throttled calls before.
    pub(super) fn leaks_sought(&mut self, node: u32, process: u8, tries: u8) {
        if !self.keeps_appointment(node, process) {
            return;
        }
        match self.send_cleaner_call(node, Api::DescribeNetworkInterfaces, u32::from(tries) + 1) {
            Sent::Ends(at) => {
                let (found, pages) = (self.found(), leaks::pages(self.leaks.unattached as usize));
                if found.is_empty() && pages == 1 {
                    return self.look_again(node, at);
                }
                let deletions = Deletions::new(found.len());
                self.leaks.looks.insert(node, Look { pages, found, deletions, tries: 0 });
                self.appoint_cleaner(at, Event::LeakCallEnded { node, process });
            }
            Sent::Again(at) => self.appoint_look(node, at, tries + 1),
            Sent::Throttled => self.look_again(node, self.now),
        }
    }

    /// ENIs on no instance, with their nodes.
    fn unattached(&self) -> impl Iterator<Item = (u32, &Held)> {
        self.nodes.iter().zip(0..).flat_map(|(at, node)| {
            at.held.iter().filter(|held| held.tie == Tie::None).map(move |held| (node, held))
        })
    }
    /// Those that a cleaner deletes.
    fn found(&mut self) -> Vec<(u32, u32)> {
        if self.now < self.leaks.ripe_from {
            return Vec::new();
        }
        let ripe = self.unattached().map(|(_, held)| held.made + leaks::COOL_DOWN);
        let ripe_from = ripe.filter(|ripe| *ripe > self.now).min();
        let cluster = self.scenario.cluster_name.as_deref();
        let leaked = |held: &Held| {
            let eni = Unattached { description: DESCRIPTION, cluster, created: Some(held.made) };
            leaks::judge(eni, cluster, self.now) == Verdict::Leaked
        };
        let found: Vec<(u32, u32)> =
            self.unattached().filter(|(_, held)| leaked(held)).map(|(node, held)| (node, held.eni)).collect();
        // What is found and not deleted is found again.
        self.leaks.ripe_from = if found.is_empty() { ripe_from.unwrap_or(SimTime::NEVER) } else { self.now };
        found
    }

    fn send_cleaner_call(&mut self, node: u32, api: Api, tries: u32) -> Sent {
        let draw = self.cleaner_draw(node);
        self.api_counts[api as usize].calls += 1;
        if self.buckets[api as usize].try_take(1, self.now) {
            let latency = super::ipamd::latency_of(api);
            return Sent::Ends(self.now + self.draw(latency, Component::LeakCleaner, node, draw));
        }
        self.api_counts[api as usize].throttled += 1;
        match self.prepared.era.ipamd_retries[0]
            .after(tries, || self.chance.uniform(Component::LeakCleaner, node, draw))
        {
            Some(wait) => Sent::Again(self.now + wait),
            None => Sent::Throttled,
        }
    }

    fn look(&mut self, node: u32) -> &mut Look {
        self.leaks.looks.get_mut(&node).expect("a call of a cleaner is one of a look that found ENIs")
    }

    pub(super) fn leak_call_sent(&mut self, node: u32, process: u8) {
        if self.keeps_appointment(node, process) {
            self.send_look_call(node);
        }
    }
    fn send_look_call(&mut self, node: u32) {
        let process = self.nodes[node as usize].process;
        let look = self.look(node);
        look.tries += 1;
        let (tries, describes) = (look.tries, look.pages > 0);
        let api = if describes { Api::DescribeNetworkInterfaces } else { Api::DeleteNetworkInterface };
        match self.send_cleaner_call(node, api, tries) {
            Sent::Ends(at) => self.appoint_cleaner(at, Event::LeakCallEnded { node, process }),
            Sent::Again(at) => self.appoint_cleaner(at, Event::LeakCallSent { node, process }),
            Sent::Throttled if describes => {
                self.leaks.looks.remove(&node);
                self.look_again(node, self.now);
            }
            Sent::Throttled => {
                let uniform = self.cleaner_uniform(node);
                let step = self.look(node).deletions.refused(&mut || uniform);
                self.go_on_cleaning(node, step);
            }
        }
    }

    pub(super) fn leak_call_ended(&mut self, node: u32, process: u8) {
        if !self.keeps_appointment(node, process) {
            return;
        }
        let look = self.look(node);
        let step = if look.pages > 1 {
            (look.pages, look.tries) = (look.pages - 1, 0);
            return self.send_look_call(node);
        } else if look.pages == 1 {
            look.pages = 0;
            look.deletions.next()
        } else {
            let Step::Delete(place) = look.deletions.next() else {
                panic!("a look without a leak deletes one")
            };
            let (owner, eni) = look.found[place];
            self.delete_unattached(owner, eni);
            self.look(node).deletions.deleted()
        };
        self.go_on_cleaning(node, step);
    }

    fn go_on_cleaning(&mut self, node: u32, step: Step) {
        self.look(node).tries = 0;
        match step {
            Step::Delete(_) => self.send_look_call(node),
            Step::DeleteAfter(wait) => {
                let process = self.nodes[node as usize].process;
                self.appoint_cleaner(self.now + wait, Event::LeakCallSent { node, process });
            }
            Step::Done => {
                self.leaks.looks.remove(&node);
                self.look_again(node, self.now);
            }
        }
    }

    /// One that somebody else has deleted meanwhile counts as deleted.
    fn delete_unattached(&mut self, owner: u32, eni: u32) {
        let held = &mut self.nodes[owner as usize].held;
        let Some(place) = held.iter().position(|held| held.eni == eni && held.tie == Tie::None) else {
            return;
        };
        let held = held.remove(place);
        let prefixes = self.settings(owner).prefix_delegation;
        self.leaks.is_settled();
        self.leaks.cleaned += 1;
        self.release_eni(&held, prefixes);
    }

    /// ENIs on no instance that are in no ipamd's hands, and their addresses.
    pub(super) fn leaked_at_end(&self) -> (u64, u64) {
        let leaked = self.unattached().filter(|(node, held)| {
            let ipamd = self.nodes[*node as usize].ipamd.as_ref();
            ipamd.is_none_or(|ipamd| ipamd.in_hand() != Some(held.eni))
        });
        leaked.fold((0, 0), |(enis, addresses), (node, held)| {
            let size = u64::from(self.settings(node).cidr_size());
            (enis + 1, addresses + 1 + u64::from(held.count) * size)
        })
    }
}
