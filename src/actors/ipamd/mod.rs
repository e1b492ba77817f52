//! ipamd, the VPC CNI's address manager of one node: settings, datastore, targets and the loop that grows,
//! shrinks and frees ENIs. IPv4, network card 0.
//!
//! The machine never waits and never draws: it says which call it makes or how long it sleeps, and the
//! caller says how that went and when. So a run (latencies drawn, EC2 throttling) and the conformance
//! interface (fixed latencies) drive the very same code. Left out: IPv6, several cards.
//!
//! Source: amazon-vpc-cni-k8s v1.23.1 (b521883), `pkg/ipamd`; for [`Version::V1_12`] that repository at v1.12.0.

mod free;
pub mod leaks;
mod machine;
mod pool;
mod resting;
mod settings;
mod subnets;
mod targets;
pub mod unmanaged;

pub use machine::{Answer, Api, Ask, Attached, Call, Exit, Ipamd, Nap};
pub use pool::{CidrSerial, EniSerial, PodAddress, Pool, PoolCounts};
pub use resting::{PoolState, Rest, resting_states};
pub use settings::{
    Limits, NAMES, NAMES_NOT_MODELLED, NAMES_WITHOUT_EFFECT, Settings, Version, entrypoint_refusals,
    go_parse_bool,
};
pub use subnets::{SubnetView, subnets_to_try};
