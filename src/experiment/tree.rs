//! A tree of values as JSON whose tables keep the order of their keys, as columns do.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::input::{Node, Origin, Value};

/// A value without its places.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Tree {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Tree>),
    Table(Vec<(String, Tree)>),
}

impl Tree {
    pub(super) fn of(node: &Node) -> Tree {
        match &node.value {
            Value::Text(text) => Tree::Text(text.clone()),
            Value::Integer(number) => Tree::Integer(*number),
            Value::Float(number) => Tree::Float(*number),
            Value::Bool(on) => Tree::Bool(*on),
            Value::Array(nodes) => Tree::Array(nodes.iter().map(Tree::of).collect()),
            Value::Table(entries) => {
                Tree::Table(entries.iter().map(|(key, node)| (key.clone(), Tree::of(node))).collect())
            }
        }
    }
    /// The value again, all of it written at one place.
    pub(super) fn into_value(self, origin: &Origin) -> Value {
        let node = |tree: Tree| Node { origin: origin.clone(), value: tree.into_value(origin) };
        match self {
            Tree::Text(text) => Value::Text(text),
            Tree::Integer(number) => Value::Integer(number),
            Tree::Float(number) => Value::Float(number),
            Tree::Bool(on) => Value::Bool(on),
            Tree::Array(trees) => Value::Array(trees.into_iter().map(node).collect()),
            Tree::Table(entries) => {
                Value::Table(entries.into_iter().map(|(key, tree)| (key, node(tree))).collect())
            }
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::Integer(number) => serializer.serialize_i64(*number),
            Tree::Float(number) => serializer.serialize_f64(*number),
            Tree::Bool(on) => serializer.serialize_bool(*on),
            Tree::Array(trees) => trees.serialize(serializer),
            Tree::Table(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, tree) in entries {
                    map.serialize_entry(key, tree)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true, false, a list or a table")
    }
    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_string()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Integer(number))
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Tree, E> {
        i64::try_from(number).map(Tree::Integer).map_err(|_| E::custom(format!("{number} is too large")))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Float(number))
    }
    fn visit_bool<E>(self, on: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(on))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut trees = Vec::new();
        while let Some(tree) = list.next_element()? {
            trees.push(tree);
        }
        Ok(Tree::Array(trees))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Document, Problems};

    #[test]
    fn a_document_comes_back_with_its_keys_in_order() {
        let text = "z = 1\na = 2.0\nm = [true, \"x\", 0.1]\n[b]\ny = -3\nc = { q = 1e300, d = \"\" }\n";
        let document = Document::parse("a.toml", text, &mut Problems::default());
        let tree = Tree::of(&document.root);
        let json = serde_json::to_string(&tree).unwrap();
        assert!(json.starts_with(r#"{"z":1,"a":2.0,"m":[true,"x",0.1],"b":{"y":-3,"c":{"q":"#), "{json}");
        let back: Tree = serde_json::from_str(&json).unwrap();
        assert_eq!(back, tree);
        let again = Node { value: back.into_value(&document.root.origin), ..document.root.clone() };
        assert_eq!(Tree::of(&again), tree);
    }
}
