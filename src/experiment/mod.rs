//! From a question to results: the design, its cells, one replication, the sweep.

pub mod plan;
