//! `report.html` of a study: the shares of the variance and the screening as bars beside their numbers. It needs no script.

use super::super::page::{escape, filled};
use super::study::{Screened, Shared, Study};
use crate::statistics::Effect;

const TEMPLATE: &str = include_str!("report.html");

/// The page; the same results give the same bytes.
pub(super) fn report(study: &Study, screened: &Screened, shared: &Shared) -> String {
    let (subject, options) = (&study.subject, &study.options);
    let of_cell = subject.cell.as_ref().map_or(String::new(), |cell| format!(", {cell}"));
    filled(TEMPLATE, &|name| match name {
        "title" => escape(&format!("Sensitivity of {}{of_cell}", subject.name)),
        "answer" => escape(&answer(study, shared)),
        "about" => escape(&format!(
            "{} over {} replications a point{}, seed {}; {} factors. Study {}, kilopod {}.",
            study.response.column,
            options.replications,
            study.response.remark().map_or(String::new(), |remark| format!(" ({remark})")),
            subject.seed,
            study.factors.len(),
            study.id,
            env!("CARGO_PKG_VERSION")
        )),
        "sharing" => escape(&sharing(study, shared)),
        "shares" => shares(study, shared),
        "screening" => format!(
            "Each factor is moved alone in {} trajectories through the space of all of them: mean change for its whole range.",
            options.trajectories
        ),
        "unit" => escape(unit(study)),
        "effects" => effects(study, screened),
        "still" => escape(&still(study, screened)),
        "command" => escape(&command(study)),
        "input" => escape(&toml::to_string(&subject.document.root.to_toml()).expect("what was TOML is TOML")),
        other => unreachable!("the template has no {other}"),
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn answer(study: &Study, shared: &Shared) -> String {
    let mut found: Vec<_> = shared.run.factors.iter().zip(&shared.indices).collect();
    found.sort_by(|a, b| b.1.total.estimate.total_cmp(&a.1.total.estimate));
    let Some((factor, first)) = found.first() else {
        return format!("Nothing that was varied changes {}.", study.response.column);
    };
    // An estimate may come out above the whole.
    let explained = match first.total.estimate {
        total if total > 1.0 => format!("all of the variance (estimated at {})", percent(total)),
        total => format!("{} of the variance", percent(total)),
    };
    let mut text = format!(
        "{} hangs most on {}: with its interactions it explains {explained}",
        study.response.column, study.factors[**factor].name,
    );
    if let Some((factor, next)) = found.get(1) {
        let name = &study.factors[**factor].name;
        text.push_str(&format!(", the next, {name}, {}", percent(next.total.estimate)));
    }
    text + "."
}

fn sharing(study: &Study, shared: &Shared) -> String {
    let mut text = format!(
        "Of the factors that the screening kept, varied all at once at {} points; the others stay as the scenario has them.",
        shared.run.points.len()
    );
    if let Some(noise) = shared.run.noise {
        text.push_str(&format!(
            " A total up to {} may be chance alone, at {} replications a point.",
            percent(noise.paired),
            study.options.replications
        ));
    }
    if let Some(remark) = shared.remark(study) {
        text.push_str(&format!(" Mind that {remark}."));
    }
    text
}

/// A bar from 0 and the line of an interval under it, in shares of the track.
fn bar(class: &str, to: f64) -> String {
    format!("<i{class} style=\"left:0;width:{:.2}%\"></i>", to.clamp(0.0, 1.0) * 100.0)
}
fn line(low: f64, high: f64) -> String {
    let (low, high) = (low.clamp(0.0, 1.0) * 100.0, high.clamp(0.0, 1.0) * 100.0);
    format!("<b style=\"left:{low:.2}%;width:{:.2}%\"></b>", high - low)
}

/// A row of a factor: what it is, its bars, and numbers.
fn row(study: &Study, factor: usize, bars: &str, numbers: &[String]) -> String {
    let factor = &study.factors[factor];
    let (name, varied) = (escape(&factor.name), escape(&factor.range));
    let numbers: String = numbers.iter().map(|number| format!("<td>{number}</td>")).collect();
    format!(
        "<tr><td class=\"text\">{name}<span class=\"soft\">{varied}</span></td><td class=\"bars\" aria-hidden=\"true\"><span class=\"track\">{bars}</span></td>{numbers}</tr>\n"
    )
}

fn shares(study: &Study, shared: &Shared) -> String {
    let rows = shared.run.factors.iter().zip(&shared.indices).map(|(factor, indices)| {
        let (first, total) = (indices.first, indices.total);
        let bars =
            bar(" class=\"total\"", total.estimate) + &bar("", first.estimate) + &line(total.low, total.high);
        let number = |share: crate::statistics::Share| {
            format!("{} ({} to {})", percent(share.estimate), percent(share.low), percent(share.high))
        };
        row(study, *factor, &bars, &[number(first), number(total)])
    });
    rows.collect()
}

fn effects(study: &Study, screened: &Screened) -> String {
    let end = |effect: &Effect| effect.absolute.high().unwrap_or(effect.absolute.mean);
    let most = screened.effects.iter().map(|(_, effect)| end(effect)).fold(f64::MIN_POSITIVE, f64::max);
    let moved = screened.effects.iter().filter(|(_, effect)| effect.absolute.mean > 0.0);
    let rows = moved.map(|(factor, effect)| {
        let (size, signed) = (&effect.absolute, &effect.signed);
        let class = if signed.mean > 0.0 { " class=\"up\"" } else { "" };
        let ends = size.low().zip(size.high());
        let bars = bar(class, size.mean / most)
            + &ends.map_or(String::new(), |(low, high)| line(low / most, high / most));
        let change = match ends {
            Some((low, high)) => {
                format!("{} ({} to {})", shown(study, size.mean), shown(study, low), shown(study, high))
            }
            None => shown(study, size.mean),
        };
        let spread = shown(study, signed.standard_deviation);
        row(study, *factor, &bars, &[change, shown(study, signed.mean), spread])
    });
    rows.collect()
}

/// Seconds where the measure has milliseconds.
fn shown(study: &Study, raw: f64) -> String {
    match study.response.unit {
        "ms" => format!("{:.1}", raw / 1e3),
        _ => study.response.print(raw),
    }
}
fn unit(study: &Study) -> &str {
    match study.response.unit {
        "" => "1",
        "ms" => "s",
        unit => unit,
    }
}

fn still(study: &Study, screened: &Screened) -> String {
    let still: Vec<&str> = screened
        .effects
        .iter()
        .filter(|(_, effect)| effect.absolute.mean <= 0.0)
        .map(|(factor, _)| study.factors[*factor].name.as_str())
        .collect();
    if still.is_empty() { String::new() } else { format!("Without any effect: {}.", still.join(", ")) }
}

fn command(study: &Study) -> String {
    let options = &study.options;
    format!(
        "kilopod sensitivity scenario.toml --measure {} --factors '{}' --trajectories {} --samples {} --replications {} --seed {}",
        options.measure,
        options.factors.join(","),
        options.trajectories,
        options.samples,
        options.replications,
        study.subject.seed
    )
}
