//! What a backend's agent says of it: HAProxy's agent text, over TCP or in a response header.
//!
//! Words separated by blanks or commas, in any case and order; the first line counts, and what follows a `#` is a remark.
//!
//! | word | meaning |
//! |---|---|
//! | `75%` | its weight, in percent of the configured one (0–256); 0: no new traffic |
//! | `maxconn:30` | the most requests in flight |
//! | `drain` | no new traffic, finishes what it has |
//! | `maint` | no traffic at all |
//! | `ready` | ends `drain` and `maint` |
//! | `down`, `failed`, `stopped` | it is not healthy, whatever checks say |
//! | `up` | ends `down` |
//!
//! Semantics: HAProxy's configuration manual, `agent-check`. What a report does not mention stays as it was. Words that are none of
//! these make the report worthless: half of it might be the wrong half.

use crate::BackendId;
use std::str::FromStr;

/// The most bytes of a report that are looked at.
pub const AGENT_REPORT_BYTES_MAX: usize = 256;
/// The highest weight that an agent may ask for, percent of the configured one (HAProxy's bound).
pub const AGENT_WEIGHT_PERCENT_MAX: u16 = 256;

/// Whether the agent wants traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum AgentMode {
    /// As configured.
    #[default]
    Ready,
    /// Nothing new.
    Drain,
    /// Nothing at all.
    Maintenance,
}

/// One report. `None`: it says nothing of this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AgentReport {
    /// Weight in percent of the configured one.
    pub weight_percent: Option<u16>,
    /// The most requests in flight.
    pub max_connections: Option<u32>,
    /// Whether it wants traffic.
    pub mode: Option<AgentMode>,
    /// Whether it calls itself up (`true`) or down.
    pub up: Option<bool>,
}

impl AgentReport {
    /// This report after an earlier one: what it does not mention is the earlier one's.
    #[must_use]
    pub fn over(self, earlier: Self) -> Self {
        Self {
            weight_percent: self.weight_percent.or(earlier.weight_percent),
            max_connections: self.max_connections.or(earlier.max_connections),
            mode: self.mode.or(earlier.mode),
            up: self.up.or(earlier.up),
        }
    }
}

/// What is known of one backend's agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AgentStatus {
    /// What it said last, by itself: what that did not mention is in earlier reports.
    pub last_report: Option<AgentReport>,
    /// When it said so, in Unix milliseconds.
    pub last_seen: Option<u64>,
    /// What went wrong when it was asked last; `None` when nothing did. What it said before stays in force.
    pub last_error: Option<String>,
}

/// A text is no agent report: the word that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is not a word of an agent report")]
pub struct AgentReportError {
    /// The first word that does not belong, at most 32 characters of it.
    pub word: String,
}

impl FromStr for AgentReport {
    type Err = AgentReportError;

    fn from_str(text: &str) -> Result<Self, AgentReportError> {
        let line = text.lines().next().unwrap_or_default();
        let line = line.split_once('#').map_or(line, |(words, _)| words);
        let mut report = Self::default();
        for word in line.split([' ', '\t', ',', '\r']).filter(|w| !w.is_empty()) {
            report.word(word).ok_or_else(|| AgentReportError { word: word.chars().take(32).collect() })?;
        }
        Ok(report)
    }
}

impl AgentReport {
    fn word(&mut self, word: &str) -> Option<()> {
        let lower = word.to_ascii_lowercase();
        if let Some(percent) = lower.strip_suffix('%') {
            self.weight_percent = Some(digits(percent)?).filter(|p| *p <= AGENT_WEIGHT_PERCENT_MAX);
            return self.weight_percent.map(|_| ());
        }
        if let Some(max) = lower.strip_prefix("maxconn:") {
            self.max_connections = Some(digits(max)?).filter(|&m: &u32| m > 0);
            return self.max_connections.map(|_| ());
        }
        match &*lower {
            "ready" => self.mode = Some(AgentMode::Ready),
            "drain" => self.mode = Some(AgentMode::Drain),
            "maint" => self.mode = Some(AgentMode::Maintenance),
            "up" => self.up = Some(true),
            "down" | "failed" | "fail" | "stopped" => self.up = Some(false),
            _ => return None,
        }
        Some(())
    }
}

/// A number of digits alone: `parse` would take a sign, too.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Takes what agents say: a pool implements it, agent checks and the proxy call it.
pub trait AgentSink: Send + Sync + 'static {
    /// The agent of this backend has said this. Ids that are not (or no longer) known are ignored.
    fn agent_report(&self, id: &BackendId, report: AgentReport);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haproxys_words_are_understood() {
        let of = |text: &str| text.parse::<AgentReport>().unwrap();
        let none = AgentReport::default();
        assert_eq!(of("75%\n"), AgentReport { weight_percent: Some(75), ..none });
        assert_eq!(
            of("UP, ready 50%,maxconn:30 # all is well 99%\r\ndown"),
            AgentReport {
                weight_percent: Some(50),
                max_connections: Some(30),
                mode: Some(AgentMode::Ready),
                up: Some(true),
            }
        );
        assert_eq!(of("drain").mode, Some(AgentMode::Drain));
        assert_eq!(of("maint").mode, Some(AgentMode::Maintenance));
        for down in ["down", "failed", "stopped", "fail #disk full"] {
            assert_eq!(of(down).up, Some(false), "{down}");
        }
        assert_eq!((of(""), of("# nothing")), (none, none));
    }

    #[test]
    fn what_is_no_report_names_its_word() {
        for bad in ["257%", "-1%", "+1%", "%", "maxconn:0", "maxconn:", "hello", "1e2%"] {
            let text = format!("up {bad}");
            assert_eq!(text.parse::<AgentReport>(), Err(AgentReportError { word: bad.into() }), "{bad}");
        }
        let long = "x".repeat(1_000);
        assert_eq!(long.parse::<AgentReport>().unwrap_err().word.len(), 32);
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let of = |text: &str| text.parse::<AgentReport>().unwrap();
        assert_eq!(of("drain").over(of("75% up")), of("75% up drain"));
        assert_eq!(of("ready 10%").over(of("75% maint")), of("10% ready"));
    }
}
