//! `host_ports` of pods: which ports of their nodes they take.

use std::net::IpAddr;

use super::checked::{DeploymentSpec, Scenario};
use crate::actors::host_port::{HostPort, Protocol, keep_apart};
use crate::input::{Problems, Section, Value};

const PROTOCOLS: [(&str, Protocol); 3] =
    [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp), ("SCTP", Protocol::Sctp)];

/// A list of ports, or of tables `{ port, protocol, ip }`.
pub(super) fn read(section: &mut Section<'_>, problems: &mut Problems) -> Vec<HostPort> {
    let Some(node) = section.get("host_ports") else { return Vec::new() };
    let key = section.key("host_ports");
    let Value::Array(entries) = &node.value else {
        let what = format!("a list of ports is wanted, not {}", node.value.kind());
        problems.add(&node.origin, &key, what, Some("write host_ports = [8080]".into()));
        return Vec::new();
    };
    let mut read = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let path = format!("{key}[{place}]");
        let found = match &entry.value {
            Value::Integer(port @ 1..=65_535) => {
                Some(HostPort { port: *port as u16, protocol: Protocol::Tcp, ip: None })
            }
            Value::Table(_) => port(Section::new(entry, &path, problems), problems),
            other => {
                let found = match other {
                    Value::Integer(number) => number.to_string(),
                    other => other.kind().to_string(),
                };
                let what = format!("{found} is neither a port from 1 to 65535 nor a table with one");
                let hint = "write { port = 53, protocol = \"UDP\", ip = \"127.0.0.1\" }";
                problems.add(&entry.origin, &path, what, Some(hint.into()));
                None
            }
        };
        match found {
            Some(found) if read.contains(&found) => {
                let hint = Some("a pod has a port of its node once".into());
                problems.add(&entry.origin, &path, "this one is there twice", hint);
            }
            found => read.extend(found),
        }
    }
    read
}

fn port(mut entry: Section<'_>, problems: &mut Problems) -> Option<HostPort> {
    let port = entry.whole("port", 1, 65_535, problems);
    let protocol = entry.choice("protocol", &PROTOCOLS, problems).unwrap_or(Protocol::Tcp);
    let text = entry.text("ip", problems).filter(|text| !text.is_empty());
    let ip: Option<IpAddr> = text.as_ref().and_then(|text| text.parse().ok());
    if text.is_some() && ip.is_none() {
        let hint = Some("leave it out for all addresses of the node".into());
        problems.add(entry.origin_of("ip"), &entry.key("ip"), "this is no IP address", hint);
    }
    if port.is_none() && entry.get("port").is_none() {
        problems.add(entry.origin(), &entry.key("port"), "which port?", None);
    }
    entry.finish(problems);
    // 0.0.0.0 stands for all.
    let ip = ip.filter(|ip| !matches!(ip, IpAddr::V4(ip) if ip.is_unspecified()));
    Some(HostPort { port: port? as u16, protocol, ip })
}

/// A warning for each Deployment and Job of which a DaemonSet has a port on every node.
pub(super) fn warnings(scenario: &Scenario) -> Vec<String> {
    let deployments = scenario.deployments.iter().zip(0..).map(|(spec, index)| ("deployments", index, spec));
    let jobs = scenario.jobs.iter().zip(0..).map(|(spec, index)| ("jobs", index, spec));
    let told = |(list, index, spec): (&str, u32, &DeploymentSpec)| {
        let own = &spec.placement.host_ports;
        let mut everywhere = scenario.daemonsets.iter().filter(|daemon| daemon.is_everywhere());
        let other = everywhere
            .find(|daemon| keep_apart(own, &daemon.placement.host_ports, HostPort::clashes_for_karpenter))?;
        Some(format!(
            "no pod of {list}[{index}] ({}) finds a node: DaemonSet {} has one of its host ports on each",
            spec.name, other.name
        ))
    };
    deployments.chain(jobs).filter_map(told).collect()
}
