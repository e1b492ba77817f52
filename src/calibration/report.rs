//! The fit of the spot market as a page: laws, how well they fit, what they miss, and what is committed beside them.

use std::fmt::Write;

use super::advisor;
use super::depth::{self, Partial};
use super::episodes::{Family, Fit, Law, REGION_95, median, percentile};
use super::traces::{Episode, Series};
use super::zones;
use crate::catalogue::Catalogue;
use crate::units::text::parse_seconds;

/// What is fitted, and what stands in `models/capacity.toml`.
pub struct Inputs<'a> {
    pub traces: &'a [Series],
    pub partial: &'a [Partial],
    /// Types by band of the spot advisor, all regions together.
    pub bands: [u32; 5],
    pub capacity: &'a toml::Table,
    pub catalogue: &'a Catalogue,
}

/// A committed figure that the data reject, in a sentence.
pub type Finding = String;

/// Episodes of one class of types one way, with their fits.
struct Fitted {
    class: &'static str,
    way: &'static str,
    episodes: Vec<Episode>,
    fits: [Fit; 3],
    committed: Law,
}

const CLASSES: [&str; 2] = ["cpu", "gpu"];
const WAYS: [&str; 2] = ["up", "down"];

/// The page in Markdown, and what of the committed figures the data reject.
///
/// # Errors
/// Sentences on traces that fill no class, on types that the catalogue does not know.
pub fn report(inputs: &Inputs<'_>) -> Result<(String, Vec<Finding>), Vec<String>> {
    let classes = classes(inputs)?;
    let fitted: Vec<Fitted> = classes
        .iter()
        .zip(CLASSES)
        .flat_map(|(series, class)| WAYS.map(|way| fitted(inputs.capacity, series, class, way)))
        .collect();
    let mut page = String::from(
        "# The spot market's parameters and the traces\n\nPrinted by `kilopod fit-spot`; a test holds it to what \
         that prints. README.md says what the columns mean.\n",
    );
    let mut findings = committed(&mut page, &fitted);
    families(&mut page, &fitted);
    shares(&mut page, &fitted);
    findings.extend(together(&mut page, inputs.capacity, &classes, &fitted));
    missed(&mut page, &classes);
    filled(&mut page, inputs.partial);
    bands(&mut page, inputs);
    Ok((page, findings))
}

/// Watchers of one instance each, of types without and with GPUs.
fn classes<'a>(inputs: &Inputs<'a>) -> Result<[Vec<&'a Series>; 2], Vec<String>> {
    let (mut classes, mut problems) = ([Vec::new(), Vec::new()], Vec::new());
    for series in inputs.traces.iter().filter(|series| series.nodes_requested == 1) {
        match inputs.catalogue.find(&series.instance_type) {
            Some(id) => classes[usize::from(inputs.catalogue.get(id).gpu_count > 0)].push(series),
            None => problems.push(format!("{:?} is not an instance type", series.instance_type)),
        }
    }
    for (series, class) in classes.iter().zip(CLASSES) {
        let whole = |up| series.iter().flat_map(|one| one.episodes(up)).filter(|one| !one.cut).count();
        if whole(true).min(whole(false)) < 20 {
            problems.push(format!(
                "class {class}: fewer than 20 whole episodes of a kind; a fit needs traces of single instances of both classes"
            ));
        }
    }
    if problems.is_empty() { Ok(classes) } else { Err(problems) }
}

fn fitted(capacity: &toml::Table, series: &[&Series], class: &'static str, way: &'static str) -> Fitted {
    let episodes: Vec<Episode> = series.iter().flat_map(|one| one.episodes(way == "up")).collect();
    let entry = &capacity["spot"][class];
    let scale_s = entry[format!("{way}_median").as_str()].as_str().and_then(|text| parse_seconds(text).ok());
    let committed = Law {
        family: Family::LogNormal,
        scale_s: scale_s.expect("models/capacity.toml has a span"),
        shape: entry[format!("{way}_sigma").as_str()].as_float().expect("models/capacity.toml has a number"),
    };
    Fitted { class, way, fits: Family::ALL.map(|family| family.fit(&episodes)), episodes, committed }
}

fn minutes(seconds: f64) -> String {
    format!("{:.1}", seconds / 60.0)
}

fn heading(page: &mut String, title: &str, columns: &str) {
    let rule = "--- | ".repeat(columns.matches('|').count() + 1);
    let _ = write!(page, "\n## {title}\n\n| {columns} |\n| {}\n", rule.trim_end());
}

/// The committed laws beside the likeliest; those outside the 95 % region come back.
fn committed(page: &mut String, fitted: &[Fitted]) -> Vec<Finding> {
    heading(
        page,
        "Committed and likeliest",
        "class | way | median committed, min | likeliest, min | sigma committed | likeliest | deviance | bound",
    );
    let mut findings = Vec::new();
    for one in fitted {
        let (law, best) = (one.committed, one.fits[0]);
        let deviance = 2.0 * (best.log_likelihood - law.log_likelihood(&one.episodes));
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {:.2} | {:.2} | {deviance:.1} | {REGION_95:.1} |",
            one.class,
            one.way,
            minutes(law.scale_s),
            minutes(best.law.scale_s),
            law.shape,
            best.law.shape,
        );
        if deviance > REGION_95 {
            findings.push(format!(
                "spot.{}: {} times of median {} min and sigma {:.2} are rejected (deviance {deviance:.1}, at most \
                 {REGION_95:.1}); likeliest are {} min and {:.2}",
                one.class,
                one.way,
                minutes(law.scale_s),
                law.shape,
                minutes(best.law.scale_s),
                best.law.shape,
            ));
        }
    }
    findings
}

fn families(page: &mut String, fitted: &[Fitted]) {
    heading(
        page,
        "Families",
        "class | way | episodes | family | scale, min | shape | mean, min | log-likelihood | distance",
    );
    for one in fitted {
        for fit in &one.fits {
            let law = fit.law;
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {:.2} | {} | {:.1} | {:.3} |",
                one.class,
                one.way,
                one.episodes.len(),
                law.family.name(),
                minutes(law.scale_s),
                law.shape,
                minutes(law.mean_s()),
                fit.log_likelihood,
                law.distance(&one.episodes),
            );
        }
    }
}

/// What was counted beside what the committed laws say.
fn shares(page: &mut String, fitted: &[Fitted]) {
    heading(
        page,
        "Counted and committed",
        "class | way | p50 counted, min | p95 counted | mean counted | p95 committed | mean committed | share of time counted | committed",
    );
    for pair in fitted.chunks(2) {
        let total = |one: &Fitted| one.episodes.iter().map(|episode| episode.seen_s).sum::<f64>();
        let (time, mean) =
            (pair.iter().map(total).sum::<f64>(), pair.iter().map(|one| one.committed.mean_s()).sum::<f64>());
        for one in pair {
            let whole: Vec<f64> = one.episodes.iter().filter(|e| !e.cut).map(|e| e.seen_s).collect();
            let law = one.committed;
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} | {:.3} | {:.3} |",
                one.class,
                one.way,
                minutes(median(&one.episodes)),
                minutes(percentile(&one.episodes, 95)),
                minutes(whole.iter().sum::<f64>() / whole.len() as f64),
                minutes(law.scale_s * libm::exp(law.shape * crate::chance::normal_quantile(0.95))),
                minutes(law.mean_s()),
                total(one) / time,
                law.mean_s() / mean,
            );
        }
    }
}

/// How zones of a region go together, and what lags give that; those beyond twice the counted error come back.
fn together(
    page: &mut String,
    capacity: &toml::Table,
    classes: &[Vec<&Series>; 2],
    fitted: &[Fitted],
) -> Vec<Finding> {
    heading(
        page,
        "Zones of a region",
        "class | pairs | correlation counted | error | committed | lag committed, min | likeliest, min",
    );
    let mut findings = Vec::new();
    for ((series, class), laws) in classes.iter().zip(CLASSES).zip(fitted.chunks(2)) {
        let Some(counted) = zones::counted(series) else { continue };
        let (up, down) = (&laws[0].committed, &laws[1].committed);
        let lag = capacity["spot"][class]["zone_lag"].as_str().and_then(|text| parse_seconds(text).ok());
        let lag = lag.expect("models/capacity.toml has a span");
        let committed = zones::correlation(up, down, lag);
        let likeliest = minutes(zones::likeliest_lag(up, down, counted.correlation));
        let _ = writeln!(
            page,
            "| {class} | {} | {:.3} | {:.3} | {committed:.3} | {} | {likeliest} |",
            counted.pairs,
            counted.correlation,
            counted.error,
            minutes(lag),
        );
        if (committed - counted.correlation).abs() > 2.0 * counted.error {
            findings.push(format!(
                "spot.{class}: lags of {} min make zones go together by {committed:.3}, where {:.3} was counted (error {:.3}); \
                 likeliest is {likeliest} min",
                minutes(lag),
                counted.correlation,
                counted.error,
            ));
        }
    }
    findings
}

/// What independent episodes of one law for all pools of a class leave out.
fn missed(page: &mut String, classes: &[Vec<&Series>; 2]) {
    heading(
        page,
        "What the laws miss",
        "class | series | medians of single series up, min | down, min | next to next | after next",
    );
    for (series, class) in classes.iter().zip(CLASSES) {
        let range = |up: bool| {
            let mut medians: Vec<f64> = series.iter().map(|one| median(&one.episodes(up))).collect();
            medians.sort_by(f64::total_cmp);
            format!("{} to {}", minutes(medians[0]), minutes(medians[medians.len() - 1]))
        };
        let together = |text: Option<f64>| text.map_or("-".to_string(), |value| format!("{value:.2}"));
        let _ = writeln!(
            page,
            "| {class} | {} | {} | {} | {} | {} |",
            series.len(),
            range(true),
            range(false),
            together(neighbours(series, 1)),
            together(neighbours(series, 2)),
        );
    }
}

/// Correlation of the logarithms of an episode and the one so many later, within series and ways.
fn neighbours(series: &[&Series], apart: usize) -> Option<f64> {
    let mut centred = Vec::new();
    for one in series {
        for way in [true, false] {
            let pairs: Vec<(f64, f64)> = one
                .neighbours(apart)
                .filter(|(.., up)| *up == way)
                .map(|(first, second, _)| (libm::log(first), libm::log(second)))
                .collect();
            let count = pairs.len().max(1) as f64;
            let first = pairs.iter().map(|pair| pair.0).sum::<f64>() / count;
            let second = pairs.iter().map(|pair| pair.1).sum::<f64>() / count;
            centred.extend(pairs.iter().map(|pair| (pair.0 - first, pair.1 - second)));
        }
    }
    correlation(&centred)
}

/// Of pairs whose means are 0.
pub(super) fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let spread = (sum(|(x, _)| x * x) * sum(|(_, y)| y * y)).sqrt();
    (spread > 0.0).then(|| sum(|(x, y)| x * y) / spread)
}

fn filled(page: &mut String, partial: &[Partial]) {
    heading(page, "Several at once", "instances asked for | watchers | share there while one was");
    let mut sizes: Vec<u32> = partial.iter().map(|row| row.nodes_requested).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let watchers = partial.iter().filter(|row| row.nodes_requested == size).count();
        let _ = writeln!(page, "| {size} | {watchers} | {:.3} |", depth::filled(partial, size).share);
    }
}

fn bands(page: &mut String, inputs: &Inputs<'_>) {
    heading(
        page,
        "Advisor bands",
        "monthly interruptions | types | share | share by the law | mean by the law | committed",
    );
    let fit = advisor::fit(inputs.bands);
    let total: u32 = inputs.bands.iter().sum();
    let committed = inputs.capacity["spot"]["hazard"]["monthly"].as_array();
    let names = ["below 5 %", "5 to 10 %", "10 to 15 %", "15 to 20 %", "above 20 %"];
    for (band, name) in names.iter().enumerate() {
        let monthly = committed.and_then(|list| list.get(band)).and_then(toml::Value::as_float);
        let _ = writeln!(
            page,
            "| {name} | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
            inputs.bands[band],
            f64::from(inputs.bands[band]) / f64::from(total),
            fit.shares[band],
            fit.means[band],
            monthly.expect("models/capacity.toml has a share for each band"),
        );
    }
    let _ = writeln!(
        page,
        "\nThe law over pools: log-normal, median {:.3}, sigma {:.2}, cut at 1.",
        fit.median, fit.sigma
    );
}
