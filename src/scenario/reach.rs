//! Pools that can launch nothing, and pods that no node takes, as far as labels, taints and pod slots go; requests are
//! looked at in `plausible`.

use super::checked::*;
use super::placement::Placement;
use super::plausible::region;
use super::volumes::volume_requirements;
use crate::actors::karpenter::labels::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, type_requirements};
use crate::actors::karpenter::requirement::{Requirement, Requirements};
use crate::actors::taints::{Toleration, first_untolerated};
use crate::catalogue::InstanceType;

/// A warning for each pool without an instance type, each Deployment, Job and DaemonSet without a node, and slots that DaemonSets fill.
pub(super) fn warnings(scenario: &Scenario) -> Vec<String> {
    let pools: Vec<Pool<'_>> = scenario.node_pools.iter().map(|spec| Pool::new(scenario, spec)).collect();
    let mut told: Vec<String> = pools.iter().zip(0..).filter_map(|(pool, index)| pool.empty(index)).collect();
    let deployments = scenario.deployments.iter().zip(0..).map(|(spec, index)| ("deployments", index, spec));
    let jobs = scenario.jobs.iter().zip(0..).map(|(spec, index)| ("jobs", index, spec));
    for (list, index, spec) in deployments.chain(jobs) {
        let key = format!("{list}[{index}] ({})", spec.name);
        told.extend(nowhere(scenario, &pools, &key, &spec.placement, false));
    }
    for (daemon, index) in scenario.daemonsets.iter().zip(0..) {
        let key = format!("daemonsets[{index}] ({})", daemon.name);
        told.extend(nowhere(scenario, &pools, &key, &daemon.placement, daemon.tolerates_everything));
    }
    told.extend(slots(scenario));
    told
}

/// A pool that can launch something, and what its nodes have of labels.
struct Pool<'a> {
    scenario: &'a Scenario,
    spec: &'a NodePoolSpec,
    wanted: Requirements,
}

impl<'a> Pool<'a> {
    fn new(scenario: &'a Scenario, spec: &'a NodePoolSpec) -> Pool<'a> {
        Pool { scenario, spec, wanted: spec.joined_requirements() }
    }
    /// Does a type meet all of these, offered in some zone and way?
    fn has_type(&self, wanted: &Requirements) -> bool {
        self.scenario.catalogue.types().iter().any(|found| meets(self.scenario, found, wanted))
    }
    fn empty(&self, index: u32) -> Option<String> {
        if self.has_type(&self.wanted) {
            return None;
        }
        let alone = |(key, requirement): &(&str, &Requirement)| {
            let mut one = Requirements::default();
            one.add(key, requirement);
            !self.has_type(&one)
        };
        let keys: Vec<&str> = self.wanted.iter().filter(alone).map(|(key, _)| key).collect();
        let which = match keys.is_empty() {
            true => "all of its requirements together".to_string(),
            false => format!("what it requires of {}", keys.join(", ")),
        };
        let reserved = keys.contains(&CAPACITY_TYPE) && self.scenario.capacity_reservations.is_empty();
        let why = if reserved { "; there are no [[capacity_reservations]]" } else { "" };
        Some(format!(
            "node_pools[{index}] ({}) launches nothing: no instance type meets {which}{why}",
            self.spec.name
        ))
    }
    /// Might one of its nodes be what pods ask of labels, and do they tolerate its taints?
    fn serves(&self, asked: &Requirements, tolerations: &[Toleration]) -> bool {
        self.narrowed(asked, tolerations).is_some_and(|own| self.has_type(&own))
    }
    /// What a node of it is to be to which such pods may come; `None` if none may be.
    fn narrowed(&self, asked: &Requirements, tolerations: &[Toleration]) -> Option<Requirements> {
        let mut own = self.wanted.clone();
        own.add_all(&Requirements::of_labels(
            self.spec.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        ));
        own.add(NODE_POOL, &Requirement::any_of([self.spec.name.as_str()]));
        if !own.compatible(asked, true) || first_untolerated(&self.spec.taints, tolerations).is_some() {
            return None;
        }
        own.add_all(asked);
        Some(own)
    }
}

/// Types that a node of the pool may be to which pods of this placement may come, as far as labels and taints go.
pub(super) fn types_within_reach<'a>(
    scenario: &'a Scenario,
    pool: &'a NodePoolSpec,
    placement: &'a Placement,
) -> impl Iterator<Item = &'a InstanceType> {
    let pool = Pool::new(scenario, pool);
    let narrow = |asked: &Requirements| pool.narrowed(asked, &placement.tolerations);
    let wanted: Vec<Requirements> = alternatives(placement).iter().filter_map(narrow).collect();
    let types = scenario.catalogue.types().iter();
    types.filter(move |found| wanted.iter().any(|wanted| meets(scenario, found, wanted)))
}

/// Types that meet the pool's requirements, offered in some zone and way.
pub(super) fn types_of<'a>(
    scenario: &'a Scenario,
    pool: &NodePoolSpec,
) -> impl Iterator<Item = &'a InstanceType> + use<'a> {
    let wanted = pool.joined_requirements();
    let types = scenario.catalogue.types().iter();
    types.filter(move |found| meets(scenario, found, &wanted))
}

/// Does the type meet all of these, offered in some zone and way?
fn meets(scenario: &Scenario, found: &InstanceType, wanted: &Requirements) -> bool {
    // Its name is soon looked at, and all that most pools ask for.
    wanted.allows(INSTANCE_TYPE, &found.name) && of_type(scenario, found, wanted).intersects(wanted)
}

/// A type's labels, as far as they are asked for.
fn of_type(scenario: &Scenario, found: &InstanceType, asked: &Requirements) -> Requirements {
    let kinds: &[&str] = match scenario.capacity_reservations.is_empty() {
        true => &["on-demand", "spot"],
        false => &["on-demand", "spot", "reserved"],
    };
    let mut zones: Vec<String> = Vec::new();
    for subnet in scenario.subnets.iter().filter(|subnet| subnet.nodes) {
        zones.extend(scenario.zones.get(subnet.zone as usize).cloned());
    }
    let region = zones.first().map_or("", |zone| region(zone)).to_string();
    type_requirements(found, &region, &zones, kinds, |key| asked.get(key).is_some())
}

/// What pods and their volumes ask of labels: their selector with each of the terms of which one must be met.
fn alternatives(placement: &Placement) -> Vec<Requirements> {
    let selector = placement.node_selector.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let selector = Requirements::of_labels(selector);
    let mut selector = selector;
    selector.add_all(&volume_requirements(&placement.volumes));
    let terms = &placement.node_affinity.required;
    if terms.is_empty() {
        return vec![selector];
    }
    let narrowed = terms.iter().map(|term| {
        let mut asked = selector.clone();
        term.narrow(&mut asked);
        asked
    });
    narrowed.collect()
}

/// A warning if no node may take pods that ask for this. `tolerates`: they come to tainted static nodes too.
fn nowhere(
    scenario: &Scenario,
    pools: &[Pool<'_>],
    key: &str,
    placement: &Placement,
    tolerates: bool,
) -> Option<String> {
    let asked = alternatives(placement);
    let of_group = |group: &StaticNodes| {
        let found = scenario.catalogue.get(group.instance_type);
        asked.iter().any(|asked| {
            let absent = |key: &str| asked.get(key).is_some_and(|asked| !asked.allows_absence());
            let own = of_type(scenario, found, asked);
            own.compatible(asked, true) && !absent(NODE_POOL) && !absent(CAPACITY_TYPE)
        })
    };
    let everything = [Toleration::of_everything()];
    let tolerations = if tolerates { &everything } else { placement.tolerations.as_slice() };
    let served = |pool: &Pool<'_>| asked.iter().any(|asked| pool.serves(asked, tolerations));
    // Pools that launch nothing at all are told by themselves.
    let live: Vec<&Pool<'_>> = pools.iter().filter(|pool| pool.has_type(&pool.wanted)).collect();
    if live.is_empty() || live.into_iter().any(served) {
        return None;
    }
    let open = |group: &&StaticNodes| group.count > 0 && (tolerates || !group.critical_addons_only);
    if scenario.static_nodes.iter().filter(open).any(of_group) {
        return None;
    }
    let mut names: Vec<&str> = asked.iter().flat_map(Requirements::iter).map(|(key, _)| key).collect();
    names.sort_unstable();
    names.dedup();
    let selects =
        if names.is_empty() { String::new() } else { format!(" (it selects by {})", names.join(", ")) };
    Some(format!(
        "no pod of {key} finds a node: of each pool its selector, affinity or volumes{selects} or a taint keeps it off"
    ))
}

/// DaemonSets' pods take slots too.
fn slots(scenario: &Scenario) -> Option<String> {
    let daemons = scenario.daemonsets.iter().filter(|daemon| daemon.placement.takes_any_labels()).count();
    let slots = scenario
        .cni
        .max_pods
        .filter(|slots| *slots as usize <= daemons && !scenario.node_pools.is_empty())?;
    Some(format!(
        "cni.max_pods = {slots}: the {daemons} DaemonSets have a pod on each node, which leaves no room for others; write {} at least",
        daemons + 1
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::read;
    use crate::catalogue::Catalogue;
    use crate::input::{Document, Problems};

    fn warnings(text: &str) -> Vec<String> {
        let mut problems = Problems::default();
        let document = Document::parse("a.toml", text, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let read = read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()));
        read.unwrap_or_else(|problems| panic!("{problems:?}")).warnings
    }
    /// One warning that has all of these parts, or none.
    fn check(text: &str, parts: &[&str]) {
        let told = warnings(text);
        assert_eq!(told.len(), usize::from(!parts.is_empty()), "{text}: {told:?}");
        parts.iter().for_each(|part| assert!(told[0].contains(part), "{part}: {told:?}"));
    }
    const ONE: &str = "[[deployments]]\nname = \"app\"\nreplicas = 1\n";

    #[test]
    fn a_pool_without_an_instance_type_is_warned_of() {
        let pool = |key: &str, operator: &str, value: &str| {
            format!(
                "{ONE}[[node_pools]]\nname = \"big\"\nrequirements = [{{ key = \"{key}\", operator = \"{operator}\", values = [\"{value}\"] }}]\n"
            )
        };
        let (cpu, arch) = ("karpenter.k8s.aws/instance-cpu", "kubernetes.io/arch");
        check(&pool(cpu, "Gt", "16"), &[]);
        check(&pool(cpu, "Gt", "1600"), &["node_pools[0] (big) launches nothing", cpu]);
        check(&pool(arch, "In", "arm46"), &["node_pools[0] (big)", arch]);
        check(&pool("topology.kubernetes.io/zone", "In", "us-east-1f"), &["topology.kubernetes.io/zone"]);
        let both = format!("{}instance_types = [\"m5.large\"]\n", pool(arch, "In", "arm64"));
        check(&both, &["all of its requirements together"]);
        let reserved = format!("{ONE}[[node_pools]]\ncapacity_types = [\"reserved\"]\n");
        check(&reserved, &["there are no [[capacity_reservations]]"]);
        let one =
            "[[capacity_reservations]]\ninstance_type = \"m5.large\"\nzone = \"us-east-1a\"\ncount = 1\n";
        check(&(reserved + one), &[]);
    }

    #[test]
    fn pods_that_no_pool_takes_are_warned_of() {
        let with = |selector: &str, pool: &str| {
            format!("{ONE}node_selector = {{ {selector} }}\n[[node_pools]]\n{pool}\n")
        };
        check(&with("team = \"a\"", "labels = { team = \"a\" }"), &[]);
        check(
            &with("team = \"b\"", "labels = { team = \"a\" }"),
            &["no pod of deployments[0] (app)", "team"],
        );
        check(&with("disk = \"ssd\"", ""), &["disk"]);
        let spot = "\"karpenter.sh/capacity-type\" = \"spot\"";
        check(&with(spot, "capacity_types = [\"on-demand\"]"), &["karpenter.sh/capacity-type"]);
        check(&with(spot, "capacity_types = [\"spot\"]"), &[]);
        check(
            &with("\"node.kubernetes.io/instance-type\" = \"m5.large\"", "instance_types = [\"c5.large\"]"),
            &["instance-type"],
        );
        let tainted = "taints = [{ key = \"dedicated\", value = \"batch\", effect = \"NoSchedule\" }]";
        check(&with("", tainted), &["a taint keeps it off"]);
        let tolerant = format!(
            "{ONE}tolerations = [{{ key = \"dedicated\", operator = \"Exists\" }}]\n[[node_pools]]\n{tainted}\n"
        );
        check(&tolerant, &[]);
        let there = "[[static_nodes]]\ninstance_type = \"m5.large\"\n";
        check(
            &with(
                "\"node.kubernetes.io/instance-type\" = \"m5.large\"",
                &format!("instance_types = [\"c5.large\"]\n{there}"),
            ),
            &[],
        );
    }

    #[test]
    fn slots_that_daemonsets_fill_are_warned_of() {
        check(&format!("{ONE}[cni]\nmax_pods = 2\n"), &["cni.max_pods = 2", "write 3 at least"]);
        check(&format!("{ONE}[cni]\nmax_pods = 3\n"), &[]);
    }

    #[test]
    fn what_comes_after_the_horizon_is_warned_of() {
        let hour = |text: &str| format!("horizon = \"1 h\"\nuntil = \"horizon\"\n{ONE}{text}\n");
        for (text, key) in [
            ("schedule = [{ at = \"2 h\", replicas = 9 }]", "deployments[0].schedule, 9 replicas"),
            ("rollouts = [{ at = \"2 h\" }]", "deployments[0].rollouts[0].at"),
            ("[[jobs]]\nat = \"1 h\"", "jobs[0].at"),
            ("[cni]\nrestarts = [{ at = \"10 min\" }, { at = \"61 min\" }]", "cni.restarts[1].at"),
            ("[quotas]\nraises = [{ at = \"2 h\", spot_vcpus = 1 }]", "quotas.raises[0].at"),
            ("[[node_pools]]\ndrift_at = \"2 h\"", "node_pools[0].drift_at"),
            ("[[static_nodes]]\ncordon_at = \"2 h\"", "static_nodes[0].cordon_at"),
            ("[[neighbours]]\nat = \"2 h\"", "another user of subnets"),
        ] {
            check(&hour(text), &[key, "it never comes"]);
        }
        check(&hour("rollouts = [{ at = \"59 min\" }]"), &[]);
    }
}
