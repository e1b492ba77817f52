//! What pods use of their nodes' CPU in whole runs: start-ups that stretch, limits, busy spells.

#[path = "common/runs.rs"]
mod runs;

use kilopod::components::{Told, Wishes, tell};
use kilopod::results::CpuRecord;
use runs::{prepare, read, run};

/// A node of so much CPU and nothing else that uses any; `app` says more of each Deployment.
fn one_node(cpu: &str, apps: &[&str]) -> String {
    let mut text = format!(
        "daemonsets = []\n[cni]\nmode = \"none\"\n\
         [[static_nodes]]\ninstance_type = \"m5.4xlarge\"\nallocatable = {{ cpu = \"{cpu}\", memory = \"60 GiB\", pods = 110 }}\n"
    );
    for app in apps {
        text += &format!("[[deployments]]\nmemory = \"1 MiB\"\nimage = \"0 MB\"\n{app}\n");
    }
    text
}

/// Seconds of all events of this name.
fn times(told: &Told, event: &str) -> Vec<f64> {
    let lines = told.trace.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).map(|line| line["at_ms"].as_f64().unwrap() / 1e3).collect()
}
fn cpu(told: &Told) -> CpuRecord {
    told.record.cpu.expect("a Deployment says its usage")
}
fn part(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}

const STARTS: &str = "startup = { constant = \"30 s\" }\nreadiness = { period = \"1 s\" }";

#[test]
fn a_node_with_room_changes_no_time() {
    let apps =
        "replicas = 6\ncpu = \"250m\"\nstartup = { median = \"20 s\", p95 = \"50 s\" }\nreadiness = {}";
    let plain = run(&one_node("16", &[apps]));
    let used = run(&one_node("16", &[&format!("{apps}\nusage = {{ startup_cpu = \"2\" }}")]));
    assert_eq!(plain.record.time_to_target_ms, used.record.time_to_target_ms);
    assert_eq!(times(&plain, "pod_ready"), times(&used, "pod_ready"));
    assert_eq!(plain.record.cpu, None);
    assert_eq!((cpu(&used).short_ms, cpu(&used).starting_ms), (0, cpu(&used).starting_alone_ms));
}

/// Four start-ups of 30 s at 2 CPUs are 240 CPU-seconds: two minutes of a node of 2 CPUs that is never idle meanwhile.
#[test]
fn start_ups_on_a_crowded_node_take_its_time() {
    let app = format!("replicas = 4\ncpu = \"250m\"\n{STARTS}\nusage = {{ startup_cpu = \"2\" }}");
    let told = run(&one_node("2", &[&app]));
    let (began, ended) = (times(&told, "container_started"), times(&told, "start_ups_end"));
    let took = ended.last().unwrap() - began[0];
    assert!((took - 120.0).abs() < 1e-3, "{took} s from the first start to the last end");
    let ready = told.record.time_to_target_ms.unwrap() as f64 / 1e3;
    assert!(ready >= *ended.last().unwrap() && ready < ended.last().unwrap() + 3.0, "Ready at {ready} s");
    let cpu = cpu(&told);
    assert!((119_000..=121_000).contains(&cpu.starting_alone_ms), "{cpu:?}");
    assert!(part(cpu.starting_ms, cpu.starting_alone_ms) > 3.0, "{cpu:?}");
    assert_eq!(cpu.throttled_ms, 0);
}

#[test]
fn a_limit_stretches_a_start_up_on_an_idle_node() {
    let app = format!(
        "replicas = 3\ncpu = \"250m\"\n{STARTS}\nusage = {{ startup_cpu = \"2\", limit = \"500m\" }}"
    );
    let told = run(&one_node("16", &[&app]));
    let (began, ended) = (times(&told, "container_started"), times(&told, "start_ups_end"));
    began.iter().zip(&ended).for_each(|(began, ended)| assert!((ended - began - 120.0).abs() < 1e-3));
    let cpu = cpu(&told);
    assert!(cpu.throttled_ms == cpu.short_ms && cpu.short_ms >= 360_000, "{cpu:?}");
    assert!((part(cpu.missing_cpu_ms, cpu.wanted_cpu_ms) - 0.75).abs() < 1e-3, "{cpu:?}");
}

/// Of two start-ups the one that asks for three times as much goes first; what it leaves then speeds the other up.
#[test]
fn requests_decide_who_waits() {
    let app =
        |cpu: &str| format!("replicas = 1\ncpu = \"{cpu}\"\n{STARTS}\nusage = {{ startup_cpu = \"2\" }}");
    let told = run(&one_node("2", &[&app("1500m"), &app("500m")]));
    let lines = told.trace.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut began = [0.0; 2];
    for line in lines.filter(|line| line["event"] == "container_started") {
        began[line["pod"].as_u64().unwrap() as usize] = line["at_ms"].as_f64().unwrap() / 1e3;
    }
    let ended = times(&told, "start_ups_end");
    // Of cpu.weight they have 59 and 20; before the other has begun each has all.
    let alone = f64::max(began[1] - began[0], 0.0);
    let first = alone + (30.0 - alone) * 79.0 / 59.0;
    assert!((ended[0] - began[0] - first).abs() < 1e-3, "{} s, by hand {first}", ended[0] - began[0]);
    let both = ended[1] - began[0].min(began[1]);
    assert!((both - 60.0).abs() < 1e-3, "{both} s for both");
}

/// Pods that say nothing of their usage use what they request, and are not counted.
#[test]
fn others_keep_what_they_request() {
    let other = "replicas = 1\ncpu = \"1\"";
    let app = "schedule = [{ at = \"1 min\", replicas = 1 }, { at = \"10 min\", replicas = 2 }]\ncpu = \"500m\"\n\
               usage = { busy_cpu = \"3\" }";
    let told = run(&one_node("2", &[other, app]));
    let cpu = cpu(&told);
    assert_eq!(part(cpu.short_ms, cpu.pod_ms), 1.0);
    assert!((part(cpu.missing_cpu_ms, cpu.wanted_cpu_ms) - 2.0 / 3.0).abs() < 0.01, "{cpu:?}");
}

/// Sixteen pods of 1 CPU, busy a quarter of the time, on 6 CPUs.
fn spells(together: bool) -> CpuRecord {
    let app = format!(
        "schedule = [{{ at = \"0 s\", replicas = 16 }}, {{ at = \"290 min\", replicas = 17 }}]\ncpu = \"100m\"\n\
         usage = {{ busy_cpu = \"1\", busy_share = 0.25, busy_for = \"30 s\", busy_together = {together} }}"
    );
    cpu(&run(&format!("horizon = \"5 h\"\n{}", one_node("6", &[&app]))))
}

#[test]
fn pods_are_busy_for_their_share_and_suffer_more_if_together() {
    let (alone, together) = (spells(false), spells(true));
    for cpu in [alone, together] {
        let share = part(cpu.wanted_cpu_ms, cpu.pod_ms);
        // 16 x 290 min of spells of 2 min in the mean; together but 145.
        assert!((share - 0.25).abs() < 0.08, "busy {share} of the time");
    }
    // Together 16 want 6: ten sixteenths are missing. Of independent ones, more than 6 of 16 with chance 7.9 %.
    let missing = part(together.missing_cpu_ms, together.wanted_cpu_ms);
    assert!((missing - 0.625).abs() < 1e-3, "{missing} is missing");
    assert!(part(together.short_ms, together.wanted_cpu_ms) > 0.999, "{together:?}");
    let missing = part(alone.missing_cpu_ms, alone.wanted_cpu_ms);
    assert!((0.01..0.06).contains(&missing), "{missing} is missing");
}

/// Pods that go, for others and with their spot instances, give their CPU back at once (the books are checked).
#[test]
fn pods_that_go_leave_their_cpu() {
    let usage = format!("{STARTS}\nusage = {{ startup_cpu = \"2\", busy_cpu = \"1\", busy_share = 0.5 }}");
    let low = format!("replicas = 8\ncpu = \"500m\"\n{usage}");
    let high = format!("schedule = [{{ at = \"1 min\", replicas = 3 }}]\ncpu = \"1\"\npriority = 5\n{usage}");
    let nobody = "[[node_pools]]\nname = \"none\"\nlimits = { nodes = 0 }\n";
    let told = run(&format!("target_pods = 8\n{}{nobody}", one_node("4", &[&low, &high])));
    assert!(!times(&told, "pod_stopped").is_empty());
    let spot = format!(
        "target_pods = 60\nmarket = \"tight\"\nhorizon = \"2 h\"\n[[deployments]]\ncpu = \"250m\"\n{usage}\n\
         schedule = [{{ at = \"0 s\", replicas = 50 }}, {{ at = \"100 min\", replicas = 60 }}]\n\
         [[node_pools]]\nname = \"spot\"\ninstance_types = [\"m5.xlarge\"]\ncapacity_types = [\"spot\"]\n"
    );
    let prepared = prepare(&spot);
    let wishes = Wishes { check: true, trace: true, ..Wishes::default() };
    let mut gone = 0;
    for replication in 0..10 {
        let told = tell(&prepared, 7, replication, wishes);
        gone += times(&told, "instance_gone").len();
        assert!(part(cpu(&told).starting_ms, cpu(&told).starting_alone_ms) > 1.5, "{:?}", cpu(&told));
        assert_eq!(told.record, tell(&prepared, 7, replication, wishes).record);
    }
    assert!(gone > 0);
}

#[test]
fn what_no_cluster_takes_is_refused_with_its_key() {
    let app = "replicas = 1\ncpu = \"1\"\nusage = { limit = \"500m\", busy_share = 0.5, busy_for = \"0 s\", startup = \"2\" }";
    let mut keys = read(&one_node("2", &[app])).map(|_| ()).unwrap_err();
    keys.sort();
    let wanted =
        ["busy_for", "busy_share", "limit", "startup"].map(|key| format!("deployments[0].usage.{key}"));
    assert_eq!(keys, wanted);
}
