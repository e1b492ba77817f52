//! DaemonSets' pods on nodes to be: which of a NodePool's instance types get which of them.
//!
//! A DaemonSet counts for a type if it tolerates the pool's taints, startup taints and those that are only preferred apart, and if
//! labels of the pool and of the type may meet what it requires; what it prefers says nothing. Types of a pool
//! that get the same DaemonSets are a group. On nodes that are there, those under way included, Karpenter looks for a DaemonSet
//! by the first of its terms that looking at types has left.
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/controllers/provisioning/scheduling/scheduler.go`,
//! `buildDaemonOverheadGroups`, `isDaemonPodCompatible` and `isDaemonPodCompatibleWithNode`.

use std::collections::BTreeMap;

use super::offers::{Offered, Types};
use super::requirement::Requirements;
use crate::actors::host_port::HostPort;
use crate::actors::node_affinity::Term;
use crate::actors::taints::{Taint, Toleration, tolerated};
use crate::units::Resources;

/// A DaemonSet of which more counts than what its pods request.
#[derive(Clone, PartialEq, Debug)]
pub struct DaemonSet {
    pub requests: Resources,
    pub node_selector: BTreeMap<String, String>,
    /// Of its affinity to nodes one of these must be met; none: no requirement.
    pub required: Vec<Term>,
    pub tolerations: Vec<Toleration>,
    pub host_ports: Vec<HostPort>,
}

impl DaemonSet {
    /// Does it have a pod on nodes of the type? A term that fails for one is forgotten for all that come after, unless it is the
    /// last: Karpenter takes it off its one copy of the pod.
    fn comes_to(&mut self, taints: &[Taint], template: &Requirements, offered: &Offered) -> bool {
        let kept_off = |taint: &Taint| taint.effect.keeps_off() && !tolerated(taint, &self.tolerations);
        if taints.iter().any(kept_off) {
            return false;
        }
        loop {
            let asked = self.strict();
            if template.compatible(&asked, true) && offered.requirements.intersects(&asked) {
                return true;
            }
            if self.required.len() < 2 {
                return false;
            }
            self.required.remove(0);
        }
    }

    /// Does Karpenter expect a pod of it on a node that is there? Of its terms only the first that is left counts.
    pub fn is_expected_on(&self, taints: &[Taint], labels: &Requirements) -> bool {
        let kept_off = |taint: &Taint| taint.effect.keeps_off() && !tolerated(taint, &self.tolerations);
        !taints.iter().any(kept_off) && labels.compatible(&self.strict(), false)
    }

    /// What it requires of labels, by the first of its terms.
    fn strict(&self) -> Requirements {
        let selector = self.node_selector.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut strict = Requirements::of_labels(selector);
        self.required.iter().take(1).for_each(|term| term.narrow(&mut strict));
        strict
    }
}

/// A pool's types by the DaemonSets that their nodes get.
#[derive(Clone, Debug)]
pub struct DaemonGroups {
    /// By type: the place of its group; empty: there is one group.
    of_type: Vec<u32>,
    /// What the DaemonSets of each group request.
    overheads: Vec<Resources>,
    /// Host ports that they take.
    host_ports: Vec<Vec<HostPort>>,
}

impl DaemonGroups {
    /// Of the types of `within`, beside DaemonSets that come to every node and request `everywhere`.
    pub fn new(
        daemons: &mut [DaemonSet],
        everywhere: Resources,
        (taints, template): (&[Taint], &Requirements),
        types: &[Offered],
        within: &Types,
    ) -> DaemonGroups {
        let mut groups: Vec<Vec<bool>> = Vec::new();
        let mut of_type = vec![0; types.len()];
        for place in within.iter() {
            let comes = |daemon: &mut DaemonSet| daemon.comes_to(taints, template, &types[place]);
            let own: Vec<bool> = daemons.iter_mut().map(comes).collect();
            let known = groups.iter().position(|group| *group == own);
            of_type[place] = known.unwrap_or(groups.len()) as u32;
            if known.is_none() {
                groups.push(own);
            }
        }
        let overhead = |group: &Vec<bool>| {
            let own = daemons.iter().zip(group).filter(|(_, comes)| **comes);
            own.fold(everywhere, |sum, (daemon, _)| sum + daemon.requests)
        };
        if groups.is_empty() {
            groups.push(vec![false; daemons.len()]);
        }
        let ports = |group: &Vec<bool>| {
            let own = daemons.iter().zip(group).filter(|(_, comes)| **comes);
            own.flat_map(|(daemon, _)| daemon.host_ports.iter().copied()).collect()
        };
        DaemonGroups {
            of_type: if groups.len() == 1 { Vec::new() } else { of_type },
            overheads: groups.iter().map(overhead).collect(),
            host_ports: groups.iter().map(ports).collect(),
        }
    }

    fn group(&self, place: usize) -> usize {
        self.of_type.get(place).map_or(0, |group| *group as usize)
    }
    /// What DaemonSets' pods request on a node of the type.
    pub fn overhead(&self, place: usize) -> Resources {
        self.overheads[self.group(place)]
    }
    /// Host ports that they take there.
    pub fn host_ports(&self, place: usize) -> &[HostPort] {
        &self.host_ports[self.group(place)]
    }
    /// What they request on a node of any type; `None`: that depends on the type.
    pub fn same(&self) -> Option<Resources> {
        self.of_type.is_empty().then(|| self.overheads[0])
    }
    /// What they request at least on a node of one of these types.
    pub fn least(&self, types: &Types) -> Resources {
        let overheads = types.iter().map(|place| self.overhead(place));
        overheads.reduce(Resources::least).unwrap_or(Resources::ZERO)
    }
}
