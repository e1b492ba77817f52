use std::path::Path;
use std::sync::Arc;

use super::super::read::read;
use crate::catalogue::Catalogue;
use crate::input::{Document, Problems};

/// The keys of what is wrong with one Deployment, one pool and kube-scheduler's settings.
fn wrong(deployment: &str, pool: &str, scheduler: &str) -> Vec<String> {
    let text = format!(
        "[[deployments]]\nreplicas = 1\n{deployment}\n[[node_pools]]\n{pool}\n[kube_scheduler]\n{scheduler}\n"
    );
    let mut problems = Problems::default();
    let document = Document::parse("a.toml", &text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    match read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in())) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.key).collect(),
    }
}

#[test]
fn what_the_api_would_refuse_is_told_with_its_key() {
    let check = |deployment: &str, pool: &str, scheduler: &str, wanted: &[&str]| {
        assert_eq!(wrong(deployment, pool, scheduler), wanted, "{deployment}{pool}{scheduler}");
    };
    let of_pods = |deployment: &str, wanted: &str| check(deployment, "", "", &[wanted]);
    of_pods("node_selector = { team = 1 }", "deployments[0].node_selector.team");
    of_pods("node_selector = { team = \"-a\" }", "deployments[0].node_selector.team");
    of_pods("tolerations = [{ value = \"a\" }]", "deployments[0].tolerations[0].operator");
    of_pods(
        "tolerations = [{ key = \"a\", operator = \"Exists\", value = \"b\" }]",
        "deployments[0].tolerations[0].operator",
    );
    of_pods("tolerations = [{ key = \"a\", effect = \"Never\" }]", "deployments[0].tolerations[0].effect");
    of_pods("topology_spread = [{ max_skew = 1 }]", "deployments[0].topology_spread[0].topology_key");
    let zone = "topology_key = \"topology.kubernetes.io/zone\"";
    of_pods(
        &format!(
            "topology_spread = [{{ {zone}, when_unsatisfiable = \"ScheduleAnyway\", min_domains = 2 }}]"
        ),
        "deployments[0].topology_spread[0].min_domains",
    );
    of_pods(
        &format!("topology_spread = [{{ {zone} }}, {{ {zone}, max_skew = 2 }}]"),
        "deployments[0].topology_spread[1].topology_key",
    );
    of_pods(
        "topology_spread = [{ topology_key = \"topology.kubernetes.io/zones\" }]",
        "deployments[0].topology_spread",
    );
    of_pods("pod_anti_affinity = [\"rack\"]", "deployments[0].pod_anti_affinity");
    of_pods("pod_affinity = [{ topology_key = \"rack\" }]", "deployments[0].pod_affinity");
    let of_term = |term: &str, wanted: &str| {
        let key = format!("deployments[0].pod_affinity{wanted}");
        of_pods(&format!("name = \"web\"\npod_affinity = [{term}]"), &key);
    };
    let host = "topology_key = \"kubernetes.io/hostname\"";
    of_term("{ deployments = [\"web\"] }", "[0].topology_key");
    of_term("3", "[0]");
    of_term(&format!("{{ {host}, deployments = [] }}"), "[0].deployments");
    of_term(&format!("{{ {host}, weight = 101 }}"), "[0].weight");
    of_term(&format!("{{ {host}, names = [\"web\"] }}"), "[0].names");
    of_term(&format!("{{ {host}, deployments = [\"wed\"] }}"), "");
    of_pods("pod_affinity = \"kubernetes.io/hostname\"", "deployments[0].pod_affinity");
    of_pods(
        "[deployments.node_affinity]\nrequired = [{}]",
        "deployments[0].node_affinity.required[0].expressions",
    );
    of_pods(
        "[deployments.node_affinity]\nrequired = [{ expressions = [{ key = \"a\", operator = \"Gte\", values = [\"1\"] }] }]",
        "deployments[0].node_affinity.required[0].expressions[0].operator",
    );
    of_pods("priority = 3000000000", "deployments[0].priority");
    check("", "labels = { \"karpenter.sh/team\" = \"a\" }", "", &["node_pools[0].labels.karpenter.sh/team"]);
    check("", "taints = [{ key = \"a\" }]", "", &["node_pools[0].taints[0].key"]);
    check(
        "",
        "startup_taints = [{ key = \"a\", effect = \"NoSchedule\" }]",
        "",
        &["node_pools[0].startup_taints[0].removed_after"],
    );
    check("", "", "scoring_strategy = \"RequestedToCapacityRatio\"", &["kube_scheduler.shape"]);
    check("", "", "shape = [{ utilization = 0, score = 1 }]", &["kube_scheduler.shape"]);
    check(
        "",
        "",
        "scoring_strategy = \"RequestedToCapacityRatio\"\nshape = [{ utilization = 5, score = 1 }, { utilization = 5, score = 11 }]",
        &["kube_scheduler.shape[1].utilization", "kube_scheduler.shape[1].score"],
    );
    // A pod counts only if every term of an affinity selects it.
    let both = "name = \"web\"\npod_affinity = [\"kubernetes.io/hostname\", { topology_key = \"topology.kubernetes.io/zone\", deployments = [\"db\"] }]\n\
                [[deployments]]\nname = \"db\"\nreplicas = 1";
    of_pods(both, "deployments[0].pod_affinity");
    // A key that a pool gives its nodes is as good as a well-known one.
    check("pod_anti_affinity = [\"rack\"]", "labels = { rack = \"r1\" }", "", &[]);
}
