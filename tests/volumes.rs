//! How many volumes nodes take: what the EBS CSI driver tells of them bounds who comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, Told, Wishes, tell};
use kilopod::input::{Document, Problems};
use kilopod::results::Outcome;
use kilopod::scenario;
use kilopod::world::cause::Cause;
use serde_json::Value;

/// A run of small pods, each with a volume in any zone, whose books are checked.
fn run(text: &str) -> Told {
    let mut problems = Problems::default();
    let document = Document::parse("a.toml", text, &mut problems);
    let read = scenario::read(&document, "a", Path::new("."), &Arc::new(Catalogue::compiled_in()));
    let prepared = Prepared::new(read.unwrap_or_else(|problems| panic!("{problems:#?}")).scenario);
    tell(&prepared, 1, 0, Wishes { check: true, history: true, trace: true, ..Wishes::default() })
}

const VOLUME: &str = "volumes = [{ zones = [\"us-east-1a\"] }]";

/// `more` of the scenario, of its one Deployment and of its pool of one type.
fn scenario_of(more: &str, deployment: &str, pool: &str) -> String {
    let app = format!(
        "[[deployments]]\nname = \"app\"\ncpu = \"10m\"\nmemory = \"1 MiB\"\nimage = \"0 MB\"\n{VOLUME}\n"
    );
    let pool = format!(
        "[[node_pools]]\ninstance_types = [\"m5.4xlarge\"]\ncapacity_types = [\"on-demand\"]\n{pool}\n"
    );
    format!(
        "zones = [\"us-east-1a\"]\nsubnet_prefix_length = 19\nhorizon = \"20 min\"\n{more}\n{app}{deployment}\n{pool}"
    )
}

const STATIC: &str = "static_nodes = [{ count = 1, instance_type = \"m5.4xlarge\" }]\n";
const NO_NODES: &str = "limits = { nodes = 0 }";

/// How many pods came to each node, and when the driver on it had registered (ms).
fn placed(told: &Told) -> (BTreeMap<u64, u32>, BTreeMap<u64, f64>) {
    let (mut pods, mut registered) = (BTreeMap::new(), BTreeMap::new());
    for line in &told.trace {
        let line: Value = serde_json::from_str(line).unwrap();
        let node = || line["node"].as_u64().unwrap();
        match line["event"].as_str().unwrap() {
            "pod_assumed" => *pods.entry(node()).or_insert(0) += 1,
            "csi_driver_registered" => {
                registered.insert(node(), line["at_ms"].as_f64().unwrap());
            }
            _ => {}
        }
    }
    (pods, registered)
}

/// 27 slots of a shared kind: the root volume takes one, each interface but the first another.
#[test]
fn a_node_takes_as_many_volumes_as_its_driver_told() {
    let ready = |more: &str, deployment: &str| {
        let text = scenario_of(&format!("{STATIC}{more}"), &format!("replicas = 60\n{deployment}"), NO_NODES);
        let told = run(&text);
        assert_eq!(told.record.outcome, Outcome::Stuck, "{more}");
        told.record.pods_ready_at_end
    };
    let no_cni = "cni = { mode = \"none\" }";
    assert_eq!(ready(no_cni, ""), 26);
    // Beside pods with addresses aws-node keeps a second interface.
    let pods = |count: u32| {
        let text = scenario_of(STATIC, "replicas = 60", NO_NODES);
        run(&text.replace("count = 1", &format!("count = 1, pods_with_address = {count}"))).record
    };
    assert_eq!((pods(0).pods_ready_at_end, pods(1).pods_ready_at_end), (26, 25));
    let two = "volumes = [{ zone = \"us-east-1a\" }, { zone = \"us-east-1a\" }]";
    let text = scenario_of(&format!("{STATIC}{no_cni}"), "replicas = 60\n", NO_NODES).replace(VOLUME, two);
    assert_eq!(run(&text).record.pods_ready_at_end, 13);
    assert_eq!(ready(&format!("{no_cni}\nebs_csi_driver = {{ volume_attach_limit = 7 }}"), ""), 7);
    assert_eq!(ready(&format!("{no_cni}\nebs_csi_driver = {{ reserved_volume_attachments = 3 }}"), ""), 24);
    // A type whose volumes have slots of their own.
    let dedicated = scenario_of(STATIC, "replicas = 60", NO_NODES).replace("m5.4xlarge", "m7i.4xlarge");
    assert_eq!(run(&dedicated).record.pods_ready_at_end, 31);
}

/// Nobody knows of a limit before the driver has registered: Karpenter packs all onto one node, and all are bound there. The
/// instance has 26 slots all the same, and kubelet mounts nothing before the driver is there.
#[test]
fn a_new_node_has_no_limit_until_its_driver_is_there() {
    let late = "[latency]\ncsi_driver_start = { constant = \"60 s\" }\n";
    let steps = "schedule = [{ at = \"0 s\", replicas = 60 }, { at = \"8 min\", replicas = 70 }]";
    let told = run(&(scenario_of("cni = { mode = \"none\" }", steps, "") + late));
    assert_eq!((told.record.outcome, told.record.reason), (Outcome::Stuck, Some(Cause::VolumeAttach)));
    let (pods, registered) = placed(&told);
    // Who comes later finds that node full, and Karpenter knows it.
    assert_eq!(pods.values().copied().collect::<Vec<u32>>(), [60, 10]);
    assert_eq!(told.record.pods_ready_at_end, 26 + 10);
    let started = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["event"] == "container_started").then(|| line["at_ms"].as_f64().unwrap())
    };
    let first = told.trace.iter().find_map(started).unwrap();
    let registered = registered.values().copied().fold(f64::INFINITY, f64::min);
    // kubelet tries again half a second after a failure, then after twice as long each time: it may be late as long again.
    assert!(first > registered && first < registered + 70_000.0, "{first} ms, the driver at {registered}");
    // Who waits for the driver goes by its limit.
    let taint = "startup_taints = [{ key = \"ebs.csi.aws.com/agent-not-ready\", effect = \"NoExecute\", removed_after = \"2 min\" }]";
    let told = run(&(scenario_of("cni = { mode = \"none\" }", "replicas = 60", taint) + late));
    assert_eq!(told.record.outcome, Outcome::Reached);
    assert_eq!(placed(&told).0.values().copied().collect::<Vec<u32>>(), [26, 26, 8]);
}

/// A limit that is told wakes pods that another node's limit kept off, up to 1.24 nobody.
#[test]
fn a_drivers_registration_wakes_who_was_kept_off() {
    let more = format!(
        "{STATIC}cni = {{ mode = \"none\" }}\nlatency = {{ csi_driver_start = {{ constant = \"90 s\" }} }}\n"
    );
    let other = "[[deployments]]\nname = \"other\"\ncpu = \"1\"\nmemory = \"1 GiB\"\nimage = \"0 MB\"\n\
                 node_selector = { team = \"b\" }\n";
    let pool = "labels = { team = \"b\" }\ntaints = [{ key = \"b\", effect = \"NoSchedule\" }]";
    let other = format!("replicas = 30\n{other}tolerations = [{{ operator = \"Exists\" }}]\nreplicas = 1\n");
    for (profile, wakes) in [("", true), ("profile = \"2022-11\"", false)] {
        let told = run(&scenario_of(&format!("{more}until = \"horizon\"\n{profile}"), &other, pool));
        let (_, registered) = placed(&told);
        let at = *registered.values().next().expect("the other Deployment's node has a driver");
        let attempts = |line: &&String| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["at_ms"].as_f64() == Some(at) && line["event"] == "pod_unschedulable"
        };
        assert_eq!(told.trace.iter().any(|line| attempts(&line)), wakes, "{profile}");
    }
}

/// Who is deleted leaves room for a volume, and one of higher priority makes itself room.
#[test]
fn volumes_come_free_as_pods_go() {
    let more = format!("{STATIC}cni = {{ mode = \"none\" }}\nuntil = \"horizon\"\n");
    let second = |priority: u32, replicas: &str| {
        format!(
            "[[deployments]]\nname = \"second\"\ncpu = \"10m\"\nmemory = \"1 MiB\"\nimage = \"0 MB\"\npriority = {priority}\n{VOLUME}\n{replicas}\n"
        )
    };
    let of = |first: &str, second: String| run(&scenario_of(&more, &format!("{first}\n{second}"), NO_NODES));
    let steps = "schedule = [{ at = \"0 s\", replicas = 26 }, { at = \"5 min\", replicas = 20 }]";
    let later = "schedule = [{ at = \"2 min\", replicas = 6 }]";
    let told = of(steps, second(0, later));
    assert_eq!(told.record.pods_ready_at_end, 26);
    let told = of("replicas = 30", second(9, later));
    assert_eq!(told.record.pods_ready_at_end, 26);
    assert_eq!(told.trace.iter().filter(|line| line.contains("\"pod_preempts\"")).count(), 6);
}
