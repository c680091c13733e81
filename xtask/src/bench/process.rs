//! What a server has used, read from `/proc`: CPU time and resident memory of a process and all its descendants.
//!
//! CPU time is `utime + stime` plus that of children already waited for (proc(5), fields 14–17), summed over the tree: nginx
//! works in a child of the process that was started. Its unit is a clock tick, usually 10 ms: runs of two seconds and more
//! make that less than one percent.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// CPU time of a process tree since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

impl Cpu {
    /// What was used between `earlier` and `self`.
    pub(super) fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// The fields of `/proc/PID/stat` that are used here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    parent: u32,
    /// utime, stime, cutime, cstime in ticks.
    ticks: [u64; 4],
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The name in brackets may hold blanks and brackets itself: fields are counted from its last bracket.
        let (pid, _) = text.split_once(' ')?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let tick = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()); // fields[0] is field 3
        Some(Stat {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: [tick(14)?, tick(15)?, tick(16)?, tick(17)?],
        })
    }
}

/// The processes of the tree below `pid`, itself included. One that ends while we look is left out.
fn tree(pid: u32) -> Result<Vec<Stat>> {
    let mut all: Vec<Stat> = fs::read_dir("/proc")
        .context("listing /proc")?
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter_map(|text| Stat::parse(&text))
        .collect();
    let mut wanted = BTreeSet::from([pid]);
    // Children may be listed before their parents: repeat until nothing is added.
    while all.iter().filter(|stat| wanted.contains(&stat.parent)).any(|stat| !wanted.contains(&stat.pid)) {
        wanted.extend(
            all.iter().filter(|stat| wanted.contains(&stat.parent)).map(|stat| stat.pid).collect::<Vec<_>>(),
        );
    }
    all.retain(|stat| wanted.contains(&stat.pid));
    if all.iter().any(|stat| stat.pid == pid) {
        Ok(all)
    } else {
        Err(Error::new(format!("process {pid} is gone")))
    }
}

/// CPU time used so far by `pid` and its descendants.
pub(super) fn cpu(pid: u32) -> Result<Cpu> {
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let duration = |ticks: u64| Duration::from_micros(ticks * 1_000_000 / ticks_per_second);
    let tree = tree(pid)?;
    let sum =
        |fields: [usize; 2]| tree.iter().map(|stat| stat.ticks[fields[0]] + stat.ticks[fields[1]]).sum();
    Ok(Cpu { user: duration(sum([0, 2])), system: duration(sum([1, 3])) })
}

/// Resident memory of `pid` and its descendants, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    tree(pid)?.iter().map(|stat| resident_of(stat.pid)).sum()
}

fn resident_of(pid: u32) -> Result<u64> {
    let folder = Path::new("/proc").join(pid.to_string());
    // smaps_rollup is exact; the counters behind `status` may lag by some pages for each thread.
    let exact = fs::read_to_string(folder.join("smaps_rollup")).ok().and_then(|text| kib(&text, "Rss:"));
    let bytes = exact.or_else(|| kib(&fs::read_to_string(folder.join("status")).ok()?, "VmRSS:"));
    bytes.map(|kib| kib * 1024).context(format_args!("reading the memory of process {pid}"))
}

/// The figure of a line `Name:   123 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Cpu, Stat, cpu, kib, resident};
    use std::time::Duration;

    #[test]
    fn stat_is_read_whatever_the_name_holds() {
        let line = "42 (a (b) c) S 7 42 42 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 1 0 500 1000 200";
        assert_eq!(Stat::parse(line), Some(Stat { pid: 42, parent: 7, ticks: [11, 22, 33, 44] }));
        assert_eq!(Stat::parse("42 (cut off) S 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn memory_lines_are_read() {
        let rollup = "55c1-7ffd ---p 00000000 00:00 0   [rollup]\nRss:                1712 kB\nPss: 433 kB\n";
        assert_eq!(kib(rollup, "Rss:"), Some(1712));
        assert_eq!(kib(rollup, "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        assert!(resident(me).expect("readable") > 100 << 10);
        assert!(cpu(me).is_ok());
        assert!(cpu(u32::MAX).is_err());
    }

    #[test]
    fn a_difference_never_goes_below_nothing() {
        let later = Cpu { user: Duration::from_secs(3), system: Duration::from_secs(1) };
        let earlier = Cpu { user: Duration::from_secs(1), system: Duration::from_secs(2) };
        assert_eq!(later.since(earlier), Cpu { user: Duration::from_secs(2), system: Duration::ZERO });
    }
}
