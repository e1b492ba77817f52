//! How the kernel shares a node's CPU among pods that all want to run: by weight from requests, up to limits.
//!
//! Modelled is the average over some scheduler periods. Whoever wants less than its share leaves the rest to the others, again
//! by weight, so that CPU lies idle only where nobody wants it; `cpu.max` caps a pod even then. Left out: the groups above pods
//! (QoS classes), the 100 ms periods within which a pod with many threads uses up its quota early, and shared cores.
//! Source: Linux `Documentation/admin-guide/cgroup-v2.rst` (`cpu.weight`, `cpu.max`); Kubernetes 1.34.1
//! `pkg/kubelet/cm/helpers_linux.go` (MilliCPUToShares) and `cgroup_manager_linux.go` (getCPUWeight), which set the pods' groups.

/// What one pod brings to the sharing.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Claim {
    /// `cpu.weight`, see [`weight`].
    pub weight: u32,
    /// CPU it would use if it were alone (millicores).
    pub demand: i64,
    /// `cpu.max` (millicores); `None`: none.
    pub limit: Option<i64>,
}

impl Claim {
    /// The most it can get (millicores).
    pub fn cap(&self) -> i64 {
        self.limit.map_or(self.demand, |limit| limit.min(self.demand))
    }
}

/// `cpu.weight` of a pod that requests so much (millicores): 1 to 10,000, roughly in proportion, with 39 for a whole CPU.
pub fn weight(request_millis: i64) -> u32 {
    let shares = (request_millis.clamp(0, 1_000_000) * 1024 / 1000).clamp(2, 262_144);
    (1 + (shares - 2) * 9_999 / 262_142) as u32
}

/// What each claim gets of `cpu` (millicores), in the order of the claims.
pub fn share(cpu: i64, claims: &[Claim]) -> Vec<f64> {
    // In this order nobody after one who is not satisfied could be: one pass is enough.
    let mut order: Vec<usize> = (0..claims.len()).collect();
    let need = |place: &usize| claims[*place].cap() as f64 / f64::from(claims[*place].weight);
    order.sort_by(|a, b| need(a).total_cmp(&need(b)));
    let mut weights: u64 = claims.iter().map(|claim| u64::from(claim.weight)).sum();
    let mut left = cpu.max(0) as f64;
    let mut shares = vec![0.0; claims.len()];
    for place in order {
        let claim = &claims[place];
        let fair = left * f64::from(claim.weight) / weights as f64;
        shares[place] = fair.min(claim.cap() as f64);
        left -= shares[place];
        weights -= u64::from(claim.weight);
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(request: i64, demand: i64, limit: Option<i64>) -> Claim {
        Claim { weight: weight(request), demand, limit }
    }

    #[test]
    fn weights_are_the_kubelets() {
        // 28, 29, 245 and 262,144 shares, of the kubelet's own test; the others by its formula.
        let known =
            [(0, 1), (28, 1), (29, 2), (240, 10), (256_000, 10_000), (1_000, 39), (10_000_000, 10_000)];
        known.into_iter().for_each(|(request, wanted)| assert_eq!(weight(request), wanted, "{request}m"));
    }

    #[test]
    fn a_busy_node_is_shared_by_requests_and_an_idle_one_by_limits() {
        // Two CPUs: the third pod wants little, what it leaves goes to the others.
        let busy = [claim(1_000, 4_000, None), claim(1_000, 4_000, None), claim(1_000, 200, None)];
        assert_eq!(share(2_000, &busy), [900.0, 900.0, 200.0]);
        let alone = [claim(100, 4_000, None)];
        assert_eq!(share(2_000, &alone), [2_000.0]);
        let limited = [claim(100, 4_000, Some(500)), claim(1_000, 4_000, None)];
        assert_eq!(share(8_000, &limited), [500.0, 4_000.0]);
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let one = (0i64..4_000, 0i64..4_000, prop::option::of(1i64..4_000));
        let one = one.prop_map(|(request, demand, limit)| claim(request, demand, limit));
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]
        /// No more is given than there is or than anyone may use; none lies idle while somebody wants it; and whoever gets
        /// less than it could use gets at least as much by weight as any other.
        #[test]
        fn shares_are_fair_and_leave_nothing(cpu in 0i64..20_000, claims in claims()) {
            let shares = share(cpu, &claims);
            let given: f64 = shares.iter().sum();
            let wanted: i64 = claims.iter().map(Claim::cap).sum();
            prop_assert!((given - cpu.min(wanted) as f64).abs() < 1e-6, "{given} of {cpu} for {wanted}");
            for (claim, share) in claims.iter().zip(&shares) {
                prop_assert!(*share >= 0.0 && *share <= claim.cap() as f64, "{share} for {claim:?}");
                if *share < claim.cap() as f64 {
                    let by_weight = share / f64::from(claim.weight);
                    for (other, others) in claims.iter().zip(&shares) {
                        prop_assert!(others / f64::from(other.weight) <= by_weight + 1e-6, "{other:?} gets {others}");
                    }
                }
            }
        }

        /// Where requests fit and are not rounded, a request is a floor: whoever wants it gets it.
        #[test]
        fn a_request_is_kept(wants in prop::collection::vec((1i64..20, 0i64..8_000), 1..8)) {
            let claims: Vec<Claim> = wants
                .iter()
                .map(|(parts, demand)| Claim { weight: *parts as u32, demand: *demand, limit: None })
                .collect();
            let cpu: i64 = wants.iter().map(|(parts, _)| parts * 100).sum();
            for ((parts, demand), share) in wants.iter().zip(share(cpu, &claims)) {
                prop_assert!(share >= (parts * 100).min(*demand) as f64 - 1e-6);
            }
        }
    }
}
