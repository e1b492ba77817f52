//! The meaning of every column: `datapackage.json` beside the tables, and the documentation's page.

use serde_json::{Value, json};

use super::sensitivity::{SENSITIVITY_TABLES, sensitivity_columns};
use super::tables::{CellKeys, Column, ColumnType, TABLES, columns};

/// The frictionless data package of a sweep's tables.
pub fn data_package(name: &str, keys: &CellKeys) -> Value {
    let resource = |(table, about): &(&str, &str)| {
        let fields: Vec<Column> = keys.columns.iter().cloned().chain(columns(table)).collect();
        resource(table, about, &fields, &primary_key(table))
    };
    package(name, TABLES.iter().map(resource).collect())
}

/// That of a sensitivity study's tables; `factors` are the columns of its points.
pub fn sensitivity_package(name: &str, factors: Vec<Column>) -> Value {
    let resources = SENSITIVITY_TABLES.iter().map(|(table, about)| {
        let mut fields = sensitivity_columns(table);
        if *table == "points" {
            fields.splice(2..2, factors.iter().cloned());
            return resource(table, about, &fields, &json!(["design", "point"]));
        }
        resource(table, about, &fields, &json!(["factor"]))
    });
    package(name, resources.collect())
}

fn resource(table: &str, about: &str, columns: &[Column], primary_key: &Value) -> Value {
    let fields: Vec<Value> = columns.iter().map(field).collect();
    json!({
        "name": table,
        "path": format!("{table}.csv"),
        "description": about,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": {"fields": fields, "primaryKey": primary_key, "missingValues": [""]},
    })
}

fn package(name: &str, resources: Vec<Value>) -> Value {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    json!({"profile": "tabular-data-package", "name": name, "resources": resources})
}

fn primary_key(table: &str) -> Value {
    match table {
        "replications" => json!(["cell_id", "replication"]),
        "subnets" => json!(["cell_id", "subnet"]),
        "nodes" => json!(["cell_id", "instance_type"]),
        "timeline" => json!(["cell_id", "time_ms"]),
        "ec2_calls" => json!(["cell_id", "api", "caller"]),
        "comparisons" => json!(["cell_id", "measure"]),
        "effects" => json!(["measure", "term", "levels"]),
        "failures" => json!(["cell_id", "replication"]),
        _ => json!(["cell_id"]),
    }
}

fn field(column: &Column) -> Value {
    let kind = match column.kind {
        ColumnType::Text => "string",
        ColumnType::Integer => "integer",
        ColumnType::Number => "number",
    };
    let mut field = json!({"name": column.name, "type": kind, "description": column.meaning});
    if !column.unit.is_empty() {
        field["unit"] = column.unit.as_str().into();
    }
    field
}

/// `docs/columns.md`.
pub fn columns_page() -> String {
    let mut text = String::from(
        "# Columns\n\nMade from the registry in `src/results`; do not edit. Every table begins with `cell_id`, then for each factor \
         its label and one\ncolumn for each key that it sets. Missing is empty. Intervals (`_lo`, `_hi`) are two-sided, 95 %.\n",
    );
    for (table, about) in TABLES {
        push_table(&mut text, table, about, &columns(table));
    }
    text.push_str(
        "\n# Columns of a sensitivity study\n\nOf `kilopod sensitivity`. `points.csv` has a column more for each factor after `point`.\n",
    );
    for (table, about) in SENSITIVITY_TABLES {
        push_table(&mut text, table, about, &sensitivity_columns(table));
    }
    text
}

fn push_table(text: &mut String, table: &str, about: &str, columns: &[Column]) {
    text.push_str(&format!("\n## {table}.csv\n\n{about}\n\n| column | unit | meaning |\n|---|---|---|\n"));
    for column in columns {
        text.push_str(&format!("| {} | {} | {} |\n", column.name, column.unit, column.meaning));
    }
}
