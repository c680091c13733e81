//! CPU time, in percent of what the process may use.
//!
//! The greatest of these shares counts:
//!
//! * each cgroup with a quota, from the process's own up to the root: what it used of its quota (v2 `cpu.stat` and
//!   `cpu.max`; v1 `cpuacct.usage`, `cpu.cfs_quota_us` and `cpu.cfs_period_us`);
//! * the process: what it used of the CPUs that it may run on;
//! * the machine: what all of its CPUs did (without waiting for disks), as a hog beside us starves us as well. Time that a
//!   hypervisor gave to other machines is gone, too, and counts as used.
//!
//! Shares are taken between two samples and smoothed over a second, from 0 on: a single tick does not shed, and neither does
//! the work of starting.

use super::cgroup::{Place, under};
use super::files::{field, number, read};
use lb_types::Nanos;
use std::path::{Path, PathBuf};

/// What a smoothed share has forgotten to e⁻¹ after.
const SMOOTH: Nanos = Nanos::from_secs(1);
/// Samples that are closer together are too coarse: `/proc` counts in hundredths of a second.
const STEP_MIN: Nanos = Nanos::from_millis(20);
/// The unit of `/proc/stat` and `/proc/self/stat` in µs: Linux shows a hundredth of a second whatever the kernel's own is.
const TICK_US: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Cpu {
    groups: Vec<Group>,
    process: PathBuf,
    machine: PathBuf,
    /// CPUs that the process may run on.
    cpus: f64,
    process_before: Option<u64>,
    machine_before: Option<(u64, u64)>,
    at: Option<Nanos>,
    smoothed: Option<f64>,
}

#[derive(Debug)]
struct Group {
    usage: PathBuf,
    limit: Limit,
    before: Option<u64>,
}

#[derive(Debug)]
enum Limit {
    V2(PathBuf),
    V1 { quota: PathBuf, period: PathBuf },
}

impl Cpu {
    pub(super) fn new(
        root: &Path,
        unified: Option<&Place>,
        cpu: Option<&Place>,
        cpuacct: Option<&Place>,
    ) -> Self {
        let mut groups = Vec::new();
        for folder in unified.map(|place| place.groups(root)).unwrap_or_default() {
            let limit = Limit::V2(folder.join("cpu.max"));
            groups.push(Group { usage: folder.join("cpu.stat"), limit, before: None });
        }
        // The two controllers of v1 may be mounted apart; a group with the same path in both is the same.
        if let (Some(cpu), Some(cpuacct)) = (cpu, cpuacct) {
            for below in cpu.below.ancestors() {
                let folder = |place: &Place| under(root, &place.mount).join(below);
                let (limits, usage) = (folder(cpu), folder(cpuacct).join("cpuacct.usage"));
                let (quota, period) = (limits.join("cpu.cfs_quota_us"), limits.join("cpu.cfs_period_us"));
                groups.push(Group { usage, limit: Limit::V1 { quota, period }, before: None });
            }
        }
        // Only those that exist; a group's limit may come and go, its files do not.
        groups.retain(|group| group.usage.exists() && group.limit.exists());
        let allowed = read(&root.join("proc/self/status"), &mut String::new()).and_then(cpus_allowed);
        Self {
            groups,
            process: root.join("proc/self/stat"),
            machine: root.join("proc/stat"),
            cpus: f64::from(allowed.unwrap_or(1)),
            process_before: None,
            machine_before: None,
            at: None,
            smoothed: None,
        }
    }

    /// In percent; `None`: nothing is known, or there is no earlier sample.
    pub(super) fn sample(&mut self, now: Nanos, buffer: &mut String) -> Option<f64> {
        let elapsed = self.at.map(|at| now - at);
        if elapsed.is_some_and(|elapsed| elapsed < STEP_MIN) {
            return self.smoothed;
        }
        self.at = Some(now);
        let elapsed = elapsed.unwrap_or_default();
        let used = |before: Option<u64>, usage: Option<u64>, cpus: f64| {
            let us = usage?.checked_sub(before?)?;
            Some(us as f64 / (cpus * elapsed.0 as f64 / 1e3))
        };
        let mut share: Option<f64> = None;
        for group in &mut self.groups {
            let usage = read(&group.usage, buffer).and_then(|text| group.limit.usage_us(text));
            let before = std::mem::replace(&mut group.before, usage);
            if let Some(cpus) = group.limit.cpus(buffer) {
                share = greatest(share, used(before, usage, cpus));
            }
        }
        let usage = read(&self.process, buffer).and_then(process_us);
        let before = std::mem::replace(&mut self.process_before, usage);
        share = greatest(share, used(before, usage, self.cpus));
        let machine = read(&self.machine, buffer).and_then(machine_ticks);
        share = greatest(share, busy(std::mem::replace(&mut self.machine_before, machine), machine));
        // Samples are not taken in the same instant, so that a full machine may seem a little more than full.
        if let Some(share) = share.map(|share| share.min(1.0)) {
            let smoothed = self.smoothed.unwrap_or(0.0);
            let fresh = 1.0 - (-elapsed.as_secs_f64() / SMOOTH.as_secs_f64()).exp();
            self.smoothed = Some(smoothed + fresh * (share * 100.0 - smoothed));
        }
        share.and(self.smoothed)
    }
}

fn greatest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

impl Limit {
    fn exists(&self) -> bool {
        match self {
            Self::V2(max) => max.exists(),
            Self::V1 { quota, period } => quota.exists() && period.exists(),
        }
    }

    /// The quota in CPUs; `None`: there is none.
    fn cpus(&self, buffer: &mut String) -> Option<f64> {
        match self {
            Self::V2(max) => quota_v2(read(max, buffer)?),
            // -1, which is no u64, is no quota.
            Self::V1 { quota, period } => {
                let quota = number(read(quota, buffer)?)?;
                cpus(quota, number(read(period, buffer)?)?)
            }
        }
    }

    fn usage_us(&self, text: &str) -> Option<u64> {
        match self {
            Self::V2(_) => field(text, "usage_usec"),
            Self::V1 { .. } => number(text).map(|ns| ns / 1_000),
        }
    }
}

/// `cpu.max`: the quota and its period in µs; a quota of `max` is none.
fn quota_v2(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    cpus(number(quota)?, number(period)?)
}

fn cpus(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// `/proc/self/stat`: time in user mode and in the kernel, the 14th and 15th field. The second is the program's name in
/// brackets, with whatever it has of spaces and brackets.
fn process_us(text: &str) -> Option<u64> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    ticks()?.checked_add(ticks()?)?.checked_mul(TICK_US)
}

/// `/proc/stat`, its first line: ticks that were used, and all. Guests' time, after the eighth, is in the first as well.
fn machine_ticks(text: &str) -> Option<(u64, u64)> {
    let mut kinds = [0u64; 8];
    let mut fields = text.strip_prefix("cpu ")?.lines().next()?.split_ascii_whitespace();
    for kind in &mut kinds {
        *kind = fields.next()?.parse().ok()?;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = kinds;
    let busy = [nice, system, irq, softirq, steal].into_iter().try_fold(user, u64::checked_add)?;
    Some((busy, busy.checked_add(idle)?.checked_add(iowait)?))
}

fn busy(before: Option<(u64, u64)>, now: Option<(u64, u64)>) -> Option<f64> {
    let ((busy_before, all_before), (busy, all)) = (before?, now?);
    let all = all.checked_sub(all_before).filter(|&ticks| ticks > 0)?;
    Some(busy.checked_sub(busy_before)? as f64 / all as f64)
}

/// `/proc/self/status`: how many CPUs its `Cpus_allowed_list` names, as in `0-3,8`.
fn cpus_allowed(text: &str) -> Option<u32> {
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    list.split(',').try_fold(0u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_texts() {
        let stat =
            "29288 (a) b) R 29276 29276 16626 0 -1 4194304 97 0 0 0 31 12 7 8 20 0 1 0 2412520 3133440 360\n";
        assert_eq!(process_us(stat), Some(430_000));
        let stat = "cpu  1608788 147647 291046 2690367 21478 0 46447 1122 0 0\ncpu0 1 2 3\n";
        let busy = 1_608_788 + 147_647 + 291_046 + 46_447 + 1_122;
        assert_eq!(machine_ticks(stat), Some((busy, busy + 2_690_367 + 21_478)));
        assert_eq!((quota_v2("150000 100000\n"), quota_v2("max 100000\n")), (Some(1.5), None));
        let status = |list: &str| {
            format!("Name:\tcat\nCpus_allowed:\t3\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n")
        };
        assert_eq!(cpus_allowed(&status("0-1")), Some(2));
        assert_eq!(cpus_allowed(&status("0,3-5,8-63")), Some(60));
    }

    #[test]
    fn what_is_no_such_text_is_not_known() {
        for text in
            ["", "cpu ", "cpu  1 2 3", ")", "1 (x) R 1", "x y", "0 0", "5 0", "Cpus_allowed_list:\t3-1", "-1"]
        {
            let known = (process_us(text), machine_ticks(text), quota_v2(text), cpus_allowed(text));
            assert_eq!(known, (None, None, None, None), "{text:?}");
        }
        assert_eq!(busy(Some((5, 10)), Some((5, 10))), None, "no time has passed");
        assert_eq!(busy(Some((5, 10)), Some((4, 20))), None, "it went backwards");
    }
}
