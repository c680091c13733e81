//! The sessions of a pool: looked at, counted, and cleared.

use crate::problem::{Problem, json, ok};
use crate::state::AdminState;
use crate::steer::{pool, query_of};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use lb_balancer::session::{SessionId, SessionStats, SessionView, SharingStats};
use lb_balancer::{LoadBalancer, SessionError, SessionManager};
use lb_types::BackendId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many sessions are listed if the request does not say.
const LIMIT: usize = 100;
/// The most that are listed: some 150 bytes each.
const LIMIT_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    limit: Option<usize>,
    backend: Option<String>,
}

#[derive(Serialize)]
struct Sessions<'a> {
    pool: &'a str,
    stats: SessionStats,
    /// What is counted of the store behind them; `null`: there is none.
    store: Option<SharingStats>,
    sessions: Vec<SessionView>,
}

fn manager<'a>(lb: &'a LoadBalancer, pool: &str) -> Result<&'a Arc<SessionManager>, Problem> {
    let none = || {
        let detail = format!("pool \"{pool}\" has no sessions: its configuration has no session_affinity");
        Problem::new(StatusCode::CONFLICT, detail)
    };
    lb.session_manager().ok_or_else(none)
}

/// `GET /api/v1/pools/{pool}/sessions?limit=100&backend=a`.
pub(crate) async fn list(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let lb = pool(&state, &name)?;
    let manager = manager(lb, &name)?;
    let ListQuery { limit, backend } = query_of(query)?;
    let limit = limit.unwrap_or(LIMIT);
    if limit > LIMIT_MAX {
        let detail = format!("limit = {limit}: must be at most {LIMIT_MAX}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let at = lb.moment();
    let sessions = match backend {
        None => manager.sessions(limit, at),
        Some(id) => manager.sessions_of(&BackendId::from(id), limit, at),
    };
    let store = lb.shared_sessions().map(lb_balancer::session::SharedSessions::stats);
    Ok(ok(&Sessions { pool: &name, stats: manager.session_stats(), store, sessions }))
}

#[derive(Serialize)]
struct Cleared {
    id: SessionId,
    /// Whether it was known here or to the store.
    known: bool,
    /// Why other nodes do not know of it yet.
    pending: Option<String>,
}

/// `DELETE …/sessions/{id}`: 202 when the store could not be told yet.
pub(crate) async fn clear(
    State(state): State<Arc<AdminState>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let lb = pool(&state, &name)?;
    manager(lb, &name)?;
    let id: SessionId = id
        .parse()
        .map_err(|e| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the session \"{id}\": {e}")))?;
    let (status, cleared) = match lb.clear_session(id).await {
        Ok(known) => (StatusCode::OK, Cleared { id, known, pending: None }),
        Err(SessionError::Store(e)) => {
            (StatusCode::ACCEPTED, Cleared { id, known: true, pending: Some(e.to_string()) })
        }
        Err(e) => return Err(Problem::new(StatusCode::CONFLICT, e.to_string())),
    };
    Ok(json("application/json", status, &cleared))
}
