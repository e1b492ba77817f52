//! The discrete-event core: knows no cloud.
