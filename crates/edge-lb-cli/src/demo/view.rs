//! What the demo shows of one moment: numbers only, so that what they look like can be tested without a demo.

use super::plan::{Phase, Plan};
use edge_lb::types::Nanos;
use std::time::Duration;

/// How a backend is, as its owner and its load balancer see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It lives and gets traffic.
    Healthy,
    /// It is dead, and the health checks have not noticed: requests to it fail and are sent to another.
    Killed,
    /// It is dead and gets no traffic.
    Out,
    /// It lives again, and the health checks have not noticed.
    Returning,
}

impl Condition {
    /// From what is (`alive`) and what the balancer believes (`healthy`).
    pub(crate) fn new(alive: bool, healthy: bool) -> Self {
        match (alive, healthy) {
            (true, true) => Self::Healthy,
            (false, true) => Self::Killed,
            (false, false) => Self::Out,
            (true, false) => Self::Returning,
        }
    }

    /// One word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Killed => "killed",
            Self::Out => "out",
            Self::Returning => "returning",
        }
    }
}

/// One backend at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    /// How long it takes over a request, on average.
    pub(crate) delay: Duration,
    /// Answers so far.
    pub(crate) responses: u64,
    /// Its part of the answers of the last second or so, 0 to 1.
    pub(crate) share: f64,
    /// Half of the answers of the last second or so took no longer; `None` without any.
    pub(crate) p50: Option<Nanos>,
    /// And 99 of 100.
    pub(crate) p99: Option<Nanos>,
    /// Requests under way.
    pub(crate) in_flight: u32,
    /// Requests that failed on it so far. Clients do not see these: another backend answered.
    pub(crate) failed: u64,
    pub(crate) condition: Condition,
}

/// Something that happened, with its time from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) text: String,
}

/// Everything at this moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// What is on show: address, algorithm, connections.
    pub(crate) title: String,
    pub(crate) plan: Plan,
    /// The time from the start.
    pub(crate) at: Duration,
    /// The id of the backend that is killed.
    pub(crate) victim: String,
    pub(crate) rows: Vec<Row>,
    /// Answers a second, of the last second or so.
    pub(crate) rate: f64,
    pub(crate) p50: Option<Nanos>,
    pub(crate) p99: Option<Nanos>,
    /// Requests that were sent to a second backend because the first failed.
    pub(crate) retries: u64,
    /// Requests without a right answer.
    pub(crate) lost: u64,
    pub(crate) events: Vec<Event>,
}

impl View {
    /// Answers of all backends.
    pub(crate) fn responses(&self) -> u64 {
        self.rows.iter().map(|r| r.responses).sum()
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> u32 {
        self.rows.iter().map(|r| r.in_flight).sum()
    }

    /// What is going on.
    pub(crate) fn phase(&self) -> Phase {
        self.plan.phase(self.at)
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// A length of time in three digits: `850 µs`, `4.3 ms`, `134 ms`, `1.2 s`; a dash for none.
pub(crate) fn short(time: Option<Nanos>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let ms = time.0 as f64 / 1e6;
    match ms {
        ..0.995 => format!("{:.0} µs", ms * 1e3),
        ..99.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// Seconds with two digits, for events and the summary: `0.74 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (123_456, "123,456")]
        {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (us, text) in [
            (0, "0 µs"),
            (850, "850 µs"),
            (996, "1.0 ms"),
            (4_321, "4.3 ms"),
            (99_960, "100 ms"),
            (134_000, "134 ms"),
            (1_234_000, "1.2 s"),
        ] {
            assert_eq!(short(Some(Nanos::from_micros(us))), text);
        }
        assert_eq!(short(None), "-");
        assert_eq!(seconds(Duration::from_millis(742)), "0.74 s");
    }

    #[test]
    fn a_backend_is_what_its_owner_and_its_balancer_say() {
        let words = [(true, true), (false, true), (false, false), (true, false)]
            .map(|(a, h)| Condition::new(a, h).word());
        assert_eq!(words, ["healthy", "killed", "out", "returning"]);
    }
}
