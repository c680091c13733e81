//! A request's right to its backend, from the pick until the response's head; then it goes into the body.

use super::body::{BalancedBody, Riding};
use super::chosen::ChosenBackend;
use super::layer::Shared;
use http::header::{CONTENT_LENGTH, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use lb_balancer::Selection;
use lb_core::Lease;
use lb_types::{FailureKind, Nanos, Outcome};
use std::sync::Arc;

/// A lease, and the clock by which it ends.
pub(crate) struct Held {
    lease: Lease,
    shared: Arc<Shared>,
    leaf: usize,
}

impl Held {
    fn elapsed(&self) -> Nanos {
        self.shared.balancer.leaves()[self.leaf].pool().now() - self.lease.started()
    }

    /// The backend broke off.
    pub(crate) fn failed(self, kind: FailureKind) {
        let after = self.elapsed();
        self.lease.complete(Outcome::Failure { kind, after });
    }

    /// All of the response was there.
    pub(crate) fn complete(self, verdict: Outcome) {
        self.lease.complete(verdict);
    }
}

/// See the module's documentation.
pub(crate) struct Ticket {
    held: Held,
    chosen: ChosenBackend,
    /// The session's, where one is due.
    cookie: Option<HeaderValue>,
    is_head: bool,
}

impl Ticket {
    pub(crate) fn new(shared: &Arc<Shared>, selection: &Selection, lease: Lease, is_head: bool) -> Self {
        let cookie = shared.balancer.set_cookie(selection, shared.by_tls);
        let cookie = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok());
        let chosen = ChosenBackend::new(Arc::clone(&lease.backend().spec()));
        let held = Held { lease, shared: shared.clone(), leaf: selection.leaf() };
        Self { held, chosen, cookie, is_head }
    }

    /// Tells the inner service.
    pub(crate) fn mark(&self, parts: &mut Parts) {
        parts.extensions.insert(self.chosen.clone());
    }

    /// The inner service gave no response.
    pub(crate) fn failed(self) {
        self.held.failed(FailureKind::Reset);
    }

    /// Tells the client, and keeps the lease in the body.
    pub(crate) fn answer<R: http_body::Body>(self, response: Response<R>) -> Response<BalancedBody<R>> {
        let (mut parts, body) = response.into_parts();
        self.held.shared.tell(&self.chosen, &mut parts.headers);
        if let Some(cookie) = self.cookie {
            parts.headers.append(SET_COOKIE, cookie);
        }
        let elapsed = self.held.elapsed();
        // The inner service knows best what was wrong with the backend; else the status says it.
        let kind = parts.extensions.get::<FailureKind>().copied();
        let by_status = || parts.status.is_server_error().then(|| FailureKind::Status(parts.status.as_u16()));
        let verdict = match kind.or_else(by_status) {
            Some(kind) => Outcome::Failure { kind, after: elapsed },
            None => Outcome::Success { ttfb: elapsed },
        };
        let bare = self.is_head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
        // Servers that have written as much as was announced do not ask for the end.
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        let left = body.size_hint().exact().or(announced);
        Response::from_parts(parts, BalancedBody::held(body, Riding::new(self.held, verdict, bare, left)))
    }
}

pub(crate) fn is_head(method: &Method) -> bool {
    method == Method::HEAD
}
