//! What is asked of a label: a set of values or the complement of one, within bounds; and how two such sets meet.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/scheduling/requirement.go` and `requirements.go`.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{is_well_known, normalized};

/// How a requirement's values are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    Gte,
    Lte,
}

impl Operator {
    pub const ALL: [(&'static str, Operator); 8] = [
        ("In", Operator::In),
        ("NotIn", Operator::NotIn),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
        ("Gt", Operator::Gt),
        ("Lt", Operator::Lt),
        ("Gte", Operator::Gte),
        ("Lte", Operator::Lte),
    ];
}

/// The values that a label may have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Requirement {
    /// `values` are those that are not allowed.
    complement: bool,
    values: BTreeSet<String>,
    /// Inclusive; values that are no integers fail a bound.
    at_least: Option<i64>,
    at_most: Option<i64>,
    /// So many different values must be on offer.
    pub min_values: Option<u32>,
}

impl Requirement {
    pub fn new(operator: Operator, values: &[String], min_values: Option<u32>) -> Requirement {
        let mut requirement = Requirement {
            complement: !matches!(operator, Operator::In | Operator::DoesNotExist),
            values: BTreeSet::new(),
            at_least: None,
            at_most: None,
            min_values,
        };
        // The real program reads a bound that is no number as 0.
        let bound = || values.first().and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
        match operator {
            Operator::In | Operator::NotIn => requirement.values.extend(values.iter().cloned()),
            Operator::Exists | Operator::DoesNotExist => {}
            Operator::Gt => match bound().checked_add(1) {
                Some(above) => requirement.at_least = Some(above),
                None => return Requirement::absent(None),
            },
            Operator::Lt => requirement.at_most = Some(bound().wrapping_sub(1)),
            Operator::Gte => requirement.at_least = Some(bound()),
            Operator::Lte => requirement.at_most = Some(bound()),
        }
        requirement
    }
    /// One of these values.
    pub fn any_of<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Requirement {
        let values = values.into_iter().map(Into::into).collect();
        Requirement { complement: false, values, at_least: None, at_most: None, min_values: None }
    }
    /// The label must not be there.
    fn absent(min_values: Option<u32>) -> Requirement {
        Requirement { min_values, ..Requirement::any_of::<String>([]) }
    }

    /// May the label have this value?
    pub fn has(&self, value: &str) -> bool {
        self.values.contains(value) != self.complement && self.within(value, self.at_least, self.at_most)
    }
    fn within(&self, value: &str, at_least: Option<i64>, at_most: Option<i64>) -> bool {
        if at_least.is_none() && at_most.is_none() {
            return true;
        }
        let Ok(value) = value.parse::<i64>() else { return false };
        at_least.is_none_or(|bound| value >= bound) && at_most.is_none_or(|bound| value <= bound)
    }
    /// The values it names, whichever way.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }
    /// Does it list what is allowed?
    pub fn is_in(&self) -> bool {
        !self.complement && !self.values.is_empty()
    }
    /// The only value that is allowed.
    pub fn single(&self) -> Option<&str> {
        if self.complement || self.values.len() != 1 { None } else { self.values.first().map(String::as_str) }
    }
    /// Does a label that is absent pass (NotIn, DoesNotExist)?
    pub fn allows_absence(&self) -> bool {
        self.complement != self.values.is_empty()
    }

    /// Bounds beside values that are out, which a NodeClaim cannot say both.
    fn is_unspeakable(&self) -> bool {
        self.complement && !self.values.is_empty() && (self.at_least.is_some() || self.at_most.is_some())
    }

    fn bounds(&self, other: &Requirement) -> (Option<i64>, Option<i64>) {
        let at_most = match (self.at_most, other.at_most) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (self.at_least.max(other.at_least), at_most)
    }

    /// What both allow.
    fn intersection(&self, other: &Requirement) -> Requirement {
        let min_values = self.min_values.max(other.min_values);
        let (at_least, at_most) = self.bounds(other);
        if matches!((at_least, at_most), (Some(least), Some(most)) if least > most) {
            return Requirement::absent(min_values);
        }
        let mut values: BTreeSet<String> = match (self.complement, other.complement) {
            (true, true) => self.values.union(&other.values).cloned().collect(),
            (true, false) => other.values.difference(&self.values).cloned().collect(),
            (false, true) => self.values.difference(&other.values).cloned().collect(),
            (false, false) => self.values.intersection(&other.values).cloned().collect(),
        };
        values.retain(|value| self.within(value, at_least, at_most));
        let complement = self.complement && other.complement;
        let (at_least, at_most) = if complement { (at_least, at_most) } else { (None, None) };
        Requirement { complement, values, at_least, at_most, min_values }
    }

    fn intersects(&self, other: &Requirement) -> bool {
        let (at_least, at_most) = self.bounds(other);
        if matches!((at_least, at_most), (Some(least), Some(most)) if least > most) {
            return false;
        }
        let within = |value: &String| self.within(value, at_least, at_most);
        match (self.complement, other.complement) {
            (true, true) => true,
            (true, false) => other.values.difference(&self.values).any(within),
            (false, true) => self.values.difference(&other.values).any(within),
            (false, false) => self.values.intersection(&other.values).any(within),
        }
    }
}

/// Requirements by label; a label that is not named may be anything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Requirements(BTreeMap<String, Requirement>);

impl Requirements {
    /// Nothing is required.
    pub const NONE: Requirements = Requirements(BTreeMap::new());

    /// Each label has exactly this value.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Requirements {
        let mut requirements = Requirements::default();
        labels.into_iter().for_each(|(key, value)| requirements.add(key, &Requirement::any_of([value])));
        requirements
    }
    /// Narrows one label; old names of labels count as the new ones.
    pub fn add(&mut self, key: &str, requirement: &Requirement) {
        let key = normalized(key);
        match self.0.get_mut(key) {
            Some(existing) => *existing = requirement.intersection(existing),
            None => drop(self.0.insert(key.to_owned(), requirement.clone())),
        }
    }
    pub fn add_all(&mut self, others: &Requirements) {
        others.0.iter().for_each(|(key, requirement)| self.add(key, requirement));
    }
    /// Those of them that others have not just so.
    pub fn less(&self, others: &Requirements) -> Requirements {
        let own = self.0.iter().filter(|(key, requirement)| others.0.get(*key) != Some(requirement));
        Requirements(own.map(|(key, requirement)| (key.clone(), requirement.clone())).collect())
    }
    pub fn get(&self, key: &str) -> Option<&Requirement> {
        self.0.get(key)
    }
    /// The same, were it there.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Requirement> {
        self.0.get_mut(key)
    }
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Requirement)> {
        self.0.iter().map(|(key, requirement)| (key.as_str(), requirement))
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// May the label have this value, as far as these say?
    pub fn allows(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_none_or(|requirement| requirement.has(value))
    }
    pub fn has_min_values(&self) -> bool {
        self.0.values().any(|requirement| requirement.min_values.is_some())
    }

    /// What a NodeClaim says of them, where that is something else: beside a bound, values that are out are left out.
    pub fn written(&self) -> Option<Requirements> {
        if !self.0.values().any(Requirement::is_unspeakable) {
            return None;
        }
        let mut written = self.clone();
        written.0.values_mut().filter(|one| one.is_unspeakable()).for_each(|one| one.values.clear());
        Some(written)
    }

    /// Do they share a value on every label that both name? Two that pass without the label never clash.
    pub fn intersects(&self, others: &Requirements) -> bool {
        let meets = |(key, other): (&String, &Requirement)| {
            self.0
                .get(key)
                .is_none_or(|own| own.intersects(other) || (own.allows_absence() && other.allows_absence()))
        };
        others.0.iter().all(meets)
    }

    /// Can what has these requirements meet those of a pod? A label that only the pod names must be allowed to be
    /// absent, or be well known where `well_known` may be undefined.
    pub fn compatible(&self, pod: &Requirements, undefined_well_known: bool) -> bool {
        let known = |(key, requirement): (&String, &Requirement)| {
            (undefined_well_known && is_well_known(key))
                || self.0.contains_key(key)
                || requirement.allows_absence()
        };
        pod.is_empty() || (pod.0.iter().all(known) && self.intersects(pod))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(operator: Operator, values: &[&str]) -> Requirement {
        let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
        Requirement::new(operator, &values, None)
    }

    #[test]
    fn bounds_meet_values_and_each_other() {
        let four = requirement(Operator::In, &["4"]);
        for (operator, bound, meets) in [
            (Operator::Gt, "4", false),
            (Operator::Gte, "4", true),
            (Operator::Lt, "4", false),
            (Operator::Lte, "4", true),
        ] {
            assert_eq!(four.intersects(&requirement(operator, &[bound])), meets, "{operator:?} {bound}");
        }
        let nothing = requirement(Operator::Gt, &["4"]).intersection(&requirement(Operator::Lt, &["5"]));
        assert_eq!(nothing, Requirement::absent(None));
        assert!(!requirement(Operator::Gt, &["0"]).has("large"));
    }

    #[test]
    fn an_absent_label_passes_not_in_and_does_not_exist() {
        let absent = requirement(Operator::DoesNotExist, &[]);
        let check = |operator, values: &[&str], meets| {
            let mut own = Requirements::default();
            own.add("team", &absent);
            let mut pod = Requirements::default();
            pod.add("team", &requirement(operator, values));
            assert_eq!(own.intersects(&pod), meets, "{operator:?} {values:?}");
        };
        check(Operator::NotIn, &["a"], true);
        check(Operator::DoesNotExist, &[], true);
        check(Operator::In, &["a"], false);
        check(Operator::Exists, &[], false);
        check(Operator::Gt, &["1"], false);
    }

    #[test]
    fn custom_labels_must_be_known_and_old_names_are_new_ones() {
        let pod = Requirements::of_labels([("team", "a")]);
        assert!(!Requirements::default().compatible(&pod, true));
        let zone = Requirements::of_labels([("failure-domain.beta.kubernetes.io/zone", "us-east-1a")]);
        assert!(Requirements::default().compatible(&zone, true));
        assert!(!Requirements::of_labels([("topology.kubernetes.io/zone", "b")]).compatible(&zone, true));
    }
}
