//! One guarded rollout on its way: from counters to windows, from decisions to the split. Without a clock, a task or a log of its own.
//!
//! A window is what a side did since its step began: the difference of two looks at the counters. Requests that were divided before a change and
//! end after it count in the new step; that bends nothing, as each counts for the side that it went to.
//!
//! **Limits of latency** are fixed before anything is judged by them. They come of what the old side did *before* the step: before the first one since
//! the server started, else in the step before. While that is too little ([`samples_min`]), it goes on being gathered, and no latency is judged: errors
//! are, but the step does not end. Once the limits are known, only requests that end from then on are judged by them.

use lb_proxy::SideTotals;
use lb_split::{
    Event, LatencyGuard, Nanos, Rollout, RolloutDecision, RolloutError, RolloutSettings, RolloutStatus,
    Split, Window,
};
use std::time::Duration;

/// How many of the old side's latencies a quantile is taken from at least: twenty above it, and 200 in all.
pub(super) fn samples_min(quantile: f64) -> u64 {
    // 0.999 at most, so that this is 20 000 at most.
    ((20.0 / (1.0 - quantile)).round() as u64).max(200)
}

/// Both sides at one look: the old one, then the new one.
pub(super) type Sides = [SideTotals; 2];

/// A rollout that is under way, or has ended and is still shown.
#[derive(Debug)]
pub(super) struct Guided {
    pub(super) by: String,
    pub(super) began: Nanos,
    rollout: Rollout,
    inconclusive: bool,
    /// When the step began.
    base: Sides,
    /// From where the old side's latencies are gathered for limits: the beginning of the step before.
    reference: SideTotals,
    limits: Option<Limits>,
    /// At the last look.
    pub(super) windows: [Window; 2],
}

/// Above which latency a request is slow, on either side, and from when on requests are judged by it.
#[derive(Debug)]
struct Limits {
    above: [Duration; 2],
    since: Sides,
}

/// What a look came to.
#[derive(Debug, PartialEq)]
pub(super) struct Look {
    pub(super) decision: RolloutDecision,
    /// What the split did of it.
    pub(super) event: Option<Event>,
    /// Whether this is said for the first time: not at each look of one that goes on being inconclusive.
    pub(super) is_news: bool,
    /// What both sides had done in the step when it was decided.
    pub(super) windows: [Window; 2],
}

impl Guided {
    /// Begins; the split's last target has its first step's share from now on.
    pub(super) fn begin(
        settings: RolloutSettings,
        split: &Split,
        sides: Sides,
        by: &str,
        now: Nanos,
    ) -> Result<Self, RolloutError> {
        let (rollout, _) = Rollout::begin(settings, split, by, now)?;
        let mut guided = Self {
            by: by.to_owned(),
            began: now,
            rollout,
            inconclusive: false,
            base: sides,
            reference: SideTotals::default(),
            limits: None,
            windows: [Window::default(); 2],
        };
        let now = guided.base.clone();
        guided.measure(&now);
        Ok(guided)
    }

    pub(super) fn is_over(&self) -> bool {
        self.rollout.end().is_some()
    }

    pub(super) fn is_inconclusive(&self) -> bool {
        self.inconclusive
    }

    pub(super) fn settings(&self) -> &RolloutSettings {
        self.rollout.settings()
    }

    pub(super) fn status(&self) -> RolloutStatus {
        self.rollout.status(&self.windows[0], &self.windows[1])
    }

    /// The old side's and the new side's.
    pub(super) fn limits(&self) -> Option<(Duration, Duration)> {
        self.limits.as_ref().map(|l| (l.above[0], l.above[1]))
    }

    /// A look at what both sides have done.
    pub(super) fn look(
        &mut self,
        split: &Split,
        sides: &Sides,
        by: &str,
        now: Nanos,
    ) -> Result<Look, RolloutError> {
        if let Some(decision) = self.rollout.end() {
            return Ok(Look { decision, event: None, is_news: false, windows: self.windows });
        }
        let windows = self.windows_at(sides);
        self.windows = windows;
        let (decision, event) = self.rollout.steer(split, (&windows[0], &windows[1]), by, now)?;
        let was_inconclusive = std::mem::replace(&mut self.inconclusive, false);
        let is_news = match decision {
            RolloutDecision::Hold => false,
            RolloutDecision::Inconclusive => {
                self.inconclusive = true;
                !was_inconclusive
            }
            _ => true,
        };
        if let RolloutDecision::Advance { .. } = decision {
            // The step that ends is what the next one's limits come of.
            let before = std::mem::replace(&mut self.base, sides.clone());
            [self.reference, _] = before;
            self.limits = None;
            self.windows = [Window::default(); 2];
        }
        self.measure(sides);
        Ok(Look { decision, event, is_news, windows })
    }

    /// More patience.
    pub(super) fn extend(&mut self, split: &str, now: Nanos) -> Result<(), RolloutError> {
        if self.is_over() {
            return Err(RolloutError::None(split.to_owned()));
        }
        self.rollout.extend(now);
        self.inconclusive = false;
        Ok(())
    }

    /// Given up; the first target has all again, unless somebody has overtaken the rollout.
    pub(super) fn abort(
        &mut self,
        split: &Split,
        sides: &Sides,
        by: &str,
        now: Nanos,
    ) -> Result<(), RolloutError> {
        if self.is_over() {
            return Err(RolloutError::None(split.name().to_owned()));
        }
        self.windows = self.windows_at(sides);
        self.inconclusive = false;
        match self.rollout.abort_on(split, by, now)? {
            (RolloutDecision::Overtaken, _) => Err(RolloutError::Overtaken(split.name().to_owned())),
            _ => Ok(()),
        }
    }

    /// Fixes the limits of latency, where they are wanted, not known, and can be.
    fn measure(&mut self, sides: &Sides) {
        let Some(guard) = self.settings().latency.filter(|_| self.limits.is_none()) else { return };
        let LatencyGuard { quantile, .. } = guard;
        let seen = sides[0].since(&self.reference).latency;
        if seen.count() < samples_min(quantile) {
            return;
        }
        let Some(old) = seen.quantile(quantile) else { return };
        let (old, new) = guard.limits(old.as_duration());
        self.limits = Some(Limits { above: [old, new], since: sides.clone() });
    }

    fn windows_at(&self, sides: &Sides) -> [Window; 2] {
        std::array::from_fn(|i| {
            let done = sides[i].since(&self.base[i]);
            let mut window = Window::default();
            (window.requests, window.errors) = (done.requests(), done.errors);
            if let Some(limits) = &self.limits {
                let judged = sides[i].since(&limits.since[i]).latency;
                (window.timed, window.slow) = (judged.count(), judged.count_above(limits.above[i].into()));
            }
            window
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_balancer::core::Histogram;
    use lb_split::{Percent, Reason};

    fn percent(p: f64) -> Percent {
        Percent::try_from(p).unwrap()
    }

    fn split() -> Split {
        Split::new("s", &[("blue", Percent::ALL), ("green", Percent::ZERO)], false).unwrap()
    }

    fn at(s: u64) -> Nanos {
        Nanos::from_secs(s)
    }

    /// What a side has done: so many requests of so many ms each, and errors.
    #[derive(Default)]
    struct Side(Histogram, u64);

    impl Side {
        fn does(&mut self, requests: u64, ms: u64, errors: u64) {
            (0..requests).for_each(|_| self.0.record(Nanos::from_millis(ms)));
            self.1 += errors;
        }

        fn totals(&self) -> SideTotals {
            let mut totals = SideTotals::default();
            (totals.errors, totals.latency) = (self.1, self.0.snapshot());
            totals
        }
    }

    fn sides(old: &Side, new: &Side) -> Sides {
        [old.totals(), new.totals()]
    }

    fn settings() -> RolloutSettings {
        let steps = [5.0, 50.0].map(|p| (percent(p), Duration::from_secs(60)));
        RolloutSettings::new().steps(steps).patience(Duration::from_secs(600))
    }

    #[test]
    fn windows_begin_with_their_step() {
        let (split, mut old, mut new) = (split(), Side::default(), Side::default());
        old.does(5_000, 1, 4_000);
        let mut g = Guided::begin(settings(), &split, sides(&old, &new), "ann", at(0)).unwrap();
        old.does(1_000, 1, 10);
        new.does(150, 1, 2);
        let look = g.look(&split, &sides(&old, &new), "rollout", at(59)).unwrap();
        assert_eq!((look.decision, look.is_news), (RolloutDecision::Hold, false));
        assert_eq!(g.windows.map(|w| (w.requests, w.errors, w.timed)), [(1_000, 10, 0), (150, 2, 0)]);
        let look = g.look(&split, &sides(&old, &new), "rollout", at(60)).unwrap();
        assert_eq!(
            (look.decision, look.is_news),
            (RolloutDecision::Advance { percent: percent(50.0) }, true)
        );
        assert_eq!(look.event.unwrap().to[1], percent(50.0));
        // What is told of the decision is what it was made by; what is shown from now on is the next step's.
        assert_eq!((look.windows[1].requests, g.windows[1].requests), (150, 0));
        old.does(100, 1, 0);
        new.does(100, 1, 60);
        let look = g.look(&split, &sides(&old, &new), "rollout", at(61)).unwrap();
        assert_eq!(look.decision, RolloutDecision::RollBack { reason: Reason::Errors });
        assert_eq!(
            g.windows.map(|w| (w.requests, w.errors)),
            [(100, 0), (100, 60)],
            "its reason stays to be seen"
        );
        assert!(g.is_over() && split.percents(at(61))[1] == Percent::ZERO);
        let again = g.look(&split, &sides(&old, &new), "rollout", at(62)).unwrap();
        assert!(!again.is_news && again.event.is_none());
        assert_eq!(g.extend("s", at(62)), Err(RolloutError::None("s".into())));
    }

    #[test]
    fn limits_of_latency_are_known_before_anything_is_judged_by_them() {
        let (split, mut old, mut new) = (split(), Side::default(), Side::default());
        old.does(399, 10, 0);
        let settings = settings().latency(0.95, 2.0);
        let mut g = Guided::begin(settings, &split, sides(&old, &new), "ann", at(0)).unwrap();
        assert_eq!((samples_min(0.95), g.limits()), (400, None), "one too few");
        new.does(5_000, 500, 0);
        old.does(5_000, 10, 0);
        let look = g.look(&split, &sides(&old, &new), "rollout", at(100)).unwrap();
        assert_eq!(look.decision, RolloutDecision::Hold, "the step waits for limits");
        let (blue, green) = g.limits().expect("there is enough now");
        assert!(blue >= Duration::from_millis(10) && blue < Duration::from_millis(12), "{blue:?}");
        assert_eq!(green, blue * 2);
        // What came before they were known is not judged.
        let look = g.look(&split, &sides(&old, &new), "rollout", at(101)).unwrap();
        assert_eq!((look.decision, g.windows[1].timed), (RolloutDecision::Hold, 0));
        old.does(1_000, 10, 0);
        new.does(200, 15, 0);
        g.look(&split, &sides(&old, &new), "rollout", at(102)).unwrap();
        // The next step's come of this one.
        assert_eq!(g.rollout.step(), 1);
        assert!(g.limits().is_some());
        old.does(1_000, 10, 0);
        new.does(200, 500, 0);
        let look = g.look(&split, &sides(&old, &new), "rollout", at(103)).unwrap();
        assert_eq!(look.decision, RolloutDecision::RollBack { reason: Reason::Latency });
        assert_eq!((g.windows[1].timed, g.windows[1].slow), (200, 200));
    }

    #[test]
    fn inconclusive_is_news_once_and_can_be_extended() {
        let (split, none) = (split(), Side::default());
        let none = sides(&none, &Side::default());
        let mut g = Guided::begin(settings(), &split, none.clone(), "ann", at(0)).unwrap();
        let news = |g: &mut Guided, s| g.look(&split, &none, "rollout", at(s)).unwrap().is_news;
        assert!(news(&mut g, 660) && !news(&mut g, 661) && g.is_inconclusive());
        g.extend("s", at(662)).unwrap();
        assert!(!g.is_inconclusive() && !news(&mut g, 663) && news(&mut g, 1_262));
    }

    #[test]
    fn an_abort_gives_back_and_one_by_hand_is_left_alone() {
        let split = split();
        let none = sides(&Side::default(), &Side::default());
        let begin = |split: &Split| Guided::begin(settings(), split, none.clone(), "ann", at(0)).unwrap();
        let mut g = begin(&split);
        g.abort(&split, &none, "bob", at(1)).unwrap();
        assert_eq!(
            (split.percents(at(1))[1], split.events().pop().unwrap().by.as_str()),
            (Percent::ZERO, "bob")
        );
        assert_eq!(g.abort(&split, &none, "bob", at(1)), Err(RolloutError::None("s".into())));
        let mut g = begin(&split);
        split.canary(percent(70.0), "eve", at(2)).unwrap();
        assert_eq!(g.abort(&split, &none, "bob", at(3)), Err(RolloutError::Overtaken("s".into())));
        assert_eq!(split.percents(at(3))[1], percent(70.0));
    }
}
