//! The runner under paused time, with scripted checks.

mod custom;
mod schedule;
mod set;
mod support;
