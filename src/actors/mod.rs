//! How the real programs decide: machines and plain functions without world, clock or chance.
//!
//! What one needs it gets as values, so that a run, a table test and `kilopod decide` call the same code.
