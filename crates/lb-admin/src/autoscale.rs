//! How pools are scaled: `GET /api/v1/autoscale`, and one pool's by its name; a `POST` switches its dry run.

use crate::problem::{Problem, ok};
use crate::splits::{api, by};
use crate::state::AdminState;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use lb_autoscale::{Action, AutoScale, Decision, Driven, Metrics, Mode, Stage};
use lb_balancer::LoadBalancer;
use lb_balancer::autoscale::{KeptEvent, ScaleStatus};
use lb_types::BackendId;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

type Shared = State<Arc<AdminState>>;

#[derive(Serialize)]
struct Pools {
    pools: BTreeMap<String, PoolView>,
}

#[derive(Serialize)]
struct PoolView {
    driver: &'static str,
    dry_run: bool,
    desired: u32,
    current: u32,
    starting: u32,
    draining: Vec<BackendId>,
    settings: SettingsView,
    decision: Option<DecisionView>,
    instances: Option<Vec<InstanceView>>,
    decisions_up: u64,
    decisions_down: u64,
    driver_errors: u64,
    events: Vec<KeptEvent>,
}

/// Durations in seconds.
#[derive(Serialize)]
struct SettingsView {
    min_instances: u32,
    max_instances: u32,
    metric: String,
    scale_up_threshold: Option<f64>,
    scale_down_threshold: Option<f64>,
    target: Option<f64>,
    metrics_window: f64,
    cooldown_period: f64,
}

#[derive(Serialize)]
struct DecisionView {
    action: &'static str,
    desired: u32,
    /// In words, with its reasons.
    text: String,
    observed: Option<f64>,
    mean: Option<f64>,
    known_percent: f64,
    metrics: Metrics,
}

#[derive(Serialize)]
struct InstanceView {
    id: BackendId,
    stage: Stage,
    address: String,
    pid: Option<u32>,
    restarts: u32,
}

impl SettingsView {
    fn of(s: &AutoScale) -> Self {
        let target = match s.mode {
            Mode::Target(target) => Some(target.value),
            _ => None,
        };
        let unless_target = |value| target.is_none().then_some(value);
        Self {
            min_instances: s.min_instances,
            max_instances: s.max_instances,
            metric: s.metric.to_string(),
            scale_up_threshold: unless_target(s.scale_up_threshold),
            scale_down_threshold: unless_target(s.scale_down_threshold),
            target,
            metrics_window: s.metrics_window.as_secs_f64(),
            cooldown_period: s.cooldown_period.as_secs_f64(),
        }
    }
}

impl From<Decision> for DecisionView {
    fn from(d: Decision) -> Self {
        let action = match d.action {
            Action::Up(_) => "up",
            Action::Down(_) => "down",
            Action::Hold => "hold",
        };
        Self {
            action,
            desired: d.desired,
            text: d.to_string(),
            observed: d.inputs.observed,
            mean: d.inputs.mean,
            known_percent: d.inputs.known_percent,
            metrics: d.inputs.metrics,
        }
    }
}

impl From<Driven> for InstanceView {
    fn from(d: Driven) -> Self {
        Self { id: d.id, stage: d.stage, address: d.address.to_string(), pid: d.pid, restarts: d.restarts }
    }
}

impl From<ScaleStatus> for PoolView {
    fn from(s: ScaleStatus) -> Self {
        Self {
            driver: s.driver,
            dry_run: s.dry_run,
            desired: s.desired,
            current: s.current,
            starting: s.starting,
            draining: s.draining,
            settings: SettingsView::of(&s.settings),
            decision: s.decision.map(Into::into),
            instances: s.instances.map(|all| all.into_iter().map(Into::into).collect()),
            decisions_up: s.ups,
            decisions_down: s.downs,
            driver_errors: s.driver_errors,
            events: s.events,
        }
    }
}

/// Every pool that is scaled.
pub(crate) async fn list(State(state): Shared) -> Response {
    let each =
        state.pools.iter().filter_map(|(name, lb)| Some((name.clone(), lb.autoscale_status()?.into())));
    ok(&Pools { pools: each.collect() })
}

fn found<'s>(state: &'s AdminState, name: &str) -> Result<(&'s LoadBalancer, ScaleStatus), Box<Problem>> {
    let none = |detail: String| Box::new(Problem::new(StatusCode::NOT_FOUND, detail));
    let lb = state.pools.get(name).ok_or_else(|| none(format!("there is no pool \"{name}\"")))?;
    let status = lb.autoscale_status().ok_or_else(|| none(format!("pool \"{name}\" is not scaled")))?;
    Ok((lb, status))
}

/// One pool.
pub(crate) async fn one(State(state): Shared, Path(name): Path<String>) -> Response {
    match found(&state, &name) {
        Ok((_, status)) => ok(&PoolView::from(status)),
        Err(problem) => problem.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    dry_run: Option<bool>,
    desired: Option<u32>,
    #[serde(default, deserialize_with = "somebody")]
    by: Option<String>,
}

fn somebody<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    by(from).map(Some)
}

/// Acts no more, or again; so many instances.
pub(crate) async fn set(State(state): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail).into_response();
    let wish: Wish = match serde_json::from_slice(&body) {
        Ok(wish) => wish,
        Err(e) => {
            return bad(format!(
                "the body must be {{\"dry_run\": true}} or false, or {{\"desired\": 3}}: {e}"
            ));
        }
    };
    if wish.dry_run.is_none() && wish.desired.is_none() {
        return bad("the body must say `dry_run`, `desired` or both".to_owned());
    }
    if wish.by.is_some() && wish.desired.is_none() {
        return bad("`by` goes with `desired`".to_owned());
    }
    match found(&state, &name) {
        Ok((lb, _)) => {
            // First what may be refused: then nothing is done.
            if let Some(desired) = wish.desired
                && let Err(e) = lb.scale_to(desired, &wish.by.unwrap_or_else(api))
            {
                return bad(e.to_string());
            }
            if let Some(dry_run) = wish.dry_run {
                lb.set_scaling_dry_run(dry_run);
            }
            match lb.autoscale_status() {
                Some(status) => ok(&PoolView::from(status)),
                None => Problem::new(StatusCode::NOT_FOUND, "it is not scaled").into_response(),
            }
        }
        Err(problem) => problem.into_response(),
    }
}
