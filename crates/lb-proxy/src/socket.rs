//! A stream socket, TCP or unix, whose short writes are one `send`.
//!
//! A response's head and a short body come as two buffers. `writev` costs the kernel more than a copy of 2 KiB does, so short
//! vectored writes are gathered first (−0.5 µs a small request, see `docs/benchmarks.md`); long ones go out as they are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Vectored writes up to this many bytes are gathered.
const GATHER: usize = 2 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// A TCP socket that sends at once what it is given.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        // Refused only by a socket that is broken already: then the next read says so.
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream)
    }

    /// Resolves when there is something to read, or the peer has closed. `fresh`: the socket was never read from; what the runtime
    /// says of it is a guess then, and the system is asked.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>, fresh: bool) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(s) if fresh => s.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map_ok(drop),
            Self::Tcp(s) => s.poll_read_ready(cx),
            Self::Unix(s) => s.poll_read_ready(cx),
        }
    }
}

impl Socket {
    /// Reads and throws away until the peer closes.
    pub(crate) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waste = [0; 4 * 1024];
        loop {
            let read = match self {
                Self::Tcp(s) => s.try_read(&mut waste),
                Self::Unix(s) => s.try_read(&mut waste),
            };
            match read {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if self.poll_readable(cx, false).is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = bufs {
            return self.poll_write(cx, one);
        }
        let total: usize = bufs.iter().map(|b| b.len()).sum();
        if total <= GATHER {
            let (mut gathered, mut n) = ([0u8; GATHER], 0);
            for b in bufs {
                gathered[n..n + b.len()].copy_from_slice(b);
                n += b.len();
            }
            return self.as_mut().poll_write(cx, &gathered[..n]);
        }
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // nothing is held back here
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
