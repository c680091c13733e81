//! A target: as many instances as the demand is for.
//!
//! Up, when the demand (its mean over `rise_window`, or at once while requests press) is more than `tolerance_percent` above what there is: at once to all that it is
//! for. Starting instances count as there, so nothing is asked for twice, and slow start delays nothing. Down, to what the
//! highest demand of `metrics_window` was for: instances go when nothing within the window would have needed them. What has
//! gone comes back only when the demand is above the tolerance, so a demand on the border of two numbers moves nothing.

use super::hold::{may_not_go_down, may_not_go_up};
use crate::decision::{Inputs, Reason};
use crate::settings::{AutoScale, Target};

/// How many instances there should be.
pub(crate) fn target(s: &AutoScale, target: &Target, i: &Inputs, reasons: &mut Vec<Reason>) -> u32 {
    let current = i.metrics.instances;
    let (Some(demand), Some(highest)) = (i.mean, i.highest) else {
        reasons.push(Reason::MetricMissing);
        return current;
    };
    let borne = f64::from(current) * (1.0 + f64::from(target.tolerance_percent) / 100.0);
    if demand > borne {
        reasons.push(Reason::DemandAbove { demand });
        up(s, i, whole(demand), reasons)
    } else if whole(highest) < current {
        reasons.push(Reason::DemandBelow { highest });
        down(s, i, whole(highest), reasons)
    } else {
        reasons.push(Reason::DemandMet { demand });
        current
    }
}

fn up(s: &AutoScale, i: &Inputs, wanted: u32, reasons: &mut Vec<Reason>) -> u32 {
    let current = i.metrics.instances;
    if let Some(why) = may_not_go_up(s, i) {
        reasons.push(why);
        return current;
    }
    let limit = s.step_up.map_or(u32::MAX, |step| current.saturating_add(step));
    if wanted > limit {
        reasons.push(Reason::StepLimited { wanted: wanted - current });
    }
    if wanted.min(limit) > s.max_instances {
        reasons.push(Reason::AtMaximum);
    }
    wanted.min(limit).min(s.max_instances)
}

fn down(s: &AutoScale, i: &Inputs, wanted: u32, reasons: &mut Vec<Reason>) -> u32 {
    let current = i.metrics.instances;
    if let Some(why) = may_not_go_down(s, i) {
        reasons.push(why);
        return current;
    }
    let limit = s.step_down.map_or(0, |step| current.saturating_sub(step));
    if wanted < limit {
        reasons.push(Reason::StepLimited { wanted: current - wanted });
    }
    if wanted.max(limit) < s.min_instances {
        reasons.push(Reason::AtMinimum);
    }
    wanted.max(limit).max(s.min_instances)
}

/// Instances for a demand; what a sum of fractions adds to a whole number is no instance more.
fn whole(demand: f64) -> u32 {
    (demand - 1e-9).ceil().max(0.0) as u32
}
