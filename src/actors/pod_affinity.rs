//! Affinity between pods, which are told apart by kind: what kube-scheduler counts over nodes and Karpenter over what nodes
//! could become.

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

/// `podAffinity` and `podAntiAffinity` of a pod, as far as they are required.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodAffinity {
    pub affinity: Vec<PodTerm>,
    pub anti_affinity: Vec<PodTerm>,
}

impl PodAffinity {
    pub fn terms(&self) -> impl Iterator<Item = &PodTerm> {
        self.affinity.iter().chain(&self.anti_affinity)
    }
    /// Do all terms of the affinity select the kind? Pods of others are no company.
    pub fn seeks(&self, kind: u32) -> bool {
        selected_by_all(&self.affinity, kind)
    }
    /// Do all terms of the anti-affinity select the kind?
    pub fn shuns(&self, kind: u32) -> bool {
        selected_by_all(&self.anti_affinity, kind)
    }
}

/// No terms select nobody.
fn selected_by_all(terms: &[PodTerm], kind: u32) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.selects(kind))
}
