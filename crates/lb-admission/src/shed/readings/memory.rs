//! Memory, in percent of what the process may use.
//!
//! Each cgroup with a limit, from the process's own up to the root, counts what it uses without the pages of files that
//! nobody used of late, which the kernel takes back when it needs them (v2 `memory.current`, `memory.max` and `inactive_file`
//! of `memory.stat`; v1 `memory.usage_in_bytes`, `memory.limit_in_bytes` and `total_inactive_file`). The tightest counts.
//! Without a limit it is the machine: what is not `MemAvailable` of `MemTotal`. A limit above the machine's memory is none.

use super::cgroup::Place;
use super::files::{field, number, read};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Memory {
    groups: Vec<Group>,
    machine: PathBuf,
}

#[derive(Debug)]
struct Group {
    usage: PathBuf,
    limit: PathBuf,
    stat: PathBuf,
    inactive: &'static str,
}

impl Memory {
    pub(super) fn new(root: &Path, unified: Option<&Place>, v1: Option<&Place>) -> Self {
        let groups =
            |place: Option<&Place>| place.map(|place| place.groups(root)).unwrap_or_default().into_iter();
        let v2 = groups(unified).map(|folder| Group {
            usage: folder.join("memory.current"),
            limit: folder.join("memory.max"),
            stat: folder.join("memory.stat"),
            inactive: "inactive_file",
        });
        let v1 = groups(v1).map(|folder| Group {
            usage: folder.join("memory.usage_in_bytes"),
            limit: folder.join("memory.limit_in_bytes"),
            stat: folder.join("memory.stat"),
            inactive: "total_inactive_file",
        });
        // A group's limit may come and go, its files do not.
        let groups = v2.chain(v1).filter(|group| group.limit.exists()).collect();
        Self { groups, machine: root.join("proc/meminfo") }
    }

    /// In percent; `None`: nothing is known.
    pub(super) fn sample(&self, buffer: &mut String) -> Option<f64> {
        let machine = read(&self.machine, buffer).and_then(meminfo);
        let total = machine.map_or(u64::MAX, |(_, total)| total);
        let groups = self.groups.iter().filter_map(|group| group.percent(total, buffer));
        groups.reduce(f64::max).or_else(|| machine.map(|(used, total)| percent(used, total)))
    }
}

impl Group {
    fn percent(&self, machine: u64, buffer: &mut String) -> Option<f64> {
        // `max`, which is no number, is no limit; v1 has a number that no machine has.
        let limit = number(read(&self.limit, buffer)?).filter(|&limit| 0 < limit && limit <= machine)?;
        let usage = number(read(&self.usage, buffer)?)?;
        let inactive = read(&self.stat, buffer).and_then(|text| field(text, self.inactive)).unwrap_or(0);
        Some(percent(usage.saturating_sub(inactive), limit))
    }
}

fn percent(used: u64, of: u64) -> f64 {
    used as f64 / of as f64 * 100.0
}

/// `/proc/meminfo`: bytes that are used, and all.
fn meminfo(text: &str) -> Option<(u64, u64)> {
    let bytes = |key| field(text, key)?.checked_mul(1_024);
    let total = bytes("MemTotal:").filter(|&total| total > 0)?;
    Some((total.saturating_sub(bytes("MemAvailable:")?), total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_as_captured() {
        let text =
            "MemTotal:       1000 kB\nMemFree:        100 kB\nMemAvailable:   400 kB\nBuffers:  11224 kB\n";
        assert_eq!(meminfo(text), Some((600 * 1_024, 1_000 * 1_024)));
        assert_eq!(meminfo("MemTotal: 0 kB\nMemAvailable: 1 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 10 kB\n"), None);
    }
}
