//! Extended resources in whole runs: who has them, when nodes tell of them, and what pods wait for until then.

#[path = "common/runs.rs"]
mod runs;

use kilopod::actors::karpenter::{NodeSettings, capacity};
use kilopod::catalogue::Catalogue;
use kilopod::components::Told;
use kilopod::results::{Outcome, ReplicationRecord};
use kilopod::units::{ExtendedCounts, ExtendedResource};
use kilopod::world::cause::Cause;
use runs::read_in_full;
use serde_json::Value;

/// Small pods with `more` of their Deployment, in a cluster where nothing else is.
fn scenario(replicas: u32, more: &str, pool: &str) -> String {
    format!(
        "zones = [\"us-east-1a\"]\nhorizon = \"20 min\"\nstatic_nodes = []\ncni = {{ mode = \"none\" }}\n\
         latency = {{ device_plugin_start = {{ constant = \"40 s\" }} }}\n\
         [[deployments]]\nname = \"app\"\nreplicas = {replicas}\ncpu = \"100m\"\nmemory = \"64 MiB\"\nimage = \"0 MB\"\n\
         {more}\n[[node_pools]]\ncapacity_types = [\"on-demand\"]\n{pool}\n"
    )
}
const GPU: &str = "extended_resources = { \"nvidia.com/gpu\" = 1 }";

fn waited_ms(record: &ReplicationRecord, cause: Cause) -> u64 {
    record.cause_pod_ms[cause as usize]
}
/// When each event of the kind came [ms].
fn times(told: &Told, event: &str) -> Vec<f64> {
    let lines = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).map(|line| line["at_ms"].as_f64().unwrap()).collect()
}
fn types(told: &Told) -> Vec<String> {
    let lines = told.trace.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let usable = lines.filter(|line| line["event"] == "node_usable");
    usable.map(|line| line["instance_type"].as_str().unwrap().to_string()).collect()
}

/// As Karpenter's documentation lists them; of parts of a GPU there is none.
#[test]
fn types_have_what_karpenter_counts() {
    let catalogue = Catalogue::compiled_in();
    let settings = NodeSettings { extended: ExtendedCounts::of(|_| 1), ..NodeSettings::default() };
    for (name, wanted) in [
        ("m5.large", [9, 0, 0, 0, 0, 0, 0]),
        ("g4dn.xlarge", [39, 1, 0, 0, 0, 0, 0]),
        ("g4ad.16xlarge", [54, 0, 4, 0, 0, 0, 0]),
        ("g6f.large", [9, 0, 0, 0, 0, 0, 0]),
        ("p5.48xlarge", [120, 8, 0, 0, 0, 0, 32]),
        ("inf1.24xlarge", [111, 0, 0, 16, 64, 0, 1]),
        ("inf2.24xlarge", [54, 0, 0, 6, 12, 0, 0]),
        ("trn1.32xlarge", [82, 0, 0, 16, 32, 0, 8]),
        ("dl1.24xlarge", [62, 0, 0, 0, 0, 8, 4]),
    ] {
        let found = catalogue.get(catalogue.find(name).unwrap());
        let extended = capacity(found, &settings).unwrap().extended;
        let got = ExtendedResource::ALL.map(|resource| extended.get(resource));
        assert_eq!(got[1..], wanted[1..], "{name}");
        assert_eq!(got[0], i64::from(found.trunk_branches()), "{name}");
    }
}

/// Four pods with a GPU each share a node with four of them; each waits until the plugin has registered, 40 s after the node
/// was Ready, and then at once comes on.
#[test]
fn pods_wait_for_the_device_plugin_and_share_what_it_registers() {
    let four = "instance_types = [\"g4dn.12xlarge\"]";
    let told = runs::run(&scenario(4, GPU, four));
    assert_eq!((told.record.outcome, told.record.nodes), (Outcome::Reached, 1));
    let (ready, registered) = (times(&told, "node_ready")[0], times(&told, "devices_registered")[0]);
    assert_eq!(registered - ready, 40_000.0);
    assert!(times(&told, "pod_assumed").iter().all(|at| (0.0..50.0).contains(&(at - registered))));
    // From the moment on at which the last taint was gone.
    let waited = times(&told, "node_usable").iter().map(|usable| registered - usable).sum::<f64>();
    let share = waited_ms(&told.record, Cause::DevicePlugin) as f64 / 4.0;
    assert!((share - waited).abs() < 2.0, "{share} and {waited}");
    // One more needs a node more, and pods without GPUs wait for no plugin.
    assert_eq!(runs::run(&scenario(5, GPU, four)).record.nodes, 2);
    let plain = runs::run(&scenario(4, "", four));
    assert_eq!(waited_ms(&plain.record, Cause::DevicePlugin), 0);
    assert_eq!(times(&plain, "devices_registered"), Vec::<f64>::new());
}

/// Constraints take every pod through the whole pass, which must say the same.
#[test]
fn the_whole_pass_counts_devices_alike() {
    let four = "instance_types = [\"g4dn.12xlarge\"]";
    let spread = "topology_spread = [{ topology_key = \"topology.kubernetes.io/zone\", when_unsatisfiable = \"ScheduleAnyway\" }]";
    let (plain, spread) =
        (runs::run(&scenario(6, GPU, four)), runs::run(&scenario(6, &format!("{GPU}\n{spread}"), four)));
    assert_eq!(plain.record.nodes, 2);
    assert_eq!(times(&plain, "pod_assumed"), times(&spread, "pod_assumed"));
    let device = |told: &Told| waited_ms(&told.record, Cause::DevicePlugin);
    assert_eq!(device(&plain), device(&spread));
    assert!(device(&plain) > 0);
}

/// The cheapest type with enough of everything, whatever else the pool allows: GPU types are not kept from others' pods, only
/// dearer.
#[test]
fn karpenter_takes_the_cheapest_type_that_has_them() {
    let of = |more: &str, pool: &str| types(&runs::run(&scenario(1, more, pool)));
    assert_eq!(of(GPU, ""), ["g5g.xlarge"]);
    let amd64 = "requirements = [{ key = \"kubernetes.io/arch\", operator = \"In\", values = [\"amd64\"] }]";
    assert_eq!(of(GPU, amd64), ["g4dn.xlarge"]);
    assert_eq!(of("extended_resources = { \"amd.com/gpu\" = 2 }", ""), ["g4ad.8xlarge"]);
    assert_eq!(of("extended_resources = { \"aws.amazon.com/neuron\" = 1 }", ""), ["inf1.xlarge"]);
    assert_eq!(of("extended_resources = { \"aws.amazon.com/neuroncore\" = 5 }", ""), ["inf1.6xlarge"]);
    assert_eq!(of("extended_resources = { \"habana.ai/gaudi\" = 1 }", ""), ["dl1.24xlarge"]);
    let both = "extended_resources = { \"nvidia.com/gpu\" = 8, \"vpc.amazonaws.com/efa\" = 4 }";
    assert_eq!(
        of(both, "instance_types = [\"p4d.24xlarge\", \"p5.48xlarge\", \"g5.48xlarge\"]"),
        ["p4d.24xlarge"]
    );
    let either = "instance_types = [\"g4dn.xlarge\", \"g4dn.metal\"]";
    assert_eq!(of("", either), ["g4dn.xlarge"]);
}

/// Of a pool's limit each claim takes what the largest of its types has; a limit on GPUs leaves types without them alone.
#[test]
fn limits_of_pools_name_devices() {
    let pool = |limit: u32| {
        format!("instance_types = [\"g4dn.12xlarge\"]\nlimits = {{ \"nvidia.com/gpu\" = {limit} }}")
    };
    let record = runs::run(&scenario(8, GPU, &pool(8))).record;
    assert_eq!((record.outcome, record.nodes, record.pods_ready_at_end), (Outcome::Reached, 2, 8));
    let record = runs::run(&scenario(8, GPU, &pool(7))).record;
    assert_eq!((record.outcome, record.nodes, record.pods_ready_at_end), (Outcome::Stuck, 1, 4));
    assert!(waited_ms(&record, Cause::PoolLimit) > 0);
    let none = "instance_types = [\"m5.large\"]\nlimits = { \"nvidia.com/gpu\" = 0 }";
    assert_eq!(runs::run(&scenario(8, "", none)).record.outcome, Outcome::Reached);
}

/// What no type has is warned of, and the run is stuck for want of a type.
#[test]
fn pods_that_no_type_serves_are_told_of() {
    let pool = "instance_types = [\"m5.large\", \"g4dn.12xlarge\"]";
    let text = scenario(3, "extended_resources = { \"nvidia.com/gpu\" = 5 }", pool);
    let warnings = read_in_full(&text).unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("5 nvidia.com/gpu") && warnings[0].contains("4 nvidia.com/gpu"),
        "{warnings:?}"
    );
    let record = runs::run(&text).record;
    assert_eq!((record.outcome, record.reason), (Outcome::Stuck, Some(Cause::NoInstanceType)));
    // A part of a GPU is none.
    let part = scenario(3, GPU, "instance_types = [\"g6f.large\"]");
    assert_eq!(runs::run(&part).record.outcome, Outcome::Stuck);
}

#[test]
fn resources_that_do_not_exist_are_refused_where_they_stand() {
    let problems = |more: &str| read_in_full(&scenario(1, more, "")).unwrap_err().join("\n");
    let told = problems("extended_resources = { \"nvidia.com/gpus\" = 1 }");
    assert!(
        told.contains("did you mean \\\"nvidia.com/gpu\\\"?")
            && told.contains("deployments[0].extended_resources"),
        "{told}"
    );
    assert!(
        problems("extended_resources = { \"vpc.amazonaws.com/pod-eni\" = 1 }")
            .contains("security_groups = true")
    );
    assert!(problems("extended_resources = { \"nvidia.com/gpu\" = 129 }").contains("128"));
    assert!(problems("extended_resources = 1").contains("extended_resources"));
}

/// Nodes that are there from the start have their devices, those of Jobs' pods come and go with them.
#[test]
fn static_nodes_have_their_devices_and_jobs_use_them_in_turn() {
    let text = format!(
        "zones = [\"us-east-1a\"]\nhorizon = \"30 min\"\ncni = {{ mode = \"none\" }}\n\
         static_nodes = [{{ count = 1, instance_type = \"g4dn.12xlarge\" }}]\n\
         [[jobs]]\ncompletions = 8\nparallelism = 8\ncpu = \"100m\"\nmemory = \"64 MiB\"\nimage = \"0 MB\"\n\
         work = {{ constant = \"60 s\" }}\n{GPU}\n\
         [[node_pools]]\ninstance_types = [\"m5.large\"]\n"
    );
    let told = runs::run(&text);
    assert_eq!((told.record.outcome, told.record.nodes), (Outcome::Reached, 0));
    let assumed = times(&told, "pod_assumed");
    let late = assumed.iter().filter(|at| **at > 60_000.0).count();
    assert_eq!((assumed.len(), late), (8, 4), "{assumed:?}");
}

/// A claim made for devices is initialized once they are there; consolidation waits for that. One made for none does not wait.
#[test]
fn initialization_waits_for_the_devices_that_the_claim_asked_for() {
    let initialized = |more: &str| {
        let pool = "instance_types = [\"g4dn.xlarge\"]\ndisruption = {}";
        let other = "\n[[deployments]]\nname = \"late\"\nschedule = [{ at = \"15 min\", replicas = 1 }]\ncpu = \"100m\"\nmemory = \"64 MiB\"\n";
        let told = runs::run(&(scenario(1, more, pool) + other + GPU));
        let (ready, claim) = (times(&told, "node_ready")[0], times(&told, "claim_initialized")[0]);
        (claim - ready) / 1_000.0
    };
    let (with, without) = (initialized(GPU), initialized(""));
    assert!((40.0..45.0).contains(&with) && without < 10.0, "{with} and {without}");
}
