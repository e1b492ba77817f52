//! Taints of nodes and tolerations of pods, as kube-scheduler and Karpenter match them.
//!
//! Source: kubernetes v1.34.4, `staging/src/k8s.io/component-helpers/scheduling/corev1`, and `core/v1` `ToleratesTaint`.

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    /// `None`: not an effect.
    pub fn parse(text: &str) -> Option<Effect> {
        match text {
            "NoSchedule" => Some(Effect::NoSchedule),
            "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
            "NoExecute" => Some(Effect::NoExecute),
            _ => None,
        }
    }
    /// Does it keep new pods off?
    pub fn keeps_off(self) -> bool {
        self != Effect::PreferNoSchedule
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: Effect,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    Equal,
    Exists,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Toleration {
    /// Empty: any key.
    pub key: String,
    pub operator: Operator,
    pub value: String,
    /// `None`: any effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    pub fn of_everything() -> Toleration {
        Toleration { key: String::new(), operator: Operator::Exists, value: String::new(), effect: None }
    }
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && (self.operator == Operator::Exists || self.value == taint.value)
    }
}

pub fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

/// The first taint, in the node's order, that keeps the pod off.
pub fn first_untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints.iter().find(|taint| taint.effect.keeps_off() && !tolerated(taint, tolerations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_key_or_effect_matches_any() {
        let taint = Taint { key: "gpu".into(), value: "a".into(), effect: Effect::NoSchedule };
        let check = |key: &str, operator, value: &str, effect, expected| {
            let toleration = Toleration { key: key.into(), operator, value: value.into(), effect };
            assert_eq!(toleration.tolerates(&taint), expected, "{toleration:?}");
        };
        check("", Operator::Exists, "", None, true);
        check("", Operator::Equal, "a", None, true);
        check("gpu", Operator::Exists, "b", Some(Effect::NoSchedule), true);
        check("gpu", Operator::Equal, "b", None, false);
        check("gpu", Operator::Equal, "a", Some(Effect::NoExecute), false);
        check("cpu", Operator::Exists, "", None, false);
    }
}
