//! Tuning advice as claims that runs can break: a base, a change, and what the change is said to do.

mod judge;
mod read;
mod stored;

pub use judge::{Judged, judge};
pub use read::{Advice, Claim, Form, Statistic, read_file};
pub use stored::judge_results;
