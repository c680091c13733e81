//! Pages in place of the proxy's own errors, and of backends' if they are to be intercepted: prepared once.
//!
//! A page is found by its status, else by its class. A route's own go before those of the whole. What was said on purpose stays: the answers of `respond`
//! and `redirect`, of an auth server, of a breaker's fallback, of queue and shedder. It lacks variables in pages, and pages by `Accept`.

use crate::body::{ProxyBody, Source};
use crate::engine::RequestBody;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use lb_types::SettingsError;

/// What is about the body that a page takes the place of.
const OF_BODY: [HeaderName; 8] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::CONTENT_LOCATION,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::TRAILER,
];

/// A page.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    body: Bytes,
    content_type: HeaderValue,
    intercepts: bool,
}

impl ErrorPage {
    /// A page. `intercepts`: also in place of backends' responses with its status.
    ///
    /// # Errors
    /// A type that no header can hold.
    pub fn new(body: impl Into<Bytes>, content_type: &str, intercepts: bool) -> Result<Self, SettingsError> {
        let wrong = |_| SettingsError::new("content_type", content_type, "must be what a header can hold");
        Ok(Self {
            body: body.into(),
            content_type: HeaderValue::from_str(content_type).map_err(wrong)?,
            intercepts,
        })
    }
}

/// Pages by status.
#[derive(Clone, Debug, Default)]
pub struct ErrorPages {
    /// By status, sorted.
    exact: Vec<(u16, ErrorPage)>,
    client: Option<ErrorPage>,
    server: Option<ErrorPage>,
}

impl ErrorPages {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A page for a status (`404`) or a class (`4xx`, `5xx`).
    ///
    /// # Errors
    /// It is none from 400 to 599.
    pub fn page(mut self, status: &str, page: ErrorPage) -> Result<Self, SettingsError> {
        match status {
            "4xx" => self.client = Some(page),
            "5xx" => self.server = Some(page),
            _ => {
                let code = status.parse().ok().filter(|code| (400..=599).contains(code) && status.len() == 3);
                let must = "must be a status from 400 to 599, `4xx` or `5xx`";
                let code = code.ok_or_else(|| SettingsError::new("error_pages", status, must))?;
                self.exact.retain(|(known, _)| *known != code);
                self.exact.push((code, page));
                self.exact.sort_by_key(|(code, _)| *code);
            }
        }
        Ok(self)
    }

    fn find(&self, status: StatusCode) -> Option<&ErrorPage> {
        let code = status.as_u16();
        let exact =
            self.exact.binary_search_by_key(&code, |(code, _)| *code).ok().map(|at| &self.exact[at].1);
        exact.or(match code {
            400..=499 => self.client.as_ref(),
            500..=599 => self.server.as_ref(),
            _ => None,
        })
    }
}

/// Puts a page into a response, if there is one for it: the first of these that has one.
pub(crate) fn dress<B: RequestBody>(
    response: &mut Response<ProxyBody<B>>,
    pages: [Option<&ErrorPages>; 2],
    is_head: bool,
) {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return;
    }
    let Some(page) = pages.into_iter().flatten().find_map(|pages| pages.find(status)) else { return };
    match response.body().source() {
        Source::Error => {}
        Source::Backend if page.intercepts => {}
        _ => return,
    }
    let body = if is_head { Bytes::new() } else { page.body.clone() };
    std::mem::replace(response.body_mut(), ProxyBody::own(body)).discard();
    let headers = response.headers_mut();
    for name in &OF_BODY {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_TYPE, page.content_type.clone());
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(page.body.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_goes_before_its_class() {
        let page = |body: &'static str| ErrorPage::new(body, "text/html", false).unwrap();
        let pages = ErrorPages::new().page("404", page("none")).unwrap();
        let pages = pages.page("5xx", page("ours")).unwrap().page("503", page("busy")).unwrap();
        let body =
            |status: u16| pages.find(StatusCode::from_u16(status).unwrap()).map(|page| page.body.clone());
        assert_eq!(body(404).unwrap(), "none");
        assert_eq!(body(403), None);
        assert_eq!((body(502).unwrap(), body(503).unwrap()), (Bytes::from("ours"), Bytes::from("busy")));
        assert_eq!(body(200), None);
        for wrong in ["200", "600", "3xx", "40", "0404", "", "5XX"] {
            assert_eq!(ErrorPages::new().page(wrong, page("")).unwrap_err().field, "error_pages", "{wrong}");
        }
        assert!(ErrorPage::new("", "a\nb", false).is_err());
    }
}
