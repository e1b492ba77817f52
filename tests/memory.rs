//! Memory that pods use in whole runs: limits, evictions, nodes that run out.

#[path = "common/runs.rs"]
mod runs;

use kilopod::components::Told;
use kilopod::results::MemoryRecord;
use kilopod::world::cause::Cause;
use runs::{read, run, run_with};

/// Nodes of 10 GiB for pods, and no way to get another; `apps` say more of each Deployment.
fn nodes(count: u32, horizon: &str, apps: &[&str]) -> String {
    let mut text = format!(
        "horizon = \"{horizon}\"\nuntil = \"horizon\"\ndaemonsets = []\n[cni]\nmode = \"none\"\n\
         [[node_pools]]\nname = \"none\"\nlimits = {{ nodes = 0 }}\n\
         [[static_nodes]]\ncount = {count}\ninstance_type = \"m5.xlarge\"\n\
         allocatable = {{ cpu = \"100\", memory = \"10 GiB\", pods = 110 }}\n"
    );
    for app in apps {
        text += &format!("[[deployments]]\ncpu = \"100m\"\nimage = \"0 MB\"\n{app}\n");
    }
    text
}

/// Seconds of all lines of this name, and the pod or node in them.
fn lines(told: &Told, event: &str, whom: &str) -> Vec<(f64, u64)> {
    let lines = told.trace.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_event = lines.filter(|line| line["event"] == event);
    of_event.map(|line| (line["at_ms"].as_f64().unwrap() / 1e3, line[whom].as_u64().unwrap())).collect()
}
fn counts(told: &Told) -> MemoryRecord {
    told.record.memory.expect("a Deployment says its memory usage")
}

#[test]
fn memory_that_is_there_changes_no_time() {
    let app =
        "replicas = 6\nmemory = \"1 GiB\"\nstartup = { median = \"20 s\", p95 = \"50 s\" }\nreadiness = {}";
    let plain = run(&nodes(1, "10 min", &[app]));
    let used = "memory_usage = { startup = \"1500 MiB\", idle = \"400 MiB\", grows_over = \"2 min\", limit = \"2 GiB\" }";
    let used = run(&nodes(1, "10 min", &[&format!("{app}\n{used}")]));
    assert_eq!(plain.record.time_to_target_ms, used.record.time_to_target_ms);
    assert_eq!(lines(&plain, "pod_ready", "pod"), lines(&used, "pod_ready", "pod"));
    assert_eq!((plain.record.memory, counts(&used)), (None, MemoryRecord::default()));
}

/// From 100 to 900 MiB in 80 s: a limit of 500 MiB is reached 40 s after the application is up, each time again.
#[test]
fn a_container_over_its_limit_is_killed_and_waits_longer_each_time() {
    let app = "replicas = 1\nmemory = \"100 MiB\"\n\
               memory_usage = { idle = \"100 MiB\", steady = \"900 MiB\", grows_over = \"80 s\", limit = \"500 MiB\" }";
    let told = run(&nodes(1, "30 min", &[app]));
    let (killed, restarted) = (lines(&told, "oom_killed", "pod"), lines(&told, "container_restarted", "pod"));
    let first = lines(&told, "container_started", "pod")[0].0;
    let mut runs: Vec<f64> = restarted.iter().map(|(at, _)| *at).collect();
    runs.insert(0, first);
    killed.iter().zip(&runs).for_each(|((died, _), began)| assert!((died - began - 40.0).abs() < 1e-3));
    assert_eq!(counts(&told), MemoryRecord { oom_kills: killed.len() as u64, ..MemoryRecord::default() });
    let waits: Vec<f64> = killed.iter().zip(&restarted).map(|((died, _), (at, _))| at - died).collect();
    assert!(waits.len() >= 7, "{waits:?}");
    // The back-off, then up to 15 s until kubelet looks again, and the start.
    for (wait, back_off) in waits.iter().zip([0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0]) {
        let late = if back_off == 0.0 { 0.0 } else { 15.0 };
        assert!((back_off..back_off + late + 3.0).contains(wait), "{waits:?}");
    }
    // Ready while it runs, and never otherwise.
    let causes: Vec<Option<Cause>> = told.history.iter().map(|(_, cause, _)| *cause).collect();
    let dead = causes.iter().filter(|cause| **cause == Some(Cause::CrashLoopBackoff)).count();
    assert_eq!(dead, killed.len());
    assert_eq!(causes.iter().filter(|cause| cause.is_none()).count(), runs.len());
}

/// Nine pods grow by 1 MiB/s in all: kubelet sees it in time, and takes one at a time until the rest fit.
#[test]
fn kubelet_evicts_one_after_the_other_and_the_replica_set_replaces_them() {
    let app = "replicas = 9\nmemory = \"1 GiB\"\n\
               memory_usage = { idle = \"500 MiB\", steady = \"1500 MiB\", grows_over = \"9000 s\" }";
    let told = run(&nodes(1, "3 h", &[app]));
    let evicted = lines(&told, "pod_evicted", "pod");
    let found = counts(&told);
    assert_eq!((found.evictions, found.oom_kills), (evicted.len() as u64, 0));
    // 9 x 500 MiB and 5740 MiB more: 5740 s after the first pods were up; looked at every 10 s.
    let began = lines(&told, "container_started", "pod")[0].0;
    let first = evicted[0].0 - began;
    assert!((5_740.0..5_755.0).contains(&first), "evicted {first} s after the start");
    let taints: Vec<f64> = lines(&told, "memory_pressure", "node").iter().map(|(at, _)| *at).collect();
    assert_eq!(taints[0], evicted[0].0);
    // The condition outlasts the pressure by 5 min; until then the node takes no pod.
    let gone = taints[1] - evicted[0].0;
    assert!((300.0..330.0).contains(&gone), "the condition went after {gone} s");
    let created: Vec<(f64, u64)> = lines(&told, "pod_created", "pod");
    let bound = lines(&told, "pod_bound", "pod");
    let (at, replacement) = created[9];
    assert!(at > evicted[0].0 && at < evicted[0].0 + 5.0, "replaced at {at} s");
    let bound_at = bound.iter().find(|(_, pod)| *pod == replacement).unwrap().0;
    // It may slip in before the taint, and does not have to.
    let slipped = bound_at < evicted[0].0 + 25.0;
    assert!(slipped || bound_at >= taints[1], "bound at {bound_at} s, {taints:?}");
    assert_eq!(told.record.pods_ready_at_end, 9);
}

/// The same growth in 10 s of 1 GiB each is over before kubelet looks: the kernel kills, kubelet starts again.
#[test]
fn fast_growth_is_the_kernels_affair() {
    let app = "replicas = 9\nmemory = \"1 GiB\"\n\
               memory_usage = { idle = \"500 MiB\", steady = \"1500 MiB\", grows_over = \"10 s\" }";
    let told = run(&nodes(1, "5 min", &[app]));
    assert!(counts(&told).oom_kills >= 3, "{:?}", counts(&told));
    let killed = lines(&told, "oom_killed", "pod");
    let evicted = lines(&told, "pod_evicted", "pod");
    assert!(evicted.is_empty() || killed[0].0 < evicted[0].0);
}

/// Who keeps to its request is left alone while another does not, whatever their priorities.
#[test]
fn honest_pods_stay() {
    let honest =
        "replicas = 4\nmemory = \"1200 MiB\"\npriority = -5\nmemory_usage = { steady = \"1100 MiB\" }";
    let greedy = "replicas = 6\nmemory = \"500 MiB\"\n\
                  memory_usage = { idle = \"400 MiB\", steady = \"2 GiB\", grows_over = \"2 h\" }";
    let told = run(&nodes(1, "2 h", &[honest, greedy]));
    let evicted = lines(&told, "pod_evicted", "pod");
    assert!(!evicted.is_empty() && counts(&told).oom_kills == 0, "{:?}", counts(&told));
    let honest = lines(&told, "pod_created", "pod").len();
    assert!(evicted.iter().all(|(_, pod)| *pod >= 4), "{evicted:?} of {honest}");
}

/// Containers killed and pods evicted: each waiting pod has one cause at every instant, and their times are the sums told.
#[test]
fn causes_add_up_with_kills_and_evictions() {
    let kinds = [
        (
            "grows_over = \"10 s\"",
            "readiness = { period = \"5 s\" }\nstartup = { median = \"10 s\", p95 = \"40 s\" }",
        ),
        (
            "grows_over = \"5 min\", startup = \"1800 MiB\"",
            "startup = { constant = \"30 s\" }\nreadiness = {}",
        ),
        (
            "grows_over = \"15 min\", limit = \"1700 MiB\"",
            "usage = { startup_cpu = \"20\", busy_cpu = \"1\", busy_share = 0.5 }\nstartup = { constant = \"30 s\" }",
        ),
    ];
    let mut all = MemoryRecord::default();
    for (seed, (usage, more)) in (0..).zip(kinds.iter().cycle().take(9)) {
        let app = format!(
            "replicas = 26\nmemory = \"700 MiB\"\n{more}\n\
             memory_usage = {{ idle = \"400 MiB\", steady = \"1400 MiB\", spread = {{ median = 1.0, p95 = 1.4 }}, {usage} }}"
        );
        // More than two nodes hold: the target is never reached, so that all time counts.
        let told = run_with(
            &format!("target_pods = 31\n{}", nodes(2, "40 min", &[&app, "replicas = 5\nmemory = \"1 GiB\""])),
            seed,
        );
        let mut by_cause = [0u64; Cause::COUNT];
        let pods = told.history.iter().map(|(pod, ..)| *pod).max().unwrap() + 1;
        let end = told.record.ended_ms * 1_000_000;
        for pod in 0..pods {
            let steps: Vec<_> = told.history.iter().filter(|(of, ..)| *of == pod).collect();
            assert_eq!(steps[0].1, Some(Cause::PodCreation));
            for (place, (_, cause, since)) in steps.iter().enumerate() {
                let until = steps.get(place + 1).map_or(end, |next| next.2.nanos());
                assert!(until >= since.nanos() && steps.get(place + 1).is_none_or(|next| next.1 != *cause));
                by_cause[cause.map_or(0, |cause| cause as usize)] +=
                    cause.map_or(0, |_| until - since.nanos());
            }
        }
        let told_sums = told.record.cause_pod_ms;
        by_cause.iter().zip(told_sums).for_each(|(nanos, millis)| assert_eq!(nanos / 1_000_000, millis));
        let found = counts(&told);
        all.evictions += found.evictions;
        all.oom_kills += found.oom_kills;
        assert_eq!(
            told.record,
            run_with(
                &format!(
                    "target_pods = 31\n{}",
                    nodes(2, "40 min", &[&app, "replicas = 5\nmemory = \"1 GiB\""])
                ),
                seed
            )
            .record
        );
    }
    assert!(all.evictions > 10 && all.oom_kills > 10, "{all:?}");
}

/// Instances that are reclaimed take pods with them that are being evicted, and the books (which are checked) balance.
#[test]
fn evicted_pods_of_reclaimed_instances_are_replaced_once() {
    let text = "target_pods = 60\nmarket = \"tight\"\nhorizon = \"2 h\"\nuntil = \"horizon\"\n\
         [[deployments]]\ncpu = \"250m\"\nmemory = \"400 MiB\"\nreplicas = 60\n\
         memory_usage = { idle = \"300 MiB\", steady = \"1200 MiB\", grows_over = \"4 min\", spread = { median = 1.0, p95 = 1.5 } }\n\
         [[node_pools]]\nname = \"spot\"\ninstance_types = [\"m5.xlarge\"]\ncapacity_types = [\"spot\"]\n";
    let mut interruptions = 0;
    for seed in 1..=4 {
        let told = run_with(text, seed);
        interruptions += told.record.interruptions;
        assert!(counts(&told).evictions + counts(&told).oom_kills > 20, "{:?}", counts(&told));
        assert_eq!(told.record, run_with(text, seed).record);
    }
    assert!(interruptions > 0);
}

#[test]
fn what_no_cluster_takes_is_refused_with_its_key() {
    let app = "replicas = 1\nmemory = \"1 GiB\"\nmemory_usage = { limit = \"500 MiB\", peak = \"2 GiB\", spread = 3 }";
    let mut keys = read(&nodes(1, "1 h", &[app])).map(|_| ()).unwrap_err();
    keys.sort();
    assert_eq!(keys, ["limit", "peak", "spread"].map(|key| format!("deployments[0].memory_usage.{key}")));
}

/// A node under pressure takes pods again five minutes later: who was evicted, or comes meanwhile, and has nowhere else to go is
/// not stuck, with or without constraints.
#[test]
fn pressure_passes_and_so_nobody_is_stuck() {
    for more in ["", "tolerations = [{ key = \"dedicated\", operator = \"Exists\" }]"] {
        // In the end they use 50 MiB more than pods may: somebody is evicted.
        let growing = format!(
            "replicas = 10\nmemory = \"500 MiB\"\n{more}\n\
             memory_usage = {{ idle = \"500 MiB\", steady = \"1029 MiB\", grows_over = \"2 min\" }}"
        );
        let late = format!("schedule = [{{ at = \"5 min\", replicas = 1 }}]\nmemory = \"100 MiB\"\n{more}");
        let text = nodes(1, "25 min", &[&growing, &late]).replace("until = \"horizon\"\n", "");
        let told = run(&format!("target_pods = 11\n{text}"));
        assert!(counts(&told).evictions > 0, "{more:?}: nobody was evicted");
        assert_eq!(told.record.outcome, kilopod::results::Outcome::Reached, "{more:?}");
    }
}
