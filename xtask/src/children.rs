//! Child processes that never outlive the task.
//!
//! Every child leads a process group of its own. The group is ended when its [`Group`] is dropped (return, error or panic) and
//! when the task is interrupted (Ctrl-C, SIGTERM): first SIGTERM, then SIGKILL after [`GRACE`]. A task that is itself killed
//! with SIGKILL cannot clean up; nothing here covers that.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process_group, set_child_subreaper, test_kill_process_group,
    waitpgid,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::clock;
use crate::error::{Context, Result};

/// How long a group may take to end itself; servers and test runners need far less.
const GRACE: Duration = Duration::from_secs(5);
/// How often a group that is ending is looked at.
const POLL: Duration = Duration::from_millis(10);

/// The groups alive now, for the interrupt handler.
static ALIVE: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn alive() -> MutexGuard<'static, Vec<Pid>> {
    // The list holds plain ids: it is whole even if a holder of the lock panicked.
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running child and all that it started.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    pid: Pid,
}

impl Group {
    /// Starts `command` as the leader of a new process group.
    pub(crate) fn spawn(command: &mut Command) -> Result<Group> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut alive = alive(); // held over the spawn: an interrupt in between would miss the child
        let child = command.process_group(0).spawn().context(format_args!("starting {name}"))?;
        let pid = Pid::from_child(&child);
        alive.push(pid);
        Ok(Group { child, pid })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, if the leader has ended.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("waiting for a child")
    }

    /// Ends the group: politely, then not.
    fn end(&mut self) {
        end_group(self.pid, || {
            // While a member is a zombie the group still exists. The leader first: `Child` wants to reap it itself.
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                reap(self.pid);
            }
        });
        let _ = self.child.wait();
        reap(self.pid);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
        alive().retain(|pid| *pid != self.pid);
    }
}

/// Reaps the members of a group that became our children (see [`end_on_interrupt`]).
fn reap(group: Pid) {
    while matches!(waitpgid(group, WaitOptions::NOHANG), Ok(Some(_))) {}
}

/// Sends SIGTERM, waits up to [`GRACE`] for the group to be gone, sends SIGKILL.
fn end_group(pid: Pid, mut reap: impl FnMut()) {
    if kill_process_group(pid, Signal::TERM).is_err() {
        return; // already gone
    }
    let deadline = clock::now() + GRACE;
    while clock::now() < deadline {
        reap();
        if test_kill_process_group(pid).is_err() {
            return;
        }
        std::thread::sleep(POLL);
    }
    let _ = kill_process_group(pid, Signal::KILL);
}

/// From now on Ctrl-C and SIGTERM end every group, then this process with the customary `128 + signal`.
///
/// Also makes this process adopt orphans of its groups, so that they are reaped in containers whose first process does not.
pub(crate) fn end_on_interrupt() -> Result<()> {
    set_child_subreaper(Some(getpid())).context("adopting orphans")?;
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("catching signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let groups = alive(); // kept locked: nothing new starts from here on
            for &pid in groups.iter() {
                let _ = kill_process_group(pid, Signal::TERM);
            }
            for &pid in groups.iter() {
                end_group(pid, || reap(pid));
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Group;
    use std::io::Read;
    use std::process::{Command, Stdio};

    #[test]
    fn a_dropped_group_takes_its_grandchildren_along() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & wait"]).stdout(Stdio::piped());
        let mut group = Group::spawn(&mut shell).expect("sh starts");
        let mut pipe = group.child().stdout.take().expect("stdout is piped");
        drop(group);
        // The sleeping grandchild holds the pipe's other end: it closes only when that is gone, too.
        let mut rest = Vec::new();
        assert_eq!(pipe.read_to_end(&mut rest).expect("readable"), 0);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Group::spawn(&mut Command::new("no-such-program-here")).expect_err("cannot start");
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }
}
