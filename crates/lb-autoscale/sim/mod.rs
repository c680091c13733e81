//! A seeded simulation of scaling: load shapes, a world that serves them, and those who decide.
//!
//! A fluid model in steps of a second; the same seed gives the same table on every machine. Used by the example
//! `scaling_sim`, which prints it, and by the test `scaling`, which asserts what the documentation claims.

pub(crate) mod contender;
pub(crate) mod hpa;
pub(crate) mod shape;
pub(crate) mod table;
pub(crate) mod world;
