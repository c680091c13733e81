//! What an agent checker is told, its bounds, and what one backend makes of it.

use super::AgentCheckError;
use crate::elsewhere::elsewhere;
use crate::{CONCURRENT_MAX, JITTER_PERCENT_MAX, LONGEST, SHORTEST};
use lb_types::{Address, Backend};
use std::time::Duration;

/// The longest text that is sent to an agent, in bytes.
pub const AGENT_SEND_BYTES_MAX: usize = 1024;

/// Settings of agent checks. `Default` is the documented default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentCheck {
    /// The agents' port. `None`, the default: only backends that say one themselves have an agent.
    pub port: Option<u16>,
    /// The agents' host, where they do not run on the backends' own.
    pub host: Option<String>,
    /// From the start of one question to the next, default 2 s (HAProxy's `agent-inter`).
    pub interval: Duration,
    /// How long one exchange may take, name look-up and connection included; default 2 s.
    pub timeout: Duration,
    /// What is sent first, as it stands: a line's end is not added. Default: nothing.
    pub send: String,
    /// Each interval is stretched or shortened by up to this percent (0–50), default 10.
    pub jitter_percent: u8,
    /// The most agents asked at once, default 64.
    pub max_concurrent: usize,
}

impl Default for AgentCheck {
    fn default() -> Self {
        Self {
            port: None,
            host: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            send: String::new(),
            jitter_percent: 10,
            max_concurrent: 64,
        }
    }
}

impl AgentCheck {
    /// Agents on this port of each backend's host, with the other defaults.
    pub fn port(port: u16) -> Self {
        Self { port: Some(port), ..Self::default() }
    }

    /// Another interval.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Another time limit of one exchange.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends this first.
    #[must_use]
    pub fn send(mut self, text: impl Into<String>) -> Self {
        self.send = text.into();
        self
    }

    /// Looks at every setting.
    ///
    /// # Errors
    /// [`AgentCheckError::BadSetting`] names the first field out of bounds, its value and what would be right.
    pub fn validate(&self) -> Result<(), AgentCheckError> {
        let bad = |field, value: String, reason| Err(AgentCheckError::BadSetting { field, value, reason });
        for (field, value) in [("interval", self.interval), ("timeout", self.timeout)] {
            if !(SHORTEST..=LONGEST).contains(&value) {
                return bad(field, format!("{value:?}"), "it must be from 10 ms to 24 h");
            }
        }
        if self.port == Some(0) {
            return bad("port", "0".into(), "it must be from 1 to 65535");
        }
        if self.send.len() > AGENT_SEND_BYTES_MAX {
            return bad("send", format!("{} bytes", self.send.len()), "it must be 1024 bytes at most");
        }
        if self.jitter_percent > JITTER_PERCENT_MAX {
            return bad("jitter_percent", self.jitter_percent.to_string(), "it must be from 0 to 50");
        }
        if !(1..=CONCURRENT_MAX).contains(&self.max_concurrent) {
            return bad("max_concurrent", self.max_concurrent.to_string(), "it must be from 1 to 4096");
        }
        Ok(())
    }

    /// Where `backend`'s agent is, by these settings and its own; `None` when it has none: `enabled = false`, or no port is known.
    ///
    /// # Errors
    /// [`AgentCheckError::Backend`] when host and port give no address.
    pub fn agent_of(&self, backend: &Backend) -> Result<Option<Address>, AgentCheckError> {
        let own = backend.agent.as_ref();
        if own.is_some_and(|o| o.enabled == Some(false)) {
            return Ok(None);
        }
        let Some(port) = own.and_then(|o| o.port).or(self.port) else { return Ok(None) };
        let host = own.and_then(|o| o.host.as_deref()).or(self.host.as_deref());
        let at = elsewhere(&backend.url, host, Some(port));
        at.map(|at| Some(at.address().clone()))
            .map_err(|e| AgentCheckError::Backend { id: backend.id.clone(), error: Box::new(e.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_types::{AgentOverride, BackendUrl};

    #[test]
    fn each_bad_setting_is_named_with_its_value() {
        let with = |change: fn(&mut AgentCheck)| {
            let mut check = AgentCheck::port(9999);
            change(&mut check);
            check.validate().unwrap_err().to_string()
        };
        assert_eq!(AgentCheck::default().validate(), Ok(()));
        for (error, wanted) in [
            (with(|c| c.interval = Duration::ZERO), "agent_check.interval = 0ns: "),
            (with(|c| c.timeout = Duration::MAX), "agent_check.timeout = "),
            (with(|c| c.port = Some(0)), "agent_check.port = 0: "),
            (with(|c| c.send = "x".repeat(1025)), "agent_check.send = 1025 bytes: "),
            (with(|c| c.jitter_percent = 51), "agent_check.jitter_percent = 51: "),
            (with(|c| c.max_concurrent = 0), "agent_check.max_concurrent = 0: "),
        ] {
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn a_backends_own_port_and_host_come_first() {
        let pool = AgentCheck { host: Some("agents".into()), ..AgentCheck::port(9999) };
        let of = |check: &AgentCheck, url: &str, own: AgentOverride| {
            let backend = Backend::new("b", url.parse().unwrap()).agent(own);
            check.agent_of(&backend).map(|a| {
                a.map(|a| match a {
                    Address::Tcp { host, port } => format!("{host}:{port}"),
                    Address::Unix(_) => unreachable!("agents speak TCP"),
                })
            })
        };
        let none = AgentOverride::default;
        let at = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(of(&AgentCheck::port(1), "http://10.0.0.1:80", none()), at("10.0.0.1:1"));
        assert_eq!(of(&AgentCheck::port(1), "https://10.0.0.1", none()), at("10.0.0.1:1"));
        assert_eq!(of(&pool, "http://10.0.0.1:80", none()), at("agents:9999"));
        assert_eq!(of(&pool, "unix:/a", none()), at("agents:9999"));
        let own = AgentOverride { port: Some(7), host: Some("::1".into()), enabled: None };
        assert_eq!(of(&pool, "http://10.0.0.1:80", own.clone()), at("[::1]:7"));
        assert_eq!(of(&AgentCheck::default(), "http://10.0.0.1:80", own), at("[::1]:7"));
        assert_eq!(of(&AgentCheck::default(), "http://10.0.0.1:80", none()), Ok(None));
        let off = AgentOverride { enabled: Some(false), ..none() };
        assert_eq!(of(&pool, "http://10.0.0.1:80", off), Ok(None));
        let error = of(&AgentCheck::port(1), "unix:/a", none()).unwrap_err().to_string();
        assert!(
            error.starts_with("backend \"b\": agent_check.port = 1: ") && error.contains("no host"),
            "{error}"
        );
        let plain = Backend::new("b", BackendUrl::http("a", 1).unwrap());
        assert!(AgentCheck::port(2).agent_of(&plain).unwrap().is_some(), "no override is needed");
    }
}
