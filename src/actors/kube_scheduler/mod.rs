//! kube-scheduler: how nodes are scored.

pub mod score;
