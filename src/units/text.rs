//! Amounts as people write them: `"90 s"`, `"4 GiB"`, `"500m"`. A bare number is refused where a unit
//! is needed, since nobody can tell what it meant.

use super::SimDuration;

/// Why a text is no amount; says what would be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AmountError {
    #[error("{0:?} has no unit: write it as {1}")]
    NoUnit(String, &'static str),
    #[error("{0:?} has an unknown unit: write it as {1}")]
    UnknownUnit(String, &'static str),
    #[error("{0:?} is no number with a unit: write it as {1}")]
    NotANumber(String, &'static str),
    #[error("{0:?} is out of range: write it as {1}")]
    Range(String, &'static str),
}

const DURATION: &str = "\"90 s\", \"2 min\", \"500 ms\", \"1 h\" or \"1h30m\"";
const BYTES: &str = "\"4 GiB\", \"512 MiB\" or \"300 MB\"";
const CPU: &str = "\"500m\", \"1\" or \"2.5\"";

/// Splits a number from the unit behind it.
fn split<'a>(text: &'a str, form: &'static str) -> Result<(f64, &'a str), AmountError> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| AmountError::NotANumber(text.to_string(), form))?;
    Ok((number, text[end..].trim()))
}

/// A span of time: a number of `ns`, `us`, `ms`, `s`, `min` (or `m`), `h` or `d`, or several one after the other, which add up, as in
/// `1h30m`.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_duration(text: &str) -> Result<SimDuration, AmountError> {
    let secs = parse_seconds(text)?;
    if secs > 1e9 {
        return Err(AmountError::Range(text.to_string(), DURATION));
    }
    Ok(SimDuration::from_secs_f64(secs))
}

/// The same, as a number of seconds.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_seconds(text: &str) -> Result<f64, AmountError> {
    let (mut rest, mut seconds) = (text.trim(), 0.0);
    loop {
        let (number, behind) =
            split(rest, DURATION).map_err(|_| AmountError::NotANumber(text.to_string(), DURATION))?;
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        seconds += seconds_of(number, behind[..end].trim(), text)?;
        rest = &behind[end..];
        if rest.is_empty() {
            return Ok(seconds);
        }
    }
}

/// A number of a unit, as it stands in a text.
fn seconds_of(number: f64, unit: &str, text: &str) -> Result<f64, AmountError> {
    // The number is divided rather than multiplied by an inexact 0.001: 500 ms are 0.5 s exactly.
    Ok(match unit {
        "ns" => number / 1e9,
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" | "sec" | "seconds" => number,
        "m" | "min" | "minutes" => number * 60.0,
        "h" | "hours" => number * 3600.0,
        "d" | "days" => number * 86_400.0,
        "" => return Err(AmountError::NoUnit(text.to_string(), DURATION)),
        _ => return Err(AmountError::UnknownUnit(text.to_string(), DURATION)),
    })
}

/// Bytes: `KiB`, `MiB`, `GiB`, `TiB` (also Kubernetes' `Ki`, `Mi`, `Gi`, `Ti`), `kB`, `MB`, `GB`, `TB` or `B`.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_bytes(text: &str) -> Result<i64, AmountError> {
    let (number, unit) = split(text, BYTES)?;
    let factor: f64 = match unit {
        "B" => 1.0,
        "kB" | "k" => 1e3,
        "MB" | "M" => 1e6,
        "GB" | "G" => 1e9,
        "TB" | "T" => 1e12,
        "KiB" | "Ki" => 1024.0,
        "MiB" | "Mi" => 1_048_576.0,
        "GiB" | "Gi" => 1_073_741_824.0,
        "TiB" | "Ti" => 1_099_511_627_776.0,
        "" if number == 0.0 => 1.0,
        "" => return Err(AmountError::NoUnit(text.to_string(), BYTES)),
        _ => return Err(AmountError::UnknownUnit(text.to_string(), BYTES)),
    };
    let bytes = (number * factor + 0.5).floor();
    if bytes > 9e15 { Err(AmountError::Range(text.to_string(), BYTES)) } else { Ok(bytes as i64) }
}

/// CPU as Kubernetes writes it, in millicores: `500m`, `1`, `2.5`.
///
/// # Errors
/// What is wrong with the text, and how to write it.
pub fn parse_cpu(text: &str) -> Result<i64, AmountError> {
    let (number, unit) = split(text, CPU)?;
    let millis = match unit {
        "m" => number,
        "" => number * 1000.0,
        _ => return Err(AmountError::UnknownUnit(text.to_string(), CPU)),
    };
    // Kubernetes rounds a finer fraction up to the next millicore.
    let millis = (millis - 1e-9).ceil();
    if millis > 1e12 { Err(AmountError::Range(text.to_string(), CPU)) } else { Ok(millis as i64) }
}

/// The shortest text that [`parse_duration`] reads as `span`.
pub fn duration_text(span: SimDuration) -> String {
    let nanos = span.nanos();
    for (unit, size) in
        [("h", 3_600_000_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000)]
    {
        if nanos > 0 && nanos.is_multiple_of(size) {
            return format!("{} {unit}", nanos / size);
        }
    }
    if nanos == 0 { "0 s".to_string() } else { format!("{nanos} ns") }
}

/// The shortest text that [`parse_bytes`] reads as `bytes`.
pub fn bytes_text(bytes: i64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes % size == 0 {
            return format!("{} {unit}", bytes / size);
        }
    }
    format!("{bytes} B")
}

/// Millicores as [`parse_cpu`] reads them.
pub fn cpu_text(millis: i64) -> String {
    if millis % 1000 == 0 { format!("{}", millis / 1000) } else { format!("{millis}m") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_units() {
        assert_eq!(parse_duration("1.5 min").unwrap(), SimDuration::from_secs(90));
        assert_eq!(parse_duration("500ms").unwrap(), SimDuration::from_millis(500));
        for (text, seconds) in
            [("1h30m", 5_400), ("90m", 5_400), ("1 h 30 min", 5_400), ("1d 2h3m4s", 93_784)]
        {
            assert_eq!(parse_duration(text).unwrap(), SimDuration::from_secs(seconds), "{text}");
        }
        assert_eq!(parse_bytes("4 GiB").unwrap(), 4 << 30);
        assert_eq!(parse_bytes("300 MB").unwrap(), 300_000_000);
        assert_eq!(parse_cpu("500m").unwrap(), 500);
        assert_eq!(parse_cpu("2.5").unwrap(), 2500);
        assert_eq!(parse_cpu("0.1").unwrap(), 100);
    }

    #[test]
    fn a_bare_number_is_refused_with_the_way_to_mend_it() {
        let error = parse_duration("90").unwrap_err().to_string();
        assert!(error.contains("no unit") && error.contains("90 s"), "{error}");
        assert!(matches!(parse_bytes("4"), Err(AmountError::NoUnit(..))));
        assert!(matches!(parse_bytes("4 gib"), Err(AmountError::UnknownUnit(..))));
        assert!(matches!(parse_cpu("many"), Err(AmountError::NotANumber(..))));
        assert!(matches!(parse_duration("-3 s"), Err(AmountError::NotANumber(..))));
        assert!(matches!(parse_duration("1h30"), Err(AmountError::NoUnit(..))));
        assert!(matches!(parse_duration("1h-30m"), Err(AmountError::UnknownUnit(..))));
        assert!(matches!(parse_duration("1e30 h"), Err(AmountError::UnknownUnit(..))));
    }

    #[test]
    fn texts_read_back_as_what_they_were_written_from() {
        for nanos in [0, 1, 1_000_000, 90_000_000_000, 1_500_000_000, 3_600_000_000_000] {
            let span = SimDuration::from_nanos(nanos);
            assert_eq!(parse_duration(&duration_text(span)).unwrap(), span);
        }
        for bytes in [1, 1024, 300_000_000, 2 << 30, 123_457] {
            assert_eq!(parse_bytes(&bytes_text(bytes)).unwrap(), bytes);
        }
        for millis in [1, 25, 1000, 2500] {
            assert_eq!(parse_cpu(&cpu_text(millis)).unwrap(), millis);
        }
    }
}
