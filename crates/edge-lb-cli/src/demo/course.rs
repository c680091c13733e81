//! The course of one act: from what was done to a backend, and what the balancer said of it, to when it was out and back, and why.
//!
//! Pure: times and news come in, words go out.

use super::plan::Act;
use super::view::seconds;
use super::watch::{Heard, News};
use std::time::Duration;

/// While a fault lasts, the balancer tries the backend again and again. So many times it is told: the rest would be the same.
const TOLD_MAX: u32 = 6;

/// A moment and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) at: Duration,
    pub(crate) why: String,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) act: Act,
    /// The backend's.
    pub(crate) id: String,
    /// When the fault began, and what was done.
    pub(crate) begun: Option<Turn>,
    /// When the balancer took the backend out.
    pub(crate) out: Option<Turn>,
    /// When the fault ended, and how.
    pub(crate) ended: Option<Turn>,
    /// When it was in service again and answered a client.
    pub(crate) back: Option<Turn>,
    /// Requests that failed on the backend, and requests that were lost at all: at the begin, then since.
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    /// What the balancer said last in its favour.
    pardon: Option<String>,
    unhealthy: bool,
    told: u32,
}

impl Course {
    /// An act that has not begun, with the backend `id`.
    pub(crate) fn new(act: Act, id: &str) -> Self {
        Self {
            act,
            id: id.to_owned(),
            begun: None,
            out: None,
            ended: None,
            back: None,
            failed: 0,
            lost: 0,
            pardon: None,
            unhealthy: false,
            told: 0,
        }
    }

    /// Has it begun, and is the backend not back yet?
    pub(crate) fn is_on(&self) -> bool {
        self.begun.is_some() && self.back.is_none()
    }

    /// The fault begins.
    pub(crate) fn begin(&mut self, at: Duration, what: &str) -> String {
        self.begun = Some(Turn { at, why: what.to_owned() });
        format!("{} {what}", self.id)
    }

    /// The fault ends.
    pub(crate) fn end(&mut self, at: Duration, what: &str) -> String {
        self.ended = Some(Turn { at, why: what.to_owned() });
        format!("{} {what}", self.id)
    }

    /// The balancer has said something of this backend. The words for it; `None`: it is not worth any.
    pub(crate) fn hear(&mut self, news: &News) -> Option<String> {
        let id = &self.id;
        match &news.heard {
            Heard::Unhealthy(_) => self.unhealthy = true,
            Heard::Healthy => self.unhealthy = false,
            _ => {}
        }
        if let Some(why) = news.heard.out()
            && self.out.is_none()
        {
            let begun = self.begun.as_ref().map_or(news.at, |b| b.at);
            let text = format!("{id} taken out after {}: {why}", seconds(news.at.saturating_sub(begun)));
            self.out = Some(Turn { at: news.at, why });
            return Some(text);
        }
        if let Some(why) = news.heard.back() {
            // With its end the backend is back, which is told when it answers.
            let too_early =
                (self.ended.is_none() && !self.unhealthy).then(|| format!("{id} tried again: {why}"));
            self.pardon = Some(why);
            return too_early.filter(|_| self.is_told());
        }
        let text = news.heard.again().map(|what| format!("{id} {what}"));
        text.filter(|_| self.is_told())
    }

    /// The backend is in service again and has answered; `ramp`: with this percentage of its share.
    pub(crate) fn return_at(&mut self, at: Duration, ramp: Option<u32>) -> String {
        let after = seconds(at.saturating_sub(self.ended.as_ref().map_or(at, |e| e.at)));
        let why = match (&self.out, self.pardon.take()) {
            (Some(_), Some(why)) => why,
            _ => "it was never taken out".to_owned(),
        };
        let ramp = ramp.map_or_else(String::new, |percent| format!("; slow start from {percent} %"));
        let text = format!("{} back after {after}: {why}{ramp}", self.id);
        self.back = Some(Turn { at, why });
        text
    }

    fn is_told(&mut self) -> bool {
        // What comes after its end is soon over.
        self.told += u32::from(self.ended.is_none());
        self.ended.is_some() || self.told <= TOLD_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;
    use edge_lb::breaker::{Reason, State};
    use edge_lb::health::outlier::Why;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn course(act: usize) -> Course {
        Course::new(Plan::new(Duration::from_secs(20)).acts[act], ["b", "c", "d"][act])
    }

    fn hear(c: &mut Course, at: u64, heard: Heard) -> Option<String> {
        let id = c.id.as_str().into();
        c.hear(&News { at: ms(at), id, heard })
    }

    fn ejected(lasts: u64) -> Heard {
        Heard::Ejected { cause: "5 failures in a row".into(), lasts: ms(lasts) }
    }

    #[test]
    fn a_killed_backend() {
        let mut c = course(0);
        assert!(!c.is_on());
        assert_eq!(c.begin(ms(2_000), "killed: port closed"), "b killed: port closed");
        let text = hear(&mut c, 2_010, ejected(1_000));
        assert_eq!(text.as_deref(), Some("b taken out after 10 ms: ejected: 5 failures in a row"));
        let text = hear(&mut c, 2_800, Heard::Unhealthy("connection refused".into()));
        assert_eq!(text.as_deref(), Some("b unhealthy, too: connection refused"));
        assert_eq!(hear(&mut c, 3_010, Heard::Returned(Why::Expired)), None, "it stays out");
        assert_eq!(c.end(ms(7_000), "started again"), "b started again");
        assert_eq!(hear(&mut c, 7_600, Heard::Healthy), None);
        assert_eq!(
            c.return_at(ms(7_620), Some(10)),
            "b back after 0.62 s: health checks pass; slow start from 10 %"
        );
        assert_eq!(c.back, Some(Turn { at: ms(7_620), why: "health checks pass".into() }));
        assert!(!c.is_on());
    }

    #[test]
    fn a_slow_backend() {
        let mut c = course(1);
        c.begin(ms(8_000), "turned slow");
        let open = |reason| Heard::Breaker(State::Open, reason);
        let half = || Heard::Breaker(State::HalfOpen, Reason::RecoveryTimeout);
        let said: Vec<_> = [open(Reason::SlowCallRate), half(), open(Reason::ProbeSlow), half()]
            .into_iter()
            .zip([9_100, 10_100, 11_000, 12_000])
            .map(|(heard, at)| hear(&mut c, at, heard).unwrap())
            .collect();
        assert_eq!(
            said,
            [
                "c taken out after 1.10 s: breaker open: slow-call-rate",
                "c half-open: a few requests may try it",
                "c out again: breaker open: probe-slow",
                "c half-open: a few requests may try it",
            ]
        );
        c.end(ms(12_000), "is quick again");
        assert_eq!(hear(&mut c, 12_050, Heard::Breaker(State::Closed, Reason::ProbesSucceeded)), None);
        assert_eq!(c.return_at(ms(12_080), None), "c back after 80 ms: probes-succeeded");
    }

    #[test]
    fn a_failing_backend_that_comes_back_too_early() {
        let mut c = course(2);
        c.begin(ms(10_000), "started to fail");
        hear(&mut c, 10_010, ejected(1_000));
        let text = hear(&mut c, 11_010, Heard::Returned(Why::Expired));
        assert_eq!(text.as_deref(), Some("d tried again: its ejection is over"));
        let text = hear(&mut c, 11_020, ejected(2_040));
        assert_eq!(text.as_deref(), Some("d out again: ejected for 2.04 s"));
        c.end(ms(12_000), "answers rightly again");
        assert_eq!(hear(&mut c, 13_060, Heard::Returned(Why::Expired)), None);
        assert_eq!(
            c.return_at(ms(13_070), Some(10)),
            "d back after 1.07 s: its ejection is over; slow start from 10 %"
        );
    }

    #[test]
    fn a_long_fault_is_not_told_over_and_over() {
        let mut c = course(2);
        c.begin(ms(0), "started to fail");
        let said = (1..100).filter_map(|i| hear(&mut c, i * 1_000, ejected(2_000))).count();
        assert_eq!(said as u32, 1 + TOLD_MAX);
    }

    #[test]
    fn one_that_nobody_noticed() {
        let mut c = course(1);
        c.begin(ms(0), "turned slow");
        c.end(ms(1_000), "is quick again");
        assert_eq!(c.return_at(ms(1_010), None), "c back after 10 ms: it was never taken out");
        assert_eq!(c.out, None);
    }
}
