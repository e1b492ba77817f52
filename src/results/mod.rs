//! What a replication comes to, and the tables made of many.

pub mod record;
