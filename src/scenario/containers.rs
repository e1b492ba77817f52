//! Images as layers, and `[[deployments.init_containers]]`: what runs in a pod before its own container.

use super::workload;
use crate::actors::probe::Probe;
use crate::chance::Distribution;
use crate::input::{Problems, Section};
use crate::units::{Resources, SimDuration};

/// Containers of a pod before its own.
const MOST: usize = 20;

/// A layer of an image; layers of one name are the same in all images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    /// `None`: no other image has it.
    pub name: Option<String>,
    /// Compressed.
    pub bytes: u64,
}

/// A container that is started before the pod's own, in turn with others.
#[derive(Clone, PartialEq, Debug)]
pub struct InitContainer {
    pub requests: Resources,
    pub layers: Vec<Layer>,
    /// `restartPolicy: Always`, a sidecar: it runs on, and the next may start once it has started.
    pub sidecar: bool,
    /// How long it runs; of a sidecar, until its application is up.
    pub runs: Distribution,
    /// Of a sidecar: without it, it has started as soon as it runs.
    pub startup_probe: Option<Probe>,
}

/// `image = "300 MB"`, or `image_layers = [{ name = "base", size = "200 MB" }, { size = "100 MB" }]`.
pub(super) fn layers(section: &mut Section<'_>, standard: u64, problems: &mut Problems) -> Vec<Layer> {
    let image = section.bytes("image", problems).map(i64::unsigned_abs);
    let Some(parts) = section.sections("image_layers", problems) else {
        let bytes = image.unwrap_or(standard);
        return if bytes == 0 { Vec::new() } else { vec![Layer { name: None, bytes }] };
    };
    if image.is_some() {
        let what = "the image's size is that of its layers";
        problems.add(
            section.origin_of("image"),
            &section.key("image"),
            what,
            Some("leave image out".to_string()),
        );
    }
    let each = |mut part: Section<'_>| {
        let layer = Layer {
            name: part.text("name", problems),
            bytes: part.bytes("size", problems).unwrap_or(0).unsigned_abs(),
        };
        part.finish(problems);
        layer
    };
    parts.into_iter().map(each).collect()
}

pub(super) fn init_containers(section: &mut Section<'_>, problems: &mut Problems) -> Vec<InitContainer> {
    let parts = section.sections("init_containers", problems).unwrap_or_default();
    if parts.len() > MOST {
        let what = format!(
            "{} containers before a pod's own are more than the {MOST} that are told apart",
            parts.len()
        );
        problems.add(section.origin_of("init_containers"), &section.key("init_containers"), what, None);
    }
    let each = |mut part: Section<'_>| {
        let policies = [("Always", true)];
        let sidecar = part.choice("restart_policy", &policies, problems).unwrap_or(false);
        let cpu = part.cpu("cpu", problems).unwrap_or(0);
        let read = InitContainer {
            requests: Resources::new(cpu, part.bytes("memory", problems).unwrap_or(0), 0),
            layers: layers(&mut part, 0, problems),
            sidecar,
            runs: workload::distribution(&mut part, "runs", problems).unwrap_or(Distribution::Constant(0.0)),
            startup_probe: part
                .section("startup_probe", problems)
                .map(|probe| startup_probe(probe, problems)),
        };
        if read.startup_probe.is_some() && !sidecar {
            let what = "a container that runs to its end has no start-up probe";
            let hint = Some("add restart_policy = \"Always\", which makes it a sidecar".to_string());
            problems.add(part.origin_of("startup_probe"), &part.key("startup_probe"), what, hint);
        }
        part.finish(problems);
        read
    };
    parts.into_iter().map(each).collect()
}

/// What the scheduler counts for a pod: its own container with all sidecars, or an init container with the sidecars before
/// it, whichever is more.
pub(super) fn requests_of_pod(own: Resources, init: &[InitContainer]) -> Resources {
    let (mut sidecars, mut most) = (Resources::ZERO, Resources::ZERO);
    let larger = |a: Resources, b: Resources| {
        Resources::new(a.cpu_millis.max(b.cpu_millis), a.memory_bytes.max(b.memory_bytes), a.pods)
    };
    for container in init {
        if container.sidecar {
            sidecars += container.requests;
        } else {
            most = larger(most, sidecars + container.requests);
        }
    }
    larger(own + sidecars, most)
}

/// A start-up probe passes once; failing for so long kills the container.
pub(super) fn startup_probe(mut section: Section<'_>, problems: &mut Problems) -> Probe {
    let failure_threshold = section.whole("failure_threshold", 1, 10_000, problems).unwrap_or(3);
    Probe { failure_threshold, ..probe(section, problems) }
}
/// A readiness probe may have to pass more than once; however often it fails, kubelet goes on.
pub(super) fn readiness_probe(mut section: Section<'_>, problems: &mut Problems) -> Probe {
    let success_threshold = section.whole("success_threshold", 1, 100, problems).unwrap_or(1);
    Probe { success_threshold, ..probe(section, problems) }
}
fn probe(mut section: Section<'_>, problems: &mut Problems) -> Probe {
    let read = Probe {
        initial_delay: section.span("initial_delay", problems).unwrap_or(SimDuration::ZERO),
        period: section.span("period", problems).unwrap_or(SimDuration::from_secs(10)),
        success_threshold: 1,
        failure_threshold: 3,
    };
    if read.period < SimDuration::from_secs(1) {
        let what = "a probe's period is 1 s at the least";
        let hint =
            "write period = \"1 s\" or more; left out it is \"10 s\", which the API takes 0 for".to_string();
        problems.add(section.origin_of("period"), &section.key("period"), what, Some(hint));
    }
    section.finish(problems);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(cpu: i64, sidecar: bool) -> InitContainer {
        let requests = Resources::new(cpu, cpu * 1_000, 0);
        let runs = Distribution::Constant(0.0);
        InitContainer { requests, layers: Vec::new(), sidecar, runs, startup_probe: None }
    }

    /// The table of KEP-753's resource accounting, in numbers: init before and after a sidecar.
    #[test]
    fn a_pod_requests_what_its_largest_moment_needs() {
        let own = Resources::new(500, 500_000, 1);
        let cpu = |init: &[InitContainer]| requests_of_pod(own, init).cpu_millis;
        assert_eq!(cpu(&[]), 500);
        assert_eq!(cpu(&[container(700, false)]), 700);
        assert_eq!(cpu(&[container(300, false), container(100, true)]), 600);
        assert_eq!(cpu(&[container(100, true), container(700, false)]), 800);
        assert_eq!(requests_of_pod(own, &[container(900, false)]).pods, 1);
    }
}
