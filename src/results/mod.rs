//! What a replication comes to, and the tables made of many.

mod dictionary;
mod measures;
mod record;
pub mod rows;
pub mod tables;

pub use dictionary::{columns_page, data_package};
pub use measures::{Kind, Measure, measures};
pub use record::{
    AddressBooks, ApiCount, Outcome, ReplicationRecord, SubnetRecord, TIMELINE_POINTS, TimelinePoint,
    WasteSplit,
};

/// Raised with every change that alters results of the same input.
pub const RESULTS_VERSION: u32 = 2;
