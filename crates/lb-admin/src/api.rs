//! The paths and who answers them.

use crate::autoscale;
use crate::geo;
use crate::guard;
use crate::metrics;
use crate::problem::{Problem, ok};
use crate::sessions;
use crate::splits;
use crate::state::AdminState;
use crate::steer;
use crate::views::{Health, Metrics, PoolHealth, PoolSummary, PoolView, Pools, Version};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use std::sync::Arc;

type Shared = State<Arc<AdminState>>;

pub(crate) fn router(state: AdminState) -> Router {
    let backend = Router::new()
        .route("/breaker", put(steer::breaker))
        .route("/drain", post(steer::drain).delete(steer::undrain));
    #[cfg(feature = "health")]
    let backend = backend.route("/check", post(steer::check));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/api/v1/pools", get(pools))
        .route("/api/v1/pools/{pool}", get(pool))
        .nest("/api/v1/pools/{pool}/backends/{id}", backend)
        .route("/api/v1/pools/{pool}/sessions", get(sessions::list))
        .route("/api/v1/pools/{pool}/sessions/{id}", delete(sessions::clear))
        .merge(splits::routes())
        .route("/api/v1/autoscale", get(autoscale::list))
        .route("/api/v1/autoscale/{pool}", get(autoscale::one).post(autoscale::set))
        .route("/api/v1/geo/{ip}", get(geo::locate))
        .route("/api/v1/explain", post(steer::explain))
        .route("/api/v1/health", get(health))
        .route("/api/v1/metrics", get(figures))
        .route("/api/v1/version", get(async || ok(&Version::THIS)))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(steer::BODY_BYTES_MAX))
        .layer(from_fn(guarded))
        .with_state(Arc::new(state))
}

/// Refuses other hosts' requests and other origins' orders, and marks every answer as one of this moment.
async fn guarded(request: Request, next: Next) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    let refused = if !guard::is_for_us(uri, headers) {
        Some("the Host header must name localhost or a loopback address")
    } else if !request.method().is_safe() && !guard::is_same_origin(headers) {
        Some("a page of another origin may not ask for this")
    } else {
        None
    };
    let mut response = match refused {
        None => next.run(request).await,
        Some(detail) => Problem::new(StatusCode::FORBIDDEN, detail).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} cannot be asked with {method}", uri.path()))
}

async fn readyz(State(state): Shared) -> Response {
    let reasons = state.not_ready();
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not ready").reasons(reasons).into_response()
}

async fn scrape(State(state): Shared) -> Response {
    let text = metrics::render(&state);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn pools(State(state): Shared) -> Response {
    ok(&Pools {
        entry: state.only_entry().cloned(),
        entries: state.entries.clone(),
        pools: state.pools.iter().map(|(name, lb)| PoolSummary::of(name, lb)).collect(),
    })
}

async fn pool(State(state): Shared, Path(name): Path<String>) -> Response {
    match state.pools.get(&name) {
        Some(lb) => ok(&PoolView::of(&name, lb)),
        None => Problem::new(StatusCode::NOT_FOUND, format!("there is no pool \"{name}\"")).into_response(),
    }
}

async fn health(State(state): Shared) -> Response {
    ok(&Health { pools: state.pools.iter().map(|(name, lb)| (name.clone(), PoolHealth::of(lb))).collect() })
}

async fn figures(State(state): Shared) -> Response {
    ok(&Metrics { pools: state.pools.iter().map(|(name, lb)| (name.clone(), lb.metrics())).collect() })
}
