//! Extended resources: what a node has whole pieces of beside CPU, memory and pod slots.

use std::fmt;
use std::ops::{Add, Sub};

/// One of those that Karpenter knows instance types to have.
///
/// Source: karpenter-provider-aws v1.14.1, `pkg/apis/v1/labels.go` and `pkg/providers/instancetype/types.go`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ExtendedResource {
    /// Branch interfaces, which pods with security groups are given by a webhook.
    PodEni,
    NvidiaGpu,
    AmdGpu,
    /// Inferentia and Trainium chips.
    Neuron,
    /// Their cores.
    NeuronCore,
    Gaudi,
    /// Elastic fabric adapters.
    Efa,
}

impl ExtendedResource {
    pub const COUNT: usize = 7;
    pub const ALL: [ExtendedResource; ExtendedResource::COUNT] = [
        ExtendedResource::PodEni,
        ExtendedResource::NvidiaGpu,
        ExtendedResource::AmdGpu,
        ExtendedResource::Neuron,
        ExtendedResource::NeuronCore,
        ExtendedResource::Gaudi,
        ExtendedResource::Efa,
    ];

    /// Those that a node's device plugins register and pods ask for by name.
    pub const DEVICES: [ExtendedResource; ExtendedResource::COUNT - 1] = {
        let [ExtendedResource::PodEni, devices @ ..] = ExtendedResource::ALL else {
            panic!("branch interfaces come first")
        };
        devices
    };

    /// Its name in a pod's requests and a node's status.
    pub const fn name(self) -> &'static str {
        match self {
            ExtendedResource::PodEni => "vpc.amazonaws.com/pod-eni",
            ExtendedResource::NvidiaGpu => "nvidia.com/gpu",
            ExtendedResource::AmdGpu => "amd.com/gpu",
            ExtendedResource::Neuron => "aws.amazon.com/neuron",
            ExtendedResource::NeuronCore => "aws.amazon.com/neuroncore",
            ExtendedResource::Gaudi => "habana.ai/gaudi",
            ExtendedResource::Efa => "vpc.amazonaws.com/efa",
        }
    }
}

/// How many of each, packed into one word: requests and rooms are compared more often than anything else, and hardly any
/// have such.
///
/// A count lies in -256..=255, and so does what two that are compared differ by; [`ExtendedCounts::MOST`] keeps them there. What
/// is added up to 256 is too much for any node, and no more than that is asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ExtendedCounts(u64);

const BITS: usize = 9;
/// Half of each count's range, which makes a number from 0 on of it.
const HALF: u64 = {
    let (mut half, mut place) = (0, 0);
    while place < ExtendedResource::COUNT {
        half |= 1 << (place * BITS + BITS - 1);
        place += 1;
    }
    half
};

impl ExtendedCounts {
    pub const ZERO: ExtendedCounts = ExtendedCounts(0);
    /// Of one resource, of a pod or a node: 128 cores of trn2.48xlarge are the most that there is.
    pub const MOST: u32 = 128;

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    pub const fn get(self, resource: ExtendedResource) -> i64 {
        let biased = self.0.wrapping_add(HALF) >> (resource as usize * BITS);
        (biased & ((1 << BITS) - 1)) as i64 - (1 << (BITS - 1))
    }
    /// The same with so many of a resource.
    pub const fn with(self, resource: ExtendedResource, count: i64) -> ExtendedCounts {
        let more = (count - self.get(resource)) as u64;
        ExtendedCounts(self.0.wrapping_add(more << (resource as usize * BITS)))
    }
    /// Those of a resource by what `count` says of it.
    pub fn of(count: impl Fn(ExtendedResource) -> i64) -> ExtendedCounts {
        let add = |sum: ExtendedCounts, resource| sum.with(resource, count(resource));
        ExtendedResource::ALL.into_iter().fold(ExtendedCounts::ZERO, add)
    }
    /// Does each count fit by itself? Equality fits.
    pub const fn fits(self, room: ExtendedCounts) -> bool {
        room.0.wrapping_sub(self.0).wrapping_add(HALF) & HALF == HALF
    }
    /// Are there any of all those of which there are any in `asked`?
    pub fn has_all(self, asked: ExtendedCounts) -> bool {
        asked.is_zero()
            || ExtendedResource::ALL.into_iter().all(|one| asked.get(one) <= 0 || self.get(one) > 0)
    }
    /// Resources of which there are any.
    pub fn present(self) -> impl Iterator<Item = ExtendedResource> {
        let all: &[ExtendedResource] = if self.is_zero() { &[] } else { &ExtendedResource::ALL };
        all.iter().copied().filter(move |resource| self.get(*resource) > 0)
    }
    /// Only those of which `asked` has any.
    pub fn among(self, asked: ExtendedCounts) -> ExtendedCounts {
        self.zip(asked, |own, asked| if asked > 0 { own } else { 0 })
    }
    pub fn least(self, other: ExtendedCounts) -> ExtendedCounts {
        self.zip(other, i64::min)
    }
    pub fn most(self, other: ExtendedCounts) -> ExtendedCounts {
        self.zip(other, i64::max)
    }
    fn zip(self, other: ExtendedCounts, one: impl Fn(i64, i64) -> i64) -> ExtendedCounts {
        if self.is_zero() && other.is_zero() {
            return ExtendedCounts::ZERO;
        }
        ExtendedCounts::of(|resource| one(self.get(resource), other.get(resource)))
    }
}

impl Add for ExtendedCounts {
    type Output = ExtendedCounts;
    fn add(self, other: ExtendedCounts) -> ExtendedCounts {
        ExtendedCounts(self.0.wrapping_add(other.0))
    }
}
impl Sub for ExtendedCounts {
    type Output = ExtendedCounts;
    fn sub(self, other: ExtendedCounts) -> ExtendedCounts {
        ExtendedCounts(self.0.wrapping_sub(other.0))
    }
}

impl fmt::Debug for ExtendedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = ExtendedResource::ALL.iter().filter(|resource| self.get(**resource) != 0);
        f.debug_map().entries(there.map(|resource| (resource.name(), self.get(*resource)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = [i64; ExtendedResource::COUNT];

    fn packed(plain: Plain) -> ExtendedCounts {
        ExtendedCounts::of(|resource| plain[resource as usize])
    }
    fn zip(a: Plain, b: Plain, one: impl Fn(i64, i64) -> i64) -> Plain {
        std::array::from_fn(|place| one(a[place], b[place]))
    }
    /// As many as requests have, none among them more often than chance would have it.
    fn counts() -> impl Strategy<Value = Plain> {
        prop::array::uniform7(prop_oneof![Just(0), 0..=i64::from(ExtendedCounts::MOST)])
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]
        /// Requests are added to what a node has promised already and held against what it has, which may be less.
        #[test]
        fn packed_counts_are_as_single_ones((all, used, asked) in (counts(), counts(), counts())) {
            let (room, both) = (zip(all, used, |a, b| a - b), zip(used, asked, |a, b| a + b));
            prop_assert_eq!(packed(all) - packed(used), packed(room));
            let sum = packed(used) + packed(asked);
            prop_assert_eq!(sum - packed(used), packed(asked));
            prop_assert_eq!(packed(all) - packed(used) + packed(used), packed(all));
            prop_assert_eq!(packed(asked).fits(packed(room)), zip(asked, room, |a, b| i64::from(a <= b)) == [1; 7]);
            prop_assert_eq!(sum.fits(packed(all)), zip(both, all, |a, b| i64::from(a <= b)) == [1; 7]);
            prop_assert_eq!(packed(room).least(packed(asked)), packed(zip(room, asked, i64::min)));
            prop_assert_eq!(packed(room).most(packed(asked)), packed(zip(room, asked, i64::max)));
            let lacks = |a: i64, b: i64| i64::from(a > 0 && b == 0);
            prop_assert_eq!(packed(all).has_all(packed(asked)), zip(asked, all, lacks) == [0; 7]);
            for resource in ExtendedResource::ALL {
                prop_assert_eq!(packed(room).get(resource), room[resource as usize]);
                prop_assert_eq!(packed(room).with(resource, 5).get(resource), 5);
            }
        }
    }
}
