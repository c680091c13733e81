//! What holds a step in either mode, whatever the metric says.

use crate::decision::{Inputs, Reason};
use crate::settings::AutoScale;

/// Why there may not be more instances now.
pub(crate) fn may_not_go_up(s: &AutoScale, i: &Inputs) -> Option<Reason> {
    if i.metrics.instances >= s.max_instances {
        Some(Reason::AtMaximum)
    } else if i.cooldown_up_left.0 > 0 {
        Some(Reason::Cooldown { left: i.cooldown_up_left })
    } else {
        None
    }
}

/// Why there may not be fewer.
pub(crate) fn may_not_go_down(s: &AutoScale, i: &Inputs) -> Option<Reason> {
    if i.metrics.instances <= s.min_instances {
        Some(Reason::AtMinimum)
    } else if i.observed.is_none() {
        Some(Reason::MetricMissing)
    } else if i.known_percent < f64::from(s.known_percent) {
        Some(Reason::WindowUnknown { known_percent: i.known_percent })
    } else if i.cooldown_down_left.0 > 0 {
        Some(Reason::Cooldown { left: i.cooldown_down_left })
    } else {
        None
    }
}
