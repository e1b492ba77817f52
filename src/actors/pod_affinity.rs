//! Affinity between pods, which are told apart by kind: what kube-scheduler counts over nodes and Karpenter over what nodes
//! could become.

/// What a required term of affinity weighs for pods that come after (`hardPodAffinityWeight`).
const HARD_WEIGHT: i64 = 1;

/// Pods of these kinds, by the domains of a label of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodTerm {
    pub topology_key: String,
    pub kinds: Vec<u32>,
}

impl PodTerm {
    pub fn new(topology_key: &str, kinds: impl IntoIterator<Item = u32>) -> PodTerm {
        PodTerm { topology_key: topology_key.to_owned(), kinds: kinds.into_iter().collect() }
    }
    pub fn selects(&self, kind: u32) -> bool {
        self.kinds.contains(&kind)
    }
}

/// `podAffinity` and `podAntiAffinity` of a pod.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodAffinity {
    pub affinity: Vec<PodTerm>,
    pub anti_affinity: Vec<PodTerm>,
    /// (weight, term), as the pod lists them.
    pub preferred: Vec<(i64, PodTerm)>,
    pub preferred_anti: Vec<(i64, PodTerm)>,
}

impl PodAffinity {
    /// Required or preferred.
    pub fn terms(&self) -> impl Iterator<Item = &PodTerm> {
        let preferred = self.preferred.iter().chain(&self.preferred_anti).map(|(_, term)| term);
        self.affinity.iter().chain(&self.anti_affinity).chain(preferred)
    }
    /// The preferred terms with their weights, which are below 0 for those of anti-affinity.
    pub fn leanings(&self) -> impl Iterator<Item = (i64, &PodTerm)> {
        let apart = self.preferred_anti.iter().map(|(weight, term)| (-weight, term));
        self.preferred.iter().map(|(weight, term)| (*weight, term)).chain(apart)
    }
    /// The same, and the required terms of affinity: what it makes of pods that come after it.
    pub fn draws(&self) -> impl Iterator<Item = (i64, &PodTerm)> {
        self.leanings().chain(self.affinity.iter().map(|term| (HARD_WEIGHT, term)))
    }
    /// Do all required terms of the affinity select the kind? Pods of others are no company.
    pub fn seeks(&self, kind: u32) -> bool {
        selected_by_all(&self.affinity, kind)
    }
    /// Do all required terms of the anti-affinity select the kind?
    pub fn shuns(&self, kind: u32) -> bool {
        selected_by_all(&self.anti_affinity, kind)
    }
}

/// No terms select nobody.
fn selected_by_all(terms: &[PodTerm], kind: u32) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.selects(kind))
}
