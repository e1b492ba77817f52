//! What a replication comes to, and the tables made of many.

mod dictionary;
pub mod gathered;
mod measures;
mod record;
pub mod rows;
mod sensitivity;
pub mod tables;

pub use dictionary::{columns_page, data_package, sensitivity_package};
pub use measures::{Kind, Measure, measure_named, measures};
pub use record::{
    AddressBooks, ApiCount, ApiServerRecord, BranchEniRecord, ClaimRecord, CpuRecord, JobRecord,
    KubeletRecord, MemoryRecord, Outcome, ReplicationRecord, ReservedRecord, SubnetRecord, TIMELINE_POINTS,
    TimelinePoint, WasteSplit,
};
pub use sensitivity::{SENSITIVITY_TABLES, sensitivity_columns};

/// Raised with every change that alters results of the same input.
pub const RESULTS_VERSION: u32 = 13;
