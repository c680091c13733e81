//! A client of the admin API: one request a connection, everything bounded.

use crate::failure::Failure;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest answer that is read: a pool of 100 000 backends.
const ANSWER_MAX: u64 = 128 << 20;

/// Where to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    patience: Duration,
}

/// A path segment as it may stand in a URL.
pub(crate) fn encode(segment: &str) -> String {
    let mut out = String::new();
    for b in segment.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, patience: PATIENCE }
    }

    /// Waits longer for an answer.
    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What it answers. What it refuses is a failure, in its own words.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let (status, body) = self.exchange(method, path, body).map_err(|e| {
            Failure::Runtime(format!(
                "no answer from the admin API at {}: {e}\nhelp: does edge-lb run there with an admin address? \
                 --admin or EDGE_LB_ADMIN names another",
                self.address
            ))
        })?;
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|_| Failure::Runtime(format!("{} does not answer as edge-lb does", self.address)))?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
        Err(Failure::Runtime(detail))
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONNECT)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let (address, length) = (self.address, body.len());
        // HTTP/1.0: the answer ends with its connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{kind}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no HTTP"))
    }
}

/// Status and body of a whole answer.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut words = head.lines().next()?.split(' ');
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    version.starts_with("HTTP/1.").then(|| (status, answer[end + 4..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_others_refused() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, b"{}".to_vec())));
        assert_eq!(parse(b"HTTP/1.1 404 Not Found\r\n\r\n"), Some((404, vec![])));
        for bad in
            [&b""[..], b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 x\r\n\r\n", b"\xff\r\n\r\n"]
        {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn any_id_can_stand_in_a_path() {
        assert_eq!(encode("10.0.0.1:80"), "10.0.0.1%3A80");
        assert_eq!(encode("a/b ü?"), "a%2Fb%20%C3%BC%3F");
    }
}
