//! What the demo shows of one moment: numbers only, so that what they look like can be tested without a demo.

use super::plan::{Fault, Plan};
use edge_lb::types::Nanos;
use std::time::Duration;

/// How a backend is: mostly what its load balancer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It gets its share.
    Healthy,
    /// It has come back and gets this percentage of its share, more by and by.
    Ramping(u32),
    /// Its breaker lets a few requests through, to see how they fare.
    HalfOpen,
    /// It gets nothing, and why.
    Out(String),
    /// The balancer has not noticed yet; only the demo knows.
    Unnoticed(Fault),
}

impl Condition {
    /// Does it get traffic as others do?
    pub(crate) fn is_in_service(&self) -> bool {
        matches!(self, Self::Healthy | Self::Ramping(_))
    }

    /// With what is the matter with it, as far as the demo knows.
    pub(crate) fn knowing(self, fault: Option<Fault>) -> Self {
        match fault {
            Some(fault) if self.is_in_service() => Self::Unnoticed(fault),
            _ => self,
        }
    }

    /// In words, reason and all.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Healthy => "healthy".to_owned(),
            Self::Ramping(percent) => format!("slow start: {percent} %"),
            Self::HalfOpen => "half-open: being tried".to_owned(),
            Self::Out(why) => why.clone(),
            Self::Unnoticed(fault) => format!("{}: not noticed yet", fault.word()),
        }
    }

    /// In a word or two, where it gets none of the ordinary traffic.
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Self::Healthy | Self::Ramping(_) | Self::Unnoticed(_) => None,
            Self::HalfOpen => Some("half-open"),
            Self::Out(why) => why.split(':').next(),
        }
    }
}

/// One backend at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
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
    /// Who the backends are.
    pub(crate) cast: String,
    pub(crate) plan: Plan,
    /// The time from the start.
    pub(crate) at: Duration,
    pub(crate) rows: Vec<Row>,
    /// Answers a second, of the last second or so.
    pub(crate) rate: f64,
    pub(crate) p50: Option<Nanos>,
    pub(crate) p99: Option<Nanos>,
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

    /// What is going on, and what comes next.
    pub(crate) fn caption(&self) -> String {
        let ids: Vec<_> = self.rows.iter().map(|r| r.id.as_str()).collect();
        self.plan.caption(self.at, &ids)
    }

    /// Is something the matter with a backend?
    pub(crate) fn is_troubled(&self) -> bool {
        (0..self.rows.len()).any(|b| self.plan.fault(self.at, b).is_some())
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

/// How long something took, for events and the summary: `7 ms`, `0.74 s`.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_millis() {
        0 => "under 1 ms".to_owned(),
        ms @ ..100 => format!("{ms} ms"),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
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
        let said = [0, 7, 99, 742].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(said, ["under 1 ms", "7 ms", "99 ms", "0.74 s"]);
    }

    #[test]
    fn conditions_say_why() {
        let out = Condition::Out("ejected: 5 failures in a row".into());
        assert_eq!((out.words().as_str(), out.word()), ("ejected: 5 failures in a row", Some("ejected")));
        assert_eq!(Condition::HalfOpen.word(), Some("half-open"));
        let unnoticed = Condition::Ramping(43).knowing(Some(Fault::Slow));
        assert_eq!((unnoticed.words().as_str(), unnoticed.word()), ("slow: not noticed yet", None));
        assert_eq!(Condition::Ramping(43).words(), "slow start: 43 %");
        assert_eq!(out.clone().knowing(Some(Fault::Dead)), out, "what the balancer says comes first");
        assert_eq!(Condition::Healthy.knowing(None), Condition::Healthy);
    }
}
