//! The response in place of 503 when breakers are open: prepared once, so that answering it costs little when much fails.

use crate::headers;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Response, StatusCode};
use lb_types::FixedResponse;

#[derive(Debug)]
pub(crate) struct Fallback {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Fallback {
    /// What [`FixedResponse::validate`] would refuse is left out (a status that is none becomes 503); so are headers that frame the
    /// message or are of the connection: those the proxy sets.
    pub(crate) fn new(response: &FixedResponse) -> Self {
        let status = StatusCode::from_u16(response.status).ok().filter(|s| !s.is_informational());
        let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut headers = HeaderMap::new();
        for (name, value) in &response.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        headers::to_client(&mut headers);
        headers.remove(header::CONTENT_LENGTH);
        // RFC 9110 §6.4.1, §15.3.6: these have no content.
        let bare =
            [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        let body = if bare { Bytes::new() } else { Bytes::from(response.body.clone()) };
        if !bare {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if !body.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            headers.entry(header::CONTENT_TYPE).or_insert(text);
        }
        Self { status, headers, body }
    }

    /// The response's head and body, to a HEAD request without the latter.
    pub(crate) fn response(&self, is_head: bool) -> (Parts, Bytes) {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers = self.headers.clone();
        (parts, if is_head { Bytes::new() } else { self.body.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(response: &FixedResponse, is_head: bool) -> (u16, Vec<String>, Bytes) {
        let (parts, body) = Fallback::new(response).response(is_head);
        let mut headers: Vec<_> =
            parts.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        headers.sort();
        (parts.status.as_u16(), headers, body)
    }

    #[test]
    fn the_default_is_the_contracts() {
        let headers = ["content-length: 31", "content-type: text/plain; charset=utf-8", "retry-after: 60"];
        let headers: Vec<_> = headers.map(str::to_owned).into();
        let d = lb_breaker::fallback_response();
        assert_eq!(shown(&d, false), (503, headers.clone(), "Service temporarily unavailable".into()));
        assert_eq!(shown(&d, true), (503, headers, Bytes::new()));
    }

    #[test]
    fn headers_are_the_users_but_for_those_that_frame_the_message() {
        let r = FixedResponse::new(200, "{}")
            .header("Content-Type", "application/json")
            .header("Content-Length", "9")
            .header("Transfer-Encoding", "chunked")
            .header("Connection", "close, X-A")
            .header("X-A", "1")
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=2");
        let headers =
            ["content-length: 2", "content-type: application/json", "set-cookie: a=1", "set-cookie: b=2"];
        assert_eq!(shown(&r, false), (200, headers.map(str::to_owned).into(), "{}".into()));
    }

    #[test]
    fn what_has_no_content_has_none_and_what_cannot_be_sent_is_left_out() {
        assert_eq!(shown(&FixedResponse::new(204, "x"), false), (204, vec![], Bytes::new()));
        let bad = FixedResponse::new(100, "").header("X A", "1").header("X-B", "1\r\nX-C: 2");
        assert_eq!(shown(&bad, false), (503, vec!["content-length: 0".to_owned()], Bytes::new()));
    }
}
