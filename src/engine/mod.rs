//! The discrete-event core: a future event list and nothing of any cloud.
//!
//! Simulated time is integer nanoseconds; events at one instant happen in order of their class, then in
//! the order in which they were scheduled. Nothing here knows what an event means.

mod agenda;

pub use agenda::{Agenda, Scheduled};
