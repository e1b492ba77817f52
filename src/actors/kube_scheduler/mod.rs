//! kube-scheduler: in which order pods are tried, and how nodes are scored.

pub mod queue;
pub mod score;
pub mod spread;
