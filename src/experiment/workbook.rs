//! `results.xlsx`: the tables as sheets of one workbook, with their columns' meanings as notes and a few charts of its own.
//! Written by a library: the format is not what this program is about.

use rust_xlsxwriter::{
    Chart, ChartType, DocProperties, ExcelDateTime, Format, Note, Workbook, Worksheet, XlsxError,
};

use super::meta::Meta;
use crate::results::tables::{Column, column_place, columns, table_place};

/// A table with more rows has no sheet: a workbook is held in memory, some 10 KB a row of the widest.
const MOST_ROWS: usize = 20_000;
/// Charts show so many cells at most; a spreadsheet's own charts can show others.
const MOST_LINES: usize = 6;
/// Height of the charts' places in rows.
const CHART_ROWS: u32 = 22;

/// The workbook of these tables, given as CSV by the order of [`crate::results::tables::TABLES`]; `timeline_rows` are those of each
/// cell's timeline. The same tables give the same bytes.
///
/// A table of more than 20,000 rows is left to its CSV.
///
/// # Errors
/// If the library fails.
pub(super) fn workbook(meta: &Meta, tables: &[String], timeline_rows: &[u64]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    // A fixed day, so that the bytes depend on the results alone.
    let created = ExcelDateTime::from_ymd(2026, 1, 1)?;
    let about = format!("kilopod {}, plan {}, seed {}", env!("CARGO_PKG_VERSION"), meta.plan_id, meta.seed);
    book.set_properties(
        &DocProperties::new().set_title(&meta.name).set_comment(&about).set_creation_datetime(&created),
    );
    // The cell's id and its labels stay text, whatever they look like; what a level sets may be a number.
    let labels = 1 + meta.factors.len();
    // What is looked at first stands first.
    let order = [
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
    for name in order {
        let index = table_place(name);
        if tables[index].lines().count() > MOST_ROWS {
            continue;
        }
        let all: Vec<Column> = meta.keys.columns.iter().cloned().chain(columns(name)).collect();
        fill(book.add_worksheet().set_name(name)?, &all, labels, &tables[index])?;
    }
    if timeline_rows.iter().sum::<u64>() < MOST_ROWS as u64 {
        charts(&mut book, meta, timeline_rows)?;
    }
    book.save_to_buffer()
}

fn fill(sheet: &mut Worksheet, all: &[Column], labels: usize, text: &str) -> Result<(), XlsxError> {
    let head = Format::new().set_bold().set_text_wrap();
    let (whole, money, number) =
        (Format::new().set_num_format("#,##0"), Format::new().set_num_format("0.00"), Format::new());
    for (place, column) in all.iter().enumerate() {
        let place = place as u16;
        sheet.write_with_format(0, place, column.name.as_str(), &head)?;
        let unit = if column.unit.is_empty() { String::new() } else { format!(" ({})", column.unit) };
        sheet.insert_note(0, place, &Note::new(format!("{}{unit}", column.meaning)).set_author("kilopod"))?;
        sheet.set_column_width(place, (column.name.len() as f64 * 0.6).clamp(9.0, 26.0))?;
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut rows = 0;
    for record in reader.records() {
        rows += 1;
        for (place, field) in record.expect("our own tables are CSV").iter().enumerate() {
            let parsed = field.parse::<f64>().ok().filter(|_| place >= labels);
            let place = place as u16;
            match parsed {
                Some(value) => {
                    let unit = all[place as usize].unit.as_str();
                    let format = match unit {
                        "usd" | "usd_per_hour" => &money,
                        _ if field.contains('.') => &number,
                        _ => &whole,
                    };
                    sheet.write_number_with_format(rows, place, value, format)?;
                }
                None if field.is_empty() => {}
                None => drop(sheet.write_string(rows, place, field)?),
            }
        }
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
    times.title().set_name("Time to the target (ms); no bar: beyond the horizon");
    // The first cell on top, as in the sheet.
    times.y_axis().set_reverse();
    let mut plane = Chart::new(ChartType::Scatter);
    let (time, waste) = (
        place(meta, "cells", "time_to_target_p95_ms"),
        place(meta, "cells", "waste_at_target_mean_addresses"),
    );
    let series = plane.add_series();
    series
        .set_name("cells")
        .set_categories(("cells", 1, time, last, time))
        .set_values(("cells", 1, waste, last, waste));
    plane.title().set_name("Waste against time");
    plane.x_axis().set_name("95th percentile of the time (ms)");
    plane.y_axis().set_name("addresses wasted at the target");
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
    pods.x_axis().set_name("ms");
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
