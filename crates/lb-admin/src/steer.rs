//! What changes a pool: a breaker forced, a check made now, a backend drained. And `explain`, which takes a body as these do.
//!
//! Each of these is refused to pages of another origin (`guard.rs`).

use crate::problem::{Problem, ok};
use crate::state::AdminState;
use crate::views::BackendView;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use lb_balancer::geography::{Answer, Location};
use lb_balancer::session::SessionId;
use lb_balancer::{LoadBalancer, SelectOptions};
use lb_types::{BackendId, HeaderSource, RequestInfo};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

type Shared = State<Arc<AdminState>>;

/// The most that a body may have.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 10;
/// How long a drain waits if the request does not say.
const GRACE: Duration = Duration::from_secs(30);
/// A connection lasts 60 s: an answer that took longer would be cut off.
const GRACE_MAX: Duration = Duration::from_secs(50);

pub(crate) fn pool<'a>(state: &'a AdminState, name: &str) -> Result<&'a LoadBalancer, Problem> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("there is no pool \"{name}\""));
    state.pools.get(name).ok_or_else(missing)
}

fn backend<'a>(
    state: &'a AdminState,
    name: &str,
    id: &str,
) -> Result<(&'a LoadBalancer, BackendId), Problem> {
    let lb = pool(state, name)?;
    let id = BackendId::from(id);
    match lb.get_backend(&id) {
        Some(_) => Ok((lb, id)),
        None => Err(no_backend(name, &id)),
    }
}

fn no_backend(pool: &str, id: &BackendId) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("pool \"{pool}\" has no backend \"{id}\""))
}

/// A backend as the pool's page shows it.
fn shown(lb: &LoadBalancer, pool: &str, id: &BackendId) -> Result<Response, Problem> {
    BackendView::one(lb, id).map(|view| ok(&view)).ok_or_else(|| no_backend(pool, id))
}

/// A body of JSON, each of whose keys is known.
pub(crate) fn body<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let detail = "the body must be JSON, and Content-Type say so: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    serde_json::from_slice(body)
        .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body: {e}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerOrder {
    state: BreakerState,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BreakerState {
    Open,
    Closed,
    Auto,
}

/// `PUT …/breaker` {"state": "open" | "closed" | "auto"}.
pub(crate) async fn breaker(
    State(state): Shared,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let (lb, id) = backend(&state, &name, &id)?;
    let order: BreakerOrder = body(&headers, &bytes)?;
    let Some(breaker) = lb.circuit_breaker_for(&id) else {
        let detail =
            format!("pool \"{name}\" has no circuit breakers: its configuration has no circuit_breaker");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    match order.state {
        BreakerState::Open => breaker.open(),
        BreakerState::Closed => breaker.close(),
        BreakerState::Auto => breaker.reset(),
    }
    shown(lb, &name, &id)
}

/// `POST …/check`: the health check, now. It ends when the check does, within the check's own time-out.
#[cfg(feature = "health")]
pub(crate) async fn check(
    State(state): Shared,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (lb, id) = backend(&state, &name, &id)?;
    let status = lb.check_backend(&id).await;
    status.map(|s| ok(&s)).map_err(|e| Problem::new(StatusCode::CONFLICT, e.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainQuery {
    grace: Option<String>,
}

/// `POST …/drain?grace=30s`: no new requests; answers when those in flight have ended, or the grace has.
pub(crate) async fn drain(
    State(state): Shared,
    Path((name, id)): Path<(String, String)>,
    query: Result<Query<DrainQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let (lb, id) = backend(&state, &name, &id)?;
    let wrong = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let DrainQuery { grace } = query_of(query)?;
    let grace = match grace.as_deref() {
        None => GRACE,
        Some(text) => duration(text).filter(|g| *g <= GRACE_MAX).ok_or_else(|| {
            wrong(format!("grace = \"{text}\": must be a duration such as 30s or 500ms, at most 50s"))
        })?,
    };
    match lb.drain(&id, grace).await {
        Ok(report) => Ok(ok(&report)),
        // It went this moment.
        Err(_) => Err(no_backend(&name, &id)),
    }
}

/// `DELETE …/drain`: it gets requests again.
pub(crate) async fn undrain(
    State(state): Shared,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (lb, id) = backend(&state, &name, &id)?;
    lb.undrain(&id).map_err(|_| no_backend(&name, &id))?;
    shown(lb, &name, &id)
}

/// A query each of whose keys is known.
pub(crate) fn query_of<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    let wrong = |e: QueryRejection| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, e.body_text());
    query.map(|Query(q)| q).map_err(wrong)
}

/// Digits and `ms`, `s` or `m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// A request that is not made, and what is asked of it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    /// May be left out where there is one pool, or one that requests come to.
    pool: Option<String>,
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    client_ip: Option<IpAddr>,
    headers: BTreeMap<String, String>,
    exclude: Vec<String>,
    key: Option<String>,
    /// Where the client is, instead of what its address says.
    location: Option<Place>,
    /// The id of its session, instead of what it is recognised by.
    session: Option<String>,
}

/// Where a client is said to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
}

impl Place {
    fn answer(&self) -> Result<Answer, Problem> {
        let Self { country, region, city } = self;
        let parsed = Location::parse(country.as_deref(), region.as_deref(), city.as_deref());
        let wrong = |e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body: location: {e}"));
        parsed.map(Answer::from).map_err(wrong)
    }
}

impl Default for Question {
    fn default() -> Self {
        Self {
            pool: None,
            method: "GET".into(),
            host: String::new(),
            path: "/".into(),
            query: None,
            client_ip: None,
            headers: BTreeMap::new(),
            exclude: vec![],
            key: None,
            location: None,
            session: None,
        }
    }
}

struct Headers(BTreeMap<String, String>);

impl HeaderSource for Headers {
    fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_bytes())
    }
}

/// The answer: the explanation, and the same in words.
#[derive(serde::Serialize)]
struct Explained {
    pool: String,
    #[serde(flatten)]
    explanation: lb_core::Explanation,
    text: String,
}

/// `POST /api/v1/explain`: where a request would go now, and why. Nothing is sent and nothing counted.
pub(crate) async fn explain(
    State(state): Shared,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let q: Question = body(&headers, &bytes)?;
    let name = match (&q.pool, state.only_entry(), state.pools.keys().next()) {
        (Some(name), ..) => name.clone(),
        (None, Some(entry), _) => entry.clone(),
        (None, None, Some(only)) if state.pools.len() == 1 => only.clone(),
        _ => {
            let names = state.pools.keys().cloned().collect::<Vec<_>>().join(", ");
            let detail = format!("the body: `pool` is missing; it must be one of {names}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
    };
    let lb = pool(&state, &name)?;
    let fields = Headers(q.headers);
    let request = RequestInfo {
        client_ip: q.client_ip,
        method: &q.method,
        host: &q.host,
        path: &q.path,
        query: q.query.as_deref(),
        headers: &fields,
    };
    let mut options = SelectOptions::default();
    options.exclude = q.exclude.iter().map(|id| BackendId::from(id.as_str())).collect();
    options.key = q.key.map(|k| k.into_bytes().into());
    options.location = q.location.as_ref().map(Place::answer).transpose()?;
    let session = q.session.map(|id| {
        id.parse::<SessionId>().map_err(|e| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body: session = \"{id}\": {e}"))
        })
    });
    options.session = session.transpose()?;
    let explanation = lb.explain(&request, &options);
    let text = explanation.to_string();
    Ok(ok(&Explained { pool: name, explanation, text }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "30", "s", "-1s", "1.5s", "1h", "99999999999999999999s", "999999999999999999m"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
