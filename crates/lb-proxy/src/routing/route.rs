//! One route as a worker follows it, and what it wants of one request on its way.

use crate::compress::{Coding, Compression};
use crate::fallback::Fallback;
use crate::gate::{Gate, Passage};
use crate::gateway::{RouteAction, RouteSettings};
use crate::headers::Seen;
use crate::limit::RateLimiting;
use crate::mirror::Mirror;
use crate::outgoing::TryTimes;
use crate::pages::ErrorPages;
use crate::proxy::Client;
use crate::request::{self, Headers};
use crate::retry::RetryPolicy;
use crate::rules::{Expanded, Rules};
use crate::split::{Sided, Sides, Splitting};
use http::header::{HeaderMap, HeaderValue};
use http::request::Parts as RequestHead;
use http::{Request, StatusCode};
use lb_admission::Priority;
use lb_geo::ClientAddress;
use lb_route::{Match, Rewrite, Template, Values};
use lb_types::{Nanos, RequestInfo};
use std::sync::Arc;

/// What becomes of one route's requests.
pub(crate) struct Route {
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) request: Rules,
    pub(super) response: Rules,
    pub(crate) total_timeout: Option<Nanos>,
    pub(crate) limit: Option<Arc<RateLimiting>>,
    pub(crate) priority: Option<Priority>,
    pub(crate) max_body: u64,
    pub(crate) service_headers: bool,
    pub(crate) compression: Option<Compression>,
    pub(crate) mirror: Option<Arc<Mirror>>,
    pub(crate) gate: Option<Box<Gate>>,
    pub(crate) pages: Option<Arc<ErrorPages>>,
    pub(crate) retry: Option<Arc<RetryPolicy>>,
    pub(crate) times: TryTimes,
    /// It asks for nothing but a way.
    pub(super) is_plain: bool,
}

pub(super) enum Action {
    /// The service with this number.
    Service(usize),
    Split(Arc<Splitting>, Sides, Box<[usize]>),
    Redirect(StatusCode, Template),
    Respond(Fallback),
}

/// What a route wants of one request on its way: there only if it wants anything.
pub(crate) struct Routed<'w> {
    pub(crate) route: &'w Route,
    /// What its response may be compressed with.
    pub(crate) coding: Option<Coding>,
    pub(crate) passage: Passage,
    pub(super) request: Expanded,
    pub(super) response: Expanded,
    /// Of a split's request.
    pub(crate) sided: Option<Sided<'w>>,
}

impl Routed<'_> {
    /// The route's changes of the headers to the backend.
    pub(crate) fn to_backend(&self, headers: &mut HeaderMap) {
        self.passage.grant(headers);
        self.route.request.apply(&self.request, headers);
    }

    /// The service to which a split's request goes, chosen now; `None`: its route has no split. The split's cookie is taken out of it.
    #[inline]
    pub(crate) fn take_side<B>(
        &mut self,
        request: &mut Request<B>,
        whose: Option<ClientAddress>,
        client: &Client,
    ) -> Option<usize> {
        let Action::Split(splitting, sides, services) = &self.route.action else { return None };
        let began = splitting.now();
        let (target, cookie) = {
            let headers = Headers(request.headers());
            let info = request::info(request.method(), request.uri(), &headers, whose.map(|w| w.ip));
            let is_secure = || client.scheme(headers.0, whose) == "https";
            splitting.choose(&info, is_secure, began)
        };
        splitting.hide(request.headers_mut());
        self.sided = Some(Sided { splitting, side: &sides[target], cookie, began });
        Some(services[target])
    }

    /// The route's changes of the headers to the client.
    pub(crate) fn to_client(&self, headers: &mut HeaderMap) {
        if let Some(gate) = &self.route.gate {
            self.passage.tell(gate, headers);
        }
        self.route.response.apply(&self.response, headers);
    }
}

/// What is known of a request before it goes to a service. By reference: it is held over all its tries.
pub(crate) struct Asked<'w> {
    pub(crate) whose: Option<ClientAddress>,
    /// The request's id, if it has one.
    pub(crate) id: Option<HeaderValue>,
    pub(crate) routed: Option<Box<Routed<'w>>>,
    /// Who wants to know that it was let in.
    pub(crate) copier: Option<&'w dyn OnAdmission>,
}

/// Is told of a request that may go to a backend, while it is as the client sent it.
pub(crate) trait OnAdmission: Send + Sync {
    /// `is_bare`: it has no body.
    fn admitted(&self, head: &RequestHead, is_bare: bool, asked: &Asked<'_>, seen: &Seen, client: &Client);
}

impl Route {
    /// `known`: splits whose counts this worker has already.
    pub(super) fn new(
        (s, pools): &(RouteSettings, Box<[usize]>),
        mirror: Option<&Arc<Mirror>>,
        known: &mut Vec<(Arc<Splitting>, Sides)>,
    ) -> Self {
        let action = match &s.action {
            RouteAction::Redirect { status, location } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND);
                Action::Redirect(status, location.clone())
            }
            RouteAction::Respond(response) => Action::Respond(Fallback::new(response)),
            RouteAction::Pool(_) => Action::Service(pools.first().copied().unwrap_or_default()),
            RouteAction::Split(splitting) => {
                let sides =
                    known.iter().find(|(s, _)| Arc::ptr_eq(s, splitting)).map(|(_, sides)| sides.clone());
                let sides = sides.unwrap_or_else(|| {
                    let sides = splitting.register();
                    known.push((splitting.clone(), sides.clone()));
                    sides
                });
                Action::Split(splitting.clone(), sides, pools.clone())
            }
        };
        let (request, response) = (Rules::new(&s.request_headers), Rules::new(&s.response_headers));
        let gate = Gate::new(&s.gate);
        let times = TryTimes { connect: s.connect_timeout, first_byte: s.first_byte_timeout };
        let is_plain = request.is_empty()
            && response.is_empty()
            && s.total_timeout.is_none()
            && s.rate_limit.is_none()
            && s.priority.is_none()
            && s.max_body_bytes.is_none()
            && !s.service_headers
            && s.compression.is_none()
            && mirror.is_none()
            && gate.is_none()
            && s.error_pages.is_none()
            && s.retry.is_none()
            && times.are_usual()
            && !matches!(s.action, RouteAction::Split(_));
        Self {
            name: s.name.clone(),
            action,
            rewrite: s.rewrite.clone(),
            request,
            response,
            total_timeout: s.total_timeout.map(Into::into),
            limit: s.rate_limit.clone(),
            priority: s.priority,
            max_body: s.max_body_bytes.unwrap_or(u64::MAX),
            service_headers: s.service_headers,
            compression: s.compression.as_ref().map(Compression::new),
            mirror: mirror.cloned(),
            gate,
            pages: s.error_pages.clone(),
            retry: s.retry.clone(),
            times,
            is_plain,
        }
    }

    /// What the templates of this route are made of.
    pub(super) fn values<'a>(
        &'a self,
        info: &RequestInfo<'a>,
        found: &'a Match<'_>,
        headers: &'a HeaderMap,
        scheme: &'a HeaderValue,
        id: Option<&'a HeaderValue>,
    ) -> Values<'a> {
        let id = id.or_else(|| headers.get("x-request-id")).and_then(|id| id.to_str().ok());
        Values {
            scheme: scheme.to_str().unwrap_or_default(),
            route: &self.name,
            request_id: id.unwrap_or_default(),
            ..Values::of(info, found)
        }
    }
}

impl Route {
    /// Does anything depend on the request?
    pub(super) fn is_made(&self) -> bool {
        matches!(self.action, Action::Redirect(..)) || self.request.is_made() || self.response.is_made()
    }
}
