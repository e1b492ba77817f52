//! From a question to results: the design, its cells, the sweep over them and the folder it fills.

mod base;
mod comparisons;
mod design;
mod designs;
mod factors;
mod folder;
mod label;
mod meta;
mod range;
mod report;
mod sweep;
mod workbook;

pub(crate) use base::base;
pub use design::{Cell, Overrides, Plan, read, read_file};
pub use factors::{Factor, Level};
pub use folder::{Folder, FolderError, Found};
pub use meta::{Meta, Shard};
pub use range::{Range, Scale};
pub use sweep::{Finished, cell_keys, sweep};
