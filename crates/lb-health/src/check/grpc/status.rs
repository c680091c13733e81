//! What the numbers of gRPC are called, for people.

use std::borrow::Cow;

/// The names of `grpc-status`, by number (`google.rpc.Code`).
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The most characters of a server's message that are kept.
const MESSAGE_CHARS_MAX: usize = 128;

/// The name of a `grpc-status`: of one that is no known number, what it says.
pub(super) fn code(text: &str) -> Cow<'static, str> {
    match text.parse().ok().and_then(|n: usize| CODES.get(n)) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(text.chars().take(16).collect()),
    }
}

/// The name of a serving status, that of `grpc.health.v1.HealthCheckResponse`.
pub(super) fn serving(status: u64) -> Cow<'static, str> {
    match status {
        0 => Cow::Borrowed("UNKNOWN"),
        1 => Cow::Borrowed("SERVING"),
        2 => Cow::Borrowed("NOT_SERVING"),
        3 => Cow::Borrowed("SERVICE_UNKNOWN"),
        other => Cow::Owned(format!("in status {other}")),
    }
}

/// A `grpc-message`: percent-encoded UTF-8; what is encoded badly stays as it is.
pub(super) fn message(encoded: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let pair = after.first_chunk::<2>().filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let pair = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        let decoded = (byte == b'%').then(|| pair.and_then(|p| u8::from_str_radix(p, 16).ok())).flatten();
        if decoded.is_some() {
            rest = &after[2..];
        }
        bytes.push(decoded.unwrap_or(byte));
        if bytes.len() >= MESSAGE_CHARS_MAX * 4 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names() {
        assert_eq!(["0", "5", "12", "16"].map(code), ["OK", "NOT_FOUND", "UNIMPLEMENTED", "UNAUTHENTICATED"]);
        assert_eq!(["17", "-1", "x"].map(code), ["17", "-1", "x"]);
        assert_eq!([0, 1, 2, 3, 9].map(serving)[3..], ["SERVICE_UNKNOWN", "in status 9"]);
    }

    #[test]
    fn messages_are_decoded_and_bounded() {
        assert_eq!(message(b"disk full: 100%25 of %C3%A9t%C3%A9"), "disk full: 100% of été");
        assert_eq!(message(b"%zz %4 %+1 a%00b%"), "%zz %4 %+1 ab%");
        assert_eq!(message(&[b'x'; 1000]).len(), MESSAGE_CHARS_MAX);
    }
}
