//! What stands before a route: who may come in, and what pages of other origins may do.
//!
//! In this order, each of which may be the end: [addresses](AccessList) (403), preflights ([`Cors`], 204), [passwords](BasicAuth) (401),
//! [another server's word](ForwardAuth). It is asked before anything else of the route, redirects and fixed answers included; a route without a gate has
//! a pointer that is not there.
//!
//! What the gate tells the backend of a client (`forward_user`, `response_headers`) no client can say itself: its own headers of these names are removed,
//! also where `_` stands for `-`, which some servers take for the same.

mod access;
mod basic_auth;
pub(crate) mod cors;
mod forward_auth;

pub use access::AccessList;
pub use basic_auth::{BasicAuth, BasicAuthSettings};
pub use cors::{Cors, CorsSettings};
pub use forward_auth::{ForwardAuth, ForwardAuthSettings};

use crate::error::ProxyError;
use crate::headers::{self, Seen};
use crate::proxy::Client;
use basic_auth::Denied;
use bytes::Bytes;
use forward_auth::{About, Asker};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, StatusCode, Version};
use lb_geo::ClientAddress;
use std::sync::Arc;

/// What stands before a route. `Default`: nothing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GateSettings {
    /// Whose addresses may come in.
    pub access: Option<AccessList>,
    /// Which other origins' pages may ask.
    pub cors: Option<Arc<Cors>>,
    /// Names and passwords.
    pub basic_auth: Option<Arc<BasicAuth>>,
    /// A server that is asked.
    pub forward_auth: Option<Arc<ForwardAuth>>,
}

/// The same for one worker.
pub(crate) struct Gate {
    access: Option<AccessList>,
    pub(crate) cors: Option<Arc<Cors>>,
    basic_auth: Option<Arc<BasicAuth>>,
    forward_auth: Option<Asker>,
    /// What only the gate may tell the backend.
    own: Box<[HeaderName]>,
}

/// What the gate has found out of a request.
#[derive(Default)]
pub(crate) struct Passage {
    /// Path and query as they were judged, for who is asked.
    target: Option<Box<str>>,
    /// What the response says of the origin.
    allowed: Option<HeaderValue>,
    /// It was a preflight, and its answer has all of that.
    is_preflight: bool,
    /// What the backend is told.
    granted: Vec<(HeaderName, HeaderValue)>,
}

/// Why a request does not get past the gate.
pub(crate) enum Refusal {
    Error(ProxyError),
    /// 401, with this in `WWW-Authenticate`.
    Challenge(HeaderValue),
    /// This is the answer: to a preflight, or another server's.
    Answer(Parts, Bytes),
}

/// What the gate has to know beside a request's headers.
pub(crate) struct Arrival<'r> {
    pub(crate) method: &'r Method,
    pub(crate) version: Version,
    pub(crate) seen: &'r Seen,
    pub(crate) client: &'r Client,
    pub(crate) whose: Option<ClientAddress>,
}

impl Gate {
    /// `None`: nothing stands there.
    pub(crate) fn new(s: &GateSettings) -> Option<Box<Self>> {
        if s.access.is_none() && s.cors.is_none() && s.basic_auth.is_none() && s.forward_auth.is_none() {
            return None;
        }
        let user = s.basic_auth.iter().filter_map(|auth| auth.forward_user.clone());
        let told = s.forward_auth.iter().flat_map(|auth| auth.response_headers.iter().cloned());
        Some(Box::new(Self {
            own: user.chain(told).collect(),
            access: s.access.clone(),
            cors: s.cors.clone(),
            basic_auth: s.basic_auth.clone(),
            forward_auth: s.forward_auth.clone().map(Asker::new),
        }))
    }

    /// Must the path be kept as it was judged?
    pub(crate) fn asks(&self) -> bool {
        self.forward_auth.is_some()
    }

    /// Lets a request in, or says why not. Its headers become those that the gate vouches for.
    pub(crate) async fn pass(
        &self,
        headers: &mut HeaderMap,
        passage: &mut Passage,
        at: Arrival<'_>,
    ) -> Result<(), Refusal> {
        if let Some(cors) = &self.cors {
            passage.allowed = cors.allowed(headers.get(header::ORIGIN));
        }
        if self.access.as_ref().is_some_and(|list| !list.allows(at.whose.map(|w| w.ip))) {
            return Err(Refusal::Error(ProxyError::Forbidden));
        }
        if let Some(cors) = &self.cors
            && cors::preflight_method(at.method, headers).is_some()
        {
            passage.is_preflight = true;
            let (parts, body) = cors.preflight(headers);
            return Err(Refusal::Answer(parts, body));
        }
        remove_alike(headers, &self.own);
        if let Some(auth) = &self.basic_auth {
            let name = auth.check(headers).await.map_err(|denied| match denied {
                Denied::Unauthorized => Refusal::Challenge(auth.challenge()),
                Denied::Busy => Refusal::Error(ProxyError::AuthUnavailable),
            })?;
            if !auth.forward_credentials {
                headers.remove(header::AUTHORIZATION);
            }
            if let Some(header) = &auth.forward_user {
                passage.granted.push((header.clone(), name));
            }
        }
        if let Some(asker) = &self.forward_auth {
            let Arrival { method, version, seen, client, whose } = at;
            let target = passage.target.as_deref().unwrap_or("/");
            let about = About { method, target, version, seen, client, whose };
            let answer = asker.ask(headers, about).await;
            let (mut parts, body) = answer.ok_or(Refusal::Error(ProxyError::AuthUnavailable))?.into_parts();
            if !parts.status.is_success() {
                headers::to_client(&mut parts.headers);
                parts.headers.remove(header::TRAILER);
                if parts.status != StatusCode::NOT_MODIFIED {
                    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
                }
                // RFC 9112 §2.3: the version is each hop's own.
                parts.version = Version::HTTP_11;
                return Err(Refusal::Answer(parts, if method == Method::HEAD { Bytes::new() } else { body }));
            }
            for name in &asker.server.response_headers {
                let values = parts.headers.get_all(name).iter();
                passage.granted.extend(values.map(|value| (name.clone(), value.clone())));
            }
        }
        passage.grant(headers);
        Ok(())
    }
}

impl Passage {
    pub(crate) fn new(target: Option<Box<str>>) -> Self {
        Self { target, ..Self::default() }
    }

    /// Tells the backend what the gate has found. Done twice: `Connection` may name a header away, which is seen only later.
    pub(crate) fn grant(&self, headers: &mut HeaderMap) {
        for (name, _) in &self.granted {
            headers.remove(name);
        }
        for (name, value) in &self.granted {
            headers.append(name, value.clone());
        }
    }

    /// Tells the client's browser what pages of its origin may read.
    pub(crate) fn tell(&self, gate: &Gate, headers: &mut HeaderMap) {
        if let Some(cors) = gate.cors.as_ref().filter(|_| !self.is_preflight) {
            cors.tell(self.allowed.as_ref(), headers);
        }
    }
}

/// Removes these headers, also where `_` stands for `-`.
pub(crate) fn remove_alike(headers: &mut HeaderMap, names: &[HeaderName]) {
    if names.is_empty() {
        return;
    }
    let same = |a: &HeaderName, b: &HeaderName| {
        let dashed = |b: u8| if b == b'_' { b'-' } else { b };
        a.as_str().len() == b.as_str().len()
            && a.as_str().bytes().map(dashed).eq(b.as_str().bytes().map(dashed))
    };
    while let Some(found) = headers.keys().find(|key| names.iter().any(|name| same(key, name))).cloned() {
        headers.remove(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gate_says_nobody_else_can() {
        let mut headers = HeaderMap::new();
        for name in ["remote-user", "remote_user", "remote-users", "x-remote-user"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("root"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("admin"));
        }
        remove_alike(&mut headers, &[HeaderName::from_static("remote-user")]);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["remote-users", "x-remote-user"]);
    }

    #[test]
    fn no_gate_is_none() {
        assert!(Gate::new(&GateSettings::default()).is_none());
        let access = Some(AccessList::default());
        assert!(Gate::new(&GateSettings { access, ..GateSettings::default() }).is_some());
    }
}
