//! The body of a balanced response: the lease rides in it, and ends with its last byte or trailer.

use super::ticket::Held;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use lb_types::{FailureKind, Outcome};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The body of a response that went through [`LoadBalanceLayer`](crate::LoadBalanceLayer): the inner service's, or the layer's own.
    ///
    /// The request counts as in flight until this has given its last byte or its trailers: then its lease ends as the head said. Dropped
    /// before, the request is cancelled; an error of the inner body is the backend's failure.
    pub struct BalancedBody<B>
    where
        B: Body,
    {
        #[pin]
        kind: Kind<B>,
        lease: Option<Riding>,
    }

    impl<B> PinnedDrop for BalancedBody<B>
    where
        B: Body,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Whoever knows that nothing comes any more does not ask for the end.
            let over = |riding: &Riding| {
                riding.bare || riding.left == Some(0) || this.kind.as_ref().get_ref().is_end_stream()
            };
            if this.lease.as_ref().is_some_and(over) {
                finish(this.lease);
            }
        }
    }
}

pin_project! {
    #[project = KindProjected]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Own { body: Option<Bytes> },
    }
}

/// A lease that rides in a body.
pub(crate) struct Riding {
    held: Held,
    verdict: Outcome,
    /// Its content is not sent: to HEAD, with 204 and 304.
    bare: bool,
    /// How many bytes are still to come, where that was known from the beginning.
    left: Option<u64>,
}

impl Riding {
    pub(crate) fn new(held: Held, verdict: Outcome, bare: bool, left: Option<u64>) -> Self {
        Self { held, verdict, bare, left }
    }
}

fn finish(lease: &mut Option<Riding>) {
    if let Some(Riding { held, verdict, .. }) = lease.take() {
        held.complete(verdict);
    }
}

impl<B: Body> BalancedBody<B> {
    pub(crate) fn held(body: B, lease: Riding) -> Self {
        Self { kind: Kind::Inner { body }, lease: Some(lease) }
    }

    /// One that passes through.
    pub(crate) fn untouched(body: B) -> Self {
        Self { kind: Kind::Inner { body }, lease: None }
    }

    /// The layer's own.
    pub(crate) fn own(body: Bytes) -> Self {
        Self { kind: Kind::Own { body: Some(body).filter(|b| !b.is_empty()) }, lease: None }
    }
}

impl<B: Body<Data = Bytes>> Body for BalancedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let mut body = match this.kind.as_mut().project() {
            KindProjected::Inner { body } => body,
            KindProjected::Own { body } => return Poll::Ready(body.take().map(|b| Ok(Frame::data(b)))),
        };
        let polled = std::task::ready!(body.as_mut().poll_frame(cx));
        match &polled {
            None => finish(this.lease),
            Some(Ok(frame)) => {
                if let (Some(data), Some(riding)) = (frame.data_ref(), this.lease.as_mut()) {
                    riding.left = riding.left.map(|left| left.saturating_sub(data.len() as u64));
                }
                // Nobody asks for anything after trailers, or after what says that it was the last.
                if frame.is_trailers() || body.is_end_stream() {
                    finish(this.lease);
                }
            }
            Some(Err(_)) => {
                if let Some(riding) = this.lease.take() {
                    riding.held.failed(FailureKind::Reset);
                }
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.kind.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { body } => SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64)),
        }
    }
}

impl<B: Body> Kind<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Inner { body } => body.is_end_stream(),
            Self::Own { body } => body.is_none(),
        }
    }
}

impl<B: Body> std::fmt::Debug for BalancedBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BalancedBody").field("holds_lease", &self.lease.is_some()).finish_non_exhaustive()
    }
}
