//! `plan.json`: a plan that any machine runs as it is, or refuses.
//!
//! It holds the experiment with everything laid over it, from which the plan is made anew, and beside it what a person wants to
//! see: cells, replications, forecast. What is made anew must have the same hash and say the same of cells and replications.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::design::{Cell, Overrides, Plan, read};
use super::identity::PLAN_VERSION;
use super::tree::Tree;
use crate::catalogue::Catalogue;
use crate::input::{Document, Problem, Problems};
use crate::results::RESULTS_VERSION;

/// What of the file is read to make the plan anew. As text: the experiment's keys keep their order, which columns hang on.
#[derive(serde::Serialize, serde::Deserialize)]
struct Held {
    name: String,
    folder: String,
    experiment: Tree,
}

/// What the file says of the plan and must not have been changed.
fn said(plan: &Plan) -> Value {
    let cell = |cell: &Cell| json!({"id": cell.id(), "labels": cell.labels, "values": cell.values});
    json!({
        "plan_id": plan.id,
        "replications": plan.replications,
        "precision": plan.precision.as_ref().map(|precision| json!({"target": precision.target_text(), "measure": precision.of.column()})),
        // As text: not every reader of JSON keeps 64 bits.
        "seed": plan.seed.to_string(),
        "factors": plan.factors.iter().map(|factor| factor.name.as_str()).collect::<Vec<&str>>(),
        "keys": plan.factors.iter().flat_map(|factor| &factor.keys).collect::<Vec<&String>>(),
        "cells": plan.cells.iter().map(cell).collect::<Vec<Value>>(),
    })
}

fn versions() -> Value {
    json!({"plan_version": PLAN_VERSION, "results_version": RESULTS_VERSION, "kilopod": env!("CARGO_PKG_VERSION")})
}

/// The file's text; `forecast` is what is expected of the run, which is not part of the plan.
pub fn plan_file(plan: &Plan, forecast: &Value) -> String {
    let mut text = String::from("{\n");
    let (versions, said) = (versions(), said(plan));
    let all = [&versions, &said].into_iter().filter_map(Value::as_object).flatten();
    for (key, value) in all.chain([(&"forecast".to_string(), forecast)]) {
        let list = value.as_array().filter(|list| list.first().is_some_and(Value::is_object));
        let value = match list {
            // A line a cell.
            Some(list) => {
                let lines: Vec<String> = list.iter().map(|entry| format!("    {entry}")).collect();
                format!("[\n{}\n  ]", lines.join(",\n"))
            }
            None => value.to_string(),
        };
        text.push_str(&format!("  {}: {value},\n", json!(key)));
    }
    let held = Held {
        name: plan.name.clone(),
        folder: plan.folder.display().to_string(),
        experiment: Tree::of(&plan.document.root),
    };
    let held = serde_json::to_string_pretty(&held).expect("text, numbers, lists and tables are JSON");
    text + held.trim_start_matches("{\n") + "\n"
}

/// Reads such a file and makes the plan anew.
///
/// # Errors
/// If it is none, was made by another version, or was changed.
pub(super) fn read_plan(path: &Path, catalogue: &Arc<Catalogue>) -> Result<Plan, Vec<Problem>> {
    let place = path.display().to_string();
    let problem = |key: &str, what: String, hint: &str| Problem {
        place: place.clone(),
        line: None,
        key: key.to_string(),
        what,
        hint: Some(hint.to_string()),
    };
    let anew = "make the plan anew: kilopod plan EXPERIMENT --out plan.json";
    let no_plan =
        |error: &dyn std::fmt::Display| vec![problem("", format!("this is no plan: {error}"), anew)];
    let text = std::fs::read_to_string(path).map_err(|error| no_plan(&error))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| no_plan(&error))?;
    if let Some(object) = versions().as_object() {
        let other = object.iter().filter(|(key, own)| file[*key] != **own);
        let other: Vec<Problem> = other
            .map(|(key, own)| {
                problem(key, format!("the plan is of {key} {}, this program of {own}", file[key]), anew)
            })
            .collect();
        if !other.is_empty() {
            return Err(other);
        }
    }
    let held: Held = serde_json::from_str(&text).map_err(|error| no_plan(&error))?;
    let mut problems = Problems::default();
    let mut document = Document::parse(&place, "", &mut problems);
    document.root.value = held.experiment.into_value(&document.root.origin);
    let plan = read(document, &[], &Overrides::default(), &held.name, Path::new(&held.folder), catalogue)?;
    let changed: Vec<Problem> = said(&plan)
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| file[*key] != **value)
        .map(|(key, _)| problem(key, format!("{key} does not fit the experiment that the plan holds"), anew))
        .collect();
    if changed.is_empty() { Ok(plan) } else { Err(changed) }
}
