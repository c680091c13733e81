//! `/api/v1/rollouts`: guarded rollouts, shown, started, extended and aborted.

use super::orders::percent;
use super::views::{RolloutView, Rollouts};
use super::{api, by, duration, not_rolled, split, wrong};
use crate::problem::{Problem, ok};
use crate::state::AdminState;
use crate::steer::body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use lb_split::{LatencyGuard, RolloutSettings, Step};
use serde::Deserialize;
use std::sync::Arc;

type Shared = State<Arc<AdminState>>;

pub(super) async fn list(State(state): Shared) -> Response {
    let Some(control) = &state.splits else { return ok(&Rollouts { rollouts: vec![] }) };
    let had_one = control.splits().into_iter().filter(|e| control.rollout(e.split.name()).is_some());
    ok(&Rollouts { rollouts: had_one.map(|entry| RolloutView::of(&**control, &entry)).collect() })
}

pub(super) async fn one(State(state): Shared, Path(name): Path<String>) -> Result<Response, Problem> {
    let (control, entry) = split(&state, &name)?;
    Ok(ok(&RolloutView::of(&**control, &entry)))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Start,
    Extend,
    Abort,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepOrder {
    percent: f64,
    duration: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyOrder {
    #[serde(default = "quantile")]
    quantile: f64,
    ratio_max: f64,
}

fn quantile() -> f64 {
    0.95
}

/// A number, or `"none"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Difference {
    Number(f64),
    Word(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    action: Action,
    #[serde(default = "api", deserialize_with = "by")]
    by: String,
    steps: Option<Vec<StepOrder>>,
    error_difference_max: Option<Difference>,
    latency: Option<LatencyOrder>,
    requests_min: Option<u64>,
    patience: Option<String>,
    false_rollback_max: Option<f64>,
    false_promotion_max: Option<f64>,
}

impl Order {
    fn has_settings(&self) -> bool {
        self.steps.is_some()
            || self.error_difference_max.is_some()
            || self.latency.is_some()
            || self.requests_min.is_some()
            || self.patience.is_some()
            || self.false_rollback_max.is_some()
            || self.false_promotion_max.is_some()
    }

    /// What is said here goes before what is configured.
    fn settings(&self, mut s: RolloutSettings) -> Result<RolloutSettings, Problem> {
        if let Some(steps) = &self.steps {
            let step = |o: &StepOrder| {
                Ok(Step { percent: percent(o.percent)?, duration: duration("duration", &o.duration)? })
            };
            s.steps = steps.iter().map(step).collect::<Result<_, Problem>>()?;
        }
        match &self.error_difference_max {
            None => {}
            Some(Difference::Number(number)) => s.error_difference_max = Some(*number),
            Some(Difference::Word(word)) if word == "none" => s.error_difference_max = None,
            Some(Difference::Word(word)) => {
                let detail =
                    format!("error_difference_max = \"{word}\": must be a number from 0 to 0.5, or \"none\"");
                return Err(wrong(detail));
            }
        }
        if let Some(LatencyOrder { quantile, ratio_max }) = self.latency {
            s.latency = Some(LatencyGuard { quantile, ratio_max });
        }
        s.requests_min = self.requests_min.unwrap_or(s.requests_min);
        if let Some(text) = &self.patience {
            s.patience = duration("patience", text)?;
        }
        s.false_rollback_max = self.false_rollback_max.unwrap_or(s.false_rollback_max);
        s.false_promotion_max = self.false_promotion_max.unwrap_or(s.false_promotion_max);
        Ok(s)
    }
}

/// `POST …` {"action": "start" | "extend" | "abort"}, with settings that override the configured ones.
pub(super) async fn order(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (control, entry) = split(&state, &name)?;
    let order: Order = body(&headers, &bytes)?;
    let done = match order.action {
        Action::Start => control.start(&name, order.settings(entry.rollout.clone())?, &order.by),
        Action::Extend | Action::Abort if order.has_settings() => {
            return Err(wrong("the body: settings go with the action \"start\" alone"));
        }
        Action::Extend => control.extend(&name, &order.by),
        Action::Abort => control.abort(&name, &order.by),
    };
    done.map_err(|e| not_rolled(&e))?;
    Ok(ok(&RolloutView::of(&**control, &entry)))
}
