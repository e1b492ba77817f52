//! `key=value` as typed behind `--set`, and values put at a dotted key.

use std::sync::Arc;

use toml::de::DeValue;

use super::problem::Problems;
use super::tree::{Document, Node, Origin, Source, Value, from_value};

impl Document {
    /// Lays `key=value` over the document; `key` is as [`full_key`] reads it. The value is TOML if it parses as such, else text.
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
            match parse_value(text, &origin) {
                Ok(value) => value,
                Err(what) => {
                    let hint = "shells take quotes away: put the whole in others, as in --set 'zones=[\"us-east-1a\"]'";
                    return problems.add(&origin, &key, what, Some(hint.into()));
                }
            }
        };
        self.insert(&key, Node { origin, value }, problems);
    }

    /// Puts a value at a dotted key; a number in it is a place in a list (`node_pools.0.weight`).
    pub fn insert(&mut self, key: &str, node: Node, problems: &mut Problems) {
        insert(&mut self.root, key, node, problems, key);
    }
}

/// A key as messages and files have it: `WARM_IP_TARGET` is `cni.env.WARM_IP_TARGET`, and `node_pools[0].weight` is
/// `node_pools.0.weight`. What has dots of its own stands in quotes.
pub fn full_key(key: &str) -> String {
    // ENABLE_IPv4 and ENABLE_IPv6 have a small letter.
    let letters = key.replace("_IPv", "_IP");
    let variable = letters.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        && letters.chars().any(|c| c.is_ascii_uppercase());
    if variable { format!("cni.env.{key}") } else { key.replace('[', ".").replace(']', "") }
}

/// The first name of a dotted key, which may stand in quotes, and the rest.
fn split_first(path: &str) -> (&str, Option<&str>) {
    let quoted = path.strip_prefix('"').and_then(|rest| rest.split_once('"'));
    match quoted {
        Some((name, "")) => (name, None),
        Some((name, rest)) if rest.starts_with('.') => (name, Some(&rest[1..])),
        _ => path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest))),
    }
}

fn is_place(name: &str) -> bool {
    name.parse::<usize>().is_ok()
}

fn insert(node: &mut Node, path: &str, new: Node, problems: &mut Problems, whole: &str) {
    let (name, rest) = split_first(path);
    if name.is_empty() {
        let hint = "keys are names with dots between, for example deployments.0.cpu".to_string();
        return problems.add(&new.origin, whole, "this names no key", Some(hint));
    }
    if let Value::Array(nodes) = &mut node.value {
        let place = name.parse::<usize>().ok().filter(|place| *place < nodes.len());
        return match (place, rest) {
            (Some(place), None) => nodes[place] = new,
            (Some(place), Some(rest)) => insert(&mut nodes[place], rest, new, problems, whole),
            (None, _) => {
                let what = format!("{name:?} is no place in this list of {}", nodes.len());
                problems.add(&new.origin, whole, what, Some(place_meant(nodes, path, whole)));
            }
        };
    }
    let Value::Table(entries) = &mut node.value else {
        let before = whole[..whole.len() - path.len()].trim_end_matches('.');
        let what = format!("{name:?} cannot be set in {}", node.value.kind());
        let hint = Some(format!("{before} has no keys of its own: set it as a whole"));
        return problems.add(&new.origin, whole, what, hint);
    };
    let at = entries.iter().position(|(known, _)| known == name);
    match (at, rest) {
        (Some(at), None) => entries[at].1 = new,
        (None, None) => entries.push((name.to_string(), new)),
        (Some(at), Some(rest)) => insert(&mut entries[at].1, rest, new, problems, whole),
        (None, Some(rest)) if is_place(split_first(rest).0) => {
            let list = &whole[..whole.len() - rest.len() - 1];
            let what =
                format!("there is no list {list} yet, of which {} could be a place", split_first(rest).0);
            let quotes = if new.origin.is_typed() { ", in quotes for the shell" } else { "" };
            let hint =
                format!("write {list} in the file, or set all of it at once: {list}=[{{ ... }}]{quotes}");
            problems.add(&new.origin, whole, what, Some(hint));
        }
        (None, Some(_)) if is_key_of_map(path, whole) => {
            let before = &whole[..whole.len() - path.len()];
            let what = format!("{path} has a dot of its own, and dots part keys");
            let quoted = format!("{before}\"{path}\"");
            let hint = match new.origin.is_typed() {
                true => {
                    format!("put it in quotes, and all of it in others for the shell: --set '{quoted}=...'")
                }
                false => format!("put it in quotes: {quoted}"),
            };
            problems.add(&new.origin, whole, what, Some(hint));
        }
        (None, Some(rest)) => {
            let mut inner = Node { origin: new.origin.clone(), value: Value::Table(Vec::new()) };
            insert(&mut inner, rest, new, problems, whole);
            entries.push((name.to_string(), inner));
        }
    }
}

/// Tables whose keys are labels and the like, which have a domain before a slash.
const MAPS: [&str; 5] = ["extended_resources", "labels", "limits", "node_selector", "tags"];

/// Is `path`, the rest of `whole`, one key of such a table, with a dot but no quotes?
fn is_key_of_map(path: &str, whole: &str) -> bool {
    let before = whole[..whole.len() - path.len()].trim_end_matches('.');
    let table = before.rsplit('.').next().unwrap_or_default();
    MAPS.contains(&table) && path.contains('/') && !path.contains('"')
}

/// How to write a key whose `path` goes on where a list of `nodes` stands, but with no place of it.
fn place_meant(nodes: &[Node], path: &str, whole: &str) -> String {
    let (name, rest) = split_first(path);
    if nodes.is_empty() {
        return "the list is empty: set it as a whole".to_string();
    }
    let before = &whole[..whole.len() - path.len()];
    if is_place(name) {
        return format!("its places go from {before}0 to {before}{}", nodes.len() - 1);
    }
    let is_named = |node: &Node| match &node.value {
        Value::Table(entries) => {
            entries.iter().any(|(key, node)| key == "name" && node.value == Value::Text(name.to_string()))
        }
        _ => false,
    };
    match (nodes.iter().position(is_named), rest) {
        (Some(place), Some(rest)) => format!("places are numbers from 0 on: write {before}{place}.{rest}"),
        (Some(place), None) => format!("places are numbers from 0 on: write {before}{place}"),
        (None, _) => format!("places are numbers from 0 on: write {before}0.{path} for the first"),
    }
}

/// The value, or what is wrong with a text that was to be more than text.
fn parse_value(text: &str, origin: &Origin) -> Result<Value, String> {
    let source = Arc::new(Source { name: String::new(), text: String::new() });
    let mut ignored = Problems::default();
    match DeValue::parse(text) {
        Ok(value) => {
            let mut value = from_value(&source, value.get_ref(), &mut ignored);
            relocate(&mut value, origin);
            Ok(value)
        }
        Err(error) if text.trim_start().starts_with(['[', '{', '"', '\'']) => {
            Err(format!("{text} is no TOML: {}", error.message()))
        }
        Err(_) => Ok(Value::Text(text.to_string())),
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "horizon = \"5 min\"\nzones = []\n[[deployments]]\nname = \"app\"\n[[deployments]]\nname = \"web\"\n";

    /// The document after a setting, or what is said of it: the problem and its hint, which come once.
    fn set(setting: &str) -> Result<toml::Value, (String, String)> {
        let mut problems = Problems::default();
        let mut document = Document::parse("a.toml", TEXT, &mut problems);
        document.set(setting, &mut problems);
        let mut found = problems.into_vec();
        assert!(found.len() < 2, "{setting}: {found:?}");
        match found.pop() {
            None => Ok(document.root.to_toml()),
            Some(problem) => {
                assert_eq!(problem.place, format!("--set {setting}"));
                Err((problem.what, problem.hint.expect("each says how to mend it")))
            }
        }
    }

    #[test]
    fn places_in_lists_are_written_with_dots_or_brackets() {
        for setting in ["deployments.1.cpu=2", "deployments[1].cpu=2"] {
            assert_eq!(set(setting).unwrap()["deployments"][1]["cpu"].as_integer(), Some(2), "{setting}");
        }
        let quoted = set("deployments.0.node_selector.\"a.b/c\"=spot").unwrap();
        assert_eq!(quoted["deployments"][0]["node_selector"]["a.b/c"].as_str(), Some("spot"));
    }

    #[test]
    fn a_place_that_is_not_there_is_told_with_the_one_that_was_meant() {
        for (setting, hint) in [
            ("deployments.web.cpu=2", "write deployments.1.cpu"),
            ("deployments[app]=2", "write deployments.0"),
            ("deployments.cpu=2", "write deployments.0.cpu for the first"),
            ("deployments.2.cpu=2", "from deployments.0 to deployments.1"),
            ("zones.0=x", "set it as a whole"),
            ("node_pools.0.weight=3", "all of it at once: node_pools=[{ ... }], in quotes"),
            ("horizon.x=3", "horizon has no keys of its own"),
            ("=3", "names with dots"),
            ("karpenter..x=3", "names with dots"),
            ("karpenter", "key=value"),
            ("zones=[us-east-1a]", "shells take quotes away"),
            ("deployments=[{", "shells take quotes away"),
            (
                "deployments.0.extended_resources.nvidia.com/gpu=2",
                "--set 'deployments.0.extended_resources.\"nvidia.com/gpu\"=...'",
            ),
        ] {
            let (what, told) = set(setting).unwrap_err();
            assert!(told.contains(hint), "{setting}: {what}; {told}");
        }
    }

    #[test]
    fn a_place_is_found_by_its_key() {
        let document = Document::parse("a.toml", TEXT, &mut Problems::default());
        let place = |key: &str| document.root.origin_of(key).place();
        assert_eq!(place("deployments[1].name"), "a.toml:6:1");
        assert_eq!(place("deployments[1].replicas"), "a.toml:5:1");
        assert_eq!(place("target_pods"), "a.toml:1:1");
    }
}
