//! From a question to results: the design, its cells, the sweep over them and the folder it fills; and which of the
//! assumptions a result hangs on (`sensitivity`).

mod base;
mod compare_with;
mod comparisons;
mod design;
mod designs;
mod effects;
mod estimand;
mod factors;
mod folder;
mod forecast;
mod groups;
mod identity;
mod label;
mod lock;
mod meta;
mod outputs;
mod page;
mod pareto;
mod plan_file;
mod precision;
mod range;
mod report;
mod rounds;
mod runs;
pub mod sensitivity;
mod stored;
mod sweep;
mod tree;
mod workbook;

pub(crate) use base::base;
pub use comparisons::{COMPARED, Comparing, Comparison};
pub use design::{Cell, Overrides, Plan, read, read_file};
pub use estimand::Estimand;
pub use factors::{Factor, Level};
pub use folder::{Folder, FolderError, Found};
pub use forecast::{Forecast, Pilot, Rows, forecast};
pub use lock::{Lock, LockError};
pub use meta::{Meta, Shard};
pub use plan_file::plan_file;
pub use precision::{Precision, StoppedBy, parse_share};
pub use range::{Range, Scale};
pub use rounds::sweep_within;
pub use runs::{Columns, Runs};
pub use stored::Stored;
pub use sweep::{Finished, Step, cell_keys, sweep};
