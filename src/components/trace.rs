//! A run told line by line, as JSON, for whoever asks; silent and free of cost otherwise.

use serde_json::{Map, Value};

use super::*;
use crate::units::MIB;

/// One thing that happened, and why.
pub(super) struct TraceLine(Map<String, Value>);

impl TraceLine {
    pub fn new(event: &str) -> TraceLine {
        let mut map = Map::new();
        map.insert("event".into(), event.into());
        TraceLine(map)
    }
    fn with(mut self, key: &str, value: impl Into<Value>) -> TraceLine {
        self.0.insert(key.into(), value.into());
        self
    }
    pub fn pod(self, pod: u32) -> TraceLine {
        self.with("pod", pod)
    }
    pub fn node(self, node: u32) -> TraceLine {
        self.with("node", node)
    }
    pub fn count(self, key: &str, count: usize) -> TraceLine {
        self.with(key, count)
    }
    pub fn text(self, key: &str, text: &str) -> TraceLine {
        self.with(key, text)
    }
    /// As Karpenter logs them: `{"cpu":"5125m","memory":"10Gi","pods":"7"}`.
    pub fn requests(self, requests: Resources) -> TraceLine {
        let cpu = match requests.cpu_millis % 1_000 {
            0 => (requests.cpu_millis / 1_000).to_string(),
            _ => format!("{}m", requests.cpu_millis),
        };
        let mut map = Map::new();
        map.insert("cpu".into(), cpu.into());
        if requests.memory_bytes > 0 {
            map.insert("memory".into(), quantity(requests.memory_bytes).into());
        }
        map.insert("pods".into(), requests.pods.to_string().into());
        self.with("requests", map)
    }
    /// Five names and how many others, as Karpenter logs them.
    pub fn types(self, names: &[&str]) -> TraceLine {
        let mut text = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        if names.len() > 5 {
            text.push_str(&format!(" and {} other(s)", names.len() - 5));
        }
        self.with("instance_types", text)
    }
}

fn quantity(bytes: i64) -> String {
    match bytes {
        bytes if bytes % (1_024 * MIB) == 0 => format!("{}Gi", bytes / (1_024 * MIB)),
        bytes if bytes % MIB == 0 => format!("{}Mi", bytes / MIB),
        bytes => bytes.to_string(),
    }
}

impl Run<'_> {
    pub(super) fn traces(&self) -> bool {
        self.lines.is_some()
    }

    /// Notes a line, if anybody listens.
    pub(super) fn trace(&mut self, line: impl FnOnce() -> TraceLine) {
        if let Some(lines) = &mut self.lines {
            let mut map = Map::new();
            map.insert("at_ms".into(), (self.now.nanos() as f64 / 1e6).into());
            map.extend(line().0);
            lines.push(Value::Object(map).to_string());
        }
    }

    /// The event itself, with the cause that those it concerns had until now.
    pub(super) fn trace_event(&mut self, event: &Event) {
        if !self.traces() {
            return;
        }
        let ((name, _), (whom, number)) = (event.kind(), event.whom());
        let mut line = TraceLine::new(name);
        if whom != Whom::Nobody {
            line = line.with(whom.name(), number);
        }
        if whom == Whom::Pod
            && let Some(cause) = self.pods[number as usize].cause
        {
            line = line.text("waited_for", cause.name());
        }
        if let Event::Ec2CallEnded { api, count, .. } | Event::Ec2CallRetried { api, count, .. } = event {
            line = line.text("api", api.name());
            if api.counts() {
                line = line.count("count", *count as usize);
            }
        }
        self.trace(|| line);
    }

    /// Mixes an event into the hash of the run.
    pub(super) fn hash_event(&mut self, event: &Event) {
        let ((_, kind), (_, number)) = (event.kind(), event.whom());
        let word = self.now.nanos() ^ u64::from(number) << 32 ^ u64::from(kind) << 24;
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    }
}
