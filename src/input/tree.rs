//! A TOML document as a tree whose nodes know their place, and settings from the command line laid over it.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;

/// A file's text, for messages.
#[derive(PartialEq, Eq, Debug)]
pub struct Source {
    name: String,
    text: String,
}

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In a file, from this byte on.
    File(Arc<Source>, usize),
    /// On the command line, as typed.
    Setting(String),
}

impl Origin {
    pub(super) fn place(&self) -> String {
        match self {
            Origin::Setting(text) => format!("--set {text}"),
            Origin::File(source, at) => {
                let before = &source.text[..*at];
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                format!("{}:{line}:{column}", source.name)
            }
        }
    }
    pub(super) fn line(&self) -> Option<String> {
        let Origin::File(source, at) = self else { return None };
        let start = source.text[..*at].rfind('\n').map_or(0, |newline| newline + 1);
        source.text[start..].lines().next().map(str::to_string)
    }
}

/// A value with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    pub origin: Origin,
    pub value: Value,
}

impl Node {
    /// The value without its places.
    pub fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Text(text) => text.clone().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(on) => (*on).into(),
            Value::Array(nodes) => toml::Value::Array(nodes.iter().map(Node::to_toml).collect()),
            Value::Table(entries) => {
                toml::Value::Table(entries.iter().map(|(key, node)| (key.clone(), node.to_toml())).collect())
            }
        }
    }
}

/// A table keeps the order in which its keys were written.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Value {
    /// For messages: "a table", "text".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Of a file that is no TOML so many errors are told one by one: it may be something else altogether.
const MOST_ERRORS: usize = 10;

/// A document: a table at its root.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    pub root: Node,
}

impl Document {
    /// Parses `text`, which `name` calls in messages. What is no TOML is told and left out.
    pub fn parse(name: &str, text: &str, problems: &mut Problems) -> Document {
        let source = Arc::new(Source { name: name.to_string(), text: text.to_string() });
        let origin = Origin::File(source.clone(), 0);
        if text.trim_start().starts_with('{') {
            let hint = "scenarios and experiments are TOML; a plan goes to `kilopod sweep`, one of its cells to \
                        `kilopod run PLAN --cell c0001`";
            problems.add(&origin, "", "this is JSON, not TOML", Some(hint.into()));
            return Document { root: Node { origin, value: Value::Table(Vec::new()) } };
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(MOST_ERRORS) {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            problems.add(&Origin::File(source.clone(), at), "", error.message().to_string(), None);
        }
        if errors.len() > MOST_ERRORS {
            let what = format!("{} more places that are no TOML", errors.len() - MOST_ERRORS);
            problems.add(&origin, "", what, Some("is this a TOML file at all?".into()));
        }
        let value = from_table(&source, table.get_ref(), problems);
        Document { root: Node { origin, value } }
    }

    /// Lays `key=value` over the document; `key` is dotted, and an all upper-case name means
    /// `cni.env.NAME`. The value is TOML if it parses as such, else text.
    pub fn set(&mut self, setting: &str, problems: &mut Problems) {
        let origin = Origin::Setting(setting.to_string());
        let Some((key, text)) = setting.split_once('=') else {
            let hint = "write it as key=value, for example --set WARM_IP_TARGET=2".to_string();
            return problems.add(&origin, "", "this sets nothing", Some(hint));
        };
        let key = full_key(key.trim());
        let value = if key.starts_with("cni.env.") {
            Value::Text(text.to_string())
        } else {
            parse_value(text, &origin)
        };
        self.insert(&key, Node { origin, value }, problems);
    }

    /// Puts a value at a dotted key; a number in it is a place in a list (`node_pools.0.weight`).
    pub fn insert(&mut self, key: &str, node: Node, problems: &mut Problems) {
        insert(&mut self.root, key, node, problems, key);
    }
}

/// `WARM_IP_TARGET` is `cni.env.WARM_IP_TARGET`.
pub fn full_key(key: &str) -> String {
    // ENABLE_IPv4 and ENABLE_IPv6 have a small letter.
    let letters = key.replace("_IPv", "_IP");
    let variable = letters.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && letters.chars().any(|c| c.is_ascii_uppercase());
    if variable { format!("cni.env.{key}") } else { key.to_string() }
}

fn insert(node: &mut Node, path: &str, new: Node, problems: &mut Problems, whole: &str) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if let Value::Array(nodes) = &mut node.value {
        let count = nodes.len();
        let place = name.parse::<usize>().ok().and_then(|place| nodes.get_mut(place));
        return match (place, rest) {
            (Some(slot), None) => *slot = new,
            (Some(slot), Some(rest)) => insert(slot, rest, new, problems, whole),
            (None, _) => {
                let what = format!("{name:?} is no place in this list of {count}");
                problems.add(&new.origin, whole, what, Some("places are numbers from 0 on".into()));
            }
        };
    }
    let Value::Table(entries) = &mut node.value else {
        let what = format!("{name:?} cannot be set in {}", node.value.kind());
        return problems.add(&new.origin, whole, what, None);
    };
    let at = entries.iter().position(|(known, _)| known == name);
    match (at, rest) {
        (Some(at), None) => entries[at].1 = new,
        (None, None) => entries.push((name.to_string(), new)),
        (Some(at), Some(rest)) => insert(&mut entries[at].1, rest, new, problems, whole),
        (None, Some(rest)) => {
            let mut inner = Node { origin: new.origin.clone(), value: Value::Table(Vec::new()) };
            insert(&mut inner, rest, new, problems, whole);
            entries.push((name.to_string(), inner));
        }
    }
}

fn parse_value(text: &str, origin: &Origin) -> Value {
    let source = Arc::new(Source { name: String::new(), text: String::new() });
    let mut ignored = Problems::default();
    match DeValue::parse(text) {
        Ok(value) => {
            let mut value = from_value(&source, value.get_ref(), &mut ignored);
            relocate(&mut value, origin);
            if ignored.is_empty() { value } else { Value::Text(text.to_string()) }
        }
        Err(_) => Value::Text(text.to_string()),
    }
}

fn relocate(value: &mut Value, origin: &Origin) {
    let each = |node: &mut Node| {
        node.origin = origin.clone();
        relocate(&mut node.value, origin);
    };
    match value {
        Value::Array(nodes) => nodes.iter_mut().for_each(each),
        Value::Table(entries) => entries.iter_mut().map(|(_, node)| node).for_each(each),
        _ => {}
    }
}

fn from_table(source: &Arc<Source>, table: &DeTable<'_>, problems: &mut Problems) -> Value {
    let mut entries: Vec<(usize, String, Node)> = Vec::new();
    for (key, value) in table {
        entries.push((
            key.span().start,
            key.get_ref().to_string(),
            from_node(source, value, key.span().start, problems),
        ));
    }
    entries.sort_by_key(|(at, ..)| *at);
    Value::Table(entries.into_iter().map(|(_, key, node)| (key, node)).collect())
}

fn from_node(
    source: &Arc<Source>,
    value: &Spanned<DeValue<'_>>,
    key_at: usize,
    problems: &mut Problems,
) -> Node {
    // A table's own place is that of its header, a value's that of its key: there the eye begins.
    let origin = Origin::File(source.clone(), key_at.min(source.text.len()));
    Node { value: from_value(source, value.get_ref(), problems), origin }
}

fn from_value(source: &Arc<Source>, value: &DeValue<'_>, problems: &mut Problems) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(on) => Value::Bool(*on),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(number.as_str().to_string()),
        },
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Float(f64::NAN), Value::Float),
        DeValue::Datetime(instant) => Value::Text(instant.to_string()),
        DeValue::Array(items) => {
            let nodes = items.iter().map(|item| from_node(source, item, item.span().start, problems));
            Value::Array(nodes.collect())
        }
        DeValue::Table(table) => from_table(source, table, problems),
    }
}
