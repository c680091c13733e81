//! What a client is told whose request was shed.

use lb_types::SettingsError;

/// A fixed HTTP response, as a plain value: whoever speaks HTTP sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShedResponse {
    /// Default 503 (200–599).
    pub status: u16,
    /// Default "Service overloaded, please try again later".
    pub body: String,
    /// Names and values; default `Retry-After: 30`.
    pub headers: Vec<(String, String)>,
}

impl Default for ShedResponse {
    fn default() -> Self {
        Self::new(503, "Service overloaded, please try again later").header("Retry-After", "30")
    }
}

impl ShedResponse {
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
        if !(200..=599).contains(&self.status) {
            return Err(SettingsError::new("status", self.status, "must be from 200 to 599"));
        }
        for (name, value) in &self.headers {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                let must = "a header's name is letters, digits and !#$%&'*+-.^_`|~";
                return Err(SettingsError::new("headers", name, must));
            }
            if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                return Err(SettingsError::new(
                    "headers",
                    value,
                    "a header's value has no control characters",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_contracts_and_valid() {
        let d = ShedResponse::default();
        assert_eq!((d.status, d.body.as_str()), (503, "Service overloaded, please try again later"));
        assert_eq!(d.headers, [("Retry-After".to_owned(), "30".to_owned())]);
        assert_eq!(d.validate(), Ok(()));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let error = |r: ShedResponse| r.validate().unwrap_err().to_string();
        assert_eq!(error(ShedResponse::new(100, "")), "status = 100: must be from 200 to 599");
        let split = ShedResponse::new(503, "").header("X-A", "b\r\nSet-Cookie: c");
        assert!(error(split).ends_with("a header's value has no control characters"));
        let name = ShedResponse::new(503, "").header("X A", "b");
        assert!(error(name).starts_with(r#"headers = "X A": a header's name is"#));
    }
}
