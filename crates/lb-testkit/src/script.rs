//! What a backend does with a request: steps, put together by a [`Reply`].

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One thing that a backend does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes as they are.
    Send(Vec<u8>),
    /// Sends a byte so many times, in parts, as fast as the peer takes them.
    Fill {
        /// The byte.
        byte: u8,
        /// How often.
        count: u64,
    },
    /// Sends a response, without its body if the request was a HEAD.
    Answer(Answer),
    /// Reads the request's body to its end and sends it back with status 200; in chunks of 16 KiB or with its length.
    EchoBody {
        /// Whether in chunks.
        chunked: bool,
    },
    /// Reads the request's body to its end. Done before the first step unless the reply is [early](Reply::early), and in
    /// any case before the next request.
    ReadBody,
    /// Does nothing for a while. Does not read either.
    Pause(Duration),
    /// Does nothing until the gate is open. Does not read either.
    Wait(Gate),
    /// Waits for the first byte of the next request: then it is too late for the peer to notice a close in time.
    AwaitNextByte,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Reads and says nothing until the peer leaves.
    Hang,
}

/// Everything that a backend does with one request. Afterwards it waits for the next one.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub(crate) steps: Vec<Step>,
    pub(crate) early: bool,
}

impl Reply {
    /// These steps.
    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), early: false }
    }

    /// A response.
    pub fn answer(answer: Answer) -> Self {
        Self::steps([Step::Answer(answer)])
    }

    /// Status 200 with a text.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::answer(Answer::ok(body))
    }

    /// A response without a body.
    pub fn status(status: u16) -> Self {
        Self::answer(Answer::new(status))
    }

    /// Bytes as they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::steps([Step::Send(bytes.into())])
    }

    /// One more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// A step before all others.
    #[must_use]
    pub fn after(mut self, step: Step) -> Self {
        self.steps.insert(0, step);
        self
    }

    /// Does not wait for the request's body.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

/// How the end of an answer's body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// By `Content-Length`.
    Length,
    /// By chunks of this size.
    Chunked(usize),
    /// By closing the connection.
    UntilClose,
    /// There is none, and no header speaks of it: 204 and 304.
    Absent,
}

/// A well-formed response.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    kind: BodyKind,
    trailers: Vec<(String, String)>,
}

impl Answer {
    /// With this status and an empty body.
    pub fn new(status: u16) -> Self {
        let kind = if matches!(status, 100..=199 | 204 | 304) { BodyKind::Absent } else { BodyKind::Length };
        Self { status, headers: Vec::new(), body: Vec::new(), kind, trailers: Vec::new() }
    }

    /// Status 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200).body(body)
    }

    /// Another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// One more header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A field in the trailer; the body is chunked then.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another way to mark the end of the body.
    #[must_use]
    pub fn kind(mut self, kind: BodyKind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn is_closed_after(&self) -> bool {
        self.kind == BodyKind::UntilClose
    }

    /// The bytes of the response to a request with `method`, from the backend `id`.
    pub fn bytes(&self, method: &str, id: &str) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Scripted\r\nX-Served-By: {id}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut body = Vec::new();
        match self.kind {
            BodyKind::Length => {
                head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
                body.extend_from_slice(&self.body);
            }
            BodyKind::Chunked(size) => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                for part in self.body.chunks(size.max(1)) {
                    body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    body.extend_from_slice(part);
                    body.extend_from_slice(b"\r\n");
                }
                body.extend_from_slice(b"0\r\n");
                for (name, value) in &self.trailers {
                    body.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                body.extend_from_slice(b"\r\n");
            }
            BodyKind::UntilClose => {
                head.push_str("Connection: close\r\n");
                body.extend_from_slice(&self.body);
            }
            BodyKind::Absent => {}
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if method != "HEAD" {
            bytes.append(&mut body);
        }
        bytes
    }
}

/// Closed until a test opens it; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        // The sender lives in `self`, so waiting ends only when the gate is open.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
