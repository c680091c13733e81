//! A real `redis-server` for a test: on a free port, in a folder of its own, nothing saved, ended with the test.
//!
//! It is not skipped when the program is missing: `cargo xtask test` installs it, and otherwise the test says what to install.

use crate::wait::eventually;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server of its own for each test.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// With these arguments beside the usual ones.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    /// The same in a folder that has files which its arguments name.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        // Another process may take a port between our look and the server's bind: then another port is tried.
        for _ in 0..10 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            if let Ok(child) = launch(port, &folder, &arguments) {
                return Self { child, port, folder, arguments };
            }
        }
        panic!("redis-server found no port, or does not start with {arguments:?}");
    }

    /// Where it is on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://…`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, and empty. Blocks until it answers.
    ///
    /// # Panics
    /// When it does not start within half a minute.
    pub fn restart(&mut self) {
        self.kill();
        // A connection of another test may have its port for a moment.
        eventually(Duration::from_secs(30), "its port is free again", || {
            match launch(self.port, &self.folder, &self.arguments) {
                Ok(child) => {
                    self.child = child;
                    true
                }
                Err(_) => false,
            }
        });
    }

    /// `STOP`: it holds its connections and says nothing; `CONT`: it goes on.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

fn launch(port: u16, folder: &TempDir, arguments: &[String]) -> Result<Child, String> {
    let tls = arguments.iter().any(|a| a.starts_with("--tls"));
    let port = port.to_string();
    let mut command = Command::new("redis-server");
    command
        .args(if tls { ["--port", "0", "--tls-port", &port] } else { ["--port", &port, "--tls-port", "0"] })
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("redis-server: {e}; install it (Debian: apt-get install redis-server)"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
    if !ready {
        child.wait().unwrap();
        return Err("it ended".into());
    }
    // What it says later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(child)
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
