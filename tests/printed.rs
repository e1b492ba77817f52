//! What commands print for people.

mod common;

use common::{kilopod, scratch};

/// What `run` of a scenario prints, with settings laid over.
fn printed(name: &str, text: &str, settings: &[&str]) -> String {
    let folder = scratch(name);
    std::fs::write(folder.join("a.toml"), text).unwrap();
    let mut arguments = vec!["run", "a.toml"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let output = kilopod(&folder, &arguments);
    assert!(output.status.success(), "{}", common::error(&output));
    String::from_utf8(output.stdout).unwrap()
}

const STEPS: &str = "horizon = \"20 min\"\ntarget_pods = 20\n[[deployments]]\n\
                     schedule = [{ at = \"0 s\", replicas = 20 }, { at = \"8 min\", replicas = 40 }]\n";

/// The chart goes to where the run ended, and as high as pods were wanted.
#[test]
fn the_chart_shows_the_whole_run() {
    let until_target = printed("chart-target", STEPS, &[]);
    assert!(!until_target.contains("0 to 1200 s") && until_target.contains("\n     20 |"), "{until_target}");
    let to_horizon = printed("chart-horizon", STEPS, &["until=horizon"]);
    assert!(to_horizon.contains("0 to 1200 s") && to_horizon.contains("\n     40 |"), "{to_horizon}");
    let top = to_horizon.lines().find(|line| line.starts_with("     40 |")).unwrap();
    let from = top.find('#').unwrap();
    // 40 are Ready from the step on, at two fifths of the width.
    assert!((8 + 29..8 + 36).contains(&from) && top.ends_with('#'), "{to_horizon}");
}

/// Pods that come after the target do not tell its time.
#[test]
fn the_pod_that_is_told_is_the_one_that_made_the_target() {
    let told = printed("chain", STEPS, &["until=horizon"]);
    let total = told.lines().find(|line| line.starts_with("time to 50/90/99/100 %")).unwrap();
    let target = total.rsplit("/ ").next().unwrap();
    assert!(told.contains(&format!("became Ready at {target}; it had waited")), "{told}");
    assert!(told.contains("all pods, until the target"), "{told}");
}

#[test]
fn a_run_without_a_ready_pod_says_so() {
    let told =
        printed("none", STEPS, &["node_pools=[{instance_types=[\"m5.large\"]}]", "deployments.0.cpu=2"]);
    assert!(told.contains("\nno pod became Ready\n") && told.contains("all pods, until the end"), "{told}");
}

/// `merge` prints the table that a sweep in one piece prints, and does again when the parts were merged before.
#[test]
fn a_merge_prints_the_table_of_its_cells() {
    let folder = scratch("printed-merge");
    let text = "replications = 2\n[scenario]\n[[scenario.deployments]]\nreplicas = 5\n[[factors]]\nname = \"pods\"\n\
                key = \"deployments.0.replicas\"\nvalues = [5, 6]\n";
    std::fs::write(folder.join("small.toml"), text).unwrap();
    let cells = |arguments: &[&str]| -> Vec<String> {
        let output = kilopod(&folder, arguments);
        assert!(output.status.success(), "{}", common::error(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| line.trim_start().starts_with("c0") || line.contains("time to N"))
            .map(String::from)
            .collect()
    };
    let whole = cells(&["sweep", "small.toml", "-o", "whole"]);
    assert_eq!(whole.len(), 3);
    for shard in ["0/2", "1/2"] {
        assert_eq!(
            cells(&["sweep", "small.toml", "--shard", shard, "-o", &shard.replace('/', "-")]).len(),
            2
        );
    }
    assert_eq!(cells(&["merge", "0-2", "1-2", "-o", "merged"]), whole);
    assert_eq!(cells(&["merge", "0-2", "1-2", "-o", "merged"]), whole);
}

fn line<'a>(told: &'a str, name: &str) -> &'a str {
    told.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{told}"))
}

/// A subnet with addresses enough, and no sixteen of them side by side.
#[test]
fn free_blocks_are_told_where_prefixes_are_asked_for() {
    let text = "horizon = \"3 min\"\nzones = [\"us-east-1a\"]\nsubnet_prefix_length = 24\nused_addresses = 100\n\
                [[deployments]]\nreplicas = 5\n[[node_pools]]\ninstance_types = [\"m5.large\"]\n";
    let prefixes = ["ENABLE_PREFIX_DELEGATION=true", "WARM_PREFIX_TARGET=1"];
    let dry = printed("blocks", text, &prefixes);
    let subnet = line(&dry, "subnet-a");
    assert!(subnet.contains("; 0 whole /28 free, 0 at the least; first refused"), "{dry}");
    let reserved = "subnets=[{ zone = \"us-east-1a\", prefix_length = 22, used_addresses = 600, reserved_prefixes = 24 }]";
    let kept = printed("blocks-kept", text, &[&prefixes[..], &[reserved]].concat());
    assert!(
        line(&kept, "pods Ready").contains("(reached)") && line(&kept, "subnet-1").contains("whole /28 free"),
        "{kept}"
    );
    assert!(!printed("blocks-none", text, &[]).contains("/28"));
}

const FEW: &str = "horizon = \"12 min\"\n[[node_pools]]\ninstance_types = [\"m5.large\"]\n";

#[test]
fn what_a_scale_down_left_and_took_away_is_told() {
    let text = format!(
        "{FEW}disruption = {{ consolidate_after = \"30 s\" }}\n[[deployments]]\n\
         schedule = [{{ at = \"0 s\", replicas = 12 }}, {{ at = \"4 min\", replicas = 3 }}]\n"
    );
    let told = printed("down", &text, &[]);
    let pods = line(&told, "pods Ready");
    assert!(pods.contains("3 of 3 wanted now; the target of 12 was reached at "), "{told}");
    assert!(
        line(&told, "nodes at the end").ends_with(" 3") && line(&told, "nodes removed").contains("empty"),
        "{told}"
    );
    // Nothing of it where nothing went.
    let up = printed("up", &text, &["until=target"]);
    assert!(line(&up, "pods Ready").ends_with("12 of 12 (reached)"), "{up}");
    for name in ["nodes at", "nodes removed", "pods evicted", "pods preempted", "pods lost", "autoscaler"] {
        assert!(!up.lines().any(|line| line.starts_with(name)), "{up}");
    }
}

#[test]
fn preemptions_are_told() {
    let text = format!(
        "{FEW}limits = {{ cpu = \"4\" }}\n[[deployments]]\nname = \"low\"\nreplicas = 2\n\
         [[deployments]]\nname = \"high\"\npriority = 100\nschedule = [{{ at = \"4 min\", replicas = 2 }}]\n"
    );
    let told = printed("preempted", &text, &["until=horizon"]);
    assert!(line(&told, "pods preempted").ends_with("2 in 2 preemptions"), "{told}");
}

/// An autoscaler that has come to where its pods use what it aims at asks for no more, whatever the target.
#[test]
fn what_an_autoscaler_wants_in_the_end_is_told() {
    let text = format!(
        "{FEW}[[deployments]]\nname = \"web\"\nreplicas = 2\n\
         autoscaler = {{ max = 10, limit_percent = 400, load = [{{ at = \"0 s\", value = 200 }}] }}\n"
    );
    let told = printed("autoscaler", &text, &[]);
    let wants = line(&told, "autoscaler wants");
    assert!(wants.ends_with(" 4 of web in the end, 10 at most; target_pods is 10"), "{told}");
    let reached = printed("autoscaler-reached", &text, &["target_pods=4"]);
    assert!(!reached.contains("autoscaler wants"), "{reached}");
}
