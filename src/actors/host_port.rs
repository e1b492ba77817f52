//! Ports that pods take of their nodes, which two pods on one node cannot both have.
//!
//! kube-scheduler and Karpenter differ in one thing: `::` is an address like any other to the one, all addresses to the other.
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/nodeports` and kube-scheduler `framework/types.go`
//! (`HostPortInfo`); kubernetes-sigs/karpenter v1.14.0, `pkg/scheduling/hostportusage.go`.

use std::net::IpAddr;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// `hostPort` of a container, with its `protocol` and `hostIP`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HostPort {
    pub port: u16,
    pub protocol: Protocol,
    /// `None`: all addresses of the node, which is `0.0.0.0` too.
    pub ip: Option<IpAddr>,
}

impl HostPort {
    /// Do both want the same, as kube-scheduler has it?
    pub fn clashes(&self, other: &HostPort) -> bool {
        let same = (self.port, self.protocol) == (other.port, other.protocol);
        same && (self.ip.is_none() || other.ip.is_none() || self.ip == other.ip)
    }
    /// The same as Karpenter has it.
    pub fn clashes_for_karpenter(&self, other: &HostPort) -> bool {
        let all = |port: &HostPort| HostPort { ip: port.ip.filter(|ip| !ip.is_unspecified()), ..*port };
        all(self).clashes(&all(other))
    }
}

/// Can pods with these ports not share a node, by `clashes` of two ports?
pub fn keep_apart(some: &[HostPort], others: &[HostPort], clashes: fn(&HostPort, &HostPort) -> bool) -> bool {
    some.iter().any(|port| others.iter().any(|other| clashes(port, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_clash_by_number_protocol_and_address() {
        let port = |port, protocol, ip: &str| HostPort { port, protocol, ip: ip.parse().ok() };
        let own = port(80, Protocol::Tcp, "10.0.0.1");
        for (other, scheduler, karpenter) in [
            (port(80, Protocol::Tcp, "10.0.0.1"), true, true),
            (port(80, Protocol::Tcp, ""), true, true),
            (port(80, Protocol::Tcp, "10.0.0.2"), false, false),
            (port(80, Protocol::Udp, "10.0.0.1"), false, false),
            (port(81, Protocol::Tcp, ""), false, false),
            (port(80, Protocol::Tcp, "::"), false, true),
        ] {
            assert_eq!((own.clashes(&other), other.clashes(&own)), (scheduler, scheduler), "{other:?}");
            let both = (own.clashes_for_karpenter(&other), other.clashes_for_karpenter(&own));
            assert_eq!(both, (karpenter, karpenter), "{other:?}");
        }
    }
}
