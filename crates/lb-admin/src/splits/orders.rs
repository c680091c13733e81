//! `/api/v1/splits`: shown, and changed by hand. Each change answers with the split as it is then, and the event that it made.

use super::views::{EventView, SplitView, Splits};
use super::{SplitControl, SplitEntry, api, by, duration, refused, split, wrong};
use crate::problem::{Problem, ok};
use crate::state::AdminState;
use crate::steer::body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use lb_split::{ChangeError, Event, Nanos, Percent, Split};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

type Shared = State<Arc<AdminState>>;

pub(super) async fn list(State(state): Shared) -> Response {
    let Some(control) = &state.splits else { return ok(&Splits { splits: vec![] }) };
    ok(&Splits { splits: control.splits().iter().map(|entry| SplitView::of(&**control, entry)).collect() })
}

pub(super) async fn one(State(state): Shared, Path(name): Path<String>) -> Result<Response, Problem> {
    let (control, entry) = split(&state, &name)?;
    let events = entry.split.events();
    let mut view = SplitView::of(&**control, &entry);
    view.events = Some(events.iter().map(|e| EventView::of(&**control, &entry.split, e)).collect());
    Ok(ok(&view))
}

/// Carries a change out.
fn change(
    control: &Arc<dyn SplitControl>,
    entry: &SplitEntry,
    make: impl FnOnce(Nanos) -> Result<Event, ChangeError>,
) -> Result<Response, Problem> {
    let event = make(control.now()).map_err(|e| refused(&e))?;
    control.changed(entry.split.name());
    let mut view = SplitView::of(&**control, entry);
    view.event = Some(EventView::of(&**control, &entry.split, &event));
    Ok(ok(&view))
}

/// A body, or none, which is an empty one.
pub(super) fn order<T: DeserializeOwned>(headers: &HeaderMap, bytes: &Bytes) -> Result<T, Problem> {
    if bytes.is_empty() {
        return serde_json::from_str("{}").map_err(|e| wrong(format!("the body: {e}")));
    }
    body(headers, bytes)
}

pub(super) fn percent(number: f64) -> Result<Percent, Problem> {
    Percent::try_from(number).map_err(|e| wrong(format!("the body: {e}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    pool: String,
    percent: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    targets: Vec<Target>,
    over: Option<String>,
    #[serde(default = "api", deserialize_with = "by")]
    by: String,
}

/// `PUT …` {"targets": […]}: at once, or with "over" gradually. A target that is left out gets nothing.
pub(super) async fn set(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (control, entry) = split(&state, &name)?;
    let Set { targets, over, by } = body(&headers, &bytes)?;
    let names = entry.split.targets();
    let mut to = vec![None; names.len()];
    for Target { pool, percent: number } in targets {
        let Some(at) = names.iter().position(|known| *known == pool) else {
            return Err(refused(&ChangeError::UnknownTarget { split: name, target: pool }));
        };
        if to[at].replace(percent(number)?).is_some() {
            return Err(wrong(format!("the body: target \"{pool}\" is there twice")));
        }
    }
    let to: Vec<_> = to.into_iter().map(Option::unwrap_or_default).collect();
    let over = over.map(|text| duration("over", &text)).transpose()?;
    change(control, &entry, |now| match over {
        None => entry.split.set(&to, &by, now),
        Some(over) => entry.split.shift(&to, over, &by, now),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    target: String,
    #[serde(default = "api", deserialize_with = "by")]
    by: String,
}

/// `POST …/switch` {"target": …}: everything there, at once.
pub(super) async fn switch(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (control, entry) = split(&state, &name)?;
    let Switch { target, by } = body(&headers, &bytes)?;
    change(control, &entry, |now| entry.split.switch_to(&target, &by, now))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Canary {
    percent: f64,
    #[serde(default = "api", deserialize_with = "by")]
    by: String,
}

/// `POST …/canary` {"percent": …}: this much to the last target, at once.
pub(super) async fn canary(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (control, entry) = split(&state, &name)?;
    let Canary { percent: number, by } = body(&headers, &bytes)?;
    let percent = percent(number)?;
    change(control, &entry, |now| entry.split.canary(percent, &by, now))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default = "api", deserialize_with = "by")]
    by: String,
}

/// Carries out what is said of a shift under way: that takes nothing but a name.
fn of_shift(
    state: &AdminState,
    name: &str,
    (headers, bytes): (&HeaderMap, &Bytes),
    make: impl FnOnce(&Split, &str, Nanos) -> Result<Event, ChangeError>,
) -> Result<Response, Problem> {
    let (control, entry) = split(state, name)?;
    let Order { by } = order(headers, bytes)?;
    change(control, &entry, |now| make(&entry.split, &by, now))
}

/// `POST …/pause`: the shift stands still.
pub(super) async fn pause(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    of_shift(&state, &name, (&headers, &bytes), Split::pause)
}

/// `POST …/resume`: it goes on.
pub(super) async fn resume(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    of_shift(&state, &name, (&headers, &bytes), Split::resume)
}

/// `POST …/abort`: back to where it began.
pub(super) async fn abort(
    State(state): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    of_shift(&state, &name, (&headers, &bytes), Split::abort)
}
