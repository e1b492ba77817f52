use proptest::prelude::*;

use super::*;

fn kind(zone: u32, pods: u32, score: i64) -> Kind {
    Kind { zone, pods, score }
}

#[test]
fn a_group_that_nobody_is_left_in_serves_another_kind() {
    let mut alike = Alike::default();
    alike.set(70, Some(kind(0, 0, 100)));
    for pods in 1..50 {
        alike.set(70, Some(kind(0, pods, 100)));
    }
    assert_eq!((alike.count(), alike.groups.groups().len()), (1, 1));
    alike.set(70, None);
    assert_eq!(alike.count(), 0);
    assert_eq!(alike.choose((0, 10, 80), &[49], |_| 0), None);
}

/// The emptier zone first, the emptier node first, then the higher score of resources.
#[test]
fn spreading_weighs_twice() {
    let mut alike = Alike::default();
    for (node, of) in
        [kind(0, 1, 190), kind(0, 0, 150), kind(1, 0, 150), kind(1, 0, 150)].into_iter().enumerate()
    {
        alike.set(node as u32, Some(of));
    }
    let second = alike.choose((0, 10, 4), &[1, 0], |ties| ties - 1);
    assert_eq!(second, Some(Choice { node: 3, looked_at: 4 }));
}

proptest! {
    /// Windows and picks over bits agree with lists.
    #[test]
    fn windows_agree_with_a_list(fit in prop::collection::vec(any::<bool>(), 1..400), from in 0u32..400, most in 1u32..100) {
        let mut alike = Alike::default();
        for (node, fits) in fit.iter().enumerate() {
            alike.set(node as u32, fits.then(|| kind(0, 0, 7)));
        }
        let all = fit.len() as u32;
        let feasible: Vec<u32> = (0..all).filter(|node| fit[*node as usize]).collect();
        let from = from % all;
        let (before, behind): (Vec<u32>, Vec<u32>) = feasible.iter().partition(|node| **node < from);
        let rotated: Vec<u32> = if feasible.len() <= most as usize {
            feasible.clone()
        } else {
            behind.into_iter().chain(before).take(most as usize).collect()
        };
        for (place, node) in rotated.iter().enumerate() {
            let choice = alike.choose((from, most, all), &[0], |ties| {
                assert_eq!(ties as usize, rotated.len());
                place as u64
            });
            prop_assert_eq!(choice.map(|choice| choice.node), Some(*node));
        }
        prop_assert_eq!(feasible.len(), alike.count() as usize);
    }
}
