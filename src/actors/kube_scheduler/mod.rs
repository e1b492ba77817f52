//! kube-scheduler: in which order pods are tried, which nodes they fit, and how these are scored.

pub mod anti_affinity;
pub mod cycle;
pub mod filter;
pub mod image;
pub mod preemption;
pub mod queue;
pub mod score;
pub mod spread;
pub mod view;
