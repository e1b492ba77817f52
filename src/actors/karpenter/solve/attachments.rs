//! Volumes of a round: nodes whose CSI driver has told of a limit take no more. New claims and those under way have none.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0, `pkg/scheduling/volumeusage.go`.

use super::{ExistingNode, Prepared};

/// What nodes have left.
#[derive(Clone, Debug)]
pub(super) struct Attachments {
    /// By node; empty where no shape has volumes.
    left: Vec<Option<i64>>,
}

impl Attachments {
    pub fn new(shapes: &[Prepared], nodes: &[ExistingNode]) -> Attachments {
        let any = shapes.iter().any(|shape| shape.attachments > 0);
        let nodes = if any { nodes } else { &[] };
        Attachments { left: nodes.iter().map(|node| node.volumes).collect() }
    }
    /// Has the node room for so many more?
    pub fn fit(&self, attachments: u32, place: usize) -> bool {
        attachments == 0 || self.left[place].is_none_or(|left| i64::from(attachments) <= left)
    }
    /// A pod with so many went to the node.
    pub fn record(&mut self, attachments: u32, place: usize) {
        if attachments > 0
            && let Some(left) = &mut self.left[place]
        {
            *left -= i64::from(attachments);
        }
    }
}
