//! Affinity of pods to nodes, by labels: what kube-scheduler matches against a node and Karpenter against what a node
//! could become.
//!
//! Source: kubernetes v1.34.4, `staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity`.

use std::collections::BTreeMap;

use super::karpenter::requirement::{Requirement, Requirements};

/// Expressions on labels that must all hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Term(pub Vec<(String, Requirement)>);

impl Term {
    /// Does a node with these labels meet every expression?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(key, requirement)| match labels.get(key) {
            Some(value) => requirement.has(value),
            None => requirement.allows_absence(),
        })
    }
    /// Narrows `requirements` to what the term leaves.
    pub fn narrow(&self, requirements: &mut Requirements) {
        self.0.iter().for_each(|(key, requirement)| requirements.add(key, requirement));
    }
}

/// `nodeAffinity` of a pod.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeAffinity {
    /// One of these must be met; none: no requirement.
    pub required: Vec<Term>,
    /// (weight, term), as the pod lists them.
    pub preferred: Vec<(i64, Term)>,
}

impl NodeAffinity {
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.preferred.is_empty()
    }
    /// May the pod go to a node with these labels?
    pub fn admits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.required.is_empty() || self.required.iter().any(|term| term.matches(labels))
    }
    /// The weights of the preferred terms that such a node meets.
    pub fn weight(&self, labels: &BTreeMap<String, String>) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.matches(labels)).map(|(weight, _)| weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::karpenter::requirement::Operator;
    use super::*;

    fn term(expressions: &[(&str, Operator, &[&str])]) -> Term {
        let read = |(key, operator, values): &(&str, Operator, &[&str])| {
            let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
            (key.to_string(), Requirement::new(*operator, &values, None))
        };
        Term(expressions.iter().map(read).collect())
    }

    #[test]
    fn every_expression_of_one_term_must_hold() {
        let labels: BTreeMap<String, String> =
            [("zone", "a"), ("cpus", "8")].map(|(key, value)| (key.into(), value.into())).into();
        let check = |expressions: &[(&str, Operator, &[&str])], wanted| {
            assert_eq!(term(expressions).matches(&labels), wanted, "{expressions:?}");
        };
        check(&[("zone", Operator::In, &["a", "b"])], true);
        check(&[("zone", Operator::In, &["a"]), ("zone", Operator::In, &["b"])], false);
        check(&[("zone", Operator::NotIn, &["a"])], false);
        check(&[("team", Operator::NotIn, &["a"])], true);
        check(&[("team", Operator::Exists, &[])], false);
        check(&[("team", Operator::DoesNotExist, &[])], true);
        check(&[("cpus", Operator::Gt, &["7"]), ("cpus", Operator::Lt, &["9"])], true);
        check(&[("team", Operator::Gt, &["7"])], false);
        let (met, unmet) = (term(&[("zone", Operator::In, &["a"])]), term(&[("zone", Operator::In, &["b"])]));
        let affinity = NodeAffinity {
            required: vec![unmet.clone(), met.clone()],
            preferred: vec![(10, met.clone()), (5, unmet.clone()), (1, met)],
        };
        assert!(affinity.admits(&labels) && NodeAffinity::default().admits(&labels));
        assert_eq!(affinity.weight(&labels), 11);
        assert!(!NodeAffinity { required: vec![unmet], preferred: Vec::new() }.admits(&labels));
    }
}
