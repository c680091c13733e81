//! The client's side of a connection: a socket that watches the framing of what it reads and knows whom it waits for.

use crate::framing::Framing;
use crate::rate::{MinRate, Pace};
use crate::socket::Socket;
use crate::timer::{Phase, Watch};
use lb_types::Nanos;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ClientSocket {
    io: Socket,
    framing: Framing,
    watch: Arc<Watch>,
    /// The client does not take what it is sent.
    blocked: bool,
    /// How fast it must take a response, and how it fares. Boxed, because it is seldom and idle connections hold one of these.
    taking: Option<Box<(MinRate, Pace)>>,
    timeouts: Timeouts,
}

/// The client's deadlines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) header: Duration,
    pub(super) body: Duration,
    pub(super) idle: Duration,
}

impl ClientSocket {
    pub(super) fn new(io: Socket, watch: Arc<Watch>, timeouts: Timeouts, rate: Option<MinRate>) -> Self {
        Self {
            io,
            framing: Framing::default(),
            watch,
            blocked: false,
            taking: rate.map(|r| Box::new((r, Pace::default()))),
            timeouts,
        }
    }

    /// Resolves when there is something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>, fresh: bool) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx, fresh)
    }

    /// Reads and throws away until the client closes; it has been sent all that there is.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_discard(cx)
    }

    /// The client does not take what it is sent: it is waited for as long as it may be silent, and as its rate allows.
    #[cold]
    fn wait(&mut self) {
        let now = self.watch.now();
        let mut after = self.timeouts.body;
        if let Some((rate, pace)) = self.taking.as_deref_mut() {
            after = after.min((pace.wait(*rate, now) - now).as_duration());
        }
        self.watch.arm(Phase::ClientWrite, now, after);
        if after.is_zero() {
            // Not with the next tick: it may take a byte before, and another.
            self.watch.expire();
        }
    }

    /// A head did not come in time: the client is told, if it had begun one.
    #[cold]
    fn too_slow(&mut self, cx: &mut Context<'_>) -> io::Error {
        if self.framing.is_in_head() {
            // Nothing else is being written while a head is read; a client that cannot take this line is not waited for.
            let _ = Pin::new(&mut self.io).poll_write(cx, REQUEST_TIMEOUT);
        }
        io::ErrorKind::TimedOut.into()
    }

    /// After a write: is the client to be waited for?
    #[inline]
    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.watch.set_flushed(false);
        match &polled {
            Poll::Pending if !self.blocked => {
                self.blocked = true;
                self.wait();
            }
            // Whoever waited for the backend meanwhile has set its deadline: with a rate to keep, the client's goes before.
            Poll::Pending if self.taking.is_some() && self.watch.phase() != Phase::ClientWrite => {
                self.wait();
            }
            Poll::Ready(Ok(n)) if self.blocked => {
                self.blocked = false;
                if let Some((_, pace)) = self.taking.as_deref_mut() {
                    pace.moved(*n as u64, self.watch.now());
                }
                // The response's own deadlines start again with its next frame.
                let (phase, after) = if self.watch.is_active() {
                    (Phase::ClientWrite, self.timeouts.body)
                } else {
                    (Phase::Idle, self.timeouts.idle)
                };
                self.watch.arm(phase, self.watch.now(), after);
            }
            Poll::Ready(Ok(n)) => {
                if let Some((_, pace)) = self.taking.as_deref_mut() {
                    // It was not waited for: the time does not matter.
                    pace.moved(*n as u64, Nanos::ZERO);
                }
            }
            _ => {}
        }
        polled
    }
}

impl AsyncRead for ClientSocket {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(read) => read?,
            Poll::Pending if this.watch.is_due() && this.watch.phase() == Phase::Head => {
                return Poll::Ready(Err(this.too_slow(cx)));
            }
            Poll::Pending => return Poll::Pending,
        }
        let new = &mut buf.filled_mut()[before..];
        this.framing.check(new);
        this.watch.set_between(this.framing.is_between());
        if this.framing.is_in_head() && !this.watch.is_active() && this.watch.phase() != Phase::Head {
            this.watch.arm(Phase::Head, this.watch.now(), this.timeouts.header);
            if let Some((_, pace)) = this.taking.as_deref_mut() {
                *pace = Pace::default();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSocket {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(polled)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The parser flushes only when its own buffer is empty.
        self.watch.set_flushed(true);
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
