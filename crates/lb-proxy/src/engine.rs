//! The HTTP/1 engine towards backends: hyper's client connection, behind three things — open, exchange, body.
//!
//! Nothing else in this crate names hyper's client types, so another engine can take this one's place.

use crate::body::ReqBody;
use crate::socket::Socket;
use http::{Request, Response};
use http_body::Body;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error as StdError;

/// The body of a backend's response.
pub(crate) type ResponseBody = hyper::body::Incoming;

/// The largest head of a response, in bytes.
const HEAD_MAX: usize = 256 * 1024;

/// A connection to a backend. One exchange at a time.
#[derive(Debug)]
pub(crate) struct Connection<B> {
    sender: SendRequest<ReqBody<B>>,
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

impl<B> Connection<B> {
    /// Has it been closed?
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl<B> Connection<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Speaks HTTP/1.1 over a fresh socket. A task of the present runtime carries it until it closes or this handle is dropped.
    pub(crate) async fn open(socket: Socket) -> Result<Self, hyper::Error> {
        let (sender, connection) =
            Builder::new().max_header_size(HEAD_MAX).handshake(TokioIo::new(socket)).await?;
        tokio::spawn(async move {
            // Its errors reach the exchange they concern.
            let _ = connection.await;
        });
        Ok(Self { sender })
    }

    /// Sends the request; resolves with the response's head. Leaves the request where it is if not a byte of it was written: then
    /// sending it elsewhere repeats nothing.
    #[inline]
    pub(crate) async fn exchange(
        &mut self,
        request: &mut Option<Request<ReqBody<B>>>,
    ) -> Result<Response<ResponseBody>, ExchangeError> {
        // The task may still be busy with the end of the last response.
        if !self.sender.is_ready() && self.sender.ready().await.is_err() {
            return Err(ExchangeError::Closed);
        }
        let Some(r) = request.take() else { return Err(ExchangeError::Closed) };
        self.sender.try_send_request(r).await.map_err(|mut e| {
            *request = e.take_message();
            match e.error() {
                e if e.is_parse() => ExchangeError::Malformed,
                e if e.is_user() => ExchangeError::RequestBody,
                _ => ExchangeError::Closed,
            }
        })
    }
}
