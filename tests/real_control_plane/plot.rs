//! Plots beside the scenarios: shares of pods and claims over time, recorded runs and the model.

use std::fmt::Write;

use super::model::{self, Model};
use super::recorded::{Points, Recorded};

/// (what, colour)
const CURVES: [(&str, &str); 5] = [
    ("pod_created", "#767676"),
    ("claim_created", "#b8860b"),
    ("instance_launched", "#8b3fa8"),
    ("pod_bound", "#1f6fb4"),
    ("pod_ready", "#2a8a3e"),
];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 30.0;

/// The plot that is committed is the one that would be drawn.
pub fn hold(name: &str, model: &Model, recorded: &Recorded) {
    let drawn = draw(name, model, recorded);
    let path = model::folder().join(format!("{name}.svg"));
    if std::env::var_os("UPDATE_PLOTS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let how = "UPDATE_PLOTS=1 cargo test --test real_control_plane";
    assert!(committed == drawn, "{} is not what is drawn now; write it with {how}", path.display());
}

fn draw(name: &str, model: &Model, recorded: &Recorded) -> String {
    let recorded_curves = recorded.runs().iter().flat_map(|run| &run.rows);
    let last = recorded_curves
        .filter(|row| CURVES.iter().any(|(what, _)| *what == row.0))
        .map(|row| row.2[20])
        .fold(model.points("pod_ready")[20], f64::max);
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].into_iter().find(|step| last / 1e3 / step <= 10.0).unwrap();
    let ends = (last / 1e3 / step).ceil() * step;
    let mut svg = axes(name, recorded, ends, step);
    for (index, (what, colour)) in CURVES.into_iter().enumerate() {
        let rows = || recorded.runs().iter().flat_map(|run| &run.rows).filter(|row| row.0 == what);
        rows().for_each(|row| line(&mut svg, &row.2, ends, colour, "stroke-width=\"1\""));
        if model.has(what) {
            let dashed = "stroke-width=\"2.5\" stroke-dasharray=\"6 4\"";
            line(&mut svg, &model.points(what), ends, colour, dashed);
            let y = TOP + 16.0 + 17.0 * index as f64;
            let text = what.replace('_', " ");
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{y}\" fill=\"{colour}\">{text}</text>",
                LEFT + WIDTH + 12.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(name: &str, recorded: &Recorded, ends: f64, step: f64) -> String {
    let (right, bottom) = (LEFT + WIDTH, TOP + HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        right + 150.0,
        bottom + 45.0
    );
    let runs: Vec<&str> = recorded.runs().iter().map(|run| run.name.as_str()).collect();
    let title = format!(
        "{}: share done over time; thin: recorded ({}), dashed: model",
        name.to_uppercase(),
        runs.join(", ")
    );
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{title}</text>");
    for percent in [0, 25, 50, 75, 100] {
        let y = bottom - HEIGHT * f64::from(percent) / 100.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y}H{right}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent} %</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for tick in 0..=(ends / step).round() as u32 {
        let seconds = f64::from(tick) * step;
        let x = LEFT + WIDTH * seconds / ends;
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#eeeeee\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{seconds} s</text>",
            bottom + 18.0
        );
    }
    svg
}

fn line(svg: &mut String, points: &Points, ends: f64, colour: &str, style: &str) {
    let at = |(place, ms): (usize, &f64)| {
        let x = LEFT + WIDTH * ms / 1e3 / ends;
        let y = TOP + HEIGHT * (1.0 - place as f64 / 20.0);
        format!("{x:.1} {y:.1}")
    };
    let path: Vec<String> = points.iter().enumerate().map(at).collect();
    let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" {style}/>", path.join("L"));
}
