//! A process that starts where one ran before, or where others have attached ENIs: it takes up what instance metadata
//! lists and the state file says. Coolings, ENIs' ages and the pause for want of addresses are forgotten. Source:
//! `nodeInit`, `ReadBackingStore`, `RefreshSGIDs`.

use super::*;

/// What a process finds at its start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attached {
    /// ENIs, the primary first, and their CIDRs, as instance metadata lists them.
    pub enis: Vec<(EniSerial, Vec<CidrSerial>)>,
    /// Those of them that lack ipamd's tags.
    pub untagged: Vec<EniSerial>,
    /// ENIs beside these that it leaves alone.
    pub unmanaged: u32,
    /// Pods that hold addresses by the state file and whose sandboxes are still there, by CIDR.
    pub pods: Vec<(PodAddress, u32)>,
}

impl Ipamd {
    /// A process on a node that has more than a bare primary ENI, not yet started.
    ///
    /// # Panics
    /// If pods hold addresses of CIDRs that are not attached.
    pub fn recover(settings: &Settings, attached: Attached) -> Ipamd {
        let mut machine = Ipamd::new(settings);
        for (eni, cidrs) in &attached.enis {
            machine.pool.add_eni(*eni, SimTime::ZERO);
            cidrs.iter().for_each(|cidr| machine.pool.add_cidr(*eni, *cidr));
        }
        for (address, count) in attached.pods {
            machine.pool.restore(address, count);
        }
        machine.view = attached.enis;
        machine.unmanaged = attached.unmanaged;
        machine.tagged = !attached.untagged.contains(&0);
        machine.untagged = attached.untagged;
        machine
    }

    pub(super) fn recovers(&self) -> bool {
        !self.view.is_empty()
    }

    /// EC2 does not know an ENI that instance metadata listed.
    pub(super) fn forget(&mut self, eni: EniSerial) {
        self.view.retain(|(known, _)| *known != eni);
        self.pool.remove_eni(eni);
    }

    pub(super) fn note_trunk(&mut self, answer: Answer<'_>) {
        if let Answer::Trunk(eni) = answer {
            self.trunk = Some(eni);
            self.pool.mark_trunk(eni);
        }
    }

    /// Tags the `at`-th ENI found, if it has to.
    pub(super) fn recover_eni(&mut self, settings: &Settings, now: SimTime, at: u32) -> Ask {
        let Some((eni, _)) = self.view.get(at as usize) else {
            return self.recover_groups(settings, now, 0);
        };
        let eni = *eni;
        if self.untagged.contains(&eni) && self.trunk != Some(eni) {
            return self.call(Stage::RecoverTags { at, tries: 1 }, Api::CreateTags, eni, 0);
        }
        self.set_up(settings, now, at)
    }

    pub(super) fn eni_tagged(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        (at, tries): (u32, u8),
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        match answer {
            Answer::Woken => {
                let eni = self.view[at as usize].0;
                self.call(Stage::RecoverTags { at, tries }, Api::CreateTags, eni, 0)
            }
            Answer::Failed if tries >= TAG_TRIES => self.exit(),
            Answer::Failed => {
                self.nap(Stage::RecoverTags { at, tries: tries + 1 }, Nap::Retry, tag_wait(tries, jitter))
            }
            _ => self.set_up(settings, now, at),
        }
    }

    /// Its age begins now.
    fn set_up(&mut self, settings: &Settings, now: SimTime, at: u32) -> Ask {
        let eni = self.view[at as usize].0;
        self.tagged |= eni == 0;
        self.pool.rejoin(eni, now);
        if settings.subnet_discovery {
            return self.call(Stage::RecoverSubnets { at }, Api::DescribeSubnets, eni, 0);
        }
        self.recover_eni(settings, now, at + 1)
    }

    /// Security groups of the `at`-th ENI found; they are set of all, since a new process knows of none.
    pub(super) fn recover_groups(&mut self, settings: &Settings, now: SimTime, at: u32) -> Ask {
        let none = settings.custom_networking || settings.version == Version::V1_12;
        if none || at as usize >= self.view.len() {
            self.view.clear();
            return self.pre_scale(settings, now);
        }
        self.call(Stage::RecoverGroups { at }, Api::ModifyNetworkInterfaceAttribute, 0, 0)
    }
}
