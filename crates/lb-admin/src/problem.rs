//! Errors as problem documents (RFC 9457).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

/// A problem document; its type is `about:blank`, so the title is the status's own.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            reasons: vec![],
        }
    }

    pub(crate) fn reasons(mut self, reasons: Vec<String>) -> Self {
        self.reasons = reasons;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json("application/problem+json", status, &self)
    }
}

/// 200 with a value.
pub(crate) fn ok(value: &impl Serialize) -> Response {
    json("application/json", StatusCode::OK, value)
}

/// A value as indented JSON: people read it, too.
pub(crate) fn json(content_type: &'static str, status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(header::CONTENT_TYPE, content_type)], Body::from(body)).into_response()
        }
        // Our own types have text keys and nothing else that JSON cannot say.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
