//! `[kubelet]`: how images are pulled, and probes as kubelet times them; without it pulls are one after the other and meet
//! no limit, and a probe's periods count from the container's start.

use crate::input::{Problems, Section};

/// kubelet's configuration, and what a node's disk takes of images.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct KubeletSpec {
    /// `serializeImagePulls`
    pub serialize_image_pulls: bool,
    /// `maxParallelImagePulls`; `None`: no bound.
    pub max_parallel_image_pulls: Option<u32>,
    /// `registryPullQPS` and `registryBurst`; without a token a pull fails.
    pub registry_pull_qps: u32,
    pub registry_burst: u32,
    /// One image comes so fast at most (compressed bytes a second), before its pull's own factor.
    pub image_stream_rate: i64,
    /// All that a node stores at a time (compressed bytes a second): what the volume takes of unpacked images, by 2.5.
    pub image_store_rate: i64,
}

impl Default for KubeletSpec {
    /// Rates: 15 to 20 GB images take 240 to 360 s with stock containerd; unpacking writes about 2.5 times as much onto a gp3
    /// volume of 125 MiB/s (see `models/latency.toml`, `image_rate`).
    fn default() -> KubeletSpec {
        KubeletSpec {
            serialize_image_pulls: true,
            max_parallel_image_pulls: None,
            registry_pull_qps: 5,
            registry_burst: 10,
            image_stream_rate: 60_000_000,
            image_store_rate: 50_000_000,
        }
    }
}

pub(super) fn read(section: Option<Section<'_>>, problems: &mut Problems) -> Option<KubeletSpec> {
    let mut section = section?;
    let mut spec = KubeletSpec::default();
    let serial = section.flag("serialize_image_pulls", problems);
    spec.serialize_image_pulls = serial.unwrap_or(spec.serialize_image_pulls);
    spec.max_parallel_image_pulls = section.whole("max_parallel_image_pulls", 1, 10_000, problems);
    if spec.serialize_image_pulls && spec.max_parallel_image_pulls.is_some_and(|most| most > 1) {
        let what = "pulls that come one after the other are not parallel; kubelet refuses this";
        let hint = Some("add serialize_image_pulls = false".to_string());
        problems.add(
            section.origin_of("max_parallel_image_pulls"),
            &section.key("max_parallel_image_pulls"),
            what,
            hint,
        );
    }
    let qps = section.whole("registry_pull_qps", 1, 100_000, problems);
    let burst = section.whole("registry_burst", 1, 100_000, problems);
    spec.registry_pull_qps = qps.unwrap_or(spec.registry_pull_qps);
    spec.registry_burst = burst.unwrap_or(spec.registry_burst);
    for (name, rate) in
        [("image_stream_rate", &mut spec.image_stream_rate), ("image_store_rate", &mut spec.image_store_rate)]
    {
        *rate = section.bytes(name, problems).unwrap_or(*rate);
        if *rate <= 0 {
            problems.add(section.origin_of(name), &section.key(name), "nothing would ever be pulled", None);
        }
    }
    section.finish(problems);
    Some(spec)
}
