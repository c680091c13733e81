//! Which process is ours? By a mark in its environment, or by its pid and when it was started.
//!
//! A pid alone says nothing: the kernel gives it to somebody else one day. Two things do. The **mark**, an environment variable
//! with a value of its own for each instance, is inherited by all that the instance starts, wherever that goes (a program that
//! overwrites its environment loses it). The **birth** of a process, its pid and its start in ticks since the boot, names one process for
//! as long as the machine runs.
//!
//! A search reads `/proc/PID/environ` of every process of our user's: some ten µs each.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;

/// The variable that carries the mark.
pub(crate) const MARK: &str = "EDGE_LB_INSTANCE";

/// The value of [`MARK`] for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(String);

impl Mark {
    /// One that nobody else has.
    pub(crate) fn new() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)))
    }

    #[cfg(feature = "process")]
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The processes that carry it. Blocks for some ms.
    pub(crate) fn carriers(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Pid::from_raw).filter(|pid| self.is_on(*pid)).collect()
    }

    /// Signals all who carry it, and nobody else: the pidfd holds on to the process that was looked at. Blocks for some ms.
    pub(crate) fn signal(&self, signal: Signal) {
        for pid in self.carriers() {
            if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
                && self.is_on(pid)
            {
                let _ = pidfd_send_signal(process, signal); // it ended in between
            }
        }
    }

    /// Whether this process carries it.
    pub(crate) fn is_on(&self, pid: Pid) -> bool {
        let Ok(environment) = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else {
            return false;
        };
        environment.split(|byte| *byte == 0).any(|entry| {
            let value = entry.strip_prefix(MARK.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value == Some(self.0.as_bytes())
        })
    }
}

/// When a process was started, in ticks since the boot; `None`: it is not there, or only not reaped yet.
#[cfg(feature = "process")]
pub(crate) fn started(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    started_in(&stat)
}

/// The name in parentheses may hold anything, so it is counted from the last one: the state is the first field after it, the start
/// the twentieth (proc(5)).
#[cfg(feature = "process")]
fn started_in(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// Which run of the machine this is.
#[cfg(feature = "process")]
pub(crate) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(all(test, feature = "process"))]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        for name in ["sh", "a) S 1 (b", "x y"] {
            assert_eq!(started_in(&format!("7 ({name}) S 1 {rest}")), Some(4242), "{name}");
        }
        assert_eq!(started_in(&format!("7 (sh) Z 1 {rest}")), None);
        for broken in ["", "7 (sh", "7 (sh) S 1 2", "7 (sh)"] {
            assert_eq!(started_in(broken), None, "{broken}");
        }
    }

    #[test]
    fn we_were_started_once() {
        let pid = rustix::process::getpid();
        assert!(started(pid).is_some());
        assert_eq!(started(pid), started(pid));
        assert!(!boot().is_empty());
    }

    #[test]
    fn nobody_carries_a_new_mark() {
        assert_eq!(Mark::new().carriers(), []);
        assert_ne!(Mark::new(), Mark::new());
    }
}
