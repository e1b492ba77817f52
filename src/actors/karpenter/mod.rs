//! Karpenter: what it believes a node of a type will offer, how it packs pods, and what it asks EC2 for.
//!
//! Source: kubernetes-sigs/karpenter v1.14.0 and karpenter-provider-aws v1.14.1 (1d92708).

pub mod batcher;
pub mod daemons;
pub mod disruption;
pub mod labels;
pub mod launch;
pub mod offers;
pub mod requirement;
pub mod reservations;
mod resources;
pub mod solve;

pub use requirement::Operator;
pub use resources::{NodeFamily, NodeSettings, allocatable, capacity, kube_reserved};
