//! A pool as the detector's owner sees it: counters, streaks, active health, a timer, and a clock that moves when told.

use lb_health::outlier::{Cause, Census, Change, Detector, OutlierDetection, Streaks, Tally};
use lb_types::{BackendId, FailureKind, Nanos, Outcome};
use std::collections::VecDeque;

pub(crate) struct Backend {
    pub(crate) id: BackendId,
    streaks: Streaks,
    succeeded: u64,
    failed: u64,
    pub(crate) healthy: bool,
}

pub(crate) struct World {
    pub(crate) detector: Detector,
    pub(crate) backends: Vec<Backend>,
    pub(crate) now: Nanos,
    pub(crate) random: u64,
    /// What was told and not yet looked at.
    pub(crate) told: VecDeque<Change>,
}

impl World {
    /// Backends `a`, `b`, … at time 0.
    pub(crate) fn new(settings: OutlierDetection, n: u8) -> Self {
        let detector = Detector::new(settings, Nanos::ZERO).expect("good settings");
        let mut world =
            Self { detector, backends: Vec::new(), now: Nanos::ZERO, random: 0, told: VecDeque::new() };
        for i in 0..n {
            world.add(&char::from(b'a' + i).to_string());
        }
        world.sweep();
        world
    }

    pub(crate) fn add(&mut self, id: &str) {
        let streaks = Streaks::new(self.detector.settings());
        let id = BackendId::from(id);
        self.backends.push(Backend { id, streaks, succeeded: 0, failed: 0, healthy: true });
    }

    pub(crate) fn usable(&self) -> usize {
        self.backends.iter().filter(|b| b.healthy && !self.detector.is_ejected(&b.id)).count()
    }

    pub(crate) fn census(&self) -> Census {
        Census { total: self.backends.len(), usable: self.usable() }
    }

    pub(crate) fn at(&self, id: &str) -> usize {
        self.backends.iter().position(|b| b.id == *id).unwrap_or_else(|| panic!("no backend {id}"))
    }

    fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let id = match &change {
                Change::Ejected(e) => &e.id,
                Change::Returned { id, .. } => id,
                other => panic!("{other:?}"),
            };
            if let Some(b) = self.backends.iter().find(|b| b.id == *id) {
                b.streaks.clear();
            }
            self.told.push_back(change);
        }
    }

    fn sweep(&mut self) {
        let detector = &self.detector;
        let tally = |b: &Backend| Tally {
            id: b.id.clone(),
            succeeded: b.succeeded,
            failed: b.failed,
            usable: b.healthy && !detector.is_ejected(&b.id),
        };
        let tallies: Vec<_> = self.backends.iter().map(tally).collect();
        let random = self.random;
        let changes = self.detector.sweep(self.now, &mut || random, &tallies);
        self.tell(changes);
    }

    /// The clock moves on; the timer fires whenever it is due.
    pub(crate) fn until(&mut self, then: Nanos) {
        while self.detector.next(self.now) <= then {
            self.now = self.detector.next(self.now);
            self.sweep();
        }
        self.now = then;
    }

    /// `S` success, `X` cancelled, `5` a 500, `3` a 503, `c` no connection, `t` time-out.
    pub(crate) fn request(&mut self, at: usize, how: char) {
        let t = Nanos::from_millis(1);
        let outcome = match how {
            'S' => Outcome::Success { ttfb: t },
            'X' => Outcome::Cancelled { after: t },
            '5' => Outcome::Failure { kind: FailureKind::Status(500), after: t },
            '3' => Outcome::Failure { kind: FailureKind::Status(503), after: t },
            'c' => Outcome::Failure { kind: FailureKind::Connect, after: t },
            't' => Outcome::Failure { kind: FailureKind::Timeout, after: t },
            other => panic!("no outcome {other}"),
        };
        let b = &mut self.backends[at];
        b.succeeded += u64::from(matches!(outcome, Outcome::Success { .. }));
        b.failed += u64::from(matches!(outcome, Outcome::Failure { .. }));
        if let Some(cause) = b.streaks.record(outcome) {
            self.consider(at, cause);
        }
    }

    fn consider(&mut self, at: usize, cause: Cause) {
        let (id, census) = (self.backends[at].id.clone(), self.census());
        let ejection = self.detector.consider(&id, cause, self.now, self.random, census);
        self.tell(ejection.map(Change::Ejected));
    }

    /// Requests that make no streak: only the sweep sees them.
    pub(crate) fn count(&mut self, at: usize, succeeded: u64, failed: u64) {
        self.backends[at].succeeded += succeeded;
        self.backends[at].failed += failed;
    }

    pub(crate) fn set_healthy(&mut self, at: usize, healthy: bool) {
        self.backends[at].healthy = healthy;
        let changes = self.detector.rescue(self.usable());
        self.tell(changes);
    }

    pub(crate) fn check_passed(&mut self, at: usize) {
        let change = self.detector.check_passed(&self.backends[at].id);
        self.tell(change);
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.backends.remove(at);
    }
}
