//! What is simulated: from a TOML document to a valid, typed and resolved scenario.

mod checked;
mod defaults;
mod disruption;
mod limits;
mod placement;
mod read;
mod subnets;
mod usage;
mod workload;

pub use checked::*;
pub use defaults::spelled_out;
pub use placement::{Placement, StartupTaint, TopologySpread};
pub use read::{Read, read};
pub use usage::UsageSpec;
