//! What a replication comes to, and the tables made of many.

mod record;

pub use record::{AddressBooks, Outcome, ReplicationRecord, SubnetRecord, TIMELINE_POINTS, TimelinePoint};
