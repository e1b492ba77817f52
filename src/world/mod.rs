//! State and its invariants: one noun a file. No decisions, no clock, no chance.

pub mod cause;
pub mod subnet;
