//! From a question to results: the design, its cells, the sweep over them and the folder it fills.

mod comparisons;
mod design;
mod folder;
mod label;
mod meta;
mod report;
mod sweep;
mod workbook;

pub(crate) use design::base;
pub use design::{Cell, Factor, Level, Overrides, Plan, read, read_file};
pub use folder::{Folder, FolderError, Found};
pub use meta::{Meta, Shard};
pub use sweep::{Finished, cell_keys, sweep};
