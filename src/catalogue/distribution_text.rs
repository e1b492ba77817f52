//! Distributions in TOML: `{ median = "1.7 s", p95 = "3.5 s" }`, `{ constant = "30 s" }` and so on.

use toml::Value;

use crate::chance::Distribution;
use crate::units::text::parse_seconds;

/// The forms a distribution may be written in, for messages.
pub const FORMS: &str = "{ constant = \"30 s\" }, { low = \"1 s\", high = \"2 s\" }, { median = \"1.7 s\", p95 = \"3.5 s\" }, \
                         { mean = \"2 s\" }, { low, mode, high } or { quantiles = [\"1 s\", \"2 s\", ...] }";

/// Reads a distribution; other keys of the table (`source`, `grade`) are not looked at.
///
/// Values are spans with a unit (seconds come out) or, for a factor, bare numbers.
///
/// # Errors
/// A sentence that says what is wrong and which forms there are.
pub fn parse_distribution(table: &toml::Table) -> Result<Distribution, String> {
    let number = |key: &str| -> Result<Option<f64>, String> {
        table.get(key).map(|value| amount(value).map_err(|error| format!("{key}: {error}"))).transpose()
    };
    let (constant, mean) = (number("constant")?, number("mean")?);
    let (low, mode, high) = (number("low")?, number("mode")?, number("high")?);
    let (median, p95) = (number("median")?, number("p95")?);
    let law = match (constant, mean, low, mode, high, median, p95, table.get("quantiles")) {
        (Some(value), None, None, None, None, None, None, None) => Distribution::Constant(value),
        (None, Some(mean), None, None, None, None, None, None) => Distribution::Exponential { mean },
        (None, None, Some(low), None, Some(high), None, None, None) => Distribution::Uniform { low, high },
        (None, None, Some(low), Some(mode), Some(high), None, None, None) => {
            Distribution::Triangular { low, mode, high }
        }
        (None, None, None, None, None, Some(median), Some(p95), None) => {
            Distribution::LogNormal { median, p95 }
        }
        (None, None, None, None, None, None, None, Some(Value::Array(values))) => {
            Distribution::Empirical(values.iter().map(amount).collect::<Result<_, _>>()?)
        }
        _ => return Err(format!("this is no distribution; the forms are {FORMS}")),
    };
    law.validate().map_err(|error| error.to_string())?;
    Ok(law)
}

fn amount(value: &Value) -> Result<f64, String> {
    match value {
        Value::String(text) => parse_seconds(text).map_err(|error| error.to_string()),
        Value::Float(number) => Ok(*number),
        Value::Integer(number) => Ok(*number as f64),
        other => Err(format!("{other} is neither a span of time nor a number")),
    }
}

/// The table that [`parse_distribution`] reads as `law`; `factor` leaves the unit off.
pub fn distribution_table(law: &Distribution, factor: bool) -> toml::Table {
    let amount = |value: f64| if factor { Value::Float(value) } else { Value::String(format!("{value} s")) };
    let pairs: Vec<(&str, Value)> = match law {
        Distribution::Constant(value) => vec![("constant", amount(*value))],
        Distribution::Uniform { low, high } => vec![("low", amount(*low)), ("high", amount(*high))],
        Distribution::LogNormal { median, p95 } => vec![("median", amount(*median)), ("p95", amount(*p95))],
        Distribution::Exponential { mean } => vec![("mean", amount(*mean))],
        Distribution::Triangular { low, mode, high } => {
            vec![("low", amount(*low)), ("mode", amount(*mode)), ("high", amount(*high))]
        }
        Distribution::Empirical(values) => {
            vec![("quantiles", Value::Array(values.iter().map(|value| amount(*value)).collect()))]
        }
    };
    pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "constant = \"30 s\"",
            "low = \"0.5 s\"\nhigh = \"2 min\"",
            "median = \"1.7 s\"\np95 = \"3500 ms\"",
            "mean = \"2 s\"",
            "low = 1.0\nmode = 2\nhigh = 3",
            "quantiles = [\"1 s\", \"2 s\", \"4 s\"]",
        ] {
            let law = parse_distribution(&table(text)).unwrap();
            assert_eq!(parse_distribution(&distribution_table(&law, false)).unwrap(), law, "{text}");
        }
    }

    #[test]
    fn halves_of_two_forms_are_none() {
        let error = parse_distribution(&table("median = \"1 s\"\nhigh = \"2 s\"")).unwrap_err();
        assert!(error.contains("the forms are"), "{error}");
        assert!(parse_distribution(&table("median = \"2 s\"\np95 = \"1 s\"")).is_err());
        assert!(parse_distribution(&table("constant = \"2\"")).unwrap_err().contains("no unit"));
    }
}
