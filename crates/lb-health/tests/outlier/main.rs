//! Passive detection under virtual time.

mod properties;
mod simulation;
mod table;
mod world;
