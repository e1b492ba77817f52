//! What is varied, as typed: `boot_system_al2023`, `kubelet_sync=0.5..3`, `WARM_IP_TARGET=1..10`,
//! `karpenter.batch_idle=0.5 s..3 s`, `market=calm|tight`, or `estimated` for every latency that is no more than that.

use crate::catalogue::{Grade, Latency, LatencyModels};
use crate::chance::Distribution;
use crate::input::{Problem, full_key, nearest};
use crate::units::text::parse_seconds;

/// Every latency that `models/` grades estimated.
pub const ESTIMATED: &str = "estimated";
/// A latency is halved to doubled unless its range is typed: its sources differ by about as much.
const RANGE: (f64, f64) = (0.5, 2.0);
const FORMS: &str = "write LATENCY, LATENCY=0.5..2, KEY=LOW..HIGH or KEY=A|B|C";

/// Something that is varied, and over which values.
#[derive(Clone, PartialEq, Debug)]
pub struct Factor {
    /// A latency's name, or a scenario's dotted key.
    pub name: String,
    /// For people: `x 0.5 to 2`.
    pub range: String,
    values: Values,
}

#[derive(Clone, PartialEq, Debug)]
enum Values {
    /// Times so much, log-uniform.
    Times(Latency, f64, f64),
    /// Seconds, log-uniform.
    Seconds(f64, f64),
    /// Uniform.
    Numbers(f64, f64),
    /// All equally likely, both ends included.
    Whole(i64, i64),
    /// All equally likely.
    Levels(Vec<String>),
}

/// What a factor does to a scenario.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Change {
    /// Times so much.
    Latency(Latency, f64),
    /// `key=value`
    Setting(String),
}

/// All factors that `texts` name, each once, and everything that is wrong with others; a later mention takes the place of an earlier
/// one.
pub(super) fn factors(texts: &[String], models: &LatencyModels) -> (Vec<Factor>, Vec<Problem>) {
    let (mut found, mut problems) = (Vec::<Factor>::new(), Vec::new());
    let mut add = |factor: Factor| match found.iter_mut().find(|known| known.name == factor.name) {
        Some(known) => *known = factor,
        None => found.push(factor),
    };
    for text in texts {
        if text.trim() == ESTIMATED {
            let estimated = |latency: &&Latency| models.get(**latency).grade == Grade::Estimated;
            Latency::ALL.iter().filter(estimated).for_each(|latency| add(times(*latency, RANGE)));
            continue;
        }
        match factor(text) {
            Ok(factor) => add(factor),
            Err((what, hint)) => {
                let (place, hint) = (place(text), Some(hint));
                problems.push(Problem { place, line: None, key: String::new(), what, hint });
            }
        }
    }
    (found, problems)
}

/// Where a factor stands.
pub(super) fn place(text: &str) -> String {
    format!("--factors {text}")
}

fn times(latency: Latency, (low, high): (f64, f64)) -> Factor {
    let what = if spread_only(latency) { "spread x" } else { "x" };
    let range = format!("{what} {low} to {high}");
    Factor { name: latency.name().to_string(), range, values: Values::Times(latency, low, high) }
}

/// One factor; or what is wrong with the text, and how to mend it.
fn factor(text: &str) -> Result<Factor, (String, String)> {
    let (name, values) = text.split_once('=').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let name = name.trim();
    if let Some(latency) = Latency::from_name(name.strip_prefix("latency.").unwrap_or(name)) {
        return latency_factor(latency, values);
    }
    let Some(values) = values else {
        let mut names: Vec<&str> = Latency::ALL.iter().map(|latency| latency.name()).collect();
        names.push(ESTIMATED);
        let what = format!("{name:?} is no latency, and no values to set it to are given");
        let hint = nearest(name, &names).map(|name| format!("did you mean {name:?}? Else {FORMS}"));
        return Err((what, hint.unwrap_or_else(|| FORMS.to_string())));
    };
    let name = full_key(name);
    let Some((low, high)) = values.split_once("..") else {
        let levels: Vec<String> = values.split('|').map(|level| level.trim().to_string()).collect();
        if levels.len() < 2 || levels.iter().any(String::is_empty) {
            return Err((format!("{name} needs at least two values"), FORMS.to_string()));
        }
        return Ok(Factor { name, range: levels.join(" | "), values: Values::Levels(levels) });
    };
    let range = format!("{} to {}", low.trim(), high.trim());
    Ok(Factor { name, range, values: ends(low.trim(), high.trim())? })
}

fn latency_factor(latency: Latency, range: Option<&str>) -> Result<Factor, (String, String)> {
    let Some(range) = range else { return Ok(times(latency, RANGE)) };
    let ends = range
        .split_once("..")
        .and_then(|(low, high)| Some((low.trim().parse::<f64>().ok()?, high.trim().parse::<f64>().ok()?)));
    match ends {
        Some((low, high)) if low > 0.0 && low < high && high <= 1e6 => Ok(times(latency, (low, high))),
        _ => Err((
            format!("{range:?} is no range to multiply a latency by"),
            format!("write {}=0.5..2: from half to twice what it is", latency.name()),
        )),
    }
}

fn ends(low: &str, high: &str) -> Result<Values, (String, String)> {
    let order = |rises: bool, values: Values| match rises {
        true => Ok(values),
        false => Err((format!("{low} is not below {high}"), "the lower end comes first".to_string())),
    };
    if let (Ok(low), Ok(high)) = (low.parse::<i64>(), high.parse::<i64>()) {
        return order(low < high, Values::Whole(low, high));
    }
    if let (Ok(low), Ok(high)) = (low.parse::<f64>(), high.parse::<f64>()) {
        return order(low < high && (high - low).is_finite(), Values::Numbers(low, high));
    }
    match (parse_seconds(low), parse_seconds(high)) {
        (Ok(low), Ok(high)) if low > 0.0 => order(low < high, Values::Seconds(low, high)),
        _ => Err((
            format!("{low:?} and {high:?} are neither two numbers nor two spans of time above 0"),
            "write KEY=1..10, KEY=0.1..0.3 or KEY=0.5 s..3 s".to_string(),
        )),
    }
}

/// Where a median of 1 is what the latency means, only how far it scatters is in doubt.
fn spread_only(latency: Latency) -> bool {
    latency.is_factor() && latency != Latency::ImageRate
}

/// A latency's law times `factor`; of a bare factor about 1, the logarithm's spread is what is multiplied.
pub(super) fn scaled(latency: Latency, law: &Distribution, factor: f64) -> Distribution {
    match law {
        Distribution::LogNormal { median, p95 } if spread_only(latency) => {
            Distribution::LogNormal { median: *median, p95: median * libm::pow(p95 / median, factor) }
        }
        law => law.scaled(factor),
    }
}

impl Factor {
    /// Its column in `points.csv`.
    pub(super) fn column(&self) -> String {
        self.name.strip_prefix("cni.env.").unwrap_or(&self.name).replace('.', "_")
    }

    /// What it is at `u` of [0, 1]: the multiplier of a latency, the value of a setting.
    pub(super) fn value(&self, u: f64) -> String {
        let place = |count: usize| ((u * count as f64) as usize).min(count - 1);
        match &self.values {
            Values::Times(_, low, high) => format!("{:.4}", between_logs(*low, *high, u)),
            Values::Seconds(low, high) => format!("{:.6} s", between_logs(*low, *high, u)),
            Values::Numbers(low, high) => format!("{:.6}", low + (high - low) * u),
            Values::Whole(low, high) => (low + place((high - low) as usize + 1) as i64).to_string(),
            Values::Levels(levels) => levels[place(levels.len())].clone(),
        }
    }

    /// Is it what `text` names?
    pub(super) fn is_named_by(&self, text: &str) -> bool {
        full_key(text.split('=').next().unwrap_or_default().trim()) == self.name
    }

    pub(super) fn change(&self, u: f64) -> Change {
        match &self.values {
            Values::Times(latency, low, high) => Change::Latency(*latency, between_logs(*low, *high, u)),
            _ => Change::Setting(format!("{}={}", self.name, self.value(u))),
        }
    }
}

fn between_logs(low: f64, high: f64, u: f64) -> f64 {
    low * libm::pow(high / low, u)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Vec<Factor>, Vec<Problem>> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_string()).collect();
        let (found, problems) = factors(&texts, &LatencyModels::compiled_in());
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    #[test]
    fn every_form_has_its_values_at_the_ends_and_between() {
        for (text, values) in [
            ("kubelet_sync", ["0.5000", "1.0000", "2.0000"]),
            ("latency.kubelet_sync=1..4", ["1.0000", "2.0000", "4.0000"]),
            ("WARM_IP_TARGET=1..10", ["1", "6", "10"]),
            ("karpenter.batch_idle=1 s..4 s", ["1.000000 s", "2.000000 s", "4.000000 s"]),
            ("karpenter.vm_memory_overhead_percent=0.0..0.1", ["0.000000", "0.050000", "0.100000"]),
            ("market=calm|tight", ["calm", "tight", "tight"]),
        ] {
            let factor = &read(&[text]).unwrap()[0];
            assert_eq!([0.0, 0.5, 1.0].map(|u| factor.value(u)), values, "{text}");
        }
        let change = read(&["WARM_IP_TARGET=1..10"]).unwrap()[0].change(0.0);
        assert_eq!(change, Change::Setting("cni.env.WARM_IP_TARGET=1".into()));
    }

    #[test]
    fn estimated_are_those_so_graded_and_a_range_typed_beside_counts() {
        let models = LatencyModels::compiled_in();
        let all = read(&["estimated", "kubelet_sync=0.1..10"]).unwrap();
        assert!(all.len() > 15 && all.iter().any(|factor| factor.name == "boot_system_al2023"));
        for factor in &all {
            let latency = Latency::from_name(&factor.name).unwrap();
            assert_eq!(models.get(latency).grade, Grade::Estimated, "{}", factor.name);
        }
        let sync: Vec<&Factor> = all.iter().filter(|factor| factor.name == "kubelet_sync").collect();
        assert!(sync.len() == 1 && sync[0].range == "x 0.1 to 10");
    }

    #[test]
    fn all_that_is_no_factor_is_told_at_once() {
        let texts =
            ["kubelet_sink", "kubelet_sync=2..1", "target_pods", "a=1..b", "a=9..1", "a=1", "a=0 s..1 s"];
        let problems = read(&texts).unwrap_err();
        assert_eq!(problems.len(), texts.len(), "{problems:#?}");
        assert!(problems[0].hint.as_ref().unwrap().contains("kubelet_sync"), "{}", problems[0]);
        assert!(problems.iter().all(|problem| problem.hint.is_some()));
    }

    #[test]
    fn a_factor_about_one_keeps_its_median() {
        let law = Distribution::LogNormal { median: 1.0, p95: 1.25 };
        let wide = Distribution::LogNormal { median: 1.0, p95: 1.5625 };
        assert_eq!(scaled(Latency::BootNodeFactor, &law, 2.0), wide);
        let twice = Distribution::LogNormal { median: 2.0, p95: 2.5 };
        assert_eq!(scaled(Latency::KubeletSync, &law, 2.0), twice);
        assert_eq!(
            scaled(Latency::ImageRate, &Distribution::Constant(50.0), 2.0),
            Distribution::Constant(100.0)
        );
    }
}
