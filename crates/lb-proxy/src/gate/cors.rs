//! Cross-origin requests (the Fetch standard's CORS protocol): preflights are answered, and responses say which origins may read them.
//!
//! The origin is echoed, never a list; what the backend says of this itself is replaced. `Vary: Origin` stands in every response that would be
//! another for another origin. An origin that is not among those gets no `Access-Control-…` header, and its browser does the refusing.
//!
//! It lacks regular expressions for origins, and private-network requests.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, Response, StatusCode};
use lb_route::OriginPattern;
use lb_types::SettingsError;
use std::time::Duration;

/// What the backend says of it, which is replaced.
const OWN: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Which other origins' pages may ask, and for what. `Default` lets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsSettings {
    /// `https://app.example.com`, `https://*.example.com` (one label or more), or `*` for all.
    pub origins: Vec<String>,
    /// The methods that they may use.
    pub methods: Vec<String>,
    /// The request headers that they may set; none or `*`: any.
    pub headers: Vec<String>,
    /// The response headers that they may read, beside those that everybody may.
    pub expose_headers: Vec<String>,
    /// May cookies and credentials go along? Not with `*` among the origins.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight; default: it decides itself (5 s).
    pub max_age: Option<Duration>,
}

/// The same, prepared.
#[derive(Debug)]
pub struct Cors {
    any: bool,
    origins: Box<[OriginPattern]>,
    methods: HeaderValue,
    /// `None`: what was asked for.
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// Prepares the settings.
    ///
    /// # Errors
    /// No origin, one that is none, `*` with credentials; a method or a header that is no token.
    pub fn new(s: &CorsSettings) -> Result<Self, SettingsError> {
        let any = s.origins.iter().any(|origin| origin == "*");
        if s.origins.is_empty() {
            return Err(SettingsError::new("origins", &s.origins, "must have one at least"));
        }
        if any && s.credentials {
            let must = "must name its origins with credentials: every page could use its visitors' cookies";
            return Err(SettingsError::new("origins", "*", must));
        }
        let named = s.origins.iter().filter(|origin| *origin != "*").map(|text| OriginPattern::parse(text));
        let origins = named.collect::<Result<_, _>>()?;
        let list =
            |field: &'static str, names: &[String], what: &str| -> Result<HeaderValue, SettingsError> {
                for name in names {
                    let is_token = if field == "methods" {
                        Method::from_bytes(name.as_bytes()).is_ok()
                    } else {
                        HeaderName::try_from(name).is_ok()
                    };
                    if !is_token {
                        return Err(SettingsError::new(field, name, format!("must be {what}")));
                    }
                }
                let joined = names.join(", ");
                HeaderValue::from_str(&joined)
                    .map_err(|_| SettingsError::new(field, joined, "must be plain text"))
            };
        let all_headers = s.headers.is_empty() || s.headers.iter().any(|h| h == "*");
        Ok(Self {
            any,
            origins,
            methods: list("methods", &s.methods, "a method's name")?,
            headers: (!all_headers).then(|| list("headers", &s.headers, "a header's name")).transpose()?,
            expose: (!s.expose_headers.is_empty())
                .then(|| list("expose_headers", &s.expose_headers, "a header's name"))
                .transpose()?,
            credentials: s.credentials,
            max_age: s.max_age.map(|age| HeaderValue::from(age.as_secs())),
        })
    }

    /// What the response says to a page of this origin; `None`: nothing.
    pub(crate) fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        let origin = origin?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?;
        self.origins.iter().any(|known| known.is(text)).then(|| origin.clone())
    }

    /// Says it in a response; what the backend said goes.
    pub(crate) fn tell(&self, allowed: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in &OWN {
            headers.remove(name);
        }
        self.permit(allowed, headers);
        if let (Some(_), Some(expose)) = (allowed, &self.expose) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    fn permit(&self, allowed: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if !self.any {
            add_vary(headers, "Origin");
        }
        let Some(allowed) = allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The answer to a preflight.
    pub(crate) fn preflight(&self, asked: &HeaderMap) -> (Parts, Bytes) {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = StatusCode::NO_CONTENT;
        let allowed = self.allowed(asked.get(header::ORIGIN));
        let headers = &mut parts.headers;
        self.permit(allowed.as_ref(), headers);
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if self.headers.is_none() {
            add_vary(headers, "Access-Control-Request-Headers");
        }
        if allowed.is_some() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            if let Some(names) = self.headers.as_ref().or(wanted) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            if let Some(age) = &self.max_age {
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, age.clone());
            }
        }
        (parts, Bytes::new())
    }
}

/// Is this a question of a browser, whether it may ask? Gives the method that it is about.
pub(crate) fn preflight_method<'h>(method: &Method, headers: &'h HeaderMap) -> Option<&'h str> {
    if method != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok()
}

/// Adds a name to `Vary`, unless it is there.
fn add_vary(headers: &mut HeaderMap, name: &'static str) {
    let there = headers.get_all(header::VARY).iter().filter_map(|v| v.to_str().ok()).any(|line| {
        line.split(',').map(str::trim).any(|known| known == "*" || known.eq_ignore_ascii_case(name))
    });
    if !there {
        headers.append(header::VARY, HeaderValue::from_static(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(origins: &[&str]) -> CorsSettings {
        CorsSettings {
            origins: origins.iter().map(|&o| o.to_owned()).collect(),
            methods: vec!["GET".to_owned(), "PUT".to_owned()],
            ..CorsSettings::default()
        }
    }

    fn allowed(origins: &[&str], origin: &'static str) -> Option<HeaderValue> {
        Cors::new(&settings(origins)).unwrap().allowed(Some(&HeaderValue::from_static(origin)))
    }

    #[test]
    fn an_origin_is_echoed_or_not_mentioned() {
        let app = ["https://app.example.com", "https://*.example.org", "http://localhost:3000"];
        for good in ["https://app.example.com", "https://a.b.example.org", "http://localhost:3000"] {
            assert_eq!(allowed(&app, good).unwrap(), good);
        }
        for bad in [
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://example.org",
            "https://evilexample.org",
            "https://evil.example/.example.org",
            "https://.example.org.evil",
            "http://localhost",
            "null",
            "",
        ] {
            assert_eq!(allowed(&app, bad), None, "{bad}");
        }
        assert_eq!(allowed(&["*"], "https://any.example").unwrap(), "*");
    }

    #[test]
    fn the_backends_own_word_is_replaced() {
        let s = CorsSettings {
            credentials: true,
            expose_headers: vec!["X-A".to_owned()],
            ..settings(&["https://a.example"])
        };
        let cors = Cors::new(&s).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept, origin"));
        cors.tell(None, &mut headers);
        assert_eq!(headers.len(), 1, "only Vary is left: {headers:?}");
        let origin = HeaderValue::from_static("https://a.example");
        cors.tell(cors.allowed(Some(&origin)).as_ref(), &mut headers);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], origin);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[header::ACCESS_CONTROL_EXPOSE_HEADERS], "X-A");
        assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
    }

    #[test]
    fn a_preflight_is_answered() {
        let cors = Cors::new(&CorsSettings {
            max_age: Some(Duration::from_secs(600)),
            ..settings(&["https://a.example"])
        })
        .unwrap();
        let mut asked = HeaderMap::new();
        asked.insert(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert_eq!(preflight_method(&Method::OPTIONS, &asked), None, "no preflight, just OPTIONS");
        asked.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        asked.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-a,x-b"));
        assert_eq!(preflight_method(&Method::OPTIONS, &asked), Some("PUT"));
        assert_eq!(preflight_method(&Method::GET, &asked), None);
        let (parts, body) = cors.preflight(&asked);
        assert!(parts.status == 204 && body.is_empty());
        assert_eq!(parts.headers[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, PUT");
        assert_eq!(parts.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "x-a,x-b");
        assert_eq!(parts.headers[header::ACCESS_CONTROL_MAX_AGE], "600");
        asked.insert(header::ORIGIN, HeaderValue::from_static("https://b.example"));
        let (parts, _) = cors.preflight(&asked);
        let names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!((parts.status.as_u16(), names), (204, vec!["vary"]), "nothing is permitted");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let field = |s: &CorsSettings| Cors::new(s).unwrap_err().field;
        for bad in [
            "app.example.com",
            "https://",
            "https://a.example/",
            "https://A.example",
            "https://*",
            "null",
            "https://a.example:443",
        ] {
            assert_eq!(field(&settings(&[bad])), "origins", "{bad}");
        }
        assert_eq!(field(&settings(&[])), "origins");
        assert_eq!(field(&CorsSettings { credentials: true, ..settings(&["*"]) }), "origins");
        assert_eq!(field(&CorsSettings { methods: vec!["A B".to_owned()], ..settings(&["*"]) }), "methods");
        assert_eq!(field(&CorsSettings { headers: vec!["A:".to_owned()], ..settings(&["*"]) }), "headers");
    }
}
