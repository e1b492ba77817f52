//! Labels that a spreadsheet would turn into something else.

/// What a spreadsheet does to such a label; `None`: it leaves it alone.
pub(super) fn mangled(label: &str) -> Option<&'static str> {
    let first = label.chars().next()?;
    let numeric = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    if "=+-@".contains(first) {
        Some("takes it for a formula")
    } else if label.trim() != label || label.chars().any(char::is_control) {
        Some("shows it without its blanks or on two lines")
    } else if label.parse::<f64>().is_ok() && !numeric(label) {
        Some("takes it for a number")
    } else if numeric(label) && label.len() > 1 && label.starts_with('0')
        || label.len() > 15 && numeric(label)
    {
        Some("cuts digits off")
    } else if ["true", "false", "nan", "inf"].contains(&label.to_ascii_lowercase().as_str()) {
        Some("takes it for a truth value or a number")
    } else if is_date(label) {
        Some("takes it for a date or a time")
    } else {
        None
    }
}

/// `1-2`, `3/1`, `1.2.2026`, `10:30`, `MAR1`, `2-Sep`.
fn is_date(label: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let separators: &[char] = &['-', '/', ':', '.', ' '];
    let parts: Vec<&str> = label.split(separators).collect();
    let number = |part: &str| !part.is_empty() && part.len() <= 4 && part.chars().all(|c| c.is_ascii_digit());
    let month = |part: &str| {
        let lower = part.to_ascii_lowercase();
        MONTHS.iter().any(|month| {
            lower.starts_with(month) && (lower.len() == 3 || lower.chars().all(char::is_alphabetic))
        })
    };
    let dotted = label.contains('.') && parts.len() < 3;
    let several = (2..=3).contains(&parts.len()) && !dotted;
    if several && parts.iter().all(|part| number(part) || month(part)) {
        return true;
    }
    let letters: String = label.chars().take_while(|c| c.is_alphabetic()).collect();
    let rest = &label[letters.len()..];
    letters.len() == 3 && month(&letters) && number(rest)
}

#[cfg(test)]
mod tests {
    use super::mangled;

    #[test]
    fn what_spreadsheets_change_is_known() {
        for label in [
            "1-2", "3/1", "5E10", "=x", "+1", "-a", "@b", "007", "MAR1", "2-Sep", "10:30", "1.2.2026",
            "true", " a",
        ] {
            assert!(mangled(label).is_some(), "{label:?} passes");
        }
        for label in [
            "m5.large",
            "/21",
            "ip-1",
            "eni-0",
            "spot",
            "1",
            "20",
            "default",
            "ip-5-min-10",
            "m5.large:3+c5.xlarge:1",
        ] {
            assert_eq!(mangled(label), None, "{label:?}");
        }
    }
}
