//! The client's side of a connection: a socket that watches the framing of what it reads and knows whom it waits for.

use crate::framing::Framing;
use crate::socket::Socket;
use crate::timer::{Phase, Watch};
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
    pub(super) fn new(io: Socket, watch: Arc<Watch>, timeouts: Timeouts) -> Self {
        Self { io, framing: Framing::default(), watch, blocked: false, timeouts }
    }

    /// Resolves when there is something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>, fresh: bool) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx, fresh)
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
                self.watch.arm(Phase::ClientWrite, self.watch.now(), self.timeouts.body);
            }
            Poll::Ready(Ok(_)) if self.blocked => {
                self.blocked = false;
                // The response's own deadlines start again with its next frame.
                let (phase, after) = if self.watch.is_active() {
                    (Phase::ClientWrite, self.timeouts.body)
                } else {
                    (Phase::Idle, self.timeouts.idle)
                };
                self.watch.arm(phase, self.watch.now(), after);
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
