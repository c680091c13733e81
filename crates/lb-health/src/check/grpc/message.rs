//! The two messages of the gRPC health protocol, byte by byte; they are too small for a library.
//!
//! ```proto
//! message HealthCheckRequest  { string service = 1; }
//! message HealthCheckResponse { ServingStatus status = 1; }   // UNKNOWN = 0, SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3
//! ```
//!
//! In a gRPC body each message stands behind a prefix of five bytes: whether it is compressed (0: no), and its length in big-endian.
//! A protobuf field is a varint of `number · 8 + kind`, then its value: of kind 0 a varint, of kind 1 eight bytes, of kind 2 a varint
//! with a length and as many bytes, of kind 5 four bytes. A field with its default value is left out. So:
//!
//! | message | bytes after the prefix |
//! |---|---|
//! | a request for the whole server (`service = ""`) | none |
//! | a request for `a.B` | `0A 03 61 2E 42` |
//! | a response `SERVING` | `08 01` |
//! | a response `UNKNOWN` | none |

/// The length of the prefix of a message.
const PREFIX: usize = 5;

/// The largest response, in bytes: two are enough, the rest is room for fields to come.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024;

/// The most bytes of a body that can be a response.
pub(super) const BODY_BYTES_MAX: usize = PREFIX + MESSAGE_BYTES_MAX;

/// A request's body.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0A); // field 1, kind 2
        varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX); // a service's name has 256 bytes at most
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend(message);
    body
}

fn varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n & 0x7F) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8); // below 0x80
}

/// The status number in a response's body, or what is wrong with it.
pub(super) fn response(body: &[u8]) -> Result<u64, &'static str> {
    let (prefix, message) = body.split_first_chunk::<PREFIX>().ok_or("the message is missing")?;
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return Err("the message is compressed, and nobody asked for that");
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err("the body is not one message");
    }
    decode(message).ok_or("the message is no protobuf")
}

fn decode(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = take_varint(&mut message)?,
            (0, _) => return None,
            // Fields to come are skipped.
            (_, 0) => drop(take_varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None // more than ten bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut body = vec![0];
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        body
    }

    #[test]
    fn requests_are_as_documented() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), [0, 0, 0, 0, 5, 0x0A, 3, b'a', b'.', b'B']);
        let long = request(&"x".repeat(200));
        assert_eq!(long[..9], [0, 0, 0, 0, 203, 0x0A, 0xC8, 0x01, b'x']);
    }

    #[test]
    fn responses_are_read_and_fields_to_come_skipped() {
        assert_eq!(response(&framed(&[0x08, 0x01])), Ok(1));
        assert_eq!(response(&framed(&[])), Ok(0));
        let more =
            [0x12, 2, 9, 9, 0x08, 0x02, 0x1D, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 0x80, 0x01];
        assert_eq!(response(&framed(&more)), Ok(2));
    }

    #[test]
    fn what_is_no_response_says_why() {
        for (body, wanted) in [
            (vec![], "missing"),
            (vec![0, 0, 0], "missing"),
            (vec![1, 0, 0, 0, 2, 8, 1], "compressed"),
            (vec![0, 0, 0, 0, 3, 8, 1], "not one message"),
            (vec![0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 2, 8, 1], "not one message"),
            (framed(&[0x08]), "no protobuf"),
            (framed(&[0x0F]), "no protobuf"),
            (framed(&[0x00, 0x00]), "no protobuf"),
            (framed(&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "no protobuf"),
            (
                framed(&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
                "no protobuf",
            ),
        ] {
            assert!(response(&body).unwrap_err().contains(wanted), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = response(&body);
            let _ = decode(&body);
        }
    }
}
