//! One growth step: fill an ENI that is there, else make one. Source: `increaseDatastorePool`, `tryAllocateENI`, `AllocENI`.

use super::*;

/// Pauses between the looks at IMDS (ms); each is lengthened by up to 15 %.
const LOOK_PAUSES_MS: [u64; 11] = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000];

/// How a growth step ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// Nothing to report; a failed creation of an ENI counts here.
    Fine,
    /// Assign failed for another reason than want of addresses.
    Failed,
}

impl Ipamd {
    pub(super) fn grow(&mut self, settings: &Settings, now: SimTime) -> Ask {
        if self.cordoned || self.paused_until(now).is_some() {
            return self.growth_ended(settings, now, Growth::Fine);
        }
        self.wanted = targets::wanted_cidrs(settings, &self.pool.counts(now));
        self.fill_from(settings, now, 0)
    }

    /// Step A from the `from`-th ENI on.
    fn fill_from(&mut self, settings: &Settings, now: SimTime, from: u32) -> Ask {
        let slots = settings.slots;
        let candidate = (from..self.pool.eni_count()).find(|index| {
            let eni = &self.pool.enis[*index as usize];
            (eni.cidrs.len() as u32) < slots && eni.serves_pods(settings)
        });
        let Some(index) = candidate.filter(|_| self.wanted > 0) else { return self.new_eni(settings, now) };
        let eni = &self.pool.enis[index as usize];
        let (serial, count) = (eni.serial, (slots - eni.cidrs.len() as u32).min(self.wanted));
        let stage = Stage::Assign { index, count, second: false };
        self.call(stage, Api::AssignPrivateIpAddresses, serial, count)
    }

    pub(super) fn assigned(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        (index, count, second): (u32, u32, bool),
    ) -> Ask {
        let serial = self.pool.enis[index as usize].serial;
        match answer {
            Answer::Granted { first_cidr } => {
                self.pool.add_new_cidrs(serial, first_cidr, count);
                self.succeeded(settings, now)
            }
            _ if !second => {
                let stage = Stage::Assign { index, count: 1, second: true };
                self.call(stage, Api::AssignPrivateIpAddresses, serial, 1)
            }
            Answer::Insufficient if settings.subnet_discovery => self.fill_from(settings, now, index + 1),
            Answer::Insufficient => self.insufficient(settings, now),
            // v1.12 logs the error and goes on to a new ENI.
            _ if settings.version == Version::V1_12 => self.new_eni(settings, now),
            _ => self.growth_ended(settings, now, Growth::Failed),
        }
    }

    /// Step B, if there is room.
    fn new_eni(&mut self, settings: &Settings, now: SimTime) -> Ask {
        // v1.12 makes no ENI in nodeInit.
        let barred = settings.version == Version::V1_12 && self.in_startup;
        let room = self.has_room(settings);
        if barred || !room {
            return self.growth_ended(settings, now, Growth::Fine);
        }
        let wanted = targets::wanted_cidrs(settings, &self.pool.counts(now));
        self.wanted = wanted.min(settings.slots);
        if self.wanted == 0 {
            self.succeeded(settings, now)
        } else if settings.custom_networking || settings.version == Version::V1_12 {
            self.create(settings, now)
        } else {
            self.call(Stage::NewSubnets, Api::DescribeSubnets, 0, 0)
        }
    }

    /// Is there a slot for another ENI, the one kept for a trunk that is to come left out?
    pub(super) fn has_room(&self, settings: &Settings) -> bool {
        let reserve = if self.pool.has_trunk() { 0 } else { settings.trunk_reserve };
        self.pool.eni_count() + reserve + self.unmanaged < settings.eni_budget
    }

    pub(super) fn create(&mut self, settings: &Settings, _now: SimTime) -> Ask {
        let count = self.wanted;
        // v1.12 makes the ENI bare and assigns afterwards.
        let asked = if settings.version == Version::V1_12 { 0 } else { count };
        self.call(Stage::Create { count }, Api::CreateNetworkInterface, 0, asked)
    }

    pub(super) fn created(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        count: u32,
    ) -> Ask {
        match answer {
            Answer::Created { eni: serial, first_cidr } => {
                let new = NewEni { serial, first_cidr, count };
                self.call(Stage::DescribeInstances { new }, Api::DescribeInstances, serial, 0)
            }
            Answer::Insufficient => self.insufficient(settings, now),
            _ => self.growth_ended(settings, now, Growth::Fine),
        }
    }

    pub(super) fn undo_delete(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        (eni, tries): (EniSerial, u8),
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        match answer {
            Answer::Woken => self.call(Stage::UndoDelete { eni, tries }, Api::DeleteNetworkInterface, eni, 0),
            Answer::Failed if tries < TRIES => {
                self.nap(Stage::UndoDelete { eni, tries: tries + 1 }, Nap::Retry, delete_wait(tries, jitter))
            }
            _ => self.growth_ended(settings, now, Growth::Fine),
        }
    }

    pub(super) fn modified(&mut self, settings: &Settings, new: NewEni) -> Ask {
        if settings.version == Version::V1_12 {
            return self.call(Stage::AssignNew { new }, Api::AssignPrivateIpAddresses, new.serial, new.count);
        }
        self.stage = Stage::Await { new };
        Ask::AwaitEni(new.serial)
    }

    pub(super) fn assigned_new(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        new: NewEni,
    ) -> Ask {
        match answer {
            Answer::Granted { first_cidr } => {
                self.stage = Stage::Await { new: NewEni { first_cidr, ..new } };
                Ask::AwaitEni(new.serial)
            }
            // The ENI stays attached and empty until a reconcile adopts it.
            Answer::Insufficient => self.insufficient(settings, now),
            _ => {
                self.stage = Stage::Await { new: NewEni { count: 0, ..new } };
                Ask::AwaitEni(new.serial)
            }
        }
    }

    /// Sleeps until the look that finds the ENI, or until the last one.
    pub(super) fn look(
        &mut self,
        answer: Answer<'_>,
        now: SimTime,
        new: NewEni,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        let Answer::ShowsAt(shows) = answer else { panic!("asked when IMDS lists an ENI, told {answer:?}") };
        let mut look = now;
        for pause in LOOK_PAUSES_MS {
            if look >= shows {
                break;
            }
            look += SimDuration::from_millis(pause).mul_f64(1.0 + 0.15 * jitter());
        }
        self.nap(Stage::Look { new, found: look >= shows }, Nap::Look, look.since(now))
    }

    pub(super) fn looked(&mut self, settings: &Settings, now: SimTime, new: NewEni, found: bool) -> Ask {
        if !found {
            return self.growth_ended(settings, now, Growth::Fine);
        }
        self.pool.add_eni(new.serial, now);
        if settings.subnet_discovery {
            self.call(Stage::CheckSubnets { new }, Api::DescribeSubnets, new.serial, 0)
        } else {
            self.fill_new(settings, now, new)
        }
    }

    pub(super) fn fill_new(&mut self, settings: &Settings, now: SimTime, new: NewEni) -> Ask {
        self.pool.add_new_cidrs(new.serial, new.first_cidr, new.count);
        self.succeeded(settings, now)
    }

    fn succeeded(&mut self, settings: &Settings, now: SimTime) -> Ask {
        self.last_action = Some(now);
        self.growth_ended(settings, now, Growth::Fine)
    }

    fn insufficient(&mut self, settings: &Settings, now: SimTime) -> Ask {
        self.last_insufficient = Some(now);
        self.growth_ended(settings, now, Growth::Fine)
    }

    fn growth_ended(&mut self, settings: &Settings, now: SimTime, growth: Growth) -> Ask {
        if !self.in_startup {
            return self.free_an_eni(settings, now);
        }
        if settings.version == Version::V1_12 {
            return self.call(Stage::InitGroups, Api::ModifyNetworkInterfaceAttribute, 0, 0);
        }
        let empty = settings.custom_networking && self.was_low && self.pool.total() == 0;
        if growth == Growth::Failed || empty { self.exit() } else { self.start_loop() }
    }
}
