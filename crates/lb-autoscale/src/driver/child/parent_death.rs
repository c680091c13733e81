//! A child dies with the one who made it: `PR_SET_PDEATHSIG`. The crate's one use of `unsafe`.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use std::io;
use tokio::process::Command;

/// Has the kernel kill the child when the *thread* that starts it ends: so only a thread that lives as long as the process may start it
/// (see [`super::spawn`]). The setting outlives `exec`, but is not inherited by the child's own children, and set-user-id programs
/// lose it.
pub(super) fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let set = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before that call; then nobody would kill us.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from(Errno::SRCH)) }
    };
    // SAFETY: between fork and exec only what is async-signal-safe may be done, as another thread may have held any lock when the process
    // was forked. The closure makes two system calls (prctl and getppid, which rustix makes without taking a lock) and makes `io::Error`s
    // of numbers, which allocates nothing; it owns a number alone, and cannot panic.
    unsafe {
        command.pre_exec(set);
    }
}
