//! Factors and their levels, as an experiment lists them.

use super::label::mangled;
use super::range::{Range, read_range};
use crate::input::{Node, Origin, Problems, Section, Value, full_key};
use crate::results::tables::{TABLES, columns};

/// A factor as written.
#[derive(Clone, PartialEq, Debug)]
pub struct Factor {
    pub name: String,
    /// The dotted keys its levels set (`cni.env.WARM_IP_TARGET`), in order of first mention.
    pub keys: Vec<String>,
    /// Those listed; those of a range are what the design takes of it.
    pub levels: Vec<Level>,
    /// Numbers that a design may take any of.
    pub range: Option<Range>,
    pub(super) origin: Origin,
    /// The unit behind the numbers of `values`, `range` or a point.
    pub(super) unit: Option<String>,
}

/// One level: a label and what it sets.
#[derive(Clone, PartialEq, Debug)]
pub struct Level {
    pub label: String,
    /// (dotted key, value)
    pub settings: Vec<(String, Node)>,
}

impl Factor {
    /// The place of the level that sets the factor's one key to `value`, which is added if it is new.
    pub(super) fn level_of(&mut self, value: Node) -> usize {
        let value = settable(&self.keys[0], with_unit(value, self.unit.as_deref()));
        let label = print_value(&value);
        if let Some(place) = self.levels.iter().position(|level| level.label == label) {
            return place;
        }
        self.levels.push(Level { label, settings: vec![(self.keys[0].clone(), value)] });
        self.levels.len() - 1
    }
}

/// All factors of an experiment.
pub(super) fn factors(root: &mut Section<'_>, problems: &mut Problems) -> Vec<Factor> {
    let mut factors: Vec<Factor> = Vec::new();
    for mut section in root.sections("factors", problems).unwrap_or_default() {
        let name = section.text("name", problems).unwrap_or_default();
        let good = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !good || name == "cell_id" {
            let hint = Some("it becomes a column: lower-case letters, digits and _".to_string());
            let what = format!("{name:?} is no name of a factor");
            problems.add(section.origin_of("name"), &section.key("name"), what, hint);
        } else if let Some(table) = table_with(&name) {
            let hint = Some("a factor becomes a column too: give it another name".to_string());
            let what = format!("{table}.csv has a column {name:?} already");
            problems.add(section.origin_of("name"), &section.key("name"), what, hint);
        }
        if factors.iter().any(|factor| factor.name == name) {
            problems.add(
                section.origin_of("name"),
                &section.key("name"),
                format!("{name:?} is there twice"),
                None,
            );
        }
        let origin = section.origin().clone();
        let mut factor =
            Factor { name, keys: Vec::new(), levels: Vec::new(), range: None, origin, unit: None };
        read_levels(&mut factor, &mut section, problems);
        section.finish(problems);
        factors.push(factor);
    }
    factors
}

/// A table that has a column of this name whatever the factors are.
fn table_with(column: &str) -> Option<&'static str> {
    let has = |(table, _): &&(&'static str, _)| columns(table).iter().any(|own| own.name == column);
    TABLES.iter().find(has).map(|(table, _)| *table)
}

/// Levels are listed one by one, or are values of one key, listed or within a range.
fn read_levels(factor: &mut Factor, section: &mut Section<'_>, problems: &mut Problems) {
    let listed = section.sections("levels", problems);
    let key = section.text("key", problems);
    let values = section.get("values");
    factor.unit = section.text("unit", problems);
    factor.range = read_range(section, problems);
    if listed.is_some() && key.is_some() || values.is_some() && factor.range.is_some() {
        let what = "a factor has either levels, or a key with values, or a key with a range";
        problems.add(section.origin_of("levels"), &section.key("levels"), what, None);
    }
    let one_key = values.is_some() || factor.range.is_some() || factor.unit.is_some();
    if one_key && key.is_none() {
        let hint = Some("write key = \"WARM_IP_TARGET\" beside them".to_string());
        problems.add(section.origin_of("key"), &section.key("key"), "which key do the values set?", hint);
        return;
    }
    factor.keys.extend(key.as_deref().map(full_key));
    if listed.as_ref().is_none_or(Vec::is_empty) && key.is_none() {
        let hint = Some("write [[factors.levels]] with label and set, or key and values".to_string());
        problems.add(section.origin_of("levels"), &section.key("levels"), "a factor needs levels", hint);
    }
    for mut level in listed.unwrap_or_default() {
        read_level(factor, &mut level, problems);
        level.finish(problems);
    }
    let Some(values) = values else { return };
    let Value::Array(nodes) = &values.value else {
        let what = format!("a list of values is wanted, not {}", values.value.kind());
        return problems.add(&values.origin, &section.key("values"), what, None);
    };
    for node in nodes {
        read_value(factor, node, &section.key("values"), problems);
    }
}

/// One of a factor's values, which is its own label; `key` is where it stands. The place of its level.
pub(super) fn read_value(
    factor: &mut Factor,
    node: &Node,
    key: &str,
    problems: &mut Problems,
) -> Option<usize> {
    let known = factor.levels.len();
    let label = print_value(&with_unit(node.clone(), factor.unit.as_deref()));
    let numeric = matches!(node.value, Value::Integer(_) | Value::Float(_));
    if matches!(node.value, Value::Array(_) | Value::Table(_)) || label.is_empty() {
        let hint = Some("write [[factors.levels]], whose label says it shortly".to_string());
        problems.add(&node.origin, key, format!("{} has no label", node.value.kind()), hint);
        return None;
    }
    if let Some(what) = mangled(&label).filter(|_| !numeric) {
        let hint = Some("write [[factors.levels]] with a label of its own".to_string());
        problems.add(&node.origin, key, format!("a spreadsheet changes {label:?}: it {what}"), hint);
        return None;
    }
    let place = factor.level_of(node.clone());
    if place < known && key.ends_with(".values") {
        problems.add(&node.origin, key, format!("{label} is there twice"), None);
    }
    Some(place)
}

fn read_level(factor: &mut Factor, level: &mut Section<'_>, problems: &mut Problems) {
    let label = level.text("label", problems).unwrap_or_default();
    if let Some(what) = mangled(&label) {
        let hint = Some("choose another, for example one that begins with a word".to_string());
        let what = format!("a spreadsheet changes {label:?}: it {what}");
        problems.add(level.origin_of("label"), &level.key("label"), what, hint);
    } else if label.is_empty() {
        let hint =
            Some("write label = \"...\", by which tables and --compare-with know the level".to_string());
        problems.add(level.origin_of("label"), &level.key("label"), "this level has no label", hint);
    } else if factor.levels.iter().any(|known| known.label == label) {
        let what = format!("{} has two levels with the label {label:?}", factor.name);
        let hint = Some("give each level a label that no other one has".to_string());
        problems.add(level.origin_of("label"), &level.key("label"), what, hint);
    }
    let mut settings = Vec::new();
    if let Some(mut set) = level.section("set", problems) {
        for (key, node) in set.all() {
            let key = full_key(key);
            if !factor.keys.contains(&key) {
                factor.keys.push(key.clone());
            }
            settings.push((key.clone(), settable(&key, node.clone())));
        }
    }
    factor.levels.push(Level { label, settings });
}

/// Variables of aws-node are text, whatever they look like.
fn settable(key: &str, node: Node) -> Node {
    match &node.value {
        Value::Integer(_) | Value::Bool(_) if key.starts_with("cni.env.") => {
            Node { value: node.value.as_text().map_or(node.value, Value::Text), ..node }
        }
        _ => node,
    }
}

fn with_unit(node: Node, unit: Option<&str>) -> Node {
    match (&node.value, unit) {
        (Value::Integer(_) | Value::Float(_), Some(unit)) => {
            Node { value: Value::Text(format!("{} {unit}", print_value(&node))), origin: node.origin }
        }
        _ => node,
    }
}

/// A value as it stands in a table. Never with three decimals, which a spreadsheet with decimal commas takes for thousands.
pub(super) fn print_value(node: &Node) -> String {
    match node.to_toml() {
        toml::Value::String(text) => text,
        toml::Value::Float(number) => {
            let text = toml::Value::Float(number).to_string();
            let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            if decimals == 3 { text + "0" } else { text }
        }
        other => other.to_string(),
    }
}

/// The value in a column: text that a spreadsheet would change is quoted, as in TOML. It does no harm to truth values.
pub(super) fn column_value(node: &Node) -> String {
    let text = print_value(node);
    let changed = mangled(&text).is_some() && text.parse::<bool>().is_err();
    if changed && matches!(node.value, Value::Text(_)) { format!("{text:?}") } else { text }
}

/// A key may be set by one factor only, and not by the command line too.
pub(super) fn conflicts(factors: &[Factor], settings: &[String], problems: &mut Problems) {
    for (index, factor) in factors.iter().enumerate() {
        let place = format!("factors[{index}]");
        for key in &factor.keys {
            if let Some(other) = factors[..index].iter().find(|other| other.keys.contains(key)) {
                let what = format!("{key} is set by the factors {} and {}", other.name, factor.name);
                problems.add(&factor.origin, &place, what, None);
            }
            let typed = settings
                .iter()
                .find(|text| text.split_once('=').is_some_and(|(k, _)| full_key(k.trim()) == *key));
            if let Some(text) = typed {
                let what = format!("--set {text} would be overridden by the factor {}", factor.name);
                let hint = Some("change the factor's levels instead".into());
                problems.add(&factor.origin, &place, what, hint);
            }
        }
    }
}
