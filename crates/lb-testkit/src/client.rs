//! A blocking client of one connection that sends what it is told and reads responses.

use crate::address::{Address, Stream};
use crate::decode::BodyDecoder;
use crate::message::{Headers, ResponseHead};
use crate::wait::Stopwatch;
use std::io;
use std::time::Duration;

/// How long a read waits unless told otherwise: far above what a loaded machine needs, below a test runner's patience.
const READ_LIMIT: Duration = Duration::from_secs(15);

/// A response, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its head.
    pub head: ResponseHead,
    /// Its body, without the chunks.
    pub body: Vec<u8>,
    /// The lines of its trailer.
    pub trailers: Vec<String>,
    /// The statuses of the interim responses (1xx) that came before it.
    pub interim: Vec<u16>,
}

impl Response {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// Its headers.
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The id of the scripted backend that answered, if one did.
    pub fn served_by(&self) -> Option<&str> {
        self.header("x-served-by")
    }
}

/// Why there is no whole response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The connection ended before the first byte.
    #[error("closed without a byte")]
    Closed,
    /// The connection ended in the middle.
    #[error("cut off after {0:?}")]
    Cut(String),
    /// The connection was reset.
    #[error("reset after {0:?}")]
    Reset(String),
    /// Nothing more came in time.
    #[error("nothing more came within {0:?}")]
    TimedOut(Duration),
    /// What came is no response.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Something else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    limit: Duration,
    host: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: &Address) -> io::Result<Self> {
        let stream = address.connect(READ_LIMIT)?;
        Ok(Self { stream, buffer: Vec::new(), limit: READ_LIMIT, host: "test".to_owned() })
    }

    /// Connects and sends one request without a body.
    ///
    /// # Errors
    /// When there is no whole response.
    pub fn get(address: &Address, target: &str) -> Result<Response, ReadError> {
        Self::connect(address)?.request("GET", target, &[], b"")
    }

    /// What [`request`](Self::request) says as `Host` from now on; `test` before.
    pub fn set_host(&mut self, host: &str) {
        host.clone_into(&mut self.host);
    }

    /// How long to wait for each read from now on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// A small receive buffer, so that the server soon feels that nobody reads.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        self.stream.set_receive_buffer(bytes)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone or nobody takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a part again and again, until `total` bytes went out or the server has taken none for `stall`; how many went.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_until_stalled(&mut self, part: &[u8], total: u64, stall: Duration) -> io::Result<u64> {
        let mut sent = 0;
        while sent < total {
            match self.stream.write_within(stall, part)? {
                0 => break,
                n => sent += n as u64,
            }
        }
        Ok(sent)
    }

    /// Sends a request with `Host`, the headers and, if the body is not empty, its length; reads the response.
    ///
    /// # Errors
    /// When there is no whole response.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, ReadError> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes)?;
        self.read(method)
    }

    /// Reads the response to a request with `method`.
    ///
    /// # Errors
    /// When there is no whole response.
    pub fn read(&mut self, method: &str) -> Result<Response, ReadError> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.read_head()?;
            if !(100..=199).contains(&head.status) || head.status == 101 {
                break head;
            }
            interim.push(head.status);
        };
        let mut decoder = BodyDecoder::new(head.framing(method));
        while !decoder.is_done() {
            if self.buffer.is_empty() {
                match self.more() {
                    Ok(()) => {}
                    Err(ReadError::Closed) if decoder.may_end_here() => break,
                    Err(ReadError::Closed) => {
                        let got = format!("status {} and {} bytes of body", head.status, decoder.body.len());
                        return Err(ReadError::Cut(got));
                    }
                    Err(other) => return Err(other),
                }
            }
            let taken = decoder.push(&self.buffer).map_err(ReadError::Malformed)?;
            self.buffer.drain(..taken);
        }
        Ok(Response { head, body: decoder.body, trailers: decoder.trailers, interim })
    }

    /// Reads one head, interim responses included.
    ///
    /// # Errors
    /// When there is no whole head.
    pub fn read_head(&mut self) -> Result<ResponseHead, ReadError> {
        loop {
            let parsed = ResponseHead::parse(&self.buffer)
                .map_err(|e| ReadError::Malformed(format!("{e}: {:?}", start(&self.buffer))))?;
            if let Some((head, length)) = parsed {
                self.buffer.drain(..length);
                return Ok(head);
            }
            self.more().map_err(|error| match error {
                ReadError::Closed if !self.buffer.is_empty() => ReadError::Cut(start(&self.buffer)),
                other => other,
            })?;
        }
    }

    /// Everything until the server closes; a reset ends it, too.
    ///
    /// # Errors
    /// When the server does not close in time.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>, ReadError> {
        let watch = Stopwatch::start();
        loop {
            match self.more() {
                Ok(()) if watch.elapsed() < self.limit => {}
                Ok(()) => return Err(ReadError::TimedOut(self.limit)),
                Err(ReadError::Closed | ReadError::Reset(_)) => return Ok(std::mem::take(&mut self.buffer)),
                Err(other) => return Err(other),
            }
        }
    }

    /// Whether the server closes the connection within `limit` without a further byte.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        let before = std::mem::replace(&mut self.limit, limit);
        let closed = matches!(self.more(), Err(ReadError::Closed | ReadError::Reset(_)));
        self.limit = before;
        closed && self.buffer.is_empty()
    }

    /// Reads up to `bytes` of what there is, as it comes, and throws it away; how many were read. 0: the server closed.
    ///
    /// # Errors
    /// When nothing comes in time.
    pub fn take(&mut self, bytes: usize) -> Result<usize, ReadError> {
        if self.buffer.is_empty() {
            match self.more() {
                Ok(()) => {}
                Err(ReadError::Closed) => return Ok(0),
                Err(other) => return Err(other),
            }
        }
        let n = bytes.min(self.buffer.len());
        self.buffer.drain(..n);
        Ok(n)
    }

    /// Says that nothing more will be sent, and still reads.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish_writing(&self) -> io::Result<()> {
        self.stream.finish_writing()
    }

    /// Closes with a reset.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn reset(self) -> io::Result<()> {
        self.stream.reset()
    }

    fn more(&mut self) -> Result<(), ReadError> {
        let mut part = [0; 16 << 10];
        match self.stream.read_within(self.limit, &mut part) {
            Ok(0) => Err(ReadError::Closed),
            Ok(n) => {
                self.buffer.extend_from_slice(&part[..n]);
                Ok(())
            }
            Err(e) => Err(match e.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ReadError::TimedOut(self.limit),
                io::ErrorKind::ConnectionReset => ReadError::Reset(start(&self.buffer)),
                _ => ReadError::Io(e),
            }),
        }
    }
}

/// The start of some bytes, for messages.
fn start(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}
