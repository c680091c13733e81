//! What was decided, why, and by what.

use crate::signals::metrics::Metrics;
use lb_types::Nanos;
use std::fmt;

/// One decision.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Decision {
    /// When.
    pub at: Nanos,
    /// How many instances there are, starting ones included.
    pub current: u32,
    /// How many there should be.
    pub desired: u32,
    /// What leads from the one to the other.
    pub action: Action,
    /// Why: what was found, then what limited or stopped it. Five at most.
    pub reasons: Vec<Reason>,
    /// By what.
    pub inputs: Inputs,
    /// It is a rehearsal.
    pub dry_run: bool,
}

impl Decision {
    /// How many instances a driver shall bring about; `None`: it shall do nothing, as all is well or this is a dry run.
    pub fn to_do(&self) -> Option<u32> {
        (self.action != Action::Hold && !self.dry_run).then_some(self.desired)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.action, self.current)?;
        for (at, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if at == 0 { ": " } else { "; " })?;
        }
        f.write_str(if self.dry_run { " (dry run)" } else { "" })
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Action {
    /// So many more.
    Up(u32),
    /// So many fewer: drained first, then ended.
    Down(u32),
    /// Nothing.
    Hold,
}

impl Action {
    pub(crate) fn between(current: u32, desired: u32) -> Self {
        match desired.checked_sub(current) {
            Some(0) => Self::Hold,
            Some(more) => Self::Up(more),
            None => Self::Down(current - desired),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(n) => write!(f, "up {n}"),
            Self::Down(n) => write!(f, "down {n}"),
            Self::Hold => f.write_str("hold"),
        }
    }
}

/// One reason for a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case", tag = "reason"))]
#[non_exhaustive]
pub enum Reason {
    /// There are fewer instances than `min_instances`.
    BelowMinimum {
        /// `min_instances`.
        min: u32,
    },
    /// There are more instances than `max_instances`.
    AboveMaximum {
        /// `max_instances`.
        max: u32,
    },
    /// There is no instance, and requests wait for one.
    Parked {
        /// How many.
        requests: u64,
    },
    /// The mean is above the threshold for more.
    AboveThreshold {
        /// The mean.
        mean: f64,
        /// The threshold.
        threshold: f64,
    },
    /// The mean is below the threshold for fewer.
    BelowThreshold {
        /// The mean.
        mean: f64,
        /// The threshold.
        threshold: f64,
    },
    /// The mean is between the thresholds.
    BetweenThresholds {
        /// The mean.
        mean: f64,
    },
    /// The demand needs more instances.
    DemandAbove {
        /// In instances at their target.
        demand: f64,
    },
    /// The demand, and the highest one of the window, need fewer.
    DemandBelow {
        /// The highest of the window, in instances at their target.
        highest: f64,
    },
    /// The demand is what the instances are for, or within the tolerance of it.
    DemandMet {
        /// In instances at their target.
        demand: f64,
    },
    /// Held: an action was not long enough ago.
    Cooldown {
        /// How much longer.
        left: Nanos,
    },
    /// Held or cut: there may be no more.
    AtMaximum,
    /// Held or cut: there may be no fewer.
    AtMinimum,
    /// Cut: so many at once are not allowed.
    StepLimited {
        /// How many it would have been.
        wanted: u32,
    },
    /// Held: the metric is not known now.
    MetricMissing,
    /// Not gone down: too little of the window is known.
    WindowUnknown {
        /// The percent that is known.
        known_percent: f64,
    },
    /// Not gone down: what is left would be above the threshold for more.
    WouldFlap {
        /// The mean that is expected with one step less.
        expected: f64,
    },
    /// Somebody wants so many, whatever the metric says.
    ByHand,
    /// The last instance stays: it was not idle for a whole window, or nobody knows.
    NotIdle,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BelowMinimum { min } => write!(f, "below the minimum of {min}"),
            Self::AboveMaximum { max } => write!(f, "above the maximum of {max}"),
            Self::Parked { requests } => write!(f, "{requests} requests wait for an instance"),
            Self::AboveThreshold { mean, threshold } => write!(f, "mean {mean:.1} is above {threshold}"),
            Self::BelowThreshold { mean, threshold } => write!(f, "mean {mean:.1} is below {threshold}"),
            Self::BetweenThresholds { mean } => write!(f, "mean {mean:.1} is between the thresholds"),
            Self::DemandAbove { demand } => write!(f, "demand is for {demand:.2} instances"),
            Self::DemandBelow { highest } => write!(f, "highest demand was for {highest:.2} instances"),
            Self::DemandMet { demand } => write!(f, "demand is met, for {demand:.2} instances"),
            Self::Cooldown { left } => write!(f, "cooling down for another {:?}", left.as_duration()),
            Self::AtMaximum => f.write_str("at the maximum"),
            Self::AtMinimum => f.write_str("at the minimum"),
            Self::StepLimited { wanted } => write!(f, "limited, {wanted} were wanted"),
            Self::MetricMissing => f.write_str("the metric is missing"),
            Self::WindowUnknown { known_percent } => {
                write!(f, "only {known_percent:.0} % of the window is known")
            }
            Self::WouldFlap { expected } => write!(f, "fewer would be at {expected:.1}"),
            Self::ByHand => f.write_str("by hand"),
            Self::NotIdle => f.write_str("the last one was not idle"),
        }
    }
}

/// What a decision went by.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Inputs {
    /// The observation that it was asked with.
    pub metrics: Metrics,
    /// What is decided by, now: the metric with thresholds, the demand in instances with a target. `None`: not known.
    pub observed: Option<f64>,
    /// Its mean, over `metrics_window` with thresholds, over `rise_window` with a target (or what it is now, if that is more and
    /// requests press). `None`: no sample in it.
    pub mean: Option<f64>,
    /// The same with instances that said nothing taken as full. Scale-down goes by this with thresholds.
    pub mean_safe: Option<f64>,
    /// With a target: the highest mean over `rise_window` within `metrics_window`, in the safe reading. Scale-down goes by this.
    pub highest: Option<f64>,
    /// The percent of `metrics_window` that is known.
    pub known_percent: f64,
    /// How long there may be no more instances.
    pub cooldown_up_left: Nanos,
    /// How long there may be no fewer instances.
    pub cooldown_down_left: Nanos,
}
