//! Reading one table: each key asked for once, everything wrong noted, what nobody asked for told.

use super::problem::Problems;
use super::tree::{Node, Origin, Value};
use crate::units::SimDuration;
use crate::units::text::{parse_bytes, parse_cpu, parse_duration};

/// One table of a document under its dotted key.
pub struct Section<'a> {
    node: &'a Node,
    path: String,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// `path` is empty for the root. A node that is no table is told and reads as empty.
    pub fn new(node: &'a Node, path: &str, problems: &mut Problems) -> Section<'a> {
        if !matches!(node.value, Value::Table(_)) {
            let typed = node.origin.is_typed();
            let hint = typed.then(|| format!("set its keys: --set {}.KEY=VALUE", dotted(path)));
            let what = format!("a table is wanted here, not {}", shown(&node.value));
            problems.add(&node.origin, path, what, hint);
        }
        Section { node, path: path.to_string(), asked: Vec::new() }
    }

    pub fn origin(&self) -> &'a Origin {
        &self.node.origin
    }
    /// Of an entry; of the table where it is not there.
    pub fn origin_of(&self, name: &str) -> &'a Origin {
        self.node.origin_of(name)
    }
    /// What is no table was told as such, and lacks nothing more.
    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }
    /// Is there a key that a slip of the pen made of `name`? It is told as such, and `name` is then not missing.
    pub fn misspells(&self, name: &str) -> bool {
        self.entries().iter().any(|(known, _)| known != name && nearest(known, &[name]).is_some())
    }
    /// The dotted key of an entry.
    pub fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }
    fn entries(&self) -> &'a [(String, Node)] {
        match &self.node.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }
    /// Every entry, for tables whose keys are the user's own; no key is then unknown.
    pub fn all(&mut self) -> &'a [(String, Node)] {
        self.asked = vec!["*"];
        self.entries()
    }

    pub fn get(&mut self, name: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.entries().iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }
    /// The table under `name`, if there is one.
    pub fn section(&mut self, name: &'static str, problems: &mut Problems) -> Option<Section<'a>> {
        let key = self.key(name);
        self.get(name).map(|node| Section::new(node, &key, problems))
    }
    /// The tables of the list under `name`; `None` if the key is not there.
    pub fn sections(&mut self, name: &'static str, problems: &mut Problems) -> Option<Vec<Section<'a>>> {
        let key = self.key(name);
        let node = self.get(name)?;
        let Value::Array(nodes) = &node.value else {
            let key_typed = dotted(&key);
            let hint = match node.origin.is_typed() {
                true => format!(
                    "type a list, '{key_typed}=[{{ ... }}]', or set keys of one place, {key_typed}.0.KEY=VALUE"
                ),
                false => format!("write [[{key}]]"),
            };
            let what = format!("a list of tables is wanted, not {}", shown(&node.value));
            problems.add(&node.origin, &key, what, Some(hint));
            return Some(Vec::new());
        };
        let each = |(index, node)| Section::new(node, &format!("{key}[{index}]"), problems);
        Some(nodes.iter().enumerate().map(each).collect())
    }

    /// `read` gives the value, or a sentence on what is wrong with it.
    fn value<T>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.value_or(name, problems, |value| read(value).map_err(|what| (what, None)))
    }
    /// The same with a hint beside the sentence.
    fn value_or<T>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        read: impl FnOnce(&Value) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        let key = self.key(name);
        let node = self.get(name)?;
        match read(&node.value) {
            Ok(value) => Some(value),
            Err((what, hint)) => {
                problems.add(&node.origin, &key, what, hint);
                None
            }
        }
    }

    pub fn text(&mut self, name: &'static str, problems: &mut Problems) -> Option<String> {
        let typed = self.origin_of(name).is_typed();
        self.value(name, problems, |value| match (value, value.as_text()) {
            (Value::Text(text), _) => Ok(text.clone()),
            // A shell takes quotes away anyhow.
            (_, Some(text)) if typed => Ok(text),
            (other, _) => Err(format!("text in quotes is wanted, not {}", shown(other))),
        })
    }
    pub fn texts(&mut self, name: &'static str, problems: &mut Problems) -> Option<Vec<String>> {
        let read = |node: &Node| match &node.value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!("the list holds {}; text in quotes is wanted", shown(other))),
        };
        let key = self.key(name);
        let hint = match self.origin_of(name).is_typed() {
            true => format!("type '{}=[\"one\", \"two\"]'", dotted(&key)),
            false => format!("write {name} = [\"one\", \"two\"]"),
        };
        let read = |value: &Value| match value {
            Value::Array(nodes) => nodes.iter().map(read).collect(),
            other => Err(format!("a list of texts is wanted, not {}", shown(other))),
        };
        self.value_or(name, problems, |value| read(value).map_err(|what| (what, Some(hint))))
    }
    pub fn flag(&mut self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        self.value(name, problems, |value| match value {
            Value::Bool(on) => Ok(*on),
            other => Err(format!("true or false is wanted, not {}", shown(other))),
        })
    }
    /// A whole number from `low` to `high`.
    pub fn whole(&mut self, name: &'static str, low: u32, high: u32, problems: &mut Problems) -> Option<u32> {
        self.value(name, problems, |value| match value {
            Value::Integer(number) => match u32::try_from(*number) {
                Ok(number) if (low..=high).contains(&number) => Ok(number),
                _ => Err(format!("{number} is not within {low} to {high}")),
            },
            other => Err(format!("a whole number is wanted, not {}", shown(other))),
        })
    }
    /// A whole number from `low` to `high`, which may be negative.
    pub fn integer(
        &mut self,
        name: &'static str,
        low: i32,
        high: i32,
        problems: &mut Problems,
    ) -> Option<i32> {
        self.value(name, problems, |value| match value {
            Value::Integer(number) => match i32::try_from(*number) {
                Ok(number) if (low..=high).contains(&number) => Ok(number),
                _ => Err(format!("{number} is not within {low} to {high}")),
            },
            other => Err(format!("a whole number is wanted, not {}", shown(other))),
        })
    }
    /// A number from `low` to `high`.
    pub fn number(
        &mut self,
        name: &'static str,
        low: f64,
        high: f64,
        problems: &mut Problems,
    ) -> Option<f64> {
        self.value(name, problems, |value| {
            let number = match value {
                Value::Integer(number) => *number as f64,
                Value::Float(number) => *number,
                other => return Err(format!("a number is wanted, not {}", shown(other))),
            };
            if (low..=high).contains(&number) {
                Ok(number)
            } else {
                Err(format!("{number} is not within {low} to {high}"))
            }
        })
    }
    /// A span with its unit, such as "90 s".
    pub fn span(&mut self, name: &'static str, problems: &mut Problems) -> Option<SimDuration> {
        self.amount(name, "a span of time such as \"90 s\"", problems, |text| {
            parse_duration(text).map_err(|error| error.to_string())
        })
    }
    /// Bytes with their unit, such as "4 GiB".
    pub fn bytes(&mut self, name: &'static str, problems: &mut Problems) -> Option<i64> {
        self.amount(name, "an amount of memory such as \"4 GiB\"", problems, |text| {
            parse_bytes(text).map_err(|error| error.to_string())
        })
    }
    /// Millicores, written as "500m" or "2".
    pub fn cpu(&mut self, name: &'static str, problems: &mut Problems) -> Option<i64> {
        self.amount(name, "CPU such as \"500m\" or \"2\"", problems, |text| {
            parse_cpu(text).map_err(|error| error.to_string())
        })
    }
    fn amount<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let typed = self.origin_of(name).is_typed();
        self.value(name, problems, |value| match (value, value.as_text()) {
            (Value::Text(text), _) => parse(text),
            (_, Some(text)) if typed => parse(&text),
            (other, _) => Err(format!("{wanted}, in quotes, is wanted, not {}", shown(other))),
        })
    }
    /// One of a closed list.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        list: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let key = self.key(name);
        let origin = self.get(name)?.origin.clone();
        self.asked.pop();
        let text = self.text(name, problems)?;
        let found = list.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = list.iter().map(|(known, _)| *known).collect();
            let hint = nearest(&text, &names).map(|name| format!("did you mean {name:?}?"));
            problems.add(&origin, &key, format!("{text:?} is not one of {}", names.join(", ")), hint);
        }
        found
    }

    /// Tells every entry that was never asked for.
    pub fn finish(self, problems: &mut Problems) {
        if self.asked.contains(&"*") {
            return;
        }
        for (name, node) in self.entries() {
            if !self.asked.contains(&name.as_str()) {
                let hint = match nearest(name, &self.asked) {
                    Some(known) => format!("did you mean {known:?}?"),
                    None => format!("the keys here are {}", self.asked.join(", ")),
                };
                problems.add(
                    &node.origin,
                    &self.key(name),
                    format!("there is no key {name:?} here"),
                    Some(hint),
                );
            }
        }
    }
}

/// A key as it is typed behind `--set`: `deployments.0.cpu`.
fn dotted(key: &str) -> String {
    key.replace('[', ".").replace(']', "")
}

/// For messages: a text as it stands there, unless it is long, else what kind of value it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Value::Float(number) => format!("{number:?}"),
        other => other.kind().to_string(),
    }
}

/// The known name that a slip of the pen, or of the shift key, would have turned into `text`.
pub fn nearest<'n>(text: &str, known: &[&'n str]) -> Option<&'n str> {
    let small = text.to_lowercase();
    let by_distance = known.iter().map(|name| {
        let distance = strsim::damerau_levenshtein(&small, &name.to_lowercase());
        (distance, strsim::damerau_levenshtein(text, name), *name)
    });
    by_distance.min().filter(|(.., name)| is_slip_of(&small, &name.to_lowercase())).map(|(.., name)| name)
}

/// Is it `name` but for a third of its letters or so? Of names with dots each part for itself: `p9.large` is no `c5.large`.
fn is_slip_of(text: &str, name: &str) -> bool {
    let near = |text: &str, name: &str| {
        let (distance, letters) = (strsim::damerau_levenshtein(text, name), name.chars().count());
        distance <= ((letters + 1) / 3).max(1) && distance < letters.max(1)
    };
    if text.matches('.').count() != name.matches('.').count() {
        return near(text, name);
    }
    text.split('.').zip(name.split('.')).all(|(text, name)| near(text, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Document;

    /// All problems of `text` as (place, key, what), reading a few keys.
    fn problems(text: &str, settings: &[&str]) -> Vec<(String, String, String)> {
        let mut problems = Problems::default();
        let mut document = Document::parse("a.toml", text, &mut problems);
        settings.iter().for_each(|setting| document.set(setting, &mut problems));
        let mut root = Section::new(&document.root, "", &mut problems);
        root.span("horizon", &mut problems);
        root.whole("target_pods", 1, 100_000, &mut problems);
        for mut subnet in root.sections("subnets", &mut problems).unwrap_or_default() {
            subnet.whole("prefix_length", 16, 28, &mut problems);
            subnet.finish(&mut problems);
        }
        root.choice("market", &[("calm", 0), ("tight", 1)], &mut problems);
        root.finish(&mut problems);
        problems.into_vec().into_iter().map(|p| (p.place, p.key, p.what)).collect()
    }

    #[test]
    fn all_problems_come_at_once_with_their_places() {
        let text = "horizon = 30\ntarget_pods = 0\nmarkt = \"calm\"\n[[subnets]]\nprefix_length = 21\n[[subnets]]\nprefix_length = 29\n";
        let told = problems(text, &["market=thight"]);
        let places: Vec<(&str, &str)> =
            told.iter().map(|(place, key, _)| (place.as_str(), key.as_str())).collect();
        let wanted = [
            ("a.toml:1:1", "horizon"),
            ("a.toml:2:1", "target_pods"),
            ("a.toml:3:1", "markt"),
            ("a.toml:7:1", "subnets[1].prefix_length"),
            ("--set market=thight", "market"),
        ];
        assert_eq!(places, wanted, "{told:?}");
        assert!(told[3].2.contains("29 is not within 16 to 28"));
    }

    #[test]
    fn settings_go_over_what_the_file_says() {
        assert_eq!(problems("horizon = 30\nmarket = \"x\"", &["horizon=\"90 s\"", "market=tight"]), []);
    }

    #[test]
    fn a_number_typed_where_text_is_wanted_is_read_as_text() {
        let (_, _, what) = &problems("", &["horizon=5"])[0];
        assert!(what.contains("\"5\" has no unit"), "{what}");
        let (_, _, what) = &problems("", &["market=5"])[0];
        assert!(what.contains("\"5\" is not one of calm, tight"), "{what}");
    }

    #[test]
    fn the_nearest_name_is_that_in_other_letters() {
        assert_eq!(nearest("M5.LARGE", &["t2.large", "m5.large", "m5.xlarge"]), Some("m5.large"));
        assert_eq!(nearest("warm_ip_target", &["WARM_IP_TARGET", "WARM_ENI_TARGET"]), Some("WARM_IP_TARGET"));
        assert_eq!(nearest("something", &["m5.large"]), None);
        for (text, known) in [("foo", "job"), ("p99.large", "c9g.large"), ("zz", "c"), ("z", "c")] {
            assert_eq!(nearest(text, &[known]), None, "{text}");
        }
        for (text, known) in
            [("cup", "cpu"), ("m5.lrge", "m5.large"), ("m5large", "m5.large"), ("memroy", "memory")]
        {
            assert_eq!(nearest(text, &[known]), Some(known), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_toml_is_a_problem_and_not_a_panic() {
        let told = problems("horizon = \n[[subnets", &[]);
        assert!(!told.is_empty() && told[0].0.starts_with("a.toml:"), "{told:?}");
    }

    #[test]
    fn an_upper_case_name_is_a_variable_of_aws_node() {
        let mut problems = Problems::default();
        let mut document = Document::parse("a.toml", "", &mut problems);
        document.set("WARM_IP_TARGET=2", &mut problems);
        document.set("ENABLE_IPv6=true", &mut problems);
        let mut root = Section::new(&document.root, "", &mut problems);
        let mut cni = root.section("cni", &mut problems).unwrap();
        let env = cni.section("env", &mut problems).unwrap().all();
        assert_eq!((env[0].0.as_str(), &env[0].1.value), ("WARM_IP_TARGET", &Value::Text("2".into())));
        assert_eq!((env[1].0.as_str(), &env[1].1.value), ("ENABLE_IPv6", &Value::Text("true".into())));
        assert!(problems.is_empty());
    }
}
