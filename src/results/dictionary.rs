//! The meaning of every column: `datapackage.json` beside the tables, and the documentation's page.

use serde_json::{Value, json};

use super::tables::{CellKeys, Column, ColumnType, TABLES, columns};

/// The frictionless data package of a sweep's tables.
pub fn data_package(name: &str, keys: &CellKeys) -> Value {
    let resources: Vec<Value> = TABLES
        .iter()
        .map(|(table, about)| {
            let own = columns(table);
            let fields: Vec<Value> = keys.columns.iter().chain(&own).map(field).collect();
            json!({
                "name": table,
                "path": format!("{table}.csv"),
                "description": about,
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": {"fields": fields, "primaryKey": primary_key(table), "missingValues": [""]},
            })
        })
        .collect();
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
        "ec2_calls" => json!(["cell_id", "api"]),
        "comparisons" => json!(["cell_id", "measure"]),
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
        text.push_str(&format!(
            "\n## {table}.csv\n\n{about}\n\n| column | unit | meaning |\n|---|---|---|\n"
        ));
        for column in columns(table) {
            text.push_str(&format!("| {} | {} | {} |\n", column.name, column.unit, column.meaning));
        }
    }
    text
}
