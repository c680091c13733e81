//! The sampler over trees of files, and over this machine under a hog.

use super::Sampler;
use crate::shed::Readings;
use lb_types::{Clock, Nanos, SystemClock};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const GIB: u64 = 1 << 30;

struct Tree(tempfile::TempDir);

impl Tree {
    /// A machine of four CPUs and 8 GiB, of which half is available.
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.put("proc/self/status", "Name:\tedge-lb\nCpus_allowed_list:\t0-3\n");
        tree.put("proc/meminfo", format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 8 << 20, 4 << 20));
        tree.put("proc/pressure/cpu", "some avg10=12.50 avg60=6.09 avg300=3.37 total=4815\n");
        tree.ticks(0, 0, 0);
        tree
    }

    fn v2(self) -> Self {
        self.put("proc/self/cgroup", "0::/kube/pod\n");
        self.put("proc/self/mountinfo", "35 34 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        self
    }

    fn v1(self) -> Self {
        self.put("proc/self/cgroup", "4:memory:/pod\n2:cpu,cpuacct:/pod\n");
        let mount = |name: &str| format!("32 31 0:29 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n");
        self.put("proc/self/mountinfo", mount("cpu,cpuacct") + &mount("memory"));
        self
    }

    fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What the process and the whole machine have used so far, and what was idle.
    fn ticks(&self, process: u64, machine: u64, idle: u64) {
        self.put("proc/self/stat", format!("7 (edge-lb) R 1 1 1 0 -1 0 0 0 0 0 {process} 0 0 0 20 0 1 0\n"));
        self.put("proc/stat", format!("cpu  {machine} 0 0 {idle} 0 0 0 0 0 0\n"));
    }

    fn sampler(&self) -> Sampler {
        Sampler::new(self.0.path())
    }
}

/// The reading once the share of `change`, made each 100 ms, has been there for 20 s.
fn settled(tree: &Tree, mut change: impl FnMut(u64)) -> f64 {
    let mut sampler = tree.sampler();
    change(0);
    assert_eq!(sampler.sample(Nanos::from_secs(5)).cpu, None, "there is nothing to compare with");
    let mut cpu = None;
    for tick in 1..=200 {
        change(tick);
        cpu = sampler.sample(Nanos::from_secs(5) + Nanos::from_millis(tick * 100)).cpu;
    }
    cpu.unwrap()
}

fn near(reading: f64, wanted: f64) {
    assert!((reading - wanted).abs() < 0.01, "{reading}, not {wanted}");
}

#[test]
fn the_machine_and_the_process_without_cgroups() {
    let tree = Tree::new();
    let readings = tree.sampler().sample(Nanos::ZERO);
    let wanted = Readings { memory: Some(50.0), pressure: Some(12.5), ..Readings::default() };
    assert_eq!(readings, wanted);
    // In 100 ms four CPUs have 40 ticks.
    near(settled(&tree, |n| tree.ticks(n * 20, n * 24, n * 16)), 60.0);
    near(settled(&tree, |n| tree.ticks(n * 36, n * 20, n * 20)), 90.0);
}

#[test]
fn a_spike_is_smoothed() {
    let tree = Tree::new();
    let mut sampler = tree.sampler();
    sampler.sample(Nanos::ZERO);
    tree.ticks(0, 40, 0);
    let spike = sampler.sample(Nanos::from_millis(100)).cpu.unwrap();
    near(spike, (1.0 - (-0.1f64).exp()) * 100.0);
    assert_eq!(sampler.sample(Nanos::from_millis(101)).cpu, Some(spike), "too soon to say more");
}

#[test]
fn quotas_and_limits_of_cgroup_v2() {
    let tree = Tree::new().v2();
    let (pod, kube) = ("sys/fs/cgroup/kube/pod", "sys/fs/cgroup/kube");
    tree.put(&format!("{pod}/cpu.max"), "max 100000\n");
    tree.put(&format!("{kube}/cpu.max"), "200000 100000\n");
    tree.put(&format!("{pod}/cpu.pressure"), "some avg10=33.00 avg60=0.00 avg300=0.00 total=1\n");
    let used = |n: u64| {
        tree.put(&format!("{pod}/cpu.stat"), format!("usage_usec {}\nuser_usec 1\n", n * 90_000));
        tree.put(&format!("{kube}/cpu.stat"), format!("usage_usec {}\nuser_usec 1\n", n * 140_000));
        tree.ticks(n * 9, n * 20, n * 20);
    };
    used(0);
    near(settled(&tree, used), 70.0);
    tree.put(&format!("{pod}/cpu.max"), "100000 100000\n");
    near(settled(&tree, used), 90.0);
    assert_eq!(tree.sampler().sample(Nanos::ZERO).pressure, Some(33.0));

    let memory = |group: &str, used: u64, limit: &str, inactive: u64| {
        tree.put(&format!("{group}/memory.current"), used.to_string());
        tree.put(&format!("{group}/memory.max"), limit);
        tree.put(&format!("{group}/memory.stat"), format!("anon 1\ninactive_file {inactive}\n"));
    };
    let reading = || tree.sampler().sample(Nanos::ZERO).memory;
    memory(pod, 2 * GIB, "max\n", GIB);
    memory(kube, 3 * GIB, "max\n", 0);
    assert_eq!(reading(), Some(50.0), "no limit: the machine");
    memory(pod, 2 * GIB, &(2 * GIB).to_string(), GIB / 2);
    assert_eq!(reading(), Some(75.0));
    memory(kube, 3 * GIB, &(4 * GIB).to_string(), 0);
    assert_eq!(reading(), Some(75.0), "the tightest counts");
    memory(pod, GIB, &(16 * GIB).to_string(), 0);
    memory(kube, 3 * GIB, "max\n", 0);
    assert_eq!(reading(), Some(50.0), "a limit above the machine's is none");
}

#[test]
fn quotas_and_limits_of_cgroup_v1() {
    let tree = Tree::new().v1();
    let (cpu, memory) = ("sys/fs/cgroup/cpu,cpuacct/pod", "sys/fs/cgroup/memory/pod");
    tree.put(&format!("{cpu}/cpu.cfs_quota_us"), "50000\n");
    tree.put(&format!("{cpu}/cpu.cfs_period_us"), "100000\n");
    let used = |n: u64| tree.put(&format!("{cpu}/cpuacct.usage"), (n * 40_000_000).to_string());
    used(0);
    near(settled(&tree, used), 80.0);
    tree.put(&format!("{cpu}/cpu.cfs_quota_us"), "-1\n");
    let used = |n| tree.ticks(n, n * 4, n * 36);
    near(settled(&tree, used), 10.0);

    tree.put(&format!("{memory}/memory.usage_in_bytes"), (2 * GIB).to_string());
    tree.put(&format!("{memory}/memory.stat"), format!("inactive_file 7\ntotal_inactive_file {GIB}\n"));
    tree.put(&format!("{memory}/memory.limit_in_bytes"), (4 * GIB).to_string());
    assert_eq!(tree.sampler().sample(Nanos::ZERO).memory, Some(25.0));
    tree.put(&format!("{memory}/memory.limit_in_bytes"), "9223372036854771712\n");
    assert_eq!(tree.sampler().sample(Nanos::ZERO).memory, Some(50.0));
}

#[test]
fn where_there_is_nothing_nothing_is_known() {
    let empty = tempfile::tempdir().unwrap();
    let mut sampler = Sampler::new(empty.path());
    for second in 0..3 {
        assert_eq!(sampler.sample(Nanos::from_secs(second)), Readings::default());
    }
    let tree = Tree::new().v2();
    tree.put("proc/stat", [0xff, 0xfe]);
    tree.put("proc/self/stat", "7 (edge-lb");
    tree.put("proc/meminfo", "");
    tree.put("proc/pressure/cpu", "");
    let mut sampler = tree.sampler();
    for second in 0..3 {
        assert_eq!(sampler.sample(Nanos::from_secs(second)), Readings::default());
    }
}

/// Whatever else runs here can only add to the reading, and as many busy threads as there are CPUs fill the machine.
#[test]
#[cfg(target_os = "linux")]
fn a_hog_is_seen() {
    let clock = SystemClock::new();
    let mut sampler = Sampler::new(Path::new("/"));
    if sampler.sample(clock.now()).memory.is_none() {
        println!("no /proc here: nothing to see");
        return;
    }
    let over = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) && clock.now() < Nanos::from_secs(10) {
                    std::hint::spin_loop();
                }
            });
        }
        let mut seen = 0.0f64;
        while seen < 50.0 && clock.now() < Nanos::from_secs(10) {
            std::thread::sleep(Duration::from_millis(50)); // tidy-allow: sleep: the time between two samples
            seen = seen.max(sampler.sample(clock.now()).cpu.unwrap_or(0.0));
        }
        over.store(true, Ordering::Relaxed);
        println!("{seen:.0} % after {:.1} s", clock.now().as_secs_f64());
        seen
    });
    assert!(seen >= 50.0, "{seen} %");
}
