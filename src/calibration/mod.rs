//! Fits of figures in `models/` to data that stand beside them.

pub mod advisor;
pub mod depth;
pub mod episodes;
pub mod report;
pub mod search;
pub mod traces;
mod zones;

pub use report::{Finding, Inputs, report};
