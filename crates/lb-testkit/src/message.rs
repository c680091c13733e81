//! Heads of requests and responses, parsed by `httparse`, and how their bodies are framed.

/// More header lines than this in one head: not something a test sends through.
const HEADERS_MAX: usize = 1_024;

/// Header fields in their order, names as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a field; names are compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// All values of a field, in their order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// Whether a field is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a comma-separated field has this element.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name).into_iter().flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(element))
    }

    fn from_parsed(parsed: &[httparse::Header<'_>]) -> Self {
        let text = |value| String::from_utf8_lossy(value).into_owned();
        Self(parsed.iter().map(|h| (h.name.to_owned(), text(h.value))).collect())
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`; 0 where there is no body.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, …
    pub method: String,
    /// As it stood in the request line.
    pub target: String,
    /// 0 or 1, of HTTP/1.0 and 1.1.
    pub minor_version: u8,
    /// The header fields.
    pub headers: Headers,
}

impl RequestHead {
    /// The head at the start of `bytes` and its length; `None` while it is not whole.
    ///
    /// # Errors
    /// When the bytes are no request.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = vec![httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(bytes)? else { return Ok(None) };
        let head = Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            minor_version: parsed.version.unwrap_or(1),
            headers: Headers::from_parsed(parsed.headers),
        };
        Ok(Some((head, length)))
    }

    /// How the body is framed.
    pub fn framing(&self) -> Framing {
        framing(&self.headers).unwrap_or(Framing::Length(0))
    }

    /// Whether the connection ends after this exchange.
    pub fn closes(&self) -> bool {
        self.headers.lists("connection", "close")
            || (self.minor_version == 0 && !self.headers.lists("connection", "keep-alive"))
    }
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 200, …
    pub status: u16,
    /// The words after the status.
    pub reason: String,
    /// 0 or 1, of HTTP/1.0 and 1.1.
    pub minor_version: u8,
    /// The header fields.
    pub headers: Headers,
}

impl ResponseHead {
    /// The head at the start of `bytes` and its length; `None` while it is not whole.
    ///
    /// # Errors
    /// When the bytes are no response.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = vec![httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(bytes)? else { return Ok(None) };
        let head = Self {
            status: parsed.code.unwrap_or_default(),
            reason: parsed.reason.unwrap_or_default().to_owned(),
            minor_version: parsed.version.unwrap_or(1),
            headers: Headers::from_parsed(parsed.headers),
        };
        Ok(Some((head, length)))
    }

    /// How the body is framed, in answer to a request with `method`.
    pub fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || matches!(self.status, 100..=199 | 204 | 304) {
            return Framing::Length(0);
        }
        framing(&self.headers).unwrap_or(Framing::UntilClose)
    }

    /// Whether the connection ends after this exchange.
    pub fn closes(&self) -> bool {
        self.headers.lists("connection", "close")
            || (self.minor_version == 0 && !self.headers.lists("connection", "keep-alive"))
    }
}

fn framing(headers: &Headers) -> Option<Framing> {
    if headers.lists("transfer-encoding", "chunked") {
        return Some(Framing::Chunked);
    }
    headers.get("content-length").and_then(|v| v.parse().ok()).map(Framing::Length)
}
