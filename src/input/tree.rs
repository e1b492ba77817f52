//! A TOML document as a tree whose nodes know their place.

use std::io;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;

/// A file's text, for messages.
#[derive(PartialEq, Eq, Debug)]
pub struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Where a value was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In a file, from this byte on.
    File(Arc<Source>, usize),
    /// Behind `--set`, as typed.
    Setting(String),
    /// Elsewhere on the command line: `--measure nodes`.
    Argument(String),
}

impl Origin {
    /// Behind `--set`, where a shell has taken quotes away?
    pub fn is_typed(&self) -> bool {
        matches!(self, Origin::Setting(_))
    }
    pub(super) fn place(&self) -> String {
        match self {
            Origin::Setting(text) => format!("--set {text}"),
            Origin::Argument(text) => text.clone(),
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
    /// Where the value under `key` (`subnets[1].prefix_length`) was written; where it is not there, the table or list that would
    /// hold it.
    pub fn origin_of(&self, key: &str) -> &Origin {
        let mut node = self;
        for name in key.split(['.', '[']).map(|name| name.trim_end_matches(']')) {
            let Some(inner) = node.get(name) else { break };
            node = inner;
        }
        &node.origin
    }
    /// An entry of a table by its name, of a list by its place.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|(known, _)| known == name).map(|(_, node)| node),
            Value::Array(nodes) => name.parse::<usize>().ok().and_then(|place| nodes.get(place)),
            _ => None,
        }
    }
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
    /// A text, or what would be one in quotes; `None` of lists and tables.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Bool(on) => Some(on.to_string()),
            Value::Array(_) | Value::Table(_) => None,
        }
    }
}

/// A file's text.
///
/// # Errors
/// If it cannot be read, or is no text.
pub fn read_text(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            io::Error::new(error.kind(), "this is no TOML: it has bytes that are no text (UTF-8)")
        }
        _ => error,
    })
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

pub(super) fn from_value(source: &Arc<Source>, value: &DeValue<'_>, problems: &mut Problems) -> Value {
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
