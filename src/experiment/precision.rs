//! `[precision]`: cells go on until what is asked of them is known well enough.

use super::estimand::Estimand;
use crate::input::{Node, Origin, Problems, Section, Value};
use crate::results::gathered::Gathered;

/// Replications of a cell at most, unless the experiment says.
const MOST_REPLICATIONS: u32 = 2_048;

/// How well a cell is to be known.
#[derive(Clone, Debug)]
pub struct Precision {
    /// Half of the 95 % interval over the estimate, at most.
    pub target: f64,
    pub of: Estimand,
}

/// Why a cell has as many replications as it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoppedBy {
    /// It had all that were asked for.
    #[default]
    Replications,
    /// It was known well enough.
    Precision,
    /// The time that the user gave was over.
    Time,
}

impl StoppedBy {
    pub const fn name(self) -> &'static str {
        match self {
            StoppedBy::Replications => "replications",
            StoppedBy::Precision => "precision",
            StoppedBy::Time => "time",
        }
    }
}

/// `5 %` as 0.05.
///
/// # Errors
/// If it is no share in per cent.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(number) if number > 0.0 && number < 100.0 => Ok(number / 100.0),
        _ => Err(format!("{text:?} is no precision: write it in per cent, such as \"5 %\"")),
    }
}

impl Precision {
    pub(super) fn is_met(&self, gathered: &Gathered) -> bool {
        self.of.is_narrow(gathered, self.target)
    }
    /// `5 %`
    pub fn target_text(&self) -> String {
        // A share that was read from per cent goes back to what was written: 0.05 * 100 is 5.000...1.
        let number = format!("{:.6}", self.target * 100.0);
        format!("{} %", number.trim_end_matches('0').trim_end_matches('.'))
    }
    /// As a section of an experiment, with the replications at most.
    pub(super) fn to_node(&self, most: u32, like: &Node) -> Node {
        let node = |value| Node { value, ..like.clone() };
        let entries = [
            ("target", Value::Text(self.target_text())),
            ("measure", Value::Text(self.of.column())),
            ("replications", Value::Integer(i64::from(most))),
        ];
        node(Value::Table(entries.map(|(key, value)| (key.to_string(), node(value))).to_vec()))
    }
}

/// The experiment's precision, and replications at most; what is typed goes first.
pub(super) fn read(
    root: &mut Section<'_>,
    typed: &super::design::Overrides,
    problems: &mut Problems,
) -> Option<(Precision, u32)> {
    let mut section = root.section("precision", problems);
    let mut from_file = (None, None, None);
    if let Some(section) = &mut section {
        let text = section.text("target", problems);
        let target = text.map(|text| parse_share(&text));
        match target {
            Some(Ok(target)) => from_file.0 = Some(target),
            Some(Err(what)) => problems.add(section.origin_of("target"), &section.key("target"), what, None),
            None => {
                let hint = Some("write target = \"5 %\"".to_string());
                problems.add(
                    section.origin_of("target"),
                    &section.key("target"),
                    "how well is a cell to be known?",
                    hint,
                );
            }
        }
        from_file.1 = section.text("measure", problems);
        from_file.2 = section.whole("replications", 2, 10_000_000, problems);
    }
    let in_file = section.as_ref().map_or(root.origin(), |section| section.origin_of("measure"));
    let typed_measure = typed.measure.as_ref().map(|name| Origin::Argument(format!("--measure {name}")));
    let origin = typed_measure.as_ref().unwrap_or(in_file);
    if let Some(section) = section {
        section.finish(problems);
    }
    let measure = typed.measure.clone().or(from_file.1);
    let of = match measure.as_deref().map(Estimand::named) {
        None => Estimand::default(),
        Some(Ok(of)) => of,
        Some(Err((what, hint))) => {
            problems.add(origin, "precision.measure", what, Some(hint));
            return None;
        }
    };
    let target = typed.precision.or(from_file.0);
    if target.is_none() && typed.measure.is_some() {
        let what = "--measure names what is to be known well, but nothing says how well";
        problems.add(origin, "precision.target", what, Some("add --precision 5%".to_string()));
    }
    let most = typed.replications.or(from_file.2).unwrap_or(MOST_REPLICATIONS);
    Some((Precision { target: target?, of }, most))
}
