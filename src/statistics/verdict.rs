//! Three-valued verdicts: a claim is thrown over only by data that speak against it, and holds only by
//! data that speak for it. Nothing is ever judged by a point estimate.

/// What a claim allows; at least one side is set.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Limits {
    pub at_least: Option<f64>,
    pub at_most: Option<f64>,
}

/// What the data say of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Holds,
    Broken,
    Undecided,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Broken => "broken",
            Verdict::Undecided => "undecided",
        }
    }
}

impl Limits {
    /// Judges an interval whose two ends are each one-sided bounds at the claim's confidence; `None` is
    /// an end that the data do not give.
    ///
    /// A claim with two limits holds if both do at that confidence each, which errs with no more than
    /// that probability (an intersection-union test).
    pub fn judge(&self, low: Option<f64>, high: Option<f64>) -> Verdict {
        let (low, high) = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
        let at_least = self.at_least.unwrap_or(f64::NEG_INFINITY);
        let at_most = self.at_most.unwrap_or(f64::INFINITY);
        // An end beyond everything observed meets no finite limit, and every absent one.
        if low > at_most || high < at_least {
            Verdict::Broken
        } else if low >= at_least && high <= at_most {
            Verdict::Holds
        } else {
            Verdict::Undecided
        }
    }
}

/// The two-sided confidence of an interval whose ends are one-sided bounds at `one_sided`.
pub fn two_sided(one_sided: f64) -> f64 {
    2.0 * one_sided - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: (Option<f64>, Option<f64>), interval: (Option<f64>, Option<f64>), verdict: Verdict) {
        let (at_least, at_most) = limits;
        let said = Limits { at_least, at_most }.judge(interval.0, interval.1);
        assert_eq!(said, verdict, "limits {limits:?}, interval {interval:?}");
    }

    #[test]
    fn an_interval_clear_of_the_limit_decides() {
        check((None, Some(5.0)), (Some(1.0), Some(4.0)), Verdict::Holds);
        check((None, Some(5.0)), (Some(1.0), Some(5.0)), Verdict::Holds);
        check((None, Some(5.0)), (Some(6.0), Some(7.0)), Verdict::Broken);
        check((Some(5.0), None), (Some(6.0), None), Verdict::Holds);
        check((Some(5.0), Some(8.0)), (Some(6.0), Some(7.0)), Verdict::Holds);
        check((Some(5.0), Some(8.0)), (Some(1.0), Some(2.0)), Verdict::Broken);
    }

    #[test]
    fn an_interval_across_the_limit_or_without_its_end_does_not() {
        check((None, Some(5.0)), (Some(4.0), Some(6.0)), Verdict::Undecided);
        check((None, Some(5.0)), (Some(4.0), None), Verdict::Undecided);
        check((Some(5.0), None), (None, Some(6.0)), Verdict::Undecided);
        check((None, Some(5.0)), (Some(6.0), None), Verdict::Broken);
        check((None, Some(5.0)), (None, None), Verdict::Undecided);
    }
}
