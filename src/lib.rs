//! How long until 1000 pods run, and what do they waste? A discrete-event simulator of an EKS
//! cluster that scales out.
//!
//! See `ARCHITECTURE.md` for the layers and where to begin reading.

pub mod actors;
pub mod advice;
pub mod calibration;
pub mod catalogue;
pub mod chance;
pub mod cli;
pub mod components;
pub mod decide;
pub mod engine;
pub mod experiment;
pub mod input;
pub mod results;
pub mod scenario;
pub mod statistics;
pub mod units;
pub mod world;
