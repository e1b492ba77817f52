//! Image pulls, containers before a pod's own and probes in whole runs, as `[kubelet]` has them.

#[path = "common/runs.rs"]
mod runs;

use kilopod::components::Told;
use kilopod::results::{KubeletRecord, Outcome};
use kilopod::world::cause::Cause;
use runs::{read, run, run_with};

/// One large node where pulls take no time but for their bytes; `apps` are whole Deployments.
fn node(kubelet: &str, apps: &[&str]) -> String {
    let mut text = format!(
        "daemonsets = []\n[cni]\nmode = \"none\"\n[kubelet]\n{kubelet}\n\
         [latency]\nimage_manifest = {{ constant = \"0 s\" }}\nimage_rate_factor = {{ constant = 1.0 }}\n\
         container_start = {{ constant = \"0 s\" }}\nstatus_update = {{ constant = \"0 s\" }}\n\
         [[static_nodes]]\ninstance_type = \"m5.24xlarge\"\n"
    );
    for app in apps {
        text += &format!("[[deployments]]\ncpu = \"100m\"\nmemory = \"10 MiB\"\n{app}\n");
    }
    text
}

/// Seconds that each pod waited for this cause.
fn waited(told: &Told, cause: Cause) -> Vec<f64> {
    let pods = told.history.iter().map(|(pod, ..)| *pod).max().unwrap() + 1;
    let of_pod = |pod: u32| {
        let steps: Vec<_> = told.history.iter().filter(|(of, ..)| *of == pod).collect();
        let with = steps.windows(2).filter(|pair| pair[0].1 == Some(cause));
        with.map(|pair| pair[1].2.since(pair[0].2).secs_f64()).sum()
    };
    (0..pods).map(of_pod).collect()
}
fn counts(told: &Told) -> KubeletRecord {
    told.record.kubelet.expect("the scenario has [kubelet]")
}
fn near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 0.01, "{found} s, by hand {wanted}");
}

/// Two images of 500 MB on a volume that takes 50 MB/s: 20 s for both, however they come.
#[test]
fn pulls_wait_for_each_other_or_share_the_volume() {
    let app = "replicas = 1\nimage = \"500 MB\"";
    let times = |told: &Told| {
        let begin = |pod| told.history.iter().find(|step| step.0 == pod && step.1 == Some(Cause::ImagePull));
        let begins = [0, 1].map(|pod| begin(pod).unwrap().2.millis() as f64 / 1e3);
        let mut ends: Vec<f64> =
            waited(told, Cause::ImagePull).iter().zip(begins).map(|(wait, begin)| begin + wait).collect();
        ends.sort_by(f64::total_cmp);
        let (first, last) = (begins[0].min(begins[1]), begins[0].max(begins[1]));
        (ends[0] - first, ends[1] - first, last - first)
    };
    let (one, both, _) = times(&run(&node("", &[app, app])));
    near(one, 10.0);
    near(both, 20.0);
    let (one, both, apart) = times(&run(&node("serialize_image_pulls = false", &[app, app])));
    // Alone until the other comes, then at half speed; the last has it to itself again.
    near(one, apart + (10.0 - apart) * 2.0);
    near(both, 20.0);
    let wide = "serialize_image_pulls = false\nimage_store_rate = \"500 MB\"";
    let (one, both, apart) = times(&run(&node(wide, &[app, app])));
    near(one, 500.0 / 60.0);
    near(both, apart + 500.0 / 60.0);
}

#[test]
fn a_layer_that_is_there_is_not_pulled_again() {
    let app = |own: &str| {
        format!(
            "replicas = 1\nimage_layers = [{{ name = \"base\", size = \"500 MB\" }}, {{ size = \"{own}\" }}]"
        )
    };
    let told = run(&node("", &[&app("100 MB"), &app("100 MB")]));
    let mut waits = waited(&told, Cause::ImagePull);
    waits.sort_by(f64::total_cmp);
    // 12 s for the first; the other comes up to so much later, and needs 2 s more.
    assert!((waits[0] - 12.0).abs() < 0.01 || waits[1] < 14.01, "{waits:?}");
    let end = told.record.time_to_target_ms.unwrap() as f64 / 1e3;
    let begin = told.history.iter().find(|step| step.1 == Some(Cause::ImagePull)).unwrap().2;
    near(end - begin.millis() as f64 / 1e3, 14.0);
}

/// 60 pods want an image of 8 s: ten tokens and five a second; who gets none is looked at 11 to 16 s later.
#[test]
fn the_registrys_limit_refuses_and_kubelet_comes_back() {
    let app = "replicas = 60\nimage = \"400 MB\"";
    let limited = run(&node("serialize_image_pulls = false", &[app]));
    assert!(counts(&limited).pulls_refused >= 5, "{:?}", counts(&limited));
    let waits = waited(&limited, Cause::ImagePull);
    let late: Vec<&f64> = waits.iter().filter(|wait| **wait > 8.01).collect();
    assert!(!late.is_empty() && late.iter().all(|wait| **wait >= 11.0), "{late:?}");
    let free = "serialize_image_pulls = false\nregistry_pull_qps = 1000\nregistry_burst = 1000";
    let free = run(&node(free, &[app]));
    assert_eq!(counts(&free).pulls_refused, 0);
    assert!(waited(&free, Cause::ImagePull).iter().all(|wait| *wait < 8.01));
    // At most so many at a time: they queue, and those that find nothing left to fetch are soon through.
    let few = "serialize_image_pulls = false\nmax_parallel_image_pulls = 2";
    assert_eq!(run(&node(few, &[app])).record.outcome, Outcome::Reached);
}

/// An init container of 5 s, a sidecar that is up after 3 s and probed each second, another init container of 2 s.
#[test]
fn containers_come_one_after_the_other() {
    let init = "[[deployments.init_containers]]\nruns = { constant = \"5 s\" }\n\
                [[deployments.init_containers]]\nrestart_policy = \"Always\"\nruns = { constant = \"3 s\" }\n\
                startup_probe = { period = \"1 s\", failure_threshold = 30 }\n\
                [[deployments.init_containers]]\nruns = { constant = \"2 s\" }\nimage = \"100 MB\"";
    let told = run(&node("", &[&format!("replicas = 20\nimage = \"0 MB\"\n{init}")]));
    let waits = waited(&told, Cause::InitContainers);
    // Up to a second each until kubelet hears of it; the probe comes with a relist, or a second after.
    assert!(waits.iter().all(|wait| (10.0..14.0).contains(wait)), "{waits:?}");
    let mean = waits.iter().sum::<f64>() / 20.0;
    assert!((11.0..12.5).contains(&mean), "{mean} s on average");
    let pulls = waited(&told, Cause::ImagePull);
    assert!(pulls.iter().any(|wait| *wait >= 1.9), "{pulls:?}");
}

#[test]
fn a_start_up_probe_kills_what_takes_too_long() {
    let app = |failures: u32| {
        format!(
            "replicas = 1\nimage = \"0 MB\"\nstartup = {{ constant = \"100 s\" }}\ntermination_grace = {{ constant = \"2 s\" }}\n\
             startup_probe = {{ period = \"10 s\", failure_threshold = {failures} }}\nreadiness = {{ period = \"20 s\" }}"
        )
    };
    let patient = run(&node("", &[&app(30)]));
    let probed = waited(&patient, Cause::StartupProbe)[0];
    assert!((100.0..110.0).contains(&probed), "{probed} s");
    // Readiness is asked for as soon as the start-up probe has passed.
    assert!(waited(&patient, Cause::Readiness)[0] < 0.01);
    assert_eq!(counts(&patient).startups_failed, 0);
    let hasty = run(&format!("horizon = \"20 min\"\n{}", node("", &[&app(5)])));
    // Once every 10 s from the worker's creation: the fifth fails 40 to 51 s after the start.
    let found = counts(&hasty);
    assert!(found.startups_failed >= 4 && hasty.record.outcome == Outcome::Horizon, "{found:?}");
    let share = waited(&hasty, Cause::StartupProbe)[0] / found.startups_failed as f64;
    assert!((35.0..52.0).contains(&share), "{share} s each time");
    assert!(waited(&hasty, Cause::CrashLoopBackoff)[0] > 100.0);
}

/// A start-up that is work, on a crowded node, runs into its probe; with limits of memory on top.
#[test]
fn slow_starts_on_a_crowded_node_are_killed() {
    let app = "replicas = 40\nimage = \"0 MB\"\nstartup = { constant = \"20 s\" }\nusage = { startup_cpu = \"8\" }\n\
               startup_probe = { period = \"5 s\", failure_threshold = 8 }\n\
               memory_usage = { startup = \"200 MiB\", steady = \"150 MiB\", spread = { median = 1.0, p95 = 1.3 }, limit = \"220 MiB\" }";
    let told = run(&format!("horizon = \"40 min\"\n{}", node("", &[app])));
    assert!(counts(&told).startups_failed > 10, "{:?}", counts(&told));
    assert!(told.record.memory.unwrap().oom_kills > 5, "{:?}", told.record.memory);
}

/// Every pod's causes fill the time from the scale command to Ready, with nodes that come and everything at once.
#[test]
fn causes_add_up() {
    let kinds =
        ["", "serialize_image_pulls = false", "serialize_image_pulls = false\nmax_parallel_image_pulls = 3"];
    for (seed, kubelet) in (0..).zip(kinds) {
        let text = format!(
            "target_pods = 120\n[kubelet]\n{kubelet}\n\
             [[daemonsets]]\nname = \"logs\"\nimage = \"200 MB\"\ncpu = \"50m\"\n\
             [[deployments]]\nreplicas = 120\ncpu = \"200m\"\nmemory = \"200 MiB\"\nstartup = {{ median = \"8 s\", p95 = \"30 s\" }}\n\
             image_layers = [{{ name = \"base\", size = \"300 MB\" }}, {{ size = \"50 MB\" }}]\n\
             startup_probe = {{ period = \"4 s\", failure_threshold = 5 }}\nreadiness = {{ initial_delay = \"3 s\", success_threshold = 2 }}\n\
             [[deployments.init_containers]]\ncpu = \"300m\"\nruns = {{ median = \"4 s\", p95 = \"9 s\" }}\n\
             image_layers = [{{ name = \"base\", size = \"300 MB\" }}]\n\
             [[deployments.init_containers]]\nrestart_policy = \"Always\"\nimage = \"80 MB\"\n\
             [[node_pools]]\nname = \"default\"\ninstance_types = [\"m5.4xlarge\"]\n"
        );
        let told = run_with(&text, seed);
        assert_eq!(told.record.outcome, Outcome::Reached, "{kubelet}");
        for (cause, millis) in Cause::ALL.iter().zip(told.record.cause_pod_ms) {
            let sum: f64 = waited(&told, *cause).iter().sum();
            assert!((sum - millis as f64 / 1e3).abs() < 0.01, "{}: {sum} s, told {millis} ms", cause.name());
        }
        let of = |cause: Cause| told.record.cause_pod_ms[cause as usize];
        let reached = [Cause::ImagePull, Cause::InitContainers, Cause::StartupProbe, Cause::Readiness];
        assert!(reached.into_iter().all(|cause| of(cause) > 0));
        assert_eq!(told.record, run_with(&text, seed).record);
    }
}

#[test]
fn what_kubelet_refuses_is_refused_with_its_key() {
    let app = "replicas = 1\nimage = \"1 MB\"\nimage_layers = []\nstartup_probe = { success_threshold = 2 }\n\
               init_containers = [{ restart_policy = \"Never\", startup_probe = {} }]";
    let mut keys = read(&node("max_parallel_image_pulls = 3\nimage_store_rate = \"0 B\"", &[app]))
        .map(|_| ())
        .unwrap_err();
    keys.sort();
    let wanted = [
        "deployments[0].image",
        "deployments[0].init_containers[0].restart_policy",
        "deployments[0].init_containers[0].startup_probe",
        "deployments[0].startup_probe.success_threshold",
        "kubelet.image_store_rate",
        "kubelet.max_parallel_image_pulls",
    ];
    assert_eq!(keys, wanted);
}
