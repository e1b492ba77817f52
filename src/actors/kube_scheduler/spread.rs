//! PodTopologySpread's score with the system's default constraints: hostname with skew 3, zone with skew 5.
//!
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/podtopologyspread/scoring.go`.

const HOSTNAME_SKEW: f64 = 3.0;
const ZONE_SKEW: f64 = 5.0;

/// A node that passed the filters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Pods on the node that the pod's ReplicaSet selects.
    pub on_node: u32,
    /// The same over all nodes of its zone, candidates or not.
    pub in_zone: u32,
}

/// Normalised scores, 0 to 100, of the candidates; `zones` is the number of zones among them.
pub fn default_scores(candidates: &[Candidate], zones: usize, scores: &mut Vec<i64>) {
    let weight = |size: usize| libm::log(size as f64 + 2.0);
    let (host, zone) = (weight(candidates.len()), weight(zones));
    let raw = |candidate: &Candidate| {
        let hosts = f64::from(candidate.on_node) * host + (HOSTNAME_SKEW - 1.0);
        let zones = f64::from(candidate.in_zone) * zone + (ZONE_SKEW - 1.0);
        libm::round(hosts + zones) as i64
    };
    scores.clear();
    scores.extend(candidates.iter().map(raw));
    let (Some(least), Some(most)) = (scores.iter().copied().min(), scores.iter().copied().max()) else {
        return;
    };
    for score in scores {
        *score = if most == 0 { 100 } else { 100 * (most + least - *score) / most };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ln 4 = 1.386 for two hosts, ln 3 = 1.099 for one zone: raw 6 and 6 + 1.386 + ... rounded.
    #[test]
    fn the_emptier_node_scores_higher() {
        let nodes = [Candidate { on_node: 0, in_zone: 1 }, Candidate { on_node: 1, in_zone: 1 }];
        let mut scores = Vec::new();
        default_scores(&nodes, 1, &mut scores);
        // raw: round(2 + 1.099 + 4) = 7 and round(1.386 + 2 + 1.099 + 4) = 8.
        assert_eq!(scores, [100 * (8 + 7 - 7) / 8, 100 * (8 + 7 - 8) / 8]);
    }
}
