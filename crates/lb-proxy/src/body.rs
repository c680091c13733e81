//! The response on its way to the client, with the lease inside.

use crate::compress::body::{Compressed, Frames};
use crate::compress::encoder::Encoder;
use crate::engine::{BrokenBody, RequestBody, ResponseBody};
use crate::error::ProxyError;
use crate::service::Service;
use crate::split::Side;
use crate::stats::Counters;
use crate::timer::{Phase, Watch, WatchGuard};
use crate::upload::Progress;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use lb_core::Lease;
use lb_types::{FailureKind, Nanos, Outcome};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How much of a response that nobody gets is read.
const DISCARD_MAX: usize = 16 * 1024;

/// The body of a response to a client: one of the proxy's own, or a backend's that streams through. The lease on the backend
/// rides in it and ends with it.
pub struct ProxyBody<B: RequestBody> {
    inner: Inner<B>,
    /// Deadlines that no client connection keeps: of a request that came through the service.
    _watch: Option<WatchGuard>,
}

/// Whose words a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The proxy's, on purpose.
    Own,
    /// The proxy's own error.
    Error,
    /// A backend's.
    Backend,
}

enum Inner<B: RequestBody> {
    Own(Option<Bytes>),
    Error(Option<Bytes>),
    Stream(Streaming<B>),
    Compressed(Box<Compressed<Streaming<B>>>),
}

/// A backend's response on its way, with all that has to be given back at its end.
pub(crate) struct Streaming<B: RequestBody> {
    pub(crate) body: ResponseBody<B>,
    pub(crate) lease: Option<Lease>,
    /// What the lease is completed with when the body ends well.
    pub(crate) verdict: Outcome,
    pub(crate) service: Arc<Service<B>>,
    /// Which of the balancer's leaves the lease is of.
    pub(crate) leaf: usize,
    pub(crate) watch: Arc<Watch>,
    /// Of the request's body, if it has one.
    pub(crate) progress: Option<Arc<Progress<B>>>,
    /// When the head came.
    pub(crate) head_at: Nanos,
    /// Whether anything was waited for since: then the head's time is no longer the present.
    pub(crate) waited: bool,
    /// Whether the deadline for the next frame is set.
    pub(crate) armed: bool,
    /// How long the client's connection may idle afterwards.
    pub(crate) client_idle_timeout: Duration,
    /// Of a split's request: whose error it is if this breaks off.
    pub(crate) side: Option<Arc<Side>>,
}

impl<B: RequestBody> std::fmt::Debug for ProxyBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.inner {
            Inner::Own(_) | Inner::Error(_) => "ProxyBody::Own",
            Inner::Stream(_) => "ProxyBody::Stream",
            Inner::Compressed(_) => "ProxyBody::Compressed",
        })
    }
}

impl<B: RequestBody> ProxyBody<B> {
    pub(crate) fn own(bytes: Bytes) -> Self {
        Self { inner: Inner::Own(Some(bytes).filter(|b| !b.is_empty())), _watch: None }
    }

    /// Of one of the proxy's own errors, in whose place a page may stand.
    pub(crate) fn error(bytes: Bytes) -> Self {
        Self { inner: Inner::Error(Some(bytes).filter(|b| !b.is_empty())), _watch: None }
    }

    pub(crate) fn source(&self) -> Source {
        match &self.inner {
            Inner::Own(_) => Source::Own,
            Inner::Error(_) => Source::Error,
            Inner::Stream(_) | Inner::Compressed(_) => Source::Backend,
        }
    }

    /// Nobody gets it: what the backend was asked for ends as if it had been handed on.
    #[cold]
    pub(crate) fn discard(self) {
        if let Inner::Stream(s) = self.inner {
            s.discard();
        }
    }

    pub(crate) fn stream(s: Streaming<B>) -> Self {
        Self { inner: Inner::Stream(s), _watch: None }
    }

    /// Is it a backend's, as it came?
    pub(crate) fn is_streaming(&self) -> bool {
        matches!(self.inner, Inner::Stream(_))
    }

    /// A backend's is encoded on its way.
    #[cold]
    pub(crate) fn compressed(self, encoder: Encoder, counters: Arc<Counters>) -> Self {
        let inner = match self.inner {
            Inner::Stream(s) => Inner::Compressed(Box::new(Compressed::new(s, encoder, counters))),
            other => other,
        };
        Self { inner, ..self }
    }

    /// If this is a backend's, and not encoded yet: from now on its breaking off is an error of this side.
    pub(crate) fn blame(&mut self, side: &Arc<Side>) -> bool {
        match &mut self.inner {
            Inner::Own(_) | Inner::Error(_) | Inner::Compressed(_) => false,
            Inner::Stream(s) => {
                s.side = Some(side.clone());
                true
            }
        }
    }

    /// Keeps a watch that no connection keeps.
    #[cfg(feature = "tower")]
    pub(crate) fn keeping(mut self, watch: WatchGuard) -> Self {
        self._watch = Some(watch);
        self
    }
}

/// A response body that broke off; the client's connection is cut, so that it can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response broke off: {0}")]
pub struct BodyError(pub(crate) ProxyError);

impl<B: RequestBody> Unpin for ProxyBody<B> {}

impl<B: RequestBody> Body for ProxyBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().inner {
            Inner::Own(bytes) | Inner::Error(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Inner::Stream(s) => s.poll(cx),
            Inner::Compressed(c) => c.poll(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Own(bytes) | Inner::Error(bytes) => bytes.is_none(),
            Inner::Stream(s) => s.body.is_end_stream(),
            Inner::Compressed(c) => c.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Own(bytes) | Inner::Error(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Inner::Stream(s) => s.body.size_hint(),
            Inner::Compressed(_) => SizeHint::default(),
        }
    }
}

impl<B: RequestBody> Frames for Streaming<B> {
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Self::poll(self, cx)
    }
}

impl<B: RequestBody> Streaming<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.body.poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.armed = false;
                if let (Some(trailers), Some(lease)) = (frame.trailers_mut(), &self.lease) {
                    self.service.hear_trailers(trailers, lease.backend(), self.leaf, &self.watch);
                    // They are the end: hyper asks for nothing after them.
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => {
                let error = match e {
                    BrokenBody::Malformed => ProxyError::BadResponse,
                    BrokenBody::Closed => ProxyError::Reset,
                };
                Poll::Ready(Some(Err(self.fail(error))))
            }
            Poll::Pending => {
                if self.progress.as_ref().is_some_and(|p| p.is_too_large()) {
                    // It is the client's own fault: the lease is cancelled, and the connection cut.
                    Counters::count(&self.service.counters.bodies_too_large);
                    self.lease = None;
                    return Poll::Ready(Some(Err(BodyError(ProxyError::BodyTooLarge))));
                }
                self.watch.register_request(cx.waker());
                if !self.armed || self.watch.phase() != Phase::BackendBody {
                    (self.waited, self.armed) = (true, true);
                    let idle_timeout = self.service.upstream(self.leaf).settings.idle_timeout;
                    self.watch.arm(Phase::BackendBody, self.watch.now(), idle_timeout);
                }
                if self.watch.is_due() {
                    return Poll::Ready(Some(Err(self.fail(ProxyError::Timeout))));
                }
                Poll::Pending
            }
        }
    }

    /// Ends well without a reader. What of the body is there already is read, to keep the connection; beyond that, closing it is cheaper.
    fn discard(mut self) {
        let (mut left, mut cx) = (DISCARD_MAX, Context::from_waker(Waker::noop()));
        while self.lease.is_some() && !self.body.is_end_stream() {
            match self.body.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_none_or(|data| data.len() <= left) => {
                    left -= frame.data_ref().map_or(0, Bytes::len);
                }
                Poll::Ready(None) => break,
                _ => {
                    if let Some(lease) = self.lease.take() {
                        lease.complete(self.verdict);
                    }
                    self.watch.rest(self.watch.now(), self.client_idle_timeout);
                    return;
                }
            }
        }
        self.finish();
    }

    fn fail(&mut self, error: ProxyError) -> BodyError {
        if let Some(lease) = self.lease.take() {
            let kind = match error {
                ProxyError::Timeout => FailureKind::Timeout,
                ProxyError::BadResponse => FailureKind::Protocol,
                _ => FailureKind::Reset,
            };
            Counters::count(if error == ProxyError::Timeout {
                &self.service.counters.upstream_timeouts
            } else {
                &self.service.counters.upstream_errors
            });
            if let Some(side) = &self.side {
                side.failed();
            }
            let after = self.watch.now() - lease.started();
            lease.complete(Outcome::Failure { kind, after });
        }
        BodyError(error)
    }

    /// The whole response was handed on: the lease ends well, the connection goes back.
    fn finish(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let now = if self.waited { self.watch.now() } else { self.head_at };
        // After an early response the connection still has the rest of a request to carry.
        let early = self.progress.as_ref().is_some_and(|p| !p.done.load(Relaxed));
        if !early && let Some(connection) = self.body.take_connection() {
            self.service.upstream(self.leaf).idle.put(lease.backend(), connection, now);
        }
        lease.complete(self.verdict);
        self.watch.rest(now, self.client_idle_timeout);
    }
}

impl<B: RequestBody> Drop for Streaming<B> {
    fn drop(&mut self) {
        // Without a body nobody asks for its end. Else the client is gone: the lease's own drop says so.
        if self.body.is_end_stream() {
            self.finish();
        }
        self.watch.set_active(false);
    }
}
