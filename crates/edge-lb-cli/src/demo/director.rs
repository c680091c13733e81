//! Keeps the demo's timetable, notes what happens when, and takes stock of each moment.

use super::backend::{DemoBackend, SLOWNESS};
use super::course::Course;
use super::plan::{Act, Fault, Plan};
use super::recent::{Recent, merged};
use super::summary::{BackendSummary, Summary};
use super::tally::Tally;
use super::view::{Condition, Event, Row, View};
use super::watch::{News, Watch};
use edge_lb::BackendId;
use edge_lb::core::HistogramSnapshot;
use edge_lb::proxy::ProxyStats;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Acts tell of themselves some thirty times; a demo that runs into trouble of its own is not to fill the memory.
const EVENTS_MAX: usize = 500;

/// See the module's documentation.
pub(crate) struct Director {
    title: String,
    cast: String,
    plan: Plan,
    courses: Vec<Course>,
    backends: Vec<DemoBackend>,
    tally: Arc<Tally>,
    watch: Watch,
    stats: Arc<ProxyStats>,
    events: Vec<Event>,
    /// Who was taken out although nothing was done to it.
    out: HashSet<BackendId>,
    /// The budget's refusals were told.
    refused: bool,
    recent: Recent,
}

impl Director {
    /// At the start of the timetable.
    pub(crate) fn new(
        title: String,
        plan: Plan,
        backends: Vec<DemoBackend>,
        tally: Arc<Tally>,
        watch: Watch,
        stats: Arc<ProxyStats>,
    ) -> Self {
        let takes: Vec<_> =
            backends.iter().map(|b| format!("{} {} ms", b.id(), b.delay().as_millis())).collect();
        let cast = format!("a request takes {}; clients check every answer", takes.join(", "));
        // A plan for more backends than there are shows what it can.
        let acts = plan.acts.iter().filter_map(|&a| Some(Course::new(a, backends.get(a.backend)?.id())));
        let courses = acts.collect();
        Self {
            title,
            cast,
            plan,
            courses,
            backends,
            tally,
            watch,
            stats,
            events: vec![],
            out: HashSet::new(),
            refused: false,
            recent: Recent::default(),
        }
    }

    /// Does what is due and notes what has happened; `true` when all is over.
    ///
    /// # Errors
    /// When the killed backend cannot be started again.
    pub(crate) async fn step(&mut self) -> io::Result<bool> {
        for i in 0..self.courses.len() {
            let (act, now) = (self.courses[i].act, self.tally.elapsed());
            // Between the two, so that what was said before a fault is not laid at its door, and what came of it is.
            self.hear();
            if now >= act.begin && self.courses[i].begun.is_none() {
                self.begin(i).await;
            }
            if now >= act.end && self.courses[i].ended.is_none() {
                self.end(i)?;
            }
        }
        self.hear();
        self.look_for_returns();
        let refused = self.stats.snapshot().retries_refused;
        if refused > 0 && !std::mem::replace(&mut self.refused, true) {
            self.note(
                self.tally.elapsed(),
                format!("the retry budget is spent: {refused} requests not retried"),
            );
        }
        Ok(self.plan.is_over(self.tally.elapsed()))
    }

    fn note(&mut self, at: Duration, text: String) {
        match self.events.len() {
            ..EVENTS_MAX => self.events.push(Event { at, text }),
            EVENTS_MAX => {
                self.events.push(Event { at, text: "more happens than is told from here on".into() });
            }
            _ => {}
        }
    }

    /// What the balancer has said since the last time.
    fn hear(&mut self) {
        for news in self.watch.news() {
            let course = self.courses.iter_mut().find(|c| c.is_on() && news.id == *c.id);
            let text = match course {
                Some(course) => course.hear(&news),
                None => self.unasked(&news),
            };
            if let Some(text) = text {
                self.note(news.at, text);
            }
        }
    }

    /// Words for what the balancer says of a backend that nothing was done to: on a busy machine one may be slow all by itself.
    fn unasked(&mut self, news: &News) -> Option<String> {
        if let Some(why) = news.heard.out() {
            self.out.insert(news.id.clone());
            return Some(format!("{} taken out, and the demo did nothing to it: {why}", news.id));
        }
        // The first verdict of the checks is told of all.
        let why = news.heard.back().filter(|_| self.out.remove(&news.id))?;
        Some(format!("{} back: {why}", news.id))
    }

    async fn begin(&mut self, i: usize) {
        let act = self.courses[i].act;
        let backend = &mut self.backends[act.backend];
        let (_, failed) = self.watch.counts(&backend.id().into());
        // A kill takes its time: what is heard of it meanwhile comes after.
        let at = self.tally.elapsed();
        let what = match act.fault {
            Fault::Dead => {
                let cut = backend.kill().await.unwrap_or_default();
                let (c, r) = (cut.connections, cut.in_flight);
                format!("killed: port closed, {c} connections reset, {r} requests cut")
            }
            Fault::Slow => {
                backend.set_slow(true);
                let [before, now] = [1, SLOWNESS].map(|n| (backend.delay() * n).as_millis());
                format!("turned slow: {now} ms instead of {before} ms (/health stays quick)")
            }
            Fault::Failing => {
                backend.set_failing(true);
                "started to fail: 500 to every request (/health still passes)".to_owned()
            }
        };
        let course = &mut self.courses[i];
        (course.failed, course.lost) = (failed, self.tally.lost_count());
        let text = course.begin(at, &what);
        self.note(at, text);
    }

    fn end(&mut self, i: usize) -> io::Result<()> {
        let act = self.courses[i].act;
        let backend = &mut self.backends[act.backend];
        let what = match act.fault {
            Fault::Dead => {
                backend.revive()?;
                "started again"
            }
            Fault::Slow => {
                backend.set_slow(false);
                "is quick again"
            }
            Fault::Failing => {
                backend.set_failing(false);
                "answers rightly again"
            }
        };
        let at = self.tally.elapsed();
        let text = self.courses[i].end(at, what);
        self.note(at, text);
        Ok(())
    }

    /// Who recovered is back when the balancer says so and a client has an answer of it.
    fn look_for_returns(&mut self) {
        for i in 0..self.courses.len() {
            let (act, course) = (self.courses[i].act, &self.courses[i]);
            let Some(ended) = course.ended.as_ref().filter(|_| course.is_on()) else { continue };
            if course.out.is_none() && self.tally.elapsed() < ended.at + self.aftermath(act) {
                continue;
            }
            let condition = self.watch.condition(&course.id.as_str().into());
            if !condition.is_in_service() {
                self.tally.disarm(act.backend);
                continue;
            }
            self.tally.arm(act.backend);
            let Some(at) = self.tally.first_since_armed(act.backend) else { continue };
            let ramp = match condition {
                Condition::Ramping(percent) => Some(percent),
                _ => None,
            };
            self.settle(i);
            let text = self.courses[i].return_at(at, ramp);
            self.note(at, text);
        }
    }

    /// How long bad answers may still come after a fault has ended: the slow ones that are under way.
    fn aftermath(&self, act: Act) -> Duration {
        match act.fault {
            Fault::Slow => self.backends[act.backend].slowest(),
            Fault::Dead | Fault::Failing => Duration::ZERO,
        }
    }

    /// What the act cost, until now.
    fn settle(&mut self, i: usize) {
        let course = &mut self.courses[i];
        let (_, failed) = self.watch.counts(&course.id.as_str().into());
        course.failed = failed.saturating_sub(course.failed);
        course.lost = self.tally.lost_count().saturating_sub(course.lost);
    }

    fn latency(&self) -> Vec<HistogramSnapshot> {
        (0..self.backends.len()).map(|b| self.tally.latency(b)).collect()
    }

    /// This moment.
    pub(crate) fn view(&mut self) -> View {
        let at = self.tally.elapsed();
        let (recent, since) = self.recent.add(at, self.latency());
        let all = merged(&recent);
        View {
            title: self.title.clone(),
            cast: self.cast.clone(),
            plan: self.plan,
            at,
            rows: recent.iter().enumerate().map(|(b, r)| self.row(b, at, r, all.count())).collect(),
            rate: all.count() as f64 / since.as_secs_f64().max(0.001),
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            lost: self.tally.lost_count(),
            events: self.events.clone(),
        }
    }

    fn row(&self, b: usize, at: Duration, recent: &HistogramSnapshot, all: u64) -> Row {
        let id = self.backends[b].id();
        let (in_flight, failed) = self.watch.counts(&id.into());
        Row {
            id: id.to_owned(),
            responses: self.tally.responses(b),
            share: recent.count() as f64 / all.max(1) as f64,
            p50: recent.quantile(0.5),
            p99: recent.quantile(0.99),
            in_flight,
            failed,
            condition: self.watch.condition(&id.into()).knowing(self.plan.fault(at, b)),
        }
    }

    /// The whole, once the load has ended.
    pub(crate) fn summary(&mut self, interrupted: bool) -> Summary {
        self.hear();
        self.look_for_returns();
        for i in 0..self.courses.len() {
            if self.courses[i].is_on() {
                self.settle(i);
            }
        }
        let latency = self.latency();
        let all = merged(&latency);
        let backend = |(b, latency): (usize, &HistogramSnapshot)| BackendSummary {
            id: self.backends[b].id().to_owned(),
            delay: self.backends[b].delay(),
            responses: self.tally.responses(b),
            p50: latency.quantile(0.5),
            p99: latency.quantile(0.99),
        };
        let stats = self.stats.snapshot();
        Summary {
            elapsed: self.tally.elapsed(),
            backends: latency.iter().enumerate().map(backend).collect(),
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            courses: self.courses.clone(),
            retries: stats.retries,
            refused: stats.retries_refused,
            lost: self.tally.lost_count(),
            reasons: self.tally.reasons(),
            interrupted,
        }
    }
}
