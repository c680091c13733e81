//! Processes that we start, with all that they start in turn.
//!
//! | module | what it holds |
//! |---|---|
//! | [`spawn`] | starting one: its own process group, a mark in its environment, the one thread that forks |
//! | [`parent_death`] | it dies with us (the crate's one use of `unsafe`) |
//! | [`group`] | waiting for it, SIGTERM, SIGKILL, sweeping up |
//! | [`mark`] | finding processes by their mark or by pid and start time, in `/proc` |
//! | [`output`] | what it says: whole lines, a bounded number of them |
//!
//! Linux only: what is promised here (nothing is left behind, nothing else is ever killed) leans on `/proc`, pidfds and
//! `PR_SET_PDEATHSIG`.

pub(crate) mod group;
pub(crate) mod mark;
pub(crate) mod output;
mod parent_death;
pub(crate) mod spawn;
