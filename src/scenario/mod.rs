//! What a user writes (`raw`) and what a run takes (`checked`).

pub mod checked;

pub use checked::*;
