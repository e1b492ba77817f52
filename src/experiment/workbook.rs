//! `results.xlsx`: the tables as sheets of one workbook, with their columns' meanings as notes and a few charts of its own.
//! Written by a library: the format is not what this program is about.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rust_xlsxwriter::{
    Chart, ChartMarker, ChartMarkerType, ChartType, DocProperties, ExcelDateTime, Format, Note, Workbook,
    Worksheet, XlsxError,
};

use super::folder::{FolderError, trouble};
use super::meta::Meta;
use crate::results::tables::{Column, ColumnType, TABLES, column_place, columns};

/// A table of more fields has no sheet: a workbook is held in memory, some 100 bytes a field.
const MOST_FIELDS: u64 = 1_600_000;
/// Charts show so many cells at most; a spreadsheet's own charts can show others.
const MOST_LINES: usize = 6;
/// Milliseconds as seconds: the comma behind divides by a thousand.
const SECONDS: &str = "#,##0,";
/// Height of the charts' places in rows.
const CHART_ROWS: u32 = 22;

/// A table as a sheet.
pub(super) type Sheet = Worksheet;

/// The sheet of a table with so many rows; `text` is asked for its CSV. `None` of a table that is too large, which is left to
/// its CSV.
pub(super) fn sheet(
    meta: &Meta,
    name: &str,
    rows: u64,
    text: impl FnOnce() -> Result<Vec<u8>, FolderError>,
) -> Result<Option<Sheet>, FolderError> {
    let all: Vec<Column> = meta.keys.columns.iter().cloned().chain(columns(name)).collect();
    if rows * all.len() as u64 > MOST_FIELDS {
        return Ok(None);
    }
    let text = text()?;
    // The cell's id and its labels stay text, whatever they look like; what a level sets may be a number.
    let labels = 1 + meta.factors.len();
    let mut sheet = Worksheet::new();
    let keys = labels..meta.keys.columns.len();
    let filled = sheet.set_name(name).map(drop).and_then(|()| fill(&mut sheet, &all, keys, &text));
    filled.map(|()| Some(sheet)).map_err(|error| trouble(Path::new(name), io::Error::other(error)))
}

/// The workbook of these sheets, by table; `timeline_rows` are those of each cell's timeline. The same tables give the same bytes.
///
/// # Errors
/// If the library fails.
pub(super) fn workbook(
    meta: &Meta,
    sheets: Vec<(&str, Sheet)>,
    timeline_rows: &[u64],
) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    // A fixed day, so that the bytes depend on the results alone.
    let created = ExcelDateTime::from_ymd(2026, 1, 1)?;
    let about = format!("kilopod {}, plan {}, seed {}", env!("CARGO_PKG_VERSION"), meta.plan_id, meta.seed);
    book.set_properties(
        &DocProperties::new().set_title(&meta.name).set_comment(&about).set_creation_datetime(&created),
    );
    // A quarter of the usual level's instructions; thousand-pods' sheets, 9.2 MB as XML, come to 1.76 MB instead of 1.03.
    book.set_zip_compression_level(1);
    let has = |name| sheets.iter().any(|(known, _)| *known == name);
    let charted = has("cells") && has("timeline");
    let mut sheets: BTreeMap<usize, Sheet> = sheets
        .into_iter()
        .map(|(name, sheet)| (ORDER.iter().position(|known| *known == name).expect("a table"), sheet))
        .collect();
    while let Some((_, sheet)) = sheets.pop_first() {
        book.push_worksheet(sheet);
    }
    if charted {
        charts(&mut book, meta, timeline_rows)?;
    }
    book.save_to_buffer()
}

/// What is looked at first stands first.
const ORDER: [&str; TABLES.len()] = [
    "cells",
    "replications",
    "subnets",
    "nodes",
    "ec2_calls",
    "timeline",
    "comparisons",
    "effects",
    "failures",
];

/// How wide a column is at least and at most, in digits.
const WIDTHS: (f64, f64) = (9.0, 40.0);

/// `keys` are the places of what levels set.
fn fill(
    sheet: &mut Worksheet,
    all: &[Column],
    keys: std::ops::Range<usize>,
    text: &[u8],
) -> Result<(), XlsxError> {
    let head = Format::new().set_bold().set_text_wrap();
    let (whole, money) = (Format::new().set_num_format("#,##0"), Format::new().set_num_format("0.00"));
    for (place, column) in all.iter().enumerate() {
        // Of the column, not of each field: a format is looked up for as long as ten numbers take.
        match (column.kind, column.unit.as_str()) {
            (ColumnType::Integer, _) => drop(sheet.set_column_format(place as u16, &whole)?),
            (_, "usd" | "usd_per_hour") => drop(sheet.set_column_format(place as u16, &money)?),
            _ => {}
        }
        let place = place as u16;
        sheet.write_with_format(0, place, column.name.as_str(), &head)?;
        let unit = if column.unit.is_empty() { String::new() } else { format!(" ({})", column.unit) };
        sheet.insert_note(0, place, &Note::new(format!("{}{unit}", column.meaning)).set_author("kilopod"))?;
    }
    // A name goes over two lines, but for one that is a single word.
    let of_name = |column: &Column| {
        let lines = if column.name.contains('_') { 0.6 } else { 1.2 };
        (column.name.len() as f64 * lines).min(26.0)
    };
    let mut widths: Vec<f64> = all.iter().map(of_name).collect();
    let is_number = |place: usize| keys.contains(&place) || all[place].kind != ColumnType::Text;
    let is_number: Vec<bool> = (0..all.len()).map(is_number).collect();
    let mut reader = csv::Reader::from_reader(text);
    let mut record = csv::StringRecord::new();
    let mut rows = 0;
    while reader.read_record(&mut record).expect("our own tables are CSV") {
        rows += 1;
        for (place, field) in record.iter().enumerate().filter(|(_, field)| !field.is_empty()) {
            let number = if is_number[place] { field.parse::<f64>().ok() } else { None };
            match number {
                Some(value) => sheet.write_number(rows, place as u16, value)?,
                None => {
                    widths[place] = widths[place].max(field.len() as f64);
                    sheet.write_string(rows, place as u16, field)?
                }
            };
        }
    }
    for (place, width) in (0..).zip(widths) {
        sheet.set_column_width(place, width.clamp(WIDTHS.0, WIDTHS.1))?;
    }
    sheet.set_freeze_panes(1, 1)?;
    sheet.autofilter(0, 0, rows, all.len() as u16 - 1)?;
    Ok(())
}

/// The place of a column in a sheet.
fn place(meta: &Meta, table: &str, name: &str) -> u16 {
    (meta.keys.columns.len() + column_place(table, name)) as u16
}

fn charts(book: &mut Workbook, meta: &Meta, timeline_rows: &[u64]) -> Result<(), XlsxError> {
    let last = meta.cell_ids.len() as u32;
    let mut times = Chart::new(ChartType::Bar);
    for (name, column) in [("median", "time_to_target_p50_ms"), ("95th percentile", "time_to_target_p95_ms")]
    {
        let column = place(meta, "cells", column);
        let series = times.add_series();
        series
            .set_name(name)
            .set_categories(("cells", 1, 0, last, 0))
            .set_values(("cells", 1, column, last, column));
    }
    times.title().set_name("Time to the target (s); no bar: beyond the horizon");
    // The first cell on top, as in the sheet.
    times.y_axis().set_reverse();
    times.x_axis().set_min(0).set_num_format(SECONDS);
    let mut plane = Chart::new(ChartType::Scatter);
    let (time, waste) = (
        place(meta, "cells", "time_to_target_p95_ms"),
        place(meta, "cells", "waste_at_target_mean_addresses"),
    );
    let series = plane.add_series();
    series
        .set_name("cells")
        .set_categories(("cells", 1, time, last, time))
        .set_values(("cells", 1, waste, last, waste))
        .set_marker(ChartMarker::new().set_type(ChartMarkerType::Circle).set_size(6));
    plane.title().set_name("Waste against time");
    plane.x_axis().set_name("95th percentile of the time (s)").set_num_format(SECONDS);
    plane.y_axis().set_name("addresses wasted at the target").set_num_format("#,##0");
    plane.legend().set_hidden();
    let mut pods = Chart::new(ChartType::ScatterStraight);
    let (time, ready) = (place(meta, "timeline", "time_ms"), place(meta, "timeline", "ready_p50_pods"));
    let mut first = 1;
    let drawn = timeline_rows.iter().enumerate().filter(|(_, rows)| **rows > 0);
    for (cell, rows) in drawn.take(MOST_LINES) {
        let end = first + *rows as u32 - 1;
        let name = format!("{} {}", meta.cell_ids[cell], meta.labels[cell].join(", "));
        let series = pods.add_series();
        series
            .set_name(&name)
            .set_categories(("timeline", first, time, end, time))
            .set_values(("timeline", first, ready, end, ready));
        first = end + 1;
    }
    pods.title().set_name("Pods Ready over time, medians of the first cells");
    pods.x_axis().set_name("s").set_num_format(SECONDS);
    pods.set_width(720).set_height(CHART_ROWS * 20);
    let height = (u32::max(last, 15) * 18).min(2_000);
    times.set_width(720).set_height(height);
    plane.set_width(720).set_height(CHART_ROWS * 20);
    let sheet = book.add_worksheet().set_name("charts")?;
    sheet.insert_chart(0, 0, &plane)?;
    sheet.insert_chart(0, 12, &pods)?;
    sheet.insert_chart(CHART_ROWS + 2, 0, &times)?;
    Ok(())
}
