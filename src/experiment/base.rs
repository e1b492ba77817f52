//! The scenario that an experiment's factors change.

use std::path::Path;

use crate::input::{Document, Node, Problems, Section, Value, read_text};

/// The file that `base` names, with `[scenario]` and the command line laid over it.
pub(crate) fn base(
    root: &mut Section<'_>,
    folder: &Path,
    settings: &[String],
    problems: &mut Problems,
) -> Document {
    let origin = root.origin().clone();
    let mut document = Document { root: Node { origin: origin.clone(), value: Value::Table(Vec::new()) } };
    if let Some(file) = root.text("base", problems) {
        let path = folder.join(&file);
        match read_text(&path) {
            Ok(text) => document = Document::parse(&path.display().to_string(), &text, problems),
            Err(error) => problems.add(&origin, "base", format!("{}: {error}", path.display()), None),
        }
    }
    if let Some(node) = root.get("scenario") {
        if let Value::Table(entries) = &node.value {
            entries.iter().for_each(|(key, node)| overlay(&mut document.root, key, node));
        } else {
            problems.add(
                &node.origin,
                "scenario",
                format!("a table is wanted, not {}", node.value.kind()),
                None,
            );
        }
    }
    settings.iter().for_each(|setting| document.set(setting, problems));
    document
}

/// Tables are merged, everything else is replaced.
fn overlay(under: &mut Node, key: &str, over: &Node) {
    let Value::Table(entries) = &mut under.value else { return };
    match entries.iter_mut().find(|(known, _)| known == key) {
        Some((_, slot)) => match (&mut slot.value, &over.value) {
            (Value::Table(_), Value::Table(more)) => {
                more.iter().for_each(|(key, node)| overlay(slot, key, node))
            }
            _ => *slot = over.clone(),
        },
        None => entries.push((key.to_string(), over.clone())),
    }
}
