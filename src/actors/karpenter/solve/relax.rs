//! What Karpenter drops of a pod that finds no place, one thing at a time.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/scheduling/preferences.go`.

use std::cmp::Reverse;

use super::super::requirement::Requirements;
use super::{NodePool, SetId, Shape, Variant};
use crate::actors::node_affinity::Term;
use crate::actors::pod_affinity::PodTerm;
use crate::actors::taints::{Effect, Operator, Toleration, tolerated};

/// What is left of a shape.
pub(super) struct Relaxed {
    /// Required terms from this one on.
    first_term: usize,
    /// Preferred terms, heaviest first.
    preferred: Vec<Term>,
    /// Preferred terms of affinity to pods and of anti-affinity by their places, heaviest first.
    preferred_pods: [Vec<usize>; 2],
    spread: Vec<usize>,
    tolerations: Vec<Toleration>,
    may_tolerate: bool,
    relaxed_taints: bool,
}

impl Relaxed {
    /// Nothing dropped yet. `relax_taints`: some pool has a taint that is only preferred.
    pub fn new(shape: &Shape, relax_taints: bool) -> Relaxed {
        let mut preferred = shape.node_affinity.preferred.clone();
        preferred.sort_by_key(|(weight, _)| Reverse(*weight));
        Relaxed {
            first_term: 0,
            preferred: preferred.into_iter().map(|(_, term)| term).collect(),
            preferred_pods: [&shape.pod_affinity.preferred, &shape.pod_affinity.preferred_anti]
                .map(|terms| heaviest_first(terms)),
            spread: (0..shape.spread.len()).collect(),
            tolerations: shape.tolerations.clone(),
            may_tolerate: relax_taints,
            relaxed_taints: false,
        }
    }

    /// Drops one thing more; `false`: there is nothing to drop.
    pub fn relax(&mut self, shape: &Shape) -> bool {
        if self.first_term + 1 < shape.node_affinity.required.len() {
            self.first_term += 1;
            return true;
        }
        if let Some(terms) = self.preferred_pods.iter_mut().find(|terms| !terms.is_empty()) {
            terms.remove(0);
            return true;
        }
        if !self.preferred.is_empty() {
            self.preferred.remove(0);
            return true;
        }
        // The last constraint takes the place of the one that goes.
        if let Some(place) = self.spread.iter().position(|place| shape.spread[*place].soft) {
            self.spread.swap_remove(place);
            return true;
        }
        let any_preferred = Toleration {
            key: String::new(),
            operator: Operator::Exists,
            value: String::new(),
            effect: Some(Effect::PreferNoSchedule),
        };
        if std::mem::replace(&mut self.may_tolerate, false) && !self.tolerations.contains(&any_preferred) {
            self.tolerations.push(any_preferred);
            self.relaxed_taints = true;
            return true;
        }
        false
    }

    pub fn variant(&self, shape: &Shape, pools: &[(NodePool, u32, SetId)], number: u32) -> Variant {
        let selector = Requirements::of_labels(
            shape.node_selector.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        );
        let with = |term: &Term| {
            let mut both = selector.clone();
            term.narrow(&mut both);
            both
        };
        let filters: Vec<Requirements> =
            shape.node_affinity.required[self.first_term..].iter().map(with).collect();
        let filters = if filters.is_empty() { vec![selector.clone()] } else { filters };
        let strict = filters[0].clone();
        let mut requirements = strict.clone();
        self.preferred.iter().take(1).for_each(|term| term.narrow(&mut requirements));
        // Karpenter lets a taint that is only preferred keep a pod off until it is relaxed.
        let admits = |pool: &NodePool| pool.taints.iter().all(|taint| tolerated(taint, &self.tolerations));
        Variant {
            requirements,
            number,
            strict,
            filters,
            tolerations: self.tolerations.clone(),
            spread: self.spread.clone(),
            preferred_pods: self.preferred_pods.clone(),
            relaxed_taints: self.relaxed_taints,
            templates: pools.iter().map(|(pool, ..)| admits(pool)).collect(),
        }
    }
}

/// Places of terms, of equal ones in their order.
fn heaviest_first(terms: &[(i64, PodTerm)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..terms.len()).collect();
    places.sort_by_key(|place| Reverse(terms[*place].0));
    places
}
