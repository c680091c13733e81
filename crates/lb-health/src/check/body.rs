//! A look at an answer's body: at most [`BODY_BYTES_MAX`] of it are read.
//!
//! A longer body is not the expected one where that is `Exact`; `Contains` and `Regex` look at what was read. The body is read to its
//! end (or the bound) within the check's time limit: an endpoint that streams for ever fails.

use super::CheckError;
use super::http::with_causes;
use crate::{HealthCheckError, expect};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use lb_types::ExpectedBody;
use std::error::Error;

/// The most of a body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// How much of a body that was not expected an error shows, in characters.
const EXCERPT_CHARS: usize = 80;

/// An expectation, made ready.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Exact(Bytes),
    /// A literal is a regular expression, too, and the crate is good at them.
    Contains(String, regex::bytes::Regex),
    Regex(regex::bytes::Regex),
}

impl Matcher {
    pub(super) fn new(expected: &ExpectedBody) -> Result<Self, HealthCheckError> {
        expect::validate_expected_body(expected)?;
        match expected {
            ExpectedBody::Exact(text) => Ok(Self::Exact(text.clone().into())),
            ExpectedBody::Contains(text) => {
                Ok(Self::Contains(text.clone(), expect::regex(&regex::escape(text))?))
            }
            ExpectedBody::Regex(pattern) => Ok(Self::Regex(expect::regex(pattern)?)),
            other => Err(crate::error::bad("expected_body", format!("{other:?}"), "it is not known here")),
        }
    }

    pub(super) fn judge(&self, body: &Read) -> Result<(), CheckError> {
        let passes = match self {
            Self::Exact(text) => body.whole && body.bytes == *text,
            Self::Contains(_, regex) | Self::Regex(regex) => regex.is_match(&body.bytes),
        };
        if passes {
            return Ok(());
        }
        let expected = match self {
            Self::Exact(text) => format!("exactly {}", excerpt(text)),
            Self::Contains(text, _) => format!("one with {}", excerpt(text.as_bytes())),
            Self::Regex(regex) => format!("one that matches {}", excerpt(regex.as_str().as_bytes())),
        };
        let more = if body.whole { "" } else { " of more than 64 KiB" };
        Err(CheckError::Body { found: format!("{}{more}", excerpt(&body.bytes)), expected })
    }
}

/// The start of a body, or all of it.
#[derive(Debug)]
pub(super) struct Read {
    bytes: Vec<u8>,
    whole: bool,
}

/// Reads a body to its end or its bound.
pub(super) async fn read<B>(mut body: B) -> Result<Read, CheckError>
where
    B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| CheckError::Http { error: with_causes(&e) })?;
        if let Ok(data) = frame.into_data() {
            let room = BODY_BYTES_MAX - bytes.len();
            bytes.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok(Read { bytes, whole: false });
            }
        }
    }
    Ok(Read { bytes, whole: true })
}

/// The start of a text in quotes, control characters escaped.
fn excerpt(bytes: &[u8]) -> String {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_CHARS * 4)]);
    let shown: String = start.chars().take(EXCERPT_CHARS).collect();
    let cut = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{shown:?}{cut}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expected: &ExpectedBody, bytes: &[u8], whole: bool) -> Option<String> {
        let body = Read { bytes: bytes.to_vec(), whole };
        Matcher::new(expected).unwrap().judge(&body).err().map(|e| e.to_string())
    }

    #[test]
    fn each_kind_passes_what_it_says() {
        let exact = ExpectedBody::Exact("OK".into());
        assert_eq!(judge(&exact, b"OK", true), None);
        assert_eq!(judge(&exact, b"OK\n", true).unwrap(), r#"body "OK\n", expected exactly "OK""#);
        assert_eq!(
            judge(&exact, b"OK", false).unwrap(),
            r#"body "OK" of more than 64 KiB, expected exactly "OK""#
        );
        let contains = ExpectedBody::Contains("(OK)".into());
        assert_eq!(judge(&contains, b"\xff all (OK) here", false), None);
        assert_eq!(judge(&contains, b"OK", true).unwrap(), r#"body "OK", expected one with "(OK)""#);
        let regex = ExpectedBody::Regex("^up (yes|no)$".into());
        assert_eq!(judge(&regex, b"up no", true), None);
        assert_eq!(
            judge(&regex, b"up", true).unwrap(),
            r#"body "up", expected one that matches "^up (yes|no)$""#
        );
    }

    #[test]
    fn excerpts_are_short_and_show_no_control_characters() {
        assert_eq!(excerpt(b""), "\"\"");
        assert_eq!(excerpt(b"a\x1b[31m\0"), r#""a\u{1b}[31m\0""#);
        let long = excerpt("é".repeat(1000).as_bytes());
        assert_eq!(long.chars().count(), EXCERPT_CHARS + 3);
        assert!(long.ends_with("\"…"));
    }
}
