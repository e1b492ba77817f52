//! Too low, too high, and by how much. Source: `isDatastorePoolTooLow`, `isDatastorePoolTooHigh`,
//! `datastoreTargetState` in `pkg/ipamd/ipamd.go`. Its numbers wrap in 64 bits, so these do: a target that somebody sets to
//! the largest number there is can be no target at all.

use super::pool::PoolCounts;
use super::settings::{Settings, Version};

/// What the IP-target rules lack or have too much (addresses; in prefix mode prefixes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TargetState {
    pub short: i64,
    pub over: i64,
}

/// By the rules of WARM_IP_TARGET and MINIMUM_IP_TARGET, whether they rule or not.
pub(super) fn target_state(settings: &Settings, counts: &PoolCounts) -> TargetState {
    let (warm, minimum) = (settings.warm_ip_target, settings.minimum_ip_target);
    let (total, available) = (i64::from(counts.total), counts.available());
    let short = (warm - available).max(0).max(minimum - total);
    let over = (available - warm).max(0).min(total - minimum).max(0);
    if !settings.prefix_delegation {
        return TargetState { short, over };
    }
    let (free, prefixes) = (i64::from(counts.free_cidrs), i64::from(counts.cidrs));
    let for_pods = prefixes - prefixes_of(warm.wrapping_add(i64::from(counts.assigned)));
    let over = free.min(for_pods).max(0).min(prefixes - prefixes_of(minimum)).max(0);
    TargetState { short: prefixes_of(short), over }
}

/// Prefixes that hold so many addresses, rounded as the program does it.
pub(super) fn prefixes_of(addresses: i64) -> i64 {
    addresses.wrapping_add(15) / 16
}

/// Would the pool manager grow?
pub(super) fn too_low(settings: &Settings, counts: &PoolCounts) -> bool {
    if settings.version == Version::V1_23 && i64::from(counts.total) >= settings.max_pods {
        return false;
    }
    let available = counts.available();
    if settings.ip_targets() {
        return target_state(settings, counts).short > 0;
    }
    let (target, unit) = match settings.prefix_delegation {
        true => (settings.warm_prefix_target, 16),
        false => (settings.warm_eni_target, settings.addresses_per_eni()),
    };
    available < target.wrapping_mul(unit) || (target == 0 && available == 0)
}

/// Would it give addresses back?
pub(super) fn too_high(settings: &Settings, counts: &PoolCounts) -> bool {
    if settings.ip_targets() {
        target_state(settings, counts).over > 0
    } else {
        settings.prefix_delegation && i64::from(counts.free_cidrs) > settings.warm_prefix_target
    }
}

/// CIDRs to give back when too high.
pub(super) fn shrink_budget(settings: &Settings, counts: &PoolCounts) -> i64 {
    if settings.ip_targets() {
        target_state(settings, counts).over
    } else if settings.prefix_delegation {
        (i64::from(counts.free_cidrs) - settings.warm_prefix_target).max(0)
    } else {
        0
    }
}

/// CIDRs a growing pool wants, before the room on an ENI cuts it. Zero only under IP targets without
/// prefixes (and in v1.12 with prefixes and no target at all).
pub(super) fn wanted_cidrs(settings: &Settings, counts: &PoolCounts) -> u32 {
    let least = i64::from(settings.version == Version::V1_23);
    let wanted = match (settings.prefix_delegation, settings.ip_targets()) {
        (false, false) => i64::from(settings.slots),
        (false, true) => target_state(settings, counts).short,
        (true, true) => target_state(settings, counts).short.max(least),
        (true, false) => (settings.warm_prefix_target - i64::from(counts.free_cidrs)).max(least),
    };
    u32::try_from(wanted.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::settings::Limits;
    use super::*;

    /// The rows of `tests/tables/ipamd-targets.csv`: what the program makes of a pool's counts.
    #[test]
    fn pools_are_too_low_or_too_high_as_its_tests_say() {
        let mut failed = Vec::new();
        let mut table = csv::Reader::from_path("tests/tables/ipamd-targets.csv").unwrap();
        let rows: Vec<BTreeMap<String, String>> = table.deserialize().map(Result::unwrap).collect();
        for row in &rows {
            let number = |column: &str| row[column].parse::<u32>().unwrap();
            let pairs = row["settings"].split_whitespace().map(|pair| pair.split_once('=').unwrap());
            let mut env: BTreeMap<String, String> = pairs.map(|(k, v)| (k.into(), v.into())).collect();
            let prefixes = row["prefixes"] == "yes";
            env.insert("ENABLE_PREFIX_DELEGATION".into(), prefixes.to_string());
            let limits =
                Limits { max_enis: 4, ipv4_per_eni: number("slots") + 1, prefixes: true, trunking: None };
            let settings = Settings::read(Version::V1_23, &env, limits, number("max_pods"), &mut Vec::new());
            let counts = PoolCounts {
                enis: 1,
                total: number("total"),
                assigned: number("assigned"),
                cooling: 0,
                free_cidrs: number("free_cidrs"),
                cidrs: number("total") / settings.cidr_size(),
            };
            let yes = |is: bool| if is { "yes" } else { "no" }.to_string();
            let state = target_state(&settings, &counts);
            let got = [
                ("ip_targets", yes(settings.ip_targets())),
                ("low", yes(too_low(&settings, &counts))),
                ("short", state.short.to_string()),
                ("over", state.over.to_string()),
            ];
            let wrong = got.iter().filter(|(column, got)| !row[*column].is_empty() && row[*column] != *got);
            failed.extend(
                wrong.map(|(column, got)| format!("{}: {column} {got}, stated {}", row["id"], row[*column])),
            );
        }
        assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
        assert_eq!(rows.len(), 28);
    }
}
