//! Which assumptions a result hangs on: Morris' screening over many factors, then variance shares for those that matter.
//!
//! Every point of a design meets the same replications, so that a factor without effect changes nothing at all, and what
//! chance adds to all points alike drops out of every difference.

mod factor;
mod forecast;
mod report;
mod response;
mod study;
mod tables;

pub use factor::{ESTIMATED, Factor};
pub use forecast::Forecast;
pub use response::{RESTRICTED_TIME, Response};
pub use study::{Done, Options, Run, Screened, Shared, Study, Subject};
pub use tables::{files, json};
