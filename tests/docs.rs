//! What the documents say is what the program knows.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use common::{error, kilopod, scratch};
use kilopod::advice::read_file;
use kilopod::catalogue::Catalogue;
use kilopod::decide::{Program, answer_line};
use kilopod::world::cause::Cause;
use serde_json::Value;

const ADVICE: &str = include_str!("../docs/advice.md");
const DECIDE: &str = include_str!("../docs/decide.md");
const RUN: &str = include_str!("../docs/run.md");

/// The blocks of code of a language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let parts = document.split("```").skip(1).step_by(2);
    parts.filter_map(|block| block.strip_prefix(language)).map(str::trim).collect()
}
/// The first cells of the table whose header begins so, names in `code` one by one; with the text of the second cell.
fn table<'a>(document: &'a str, header: &str) -> Vec<(&'a str, &'a str)> {
    let lines = document.split_once(header).unwrap_or_else(|| panic!("no table {header}")).1.lines().skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (names, second) = (cells.next().unwrap(), cells.next().unwrap());
        names.split('`').skip(1).step_by(2).map(move |name| (name, second))
    })
    .collect()
}
fn names<'a>(document: &'a str, header: &str) -> Vec<&'a str> {
    table(document, header).into_iter().map(|(name, _)| name).collect()
}
/// What an error message lists in `code` behind these words.
fn listed(message: &str, behind: &str) -> Vec<String> {
    let list = message.split_once(behind).map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).map(String::from).collect()
}

#[test]
fn the_example_of_advice_is_accepted_and_has_every_key() {
    let folder = scratch("docs-advice");
    let block = blocks(ADVICE, "toml")[0];
    let file = folder.join("example.advice.toml");
    std::fs::write(&file, block).unwrap();
    let catalogue = Arc::new(Catalogue::compiled_in());
    let advice = read_file(&file, &catalogue).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert!(advice.warnings.is_empty() && advice.claims.len() == 2, "{:?}", advice.warnings);
    // Of a key that nothing is like, all that are known are told.
    let odd = block
        .replace("title =", "qqqqqqqqqqqqqqqqqq = 1\ntitle =")
        .replace("says = \"it is", "qqqqqqqqqqqqqqqqqq = 1\nsays = \"it is");
    std::fs::write(&file, odd).unwrap();
    let mut keys = 0;
    for problem in read_file(&file, &catalogue).unwrap_err() {
        let hint = problem.hint.unwrap();
        for key in hint.strip_prefix("the keys here are ").expect("a list of keys").split(", ") {
            keys += 1;
            let written = [format!("{key} = "), format!("[{key}]"), format!("[[{key}]]"), format!("`{key}`")];
            assert!(written.iter().any(|form| ADVICE.contains(form)), "docs/advice.md lacks {key}");
        }
    }
    assert!(keys >= 15, "{keys}");
}

#[test]
fn each_verdict_and_exit_code_of_check_is_documented() {
    for verdict in ["holds", "broken", "undecided"] {
        assert!(ADVICE.contains(&format!("**{verdict}**")), "{verdict}");
    }
    let folder = scratch("docs-verdicts");
    let claim = |limit: &str, count: u32| {
        format!(
            "replications = {count}\n[scenario]\n[[scenario.deployments]]\nreplicas = 3\n[[claims]]\nsays = \"x\"\nmetric = \"time_restricted_ms\"\n{limit}\n"
        )
    };
    for (text, code, verdict) in [
        (claim("at_most = 1e9", 3), 0, "holds"),
        (claim("at_most = 1", 3), 3, "broken"),
        (claim("statistic = \"share\"\nat_least = 0.9", 3), 4, "undecided"),
        (claim("at_mots = 1", 3), 2, ""),
    ] {
        std::fs::write(folder.join("a.advice.toml"), text).unwrap();
        let output = kilopod(&folder, &["check", "a.advice.toml"]);
        assert_eq!(output.status.code(), Some(code), "{}", error(&output));
        assert!(String::from_utf8(output.stdout).unwrap().contains(verdict));
        assert!(ADVICE.contains(&format!("\n| {code} | ")), "{code}");
    }
}

const PROGRAMS: [(&str, Program); 4] = [
    ("ipamd", Program::Ipamd),
    ("karpenter", Program::Karpenter),
    ("kube-scheduler", Program::KubeScheduler),
    ("hpa", Program::Hpa),
];

/// A program's part of docs/decide.md.
fn part_of(program: &str) -> &'static str {
    let rest = DECIDE.split_once(&format!("## `decide {program}`")).unwrap().1;
    rest.split_once("\n## ").map_or(rest, |(part, _)| part)
}
fn is_named(part: &str, key: &str) -> bool {
    [format!("`{key}`"), format!("`{key}?`")].iter().any(|form| part.contains(form))
}
/// All keys of an answer.
fn keys_of(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys_of(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| keys_of(value, found)),
        _ => {}
    }
}

#[test]
fn the_examples_of_decide_are_cases_and_their_answers_have_documented_keys() {
    let catalogue = Catalogue::compiled_in();
    for (name, program) in PROGRAMS {
        let part = part_of(name);
        let (answer, good) = answer_line(program, blocks(part, "json")[0], &catalogue);
        assert!(good, "{name}: {answer}");
        let mut keys = BTreeSet::new();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        // By plugins' names.
        let nodes = answer.get_mut("nodes").and_then(Value::as_array_mut);
        nodes.into_iter().flatten().for_each(|node| node["scores"] = Value::Null);
        keys_of(&answer, &mut keys);
        for key in keys.iter().filter(|key| *key != "id") {
            assert!(is_named(part, key), "docs/decide.md, {name} lacks {key}");
        }
    }
}

/// Where unknown keys are refused all known ones are listed.
#[test]
fn every_key_of_a_case_is_documented() {
    let catalogue = Catalogue::compiled_in();
    let odd = r#"{"qqq":1}"#;
    for (name, program, cases) in [
        (
            "ipamd",
            Program::Ipamd,
            vec![
                odd.into(),
                format!(r#"{{"limits":{odd}}}"#),
                format!(r#"{{"events":[{odd}]}}"#),
                format!(r#"{{"time":{odd}}}"#),
            ],
        ),
        (
            "karpenter",
            Program::Karpenter,
            ["unavailable", "node_pools", "daemonsets", "pods", "existing_nodes"]
                .iter()
                .map(|list| format!(r#"{{"{list}":[{odd}]}}"#))
                .chain(
                    ["requirements", "taints"]
                        .iter()
                        .map(|list| format!(r#"{{"node_pools":[{{"{list}":[{odd}]}}]}}"#)),
                )
                .chain(
                    ["tolerations", "topology_spread"]
                        .iter()
                        .map(|list| format!(r#"{{"pods":[{{"{list}":[{odd}]}}]}}"#)),
                )
                .chain([odd.to_string(), format!(r#"{{"node_pools":[{{"limits":{odd}}}]}}"#)])
                .collect(),
        ),
        (
            "kube-scheduler",
            Program::KubeScheduler,
            ["containers", "topology_spread"]
                .iter()
                .map(|list| format!(r#"{{"pod":{{"{list}":[{odd}]}}}}"#))
                .chain(
                    ["allocatable", "requested"]
                        .iter()
                        .map(|key| format!(r#"{{"nodes":[{{"{key}":{odd}}}]}}"#)),
                )
                .chain([
                    odd.to_string(),
                    format!(r#"{{"pod":{odd}}}"#),
                    format!(r#"{{"nodes":[{odd}]}}"#),
                    format!(r#"{{"nodes":[{{"images":[{odd}]}}]}}"#),
                ])
                .collect(),
        ),
        (
            "hpa",
            Program::Hpa,
            ["pods", "history", "scale_events"]
                .iter()
                .map(|list| format!(r#"{{"{list}":[{odd}]}}"#))
                .chain([
                    odd.to_string(),
                    format!(r#"{{"behavior":{odd}}}"#),
                    format!(r#"{{"behavior":{{"scaleUp":{odd}}}}}"#),
                    format!(r#"{{"behavior":{{"scaleUp":{{"policies":[{odd}]}}}}}}"#),
                ])
                .collect(),
        ),
    ] {
        for case in cases {
            let (answer, good) = answer_line(program, &case, &catalogue);
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let known = listed(answer["error"].as_str().unwrap(), "expected ");
            assert!(!good && known.len() > 1, "{case}: {answer}");
            for key in known.iter().filter(|key| *key != "id") {
                assert!(is_named(part_of(name), key), "docs/decide.md, {name} lacks {key} ({case})");
            }
        }
    }
}

#[test]
fn the_causes_are_all_of_them_in_order() {
    assert_eq!(names(RUN, "| cause | "), Cause::ALL.map(Cause::name));
}

#[test]
fn the_keys_of_run_s_json_are_all_of_them() {
    let folder = scratch("docs-json");
    std::fs::write(folder.join("a.toml"), "[[deployments]]\nreplicas = 2\n").unwrap();
    let output = kilopod(&folder, &["run", "a.toml", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let keys = table(RUN, "| key | what |");
    assert_eq!(keys.iter().map(|(key, _)| key.to_string()).collect::<BTreeSet<_>>(), of(&answer));
    for (list, entries) in [("subnets", &answer["subnets"]), ("nodes_launched", &answer["nodes_launched"])] {
        let (_, said) = keys.iter().find(|(key, _)| *key == list).unwrap();
        of(&entries[0]).iter().for_each(|key| assert!(said.contains(&format!("`{key}`")), "{list}: {key}"));
    }
}

/// Scenarios in which much happens.
const EVENTFUL: [&str; 3] = [
    "horizon = \"8 min\"\n[[deployments]]\nreplicas = 12\nrollouts = [{ at = \"3 min\" }]\n\
     memory_usage = { steady = \"3 GiB\", grows_over = \"2 min\", limit = \"2500 MiB\" }\n\
     [[node_pools]]\ndisruption = {}\n[cni]\nrestarts = [{ at = \"4 min\" }]\n[kubelet]\n[api_server]\n",
    "horizon = \"12 min\"\nmarket = \"tight\"\nuntil = \"horizon\"\n[[deployments]]\nreplicas = 30\nsecurity_groups = true\n\
     [[jobs]]\ncompletions = 8\nparallelism = 3\n[[node_pools]]\ninstance_types = [\"m5.large\"]\n\
     capacity_types = [\"spot\"]\n[cni.env]\nENABLE_POD_ENI = \"true\"\n",
    "horizon = \"8 min\"\nneighbours = [{ at = \"1 min\", addresses = 3, lasts = \"1 min\" }]\n\
     [[deployments]]\nreplicas = 1\npriority = 5\n\
     autoscaler = { min = 2, max = 30, load = [{ at = \"0 s\", value = 3000 }] }\n\
     [[deployments]]\nreplicas = 3\n[quotas]\non_demand_vcpus = 20\n",
];

/// Events are all that there are; of decisions and of fields, all that come up in these runs.
#[test]
fn the_lines_of_a_trace_are_documented() {
    let source = include_str!("../src/components/event.rs");
    let known: BTreeSet<&str> = source
        .split("=> (\"")
        .skip(1)
        .filter_map(|rest| rest.split_once("\", "))
        .map(|(name, _)| name)
        .collect();
    let mut tables = RUN.match_indices("| `event` | fields | what |").map(|(at, _)| &RUN[at..]);
    let (decisions, events) = (tables.next().unwrap(), tables.next().unwrap());
    let header = "| `event` | fields | what |";
    let said: Vec<&str> = names(events, header);
    assert_eq!(said.iter().copied().collect::<BTreeSet<_>>(), known);
    assert_eq!(said.len(), known.len(), "an event is there twice");
    let fields: BTreeMap<&str, &str> =
        table(decisions, header).into_iter().chain(table(events, header)).collect();
    let own = names(RUN, "| field | what |");
    let sources = components();
    for (name, _) in table(decisions, header) {
        assert!(sources.contains(&format!("\"{name}\"")), "nothing traces {name}");
    }
    let folder = scratch("docs-trace");
    let mut seen = BTreeSet::new();
    for text in EVENTFUL {
        std::fs::write(folder.join("a.toml"), text).unwrap();
        let output = kilopod(&folder, &["run", "a.toml", "--trace", "t.jsonl"]);
        assert!(output.status.success(), "{}", error(&output));
        for line in std::fs::read_to_string(folder.join("t.jsonl")).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let name = line["event"].as_str().unwrap().to_string();
            let said = fields.get(name.as_str()).unwrap_or_else(|| panic!("docs/run.md lacks {name}"));
            for field in
                line.as_object().unwrap().keys().filter(|field| !["at_ms", "event"].contains(&field.as_str()))
            {
                assert!(said.contains(&format!("`{field}`")), "{name} has {field}");
                assert!(
                    own.contains(&field.as_str()) || field == "waited_for",
                    "no row says what {field} is"
                );
            }
            seen.insert(name);
        }
    }
    assert!(seen.len() > 55, "only {} kinds of lines: {seen:?}", seen.len());
}

/// All source of `src/components`.
fn components() -> String {
    fn read(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { read(&path, text) } else { *text += &std::fs::read_to_string(path).unwrap() }
        }
    }
    let mut text = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/components"), &mut text);
    text
}
