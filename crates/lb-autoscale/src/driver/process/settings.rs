//! Settings of the process driver. `Default` is as documented here; [`ProcessSettings::validate`] says what is out of bounds.

use super::ready::Ready;
use crate::driver::retry::{Retry, within};
use crate::driver::template;
use lb_types::SettingsError;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// The most that `instances_max` may be.
pub const INSTANCES_MAX: u32 = 1_000;
/// What may be filled in in the command and in the environment.
pub(super) const PLACES: &[&str] = &["id", "host", "port"];

/// What instances are and how they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessSettings {
    /// The program and its arguments, with `{id}`, `{host}` and `{port}` filled in. There is no shell. No default.
    pub command: Vec<String>,
    /// Instances are called `NAME-1`, `NAME-2` …, default `instance` (1–64 letters, digits, `-` and `_`).
    pub name: String,
    /// Variables of the environment, their values with the same places.
    pub environment: BTreeMap<String, String>,
    /// Whether our own environment comes before those, default true. Without it there is no `PATH` either.
    pub inherit_environment: bool,
    /// The working directory, default our own.
    pub directory: Option<PathBuf>,
    /// Where instances listen and are reached, default 127.0.0.1.
    pub host: IpAddr,
    /// The first and the last port that is given out, default any that is free.
    pub ports: Option<(u16, u16)>,
    /// When an instance is ready, default when it accepts a connection.
    pub ready: Ready,
    /// How long it may take to become ready, default 60 s (10 ms – 1 h). After that it counts as crashed.
    pub start_timeout: Duration,
    /// How long one question for readiness may take, default 1 s (10 ms – 1 h), and how long is waited after one, default
    /// 200 ms (10 ms – 1 h).
    pub probe_timeout: Duration,
    /// See `probe_timeout`.
    pub probe_interval: Duration,
    /// How a crashed instance is started again, default 5 tries, 500 ms doubling to 30 s. It is given up at so many crashes within
    /// `crash_window`, or in a row without having been ready.
    pub restart: Retry,
    /// Default 5 min (1 ms – 1 h).
    pub crash_window: Duration,
    /// When an instance was given up, no new one is made for so long, default 30 s (1 ms – 1 h); doubled, up to an hour, with each
    /// further one until one is ready.
    pub rest: Duration,
    /// How long an instance may take to end after SIGTERM, default 30 s (0 – 1 h). Then SIGKILL.
    pub stop_grace: Duration,
    /// The most instances, default 100 (1–1000).
    pub instances_max: u32,
    /// Where it is written which instances there are; read at the next start. Default: nowhere.
    pub state_file: Option<PathBuf>,
    /// What becomes of instances when we end without a shutdown, default [`Orphans::Die`].
    pub orphans: Orphans,
}

/// What becomes of instances whose parent ends without having stopped them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Orphans {
    /// The kernel kills them with it (SIGKILL). What they started in turn is found at the next start by the `state_file`, and stopped.
    #[default]
    Die,
    /// They go on, and the next start adopts them if their command is still the same and they are ready, else stops them. Needs a
    /// `state_file`; what they say is not heard, because a pipe to us would break with us.
    Stay,
}

impl ProcessSettings {
    /// This command; the rest as documented.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            name: "instance".to_owned(),
            environment: BTreeMap::new(),
            inherit_environment: true,
            directory: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: None,
            ready: Ready::Tcp,
            start_timeout: Duration::from_secs(60),
            probe_timeout: Duration::from_secs(1),
            probe_interval: Duration::from_millis(200),
            restart: Retry::default(),
            crash_window: Duration::from_secs(5 * 60),
            rest: Duration::from_secs(30),
            stop_grace: Duration::from_secs(30),
            instances_max: 100,
            state_file: None,
            orphans: Orphans::Die,
        }
    }

    /// Another name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// One more variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// With our own environment, or without.
    #[must_use]
    pub fn inherit_environment(mut self, inherit: bool) -> Self {
        self.inherit_environment = inherit;
        self
    }

    /// Another working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Another address to listen at.
    #[must_use]
    pub fn host(mut self, host: impl Into<IpAddr>) -> Self {
        self.host = host.into();
        self
    }

    /// Only these ports.
    #[must_use]
    pub fn ports(mut self, first: u16, last: u16) -> Self {
        self.ports = Some((first, last));
        self
    }

    /// Another way to know that it is ready.
    #[must_use]
    pub fn ready(mut self, ready: Ready) -> Self {
        self.ready = ready;
        self
    }

    /// Another time to become ready.
    #[must_use]
    pub fn start_timeout(mut self, time: Duration) -> Self {
        self.start_timeout = time;
        self
    }

    /// Other times of one question and between two.
    #[must_use]
    pub fn probes(mut self, timeout: Duration, interval: Duration) -> Self {
        self.probe_timeout = timeout;
        self.probe_interval = interval;
        self
    }

    /// Other restarts, and the window that crashes are counted in.
    #[must_use]
    pub fn restart(mut self, restart: Retry, window: Duration) -> Self {
        self.restart = restart;
        self.crash_window = window;
        self
    }

    /// Another rest after an instance was given up.
    #[must_use]
    pub fn rest(mut self, rest: Duration) -> Self {
        self.rest = rest;
        self
    }

    /// Another grace.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// Another most.
    #[must_use]
    pub fn instances_max(mut self, most: u32) -> Self {
        self.instances_max = most;
        self
    }

    /// Writes down which instances there are.
    #[must_use]
    pub fn state_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_file = Some(path.into());
        self
    }

    /// What becomes of orphans.
    #[must_use]
    pub fn orphans(mut self, orphans: Orphans) -> Self {
        self.orphans = orphans;
        self
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        template::check_command(&self.command, PLACES)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if !(1..=64).contains(&self.name.len()) || !self.name.chars().all(plain) {
            let must = "must be 1 to 64 letters, digits, - and _";
            return Err(SettingsError::new("name", &self.name, must));
        }
        template::check_environment(&self.environment, PLACES)?;
        if let Some((first, last)) = self.ports
            && (first == 0 || first > last)
        {
            return Err(SettingsError::new(
                "ports",
                (first, last),
                "must be from 1 on, and the first no later",
            ));
        }
        self.ready.validate()?;
        let short = Duration::from_millis(10);
        within("start_timeout", self.start_timeout, short)?;
        within("probe_timeout", self.probe_timeout, short)?;
        within("probe_interval", self.probe_interval, short)?;
        self.restart.validate()?;
        within("crash_window", self.crash_window, Duration::from_millis(1))?;
        within("rest", self.rest, Duration::from_millis(1))?;
        within("stop_grace", self.stop_grace, Duration::ZERO)?;
        if !(1..=INSTANCES_MAX).contains(&self.instances_max) {
            let must = format!("must be from 1 to {INSTANCES_MAX}");
            return Err(SettingsError::new("instances_max", self.instances_max, must));
        }
        if self.orphans == Orphans::Stay && self.state_file.is_none() {
            return Err(SettingsError::new("orphans", self.orphans, "needs a state_file"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_field_and_value() {
        let d = || ProcessSettings::new(["server", "{port}"]);
        let (ms, hours) = (Duration::from_millis, |h: u64| Duration::from_secs(3600 * h));
        assert_eq!(d().validate(), Ok(()));
        for (settings, message) in [
            (ProcessSettings::new([""; 0]), "command = []: must name a program"),
            (d().name("a b"), "name = \"a b\": must be 1 to 64 letters, digits, - and _"),
            (d().variable("A=B", "x"), "environment = \"A=B\": must be a name without = and NUL"),
            (
                d().variable("A", "{x}"),
                "environment = \"{x}\": {x} is none of {id} {host} {port}; for that text write {{x}}",
            ),
            (d().ports(9, 8), "ports = (9, 8): must be from 1 on, and the first no later"),
            (d().start_timeout(ms(9)), "start_timeout = 9ms: must be from 10ms to 3600s"),
            (d().probes(ms(9), ms(10)), "probe_timeout = 9ms: must be from 10ms to 3600s"),
            (d().probes(ms(10), ms(9)), "probe_interval = 9ms: must be from 10ms to 3600s"),
            (d().restart(Retry::default(), ms(0)), "crash_window = 0ns: must be from 1ms to 3600s"),
            (d().rest(hours(2)), "rest = 7200s: must be from 1ms to 3600s"),
            (d().stop_grace(hours(2)), "stop_grace = 7200s: must be from 0ns to 3600s"),
            (d().instances_max(0), "instances_max = 0: must be from 1 to 1000"),
            (d().orphans(Orphans::Stay), "orphans = Stay: needs a state_file"),
        ] {
            assert_eq!(settings.validate().unwrap_err().to_string(), message);
        }
    }
}
