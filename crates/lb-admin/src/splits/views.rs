//! What the answers look like.

use super::{RolloutReport, SplitControl, SplitEntry};
use lb_split::{Event, Nanos, Percent, RolloutDecision, RolloutSettings, Split, Window};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Serialize)]
pub(super) struct Splits {
    pub(super) splits: Vec<SplitView>,
}

#[derive(Serialize)]
pub(super) struct Rollouts {
    pub(super) rollouts: Vec<RolloutView>,
}

/// Percentages by pool.
type Shares = BTreeMap<String, Percent>;

fn shares(split: &Split, percents: &[Percent]) -> Shares {
    split.targets().iter().cloned().zip(percents.iter().copied()).collect()
}

fn seconds(d: Duration) -> f64 {
    // In whole milliseconds: what is beyond is noise.
    d.as_millis() as f64 / 1e3
}

#[derive(Serialize)]
struct TargetView {
    pool: String,
    percent: Percent,
    requests: u64,
    errors: u64,
}

#[derive(Serialize)]
struct ShiftView {
    from: Shares,
    to: Shares,
    elapsed_s: f64,
    over_s: f64,
    paused: bool,
}

#[derive(Serialize)]
pub(super) struct SplitView {
    name: String,
    sticky: &'static str,
    targets: Vec<TargetView>,
    shift: Option<ShiftView>,
    /// How its rollout stands, if it ever had one.
    rollout: Option<&'static str>,
    changes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<EventView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Vec<EventView>>,
}

impl SplitView {
    pub(super) fn of(control: &dyn SplitControl, entry: &SplitEntry) -> Self {
        let split = &entry.split;
        let status = split.status(control.now());
        let counts = entry.counts.iter().copied().chain(std::iter::repeat(Default::default()));
        let target = |((pool, percent), c): ((String, Percent), super::SideCount)| TargetView {
            pool,
            percent,
            requests: c.requests,
            errors: c.errors,
        };
        Self {
            name: status.name,
            sticky: entry.sticky,
            targets: status.targets.into_iter().zip(counts).map(target).collect(),
            shift: status.shift.map(|s| ShiftView {
                from: shares(split, &s.from),
                to: shares(split, &s.to),
                elapsed_s: seconds(s.elapsed.as_duration()),
                over_s: seconds(s.over.as_duration()),
                paused: s.paused,
            }),
            rollout: control.rollout(split.name()).map(|r| state(&r)),
            changes: status.changes,
            event: None,
            events: None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct EventView {
    number: u64,
    at_ms: u64,
    by: String,
    change: &'static str,
    /// What a rollout decided, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    from: Shares,
    to: Shares,
}

impl EventView {
    pub(super) fn of(control: &dyn SplitControl, split: &Split, event: &Event) -> Self {
        Self {
            number: event.number,
            at_ms: control.unix_ms(event.at),
            by: event.by.clone(),
            change: event.change.as_str(),
            decision: event.change.decision().map(|d| d.to_string()),
            from: shares(split, &event.from),
            to: shares(split, &event.to),
        }
    }
}

#[derive(Serialize)]
pub(super) struct SettingsView {
    steps: Vec<StepView>,
    error_difference_max: Option<f64>,
    latency: Option<LatencyView>,
    requests_min: u64,
    patience_s: f64,
    false_rollback_max: f64,
    false_promotion_max: f64,
}

#[derive(Serialize)]
struct StepView {
    percent: Percent,
    duration_s: f64,
}

#[derive(Serialize)]
struct LatencyView {
    quantile: f64,
    ratio_max: f64,
}

impl SettingsView {
    fn of(s: &RolloutSettings) -> Self {
        let step = |s: &lb_split::Step| StepView { percent: s.percent, duration_s: seconds(s.duration) };
        Self {
            steps: s.steps.iter().map(step).collect(),
            error_difference_max: s.error_difference_max,
            latency: s.latency.map(|l| LatencyView { quantile: l.quantile, ratio_max: l.ratio_max }),
            requests_min: s.requests_min,
            patience_s: seconds(s.patience),
            false_rollback_max: s.false_rollback_max,
            false_promotion_max: s.false_promotion_max,
        }
    }
}

#[derive(Serialize)]
struct SideView {
    pool: String,
    #[serde(flatten)]
    window: Window,
    slow_above_ms: Option<f64>,
}

#[derive(Serialize)]
struct GuardView {
    guard: &'static str,
    worse: f64,
    needed_worse: f64,
    fine: f64,
    needed_fine: f64,
}

/// A rollout that is under way, or was.
#[derive(Serialize)]
struct Course {
    reason: Option<&'static str>,
    by: String,
    began_ms: u64,
    step: usize,
    steps: usize,
    percent: Percent,
    step_began_ms: u64,
    until_ms: u64,
    old: SideView,
    new: SideView,
    guards: Vec<GuardView>,
}

#[derive(Serialize)]
pub(super) struct RolloutView {
    split: String,
    state: &'static str,
    #[serde(flatten)]
    course: Option<Course>,
    settings: SettingsView,
}

/// `running`, `inconclusive`, `promoted`, `rolled-back`, `overtaken`.
fn state(report: &RolloutReport) -> &'static str {
    match report.status.end {
        Some(RolloutDecision::Promote) => "promoted",
        Some(RolloutDecision::RollBack { .. }) => "rolled-back",
        Some(_) => "overtaken",
        None if report.inconclusive => "inconclusive",
        None => "running",
    }
}

/// A hundredth is as exact as anybody needs.
fn rounded(evidence: f64) -> f64 {
    (evidence * 100.0).round() / 100.0
}

impl RolloutView {
    pub(super) fn of(control: &dyn SplitControl, entry: &SplitEntry) -> Self {
        let split = &entry.split;
        let Some(r) = control.rollout(split.name()) else {
            let settings = SettingsView::of(&entry.rollout);
            return Self { split: split.name().to_owned(), state: "none", course: None, settings };
        };
        let ms = |at: Nanos| control.unix_ms(at);
        let limit = |of: fn((Duration, Duration)) -> Duration| r.limits.map(|l| of(l).as_secs_f64() * 1e3);
        let side = |pool: Option<&String>, window, slow_above_ms| SideView {
            pool: pool.cloned().unwrap_or_default(),
            window,
            slow_above_ms,
        };
        let guard = |g: &lb_split::GuardStatus| GuardView {
            guard: g.guard.as_str(),
            worse: rounded(g.worse),
            needed_worse: rounded(g.needed_worse),
            fine: rounded(g.fine),
            needed_fine: rounded(g.needed_fine),
        };
        let course = Course {
            reason: match r.status.end {
                Some(RolloutDecision::RollBack { reason }) => Some(reason.as_str()),
                _ => None,
            },
            by: r.by.clone(),
            began_ms: ms(r.began),
            step: r.status.step + 1,
            steps: r.status.steps,
            percent: r.status.percent,
            step_began_ms: ms(r.status.since),
            until_ms: ms(r.status.until),
            old: side(split.targets().first(), r.old, limit(|l| l.0)),
            new: side(split.targets().last(), r.new, limit(|l| l.1)),
            guards: r.status.guards.iter().map(guard).collect(),
        };
        Self {
            split: split.name().to_owned(),
            state: state(&r),
            course: Some(course),
            settings: SettingsView::of(&r.settings),
        }
    }
}
