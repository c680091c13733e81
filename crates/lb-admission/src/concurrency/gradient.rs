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
//! * The baseline follows a lower latency at once by half, and one that is a little higher slowly: noise evens out. A much
//!   higher one it follows only where the queue cannot be of our making: at light load, and at the floor (both slowly), or
//!   once the limit was lowered *and that did not help*. By Little's law a full backend's latency falls with the requests
//!   in flight; if they fall to six tenths while the latency stays, the backend itself became slower, for example by a
//!   deploy, and that is its baseline now. So no limit is lowered just to measure, and none stays at the floor for ever.
//!
//! Lacks: percentiles (a mean of many latencies moves with the queue, a high percentile with the slowest kind of request),
//! and kinds of requests: a mix that changes for slower kinds looks like a slower backend until it is recognised as one.

use super::settings::AdaptiveConcurrency;
use lb_types::SettingsError;

/// The gradient's bounds. At most halved before smoothing: one bad window is not the end. At most a tenth more: growth shows
/// in the latency before the next.
const GRADIENT: (f64, f64) = (0.5, 1.1);
/// How far the baseline follows a lower latency, with each window.
const DOWN: f64 = 0.5;
/// How far it follows one that is near.
const NEAR: f64 = 0.1;
/// How far it follows a much higher one where it may at all: in a minute, at the default window, nine tenths.
const UP: f64 = 0.02;
/// Of a lowering that helped: to what part of itself the latency fell at least.
const HELPED: f64 = 0.85;
/// To what part of themselves the requests in flight fall before it is judged that it did not help.
const JUDGED: f64 = 0.6;

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
    baseline: Option<f64>,
    lowering: Option<Lowering>,
}

/// Where the requests in flight and the latency were when lowering last helped, or began.
#[derive(Clone, Copy, Debug)]
struct Lowering {
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
        Ok(Self { settings, limit: settings.initial.into(), baseline: None, lowering: None })
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
            let share = window.dropped as f64 / (window.dropped + window.answered) as f64;
            return self.limit * (1.0 - share).max(0.5);
        }
        let latency = window.latency;
        if window.answered == 0 || latency.is_nan() || latency <= 0.0 {
            return self.limit;
        }
        let in_use = f64::from(window.in_flight) * 2.0 > self.limit;
        let baseline = self.follow(latency, window.in_flight.into(), in_use);
        if !in_use {
            return self.limit;
        }
        let gradient = (self.settings.tolerance * baseline / latency).clamp(GRADIENT.0, GRADIENT.1);
        let target = self.limit * gradient + self.limit.sqrt() / 2.0;
        self.limit + self.settings.smoothing * (target - self.limit)
    }

    /// Moves the baseline towards a window's latency as far as may be; the new one.
    fn follow(&mut self, latency: f64, in_flight: f64, in_use: bool) -> f64 {
        let tolerance = self.settings.tolerance;
        let baseline = self.baseline.unwrap_or(latency);
        let follow = if latency <= baseline {
            DOWN
        } else if latency < baseline * (1.0 + tolerance) / 2.0 {
            // Half of the tolerance is well below where a full backend comes to rest: its queue does not creep in.
            NEAR
        } else if !in_use || self.limit <= self.settings.min.into() {
            UP
        } else {
            0.0
        };
        let mut next = baseline + follow * (latency - baseline);
        if !in_use || latency <= tolerance * baseline {
            self.lowering = None;
        } else if let Some(before) = self.lowering
            && (HELPED * before.latency..=before.latency).contains(&latency)
        {
            if in_flight <= JUDGED * before.in_flight {
                next = latency;
                self.lowering = None;
            }
        } else {
            self.lowering = Some(Lowering { in_flight, latency });
        }
        self.baseline = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(latency: f64, in_flight: u32) -> Window {
        Window { answered: 100, latency, dropped: 0, in_flight }
    }

    fn gradient() -> Gradient {
        Gradient::new(AdaptiveConcurrency::new()).unwrap()
    }

    #[test]
    fn it_grows_only_while_it_is_used() {
        let mut g = gradient();
        assert!((0..100).all(|_| g.step(&seen(0.01, 10)) == 20), "half of it is not enough");
        assert_eq!(g.step(&seen(0.01, 11)), 22);
        let grown = (0..100).fold(0, |_, _| g.step(&seen(0.01, g.limit())));
        assert_eq!(grown, 1_000, "up to the most, while latency stays");
    }

    #[test]
    fn latency_lowers_it_to_where_it_is_borne() {
        let mut g = gradient();
        g.step(&seen(0.01, 5));
        // A backend of ten slots.
        let full = |limit: u32| 0.01 * (f64::from(limit) / 10.0).max(1.0);
        for _ in 0..100 {
            g.step(&seen(full(g.limit()), g.limit()));
        }
        assert!((15..=18).contains(&g.limit()), "{}", g.limit());
        assert!((g.baseline().unwrap() - 0.01).abs() < 1e-3);
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
        (0..20).for_each(|_| _ = g.step(&seen(0.01, 15)));
        let before = g.limit();
        let least = (0..40).map(|_| g.step(&seen(0.05, g.limit()))).min().unwrap();
        assert!(least < before && least > 4, "lowered, but not to the floor: {least} of {before}");
        assert!((g.baseline().unwrap() - 0.05).abs() < 1e-9);
        assert!(g.limit() > before, "and up again: {}", g.limit());
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
