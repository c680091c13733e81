//! The real binary: started, watched, ended.

use crate::address::Address;
use crate::build;
use crate::wait::{Stopwatch, holds_within};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// How long starting and ending may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(20);

/// How to start the binary.
#[derive(Debug, Default)]
pub struct EdgeLbOptions {
    args: Vec<String>,
    config: Option<(String, &'static str)>,
    folder: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

/// The binary under way. Killed on drop; what it logged is shown when a test fails.
#[derive(Debug)]
pub struct EdgeLb {
    child: Child,
    addresses: Vec<Address>,
    admin: Option<Address>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    _folder: Option<TempDir>,
}

/// The binary after its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All that it wrote on standard output.
    pub stdout: String,
    /// All that it wrote on standard error.
    pub stderr: String,
    /// How long the end took since it was waited for.
    pub took: Duration,
}

impl Finished {
    /// Asserts that no part of the program panicked.
    ///
    /// # Panics
    /// When one did.
    #[track_caller]
    pub fn assert_no_panic(&self) {
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

impl EdgeLbOptions {
    /// One more argument after `run`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A configuration in TOML, given by `--config` as a file of its own.
    #[must_use]
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.config = Some((toml.into(), "toml"));
        self
    }

    /// Where to put the configuration file; a temporary folder if not said.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// A variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts `edge-lb run` and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn start(self) -> EdgeLb {
        let mut command = Command::new(build::binary());
        command.arg("run").args(&self.args).envs(self.environment);
        let mut folder = None;
        if let Some((text, extension)) = self.config {
            let inside = self.folder.unwrap_or_else(|| {
                let fresh = tempfile::tempdir().expect("a temporary folder can be made");
                folder.insert(fresh).path().to_owned()
            });
            let file = inside.join("edge-lb").with_extension(extension);
            std::fs::write(&file, text).expect("the folder can be written to");
            command.arg("--config").arg(file);
        }
        EdgeLb::start(command, folder)
    }
}

impl EdgeLb {
    /// To say how to start it.
    pub fn options() -> EdgeLbOptions {
        EdgeLbOptions::default()
    }

    /// `edge-lb run --config FILE`, the file with this TOML text.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn with_config(toml: impl Into<String>) -> Self {
        Self::options().config(toml).start()
    }

    /// Runs the binary with these arguments to its end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    #[track_caller]
    pub fn command<S: AsRef<std::ffi::OsStr>>(args: &[S], limit: Duration) -> Finished {
        let mut command = Command::new(build::binary());
        command.args(args);
        let mut lb = Self::spawn(command, None, None);
        lb.wait(limit)
    }

    fn spawn(mut command: Command, folder: Option<TempDir>, lines: Option<mpsc::Sender<String>>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            keep(child.stdout.take().expect("it is piped"), Arc::clone(&stdout), lines),
            keep(child.stderr.take().expect("it is piped"), Arc::clone(&stderr), None),
        ];
        Self { child, addresses: Vec::new(), admin: None, stdout, stderr, readers, _folder: folder }
    }

    #[track_caller]
    fn start(command: Command, folder: Option<TempDir>) -> Self {
        let (sender, lines) = mpsc::channel();
        let mut lb = Self::spawn(command, folder, Some(sender));
        if let Err(why) = lb.become_ready(&lines) {
            panic!("edge-lb is not ready: {why}");
        }
        lb
    }

    fn become_ready(&mut self, lines: &Receiver<String>) -> Result<(), String> {
        let watch = Stopwatch::start();
        loop {
            let line = lines.recv_timeout(LIMIT.saturating_sub(watch.elapsed())).map_err(|e| match e {
                RecvTimeoutError::Timeout => format!("not within {LIMIT:?}"),
                RecvTimeoutError::Disconnected => "it ended".to_owned(),
            })?;
            if line.trim() == "ready" {
                return Ok(());
            }
            let parse = |text| Address::parse(text).ok_or_else(|| format!("no address in {line:?}"));
            if let Some(address) = line.strip_prefix("listening on ") {
                self.addresses.push(parse(address)?);
            } else if let Some(address) = line.strip_prefix("admin on ") {
                self.admin = Some(parse(address)?);
            }
        }
    }

    /// Where its first listener is.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    /// Where all its listeners are, in the configuration's order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The admin address.
    ///
    /// # Panics
    /// When the configuration has none.
    pub fn admin(&self) -> &Address {
        self.admin.as_ref().expect("the configuration has an [admin] section")
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The memory it has made its own, in bytes: without the pages of its code, which come in as it is used (`RssAnon`).
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("a process has memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number of kB");
        kib << 10
    }

    /// Where the binary is, for who starts it in another way.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn program() -> &'static Path {
        crate::build::binary()
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Panics
    /// When it does not end.
    pub fn crash(mut self) {
        self.child.kill().expect("it runs");
        self.wait(LIMIT);
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended already: then there is nobody to tell.
        let _ = kill_process(pid.expect("a process has a positive id"), Signal::TERM);
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    #[track_caller]
    pub fn stop(mut self) -> Finished {
        self.terminate();
        self.wait(LIMIT)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.exit_status().is_none()
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is a child of this process")
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> Finished {
        let watch = Stopwatch::start();
        assert!(holds_within(limit, || !self.is_running()), "edge-lb still runs after {limit:?}");
        let took = watch.elapsed();
        for reader in self.readers.drain(..) {
            reader.join().expect("readers do not panic");
        }
        let stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let code = self.exit_status().and_then(|status| status.code());
        Finished { code, stdout, stderr: self.stderr(), took }
    }
}

impl Drop for EdgeLb {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("edge-lb said:\n{}", self.stderr());
        }
    }
}

/// Keeps all that comes, and passes on its lines.
fn keep(
    from: impl Read + Send + 'static,
    all: Arc<Mutex<String>>,
    lines: Option<mpsc::Sender<String>>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.push_str(&line);
            all.push('\n');
            if let Some(lines) = &lines {
                // Nobody listens any more once it is ready.
                let _ = lines.send(line);
            }
        }
    })
}
