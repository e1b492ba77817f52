//! A count, or a share of one: Kubernetes' `IntOrString` where it stands for a number of things.

/// `3` or `"10%"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntOrPercent {
    Count(u32),
    Percent(u32),
}

impl IntOrPercent {
    /// Reads `"3"` or `"10%"`; `None` for anything else.
    pub fn parse(text: &str) -> Option<IntOrPercent> {
        let digits = text.strip_suffix('%');
        let number = digits.unwrap_or(text);
        let whole = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = whole.then(|| number.parse().ok()).flatten()?;
        Some(if digits.is_some() { IntOrPercent::Percent(number) } else { IntOrPercent::Count(number) })
    }
    /// How many that is of `all`; shares are rounded up.
    pub fn of(self, all: u32) -> u32 {
        match self {
            IntOrPercent::Count(count) => count,
            IntOrPercent::Percent(share) => {
                let count = (u64::from(all) * u64::from(share)).div_ceil(100);
                u32::try_from(count).unwrap_or(u32::MAX)
            }
        }
    }
    /// The same with shares rounded down.
    pub fn of_rounded_down(self, all: u32) -> u32 {
        match self {
            IntOrPercent::Count(count) => count,
            IntOrPercent::Percent(share) => {
                let count = u64::from(all) * u64::from(share) / 100;
                u32::try_from(count).unwrap_or(u32::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up_and_nonsense_is_refused() {
        let of_ten = |text| IntOrPercent::parse(text).map(|amount| amount.of(10));
        assert_eq!(["3", "30%", "1%", "0%", "100%"].map(of_ten), [3, 3, 1, 0, 10].map(Some));
        let down = |text| IntOrPercent::parse(text).unwrap().of_rounded_down(7);
        assert_eq!(["3", "30%", "99%", "100%"].map(down), [3, 2, 6, 7]);
        assert_eq!(of_ten("150%"), Some(15));
        assert_eq!(IntOrPercent::Percent(u32::MAX).of(1_000_000), u32::MAX);
        assert_eq!(["1000a%", "%", "", "-1", "+1", "1.5"].map(of_ten), [None; 6]);
    }
}
