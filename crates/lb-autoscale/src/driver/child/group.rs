//! A running process with all that it started.
//!
//! Stopped in three steps: SIGTERM to the group; after the grace SIGKILL; then what still carries the mark, in the group or not, gets what
//! is left of the grace and SIGKILL. A group that is dropped is killed at once, unless it may stay. No signal goes to a pid that may be
//! somebody else's by now: a child of ours holds its pid until it is reaped, everybody else is signalled through a pidfd.

use super::mark::Mark;
use super::output::Reading;
use rustix::process::{Pid, Signal, kill_process_group};
#[cfg(feature = "process")]
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{PidfdFlags, pidfd_open, pidfd_send_signal},
};
use std::io;
#[cfg(feature = "process")]
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

/// How long a process may take to go after SIGKILL (it may be stuck in the kernel) before it is left alone.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// How often a process is looked at that is no child of ours: the kernel tells nobody else of its end. (tokio's safe way to wait for a
/// pidfd is deprecated.)
#[cfg(feature = "process")]
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it is looked for what is left of a group.
const SWEEP_EVERY: Duration = Duration::from_millis(20);

/// A running process and its own.
pub(crate) struct Group {
    leader: Leader,
    pid: Pid,
    mark: Mark,
    stay: bool,
    ended: bool,
    reading: Reading,
}

enum Leader {
    Child(Child),
    #[cfg(feature = "process")]
    Adopted(OwnedFd),
}

/// How a group was stopped.
pub(crate) struct Stopped {
    /// How its leader ended.
    pub(crate) how: String,
    /// It did not go by itself.
    pub(crate) killed: bool,
}

impl Group {
    pub(super) fn of(child: Child, mark: Mark, stay: bool, reading: Reading) -> io::Result<Self> {
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("it has no pid"))?;
        Ok(Self { leader: Leader::Child(child), pid, mark, stay, ended: false, reading })
    }

    /// One that somebody else started; `is_it` is asked once the process cannot be mistaken any more.
    #[cfg(feature = "process")]
    pub(crate) fn adopt(pid: Pid, mark: Mark, is_it: impl FnOnce() -> bool) -> Option<Self> {
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        if !is_it() {
            return None;
        }
        Some(Self {
            leader: Leader::Adopted(process),
            pid,
            mark,
            stay: true,
            ended: false,
            reading: Reading::default(),
        })
    }

    #[cfg(feature = "process")]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until its leader has ended; says how. May be dropped and asked again.
    pub(crate) async fn ended(&mut self) -> String {
        let how = match &mut self.leader {
            Leader::Child(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(e) => format!("cannot be waited for: {e}"),
            },
            #[cfg(feature = "process")]
            Leader::Adopted(process) => {
                while !has_ended(process) {
                    sleep(LOOK_EVERY).await;
                }
                "ended, how only its parent knows".to_owned()
            }
        };
        self.ended = true;
        self.reading.finish().await;
        how
    }

    /// Stops all of it. Bounded: the grace, and twice ten seconds.
    pub(crate) async fn stop(&mut self, grace: Duration) -> Stopped {
        let until = Instant::now() + grace;
        self.signal(Signal::TERM).await;
        let mut killed = false;
        let how = match timeout(grace, self.ended()).await {
            Ok(how) => how,
            Err(_) => {
                killed = true;
                self.signal(Signal::KILL).await;
                let left = |_| "still there after SIGKILL".to_owned();
                timeout(KILL_WAIT, self.ended()).await.unwrap_or_else(left)
            }
        };
        killed |= sweep(&self.mark, until).await;
        Stopped { how, killed }
    }

    async fn signal(&self, signal: Signal) {
        if self.ended {
            return;
        }
        match &self.leader {
            // Not reaped, so the pid and the group are its own.
            Leader::Child(_) => _ = kill_process_group(self.pid, signal),
            #[cfg(feature = "process")]
            Leader::Adopted(process) => {
                let _ = pidfd_send_signal(process, signal);
                let mark = self.mark.clone();
                let _ = tokio::task::spawn_blocking(move || mark.signal(signal)).await;
            }
        }
    }
}

/// Whether a process that is no child of ours has ended; a pidfd is readable from then on.
#[cfg(feature = "process")]
fn has_ended(process: &OwnedFd) -> bool {
    let mut question = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut question, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

/// After a leader's end: waits until `until` for what it left behind, then kills it. Whether it had to.
pub(crate) async fn sweep(mark: &Mark, until: Instant) -> bool {
    let mut killed = false;
    loop {
        let kill = Instant::now() >= until;
        let mark = mark.clone();
        let look = move || {
            let left = !mark.carriers().is_empty();
            if left && kill {
                mark.signal(Signal::KILL);
            }
            left
        };
        // A look that fails found nothing: the runtime is going down.
        let left = tokio::task::spawn_blocking(look).await.unwrap_or(false);
        if !left || Instant::now() >= until + KILL_WAIT {
            return killed;
        }
        killed |= kill;
        sleep(SWEEP_EVERY).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.stay || self.ended {
            return;
        }
        if let Leader::Child(child) = &self.leader
            && child.id().is_some()
        {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}
