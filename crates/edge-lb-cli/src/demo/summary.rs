//! How the demo ended: what is said of it, and whether it showed what it claims.

use super::backend::Killed;
use super::view::{grouped, seconds, short};
use crate::style::Style;
use edge_lb::types::Nanos;
use std::fmt::Write as _;
use std::time::Duration;

/// One backend over the whole demo.
#[derive(Clone, Debug)]
pub(crate) struct BackendSummary {
    pub(crate) id: String,
    pub(crate) delay: Duration,
    pub(crate) responses: u64,
    pub(crate) p50: Option<Nanos>,
    pub(crate) p99: Option<Nanos>,
}

/// The whole demo.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// How long the load lasted.
    pub(crate) elapsed: Duration,
    pub(crate) backends: Vec<BackendSummary>,
    pub(crate) p50: Option<Nanos>,
    pub(crate) p99: Option<Nanos>,
    pub(crate) victim: String,
    /// When the victim was killed, and what that cut; `None` if the demo ended before.
    pub(crate) killed: Option<(Duration, Killed)>,
    /// When the balancer took it out.
    pub(crate) out: Option<Duration>,
    /// When it was started again.
    pub(crate) revived: Option<Duration>,
    /// When it gave its first answer after that.
    pub(crate) answered: Option<Duration>,
    pub(crate) retries: u64,
    pub(crate) lost: u64,
    /// Why the first of them were lost.
    pub(crate) reasons: Vec<String>,
    /// Ended by the user.
    pub(crate) interrupted: bool,
}

impl Summary {
    fn responses(&self) -> u64 {
        self.backends.iter().map(|b| b.responses).sum()
    }

    /// What went wrong; `None` if all went as it should. A demo that was ended early is judged by what it did.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.lost > 0 {
            let s = if self.lost == 1 { " was" } else { "s were" };
            return Some(format!("{} request{s} lost", grouped(self.lost)));
        }
        if self.interrupted {
            return None;
        }
        if self.responses() == 0 {
            return Some("no request was answered".to_owned());
        }
        (self.revived.is_some() && self.answered.is_none())
            .then(|| format!("{} was started again but got no traffic", self.victim))
    }

    /// The closing words.
    pub(crate) fn render(&self, style: Style) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, style);
        text
    }

    fn write(&self, text: &mut String, style: Style) -> std::fmt::Result {
        let verdict = match self.failure() {
            Some(failure) => style.red(&format!("Failed: {failure}.")),
            None => style.green("No request was lost."),
        };
        let early = if self.interrupted { " (ended early)" } else { "" };
        writeln!(text, "\n  {}{early}\n", style.bold(&verdict))?;
        let total = self.responses();
        let rate = total as f64 / self.elapsed.as_secs_f64().max(0.001);
        let (p50, p99) = (short(self.p50), short(self.p99));
        let total_shown = grouped(total);
        writeln!(
            text,
            "  requests   {total_shown} in {:.1} s, {} a second; p50 {p50}, p99 {p99}",
            self.elapsed.as_secs_f64(),
            grouped(rate.round() as u64),
        )?;
        for b in &self.backends {
            let share = b.responses as f64 / total.max(1) as f64 * 100.0;
            writeln!(
                text,
                "  {:<10} {:>width$}  {share:>3.0} %   p50 {}, p99 {} (takes {} ms)",
                b.id,
                grouped(b.responses),
                short(b.p50),
                short(b.p99),
                b.delay.as_millis(),
                width = total_shown.len(),
            )?;
        }
        if let Some((at, cut)) = self.killed {
            let noticed = match self.out {
                Some(out) => format!("health checks took it out after {}", seconds(out.saturating_sub(at))),
                None => "health checks had not noticed".to_owned(),
            };
            let (c, r) = (cut.connections, cut.in_flight);
            writeln!(
                text,
                "  killed     {} at {}: {c} connections reset, {r} requests cut; {noticed}",
                self.victim,
                seconds(at)
            )?;
        }
        if let Some(at) = self.revived {
            let back = match self.answered {
                Some(answered) => format!("it answered again after {}", seconds(answered.saturating_sub(at))),
                None => "it got no traffic".to_owned(),
            };
            writeln!(text, "  revived    {} at {}: {back}", self.victim, seconds(at))?;
        }
        writeln!(text, "  retried    {} on another backend", grouped(self.retries))?;
        writeln!(text, "  lost       {}", grouped(self.lost))?;
        for reason in &self.reasons {
            writeln!(text, "             {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn good() -> Summary {
        let backend = |id: &str, delay, responses| BackendSummary {
            id: id.into(),
            delay: ms(delay),
            responses,
            p50: Some(Nanos::from_millis(delay)),
            p99: Some(Nanos::from_millis(delay + 1)),
        };
        Summary {
            elapsed: ms(20_000),
            backends: vec![backend("a", 4, 50_000), backend("b", 10, 10_000), backend("c", 25, 16_120)],
            p50: Some(Nanos::from_millis(5)),
            p99: Some(Nanos::from_millis(27)),
            victim: "b".into(),
            killed: Some((ms(6_000), Killed { connections: 12, in_flight: 11 })),
            out: Some(ms(6_740)),
            revived: Some(ms(12_000)),
            answered: Some(ms(12_610)),
            retries: 34,
            lost: 0,
            reasons: vec![],
            interrupted: false,
        }
    }

    #[test]
    fn a_good_end() {
        assert_eq!(good().failure(), None);
        assert_eq!(
            good().render(Style { color: false }),
            "
  No request was lost.

  requests   76,120 in 20.0 s, 3,806 a second; p50 5.0 ms, p99 27.0 ms
  a          50,000   66 %   p50 4.0 ms, p99 5.0 ms (takes 4 ms)
  b          10,000   13 %   p50 10.0 ms, p99 11.0 ms (takes 10 ms)
  c          16,120   21 %   p50 25.0 ms, p99 26.0 ms (takes 25 ms)
  killed     b at 6.00 s: 12 connections reset, 11 requests cut; health checks took it out after 0.74 s
  revived    b at 12.00 s: it answered again after 0.61 s
  retried    34 on another backend
  lost       0
"
        );
    }

    #[test]
    fn a_lost_request_fails_it_and_says_why() {
        let s =
            Summary { lost: 1, reasons: vec!["/demo/1/2: status 502".into()], interrupted: true, ..good() };
        assert_eq!(s.failure().as_deref(), Some("1 request was lost"));
        let text = s.render(Style { color: false });
        assert!(text.contains("  Failed: 1 request was lost. (ended early)\n"), "{text}");
        assert!(text.ends_with("  lost       1\n             /demo/1/2: status 502\n"), "{text}");
        assert_eq!(Summary { lost: 1_200, ..good() }.failure().as_deref(), Some("1,200 requests were lost"));
    }

    #[test]
    fn no_traffic_for_the_revived_fails_it_unless_ended_early() {
        let s = Summary { answered: None, ..good() };
        assert_eq!(s.failure().as_deref(), Some("b was started again but got no traffic"));
        assert_eq!(Summary { interrupted: true, ..s }.failure(), None);
        assert_eq!(
            Summary { backends: vec![], ..good() }.failure().as_deref(),
            Some("no request was answered")
        );
    }

    #[test]
    fn ended_before_anything_happened() {
        let s =
            Summary { killed: None, out: None, revived: None, answered: None, interrupted: true, ..good() };
        assert_eq!(s.failure(), None);
        let text = s.render(Style { color: false });
        assert!(
            !text.contains("killed") && !text.contains("revived") && text.contains("(ended early)"),
            "{text}"
        );
    }
}
