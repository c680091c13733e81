//! One row: the fault begins under load, lasts and ends. What clients saw is asserted, and how long things took is measured.

use super::clients::{CLIENTS, Clients, Outcomes};
use super::fault::{Bad, Fault, healthy};
use super::mechanism::Mechanism;
use crate::standing::{Standing, standing};
use edge_lb_tests::{Setup, metric};
use lb_testkit::{Backend, EdgeLb, Stopwatch, eventually};
use std::collections::BTreeMap;
use std::time::Duration;

/// Only a failure takes so long.
const LONG: Duration = Duration::from_secs(20);
/// Requests that are looked at while the backend is out, and after it is back.
const LOOK: usize = 120;

/// A fault, and what is to deal with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) fault: Fault,
    pub(super) by: Mechanism,
    pub(super) workers: usize,
    /// How many other backends there are.
    pub(super) others: usize,
}

/// A line of the summary.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) row: Row,
    pub(super) outcomes: Outcomes,
    /// Requests that the bad backend got, or should have got, before it was out; with harmless faults, in all.
    pub(super) hits: usize,
    pub(super) out: Option<(Duration, String)>,
    pub(super) back: Option<Duration>,
}

impl Row {
    fn start(&self, bad: &Bad, others: &[Backend]) -> EdgeLb {
        let hangs = matches!(self.fault, Fault::NeverReads | Fault::NeverAnswers | Fault::AnswersLate);
        let per_try = if hangs { ", per_try_timeout = \"400ms\"" } else { "" };
        let retries = format!(
            "retry_policy = {{ retry_on = [\"connect-failure\", \"reset\", \"timeout\", \"5xx\"]{per_try} }}"
        );
        let setup = others.iter().fold(Setup::new([&bad.backend]), |setup, other| setup.backend(other, ""));
        let setup = setup.top(&format!("workers = {}", self.workers)).admin();
        self.by.configure(setup.pool("algorithm = \"round-robin\"").pool(&retries)).start()
    }

    /// # Panics
    /// When a promise is broken.
    pub(super) fn run(&self) -> Measured {
        let bad = Bad::start(self.fault, self.by != Mechanism::Checks);
        let others: Vec<_> = ["b", "c"].into_iter().take(self.others).map(healthy).collect();
        let lb = self.start(&bad, &others);
        let clients = Clients::start(lb.address());
        eventually(LONG, "all serve", || {
            others.iter().chain([&bad.backend]).all(|b| b.request_count() >= 10)
        });

        eventually(LONG, "the checks know it", || !self.by.checks() || standing(&lb, "bad").passes);

        let before = standing(&lb, "bad");
        assert_eq!(before.exclusion, None);
        let watch = Stopwatch::start();
        bad.begin();
        let out =
            (!self.by.ignores(self.fault)).then(|| self.is_taken_out(&lb, &clients, &bad, watch, &before));
        if out.is_none() {
            self.is_left_in(&lb, &clients);
        }
        let hits = out
            .as_ref()
            .map_or_else(|| standing(&lb, "bad").all.saturating_sub(before.all), |(_, _, hits)| *hits);
        let absent = watch.elapsed();
        let watch = Stopwatch::start();
        bad.end();
        let back = out.is_some().then(|| self.is_back(&lb, &clients, watch, absent));

        let outcomes = clients.stop();
        let total = standing(&lb, "bad").all.saturating_sub(before.all);
        self.promises_hold(&outcomes, total);
        nothing_was_done_twice(&outcomes, others.iter().chain([&bad.backend]));
        lb.stop().assert_no_panic();
        Measured { row: *self, outcomes, hits, out: out.map(|(after, reason, _)| (after, reason)), back }
    }

    fn is_taken_out(
        &self,
        lb: &EdgeLb,
        clients: &Clients,
        bad: &Bad,
        watch: Stopwatch,
        before: &Standing,
    ) -> (Duration, String, usize) {
        let mut seen = None;
        eventually(self.by.out_limit(), "it is out", || {
            let now = standing(lb, "bad");
            let is_out = now.exclusion.is_some();
            seen = Some(now);
            is_out
        });
        let after = watch.elapsed();
        let seen = seen.expect("it was looked at");
        let reason = seen.exclusion.expect("it is out");
        assert!(self.by.reasons().contains(&reason.as_str()), "{reason}");
        let hits = seen.all.saturating_sub(before.all);
        if let Some(max) = self.by.hits_max(self.fault) {
            assert!(hits <= max, "{hits} requests got there, at most {max} are promised");
        }
        eventually(LONG, "the metrics say so", || {
            metric(lb, "edge_lb_backend_excluded", &["\"bad\"", "\"main\""]) >= 1.0
        });
        let (done, watch, from) = (clients.done(), Stopwatch::start(), seen.all);
        eventually(LONG, "the load goes on without it", || clients.done() >= done + LOOK);
        let later = standing(lb, "bad").all.saturating_sub(from);
        if let Some(max) = self.by.hits_later_max(self.fault, watch.elapsed()) {
            assert!(later <= max, "{later} requests got there while it was out, at most {max} are promised");
        }
        bad.go_on();
        (after, reason, hits)
    }

    fn is_left_in(&self, lb: &EdgeLb, clients: &Clients) {
        let done = clients.done();
        eventually(LONG, "the load goes on", || {
            assert_eq!(standing(lb, "bad").exclusion, None, "{:?} is no reason to take it out", self.fault);
            clients.done() >= done + 2 * LOOK
        });
    }

    fn is_back(&self, lb: &EdgeLb, clients: &Clients, watch: Stopwatch, absent: Duration) -> Duration {
        // More than the probes of a breaker.
        let known = standing(lb, "bad").succeeded;
        eventually(self.by.back_limit(absent), "it is back", || {
            let now = standing(lb, "bad");
            now.exclusion.is_none() && now.succeeded > known + 4
        });
        let after = watch.elapsed();
        let (known, done) = (standing(lb, "bad").succeeded, clients.done());
        eventually(LONG, "it has its share", || clients.done() >= done + LOOK);
        let (share, of) = (standing(lb, "bad").succeeded - known, clients.done() - done);
        // Round robin, and others may be in between: half of it is what another rule would not give.
        let fair = of / (1 + self.others);
        assert!(share >= fair / 2, "it got {share} of {of}");
        after
    }

    fn promises_hold(&self, outcomes: &Outcomes, hits: usize) {
        let Outcomes { lost, cut, wrong, posts, .. } = outcomes;
        assert!(wrong.is_empty(), "not what was asked for, and no way to tell: {wrong:?}");
        assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
        let cut_max = if self.fault.may_cut() { hits } else { 0 };
        assert!(*cut <= cut_max, "{cut} cut, {cut_max} at most");
        let allowed = self.fault.posts();
        assert!(posts.keys().all(|outcome| allowed.contains(&outcome.as_str())), "{posts:?}");
        let failed: usize = posts.iter().filter(|(outcome, _)| *outcome != "200").map(|(_, n)| n).sum();
        assert!(failed <= hits + CLIENTS, "{posts:?} and {hits} requests that got there");
    }
}

/// Each POST came to one backend at most, and those that succeeded to exactly one.
fn nothing_was_done_twice<'a>(outcomes: &Outcomes, backends: impl Iterator<Item = &'a Backend>) {
    let mut times = BTreeMap::<String, usize>::new();
    for request in backends.flat_map(Backend::requests).filter(|r| r.head.method == "POST") {
        *times.entry(request.head.target).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "done twice: {twice:?}");
    let succeeded = outcomes.posts.get("200").copied().unwrap_or(0);
    assert!(times.len() >= succeeded, "{succeeded} succeeded, {} came", times.len());
}
