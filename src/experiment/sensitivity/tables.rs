//! What a study came to as files and as JSON.

use serde_json::{Value, json};

use super::super::folder::sha256;
use super::report::report;
use super::study::{Run, Screened, Shared, Study};
use crate::results::tables::{Column, ColumnType};
use crate::results::{RESULTS_VERSION, SENSITIVITY_TABLES, sensitivity_columns, sensitivity_package};
use crate::statistics::{MeanInterval, NoiseShare, Share, TFactors};

/// The study's files by name, each table with its header.
pub fn files(study: &Study, screened: &Screened, shared: &Shared) -> Vec<(String, String)> {
    let tables = [morris(study, screened), sobol(study, shared), points(study, screened, shared)];
    let mut files = Vec::new();
    let mut listed = serde_json::Map::new();
    for ((table, _), rows) in SENSITIVITY_TABLES.iter().zip(tables) {
        let name = format!("{table}.csv");
        let text = text(&header(study, table), &rows);
        listed.insert(name.clone(), json!({"rows": rows.len(), "sha256": sha256(&text)}));
        files.push((name, text));
    }
    let (subject, options) = (&study.subject, &study.options);
    let manifest = json!({
        "kilopod": env!("CARGO_PKG_VERSION"),
        "results_version": RESULTS_VERSION,
        "plan_id": study.id,
        "name": subject.name,
        "cell": subject.cell,
        "seed": subject.seed.to_string(),
        "measure": study.response.column,
        "factors": options.factors,
        "trajectories": options.trajectories,
        "samples": options.samples,
        "replications": options.replications,
        "catalogue": subject.scenario.catalogue.source,
        "files": listed,
        "input": toml::to_string(&subject.document.root.to_toml()).expect("what was TOML is TOML"),
    });
    let package = sensitivity_package(&subject.name, factor_columns(study));
    for (name, value) in [("manifest.json", manifest), ("datapackage.json", package)] {
        let text = serde_json::to_string_pretty(&value).expect("JSON is text") + "\n";
        files.push((name.to_string(), text));
    }
    files.push(("report.html".to_string(), report(study, screened, shared)));
    files
}

/// The same numbers for a program.
pub fn json(study: &Study, screened: &Screened, shared: &Shared) -> Value {
    let objects = |table: &str, rows: Vec<Vec<String>>| -> Vec<Value> {
        let names = header(study, table);
        rows.iter()
            .map(|row| names.iter().zip(row).map(typed).collect::<serde_json::Map<_, _>>().into())
            .collect()
    };
    let (morris, sobol) =
        (objects("morris", morris(study, screened)), objects("sobol", sobol(study, shared)));
    json!({
        "schema_version": 1,
        "name": study.subject.name,
        "cell": study.subject.cell,
        "seed": study.subject.seed.to_string(),
        "replications": study.options.replications,
        "morris": morris,
        "sobol": sobol,
        "remark": shared.remark(study),
    })
}

/// A field as JSON has it: numbers as such, nothing as null.
fn typed((name, field): (&String, &String)) -> (String, Value) {
    let value = match field.parse::<f64>() {
        _ if field.is_empty() => Value::Null,
        Ok(number) => json!(number),
        Err(_) => json!(field),
    };
    (name.clone(), value)
}

fn factor_columns(study: &Study) -> Vec<Column> {
    let column = |factor: &super::Factor| Column {
        name: factor.column(),
        kind: ColumnType::Text,
        unit: String::new(),
        meaning: format!("{}, {}; empty: as the scenario has it.", factor.name, factor.range),
    };
    study.factors.iter().map(column).collect()
}

fn header(study: &Study, table: &str) -> Vec<String> {
    let mut columns = sensitivity_columns(table);
    if table == "points" {
        columns.splice(2..2, factor_columns(study));
    }
    columns.into_iter().map(|column| column.name).collect()
}

fn text(header: &[String], rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).expect("a header is written to memory");
    rows.iter().for_each(|row| writer.write_record(row).expect("a row is written to memory"));
    String::from_utf8(writer.into_inner().expect("memory takes all")).expect("fields are text")
}

/// The fields that both tables of factors begin with.
fn of_factor(study: &Study, factor: usize) -> Vec<String> {
    let column = study.response.column.clone();
    vec![study.factors[factor].name.clone(), study.factors[factor].range.clone(), column]
}

fn morris(study: &Study, screened: &Screened) -> Vec<Vec<String>> {
    let row = |(place, (factor, effect)): (usize, &(usize, crate::statistics::Effect))| {
        let print = |value: Option<f64>| value.map_or(String::new(), |value| study.response.print(value));
        let MeanInterval { mean, .. } = effect.absolute;
        let mut fields = of_factor(study, *factor);
        fields.push(study.response.unit.to_string());
        fields.extend([Some(mean), effect.absolute.low_of_magnitudes(), effect.absolute.high()].map(print));
        fields.extend([effect.signed.mean, effect.signed.standard_deviation].map(|value| print(Some(value))));
        fields.push(u8::from(place < screened.kept).to_string());
        fields
    };
    screened.effects.iter().enumerate().map(row).collect()
}

fn sobol(study: &Study, shared: &Shared) -> Vec<Vec<String>> {
    let noise = shared.run.noise;
    let row = |(factor, indices): (&usize, &crate::statistics::Indices)| {
        let three = |share: Share| [share.estimate, share.low, share.high].map(|value| format!("{value:.4}"));
        let share =
            |get: fn(NoiseShare) -> f64| noise.map_or(String::new(), |noise| format!("{:.4}", get(noise)));
        let mut fields = of_factor(study, *factor);
        fields.extend(three(indices.first));
        fields.extend(three(indices.total));
        fields.extend([share(|noise| noise.own), share(|noise| noise.paired)]);
        fields
    };
    shared.run.factors.iter().zip(&shared.indices).map(row).collect()
}

fn points(study: &Study, screened: &Screened, shared: &Shared) -> Vec<Vec<String>> {
    let mut rows = design_points(study, "morris", &screened.run);
    rows.extend(design_points(study, "sobol", &shared.run));
    rows
}

fn design_points(study: &Study, design: &str, run: &Run) -> Vec<Vec<String>> {
    let mut spread = TFactors::new(0.95);
    let each = run.points.iter().zip(&run.responses).enumerate();
    each.map(|(number, (point, responses))| {
        let mut fields = vec![design.to_string(), number.to_string()];
        let mut values = vec![String::new(); study.factors.len()];
        for (factor, u) in run.factors.iter().zip(point) {
            values[*factor] = study.factors[*factor].value(*u);
        }
        fields.extend(values);
        let mean = MeanInterval::of(responses, &mut spread).expect("a point has replications");
        fields.extend([mean.mean, mean.standard_deviation].map(|value| study.response.print(value)));
        fields
    })
    .collect()
}
