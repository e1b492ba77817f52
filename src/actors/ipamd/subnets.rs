//! In which subnets ipamd tries to create an ENI, and in which order.
//!
//! Left out: custom networking (the ENIConfig names the one subnet), DescribeSubnets that fails. Source:
//! amazon-vpc-cni-k8s v1.23.1, `pkg/awsutils`, `createENI` and `isSubnetValidForENICreation`.

use smallvec::SmallVec;

/// A subnet of the node's zone as DescribeSubnets tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubnetView<'a> {
    pub free: u32,
    /// Is the node's primary ENI in it?
    pub own: bool,
    /// The value of the tag `kubernetes.io/role/cni`; empty if it is not there.
    pub role_cni: &'a str,
    /// Clusters named in tags `cni.networking.k8s.aws/cluster/...`.
    pub clusters: &'a [String],
}

impl SubnetView<'_> {
    /// Do pods get no addresses of an ENI there? A subnet without the tag is never excluded.
    pub fn is_excluded(&self, cluster: Option<&str>) -> bool {
        !self.role_cni.is_empty() && !self.is_valid(cluster)
    }
    fn is_valid(&self, cluster: Option<&str>) -> bool {
        match self.role_cni {
            "0" => false,
            "" => self.own,
            _ => {
                let named = |cluster: &str| self.clusters.iter().any(|other| other == cluster);
                self.clusters.is_empty() || cluster.is_none_or(named)
            }
        }
    }
}

/// Places in `subnets`, the one with most free addresses first; equal ones keep their order. `discovery` is
/// `ENABLE_SUBNET_DISCOVERY`, `cluster` is `CLUSTER_NAME`.
pub fn subnets_to_try(
    subnets: &[SubnetView<'_>],
    discovery: bool,
    cluster: Option<&str>,
) -> SmallVec<[usize; 4]> {
    let wanted = |place: &usize| {
        let subnet = &subnets[*place];
        if discovery { subnet.is_valid(cluster) } else { subnet.own && subnet.role_cni != "0" }
    };
    let mut places: SmallVec<[usize; 4]> = (0..subnets.len()).filter(wanted).collect();
    places.sort_by_key(|place| std::cmp::Reverse(subnets[*place].free));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases T24 of the real tests, in short: own subnet without a tag, tagged ones, excluded ones, other clusters'.
    #[test]
    fn tags_decide_and_the_emptiest_goes_first() {
        let ours = ["ours".to_string()];
        let theirs = ["theirs".to_string()];
        let own = SubnetView { free: 10, own: true, role_cni: "", clusters: &[] };
        let tagged = SubnetView { free: 500, own: false, role_cni: "1", clusters: &[] };
        let check = |subnets: &[SubnetView<'_>], discovery, cluster, expected: &[usize]| {
            assert_eq!(subnets_to_try(subnets, discovery, cluster)[..], *expected, "{subnets:?}");
        };
        check(&[own, tagged], true, None, &[1, 0]);
        check(&[own, tagged], false, None, &[0]);
        check(&[own, SubnetView { role_cni: "", ..tagged }], true, None, &[0]);
        check(&[SubnetView { role_cni: "0", ..own }, tagged], true, None, &[1]);
        check(&[SubnetView { role_cni: "0", ..own }], false, None, &[]);
        let foreign = SubnetView { clusters: &theirs, ..tagged };
        check(
            &[own, foreign, SubnetView { clusters: &ours, free: 5, ..tagged }],
            true,
            Some("ours"),
            &[0, 2],
        );
        check(&[own, foreign], true, None, &[1, 0]);
    }
}
