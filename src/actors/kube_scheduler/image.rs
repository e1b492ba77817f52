//! ImageLocality: nodes that already hold the pod's images score higher, the more so the more nodes hold them.
//!
//! Source: kubernetes v1.34.4, `pkg/scheduler/framework/plugins/imagelocality/image_locality.go`.

use std::collections::BTreeMap;

use smallvec::SmallVec;

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
        let bytes = containers().map(|container| self.bytes(container, node)).sum();
        score(bytes, containers().count())
    }

    /// The image's size, scaled by the share of nodes that hold it; 0 if the node does not.
    fn bytes(&self, container: &Container, node: &Node) -> i64 {
        let name = with_tag(container.image.as_deref().unwrap_or(""));
        let Some(image) = node.images.iter().find(|image| image.name == name) else { return 0 };
        scaled(image.size_bytes, self.holders[image.name.as_str()], self.nodes as u32)
    }
}

/// The images of a pod's containers by number, where nodes are told apart by how many have what they have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PodImages {
    /// (image, bytes as kubelet tells them), in the order of containers; those of no size are left out.
    images: SmallVec<[(u32, i64); 1]>,
    containers: usize,
}

impl PodImages {
    /// Of all containers that count, each with its image.
    pub fn new(containers: impl IntoIterator<Item = (u32, i64)>) -> PodImages {
        let (mut images, mut count) = (SmallVec::new(), 0);
        for (image, bytes) in containers {
            count += 1;
            images.extend((bytes > 0).then_some((image, bytes)));
        }
        PodImages { images, containers: count }
    }
    /// The images themselves.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.images.iter().map(|(image, _)| *image)
    }
    /// 0 to 100, for a node of which the snapshot says that so many nodes have each of the images, in their order: 0 for those
    /// that it has not itself.
    #[inline]
    pub fn score(&self, holders: impl IntoIterator<Item = u32>, nodes: u32) -> i64 {
        let each = self.images.iter().zip(holders);
        let bytes = each.map(|((_, bytes), holders)| scaled(*bytes, holders, nodes)).sum();
        if bytes < LEAST_BYTES { 0 } else { score(bytes, self.containers) }
    }
}

/// A size by the share of nodes that have the image; what a snapshot says of a node may be of a time when there were more.
fn scaled(size_bytes: i64, holders: u32, nodes: u32) -> i64 {
    let share = f64::from(holders) / f64::from(nodes);
    (size_bytes as f64 * share) as i64
}

fn score(bytes: i64, containers: usize) -> i64 {
    let most = MOST_BYTES_PER_CONTAINER * containers as i64;
    let bytes = if bytes < LEAST_BYTES { LEAST_BYTES } else { bytes.min(most) };
    100 * (bytes - LEAST_BYTES) / (most - LEAST_BYTES)
}

/// A name without tag is looked up as `latest`.
fn with_tag(name: &str) -> String {
    let tagged = name.rfind(':').is_some_and(|colon| name.rfind('/').is_none_or(|slash| colon > slash));
    if tagged { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: i64 = 1_000_000;

    /// Worked out by hand with the published thresholds, 23 MiB and 1000 MiB a container.
    #[test]
    fn an_image_counts_by_the_share_of_nodes_that_have_it() {
        let one = PodImages::new([(7, 300 * MB)]);
        let of = |holders| one.score([holders], 50);
        // 300 MB on all nodes: (300,000,000 - 24,117,248) of 1,024,458,752; below 8.04 % of the nodes nothing, 1 from 11.45 % on.
        assert_eq!([0, 4, 5, 6, 25, 50].map(of), [0, 0, 0, 1, 12, 26]);
        // As many as were there when the node was last looked at.
        assert_eq!(one.score([50], 40), 34);
        // A second container without an image doubles the upper bound.
        let two = PodImages::new([(6, 0), (7, 300 * MB)]);
        assert_eq!((two.score([50], 50), two.numbers().collect::<Vec<_>>()), (13, vec![7]));
        assert_eq!(PodImages::new([(1, 2_000 * MB)]).score([3], 3), 100);
    }

    #[test]
    fn a_port_is_not_a_tag() {
        let named = ["root", "root:tag", "host:5000/root", "host:5000/root:v1"].map(super::with_tag);
        assert_eq!(named, ["root:latest", "root:tag", "host:5000/root:latest", "host:5000/root:v1"]);
    }
}
