//! A real `redis-server` for a test: on a free port, in a folder of its own, nothing saved, ended with the test.
//!
//! It is not skipped when the program is missing: `cargo xtask test` installs it, and otherwise the test says what to install.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    pub(crate) fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
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

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, and empty.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        // A connection of another test may have its port for a moment.
        until("its port is free again", async || match launch(self.port, &self.folder, &self.arguments) {
            Ok(child) => {
                self.child = child;
                true
            }
            Err(_) => false,
        })
        .await;
    }

    /// `STOP`: it holds its connections and says nothing; `CONT`: it goes on.
    pub(crate) fn signal(&self, signal: &str) {
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until it is so, for at most half a minute.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            if is_so().await {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
