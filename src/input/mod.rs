//! Text input: TOML whose every value knows where it was written, and problems told all at once.
//!
//! Knows no scenario: `scenario` and `experiment` read their own keys through [`Section`].

mod ordered;
mod problem;
mod section;
mod setting;
mod tree;

pub use ordered::ordered_toml;
pub use problem::{Problem, Problems};
pub use section::{Section, nearest};
pub use setting::full_key;
pub use tree::{Document, Node, Origin, Value, read_text};
