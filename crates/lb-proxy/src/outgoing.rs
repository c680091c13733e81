//! The request as it goes to backends: taken when it is sent, there again where sending it again is safe.
//!
//! Nothing was written yet: hyper gives the request back as it was, whatever its method. Otherwise an idempotent one (RFC 9110
//! §9.2.2) is made anew from a copy of its head and, if it has a body, from the record of that (see `upload`).

use crate::engine::{self, RequestBody};
use crate::headers;
use crate::request;
use crate::upload::{Progress, ReqBody};
use http::{HeaderValue, Request, Uri, header};
use lb_core::BackendState;
use std::sync::Arc;
use std::time::Duration;

/// How long a try may take, where a route says otherwise than the pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TryTimes {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
}

impl TryTimes {
    /// As the pool says.
    pub(crate) fn are_usual(&self) -> bool {
        self.connect.is_none() && self.first_byte.is_none()
    }
}

pub(crate) struct Outgoing<B: RequestBody> {
    /// What is to be sent; `None` while it is under way, and afterwards if it cannot be sent again.
    pub(crate) request: Option<Request<ReqBody<B>>>,
    /// The head of a request that was answered, to make it anew. Boxed like the target: what is seldom there is not moved about.
    spare: Option<Box<Request<ReqBody<B>>>>,
    /// Of its body, if it has one.
    pub(crate) progress: Option<Arc<Progress<B>>>,
    idempotent: bool,
    expects_continue: bool,
    /// The client's own target, once a base path was put before it.
    target: Option<Box<Uri>>,
    /// Each backend is told its own id.
    names_backend: bool,
    /// A route's time-outs, if it has any of its own. Boxed, as they are seldom.
    times: Option<Box<TryTimes>>,
}

impl<B: RequestBody> Outgoing<B> {
    #[inline(always)] // else the request is moved thrice more
    pub(crate) fn new(
        request: Request<ReqBody<B>>,
        progress: Option<Arc<Progress<B>>>,
        expects_continue: bool,
    ) -> Self {
        let idempotent = request.method().is_idempotent();
        let mut this = Self {
            request: Some(request),
            spare: None,
            progress,
            idempotent,
            expects_continue,
            target: None,
            names_backend: false,
            times: None,
        };
        this.hold_for_continue();
        this
    }

    /// Its tries have these time-outs.
    pub(crate) fn limit_tries(&mut self, times: TryTimes) {
        self.times = Some(Box::new(times));
    }

    /// How long its tries may take, where that is not as usual.
    #[inline]
    pub(crate) fn times(&self) -> Option<&TryTimes> {
        self.times.as_deref()
    }

    /// From now on each backend is told its own id.
    pub(crate) fn name_backend(&mut self) {
        self.names_backend = true;
    }

    /// Where it goes: base path and `Host`, as this backend wants them.
    pub(crate) fn address(&mut self, backend: &BackendState, preserve_host: bool) {
        let url = backend.url();
        let Some(request) = &mut self.request else { return };
        if self.names_backend
            && let Ok(id) = HeaderValue::from_str(backend.id().as_str())
        {
            request.headers_mut().insert(headers::X_BACKEND, id);
        }
        let base = url.base_path();
        if !base.is_empty() && self.target.is_none() {
            // Another backend may have another.
            self.target = Some(Box::new(request.uri().clone()));
        }
        let from = self.target.as_deref().unwrap_or(request.uri());
        if !(base.is_empty() && self.target.is_none() && request::is_plain(from)) {
            *request.uri_mut() = request::target(from, base);
        }
        if (!preserve_host || !request.headers().contains_key(header::HOST))
            && let Ok(host) = HeaderValue::try_from(url.authority())
        {
            request.headers_mut().insert(header::HOST, host);
        }
    }

    /// Is it, while it is here, one that asks for a head alone?
    pub(crate) fn is_head(&self) -> bool {
        self.request.as_ref().is_some_and(|r| r.method() == http::Method::HEAD)
    }

    /// Its connection is not to be kept, and the backend is told.
    pub(crate) fn say_close(&mut self) {
        if let Some(request) = &mut self.request {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Its response is handed on: there is no other try.
    #[inline]
    pub(crate) fn settle(&mut self) -> Option<Arc<Progress<B>>> {
        let progress = self.progress.take()?;
        progress.settle();
        Some(progress)
    }

    /// May it be sent again once its first bytes were?
    #[inline]
    pub(crate) fn is_repeatable(&self) -> bool {
        self.idempotent && self.progress.as_ref().is_none_or(|p| p.keeps())
    }

    /// May it be sent twice at once: idempotent, and without a body?
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.idempotent && self.progress.is_none()
    }

    /// The same request once more, to send it at the same time.
    pub(crate) fn copy(&self) -> Option<Self> {
        let request = self.request.as_ref().filter(|_| self.is_bare()).map(copy_of)?;
        Some(Self {
            request: Some(request),
            spare: None,
            progress: None,
            idempotent: self.idempotent,
            expects_continue: false,
            target: self.target.clone(),
            names_backend: self.names_backend,
            times: self.times.clone(),
        })
    }

    /// What is needed to make it anew after it was sent; kept by whoever sends it, for that is cheaper.
    #[inline]
    pub(crate) fn spare(&self) -> Option<Request<ReqBody<B>>> {
        self.request.as_ref().filter(|_| self.is_repeatable()).map(copy_of)
    }

    /// It was answered, and may have to be sent again all the same.
    pub(crate) fn keep(&mut self, spare: Option<Request<ReqBody<B>>>) {
        self.spare = spare.map(Box::new);
    }

    /// Can it be sent again, after its connection is gone?
    pub(crate) fn can_go_again(&self) -> bool {
        self.request.is_some() || (self.spare.is_some() && self.is_repeatable())
    }

    /// Does no connection have a part of it any more?
    pub(crate) fn is_back(&self) -> bool {
        self.progress.as_ref().is_none_or(|p| p.is_home())
    }

    /// Makes it anew, if that is needed and can be. The connection that it was on must be gone, or be done with it.
    pub(crate) fn renew(&mut self, spare: Option<Request<ReqBody<B>>>) {
        if self.request.is_some() {
            return;
        }
        let Some(mut request) = spare else { return };
        if let Some(progress) = &self.progress {
            let Some(body) = progress.again() else { return };
            *request.body_mut() = body;
        }
        self.request = Some(request);
        self.hold_for_continue();
    }

    /// Makes an answered one anew.
    pub(crate) fn renew_kept(&mut self) {
        let spare = self.spare.take();
        self.renew(spare.map(|s| *s));
    }

    /// A client that expects a 100 sends its body only when the backend has agreed to take it: hyper answers the client the moment
    /// its body is asked for, so it is not asked for before.
    fn hold_for_continue(&mut self) {
        if self.expects_continue
            && let (Some(request), Some(progress)) = (&mut self.request, &self.progress)
        {
            progress.hold();
            let progress = progress.clone();
            engine::on_continue(request, move || progress.release());
        }
    }
}

/// The head of a request, to send once more.
fn copy_of<B>(request: &Request<ReqBody<B>>) -> Request<ReqBody<B>> {
    let mut copy = Request::new(ReqBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}
