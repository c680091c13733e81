//! How the demo ended: what is said of it, and whether it showed what it claims.

use super::course::Course;
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
    /// What became of each act.
    pub(crate) courses: Vec<Course>,
    /// Requests that were sent to another backend because the first failed.
    pub(crate) retries: u64,
    /// Requests that were not, because the budget for it was spent.
    pub(crate) refused: u64,
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
        // Who was never out may get no traffic, too: an algorithm that remembers latencies avoids who was slow.
        let kept_out = |c: &&Course| c.out.is_some() && c.ended.is_some() && c.back.is_none();
        let missing = self.courses.iter().find(kept_out);
        missing.map(|c| format!("{} recovered but got no traffic", c.id))
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
        for course in &self.courses {
            act(text, course)?;
        }
        let refused = match self.refused {
            0 => String::new(),
            n => format!("; the retry budget refused {}", grouped(n)),
        };
        writeln!(text, "\n  retried    {} on another backend{refused}", grouped(self.retries))?;
        writeln!(text, "  lost       {}", grouped(self.lost))?;
        for reason in &self.reasons {
            writeln!(text, "             {reason}")?;
        }
        Ok(())
    }
}

/// What was done to a backend, what came of it, and what it cost.
fn act(text: &mut String, c: &Course) -> std::fmt::Result {
    let Some(begun) = &c.begun else { return Ok(()) };
    let after = |at: Duration, from: Duration| seconds(at.saturating_sub(from));
    writeln!(text, "\n  {}  {}", c.id, begun.why)?;
    match &c.out {
        Some(out) => writeln!(text, "     taken out after {}: {}", after(out.at, begun.at), out.why)?,
        None => writeln!(text, "     never taken out: too few of its answers were bad")?,
    }
    if let Some(ended) = &c.ended {
        let back = match &c.back {
            Some(back) => format!("back {} later: {}", after(back.at, ended.at), back.why),
            None => "no traffic since".to_owned(),
        };
        writeln!(text, "     {} after {}; {back}", ended.why, after(ended.at, begun.at))?;
    }
    let lost = grouped(c.lost);
    match c.failed {
        0 => writeln!(text, "     none of its requests failed, {lost} lost"),
        n => writeln!(
            text,
            "     {} requests failed on it and were retried on others, {lost} lost",
            grouped(n)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::watch::{Heard, News};
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn dead() -> Course {
        let mut c = Course::new(Plan::new(ms(20_000)).acts[0], "b");
        c.begin(ms(2_000), "killed: port closed, 12 connections reset, 11 requests cut");
        let heard = Heard::Ejected { cause: "5 failures in a row".into(), lasts: ms(1_000) };
        c.hear(&News { at: ms(2_010), id: "b".into(), heard });
        c.end(ms(7_000), "started again");
        c.hear(&News { at: ms(7_600), id: "b".into(), heard: Heard::Healthy });
        c.return_at(ms(7_610), Some(10));
        c.failed = 14;
        c
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
            courses: vec![dead()],
            retries: 34,
            refused: 0,
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

  b  killed: port closed, 12 connections reset, 11 requests cut
     taken out after 10 ms: ejected: 5 failures in a row
     started again after 5.00 s; back 0.61 s later: health checks pass
     14 requests failed on it and were retried on others, 0 lost

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
    fn no_traffic_for_the_recovered_fails_it_unless_ended_early() {
        let mut s = good();
        s.courses[0].back = None;
        assert_eq!(s.failure().as_deref(), Some("b recovered but got no traffic"));
        assert!(
            s.render(Style { color: false }).contains("     started again after 5.00 s; no traffic since\n")
        );
        assert_eq!(Summary { interrupted: true, ..s }.failure(), None);
        assert_eq!(
            Summary { backends: vec![], ..good() }.failure().as_deref(),
            Some("no request was answered")
        );
    }

    #[test]
    fn what_did_not_happen_is_not_told() {
        let acts = Plan::new(ms(20_000)).acts;
        let s = Summary { courses: vec![Course::new(acts[0], "b")], interrupted: true, ..good() };
        assert_eq!(s.failure(), None);
        let text = s.render(Style { color: false });
        assert!(!text.contains("killed") && text.contains("(ended early)"), "{text}");
        let mut unnoticed = Summary { refused: 3, ..good() };
        unnoticed.courses[0].out = None;
        let text = unnoticed.render(Style { color: false });
        assert!(text.contains("     never taken out: too few of its answers were bad\n"), "{text}");
        assert!(text.contains("  retried    34 on another backend; the retry budget refused 3\n"), "{text}");
    }
}
