//! The HTTP/1 engine towards backends: hyper's client connection, behind three things — open, exchange, body.
//!
//! Nothing else in this crate names hyper's client types, so another engine can take this one's place.
//!
//! hyper wants its connection polled by a task of its own. Here whoever waits polls it: the request while it waits for the head,
//! then the response's body. That saves two hops through the scheduler per request. hyper's channels between request and
//! connection are polled without a waker, for they only move when the connection does. Nobody polls an idle connection: that its peer has
//! closed it is seen when it is asked whether it is usable, before a request is entrusted to it.

use crate::socket::Socket;
use crate::upload::ReqBody;
use crate::upstream::pool::Pooled;
use crate::upstream::sockets::{CloseReason, Place};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Builder, SendRequest};
use hyper_util::rt::TokioIo;
use lb_types::Nanos;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// A response's body as the engine hands it over, before it holds its connection.
pub(crate) type Received = Incoming;

/// Calls `f` when the backend answers this request with 100 (Continue).
pub(crate) fn on_continue<B>(request: &mut Request<B>, f: impl Fn() + Send + Sync + 'static) {
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            f();
        }
    });
}

/// The largest head of a response, in bytes.
const HEAD_MAX: usize = 256 * 1024;

/// What a request's body must be able to do; every fitting [`Body`] is one.
pub trait RequestBody:
    Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static
{
}
impl<B> RequestBody for B where
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static
{
}

/// A connection to a backend. One exchange at a time.
pub(crate) struct Connection<B: RequestBody>(Box<Inner<B>>);

struct Inner<B: RequestBody> {
    sender: SendRequest<ReqBody<B>>,
    io: http1::Connection<TokioIo<Socket>, ReqBody<B>>,
    ended: bool,
    /// Exchanges that it has had.
    uses: u32,
    /// How long it may be idle, by its backend's word.
    announced: Nanos,
    /// When it is too old to be used.
    ends: Nanos,
    /// Counts out after the socket is closed: fields are dropped in this order.
    place: Place,
}

/// Why an exchange failed before a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExchangeError {
    /// The connection is closed or broke.
    Closed,
    /// What came is not HTTP.
    Malformed,
    /// The request's own body broke off.
    RequestBody,
}

impl<B: RequestBody> Inner<B> {
    /// Moves the connection on.
    #[inline]
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // Its errors reach the exchange they concern.
            self.ended = Pin::new(&mut self.io).poll(cx).is_ready();
        }
    }
}

impl<B: RequestBody> Connection<B> {
    /// Speaks HTTP/1.1 over a fresh socket. `ends`: when it is too old to be used.
    pub(crate) async fn open(socket: Socket, mut place: Place, ends: Nanos) -> Result<Self, hyper::Error> {
        let (sender, io) = Builder::new().max_header_size(HEAD_MAX).handshake(TokioIo::new(socket)).await?;
        place.made();
        Ok(Self(Box::new(Inner { sender, io, ended: false, uses: 0, announced: Nanos::MAX, ends, place })))
    }

    /// Is it open and between two exchanges? As far as the runtime has noticed; the system is not asked.
    #[inline]
    pub(crate) fn is_usable(&mut self) -> bool {
        self.0.drive(&mut Context::from_waker(Waker::noop()));
        !self.0.ended && self.0.sender.is_ready()
    }

    /// Sends the request; resolves with the response's head. Leaves the request where it is if not a byte of it was written: then
    /// sending it elsewhere repeats nothing.
    #[inline]
    pub(crate) async fn exchange(
        &mut self,
        request: &mut Option<Request<ReqBody<B>>>,
    ) -> Result<Response<Received>, ExchangeError> {
        // Also takes the last exchange's waker out of hyper's channel: sending would wake that task for nothing.
        if !self.is_usable() {
            return Err(ExchangeError::Closed);
        }
        let Some(r) = request.take() else { return Err(ExchangeError::Closed) };
        let Inner { sender, io, ended, uses, .. } = &mut *self.0;
        *uses = uses.saturating_add(1);
        let mut sent = pin!(sender.try_send_request(r));
        let done = poll_fn(|cx| {
            *ended = *ended || Pin::new(&mut *io).poll(cx).is_ready();
            match sent.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut e)) => {
                    *request = e.take_message();
                    Poll::Ready(Err(match e.error() {
                        e if e.is_parse() => ExchangeError::Malformed,
                        e if e.is_user() => ExchangeError::RequestBody,
                        _ => ExchangeError::Closed,
                    }))
                }
                // Nobody is left who could answer.
                Poll::Pending if *ended => Poll::Ready(Err(ExchangeError::Closed)),
                Poll::Pending => Poll::Pending,
            }
        });
        done.await
    }
}

impl<B: RequestBody> Pooled for Connection<B> {
    #[inline]
    fn uses(&self) -> u32 {
        self.0.uses
    }

    #[inline]
    fn ends(&self) -> Nanos {
        self.0.ends
    }

    #[inline]
    fn announced(&self) -> Nanos {
        self.0.announced
    }

    #[inline]
    fn is_wanted(&self) -> bool {
        self.0.place.is_wanted()
    }

    fn is_usable(&mut self) -> bool {
        Self::is_usable(self)
    }

    fn close(mut self, why: CloseReason) {
        self.mark(why);
    }

    fn mark(&mut self, why: CloseReason) {
        self.0.place.closes(why);
    }
}

/// The body of a backend's response, with the connection that it comes on.
pub(crate) struct ResponseBody<B: RequestBody> {
    incoming: Received,
    connection: Option<Connection<B>>,
    /// The backend has said that it will close, or connections are not kept.
    closes: bool,
}

/// Why a response's body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenBody {
    /// The connection closed before its end.
    Closed,
    /// What came is not HTTP.
    Malformed,
}

impl<B: RequestBody> ResponseBody<B> {
    /// The response's body becomes one that holds its connection. `reuses`: which may be used again.
    pub(crate) fn keeping(
        response: Response<Received>,
        connection: Connection<B>,
        reuses: bool,
    ) -> Response<Self> {
        let says_close = |v: &HeaderValue| !v.as_bytes().eq_ignore_ascii_case(b"keep-alive");
        let closes = !reuses
            || response.version() != Version::HTTP_11
            || response.headers().get(header::CONNECTION).is_some_and(says_close);
        response.map(|incoming| Self { incoming, connection: Some(connection), closes })
    }

    #[inline]
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let mut polled = self.poll_received();
        if polled.is_pending()
            && let Some(connection) = &mut self.connection
        {
            connection.0.drive(cx);
            polled = self.poll_received();
        }
        polled.map_err(|e| if e.is_parse() { BrokenBody::Malformed } else { BrokenBody::Closed })
    }

    /// What the connection has handed over already.
    #[inline]
    fn poll_received(&mut self) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    #[inline]
    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    #[inline]
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// All of the body, and the connection if that can be used again: if it is there already and no longer than `max` bytes.
    pub(crate) fn take_all(mut self, max: usize) -> Option<(Bytes, Option<Connection<B>>)> {
        if self.size_hint().lower() > max as u64 {
            return None;
        }
        let (mut all, mut cx) = (Bytes::new(), Context::from_waker(Waker::noop()));
        while !self.is_end_stream() {
            match self.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if all.len() + data.len() > max => return None,
                    Ok(data) if all.is_empty() => all = data,
                    Ok(data) => all = [all, data].concat().into(),
                    // Trailers are not kept.
                    Err(_) => {}
                },
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(_))) | Poll::Pending => return None,
            }
        }
        Some((all, self.take_connection()))
    }

    /// The connection, after the body's end, unless it is to close.
    pub(crate) fn take_connection(&mut self) -> Option<Connection<B>> {
        let connection = self.connection.take()?;
        if self.closes || connection.0.ended {
            connection.close(if self.closes { CloseReason::Close } else { CloseReason::Broken });
            return None;
        }
        Some(connection)
    }

    /// The backend has said how long it keeps an idle connection open.
    pub(crate) fn announce(&mut self, keeps: Nanos) {
        if let Some(connection) = &mut self.connection {
            connection.0.announced = keeps;
        }
    }
}
