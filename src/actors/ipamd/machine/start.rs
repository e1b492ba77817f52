//! The start-up: the primary ENI is described, tagged and taken into the store, and the pool filled once. Source: `nodeInit`.

use super::*;

impl Ipamd {
    pub(super) fn init_describe(&mut self, tries: u8) -> Ask {
        let named = if self.recovers() { Call::ALL_ENIS } else { 0 };
        self.call(Stage::InitDescribe { tries }, Api::DescribeNetworkInterfaces, named, 0)
    }
    pub(super) fn init_described(
        &mut self,
        settings: &Settings,
        answer: Answer<'_>,
        now: SimTime,
        tries: u8,
    ) -> Ask {
        match answer {
            Answer::NotFound(eni) => {
                self.forget(eni);
                self.init_describe(tries)
            }
            Answer::Woken => self.init_describe(tries),
            Answer::Failed if tries >= TRIES => self.exit(),
            Answer::Failed => {
                let wait = SimDuration::from_millis(10 * u64::from(tries));
                self.nap(Stage::InitDescribe { tries: tries + 1 }, Nap::Retry, wait)
            }
            _ if self.recovers() => {
                self.note_trunk(answer);
                self.recover_eni(settings, now, 0)
            }
            _ => self.call(Stage::InitTags { tries: 1 }, Api::CreateTags, 0, 0),
        }
    }
    pub(super) fn init_tag_again(
        &mut self,
        answer: Answer<'_>,
        tries: u8,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Ask {
        match answer {
            Answer::Woken => self.call(Stage::InitTags { tries }, Api::CreateTags, 0, 0),
            _ if tries >= TAG_TRIES => self.exit(),
            _ => self.nap(Stage::InitTags { tries: tries + 1 }, Nap::Retry, tag_wait(tries, jitter)),
        }
    }

    pub(super) fn init_groups(&mut self, settings: &Settings, now: SimTime) -> Ask {
        // v1.12 refreshes the security groups after nodeInit, later ones within it.
        if settings.custom_networking || settings.version == Version::V1_12 {
            self.pre_scale(settings, now)
        } else {
            self.call(Stage::InitGroups, Api::ModifyNetworkInterfaceAttribute, 0, 0)
        }
    }

    pub(super) fn pre_scale(&mut self, settings: &Settings, now: SimTime) -> Ask {
        self.was_low = targets::too_low(settings, &self.pool.counts(now));
        if self.was_low || settings.version == Version::V1_12 {
            self.grow(settings, now)
        } else {
            self.start_loop()
        }
    }

    pub(super) fn start_loop(&mut self) -> Ask {
        self.in_startup = false;
        self.nap(Stage::BeforeStep, Nap::BeforeStep, HALF_LOOP)
    }
}
