//! Watches a client's bytes for ambiguous HTTP/1 framing, before the parser sees them.
//!
//! The parser underneath repairs some of what it should refuse: it takes a bare LF for a line end, drops `Content-Length` beside
//! `Transfer-Encoding`, and merges repeated lengths. Two parties that repair differently see two different requests in one stream
//! of bytes (request smuggling), so here such bytes are refused. The watch follows the framing (RFC 9112 §2–7) from message to
//! message; what it finds ambiguous it overwrites with NUL, which no parser takes, so the client gets a 400 and its connection is
//! closed; requests before that are served.
//!
//! Refused: a line that ends in LF alone; a second `Content-Length`, or one that is not digits alone; `Content-Length` beside
//! `Transfer-Encoding`; any `Transfer-Encoding` but a single `chunked`; a chunk size that is not 1–16 hex digits, or its line longer than
//! 4 KiB. All else that is malformed the parser refuses by itself.

use memchr::memchr;

/// The longest line of a chunk's size and extensions.
const CHUNK_LINE_MAX: usize = 4 * 1024;

/// Follows one connection's bytes. See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a request line.
    #[default]
    Start,
    /// Within a head.
    Head,
    /// This many bytes of a body, or of a chunk and its CRLF, are to come.
    Skip {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    Trailers,
    /// Nothing more is let through.
    Refused,
}

impl Framing {
    /// Looks at bytes that were just read, in order; overwrites from the first ambiguous one on (`false`).
    pub(crate) fn check(&mut self, bytes: &mut [u8]) -> bool {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Skip { left, chunked } = self.state {
                let here = left.min((bytes.len() - at) as u64);
                at += here as usize;
                self.state = match left - here {
                    0 if chunked => State::ChunkSize,
                    0 => State::Start,
                    left => State::Skip { left, chunked },
                };
                continue;
            }
            if self.state == State::Refused {
                break;
            }
            let Some(end) = memchr(b'\n', &bytes[at..]).map(|i| at + i) else {
                self.partial.extend_from_slice(&bytes[at..]);
                if self.state == State::ChunkSize && self.partial.len() > CHUNK_LINE_MAX {
                    self.state = State::Refused;
                    break;
                }
                return true;
            };
            if !self.line(&bytes[at..end]) {
                self.state = State::Refused;
                // The line end goes, too: what came before stands in the same line as the NUL and is refused with it.
                at = end - usize::from(end > at && bytes[end - 1] == b'\r');
                break;
            }
            at = end + 1;
        }
        if self.state == State::Refused {
            bytes[at..].fill(0);
            return false;
        }
        true
    }

    /// Has a head begun that is not complete?
    pub(crate) fn is_in_head(&self) -> bool {
        self.state == State::Head || (self.state == State::Start && !self.partial.is_empty())
    }

    /// Is all that came so far whole messages?
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Start && self.partial.is_empty()
    }

    /// A line without its LF (what came of it earlier is in `partial`).
    fn line(&mut self, rest: &[u8]) -> bool {
        if self.partial.is_empty() {
            return self.whole_line(rest);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(rest);
        let ok = self.whole_line(&line);
        line.clear();
        self.partial = line;
        ok
    }

    fn whole_line(&mut self, line: &[u8]) -> bool {
        let Some((b'\r', line)) = line.split_last() else { return false };
        match self.state {
            State::Start if line.is_empty() => true, // RFC 9112 §2.2: an empty line before a request line is skipped
            State::Start => {
                (self.length, self.chunked) = (None, false);
                self.state = State::Head;
                true
            }
            State::Head if line.is_empty() => {
                self.state = match (self.chunked, self.length) {
                    (true, _) => State::ChunkSize,
                    (false, Some(left @ 1..)) => State::Skip { left, chunked: false },
                    _ => State::Start,
                };
                true
            }
            State::Head => self.header(line),
            State::ChunkSize => match chunk_size(line) {
                Some(0) => {
                    self.state = State::Trailers;
                    true
                }
                Some(n) if line.len() <= CHUNK_LINE_MAX && n < u64::MAX - 1 => {
                    self.state = State::Skip { left: n + 2, chunked: true };
                    true
                }
                _ => false,
            },
            State::Trailers => {
                if line.is_empty() {
                    self.state = State::Start;
                }
                true
            }
            State::Skip { .. } | State::Refused => false,
        }
    }

    fn header(&mut self, line: &[u8]) -> bool {
        // Most headers are told apart by their first letter.
        match line[0] | 0x20 {
            b'c' => match value_of(line, b"content-length") {
                Some(_) if self.length.is_some() || self.chunked => false,
                Some(value) => {
                    self.length = digits(value);
                    self.length.is_some()
                }
                None => true,
            },
            b't' => match value_of(line, b"transfer-encoding") {
                Some(_) if self.length.is_some() || self.chunked => false,
                Some(value) => {
                    self.chunked = value.eq_ignore_ascii_case(b"chunked");
                    self.chunked
                }
                None => true,
            },
            _ => true,
        }
    }
}

/// The trimmed value, if the line is this header. A space before the colon is the parser's to refuse.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (n, rest) = line.split_at_checked(name.len())?;
    let rest = rest.strip_prefix(b":")?;
    n.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

fn digits(value: &[u8]) -> Option<u64> {
    let all = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| all)?.parse().ok()
}

/// The size before any extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|&b| b == b';').next()?.trim_ascii_end();
    let all = (1..=16).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(size).ok().filter(|_| all)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the bytes in pieces; gives what was let through and whether all of it was.
    fn run(bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let mut f = Framing::default();
        let mut out = bytes.to_vec();
        let ok = out.chunks_mut(piece).fold(true, |ok, c| ok & f.check(c));
        (out, ok)
    }

    #[test]
    fn good_messages_pass_whole() {
        for m in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na\nb\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\na\nb\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Type: a\r\nTE: trailers\r\nContent-Length:0\r\n\r\n",
        ] {
            for piece in [1, 2, 7, 4096] {
                assert_eq!(run(m.as_bytes(), piece), (m.as_bytes().to_vec(), true), "{m:?} by {piece}");
            }
        }
    }

    #[test]
    fn ambiguous_messages_are_refused() {
        for m in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nabcd",
            "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd",
            "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nabcd",
            "POST / HTTP/1.1\r\nContent-Length: 0x4\r\n\r\nabcd",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
        ] {
            for piece in [1, 3, 4096] {
                let (out, ok) = run(m.as_bytes(), piece);
                assert!(!ok && out.ends_with(b"\0"), "{m:?} by {piece}");
                let nul = out.iter().position(|&b| b == 0).unwrap();
                assert!(
                    !out[..nul].ends_with(b"\r\n\r\n") || m.contains("chunked\r\n\r\n"),
                    "{m:?}: no complete head is let through"
                );
            }
        }
        let long =
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(CHUNK_LINE_MAX));
        assert!(!run(long.as_bytes(), 512).1);
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_bytes_arrive(
            bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), any::<u8>()], 0..200),
            head in prop_oneof![Just("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Just("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"), Just("")],
            piece in 1usize..20,
        ) {
            let m = [head.as_bytes(), &bytes].concat();
            prop_assert_eq!(run(&m, piece).1, run(&m, 4096).1);
        }
    }
}
