//! Slow start: the share of a backend that is new or has recovered grows over a window.
//!
//! Envoy's formula: `weight × max(min, (age / window)^(1 / aggression))`. The connection limit follows the same ramp. Backends
//! that are there when the pool is made do not ramp: at process start all are equally cold.

use crate::settings::SlowStart;
use lb_types::Nanos;

/// While one member ramps, all weights of the snapshot are scaled by this, so that a weight of 1 can be ramped in steps of 1 %.
pub(crate) const SCALE: u32 = 100;

/// The share (0–1] of its full weight that a backend has, which began its ramp at `from`; `None`: the ramp is over.
pub(crate) fn factor(s: &SlowStart, from: Nanos, now: Nanos) -> Option<f64> {
    let age = (now - from).as_secs_f64() / s.window.as_secs_f64();
    if age >= 1.0 || age.is_nan() {
        return None;
    }
    Some(age.powf(1.0 / s.aggression).max(f64::from(s.min_weight_percent) / 100.0))
}

/// How long until the ramps have to be looked at again: a hundredth of the window, at least 50 ms and at most 1 s.
pub(crate) fn step(s: &SlowStart) -> Nanos {
    Nanos::from(s.window / 100).clamp(Nanos::from_millis(50), Nanos::from_secs(1))
}

/// The weight of a snapshot in which somebody ramps.
pub(crate) fn scaled(weight: u32, factor: f64) -> u32 {
    let full = weight.saturating_mul(SCALE);
    if weight == 0 { 0 } else { ((f64::from(full) * factor).round() as u32).max(1) }
}

/// A connection limit on the ramp: at least 1.
pub(crate) fn limit(limit: u32, factor: f64) -> u32 {
    ((f64::from(limit) * factor).ceil() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ramps_like_envoy() {
        let s =
            |aggression| SlowStart { window: Duration::from_secs(10), aggression, min_weight_percent: 10 };
        let at =
            |secs: u64, aggression| factor(&s(aggression), Nanos::from_secs(5), Nanos::from_secs(5 + secs));
        assert_eq!((at(0, 1.0), at(5, 1.0), at(10, 1.0)), (Some(0.1), Some(0.5), None));
        assert!(
            (at(5, 2.0).unwrap() - 0.5f64.sqrt()).abs() < 1e-9,
            "a larger aggression grows faster at first"
        );
        assert_eq!((scaled(1, 0.1), scaled(3, 1.0), scaled(0, 1.0), limit(5, 0.1)), (10, 300, 0, 1));
    }
}
