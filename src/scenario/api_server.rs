//! `[api_server]`: seats of the API server, how long requests hold them, and agents that list pods.

use super::workload;
use crate::actors::api_server::{Flow, Namespace};
use crate::catalogue::distribution_text::parse_distribution;
use crate::chance::Distribution;
use crate::input::{Problems, Section};

/// Kinds of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RequestKind {
    Create,
    Bind,
    Patch,
    Get,
    List,
}

impl RequestKind {
    const ALL: [(&'static str, RequestKind); 5] = [
        ("create", RequestKind::Create),
        ("bind", RequestKind::Bind),
        ("patch", RequestKind::Patch),
        ("get", RequestKind::Get),
        ("list", RequestKind::List),
    ];
}

/// The API server as a queue.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiServerSpec {
    /// Of all priority levels.
    pub seats: u32,
    /// By [`RequestKind`] [s]; that of a list for 1000 pods.
    seat_times: [Distribution; RequestKind::ALL.len()],
    /// Lists of all pods that an agent on each node sends; 0: there are none.
    pub lists_per_node_s: f64,
    /// Whose requests the agents' are.
    pub agents: Flow,
}

impl ApiServerSpec {
    pub fn seat_time(&self, kind: RequestKind) -> &Distribution {
        &self.seat_times[kind as usize]
    }
}

/// Seats by default: the sum of the server's limits on reads, 400, and on writes, 200.
const SEATS: u32 = 600;
const MOST_SEATS: u32 = 1_000_000;

/// Whose requests the agents' are, by priority level.
const AGENTS: [(&str, Flow); 3] = [
    ("workload-low", Flow::ServiceAccounts),
    ("workload-high", Flow::KubeSystem(Namespace::None)),
    ("global-default", Flow::Others),
];

/// The figures of `models/api-server.toml`.
///
/// # Panics
/// Never: a test reads the same text.
fn compiled_in() -> [Distribution; RequestKind::ALL.len()] {
    let table: toml::Table =
        include_str!("../../models/api-server.toml").parse().expect("models/api-server.toml is TOML");
    RequestKind::ALL.map(|(name, _)| {
        let entry = table[name].as_table().expect("a table for each kind of request");
        parse_distribution(entry).unwrap_or_else(|error| panic!("models/api-server.toml, [{name}]: {error}"))
    })
}

pub(super) fn read(section: Option<Section<'_>>, problems: &mut Problems) -> Option<ApiServerSpec> {
    let mut section = section?;
    let mut spec = ApiServerSpec {
        seats: section.whole("seats", 1, MOST_SEATS, problems).unwrap_or(SEATS),
        seat_times: compiled_in(),
        lists_per_node_s: section.number("lists_per_node_s", 0.0, 100.0, problems).unwrap_or(0.0),
        agents: section.choice("lists_level", &AGENTS, problems).unwrap_or(Flow::ServiceAccounts),
    };
    if let Some(mut times) = section.section("seat_time", problems) {
        for (name, kind) in RequestKind::ALL {
            if let Some(law) = workload::distribution(&mut times, name, problems) {
                spec.seat_times[kind as usize] = law;
            }
        }
        times.finish(problems);
    }
    section.finish(problems);
    Some(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_seat_time_below_the_objective() {
        for ((name, kind), law) in RequestKind::ALL.into_iter().zip(compiled_in()) {
            let objective = if kind == RequestKind::List { 30.0 } else { 1.0 };
            assert!(law.quantile(0.99) < objective, "{name}: {} s", law.quantile(0.99));
        }
    }
}
