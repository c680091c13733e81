//! The rule, from one window of requests to the next.
//!
//! `gradient = tolerance · baseline / latency`, within 0.5 and 1.1; `limit ← limit · gradient + √limit / 2`, of which each
//! window goes the smoothed share. The latency is the window's mean, the baseline what it is without a queue at the
//! backend. A backend of K slots under more load than it bears answers in `limit / K` times its baseline, so that the limit
//! comes to rest a little above `tolerance · K`. The square root lets small limits grow, too.
//!
//! * While no more than half of the limit is in flight, it says nothing of the backend, and stays.
//! * Requests that were dropped (timed out, or refused by the backend) lower it by their share of the window, at most by
//!   half; it does not grow with that window.
//! * It begins low and doubles until a window is slower.
//! * The baseline follows a smoothed latency: a lower one at once, one that is a little higher slowly, so that noise evens
//!   out. A much higher one it follows only where the queue cannot be of our making: at light load, and at the floor.
//! * Whenever the number in flight has moved by much, it is judged what that did to the latency. By Little's law a full
//!   backend's latency moves in the same proportion, one with room stays as fast. So a lowering that did not help shows that
//!   the backend itself became slower, for example by a deploy: that is its baseline now. And growth that only made requests
//!   slower shows that there was a queue in the baseline. The limit moves by itself often enough: none is lowered just to
//!   measure, and none stays at the floor for ever.
//!
//! In simulation (`examples/concurrency_sim.rs`) limits of full backends come to rest at 1 to 2 times their slots. Where
//! windows are noisy, as latencies are 100 ms and more, some rest at 2.5 times, and of four slots at up to 3.5. At a load
//! that is just what a backend bears they wander up to three times.
//!
//! Lacks: percentiles (a mean of many latencies moves with the queue, a high percentile with the slowest kind of request),
//! and kinds of requests: a mix that changes for slower kinds looks like a slower backend until it is recognised as one.

use super::settings::AdaptiveConcurrency;
use lb_types::SettingsError;

/// The gradient's bounds. At most halved before smoothing: one bad window is not the end. At most a tenth more: growth shows
/// in the latency before the next.
const GRADIENT: (f64, f64) = (0.5, 1.1);
/// How far the smoothed latency, of which the baseline is made, follows the window's: alone, a window is too noisy.
const SMOOTH: f64 = 0.25;
/// How far the baseline follows a smoothed latency that is a little higher, with each window.
const NEAR: f64 = 0.1;
/// How far it follows a much higher one at light load: in a minute, at the default window, nine tenths.
const UP: f64 = 0.02;
/// To what part of itself (or from it) the number in flight moves before it is judged what that did to the latency.
const MOVED: f64 = 0.6;
/// By how much more than the number in flight explains the latency changes when the backend itself changed.
const CHANGED: f64 = 1.4;
/// The power of the number in flight above which all of its growth counts as queued.
const FULL: f64 = 0.8;

/// What was seen in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// Requests that were answered.
    pub answered: u64,
    /// Their mean latency, in seconds.
    pub latency: f64,
    /// Requests that timed out or that the backend refused.
    pub dropped: u64,
    /// The most requests that were in flight at once.
    pub in_flight: u32,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Gradient {
    settings: AdaptiveConcurrency,
    limit: f64,
    /// Before the first window. It has just the quickest of the requests that began in it: nothing is learnt from it but how
    /// long a window has to be.
    fresh: bool,
    /// Doubling, as nothing has been slower yet.
    starting: bool,
    smoothed: Option<f64>,
    baseline: Option<f64>,
    mark: Option<Mark>,
}

/// Where the number in flight and the latency were when they were last compared.
#[derive(Clone, Copy, Debug)]
struct Mark {
    in_flight: f64,
    latency: f64,
}

impl Gradient {
    /// At the initial limit, with no baseline.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: AdaptiveConcurrency) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            settings,
            limit: settings.initial.into(),
            fresh: true,
            starting: true,
            smoothed: None,
            baseline: None,
            mark: None,
        })
    }

    /// The limit at present, rounded down.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// The latency without a queue, in seconds; `None` before the first window.
    pub fn baseline(&self) -> Option<f64> {
        self.baseline
    }

    /// Takes in a window; the new limit.
    pub fn step(&mut self, window: &Window) -> u32 {
        let limit = self.next(window);
        self.limit = limit.clamp(self.settings.min.into(), self.settings.max.into());
        self.limit()
    }

    fn next(&mut self, window: &Window) -> f64 {
        if window.dropped > 0 {
            self.starting = false;
            let share = window.dropped as f64 / (window.dropped + window.answered) as f64;
            return self.limit * (1.0 - share).max(0.5);
        }
        let latency = window.latency;
        if window.answered == 0 || latency.is_nan() || latency <= 0.0 {
            return self.limit;
        }
        if std::mem::take(&mut self.fresh) {
            return self.limit;
        }
        let in_use = f64::from(window.in_flight) * 2.0 > self.limit;
        let baseline = self.follow(latency, window.in_flight.into(), in_use);
        if !in_use {
            return self.limit;
        }
        self.starting &= self.is_near(latency, baseline);
        if self.starting {
            return self.limit * 2.0;
        }
        let gradient = (self.settings.tolerance * baseline / latency).clamp(GRADIENT.0, GRADIENT.1);
        let target = self.limit * gradient + self.limit.sqrt() / 2.0;
        self.limit + self.settings.smoothing * (target - self.limit)
    }

    /// Moves the baseline towards a window's latency as far as may be; the new one.
    fn follow(&mut self, latency: f64, in_flight: f64, in_use: bool) -> f64 {
        let before = self.smoothed.unwrap_or(latency);
        let smoothed = before + SMOOTH * (latency - before);
        let baseline = self.baseline.unwrap_or(latency);
        let judged = self.judge(latency, in_flight, baseline);
        let next = if let Some(judged) = judged {
            judged
        } else if smoothed <= baseline {
            smoothed
        } else if self.is_near(smoothed, baseline) {
            baseline + NEAR * (smoothed - baseline)
        } else if !in_use {
            baseline + UP * (smoothed - baseline)
        } else if self.limit <= self.settings.min.into() {
            smoothed
        } else {
            baseline
        };
        self.smoothed = Some(if judged.is_some() { latency } else { smoothed });
        self.baseline = Some(next);
        next
    }

    /// Half of the tolerance is well below where a full backend comes to rest: its queue does not creep in.
    fn is_near(&self, latency: f64, baseline: f64) -> bool {
        latency < baseline * (1.0 + self.settings.tolerance) / 2.0
    }

    /// What the latency did while the number in flight moved: the baseline that follows from it, if one does.
    fn judge(&mut self, latency: f64, in_flight: f64, baseline: f64) -> Option<f64> {
        let here = Mark { in_flight: in_flight.max(1.0), latency };
        let Some(mark) = self.mark else {
            self.mark = Some(here);
            return None;
        };
        let (moved, slower) = (here.in_flight / mark.in_flight, latency / mark.latency);
        if slower > CHANGED * moved.max(1.0) || slower < moved.min(1.0) / CHANGED {
            self.mark = Some(here);
            return None;
        }
        if MOVED < moved && moved < 1.0 / MOVED {
            return None;
        }
        self.mark = Some(here);
        // A queue changes the latency by as much as the number in flight, a backend with room not at all.
        let queued = if moved < 1.0 { slower < moved.sqrt() } else { slower > moved.sqrt() };
        match queued {
            // All of the growth went to the queue: the backend was full before, nobody knows by how much. A guess that is
            // too low is corrected by the lowering that follows from it.
            true if moved > 1.0 && slower > moved.powf(FULL) => Some(baseline.min(MOVED * mark.latency)),
            // The queue began as it grew.
            true if moved > 1.0 => Some(baseline.min(mark.latency)),
            true => None,
            // Both are the latency of a backend with room, but for noise.
            false => Some(baseline.max((mark.latency + latency) / 2.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(latency: f64, in_flight: u32) -> Window {
        Window { answered: 100, latency, dropped: 0, in_flight }
    }

    /// Begun, at a limit of 20 and a latency of 10 ms without a queue.
    fn gradient() -> Gradient {
        let mut g = Gradient::new(AdaptiveConcurrency::new().initial(20)).unwrap();
        (0..2).for_each(|_| _ = g.step(&seen(0.01, 10)));
        assert_eq!((g.limit(), g.baseline()), (20, Some(0.01)));
        g
    }

    #[test]
    fn it_begins_low_and_doubles_until_a_window_is_slower() {
        let mut g = Gradient::new(AdaptiveConcurrency::new()).unwrap();
        let limits: Vec<u32> = (0..5).map(|_| g.step(&seen(0.01, g.limit()))).collect();
        assert_eq!(limits, [4, 8, 16, 32, 64], "the first window only shows how long one has to be");
        let slower = g.step(&seen(0.02, 64));
        assert!((32..64).contains(&slower), "{slower}");
        let after = g.step(&seen(0.01, slower));
        assert!(after < slower + slower / 4, "no more doubling: {slower}, then {after}");
    }

    #[test]
    fn it_grows_only_while_it_is_used() {
        let mut g = gradient();
        assert!((0..100).all(|_| g.step(&seen(0.01, 10)) == 20), "half of it is not enough");
        assert_eq!(g.step(&seen(0.01, 11)), 40);
        let grown = (0..100).fold(0, |_, _| g.step(&seen(0.01, g.limit())));
        assert_eq!(grown, 1_000, "up to the most, while latency stays");
    }

    #[test]
    fn latency_lowers_it_to_where_it_is_borne() {
        let mut g = gradient();
        // A backend of fourteen slots.
        for _ in 0..100 {
            g.step(&seen(0.01 * (f64::from(g.limit()) / 14.0).max(1.0), g.limit()));
        }
        assert!((14..=28).contains(&g.limit()), "{}", g.limit());
    }

    #[test]
    fn drops_lower_it_by_their_share_and_never_below_the_floor() {
        let mut g = gradient();
        assert_eq!(g.step(&Window { dropped: 10, answered: 90, ..seen(0.01, 20) }), 18);
        assert_eq!(g.step(&Window { dropped: 100, answered: 0, ..seen(0.0, 18) }), 9);
        assert!((0..10).fold(9, |_, _| g.step(&Window { dropped: 1, answered: 0, ..seen(0.0, 1) })) == 4);
    }

    #[test]
    fn a_backend_that_became_slower_does_not_stay_at_the_floor() {
        let mut g = gradient();
        let limits: Vec<u32> = (0..60).map(|_| g.step(&seen(0.05, g.limit()))).collect();
        assert!(limits.iter().min() < Some(&20), "lowered at first: {limits:?}");
        assert!((g.baseline().unwrap() - 0.05).abs() < 0.01, "{:?}", g.baseline());
        assert!(g.limit() > 20, "and up again: {limits:?}");
    }

    proptest! {
        #[test]
        fn within_its_bounds_whatever_is_seen(
            windows in prop::collection::vec((0u64..1_000, 0.0f64..1e3, 0u64..10, any::<u32>()), 1..200),
        ) {
            let mut g = Gradient::new(AdaptiveConcurrency::new().min(3).max(50)).unwrap();
            for (answered, latency, dropped, in_flight) in windows {
                let before = g.limit();
                let limit = g.step(&Window { answered, latency, dropped, in_flight });
                prop_assert!((3..=50).contains(&limit));
                prop_assert!(limit <= before || dropped == 0 && in_flight > before / 2);
                prop_assert!(limit + 1 >= before / 2, "at most halved");
                prop_assert!(g.baseline().is_none_or(f64::is_finite));
            }
        }
    }
}
