//! Karpenter: what it believes a node of a type will offer.
//!
//! Source: karpenter-provider-aws v1.14.1 (1d92708).

mod labels;
mod resources;

pub use labels::{Operator, label, passes};
pub use resources::{NodeFamily, NodeSettings, allocatable, capacity, kube_reserved};
