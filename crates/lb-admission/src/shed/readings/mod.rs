//! What this machine and this process's cgroups bear at present (feature `readings`).
//!
//! Linux's `/proc` and cgroups, version 1, 2 or both at once; elsewhere every reading is `None`. A [`Sampler`] finds its
//! files once, and again only when it is made anew; each [`sample`](Sampler::sample) opens and reads a handful of them into
//! one buffer (`examples/readings.rs` prints what that costs: some tens of µs). It is meant to be asked ten times a second, beside
//! the requests.
//!
//! How many requests wait and how late the event loop wakes is not to be read here: others fill that in.

mod cgroup;
mod cpu;
mod files;
mod memory;
mod pressure;
#[cfg(test)]
mod tests;

use super::shedder::Readings;
use cpu::Cpu;
use lb_types::Nanos;
use memory::Memory;
use pressure::Pressure;
use std::path::Path;

/// See the module's documentation.
#[derive(Debug)]
pub struct Sampler {
    cpu: Cpu,
    memory: Memory,
    pressure: Pressure,
    buffer: String,
}

impl Sampler {
    /// One that finds `proc` and `sys` below `root`, which is `/` but in tests and where a host's are mounted elsewhere.
    pub fn new(root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        let text = |path: &str| {
            let mut text = String::new();
            files::read(&root.join(path), &mut text);
            text
        };
        let (groups, mounts) = (text("proc/self/cgroup"), text("proc/self/mountinfo"));
        let unified = cgroup::unified(&groups, &mounts);
        let [cpu, cpuacct, memory] =
            ["cpu", "cpuacct", "memory"].map(|controller| cgroup::v1(controller, &groups, &mounts));
        Self {
            cpu: Cpu::new(root, unified.as_ref(), cpu.as_ref(), cpuacct.as_ref()),
            memory: Memory::new(root, unified.as_ref(), memory.as_ref()),
            pressure: Pressure::new(root, unified.as_ref()),
            buffer: String::new(),
        }
    }

    /// Reads all there is to read. Of the CPU nothing is known before the second sample.
    pub fn sample(&mut self, now: Nanos) -> Readings {
        Readings {
            cpu: self.cpu.sample(now, &mut self.buffer),
            memory: self.memory.sample(&mut self.buffer),
            pressure: self.pressure.sample(&mut self.buffer),
            ..Readings::default()
        }
    }
}
