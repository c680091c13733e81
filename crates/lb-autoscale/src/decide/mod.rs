//! How many? [`AutoScaler`]: a pure function of what it was shown, one decision for each look.
//!
//! In this order:
//!
//! 1. fewer than `min_instances`: up to it at once; more than `max_instances`: down to it at once;
//! 2. no instance and requests parked: up at once;
//! 3. [`threshold`] or [`target`];
//! 4. the last instance goes only when the pool was idle for the whole window.
//!
//! Only step 3 waits for cooldowns; steps 2 and 3 start them. What is missing never takes an instance away.

pub mod demand;
mod hold;
pub mod target;
pub mod threshold;
pub mod value;

use crate::cooldown::Cooldown;
use crate::decision::{Action, Decision, Inputs, Reason};
use crate::settings::{AutoScale, Mode};
use crate::signals::metrics::Metrics;
use crate::signals::samples::{Sample, Samples};
use lb_types::{Nanos, SettingsError};

/// Decides how many instances a pool should have.
///
/// Memory is fixed, some 10 KB, and a look costs a scan of some 200 cells. A clone goes on as the original would: to ask "what if?"
/// ask a clone.
#[derive(Clone, Debug)]
pub struct AutoScaler {
    settings: AutoScale,
    /// The metric with thresholds; the demand's mean over `rise_window` with a target.
    window: Samples,
    /// The demand, with a target.
    rise: Option<Samples>,
    /// 1 where the pool was not known to be idle.
    busy: Samples,
    cooldown: Cooldown,
    latest: Nanos,
}

impl AutoScaler {
    /// A scaler that has seen nothing.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: AutoScale) -> Result<Self, SettingsError> {
        settings.validate()?;
        let window = Samples::new(settings.metrics_window.into());
        let rise = match settings.mode {
            Mode::Threshold => None,
            Mode::Target(target) => Some(Samples::new(target.rise_window.into())),
        };
        let busy = window.clone();
        Ok(Self { settings, window, rise, busy, cooldown: Cooldown::default(), latest: Nanos::ZERO })
    }

    /// What it was told.
    pub fn settings(&self) -> &AutoScale {
        &self.settings
    }

    /// Takes note of an observation and decides. To be called at a steady beat, at least four times in `metrics_window`; every
    /// second is good. An instant before one that was given already counts as that one.
    pub fn evaluate(&mut self, now: Nanos, metrics: &Metrics) -> Decision {
        self.look(now, metrics, None)
    }

    /// Takes note of an observation, as [`evaluate`](Self::evaluate) does, and decides for this number, cut to what the settings allow: the metric, the size of a
    /// step and cooldowns are not asked. It starts a cooldown as any decision by load, so that the number stands for a while; with a target more may
    /// come of load at once all the same.
    pub fn by_hand(&mut self, now: Nanos, metrics: &Metrics, desired: u32) -> Decision {
        self.look(now, metrics, Some(desired))
    }

    fn look(&mut self, now: Nanos, metrics: &Metrics, by_hand: Option<u32>) -> Decision {
        let now = now.max(self.latest);
        self.latest = now;
        let inputs = self.observe(now, metrics);
        let mut reasons = Vec::with_capacity(2);
        let (desired, for_load) = match by_hand {
            Some(desired) => {
                reasons.push(Reason::ByHand);
                (desired.clamp(self.settings.min_instances, self.settings.max_instances), true)
            }
            None => self.decide(&inputs, &mut reasons),
        };
        let action = Action::between(metrics.instances, desired);
        match action {
            Action::Up(_) if for_load => self.cooldown.went_up(now),
            Action::Down(_) if for_load => self.cooldown.went_down(now),
            _ => {}
        }
        Decision {
            at: now,
            current: metrics.instances,
            desired,
            action,
            reasons,
            inputs,
            dry_run: self.settings.dry_run,
        }
    }

    fn observe(&mut self, now: Nanos, metrics: &Metrics) -> Inputs {
        let s = &self.settings;
        let busy = Sample::whole(if metrics.is_idle() { 0.0 } else { 1.0 });
        self.busy.record(now, Some(busy));
        let (observed, mean) = match (&s.mode, &mut self.rise) {
            (Mode::Target(target), Some(rise)) => {
                let demand = demand::demand(s.metric, target, metrics);
                rise.record(now, demand);
                let mean = rise.mean(now);
                // Known now, or not: a mean of what was known before is no news.
                self.window.record(now, demand.and(mean));
                let pressing = demand.filter(|_| metrics.is_pressed());
                // In a hurry: at once, if it is more. What is remembered for the way down is the mean all the same.
                let mean = pressing.filter(|now| mean.is_none_or(|mean| now.seen > mean.seen)).or(mean);
                (demand, mean)
            }
            _ => {
                let value = value::value(s.metric, metrics);
                self.window.record(now, value);
                (value, self.window.mean(now))
            }
        };
        Inputs {
            metrics: *metrics,
            observed: observed.map(|sample| sample.seen),
            mean: mean.map(|sample| sample.seen),
            mean_safe: mean.map(|sample| sample.safe),
            highest: self.rise.as_ref().and_then(|_| self.window.highest(now)),
            known_percent: self.window.known_percent(now),
            cooldown_up_left: self.cooldown.up_left(now, s),
            cooldown_down_left: self.cooldown.down_left(now, s),
        }
    }

    /// How many, and whether it is load that says so.
    fn decide(&self, i: &Inputs, reasons: &mut Vec<Reason>) -> (u32, bool) {
        let (s, current) = (&self.settings, i.metrics.instances);
        if current < s.min_instances {
            reasons.push(Reason::BelowMinimum { min: s.min_instances });
            return (s.min_instances, false);
        }
        if current > s.max_instances {
            reasons.push(Reason::AboveMaximum { max: s.max_instances });
            return (s.max_instances, false);
        }
        if current == 0 && i.metrics.parked > 0 {
            reasons.push(Reason::Parked { requests: i.metrics.parked });
            return (1, true);
        }
        let desired = match &s.mode {
            Mode::Threshold => threshold::threshold(s, i, reasons),
            Mode::Target(target) => target::target(s, target, i, reasons),
        };
        if desired == 0 && current > 0 && self.busy.highest(self.latest) != Some(0.0) {
            reasons.push(Reason::NotIdle);
            return (1, true);
        }
        (desired, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::metrics::{Instance, Phase};

    #[test]
    fn a_number_by_hand_is_cut_to_the_bounds_and_stands_for_the_cooldown() {
        let mut scaler = AutoScaler::new(AutoScale::new().instances(2, 6)).unwrap();
        let full =
            Instance { phase: Phase::Settled, cpu_percent: Some(95.0), in_flight: 0, max_connections: None };
        let three = Metrics::of([full; 3]);
        let d = scaler.by_hand(Nanos::from_secs(1), &three, 1);
        assert_eq!((d.desired, d.to_string().as_str()), (2, "down 1 of 3: by hand"));
        let d = scaler.evaluate(Nanos::from_secs(2), &three);
        assert_eq!(d.action, Action::Hold, "{d}");
        assert!(d.inputs.cooldown_up_left > Nanos::ZERO);
        assert_eq!(scaler.by_hand(Nanos::from_secs(3), &three, 9).desired, 6, "once more by hand");
    }
}
