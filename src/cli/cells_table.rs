//! The cells of a sweep as the terminal's table.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::experiment::{Finished, Meta};

/// `161.6 s (158.2 to 163.0)`.
fn instant(three: &[Option<u64>; 3], horizon: &str) -> String {
    let seconds = |ms: u64| format!("{:.0}", ms as f64 / 1e3);
    match three {
        [None, ..] => format!("> {horizon}"),
        [Some(at), low, high] => {
            let low = low.map_or("?".to_string(), seconds);
            format!("{} s ({low} to {})", seconds(*at), high.map_or("?".to_string(), seconds))
        }
    }
}

/// How cells came by their replications.
pub enum Work {
    /// So many were run now; the others were kept by a sweep that was interrupted.
    Ran { replications: u64, took: Duration },
    /// All were run before.
    ReadBack,
    /// All were run as so many parts of a sweep.
    Merged(usize),
}

impl Work {
    /// `9600 replications in 50.2 s, 191 a second`, of all that the cells have.
    fn told(&self, all: u64) -> String {
        let each = |count: u64, took: &Duration| {
            let seconds = took.as_secs_f64();
            format!("in {seconds:.1} s, {:.0} a second", count as f64 / seconds)
        };
        match self {
            Work::ReadBack => format!("{all} replications, all of them run before"),
            Work::Merged(parts) => format!("{all} replications, run in {parts} parts"),
            Work::Ran { replications, took } if *replications == all => {
                format!("{all} replications {}", each(all, took))
            }
            Work::Ran { replications, took } => format!(
                "{all} replications: {} kept from before, {replications} run now {}",
                all - replications,
                each(*replications, took)
            ),
        }
    }
}

/// The table that a sweep prints, a line a cell, and how it came by its replications; `horizon` is that of a cell.
pub fn cells_table<'a>(
    meta: &Meta,
    horizon: &dyn Fn(&str) -> String,
    cells: impl IntoIterator<Item = (&'a String, &'a Finished)>,
    work: &Work,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header: Vec<String> = vec!["cell".into()];
    header.extend(meta.factors.iter().cloned());
    let fixed = ["reached", "ready", "time to N, p50", "p95", "nodes", "waste", "least free", "USD", "USD/h"];
    header.extend(fixed.map(String::from));
    if meta.precision.is_some() {
        header.extend(["runs", "stopped by"].map(String::from));
    }
    table.set_header(header);
    let mut all = 0;
    for (id, finished) in cells {
        let place = meta.cell_ids.iter().position(|known| known == id).expect("a cell of the plan");
        let s = &finished.summary;
        let horizon = horizon(id);
        all += s.replications + finished.failures;
        let mut row = vec![id.clone()];
        row.extend(meta.labels[place].iter().cloned());
        row.push(format!("{} %", s.reached * 100 / s.replications.max(1)));
        row.push(format!("{:.0}", s.pods_ready));
        row.push(instant(&s.p50, &horizon));
        row.push(instant(&s.p95, &horizon));
        row.push(format!("{:.0}", s.nodes));
        row.push(format!("{:.0}", s.waste));
        row.push(s.least_free.to_string());
        row.push(format!("{:.2}", s.cost_to_target_usd));
        row.push(format!("{:.2}", s.cost_per_hour_usd));
        if meta.precision.is_some() {
            row.extend([s.replications.to_string(), finished.stopped_by.name().to_string()]);
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1 + meta.factors.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!(
        "{table}\nReady: pods at the end, on average. Times with 95 % intervals. Waste: addresses attached, less those of pods, less\n\
         one a node, at the target (on average where no run reached it). Least free: addresses in any subnet at any instant.\n\
         USD: nodes until the target or the horizon; USD/h: nodes at the end. {}.\n",
        work.told(all)
    )
}
