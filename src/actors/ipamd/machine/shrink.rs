//! What a step gives back: addresses too many, and an ENI that is needed no more. Source: `decreaseDatastorePool`, `tryFreeENI`, `FreeENI`.

use super::*;

impl Ipamd {
    pub(super) fn shrink(&mut self, settings: &Settings, now: SimTime, from: u32, budget: u32) -> Ask {
        let mut index = from as usize;
        while index < self.pool.enis.len() && budget > 0 {
            let taken = self.pool.take_freeable(index, budget);
            if !taken.is_empty() {
                let count = taken.len() as u32;
                self.recently_freed.extend(taken.iter().map(|cidr| (*cidr, now)));
                self.last_unassigned = taken;
                // v1.12 forgot to reduce the budget from ENI to ENI.
                let budget = if settings.version == Version::V1_12 { budget } else { budget - count };
                let eni = self.pool.enis[index].serial;
                let stage = Stage::Unassign { index: index as u32, budget };
                return self.call(stage, Api::UnassignPrivateIpAddresses, eni, count);
            }
            if settings.version == Version::V1_12 {
                break;
            }
            index += 1;
        }
        self.free_an_eni(settings, now)
    }

    pub(super) fn free_an_eni(&mut self, settings: &Settings, now: SimTime) -> Ask {
        if !self.cordoned
            && free::gate_open(settings, &self.pool, self.gate_available)
            && let Some(eni) = free::deletable(settings, &self.pool, now)
        {
            self.pool.remove_eni(eni);
            return self.call(Stage::FreeDescribe { eni }, Api::DescribeNetworkInterfaces, eni, 0);
        }
        self.end_step(now)
    }

    pub(super) fn detached(
        &mut self,
        answer: Answer<'_>,
        now: SimTime,
        eni: EniSerial,
        tries: u8,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        match answer {
            Answer::Done => self.nap(Stage::Settle { eni }, Nap::Settle, SETTLE),
            Answer::Woken => self.call(Stage::FreeDetach { eni, tries }, Api::DetachNetworkInterface, eni, 0),
            _ if tries >= TRIES => self.end_step(now),
            _ => {
                let wait = doubled(SimDuration::from_millis(200), tries, 0.15 * jitter());
                self.nap(Stage::FreeDetach { eni, tries: tries + 1 }, Nap::Retry, wait)
            }
        }
    }

    pub(super) fn deleted(
        &mut self,
        answer: Answer<'_>,
        now: SimTime,
        eni: EniSerial,
        tries: u8,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        match answer {
            Answer::Woken => self.call(Stage::FreeDelete { eni, tries }, Api::DeleteNetworkInterface, eni, 0),
            Answer::Failed if tries < TRIES => {
                let wait = delete_wait(tries, jitter);
                self.nap(Stage::FreeDelete { eni, tries: tries + 1 }, Nap::Retry, wait)
            }
            _ => self.end_step(now),
        }
    }
}
