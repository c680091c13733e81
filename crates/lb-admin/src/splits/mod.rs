//! Splits and rollouts: what there is of them, shown and steered.
//!
//! What a split is comes from `lb-split`; which there are, what was counted, and who guides rollouts is behind [`SplitControl`].

mod orders;
mod rollouts;
mod views;

use crate::problem::Problem;
use crate::state::AdminState;
use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use lb_split::{ChangeError, Nanos, RolloutError, RolloutSettings, RolloutStatus, Split, Window};
use serde::de::{Deserialize, Deserializer, Error as _};
use std::sync::Arc;
use std::time::Duration;

/// Who has the splits and guides their rollouts.
pub trait SplitControl: Send + Sync + 'static {
    /// The splits, by name.
    fn splits(&self) -> Vec<SplitEntry>;

    /// The one of this name.
    fn split(&self, name: &str) -> Option<SplitEntry> {
        self.splits().into_iter().find(|entry| entry.split.name() == name)
    }

    /// The time that splits go by.
    fn now(&self) -> Nanos;

    /// That time by the calendar, in milliseconds since the Unix epoch.
    fn unix_ms(&self, at: Nanos) -> u64;

    /// This split was changed: tells whoever keeps an account of it.
    fn changed(&self, split: &str);

    /// The split's rollout: the one under way, or the last.
    fn rollout(&self, split: &str) -> Option<RolloutReport>;

    /// Begins one.
    ///
    /// # Errors
    /// There is one under way; settings out of their bounds; no room.
    fn start(&self, split: &str, settings: RolloutSettings, by: &str) -> Result<(), RolloutError>;

    /// Gives it as long as its patience again.
    ///
    /// # Errors
    /// There is none under way.
    fn extend(&self, split: &str, by: &str) -> Result<(), RolloutError>;

    /// Ends it: the first target has all again.
    ///
    /// # Errors
    /// There is none under way, or somebody has overtaken it.
    fn abort(&self, split: &str, by: &str) -> Result<(), RolloutError>;
}

/// A split, and what is known of it.
#[derive(Clone, Debug)]
pub struct SplitEntry {
    /// The split itself.
    pub split: Arc<Split>,
    /// By what clients stay on their side: `none`, `cookie`, `header`, `ip-hash`.
    pub sticky: &'static str,
    /// What came of each target's requests, in their order.
    pub counts: Vec<SideCount>,
    /// What a rollout takes that is told nothing else.
    pub rollout: RolloutSettings,
}

/// What came of a target's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideCount {
    /// Requests that were answered.
    pub requests: u64,
    /// Those that failed by the target's fault.
    pub errors: u64,
}

/// A rollout at one look.
#[derive(Clone, Debug)]
pub struct RolloutReport {
    /// Who began it.
    pub by: String,
    /// When.
    pub began: Nanos,
    /// What it was told.
    pub settings: RolloutSettings,
    /// How it stands.
    pub status: RolloutStatus,
    /// Whether the step's time and patience are over, and nothing was shown.
    pub inconclusive: bool,
    /// Above which latency a request is slow: of the old and the new side. `None`: not judged, or not known yet.
    pub limits: Option<(Duration, Duration)>,
    /// What the old side did in this step.
    pub old: Window,
    /// What the new side did in this step.
    pub new: Window,
}

/// The paths of splits and rollouts.
pub(crate) fn routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/api/v1/splits", get(orders::list))
        .route("/api/v1/splits/{name}", get(orders::one).put(orders::set))
        .route("/api/v1/splits/{name}/switch", post(orders::switch))
        .route("/api/v1/splits/{name}/canary", post(orders::canary))
        .route("/api/v1/splits/{name}/pause", post(orders::pause))
        .route("/api/v1/splits/{name}/resume", post(orders::resume))
        .route("/api/v1/splits/{name}/abort", post(orders::abort))
        .route("/api/v1/rollouts", get(rollouts::list))
        .route("/api/v1/rollouts/{name}", get(rollouts::one).post(rollouts::order))
}

/// Who gives the order, if nobody says.
pub(crate) fn api() -> String {
    "api".to_owned()
}

/// Who gives the order, as it will stand in the log: something, and in one line.
pub(crate) fn by<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let by = String::deserialize(from)?;
    if by.is_empty() || by.chars().any(char::is_control) {
        return Err(D::Error::custom("`by` must be a text without control characters"));
    }
    Ok(by)
}

fn split<'a>(state: &'a AdminState, name: &str) -> Result<(&'a Arc<dyn SplitControl>, SplitEntry), Problem> {
    let found = state.splits.as_ref().and_then(|control| Some((control, control.split(name)?)));
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no split \"{name}\"")))
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn refused(error: &ChangeError) -> Problem {
    let status = match error {
        ChangeError::NotShifting(_) | ChangeError::AlreadyPaused(_) | ChangeError::NotPaused(_) => {
            StatusCode::CONFLICT
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.to_string())
}

fn not_rolled(error: &RolloutError) -> Problem {
    match error {
        RolloutError::Change(error) => refused(error),
        other => Problem::new(StatusCode::CONFLICT, other.to_string()),
    }
}

/// Digits and `ms`, `s`, `m`, `h` or `d`.
fn duration(field: &str, text: &str) -> Result<Duration, Problem> {
    let long = |unit: char, minutes: u64| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(Duration::from_secs(number.checked_mul(minutes * 60)?))
    };
    let found = long('h', 60).or_else(|| long('d', 24 * 60)).or_else(|| crate::steer::duration(text));
    found.ok_or_else(|| wrong(format!("{field} = \"{text}\": must be a duration such as 30s, 10m or 2h")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_durations_have_a_unit_too() {
        let of = |text| duration("over", text).ok();
        let seconds = Duration::from_secs;
        let good = [("2h", 7_200), ("30d", 2_592_000), ("90s", 90), ("10m", 600)];
        assert!(good.iter().all(|&(text, n)| of(text) == Some(seconds(n))));
        for bad in ["", "h", "1.5h", "-1d", "10", "99999999999999999999d", "9999999999999999999h"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
