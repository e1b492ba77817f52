//! `report.html`: the sweep as one page that needs nothing else. The table stands in the page itself; charts are drawn by
//! a script in it from the same figures. Inline SVG rather than an embedded charting library: the five charts need less
//! script than the smallest library brings, print well, and take the page's own colours.

use serde_json::{Value, json};

use super::meta::{Meta, file_of};
use super::page::{escape, filled};
use super::runs::{Columns, Runs};
use super::sweep::Finished;
use crate::results::rows::CellSummary;
use crate::results::tables::column_place;

const TEMPLATE: &str = include_str!("report.html");

/// The page; `cells` and `best` (is the cell not dominated?) in the plan's order.
pub(super) fn report(
    meta: &Meta,
    cells: &[Finished],
    best: &[bool],
    columns: &Columns,
    runs: &[Option<Runs>],
    effects: &str,
) -> String {
    let about = format!(
        "{} cells of {}{} replications, seed {}; horizon {} s. Plan {}, kilopod {}.",
        cells.len(),
        if meta.precision.is_some() { "at most " } else { "" },
        meta.replications,
        meta.seed,
        meta.horizon_ms / 1_000,
        meta.plan_id,
        env!("CARGO_PKG_VERSION")
    );
    let file = file_of(&meta.name);
    filled(TEMPLATE, &|name| match name {
        "title" => escape(&meta.name),
        "answer" => escape(&answer(meta, cells)),
        "about" => escape(&about),
        "head" => head(meta),
        "rows" => table_rows(meta, cells, best),
        "file" => escape(&file),
        "command" => escape(&format!("kilopod sweep {file}")),
        "input" => escape(&meta.input),
        // Nothing in the figures may end the script.
        "data" => data(meta, cells, best, columns, runs, effects).to_string().replace("</", "<\\/"),
        other => unreachable!("the template has no {other}"),
    })
}

/// How many cells get there, and which is the fastest of those that always do.
fn answer(meta: &Meta, cells: &[Finished]) -> String {
    let always = |cell: &&(usize, &CellSummary)| cell.1.reached == cell.1.replications;
    let summaries: Vec<(usize, &CellSummary)> = cells.iter().map(|cell| &cell.summary).enumerate().collect();
    let sure: Vec<&(usize, &CellSummary)> = summaries.iter().filter(always).collect();
    let never = summaries.iter().filter(|(_, cell)| cell.reached == 0).count();
    let Some((place, fastest)) = sure.iter().min_by_key(|(_, cell)| cell.p50[0].unwrap_or(u64::MAX)) else {
        return format!(
            "None of {} cells brings all {} pods up in every run; {never} never do.",
            cells.len(),
            meta.target_pods
        );
    };
    format!(
        "{} of {} cells bring all {} pods up in every run, {never} in none. The fastest of these is {} ({}): half of its runs are there \
         after {} s, with {:.0} addresses wasted and {:.2} USD spent.",
        sure.len(),
        cells.len(),
        meta.target_pods,
        meta.cell_ids[*place],
        meta.labels[*place].join(", "),
        fastest.p50[0].map_or_else(|| "?".into(), |ms| format!("{:.0}", ms as f64 / 1e3)),
        fastest.waste,
        fastest.cost_to_target_usd
    )
}

const NUMBERS: [&str; 9] = [
    "reached",
    "ready",
    "time, median (s)",
    "time, p95 (s)",
    "nodes",
    "waste",
    "least free",
    "USD to target",
    "USD/h",
];

fn head(meta: &Meta) -> String {
    let button = |class: &str, name: &str| {
        format!("<th scope=\"col\"{class}><button type=\"button\">{}</button></th>", escape(name))
    };
    let texts = ["cell"].into_iter().chain(meta.factors.iter().map(String::as_str));
    texts
        .map(|name| button(" class=\"text\"", name))
        .chain(NUMBERS.iter().map(|name| button("", name)))
        .collect()
}

/// For the eye, and for those who listen.
const STAR: &str = " <span class=\"star\" aria-hidden=\"true\">\u{2605}</span><span class=\"hidden\">no other is better</span>";

fn table_rows(meta: &Meta, cells: &[Finished], best: &[bool]) -> String {
    let mut text = String::new();
    for (place, (cell, best)) in cells.iter().zip(best).enumerate() {
        let (id, s) = (&meta.cell_ids[place], &cell.summary);
        let (class, star) = if *best { (" class=\"best\"", STAR) } else { ("", "") };
        text.push_str(&format!(
            "<tr{class}><td class=\"text\"><label><input type=\"checkbox\" value=\"{id}\"> {id}</label>{star}</td>"
        ));
        for label in &meta.labels[place] {
            text.push_str(&format!("<td class=\"text\">{}</td>", escape(label)));
        }
        let share = 100.0 * s.reached as f64 / s.replications.max(1) as f64;
        let mut number = |value: f64, shown: String| {
            text.push_str(&format!("<td data-v=\"{value}\">{}</td>", escape(&shown)));
        };
        // As in the terminal: what is not all is not 100 %.
        number(share, format!("{} %", share.floor()));
        number(s.pods_ready, format!("{:.0}", s.pods_ready));
        for three in [&s.p50, &s.p95] {
            number(three[0].map_or(f64::MAX, |ms| ms as f64), instant(three, meta.horizon_ms));
        }
        number(s.nodes, format!("{:.0}", s.nodes));
        number(s.waste, format!("{:.0}", s.waste));
        number(s.least_free as f64, s.least_free.to_string());
        number(s.cost_to_target_usd, format!("{:.2}", s.cost_to_target_usd));
        number(s.cost_per_hour_usd, format!("{:.2}", s.cost_per_hour_usd));
        text.push_str("</tr>\n");
    }
    text
}

fn instant(three: &[Option<u64>; 3], horizon_ms: u64) -> String {
    let seconds = |ms: u64| format!("{:.0}", ms as f64 / 1e3);
    let end = |ms: Option<u64>| ms.map_or("?".into(), seconds);
    match three[0] {
        None => format!("> {}", horizon_ms / 1_000),
        Some(at) => format!("{} ({}\u{2013}{})", seconds(at), end(three[1]), end(three[2])),
    }
}

/// What the charts are drawn of.
fn data(
    meta: &Meta,
    cells: &[Finished],
    best: &[bool],
    columns: &Columns,
    runs: &[Option<Runs>],
    effects: &str,
) -> Value {
    let keys = meta.keys.columns.len();
    let places = SERIES.map(|(_, column)| keys + column_place("timeline", column));
    let time = columns.place("time_to_target");
    let of_cell = |(place, cell): (usize, &Finished)| {
        let timeline = cell.rows.records("timeline");
        let s = &cell.summary;
        let times = runs[place].as_ref().map_or(Vec::new(), |runs| thinned(&runs.values[time]));
        let mut told = json!({
            "id": meta.cell_ids[place], "labels": meta.labels[place], "best": best[place], "n": s.replications,
            "reached": s.reached, "p50": s.p50, "p95": s.p95, "waste": s.waste, "usd": s.cost_to_target_usd,
            "times": times,
        });
        for ((name, _), column) in SERIES.iter().zip(places) {
            let value = |row: &csv::StringRecord| row[column].parse::<u64>().unwrap_or_default();
            told[*name] = timeline.iter().map(value).collect();
        }
        told
    };
    json!({
        "horizon_ms": meta.horizon_ms, "factors": meta.factors,
        "cells": cells.iter().enumerate().map(of_cell).collect::<Vec<Value>>(),
        "effects": main_effects(meta, effects),
    })
}

/// Name in the page's figures and column of `timeline.csv`.
const SERIES: [(&str, &str); 7] = [
    ("t", "time_ms"),
    ("ready5", "ready_p5_pods"),
    ("ready50", "ready_p50_pods"),
    ("ready95", "ready_p95_pods"),
    ("attached", "attached_p50_addresses"),
    ("assigned", "assigned_p50_addresses"),
    ("free", "free_p50_addresses"),
];

/// A curve of more steps looks the same.
const MOST_TIMES: usize = 1_000;

/// Times in rising order; of many, one of so many each.
fn thinned(values: &[Option<f64>]) -> Vec<u64> {
    let mut times: Vec<u64> = values.iter().flatten().map(|ms| *ms as u64).collect();
    times.sort_unstable();
    let kept = times.len().min(MOST_TIMES);
    (1..=kept).map(|rank| times[rank * times.len() / kept - 1]).collect()
}

/// The rows of `effects.csv` as the page draws them: of each measure and term its share and its levels' effects.
fn main_effects(meta: &Meta, effects: &str) -> Vec<Value> {
    let place = |name: &str| meta.keys.columns.len() + column_place("effects", name);
    let columns = ["measure", "unit", "term", "levels", "effect", "variance_share_ppm"].map(place);
    let mut terms: Vec<Value> = Vec::new();
    for row in csv::ReaderBuilder::new().has_headers(false).from_reader(effects.as_bytes()).records() {
        let row = row.expect("our own rows are CSV");
        let [measure, unit, term, levels, effect, share] = columns.map(|place| &row[place]);
        let number = |text: &str| text.parse::<f64>().ok();
        if terms.last().is_none_or(|last| last["measure"] != measure || last["term"] != term) {
            terms.push(json!({
                "measure": measure, "unit": unit, "term": term, "share": number(share), "levels": [], "effects": [],
            }));
        }
        let last = terms.last_mut().expect("one was put there");
        for (list, value) in [("levels", json!(levels)), ("effects", json!(number(effect)))] {
            last[list].as_array_mut().expect("it is a list").push(value);
        }
    }
    terms
}
