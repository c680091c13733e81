//! The share of the last ten seconds in which something was ready to run and had no CPU: the kernel's pressure stall
//! information, `some avg10`, of the process's cgroup where it is counted there (v2 `cpu.pressure`), else of the machine.

use super::cgroup::Place;
use super::files::read;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Pressure(PathBuf);

impl Pressure {
    pub(super) fn new(root: &Path, unified: Option<&Place>) -> Self {
        let group = unified.and_then(|place| place.groups(root).into_iter().next());
        let own = group.map(|folder| folder.join("cpu.pressure")).filter(|path| path.exists());
        Self(own.unwrap_or_else(|| root.join("proc/pressure/cpu")))
    }

    /// In percent; `None`: not known.
    pub(super) fn sample(&self, buffer: &mut String) -> Option<f64> {
        some_avg10(read(&self.0, buffer)?)
    }
}

fn some_avg10(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    some.split(' ').next()?.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_texts() {
        let text = "some avg10=7.20 avg60=6.09 avg300=3.37 total=4815315306\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(7.2));
        for text in [
            "",
            "some",
            "some avg10=",
            "some avg10=x y",
            "full avg10=1.00",
            "some avg10=NaN",
            "some avg10=-1",
        ] {
            assert_eq!(some_avg10(text), None, "{text:?}");
        }
    }
}
