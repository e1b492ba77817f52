//! Waits, cordoned nodes and trunks.

use super::*;

/// T5-3 of `pkg/ipamd/ipamd_test.go`: a cordoned node makes its ENI with AWS_MANAGE_ENIS_NON_SCHEDULABLE alone; here too
/// that it still gives back.
#[test]
fn a_cordoned_node_neither_grows_nor_frees_but_gives_back() {
    let first_call = |manages: &str, assigned: usize, total: u32| {
        let env = [("WARM_IP_TARGET", "3"), ("AWS_MANAGE_ENIS_NON_SCHEDULABLE", manages)];
        let env = env.map(|(name, value)| (name.to_string(), value.to_string())).into();
        let limits =
            super::super::settings::Limits { max_enis: 4, ipv4_per_eni: 15, prefixes: true, trunking: None };
        let settings = Settings::read(Version::V1_23, &env, limits, 110, &mut Vec::new());
        let mut machine = Ipamd::new(&settings);
        machine.pool.add_eni(0, SimTime::ZERO);
        machine.pool.add_new_cidrs(0, 0, total);
        (0..assigned).for_each(|_| {
            machine.add_pod(SimTime::ZERO).expect("an address is free");
        });
        assert!(!machine.asks_for_trunk(&settings), "security groups for pods are off");
        machine.cordon(&settings, true);
        (machine.in_startup, machine.stage) = (false, Stage::BeforeStep);
        match machine.resume(&settings, Answer::Woken, SimTime::from_secs(100), &mut || 0.0) {
            Ask::Call(call) => Some((call.api, call.count)),
            _ => None,
        }
    };
    assert_eq!(first_call("true", 3, 3), Some((Api::AssignPrivateIpAddresses, 3)));
    assert_eq!(first_call("false", 3, 3), None);
    assert_eq!(first_call("false", 3, 9), Some((Api::UnassignPrivateIpAddresses, 3)));
}

/// T20-4 of `pkg/ipamd/ipamd_test.go`: one of four slots is taken; the trunk is asked for before the pool grows.
#[test]
fn a_trunk_is_asked_for_at_the_end_of_the_start_up_if_a_slot_is_free() {
    for (max_enis, asks) in [(4, true), (1, false)] {
        let env = [("ENABLE_POD_ENI".to_string(), "true".to_string())].into();
        let limits = super::super::settings::Limits {
            max_enis,
            ipv4_per_eni: 15,
            prefixes: true,
            trunking: Some(true),
        };
        let settings = Settings::read(Version::V1_23, &env, limits, 110, &mut Vec::new());
        let mut machine = Ipamd::new(&settings);
        let mut answer = Answer::Start;
        for expected in [
            Api::DescribeNetworkInterfaces,
            Api::CreateTags,
            Api::DescribeSubnets,
            Api::ModifyNetworkInterfaceAttribute,
        ] {
            assert!(!machine.asks_for_trunk(&settings), "before {expected:?}");
            let ask = machine.resume(&settings, answer, SimTime::ZERO, &mut || 0.0);
            assert!(matches!(ask, Ask::Call(call) if call.api == expected), "{ask:?}");
            answer = Answer::Done;
        }
        let ask = machine.resume(&settings, answer, SimTime::ZERO, &mut || 0.0);
        let fill = matches!(ask, Ask::Call(call) if call.api == Api::AssignPrivateIpAddresses);
        assert!(fill && machine.asks_for_trunk(&settings) == asks, "{ask:?}");
    }
}

/// T26-1 and T26-2 of `pkg/utils/retry`: 10 s and then 20 s, up to a minute; jitter of 3 s lengthens 10 s to 13 s at most.
#[test]
fn waits_double_up_to_a_minute_and_jitter_lengthens_them() {
    let of = |failed, more| doubled(SimDuration::from_secs(10), failed, more).millis();
    assert_eq!([1, 2, 3, 4, 9].map(|failed| of(failed, 0.0)), [10_000, 20_000, 40_000, 60_000, 60_000]);
    assert_eq!((of(1, 0.15), of(1, 0.3)), (11_500, 13_000));
}
