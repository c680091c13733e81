//! What the figures were measured on: without it they cannot be judged.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::clock;
use crate::stream;

/// Open files wished for: 5 000 clients, as many connections to origins, and room.
const FILES_WISHED: u64 = 65_536;

/// Facts about the machine and the tree.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) cores: usize,
    cpu: String,
    memory_mib: u64,
    kernel: String,
    congestion_control: String,
    /// The one-minute load average before the first measurement.
    pub(super) load: f64,
    rustc: String,
    commit: String,
    date: String,
}

impl Machine {
    pub(super) fn look(root: &Path) -> Machine {
        Machine {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: line_of("/proc/cpuinfo", "model name"),
            memory_mib: line_of("/proc/meminfo", "MemTotal")
                .split(' ')
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            kernel: first_line("/proc/sys/kernel/osrelease"),
            congestion_control: first_line("/proc/sys/net/ipv4/tcp_congestion_control"),
            load: load_average(),
            rustc: said_by(root, "rustc", &["--version"]),
            commit: said_by(root, "git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            date: clock::utc(clock::unix_seconds()),
        }
    }

    /// Names and values, for people.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("date", self.date.clone()),
            ("commit", self.commit.clone()),
            ("CPU", format!("{} × {}", self.cores, self.cpu)),
            ("memory", format!("{} MiB", self.memory_mib)),
            ("kernel", self.kernel.clone()),
            ("congestion control", self.congestion_control.clone()),
            ("load average at start", format!("{:.2}", self.load)),
            ("rustc", self.rustc.clone()),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "date": self.date, "commit": self.commit, "cores": self.cores, "cpu": self.cpu, "memory_mib": self.memory_mib,
            "kernel": self.kernel, "tcp_congestion_control": self.congestion_control, "load_average": self.load,
            "rustc": self.rustc,
        })
    }

    /// Says so when something else is using the machine: ratios then still hold, the figures do not.
    pub(super) fn warning(&self) -> Option<String> {
        let busy = self.load > 0.5;
        busy.then(|| {
            format!(
                "the machine was busy before the first run (load average {:.2}): compare ratios only",
                self.load
            )
        })
    }
}

pub(super) fn load_average() -> f64 {
    first_line("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

/// Raises the limit of open files as far as allowed and returns it.
pub(super) fn raise_file_limit() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    // Root may go beyond the hard limit; others go up to it.
    for wished in [FILES_WISHED.max(now.current.unwrap_or(0)), hard.min(FILES_WISHED)] {
        let limit = Rlimit { current: Some(wished), maximum: Some(hard.max(wished)) };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return wished;
        }
    }
    now.current.unwrap_or(hard)
}

fn first_line(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}

/// The value of the first line `name : value`.
fn line_of(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn said_by(root: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    stream::output(&mut command, Duration::from_secs(10))
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Machine, raise_file_limit};
    use std::path::Path;

    #[test]
    fn this_machine_has_facts() {
        let machine = Machine::look(Path::new("."));
        assert!(machine.cores > 0);
        assert!(machine.memory_mib > 0);
        assert!(machine.kernel != "unknown");
        assert!(machine.load >= 0.0);
    }

    #[test]
    fn the_file_limit_is_never_lowered() {
        let first = raise_file_limit();
        assert!(raise_file_limit() >= first.min(65_536));
    }
}
