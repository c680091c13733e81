//! Thresholds: a step when the mean over the window is strictly above or below.
//!
//! Up goes by the mean as it is seen, whatever is missing of the window; down needs the metric now, `known_percent` of the window,
//! and the mean in its safe reading. Two things keep it from swinging: the cooldown, and a look ahead: a metric that the
//! instances share out rises to `mean × current / left` when some go, and a step that would bring it to the threshold for
//! more is not taken. With 70 and 30 the look ahead never finds anything from 2 instances on.

use super::hold::{may_not_go_down, may_not_go_up};
use crate::decision::{Inputs, Reason};
use crate::settings::{AutoScale, Metric};

/// How many instances there should be.
pub(crate) fn threshold(s: &AutoScale, i: &Inputs, reasons: &mut Vec<Reason>) -> u32 {
    let current = i.metrics.instances;
    let (Some(mean), Some(mean_safe)) = (i.mean, i.mean_safe) else {
        reasons.push(Reason::MetricMissing);
        return current;
    };
    if mean > s.scale_up_threshold {
        reasons.push(Reason::AboveThreshold { mean, threshold: s.scale_up_threshold });
        up(s, i, reasons)
    } else if mean_safe < s.scale_down_threshold {
        reasons.push(Reason::BelowThreshold { mean: mean_safe, threshold: s.scale_down_threshold });
        down(s, i, mean_safe, reasons)
    } else {
        reasons.push(Reason::BetweenThresholds { mean });
        current
    }
}

fn up(s: &AutoScale, i: &Inputs, reasons: &mut Vec<Reason>) -> u32 {
    let current = i.metrics.instances;
    if let Some(why) = may_not_go_up(s, i) {
        reasons.push(why);
        return current;
    }
    let wanted = current.saturating_add(s.step_up.unwrap_or(1));
    if wanted > s.max_instances {
        reasons.push(Reason::AtMaximum);
    }
    wanted.min(s.max_instances)
}

fn down(s: &AutoScale, i: &Inputs, mean: f64, reasons: &mut Vec<Reason>) -> u32 {
    let current = i.metrics.instances;
    if let Some(why) = may_not_go_down(s, i) {
        reasons.push(why);
        return current;
    }
    let step = s.step_down.unwrap_or(1);
    let wanted = current.saturating_sub(step).max(s.min_instances);
    if current - wanted < step {
        reasons.push(Reason::AtMinimum);
    }
    let expected = mean * f64::from(current) / f64::from(wanted);
    if wanted > 0 && is_shared_out(s.metric) && expected >= s.scale_up_threshold {
        reasons.push(Reason::WouldFlap { expected });
        return current;
    }
    wanted
}

/// Does the value of each instance rise as there are fewer, in the same measure?
fn is_shared_out(metric: Metric) -> bool {
    matches!(metric, Metric::Cpu | Metric::InFlight | Metric::Requests)
}
