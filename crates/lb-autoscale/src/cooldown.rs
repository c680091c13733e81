//! How long after an action there is none.
//!
//! | | waits | since |
//! |---|---|---|
//! | thresholds, up | `cooldown_up`, else `cooldown_period` | the last action, whichever way |
//! | thresholds, down | `cooldown_down`, else `cooldown_period` | the last action, whichever way |
//! | target, up | `cooldown_up`, else 0 | the last action, whichever way |
//! | target, down | `cooldown_down`, else `cooldown_period` | the last action *up* |
//!
//! With thresholds a step is blind, and the cooldown is the time to see what it did. A target says how many instances are
//! right, so only a turn from up to down has to wait: going down twice is no flapping. An action may be taken when exactly
//! the cooldown has passed. Going up to `min_instances`, and down to `max_instances`, neither waits nor starts a cooldown: it
//! says nothing of load.

use crate::settings::{AutoScale, Mode};
use lb_types::Nanos;
use std::time::Duration;

/// When there was last an action for the sake of load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cooldown {
    up: Option<Nanos>,
    down: Option<Nanos>,
}

impl Cooldown {
    pub(crate) fn went_up(&mut self, now: Nanos) {
        self.up = Some(now);
    }

    pub(crate) fn went_down(&mut self, now: Nanos) {
        self.down = Some(now);
    }

    /// How long there may be no more instances; zero: now.
    pub(crate) fn up_left(&self, now: Nanos, settings: &AutoScale) -> Nanos {
        let default = match settings.mode {
            Mode::Threshold => settings.cooldown_period,
            Mode::Target(_) => Duration::ZERO,
        };
        left(now, self.up.max(self.down), settings.cooldown_up.unwrap_or(default))
    }

    /// How long there may be no fewer instances; zero: now.
    pub(crate) fn down_left(&self, now: Nanos, settings: &AutoScale) -> Nanos {
        let since = match settings.mode {
            Mode::Threshold => self.up.max(self.down),
            Mode::Target(_) => self.up,
        };
        left(now, since, settings.cooldown_down.unwrap_or(settings.cooldown_period))
    }
}

fn left(now: Nanos, since: Option<Nanos>, wait: Duration) -> Nanos {
    since.map_or(Nanos::ZERO, |since| since + wait.into() - now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Target;
    const SEC: fn(u64) -> Nanos = Nanos::from_secs;

    #[test]
    fn with_thresholds_each_action_stops_both_ways() {
        let settings = AutoScale::new();
        let mut cooldown = Cooldown::default();
        assert_eq!(
            (cooldown.up_left(SEC(0), &settings), cooldown.down_left(SEC(0), &settings)),
            (SEC(0), SEC(0))
        );
        cooldown.went_up(SEC(100));
        assert_eq!(
            (cooldown.up_left(SEC(101), &settings), cooldown.down_left(SEC(399), &settings)),
            (SEC(299), SEC(1))
        );
        assert_eq!(cooldown.up_left(SEC(400), &settings), SEC(0));
        cooldown.went_down(SEC(400));
        let own = settings.cooldowns(Duration::from_secs(10), Duration::from_secs(20));
        assert_eq!((cooldown.up_left(SEC(401), &own), cooldown.down_left(SEC(401), &own)), (SEC(9), SEC(19)));
    }

    #[test]
    fn with_a_target_only_a_turn_downwards_waits() {
        let settings = AutoScale::new().target(Target::new(60.0));
        let mut cooldown = Cooldown::default();
        cooldown.went_down(SEC(100));
        assert_eq!(
            (cooldown.up_left(SEC(100), &settings), cooldown.down_left(SEC(100), &settings)),
            (SEC(0), SEC(0))
        );
        cooldown.went_up(SEC(100));
        assert_eq!(
            (cooldown.up_left(SEC(100), &settings), cooldown.down_left(SEC(100), &settings)),
            (SEC(0), SEC(300))
        );
    }
}
