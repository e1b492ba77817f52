//! The AWS SDK's standard retries, as ipamd and Karpenter use it.
//!
//! Left out: the client's own bucket of 500 tokens for retries, which a node's few calls do not empty.
//! Source: aws-sdk-go-v2, standard retryer with its defaults, as amazon-vpc-cni-k8s v1.23.1 and
//! karpenter-provider-aws v1.14.1 make it.

use crate::units::SimDuration;

/// What comes after a throttled attempt, the `tries`-th from 1: the wait before the next, a `uniform` share of
/// 2 s, then of 4 s; `None`: the third was the last.
pub fn retry_after(tries: u32, uniform: impl FnOnce() -> f64) -> Option<SimDuration> {
    const MOST_TRIES: u32 = 3;
    (tries < MOST_TRIES).then(|| SimDuration::from_secs_f64(uniform() * f64::from(1u32 << tries)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_with_waits_up_to_two_and_four_seconds() {
        let waits = [1, 2, 3].map(|tries| retry_after(tries, || 0.5));
        assert_eq!(waits, [Some(SimDuration::from_secs(1)), Some(SimDuration::from_secs(2)), None]);
    }
}
