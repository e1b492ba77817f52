//! Decisions of the simulated programs. They see values only: never the world, the event list or chance.

pub mod ipamd;
pub mod karpenter;
