//! ImageLocality: nodes that already hold the pod's images score higher, the more so the more nodes hold them.
//!
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/imagelocality/image_locality.go`.

use std::collections::BTreeMap;

use super::view::{Container, Node, Pod, Version};
use crate::units::MIB;

const LEAST_BYTES: i64 = 23 * MIB;
const MOST_BYTES_PER_CONTAINER: i64 = 1_000 * MIB;

/// On how many nodes each image is.
#[derive(Clone, Debug, Default)]
pub struct Spread<'a> {
    holders: BTreeMap<&'a str, u32>,
    nodes: usize,
}

impl<'a> Spread<'a> {
    pub fn new(nodes: &'a [Node]) -> Spread<'a> {
        let mut holders = BTreeMap::new();
        for node in nodes {
            let mut names: Vec<&str> = node.images.iter().map(|image| image.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().for_each(|name| *holders.entry(name).or_default() += 1);
        }
        Spread { holders, nodes: nodes.len() }
    }

    /// 0 to 100.
    pub fn score(&self, pod: &Pod, node: &Node, version: Version) -> i64 {
        let init: &[Container] = if version == Version::V1_24 { &[] } else { &pod.init_containers };
        let containers = || init.iter().chain(&pod.containers);
        let bytes: i64 = containers().map(|container| self.bytes(container, node)).sum();
        let most = MOST_BYTES_PER_CONTAINER * containers().count() as i64;
        let bytes = if bytes < LEAST_BYTES { LEAST_BYTES } else { bytes.min(most) };
        100 * (bytes - LEAST_BYTES) / (most - LEAST_BYTES)
    }

    /// The image's size, scaled by the share of nodes that hold it; 0 if the node does not.
    fn bytes(&self, container: &Container, node: &Node) -> i64 {
        let name = with_tag(container.image.as_deref().unwrap_or(""));
        let Some(image) = node.images.iter().find(|image| image.name == name) else { return 0 };
        let share = f64::from(self.holders[image.name.as_str()]) / self.nodes as f64;
        (image.size_bytes as f64 * share) as i64
    }
}

/// A name without tag is looked up as `latest`.
fn with_tag(name: &str) -> String {
    let tagged = name.rfind(':').is_some_and(|colon| name.rfind('/').is_none_or(|slash| colon > slash));
    if tagged { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_port_is_not_a_tag() {
        let named = ["root", "root:tag", "host:5000/root", "host:5000/root:v1"].map(super::with_tag);
        assert_eq!(named, ["root:latest", "root:tag", "host:5000/root:latest", "host:5000/root:v1"]);
    }
}
