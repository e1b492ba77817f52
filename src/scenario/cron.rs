//! Schedules as cron writes them, in UTC: five fields, or `@daily` and its kind.
//!
//! As robfig/cron's `ParseStandard`, which Karpenter's budgets go by: where both the day of the month and the day of the week are
//! restricted, either will do.

/// Minutes since 1970-01-01 00:00 UTC.
pub type Minutes = i64;

const DAY: Minutes = 24 * 60;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The minutes at which something is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cron {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// The values of a field, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Field {
    values: u64,
    /// Written as `*`, which restricts nothing.
    any: bool,
}

impl Cron {
    /// # Errors
    /// What is wrong with the text, in a sentence.
    pub fn parse(text: &str) -> Result<Cron, String> {
        let spelled = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = spelled.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "{text:?} has {} fields; minute, hour, day, month and day of the week are wanted",
                fields.len()
            ));
        };
        Ok(Cron {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, &MONTHS)?,
            weekdays: field(weekdays, 0, 6, &DAYS)?,
        })
    }

    /// All that is due after `from` and up to `until`.
    pub fn due(&self, from: Minutes, until: Minutes) -> Vec<Minutes> {
        let mut all = Vec::new();
        let mut at = from + 1;
        while at <= until {
            if self.has_day(at.div_euclid(DAY)) {
                let (hour, minute) = (at.rem_euclid(DAY) / 60, at.rem_euclid(60));
                if self.hours.has(hour) && self.minutes.has(minute) {
                    all.push(at);
                }
                at += 1;
            } else {
                at = (at.div_euclid(DAY) + 1) * DAY;
            }
        }
        all
    }

    fn has_day(&self, day: i64) -> bool {
        let (_, month, of_month) = civil(day);
        // 1970-01-01 was a Thursday.
        let of_week = (day + 4).rem_euclid(7);
        let (by_month, by_week) = (self.days.has(of_month), self.weekdays.has(of_week));
        let either =
            if self.days.any || self.weekdays.any { by_month && by_week } else { by_month || by_week };
        self.months.has(month) && either
    }
}

impl Field {
    fn has(self, value: i64) -> bool {
        self.values >> value & 1 == 1
    }
}

/// `*`, `5`, `1-5`, `*/15`, `mon-fri`, and lists of these.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Result<Field, String> {
    let mut whole = Field { values: 0, any: false };
    for part in text.split(',') {
        let wrong = || format!("{part:?} is nothing that a field from {least} to {most} may say");
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, Some(step.parse().ok().filter(|step| *step > 0u32).ok_or_else(wrong)?))
            }
            None => (part, None),
        };
        let value = |text: &str| {
            let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
            let number = named.map_or_else(|| text.parse().ok(), |place| Some(place as u32 + least));
            number.filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
        };
        let (low, high) = match range {
            "*" | "?" => (least, most),
            range => match range.split_once('-') {
                Some((low, high)) => (value(low)?, value(high)?),
                None if step.is_some() => (value(range)?, most),
                None => (value(range)?, value(range)?),
            },
        };
        let step = step.unwrap_or(1);
        if low > high {
            return Err(wrong());
        }
        whole.any |= ["*", "?"].contains(&range) && step == 1;
        (low..=high).step_by(step as usize).for_each(|value| whole.values |= 1 << value);
    }
    Ok(whole)
}

/// `2026-11-02 09:00`, in UTC, or as RFC 3339 has it: `2026-11-02T10:00:00+01:00`. Whole minutes only.
pub fn instant(text: &str) -> Option<Minutes> {
    let (date, time) = text.trim().split_once([' ', 'T', 't'])?;
    let (time, ahead) = time.find(['Z', 'z', '+', '-']).map_or((time, ""), |at| time.split_at(at));
    let (time, seconds) = if time.matches(':').count() == 2 { time.rsplit_once(':')? } else { (time, "0") };
    let whole = seconds.parse::<f64>().is_ok_and(|seconds| seconds == 0.0);
    let numbers =
        |text: &str, by: char| text.split(by).map(|part| part.parse().ok()).collect::<Option<Vec<i64>>>();
    let [year, month, day] = numbers(date, '-')?[..] else { return None };
    let clock = |text: &str| match numbers(text, ':')?[..] {
        [hour, minute] if (0..24).contains(&hour) && (0..60).contains(&minute) => Some(hour * 60 + minute),
        _ => None,
    };
    let offset = match ahead.chars().next() {
        Some('+') => clock(&ahead[1..])?,
        Some('-') => -clock(&ahead[1..])?,
        Some(_) if ahead.len() > 1 => return None,
        _ => 0,
    };
    let days = days_since_1970(year, month, day);
    let sane = (1970..=9999).contains(&year) && civil(days) == (year, month, day);
    (sane && whole).then_some(days * DAY + clock(time)? - offset)
}

/// Of the Gregorian calendar; years are counted from March, so that a leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// (year, month, day) of a day since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_the_calendar_s() {
        assert_eq!(instant("1970-01-01 00:00"), Some(0));
        assert_eq!(instant("2026-11-02 09:00"), Some(1_793_610_000 / 60));
        assert_eq!(instant("2000-02-29T23:59Z"), Some(951_868_740 / 60));
        for same in ["2026-11-02T09:00:00Z", "2026-11-02 09:00:00.000z", "2026-11-02T10:30:00+01:30"] {
            assert_eq!(instant(same), instant("2026-11-02 09:00"), "{same}");
        }
        assert_eq!(instant("2026-11-01T23:00-02:00"), instant("2026-11-02 01:00"));
        for wrong in
            ["2026-11-02T09:00:30Z", "2026-11-02T09:00+25:00", "2026-11-02T09:00Zulu", "2026-11-02T09"]
        {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
        for wrong in ["2026-02-29 00:00", "2026-11-02", "2026-11-02 24:00", "2026-13-01 00:00", "soon"] {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
        (0..200_000).for_each(|day| {
            let (year, month, of_month) = civil(day);
            assert_eq!(days_since_1970(year, month, of_month), day);
        });
    }

    /// Instants within a week that begins on Monday, 2 November 2026.
    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        let monday = instant("2026-11-02 00:00").unwrap();
        let wanted: Vec<Minutes> = wanted.iter().map(|text| instant(text).unwrap()).collect();
        assert_eq!(Cron::parse(text).unwrap().due(monday - 1, monday + 7 * DAY - 1), wanted, "{text}");
    }

    #[test]
    fn a_schedule_is_due_when_it_says() {
        check("30 9 * * mon-tue", &["2026-11-02 09:30", "2026-11-03 09:30"]);
        check("0 */12 4 * *", &["2026-11-04 00:00", "2026-11-04 12:00"]);
        check("0 22 * * 6,Sun", &["2026-11-07 22:00", "2026-11-08 22:00"]);
        check("0 22/1 * * 6", &["2026-11-07 22:00", "2026-11-07 23:00"]);
        check("@weekly", &["2026-11-08 00:00"]);
        check("0 0 1 dec *", &[]);
        // Both days restricted: either will do.
        check("0 0 4 * fri", &["2026-11-04 00:00", "2026-11-06 00:00"]);
        // A step restricts, though it begins with a star.
        check("0 0 */31 * fri", &["2026-11-06 00:00"]);
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for wrong in
            ["* * * *", "60 * * * *", "* * 0 * *", "* * * * 7", "5-1 * * * *", "*/0 * * * *", "a * * * *"]
        {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }
}
