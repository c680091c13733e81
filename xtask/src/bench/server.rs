//! Starts the origin and the proxies, each in a folder of its own, and ends them when they are dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::config::{self, Values, fill};
use super::fetch::Peer;
use super::net::{free_ports, wait_until_up};
use crate::children::Group;
use crate::error::{Context, Error, Result};

/// Bodies that the origin serves as files.
const FILES: [(&str, usize); 2] = [("16k", 16 << 10), ("1m", 1 << 20)];

/// What is measured: a program that was found or built.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) program: PathBuf,
    pub(super) kind: Kind,
    /// Another template than its kind's own.
    pub(super) config: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    EdgeLb,
    Peer(Peer),
}

/// A server that answers on `port`.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) port: u16,
    group: Group,
    log: PathBuf,
}

/// What every server of a run shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) clients: u32,
    pub(super) files: u64,
}

/// The origin: one nginx worker on three ports.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) ports: [u16; 3],
    server: Server,
}

impl Origin {
    pub(super) fn start(nginx: &Path, scratch: &Path, limits: Limits) -> Result<Origin> {
        let folder = fresh_folder(scratch, "origin")?;
        let www = folder.join("www");
        fs::create_dir(&www).context(www.display())?;
        for (name, size) in FILES {
            fs::write(www.join(name), noise(size)).context(name)?;
        }
        let ports = free_ports()?;
        let values =
            Values { port: 0, admin: 0, origins: ports, clients: limits.clients, files: limits.files };
        fs::write(folder.join("origin.conf"), fill(config::ORIGIN, &values)?).context("origin.conf")?;
        let mut server = spawn(&mut nginx_command(nginx, &folder, "origin.conf"), &folder, ports[0])?;
        server.wait().context("origin")?;
        Ok(Origin { ports, server })
    }

    pub(super) fn check(&mut self) -> Result<()> {
        self.server.check().context("origin")
    }
}

impl Subject {
    /// Starts it in front of these origins and waits until it answers.
    pub(super) fn start(&self, origins: [u16; 3], scratch: &Path, limits: Limits) -> Result<Server> {
        let folder = fresh_folder(scratch, &self.name)?;
        let [port, admin] = free_ports()?;
        let values = Values { port, admin, origins, clients: limits.clients, files: limits.files };
        let write = |name: &str, template: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, fill(template, &values)?).context(name)?;
            Ok(path)
        };
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::EdgeLb => {
                command
                    .args(["run", "--config"])
                    .arg(write("edge-lb.toml", self.config.as_deref().unwrap_or(config::EDGE_LB))?);
            }
            Kind::Peer(Peer::Nginx) => {
                write("nginx.conf", config::NGINX)?;
                command = nginx_command(&self.program, &folder, "nginx.conf");
            }
            Kind::Peer(Peer::Haproxy) => {
                command.args(["-db", "-f"]).arg(write("haproxy.cfg", config::HAPROXY)?);
            }
            Kind::Peer(Peer::Envoy) => {
                command.arg("-c").arg(write("envoy.yaml", config::ENVOY)?);
                command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
            }
            Kind::Peer(Peer::Caddy) => {
                command
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(write("Caddyfile", config::CADDY)?);
                command.env("GOMAXPROCS", "1").env("XDG_CONFIG_HOME", &folder).env("XDG_DATA_HOME", &folder);
            }
            Kind::Peer(Peer::Pingora) => {
                command.arg(port.to_string()).args(origins.map(|port| port.to_string()));
            }
        }
        let mut server = spawn(&mut command, &folder, port)?;
        server.wait()?;
        Ok(server)
    }
}

impl Server {
    pub(super) fn id(&self) -> u32 {
        self.group.id()
    }

    /// Fails with the end of its log if it is no longer running.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.group.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Error::new(format!("it ended by itself ({status}){}", log_tail(&self.log)))),
        }
    }

    fn wait(&mut self) -> Result<()> {
        let port = self.port;
        let Err(cause) = wait_until_up(port, "/small", || self.check()) else { return Ok(()) };
        self.check()?; // if it ended, that is the cause
        Err(Error::new(format!("{cause}{}", log_tail(&self.log))))
    }
}

fn spawn(command: &mut Command, folder: &Path, port: u16) -> Result<Server> {
    let log = folder.join("output.log");
    let file = File::create(&log).context(log.display())?;
    let copy = file.try_clone().context(log.display())?;
    let group = Group::spawn(command.current_dir(folder).stdin(Stdio::null()).stdout(file).stderr(copy))?;
    Ok(Server { port, group, log })
}

fn nginx_command(nginx: &Path, folder: &Path, config: &str) -> Command {
    let mut command = Command::new(nginx);
    // The error log is named here, too: nginx opens its compiled-in one before it has read the file.
    command.arg("-p").arg(folder).arg("-c").arg(folder.join(config)).args([
        "-e",
        "start.err",
        "-g",
        "daemon off;",
    ]);
    command
}

fn fresh_folder(scratch: &Path, name: &str) -> Result<PathBuf> {
    let folder = scratch.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).context(folder.display())?;
    }
    fs::create_dir_all(&folder).context(folder.display())?;
    Ok(folder)
}

fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(5)..];
    if tail.is_empty() { String::new() } else { format!(":\n  {}", tail.join("\n  ")) }
}

/// Bytes that no proxy could compress: the top bits of a linear congruential generator (Knuth's MMIX constants).
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::noise;

    #[test]
    fn noise_has_every_byte_about_as_often() {
        let mut counts = [0_u32; 256];
        for byte in noise(1 << 16) {
            counts[usize::from(byte)] += 1;
        }
        assert!(counts.iter().all(|&count| (128..512).contains(&count)), "{counts:?}");
    }
}
