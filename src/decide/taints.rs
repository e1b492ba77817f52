//! Taints and tolerations as cases write them.

use serde::Deserialize;

use crate::actors::taints::{Effect, Operator, Taint, Toleration};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseTaint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

impl CaseTaint {
    pub fn read(&self) -> Result<Taint, String> {
        Ok(Taint { key: self.key.clone(), value: self.value.clone(), effect: effect(&self.effect)? })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseToleration {
    #[serde(default)]
    key: String,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    effect: String,
}

impl CaseToleration {
    pub fn read(&self) -> Result<Toleration, String> {
        let operator = match self.operator.as_str() {
            "" | "Equal" => Operator::Equal,
            "Exists" => Operator::Exists,
            other => return Err(format!("operator of a toleration: {other:?} is not Equal or Exists")),
        };
        let effect = if self.effect.is_empty() { None } else { Some(effect(&self.effect)?) };
        Ok(Toleration { key: self.key.clone(), operator, value: self.value.clone(), effect })
    }
}

fn effect(text: &str) -> Result<Effect, String> {
    Effect::parse(text)
        .ok_or_else(|| format!("effect: {text:?} is not NoSchedule, PreferNoSchedule or NoExecute"))
}
