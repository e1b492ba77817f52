//! The AWS SDK's retries of throttled calls, as ipamd and Karpenter set them.
//!
//! Left out: the client's own bucket of 500 tokens for retries (v2), which a node's few calls do not empty.
//! Source: aws-sdk-go-v2, standard retryer with its defaults, as amazon-vpc-cni-k8s v1.23.1 and karpenter-provider-aws
//! v1.14.1 make it; aws-sdk-go (v1), `aws/client/default_retryer.go`, with 3 retries in Karpenter 0.19 and 10 in
//! amazon-vpc-cni-k8s v1.12.0.

use crate::units::SimDuration;

/// How often a throttled call is sent, and how long the SDK waits in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retries {
    /// The first try included.
    most_tries: u32,
    /// What a wait begins with: half of what the first is at most.
    unit: SimDuration,
    longest: SimDuration,
    /// Is a wait at least half of what it is at most? Else a share of it from 0 on.
    at_least_half: bool,
}

impl Retries {
    /// Up to 2 s, then up to 4 s.
    pub const V2: Retries = Retries {
        most_tries: 3,
        unit: SimDuration::from_secs(1),
        longest: SimDuration::from_secs(20),
        at_least_half: false,
    };
    /// 0.5 to 1 s, doubled each time.
    pub const V1: Retries = Retries {
        most_tries: 4,
        unit: SimDuration::from_millis(500),
        longest: SimDuration::from_secs(300),
        at_least_half: true,
    };
    pub const V1_IPAMD: Retries = Retries { most_tries: 11, ..Retries::V1 };
    /// ipamd's AssignPrivateIpAddresses and ModifyNetworkInterfaceAttribute: 1 to 2 s, doubled each time, up to 8 s.
    pub const V1_IPAMD_MUTATING: Retries =
        Retries { unit: SimDuration::from_secs(1), longest: SimDuration::from_secs(8), ..Retries::V1_IPAMD };

    /// The wait after a throttled attempt, the `tries`-th from 1 on; `None`: it was the last.
    #[inline]
    pub fn after(&self, tries: u32, uniform: impl FnOnce() -> f64) -> Option<SimDuration> {
        if tries >= self.most_tries {
            return None;
        }
        let most = self.unit * (1 << tries);
        let share = uniform();
        if !self.at_least_half {
            return Some(most.min(self.longest).mul_f64(share));
        }
        let wait = most.mul_f64((1.0 + share) / 2.0);
        // What is too long is drawn anew, from half the longest on.
        Some(if wait > self.longest { self.longest.mul_f64((1.0 + share) / 2.0) } else { wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(retries: Retries, share: f64) -> Vec<f64> {
        (1..).map_while(|tries| retries.after(tries, || share)).map(SimDuration::secs_f64).collect()
    }

    #[test]
    fn three_tries_with_waits_up_to_two_and_four_seconds() {
        assert_eq!(waits(Retries::V2, 0.5), [1.0, 2.0]);
        assert_eq!(waits(Retries::V2, 0.0), [0.0, 0.0]);
    }

    #[test]
    fn the_first_sdk_waits_at_least_half_of_twice_as_long_each_time() {
        assert_eq!(waits(Retries::V1, 0.0), [0.5, 1.0, 2.0]);
        assert_eq!(waits(Retries::V1, 0.5), [0.75, 1.5, 3.0]);
        let long = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
        assert_eq!(waits(Retries::V1_IPAMD, 0.0), long);
        assert_eq!(waits(Retries::V1_IPAMD_MUTATING, 0.0)[..5], [1.0, 2.0, 4.0, 8.0, 4.0]);
        assert_eq!(waits(Retries::V1_IPAMD_MUTATING, 0.5)[..5], [1.5, 3.0, 6.0, 6.0, 6.0]);
        assert_eq!(waits(Retries::V1_IPAMD_MUTATING, 0.5).len(), 10);
    }
}
