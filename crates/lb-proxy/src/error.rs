//! What can go wrong with a request, whose fault it is, and what the client is told.

use http::{HeaderValue, StatusCode, header};
use lb_core::SelectError;
use lb_types::Exclusion;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// A backend's.
    Upstream,
    /// Nobody's in particular: no route fits, or no backend is usable.
    Balancer,
}

/// Why a request got no response from a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The request is malformed.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The method is not proxied.
    #[error("method not allowed: CONNECT")]
    Method,
    /// The client did not send its body in time.
    #[error("request time-out")]
    ClientTimeout,
    /// The client's body is longer than the listener takes.
    #[error("content too large")]
    BodyTooLarge,
    /// The client's body broke off or was malformed.
    #[error("bad request: the body broke off")]
    ClientBody,
    /// The path is none that routes can judge.
    #[error("bad request: {0}")]
    Path(lb_route::PathError),
    /// No route takes the request.
    #[error("Service not found")]
    NoRoute,
    /// The route does not let this address in.
    #[error("Forbidden")]
    Forbidden,
    /// The route wants a name and a password, and there was no right one.
    #[error("Unauthorized")]
    Unauthorized,
    /// Whether the request may come in cannot be found out now.
    #[error("authentication is not available")]
    AuthUnavailable,
    /// The client makes more requests than it may.
    #[error("Rate limit exceeded")]
    RateLimited,
    /// The machine or the pool is overloaded.
    #[error("service overloaded")]
    Overloaded,
    /// No backend could be picked.
    #[error("no backend is available")]
    NoBackend(SelectError),
    /// No connection could be made.
    #[error("bad gateway: no connection to the backend")]
    Connect,
    /// Making a connection took too long.
    #[error("gateway time-out: no connection to the backend")]
    ConnectTimeout,
    /// The backend closed the connection before it had answered.
    #[error("bad gateway: the backend closed the connection")]
    Reset,
    /// The backend answered with something that is not HTTP, or that is not allowed.
    #[error("bad gateway: the backend's response is malformed")]
    BadResponse,
    /// The backend did not answer in time.
    #[error("gateway time-out")]
    Timeout,
}

impl ProxyError {
    /// Whose fault it is.
    pub fn side(self) -> Side {
        match self {
            Self::BadRequest(_)
            | Self::Method
            | Self::ClientTimeout
            | Self::BodyTooLarge
            | Self::Path(_)
            | Self::ClientBody => Side::Client,
            Self::NoRoute
            | Self::Forbidden
            | Self::Unauthorized
            | Self::AuthUnavailable
            | Self::NoBackend(_)
            | Self::RateLimited
            | Self::Overloaded => Side::Balancer,
            Self::Connect | Self::ConnectTimeout | Self::Reset | Self::BadResponse | Self::Timeout => {
                Side::Upstream
            }
        }
    }

    /// Is no backend usable, at least one of them because its breaker is open?
    pub fn is_breaker_open(self) -> bool {
        matches!(self, Self::NoBackend(SelectError::NoneUsable(c)) if c.of(Exclusion::BreakerOpen) > 0)
    }

    /// What the client is told.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::Path(_) | Self::ClientBody => StatusCode::BAD_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NoBackend(_) | Self::Overloaded | Self::AuthUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Connect | Self::Reset | Self::BadResponse => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// May its client still be sending, so that closing at once could take the answer from it?
    pub(crate) fn is_amid_body(self) -> bool {
        matches!(self, Self::ClientTimeout | Self::BodyTooLarge)
    }

    /// What operators are told: the inside, too.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::NoBackend(why) => format!("{self}: {why}"),
            _ => self.to_string(),
        }
    }

    /// The response's head and body: a line of text, or JSON for clients that ask for it. Nothing of the inside is told but the kind.
    pub(crate) fn response(self, json: bool) -> (http::response::Parts, bytes::Bytes) {
        let (kind, body) = if json {
            ("application/json", format!("{{\"status\":{},\"error\":\"{self}\"}}\n", self.status().as_u16()))
        } else {
            ("text/plain; charset=utf-8", format!("{self}\n"))
        };
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.status();
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if self.side() == Side::Client {
            // What follows on this connection cannot be told apart from the rest of a broken request.
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        (parts, body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::ExclusionCounts;

    #[test]
    fn operators_are_told_more_than_clients() {
        let mut counts = ExclusionCounts::default();
        counts.add(Exclusion::BreakerOpen);
        let error = ProxyError::NoBackend(SelectError::NoneUsable(counts));
        let (reason, told) = (error.reason(), error.response(false).1);
        assert!(reason.starts_with("no backend is available: ") && reason.contains("breaker"), "{reason}");
        assert_eq!(told, "no backend is available\n");
        assert!(HeaderValue::from_str(&reason).is_ok());
        assert_eq!(ProxyError::Connect.reason(), "bad gateway: no connection to the backend");
    }

    #[test]
    fn who_is_turned_away_keeps_the_connection() {
        for (error, status) in [
            (ProxyError::Forbidden, 403),
            (ProxyError::Unauthorized, 401),
            (ProxyError::AuthUnavailable, 503),
        ] {
            let (parts, _) = error.response(false);
            assert_eq!((parts.status.as_u16(), parts.headers.get(header::CONNECTION)), (status, None));
        }
    }
}
