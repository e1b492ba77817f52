//! TOML written with its keys in the order of a document, for what a person wrote and wants to see again.

use std::fmt::Write;

use toml::{Table, Value as Toml};

use super::tree::{Node, Value};

/// A table as TOML: the keys of `like` first and in its order, then all others by name; the same within.
pub fn ordered_toml(table: &Table, like: &Node) -> String {
    let mut text = String::new();
    write_table(&mut text, "", table, Some(like));
    text.trim_start().to_owned()
}

/// A table's entries in order, each with what it is like.
fn entries<'t>(table: &'t Table, like: Option<&'t Node>) -> Vec<(&'t String, &'t Toml, Option<&'t Node>)> {
    let known: &[(String, Node)] = match like {
        Some(Node { value: Value::Table(entries), .. }) => entries,
        _ => &[],
    };
    let place = |key: &str| known.iter().position(|(name, _)| name == key);
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(key, _)| place(key).unwrap_or(usize::MAX));
    all.into_iter().map(|(key, value)| (key, value, place(key).map(|place| &known[place].1))).collect()
}

/// What a list's place is like.
fn item(like: Option<&Node>, place: usize) -> Option<&Node> {
    match like {
        Some(Node { value: Value::Array(nodes), .. }) => nodes.get(place),
        _ => None,
    }
}

fn are_tables(value: &Toml) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Toml::is_table))
}

/// Values first, since what follows a header is the header's.
fn write_table(text: &mut String, path: &str, table: &Table, like: Option<&Node>) {
    let all = entries(table, like);
    let is_section = |value: &Toml| value.is_table() || are_tables(value);
    for (key, value, like) in all.iter().filter(|(_, value, _)| !is_section(value)) {
        let _ = writeln!(text, "{} = {}", quoted(key), inline(value, *like));
    }
    for (key, value, like) in all.into_iter().filter(|(_, value, _)| is_section(value)) {
        let path = if path.is_empty() { quoted(key) } else { format!("{path}.{}", quoted(key)) };
        match value {
            Toml::Table(inner) => {
                let _ = writeln!(text, "\n[{path}]");
                write_table(text, &path, inner, like);
            }
            Toml::Array(items) => {
                for (place, inner) in items.iter().enumerate() {
                    let _ = writeln!(text, "\n[[{path}]]");
                    let inner = inner.as_table().expect("all of them are tables");
                    write_table(text, &path, inner, item(like, place));
                }
            }
            _ => unreachable!("no section is anything else"),
        }
    }
}

fn inline(value: &Toml, like: Option<&Node>) -> String {
    match value {
        Toml::Array(items) => {
            let items = items.iter().enumerate().map(|(place, value)| inline(value, item(like, place)));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Toml::Table(table) => {
            let each = |(key, value, like): (&String, &Toml, Option<&Node>)| {
                format!("{} = {}", quoted(key), inline(value, like))
            };
            format!("{{ {} }}", entries(table, like).into_iter().map(each).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// A key, in quotes where TOML wants them.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { Toml::String(key.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Document, Problems};

    #[test]
    fn keys_keep_their_order_and_the_table_is_the_same() {
        let text = "z = 1\na = [{ y = 1.5, b = \"two \\\"words\\\"\" }, { b = true }]\nlist = [3, [1, 2]]\nempty = []\n\
                    [m]\n\"node_pools.0.x\" = [\"m5\"]\nA = \"first\"\n[[m.q]]\nw = 1\n[m.q.d]\n";
        let mut problems = Problems::default();
        let document = Document::parse("a.toml", text, &mut problems);
        let table: Table = text.parse().unwrap();
        let printed = ordered_toml(&table, &document.root);
        assert_eq!(printed.parse::<Table>().unwrap(), table, "{printed}");
        let place = |part: &str| printed.find(part).unwrap_or_else(|| panic!("{part} is not in {printed}"));
        let order =
            ["z = 1", "list = ", "[[a]]", "y = 1.5", "b = ", "[m]", "\"node_pools.0.x\"", "A = ", "[[m.q]]"];
        assert!(order.map(place).is_sorted(), "{printed}");
    }
}
