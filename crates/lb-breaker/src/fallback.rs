//! What to answer when no backend may be tried because breakers are open.

use crate::settings::{SettingsError, count};

/// A fixed HTTP response, as a plain value: whoever speaks HTTP sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackResponse {
    /// Default 503 (200–599).
    pub status: u16,
    /// Default "Service temporarily unavailable".
    pub body: String,
    /// Names and values; default `Retry-After: 60`.
    pub headers: Vec<(String, String)>,
}

impl Default for FallbackResponse {
    fn default() -> Self {
        Self {
            status: 503,
            body: "Service temporarily unavailable".into(),
            headers: vec![("Retry-After".into(), "60".into())],
        }
    }
}

impl FallbackResponse {
    /// A response without headers.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), headers: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether it can be sent.
    ///
    /// # Errors
    /// The status is not a final one, a header's name is no token, or its value has control characters (which would let it
    /// write headers of its own).
    pub fn validate(&self) -> Result<(), SettingsError> {
        count("status", self.status.into(), 200, 599)?;
        for (name, value) in &self.headers {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(not_http(name, "a header's name is letters, digits and !#$%&'*+-.^_`|~"));
            }
            if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                return Err(not_http(value, "a header's value has no control characters"));
            }
        }
        Ok(())
    }
}

fn not_http(value: &str, why: &'static str) -> SettingsError {
    SettingsError::NotHttp { field: "headers", value: value.to_owned(), why }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_contracts_and_valid() {
        let d = FallbackResponse::default();
        assert_eq!((d.status, d.body.as_str()), (503, "Service temporarily unavailable"));
        assert_eq!(d.headers, [("Retry-After".to_owned(), "60".to_owned())]);
        assert_eq!(d.validate(), Ok(()));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let error = |r: FallbackResponse| r.validate().unwrap_err().to_string();
        assert_eq!(error(FallbackResponse::new(100, "")), "status = 100: must be from 200 to 599");
        let split = FallbackResponse::new(503, "").header("X-A", "b\r\nSet-Cookie: c");
        assert!(error(split).starts_with("headers = \"b\\r\\nSet-Cookie: c\""));
        assert!(error(FallbackResponse::new(503, "").header("X A", "b")).starts_with("headers = \"X A\""));
        assert!(FallbackResponse::new(200, "é").header("X-A", "").validate().is_ok());
    }
}
