//! Runs beside what was measured of the address side of real clusters; `experiments/warm-targets/README.md` has the reasons
//! for what differs.

use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, simulate};
use kilopod::input::{Document, Problems};
use kilopod::results::ReplicationRecord;
use kilopod::scenario;

fn run(text: &str) -> ReplicationRecord {
    let mut problems = Problems::default();
    let document = Document::parse("case.toml", text, &mut problems);
    let read = scenario::read(&document, "case", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    simulate(&Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:?}")).scenario), 1, 0)
}

/// M23, aws/amazon-vpc-cni-k8s#405 (2019): 150 nodes at once, 15 min until all containers ran, with request-limit errors on
/// address allocation. Nineteen pods a node, so that each needs three interfaces; what creates and binds pods does not hold them up.
#[test]
fn a_hundred_and_fifty_nodes_at_once_are_throttled_but_not_for_fifteen_minutes() {
    let text = |profile: &str| {
        format!(
            "profile = \"{profile}\"\nhorizon = \"1 h\"\nsubnet_prefix_length = 19\n[[deployments]]\nname = \"app\"\n\
             replicas = 3000\ncpu = \"90m\"\nmemory = \"200 MiB\"\n[[node_pools]]\nname = \"default\"\n\
             instance_types = [\"m5.large\"]\ncapacity_types = [\"on-demand\"]\n\
             [kube_controller_manager]\nqps = 1000\nburst = 3000\n[kube_scheduler]\nqps = 1000\nburst = 3000\n"
        )
    };
    for profile in ["current", "2022-11"] {
        let record = run(&text(profile));
        let minutes = record.time_to_target_ms.expect("all become Ready") as f64 / 60_000.0;
        let throttled: u64 = record.api_counts.iter().map(|count| count.throttled).sum();
        println!("{profile}: {} nodes, {minutes:.1} min, {throttled} calls throttled", record.nodes);
        assert!((140..=170).contains(&record.nodes), "{profile}: {}", record.nodes);
        assert!(throttled > 0, "{profile}: {throttled}");
        assert!((1.5..15.0).contains(&minutes), "{profile}: {minutes}");
    }
}

/// M28, aws/amazon-vpc-cni-k8s#1724 (2021): m5.xlarge, from 30 to 60 s until the first pool is there by default, up to 180 s with
/// WARM_IP_TARGET 5 and MINIMUM_IP_TARGET 25. One node, pods for all of its first pool.
#[test]
fn a_first_pool_with_ip_targets_takes_longer_than_the_default() {
    let text = |pods: u32, env: &str| {
        format!(
            "zones = [\"us-east-1a\"]\n[[deployments]]\nname = \"app\"\nreplicas = {pods}\ncpu = \"10m\"\nmemory = \"10 MiB\"\n\
             image = \"1 MB\"\n[[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.xlarge\"]\n\
             capacity_types = [\"on-demand\"]\n[cni]\nmax_pods = 58\n[cni.env]\n{env}"
        )
    };
    let seconds = |pods, env: &str| {
        let took = run(&text(pods, env)).time_to_target_ms.expect("one node is enough") as f64 / 1_000.0;
        println!("{pods} pods, {env:?}: {took:.1} s");
        took
    };
    let default = seconds(14, "");
    let targets = seconds(25, "WARM_IP_TARGET = \"5\"\nMINIMUM_IP_TARGET = \"25\"\n");
    assert!((30.0..60.0).contains(&default), "{default}");
    assert!(targets > default + 5.0 && targets < 180.0, "{targets}");
}
