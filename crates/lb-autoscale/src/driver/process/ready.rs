//! Is an instance ready? Asked until it is; afterwards the pool's health check asks.
//!
//! Two ways are built in, and [`Readiness`] is for others. An answer is taken only while the process lives, but nobody knows
//! who gave it: with a program that goes on when its port is taken, somebody else may have.

use lb_types::SettingsError;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a [`Readiness`] says; an error in words, for who reads why nothing becomes ready.
pub type Probe<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Asks an instance. Dropped when it takes longer than `probe_timeout`.
pub trait Readiness: Send + Sync + 'static {
    /// Whether the instance there is ready.
    fn probe(&self, address: SocketAddr) -> Probe<'_>;
}

/// The ways that are built in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ready {
    /// It accepts a connection.
    #[default]
    Tcp,
    /// It answers a GET of this path with a status of 2xx.
    Http(String),
}

/// As much of an answer is read: its first line.
const STATUS_LINE_BYTES: usize = 64;

impl Ready {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        match self {
            Self::Http(path) if !path.starts_with('/') || path.contains(|c: char| !c.is_ascii_graphic()) => {
                Err(SettingsError::new("ready", path, "must begin with / and be of visible ASCII"))
            }
            _ => Ok(()),
        }
    }
}

impl Readiness for Ready {
    fn probe(&self, address: SocketAddr) -> Probe<'_> {
        Box::pin(async move {
            let connected = TcpStream::connect(address).await;
            let mut stream = connected.map_err(|e| format!("{address} cannot be connected to: {e}"))?;
            let Self::Http(path) = self else { return Ok(()) };
            let broken = |e: std::io::Error| format!("GET {path}: {e}");
            let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.map_err(broken)?;
            let mut line = Vec::with_capacity(STATUS_LINE_BYTES);
            let mut start = stream.take(STATUS_LINE_BYTES as u64);
            while !line.contains(&b'\n') && start.read_buf(&mut line).await.map_err(broken)? > 0 {}
            let line = String::from_utf8_lossy(&line);
            let line = line.lines().next().unwrap_or_default();
            match line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(1..5)) {
                Some(status) if status.starts_with(" 2") => Ok(()),
                Some(status) => Err(format!("GET {path}: status{status}")),
                None => Err(format!("GET {path}: {line:?} is no HTTP/1")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn asked(answer: &'static [u8]) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            request[..read].to_vec()
        };
        let ready = Ready::Http("/up".to_owned());
        let (request, said) = tokio::join!(server, ready.probe(address));
        assert!(request.starts_with(b"GET /up HTTP/1.1\r\nhost: 127.0.0.1:"));
        said
    }

    #[tokio::test]
    async fn by_its_status() {
        assert_eq!(asked(b"HTTP/1.1 204 No Content\r\n\r\n").await, Ok(()));
        assert_eq!(asked(b"HTTP/1.0 200\n").await, Ok(()));
        assert_eq!(asked(b"HTTP/1.1 503 No\r\n\r\n").await, Err("GET /up: status 503".to_owned()));
        assert_eq!(asked(b"hello\r\n").await, Err("GET /up: \"hello\" is no HTTP/1".to_owned()));
        assert_eq!(asked(b"").await, Err("GET /up: \"\" is no HTTP/1".to_owned()));
    }

    #[tokio::test]
    async fn by_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Ready::Tcp.probe(address).await, Ok(()));
        drop(listener);
        assert!(Ready::Tcp.probe(address).await.is_err());
    }

    #[test]
    fn a_path_is_a_path() {
        assert_eq!(Ready::Http("/a?b".to_owned()).validate(), Ok(()));
        for path in ["", "a", "/a b", "/a\r\n", "/ä"] {
            assert!(Ready::Http(path.to_owned()).validate().is_err(), "{path:?}");
        }
    }
}
