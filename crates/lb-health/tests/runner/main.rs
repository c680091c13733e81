//! The runner under paused time, with scripted checks.

mod schedule;
mod set;
mod support;
