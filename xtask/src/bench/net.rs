//! Ports and requests on loopback: a free port, a plain GET, a wait until a server answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::clock;
use crate::error::{Context, Error, Result};

/// A request on loopback that takes longer is lost.
const IO_LIMIT: Duration = Duration::from_secs(10);
/// A server that is not up by then does not come up.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How often a starting server is asked.
const POLL: Duration = Duration::from_millis(10);
/// The largest answer that [`Client::get`] reads; the scenarios use 1 MiB.
const BODY_MAX: usize = 4 << 20;

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// `N` ports that nobody listens on now. Held together, so that they differ; given up again at once.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(loopback(0)).context("finding a free port")?;
        *port = listener.local_addr().context("finding a free port")?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// One keep-alive connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(super) fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&loopback(port), IO_LIMIT).context("connecting")?;
        stream.set_read_timeout(Some(IO_LIMIT)).context("setting a time limit")?;
        stream.set_write_timeout(Some(IO_LIMIT)).context("setting a time limit")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        Ok(Client { stream })
    }

    /// Sends `GET path` and leaves the answer for [`Client::receive`].
    pub(super) fn send(&mut self, path: &str) -> Result<()> {
        self.send_with(path, "")
    }

    /// The same with further header lines, each with its end.
    pub(super) fn send_with(&mut self, path: &str, lines: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{lines}\r\n");
        self.stream.write_all(request.as_bytes()).context("sending a request")
    }

    /// Reads one answer with a `Content-Length` to its end.
    ///
    /// # Errors
    /// When it is not a 200, has no length, or the connection breaks.
    pub(super) fn receive(&mut self) -> Result<Vec<u8>> {
        let (head, body) = self.receive_any()?;
        match status(&head) {
            Some(200) => Ok(body),
            _ => Err(Error::new(format!("answered `{}`", head.lines().next().unwrap_or_default()))),
        }
    }

    /// The same, whatever its status: head and body.
    pub(super) fn receive_any(&mut self) -> Result<(String, Vec<u8>)> {
        let mut bytes = Vec::with_capacity(512);
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some((head, body_at)) = split_head(&bytes) {
                let length = content_length(head)?;
                if bytes.len() >= body_at + length {
                    let head = head.to_owned();
                    bytes.truncate(body_at + length);
                    return Ok((head, bytes.split_off(body_at)));
                }
            }
            match self.stream.read(&mut chunk).context("reading an answer")? {
                0 => return Err(Error::new("the connection was closed before the answer was complete")),
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.send(path)?;
        self.receive()
    }
}

/// The head as text, and where the body begins.
fn split_head(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).unwrap_or_default(), end + 4))
}

/// The status of a head.
pub(super) fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

fn content_length(head: &str) -> Result<usize> {
    let length = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .context("an answer without Content-Length")?;
    if length > BODY_MAX { Err(Error::new(format!("a body of {length} bytes"))) } else { Ok(length) }
}

/// Asks `port` for `path` until it answers 200. `still_running` fails when waiting has become pointless.
pub(super) fn wait_until_up(
    port: u16,
    path: &str,
    mut still_running: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = clock::now() + START_LIMIT;
    loop {
        still_running()?;
        match Client::connect(port).and_then(|mut client| client.get(path)) {
            Ok(_) => return Ok(()),
            Err(error) if clock::now() > deadline => {
                return Err(Error::new(format!("not up after {}: {error}", clock::human(START_LIMIT))));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, content_length, free_ports, status, wait_until_up};
    use crate::error::Error;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports().expect("ports");
        assert!(a != b && b != c && a != c && a != 0);
    }

    #[test]
    fn an_answer_in_pieces_is_read_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("bound").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            for _ in 0..2 {
                let mut request = [0; 128];
                assert!(stream.read(&mut request).expect("a request") > 0);
                for piece in ["HTTP/1.1 200 OK\r\ncontent-le", "ngth: 5\r\n", "\r\nhe", "llo"] {
                    stream.write_all(piece.as_bytes()).expect("write");
                }
            }
        });
        let mut client = Client::connect(port).expect("connect");
        assert_eq!(client.get("/").expect("answered"), b"hello");
        assert_eq!(client.get("/").expect("answered again"), b"hello");
        server.join().expect("the server is fine");
    }

    #[test]
    fn status_and_length_are_found() {
        assert_eq!(content_length("HTTP/1.1 200 OK\r\nContent-Length: 7").expect("fine"), 7);
        assert_eq!((status("HTTP/1.1 503 No\r\nA: b"), status("nonsense")), (Some(503), None));
        assert!(content_length("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").is_err());
        assert!(content_length("HTTP/1.1 200 OK\r\nContent-Length: 99999999999").is_err());
    }

    #[test]
    fn waiting_ends_when_the_server_has_died() {
        let [port] = free_ports().expect("a port");
        let error = wait_until_up(port, "/", || Err(Error::new("it exited"))).expect_err("died");
        assert_eq!(error.to_string(), "it exited");
    }
}
