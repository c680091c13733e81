//! A response that does not depend on the request: what clients are told in place of a backend's answer.

use crate::SettingsError;

/// A fixed HTTP response, as a plain value: whoever speaks HTTP sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FixedResponse {
    /// 200–599.
    pub status: u16,
    /// Sent as UTF-8 text, unless a header says otherwise.
    pub body: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl FixedResponse {
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

    /// Whether it has this header, in whichever case.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
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
                let must = "a header's value has no control characters";
                return Err(SettingsError::new("headers", value, must));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let error = |r: FixedResponse| r.validate().unwrap_err().to_string();
        assert_eq!(error(FixedResponse::new(100, "")), "status = 100: must be from 200 to 599");
        let split = FixedResponse::new(503, "").header("X-A", "b\r\nSet-Cookie: c");
        assert!(error(split).starts_with("headers = \"b\\r\\nSet-Cookie: c\""));
        assert!(error(FixedResponse::new(503, "").header("X A", "b")).starts_with("headers = \"X A\""));
        let fine = FixedResponse::new(200, "é").header("X-A", "");
        assert!(fine.validate().is_ok() && fine.has_header("x-a") && !fine.has_header("x"));
    }
}
