//! What is simulated: from a TOML document to a valid, typed and resolved scenario.

mod api_server;
mod capacity_reservations;
mod checked;
mod containers;
mod cron;
mod defaults;
mod disruption;
mod jobs;
mod kubelet;
mod limits;
mod memory_usage;
mod names;
mod placement;
mod plausible;
mod pool_depth;
mod reach;
mod read;
mod rollouts;
mod subnets;
mod too_late;
mod usage;
mod workload;

pub use api_server::{ApiServerSpec, RequestKind};
pub use capacity_reservations::CapacityReservationSpec;
pub use checked::*;
pub use containers::{InitContainer, Layer};
pub use defaults::spelled_out;
pub use jobs::JobSpec;
pub use kubelet::KubeletSpec;
pub use memory_usage::MemoryUsageSpec;
pub use placement::{Placement, StartupTaint, TopologySpread};
pub use plausible::region;
pub use pool_depth::PoolDepth;
pub use read::{Read, read};
pub use rollouts::{Rollouts, TemplateChange};
pub use usage::UsageSpec;
