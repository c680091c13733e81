//! Starting a process.
//!
//! A group of its own, so that a signal reaches what it starts in turn; a mark in its environment, so that what left the group is found
//! too; standard input is empty. The kernel's promise that a child dies with its parent is bound to the parent's *thread*, and a
//! runtime's threads come and go, so one thread, made with the first child and never ended, starts them all.

use super::group::Group;
use super::mark::{MARK, Mark};
use super::output::{Output, Ring};
use super::parent_death;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// The program and its arguments; at least the program.
    pub(crate) argv: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Whether our own environment comes before that.
    pub(crate) inherit_environment: bool,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) mark: Mark,
    /// It may outlive us. What it says is then not heard: its pipes would break with us.
    pub(crate) stay: bool,
}

/// Starts it.
///
/// # Errors
/// In words: which program, and why not.
pub(crate) async fn spawn(spec: Spec, output: Output) -> Result<Group, String> {
    let (done, result) = oneshot::channel();
    let runtime = Handle::current();
    let program = spec.argv.first().cloned().unwrap_or_default();
    let job: Job = Box::new(move || {
        let _in_runtime = runtime.enter();
        // Nobody waits any more: the group is dropped, and killed by that.
        let _ = done.send(start(&spec, &output));
    });
    let lost = || format!("{program}: cannot be started: there is no thread for it");
    thread_for(job).map_err(|e| format!("{}: {e}", lost()))?;
    let started = result.await.map_err(|_| lost())?;
    started.map_err(|e| format!("{program}: cannot be started: {e}"))
}

fn start(spec: &Spec, output: &Output) -> io::Result<Group> {
    let (program, arguments) = spec.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    if !spec.inherit_environment {
        command.env_clear();
    }
    command.args(arguments).envs(&spec.environment).env(MARK, spec.mark.as_str());
    command.process_group(0).stdin(Stdio::null());
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    if spec.stay {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    } else {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        parent_death::die_with_parent(&mut command);
    }
    let mut child = command.spawn()?;
    let reading = Ring::read(output, child.stdout.take(), child.stderr.take());
    Group::of(child, spec.mark.clone(), spec.stay, reading)
}

type Job = Box<dyn FnOnce() + Send>;

/// Hands it to the one thread that starts processes.
fn thread_for(job: Job) -> io::Result<()> {
    static JOBS: OnceLock<Mutex<Option<mpsc::Sender<Job>>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| Mutex::new(None));
    let mut sender = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    if sender.is_none() {
        let (to_thread, jobs) = mpsc::channel::<Job>();
        let run = move || {
            for job in jobs {
                // A job that panics (its runtime is going down) must not end the thread: the children would go with it.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        std::thread::Builder::new().name("edge-lb-spawn".to_owned()).spawn(run)?;
        *sender = Some(to_thread);
    }
    let gone = |_| io::Error::other("it ended");
    sender.as_ref().map_or(Ok(()), |jobs| jobs.send(job).map_err(gone))
}
