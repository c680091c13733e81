//! Keeps the demo's timetable, notes what happens when, and takes stock of each moment.

use super::backend::{DemoBackend, Killed};
use super::plan::{Phase, Plan};
use super::summary::{BackendSummary, Summary};
use super::tally::Tally;
use super::view::{Condition, Event, Row, View, grouped, seconds};
use edge_lb::LoadBalancer;
use edge_lb::core::{HistogramSnapshot, Member};
use edge_lb::proxy::ProxyStats;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Shares, rates and percentiles are those of the last samples: five of them, so a second at four a second.
const SAMPLES: usize = 5;

/// See the module's documentation.
pub(crate) struct Director {
    title: String,
    plan: Plan,
    backends: Vec<DemoBackend>,
    victim: usize,
    tally: Arc<Tally>,
    balancer: LoadBalancer,
    stats: Arc<ProxyStats>,
    events: Vec<Event>,
    killed: Option<(Duration, Killed)>,
    out: Option<Duration>,
    revived: Option<Duration>,
    answered: Option<Duration>,
    back: bool,
    samples: VecDeque<Sample>,
}

/// The counters at one moment.
#[derive(Clone)]
struct Sample {
    at: Duration,
    latency: Vec<HistogramSnapshot>,
}

impl Director {
    /// At the start of the timetable. The second backend is the one that dies: neither the fastest nor the slowest.
    pub(crate) fn new(
        title: String,
        plan: Plan,
        backends: Vec<DemoBackend>,
        tally: Arc<Tally>,
        balancer: LoadBalancer,
        stats: Arc<ProxyStats>,
    ) -> Self {
        let victim = 1.min(backends.len().saturating_sub(1));
        Self {
            title,
            plan,
            backends,
            victim,
            tally,
            balancer,
            stats,
            events: vec![],
            killed: None,
            out: None,
            revived: None,
            answered: None,
            back: false,
            samples: VecDeque::new(),
        }
    }

    /// Does what is due and notes what has happened; `true` when all is over.
    ///
    /// # Errors
    /// When the killed backend cannot be started again.
    pub(crate) async fn step(&mut self) -> io::Result<bool> {
        let now = self.tally.elapsed();
        let phase = self.plan.phase(now);
        if phase != Phase::Before && self.killed.is_none() {
            self.kill().await;
        }
        if self.killed.is_some()
            && self.out.is_none()
            && self.revived.is_none()
            && !self.is_healthy(self.victim)
        {
            self.notice_out();
        }
        if phase == Phase::Back && self.revived.is_none() {
            self.revive()?;
        }
        if let Some(revived) = self.revived {
            self.notice_back(revived);
        }
        Ok(phase == Phase::Over)
    }

    fn note(&mut self, at: Duration, text: String) {
        self.events.push(Event { at, text });
    }

    async fn kill(&mut self) {
        let Some(cut) = self.backends[self.victim].kill().await else { return };
        let at = self.tally.elapsed();
        self.killed = Some((at, cut));
        let id = self.backends[self.victim].id();
        let (c, r) = (cut.connections, cut.in_flight);
        self.note(at, format!("{id} killed: port closed, {c} connections reset, {r} requests in flight"));
    }

    fn notice_out(&mut self) {
        let at = self.tally.elapsed();
        let after = seconds(at.saturating_sub(self.killed.map_or(at, |(k, _)| k)));
        self.out = Some(at);
        let id = self.backends[self.victim].id();
        let retries = grouped(self.stats.snapshot().retries);
        self.note(
            at,
            format!("{id} taken out after {after}; until then {retries} requests retried on others"),
        );
    }

    fn revive(&mut self) -> io::Result<()> {
        self.tally.arm(self.victim);
        self.backends[self.victim].revive()?;
        let at = self.tally.elapsed();
        self.revived = Some(at);
        let id = self.backends[self.victim].id();
        self.note(at, format!("{id} started again"));
        Ok(())
    }

    fn notice_back(&mut self, revived: Duration) {
        if self.back {
            return;
        }
        self.answered = self.tally.first_since_armed(self.victim);
        if let Some(at) = self.answered {
            self.back = true;
            let id = self.backends[self.victim].id();
            self.note(
                at,
                format!("{id} answers again, {} after its start", seconds(at.saturating_sub(revived))),
            );
        }
    }

    fn is_healthy(&self, backend: usize) -> bool {
        let snapshot = self.balancer.pool().snapshot();
        snapshot.get(&self.backends[backend].id().into()).is_some_and(Member::is_healthy)
    }

    /// This moment.
    pub(crate) fn view(&mut self) -> View {
        let sample = Sample {
            at: self.tally.elapsed(),
            latency: (0..self.backends.len()).map(|b| self.tally.latency(b)).collect(),
        };
        let before = self.samples.front().cloned();
        let recent: Vec<_> = sample
            .latency
            .iter()
            .enumerate()
            .map(|(b, now)| before.as_ref().map_or_else(|| now.clone(), |s| now.since(&s.latency[b])))
            .collect();
        let since = sample.at.saturating_sub(before.map_or(Duration::ZERO, |s| s.at));
        let all = merged(&recent);
        let at = sample.at;
        self.samples.push_back(sample);
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        View {
            title: self.title.clone(),
            plan: self.plan,
            at,
            victim: self.backends[self.victim].id().to_owned(),
            rows: recent.iter().enumerate().map(|(b, r)| self.row(b, r, all.count())).collect(),
            rate: all.count() as f64 / since.as_secs_f64().max(0.001),
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            retries: self.stats.snapshot().retries,
            lost: self.tally.lost_count(),
            events: self.events.clone(),
        }
    }

    fn row(&self, b: usize, recent: &HistogramSnapshot, all: u64) -> Row {
        let backend = &self.backends[b];
        let snapshot = self.balancer.pool().snapshot();
        let member = snapshot.get(&backend.id().into());
        let stats = member.map(|m| m.state().stats()).unwrap_or_default();
        Row {
            id: backend.id().to_owned(),
            delay: backend.delay(),
            responses: self.tally.responses(b),
            share: recent.count() as f64 / all.max(1) as f64,
            p50: recent.quantile(0.5),
            p99: recent.quantile(0.99),
            in_flight: stats.in_flight,
            failed: stats.failed,
            condition: Condition::new(backend.is_alive(), member.is_some_and(Member::is_healthy)),
        }
    }

    /// The whole, once the load has ended.
    pub(crate) fn summary(&mut self, interrupted: bool) -> Summary {
        if let Some(revived) = self.revived {
            self.notice_back(revived);
        }
        let latency: Vec<_> = (0..self.backends.len()).map(|b| self.tally.latency(b)).collect();
        let all = merged(&latency);
        let backend = |(b, latency): (usize, &HistogramSnapshot)| BackendSummary {
            id: self.backends[b].id().to_owned(),
            delay: self.backends[b].delay(),
            responses: self.tally.responses(b),
            p50: latency.quantile(0.5),
            p99: latency.quantile(0.99),
        };
        Summary {
            elapsed: self.tally.elapsed(),
            backends: latency.iter().enumerate().map(backend).collect(),
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
            victim: self.backends[self.victim].id().to_owned(),
            killed: self.killed,
            out: self.out,
            revived: self.revived,
            answered: self.answered,
            retries: self.stats.snapshot().retries,
            lost: self.tally.lost_count(),
            reasons: self.tally.reasons(),
            interrupted,
        }
    }
}

fn merged(parts: &[HistogramSnapshot]) -> HistogramSnapshot {
    let mut all = HistogramSnapshot::default();
    for part in parts {
        all.merge(part);
    }
    all
}
