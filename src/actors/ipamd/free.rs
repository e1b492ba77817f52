//! Which ENI may go. Source: `shouldRemoveExtraENIs`, `getDeletableENI`.

use super::pool::{Eni, EniSerial, Pool};
use super::settings::Settings;
use super::targets::prefixes_of;
use crate::units::{SimDuration, SimTime};

/// An ENI younger than this stays.
pub(super) const MIN_ENI_LIFETIME: SimDuration = SimDuration::from_secs(60);

/// The gate of a tick; `available` is from before the tick's growth or shrink.
pub(super) fn gate_open(settings: &Settings, pool: &Pool, available: i64) -> bool {
    let unit = settings.addresses_per_eni();
    if settings.ip_targets() {
        true
    } else if settings.prefix_delegation {
        available >= settings.warm_prefix_target.wrapping_add(1).wrapping_mul(unit)
            || pool.enis.iter().any(|eni| eni.serial != 0 && !eni.trunk && eni.assigned == 0)
    } else {
        available >= settings.warm_eni_target.wrapping_add(1).wrapping_mul(unit)
    }
}

/// The first ENI that nothing keeps.
pub(super) fn deletable(settings: &Settings, pool: &Pool, now: SimTime) -> Option<EniSerial> {
    let may_go = |index: &usize| {
        let eni = &pool.enis[*index];
        eni.serial != 0
            && !eni.trunk
            && eni.assigned == 0
            && now.saturating_since(eni.joined) >= MIN_ENI_LIFETIME
            && !pool.eni_cools(eni.serial, now)
            && others_suffice(settings, pool, *index)
    };
    (0..pool.enis.len()).find(may_go).map(|index| pool.enis[index].serial)
}

/// Is there an ENI that may go once it is old enough and nothing on it cools?
pub(super) fn some_will_go(settings: &Settings, pool: &Pool) -> bool {
    let may_go = |index: usize| {
        let eni = &pool.enis[index];
        eni.serial != 0 && !eni.trunk && eni.assigned == 0 && others_suffice(settings, pool, index)
    };
    (0..pool.enis.len()).any(may_go)
}

/// Could the targets be kept without the `index`-th ENI?
fn others_suffice(settings: &Settings, pool: &Pool, index: usize) -> bool {
    let (mut total, mut assigned, mut free) = (0i64, 0i64, 0i64);
    let counts = |(other, eni): &(usize, &Eni)| *other != index && !eni.excluded;
    for (_, eni) in pool.enis.iter().enumerate().filter(counts) {
        total += i64::from(eni.cidrs.len() as u32 * settings.cidr_size());
        assigned += i64::from(eni.assigned);
        free += eni.cidrs.iter().filter(|cidr| cidr.assigned == 0).count() as i64;
    }
    let rounded = |target: i64| if settings.prefix_delegation { prefixes_of(target) * 16 } else { target };
    let warm_kept = settings.warm_ip_target == 0 || total - assigned >= rounded(settings.warm_ip_target);
    let minimum_kept = settings.minimum_ip_target == 0 || total >= rounded(settings.minimum_ip_target);
    let prefixes_kept = !settings.prefix_delegation
        || settings.warm_prefix_target == 0
        || free >= settings.warm_prefix_target;
    warm_kept && minimum_kept && prefixes_kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::settings::{Limits, Version};
    use super::*;

    /// The rows of `tests/tables/ipamd-free.csv`: ENIs as assigned/total, `t` a trunk, `x` excluded in the end, all old,
    /// nothing cooling.
    #[test]
    fn enis_go_as_its_tests_say() {
        let mut failed = Vec::new();
        let mut table = csv::Reader::from_path("tests/tables/ipamd-free.csv").unwrap();
        let rows: Vec<BTreeMap<String, String>> = table.deserialize().map(Result::unwrap).collect();
        for row in &rows {
            let pairs = row["settings"].split_whitespace().map(|pair| pair.split_once('=').unwrap());
            let env: BTreeMap<String, String> = pairs.map(|(k, v)| (k.into(), v.into())).collect();
            let limits = Limits { max_enis: 4, ipv4_per_eni: 15, prefixes: true, trunking: None };
            let settings = Settings::read(Version::V1_23, &env, limits, 110, &mut Vec::new());
            let mut pool = Pool::new(1, settings.cooldown);
            for (serial, eni) in (0..).zip(row["enis"].split_whitespace()) {
                let (assigned, total) = eni.trim_end_matches(['t', 'x']).split_once('/').unwrap();
                pool.add_eni(serial, SimTime::ZERO);
                pool.add_new_cidrs(serial, serial * 100, total.parse().unwrap());
                if eni.ends_with('t') {
                    pool.mark_trunk(serial);
                }
                // The first ENI with a free address serves a pod, and that is this one.
                (0..assigned.parse::<u32>().unwrap()).for_each(|_| {
                    pool.assign(SimTime::ZERO).unwrap();
                });
            }
            let excluded = (0..).zip(row["enis"].split_whitespace()).filter(|(_, eni)| eni.ends_with('x'));
            excluded.for_each(|(serial, _)| pool.exclude(serial));
            let old = SimTime::ZERO + MIN_ENI_LIFETIME;
            let got = deletable(&settings, &pool, old).map_or(String::new(), |eni| eni.to_string());
            if got != row["freed"] {
                failed.push(format!("{}: {got:?}, stated {:?}", row["id"], row["freed"]));
            }
        }
        assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
        assert_eq!(rows.len(), 9);
    }
}
