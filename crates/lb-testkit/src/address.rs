//! Where a server is, and a blocking stream to it.

use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// From `127.0.0.1:80`, `http://[::1]:80` (with or without a `/` at the end), `unix:/path` or `http://unix:/path`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("http://").unwrap_or(text);
        match text.strip_prefix("unix:") {
            Some(path) => Some(Self::Unix(path.into())),
            None => text.trim_end_matches('/').parse().ok().map(Self::Tcp),
        }
    }

    /// As the `url` of a backend: `http://127.0.0.1:80` or `unix:/path`.
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(a) => format!("http://{a}"),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(a) => Some(a.port()),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn connect(&self, limit: Duration) -> io::Result<Stream> {
        let (domain, to) = match self {
            Self::Tcp(a) => (Domain::for_address(*a), SockAddr::from(*a)),
            Self::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        if domain == Domain::UNIX {
            socket.connect(&to)?;
        } else {
            socket.connect_timeout(&to, limit)?;
            socket.set_tcp_nodelay(true)?;
        }
        socket.set_write_timeout(Some(limit))?;
        Ok(Stream(socket))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(a) => a.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A blocking connection with time limits.
#[derive(Debug)]
pub(crate) struct Stream(Socket);

impl Stream {
    /// Reads what is there, waiting at most `limit` (at least 1 ms: zero would mean for ever).
    pub(crate) fn read_within(&mut self, limit: Duration, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        self.0.read(buffer)
    }

    /// Writes what is taken within `limit`: 0 if nothing is.
    pub(crate) fn write_within(&mut self, limit: Duration, bytes: &[u8]) -> io::Result<usize> {
        self.0.set_write_timeout(Some(limit))?;
        match self.0.write(bytes) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(0),
            other => other,
        }
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    pub(crate) fn finish_writing(&self) -> io::Result<()> {
        self.0.shutdown(std::net::Shutdown::Write)
    }

    /// Closes with a reset instead of an orderly end.
    pub(crate) fn reset(self) -> io::Result<()> {
        self.0.set_linger(Some(Duration::ZERO))
    }

    /// Small kernel buffers, so that back-pressure is felt early.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        self.0.set_recv_buffer_size(bytes)
    }
}
