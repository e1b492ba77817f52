//! The store against IMDS, and against EC2 where the two differ. Source: `nodeIPPoolReconcile`,
//! `eniIPPoolReconcile`, `verifyAndAddIPsToDatastore`.

use super::super::pool::Eni;
use super::*;

/// A returned CIDR is not taken back for so long.
const FREED_COOLDOWN: SimDuration = SimDuration::from_secs(60);

impl Ipamd {
    pub(super) fn begin_reconcile(&mut self, settings: &Settings, now: SimTime) -> Ask {
        let recent = self.last_action.is_some_and(|at| now.since(at) <= RECONCILE_INTERVAL);
        // A trunk that is still to come makes it run every time.
        let needs_trunk = settings.pod_eni && !self.pool.has_trunk();
        if recent && !needs_trunk {
            return self.nap(Stage::BeforeStep, Nap::BeforeStep, HALF_LOOP);
        }
        self.stage = Stage::ReadImds;
        Ask::ReadImds
    }

    pub(super) fn imds_read(&mut self, settings: &Settings, answer: Answer<'_>, now: SimTime) -> Ask {
        let Answer::View(view) = answer else { return self.reconciled(now) };
        // A node has its primary ENI at least: without any, IMDS is not believed.
        if view.is_empty() {
            return self.reconcile_ended();
        }
        self.view = view.to_vec();
        if self.view.iter().any(|(eni, _)| self.pool.find(*eni).is_none()) {
            return self.call(Stage::DescribeAll, Api::DescribeNetworkInterfaces, Call::ALL_ENIS, 0);
        }
        self.mark(settings, now, 0)
    }

    pub(super) fn described_all(&mut self, settings: &Settings, answer: Answer<'_>, now: SimTime) -> Ask {
        match answer {
            Answer::NotFound(gone) => {
                self.view.retain(|(eni, _)| *eni != gone);
                self.call(Stage::DescribeAll, Api::DescribeNetworkInterfaces, Call::ALL_ENIS, 0)
            }
            Answer::Failed => self.reconcile_ended(),
            Answer::Trunk(eni) => {
                self.trunk = Some(eni);
                self.mark(settings, now, 0)
            }
            _ => self.mark(settings, now, 0),
        }
    }

    /// Goes through the listed ENIs from the `at`-th on.
    fn mark(&mut self, settings: &Settings, now: SimTime, at: usize) -> Ask {
        for at in at..self.view.len() {
            let eni = self.view[at].0;
            let here = Stage::DescribeOne { at: at as u32, verify: false };
            match self.pool.find(eni).map(|known| alike(known, &self.view[at].1)) {
                None => {
                    self.pool.add_eni(eni, now);
                    if self.trunk == Some(eni) {
                        self.pool.mark_trunk(eni);
                    }
                    if settings.subnet_discovery {
                        return self.call(
                            Stage::AdoptSubnets { at: at as u32 },
                            Api::DescribeSubnets,
                            eni,
                            0,
                        );
                    }
                    self.adopt(at);
                }
                Some(false) => {
                    return self.call(here, Api::DescribeNetworkInterfaces, eni, 0);
                }
                Some(true) if self.view[at].1.iter().any(|cidr| self.freed_long_ago(*cidr, now)) => {
                    let verify = Stage::DescribeOne { at: at as u32, verify: true };
                    return self.call(verify, Api::DescribeNetworkInterfaces, eni, 0);
                }
                Some(true) => self.merge(at, now),
            }
        }
        let listed: Vec<EniSerial> = self.named_enis().collect();
        let unlisted = |eni: &EniSerial| !listed.contains(eni);
        let gone: Vec<EniSerial> = self.pool.enis.iter().map(|eni| eni.serial).filter(unlisted).collect();
        for eni in gone {
            self.pool.remove_eni(eni);
        }
        self.reconciled(now)
    }

    pub(super) fn described_one(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        at: usize,
        verify: bool,
    ) -> Ask {
        if let Answer::View([(_, attached)]) = answer {
            if verify {
                // IMDS is believed but for returned CIDRs that EC2 no longer has there.
                let (freed, listed) = (&self.recently_freed, &mut self.view[at].1);
                listed.retain(|cidr| attached.contains(cidr) || freed.iter().all(|(known, _)| known != cidr));
            } else {
                self.view[at].1.clone_from(attached);
            }
            self.merge(at, now);
        }
        self.mark(settings, now, at + 1)
    }

    pub(super) fn adopted(&mut self, settings: &Settings, now: SimTime, at: usize) -> Ask {
        self.adopt(at);
        self.mark(settings, now, at + 1)
    }

    fn adopt(&mut self, at: usize) {
        let (eni, cidrs) = std::mem::take(&mut self.view[at]);
        for cidr in &cidrs {
            self.pool.add_cidr(eni, *cidr);
        }
        self.view[at] = (eni, cidrs);
    }

    /// Makes the store's CIDRs of an ENI those of the view, but for what was returned within the last minute.
    fn merge(&mut self, at: usize, now: SimTime) {
        let (eni, cidrs) = std::mem::take(&mut self.view[at]);
        let mut seen = Vec::with_capacity(cidrs.len());
        for cidr in &cidrs {
            let freed = self.recently_freed.iter().position(|(known, _)| known == cidr);
            if let Some(index) = freed {
                if now < self.recently_freed[index].1 + FREED_COOLDOWN {
                    continue;
                }
                self.recently_freed.remove(index);
            }
            self.pool.add_cidr(eni, *cidr);
            seen.push(*cidr);
        }
        let stored = self.pool.find(eni).expect("merged ENIs are in the store");
        let extra = stored.cidrs.iter().map(|cidr| cidr.serial).filter(|cidr| !seen.contains(cidr));
        for cidr in extra.collect::<Vec<_>>() {
            self.pool.remove_cidr(eni, cidr);
        }
        self.view[at] = (eni, cidrs);
    }

    fn freed_long_ago(&self, cidr: CidrSerial, now: SimTime) -> bool {
        self.recently_freed.iter().any(|(known, at)| *known == cidr && now >= *at + FREED_COOLDOWN)
    }

    fn reconciled(&mut self, now: SimTime) -> Ask {
        self.last_action = Some(now);
        self.reconcile_ended()
    }
    fn reconcile_ended(&mut self) -> Ask {
        self.view.clear();
        self.nap(Stage::BeforeStep, Nap::BeforeStep, HALF_LOOP)
    }
}

/// Does IMDS list just what the store has of the ENI? Source: `IPsSimilar`, `PrefixSimilar`.
fn alike(known: &Eni, listed: &[CidrSerial]) -> bool {
    known.cidrs.len() == listed.len()
        && listed.iter().all(|cidr| known.cidrs.iter().any(|stored| stored.serial == *cidr))
}
