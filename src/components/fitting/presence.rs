//! How a node's images tell it from others for one Deployment's pods.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::actors::kube_scheduler::image::PodImages;
use crate::components::image_status::ImageStatus;

/// Of each image: how many nodes have it, as the snapshot says of this one.
type Holders = SmallVec<[u32; 2]>;

/// Numbers for what snapshots say of the images of a Deployment's pods on a node: of one image the nodes that have it, of
/// several the place of their list; 0: the node has none of them.
#[derive(Clone, Debug)]
pub(super) struct Presence {
    images: PodImages,
    lists: Vec<Holders>,
    numbers: BTreeMap<Holders, u32>,
}

impl Presence {
    pub fn new(images: PodImages) -> Presence {
        let mut presence = Presence { lists: Vec::new(), numbers: BTreeMap::new(), images };
        if presence.images.numbers().nth(1).is_some() {
            let none = presence.images.numbers().map(|_| 0).collect();
            presence.number(none);
        }
        presence
    }

    pub fn of(&mut self, node: &ImageStatus) -> u32 {
        if node.is_empty() {
            return 0;
        }
        let holders: Holders = self.images.numbers().map(|image| node.holders(image)).collect();
        match holders.as_slice() {
            [] => 0,
            [one] => *one,
            _ => self.number(holders),
        }
    }
    fn number(&mut self, holders: Holders) -> u32 {
        let next = self.lists.len() as u32;
        let number = *self.numbers.entry(holders.clone()).or_insert(next);
        if number == next {
            self.lists.push(holders);
        }
        number
    }

    /// ImageLocality's score of such a node among so many.
    pub fn score(&self, presence: u32, nodes: u32) -> i64 {
        match self.lists.get(presence as usize) {
            Some(holders) => self.images.score(holders.iter().copied(), nodes),
            None => self.images.score([presence], nodes),
        }
    }
    /// Is this an image of the pods?
    pub fn wants(&self, image: u32) -> bool {
        self.images.numbers().any(|wanted| wanted == image)
    }
}
