//! The signature of an order: HMAC-SHA256 (RFC 2104) over the time, a dot and the body.
//!
//! With the time in it a receiver can refuse what somebody recorded and sends again later.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;

/// The value of the signature's header: `t=SECONDS,v1=HEX`, the time in seconds since 1970. A receiver computes it of what it got and
/// compares without giving away by its time how much is right.
pub fn signature(secret: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length (RFC 2104)");
    mac.update(unix_seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = format!("t={unix_seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1700000000.{"desired":4}' | openssl dgst -sha256 -hmac 'a secret of sixteen'`
    #[test]
    fn as_openssl_computes_it() {
        let signed = signature(b"a secret of sixteen", 1_700_000_000, br#"{"desired":4}"#);
        assert_eq!(
            signed,
            "t=1700000000,v1=6d4d588a7d5f265405f3bb767df1531bed59fd9e9b8e6411e8be5ebceab9825a"
        );
    }

    #[test]
    fn time_body_and_secret_all_count() {
        let signed = signature(b"secret", 1, b"body");
        assert_ne!(signed[3..], signature(b"secret", 2, b"body")[3..]);
        assert_ne!(signed, signature(b"secret", 1, b"Body"));
        assert_ne!(signed, signature(b"Secret", 1, b"body"));
    }
}
