//! ImageLocality in whole runs: of two nodes that are equal but for an image.

#[path = "common/runs.rs"]
mod runs;

use runs::run_with;

/// Two nodes that were there; the first pod comes at once, the next at `second`; in between the first goes unless `stays`.
fn two_nodes(head: &str, stays: bool, second: &str) -> String {
    let schedule = if stays {
        format!("{{ at = \"0 s\", replicas = 1 }}, {{ at = \"{second}\", replicas = 2 }}")
    } else {
        format!(
            "{{ at = \"0 s\", replicas = 1 }}, {{ at = \"8 s\", replicas = 0 }}, {{ at = \"{second}\", replicas = 1 }}"
        )
    };
    format!(
        "horizon = \"10 min\"\nuntil = \"horizon\"\ndaemonsets = []\n{head}[cni]\nmode = \"none\"\n\
         [[static_nodes]]\ninstance_type = \"m5.24xlarge\"\ncount = 2\n\
         [[deployments]]\ncpu = \"100m\"\nmemory = \"10 MiB\"\nimage = \"300 MB\"\n\
         termination_grace = {{ constant = \"1 s\" }}\nschedule = [{schedule}]\n"
    )
}

/// In how many of forty replications the second pod goes to the node of the first.
fn rejoined(text: &str) -> usize {
    let rejoins = |seed: &u64| {
        let told = run_with(text, *seed);
        let lines = told.trace.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let assumed = lines.filter(|line| line["event"] == "pod_assumed");
        let assumed: Vec<u64> = assumed.map(|line| line["node"].as_u64().unwrap()).collect();
        assert_eq!(assumed.len(), 2, "{:?}", told.trace);
        assumed[0] == assumed[1]
    };
    (1..=40).filter(rejoins).count()
}

/// Nothing else tells the nodes apart: half of them by chance until the status has told, which it has by then in 3 %.
#[test]
fn of_two_empty_nodes_the_one_that_tells_the_image_is_taken() {
    let before = rejoined(&two_nodes("", false, "12 s"));
    assert!((13..30).contains(&before), "{before}");
    assert_eq!(rejoined(&two_nodes("", false, "80 s")), 40);
    assert_eq!(rejoined(&two_nodes("profile = \"2022-11\"\n", false, "80 s")), 40);
}

/// 150 of 300 MB on two nodes are 12 points: more than a small pod costs its node, less than spreading is worth.
#[test]
fn an_image_weighs_less_than_spreading() {
    assert_eq!(rejoined(&two_nodes("", true, "80 s")), 0);
    let alone = "[kube_scheduler]\ndefault_spread = false\n";
    assert_eq!(rejoined(&two_nodes(alone, true, "80 s")), 40);
    let small = two_nodes(alone, true, "80 s").replace("300 MB", "20 MB");
    assert!(rejoined(&small) < 40);
}
