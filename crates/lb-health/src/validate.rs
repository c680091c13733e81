//! Which settings make sense: bounds, and what an HTTP request may consist of.
//!
//! Parsing of text (durations, ranges, "http" or "tcp") is the config file's matter; here the values are looked at, so that a
//! program that sets them in code gets the same errors.

use crate::error::bad;
use crate::{CheckKind, GrpcCheck, HealthCheck, HealthCheckError, HttpCheck, TlsCheck, expect};
use lb_types::BackendUrl;
use std::net::IpAddr;
use std::time::Duration;

/// Shorter intervals and time-outs are taken for mistakes: they would be a load of their own.
pub const SHORTEST: Duration = Duration::from_millis(10);
/// Longer intervals and time-outs are taken for mistakes, too (and keep timers far from overflow).
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The highest `jitter_percent`.
pub const JITTER_PERCENT_MAX: u8 = 50;
/// The highest `max_concurrent`: each check under way is a socket.
pub const CONCURRENT_MAX: usize = 4096;
/// The longest path, in bytes; servers commonly accept 8 KiB for the whole request head.
pub const PATH_BYTES_MAX: usize = 4096;
/// The longest name of a gRPC service, in bytes.
pub const SERVICE_BYTES_MAX: usize = 256;

/// Headers (in lower case) that say how the message is framed or the connection used: the checker's own business.
pub const OWN_HEADERS: [&str; 6] =
    ["connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"];

impl HealthCheck {
    /// Looks at every setting.
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`] names the first field out of bounds, its value and what would be right.
    pub fn validate(&self) -> Result<(), HealthCheckError> {
        for (field, value) in [("interval", self.interval), ("timeout", self.timeout)] {
            if !(SHORTEST..=LONGEST).contains(&value) {
                return Err(bad(field, format!("{value:?}"), "it must be from 10 ms to 24 h"));
            }
        }
        for (field, value) in
            [("unhealthy_threshold", self.unhealthy_threshold), ("healthy_threshold", self.healthy_threshold)]
        {
            if value == 0 {
                return Err(bad(field, "0", "it must be 1 or more"));
            }
        }
        if self.jitter_percent > JITTER_PERCENT_MAX {
            return Err(bad("jitter_percent", self.jitter_percent.to_string(), "it must be from 0 to 50"));
        }
        if !(1..=CONCURRENT_MAX).contains(&self.max_concurrent) {
            return Err(bad("max_concurrent", self.max_concurrent.to_string(), "it must be from 1 to 4096"));
        }
        self.tls.validate()?;
        match &self.kind {
            CheckKind::Http(http) => http.validate(),
            CheckKind::Grpc(grpc) => grpc.validate(),
            CheckKind::Tcp if self.tls != TlsCheck::default() => {
                Err(bad("tls", format!("{:?}", self.tls), "a tcp check connects and does no more"))
            }
            CheckKind::Tcp => Ok(()),
        }
    }
}

impl TlsCheck {
    /// Looks at every setting; the file of `ca` is read when backends are set.
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`], as [`HealthCheck::validate`].
    pub fn validate(&self) -> Result<(), HealthCheckError> {
        match &self.server_name {
            Some(name) if !is_host(name) => {
                Err(bad("tls.server_name", format!("{name:?}"), "it must be a host name or an IP address"))
            }
            _ => Ok(()),
        }
    }
}

impl GrpcCheck {
    /// Looks at every setting.
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`], as [`HealthCheck::validate`].
    pub fn validate(&self) -> Result<(), HealthCheckError> {
        if self.service.len() > SERVICE_BYTES_MAX {
            return Err(bad(
                "service",
                format!("{} bytes", self.service.len()),
                "it must be 256 bytes at most",
            ));
        }
        if self.service.chars().any(char::is_control) {
            return Err(bad("service", format!("{:?}", self.service), "it has a control character"));
        }
        Ok(())
    }
}

/// An IP address or a name, with nothing around it.
fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || !text.contains([':', '/', '@', '[']) && BackendUrl::http(text, 1).is_ok()
}

impl HttpCheck {
    /// Looks at every setting of the request and of the answer.
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`], as [`HealthCheck::validate`].
    pub fn validate(&self) -> Result<(), HealthCheckError> {
        let path = || format!("{:?}", self.path);
        if !self.path.starts_with('/') {
            return Err(bad("path", path(), "it must start with /"));
        }
        if self.path.len() > PATH_BYTES_MAX {
            return Err(bad("path", format!("{} bytes", self.path.len()), "it must be 4096 bytes at most"));
        }
        if !self.path.bytes().all(is_path_or_query_byte) {
            return Err(bad(
                "path",
                path(),
                "a character may not stand in a URL's path or query: percent-encode it",
            ));
        }
        let method = || format!("{:?}", self.method);
        if self.method.is_empty() || !self.method.bytes().all(is_token_byte) {
            return Err(bad("method", method(), "it must be an HTTP method, such as GET"));
        }
        if self.method.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(bad("method", method(), "methods are case-sensitive: write it in upper case"));
        }
        if self.method == "CONNECT" {
            return Err(bad("method", method(), "it asks for a tunnel, not for an answer"));
        }
        if self.expected_status.is_empty() {
            return Err(bad("expected_status", "[]", "it must name one status at least"));
        }
        for range in &self.expected_status {
            let (low, high) = (*range.start(), *range.end());
            // 1xx alone could never pass: such answers are interim.
            if low > high || low < 100 || !(200..=599).contains(&high) {
                let value = format!("{low}-{high}");
                return Err(bad(
                    "expected_status",
                    value,
                    "it must be a status from 200 to 599, or a range that ends there",
                ));
            }
        }
        if let Some(expected) = &self.expected_body {
            if self.method == "HEAD" {
                return Err(bad("expected_body", format!("{expected:?}"), "an answer to HEAD has no body"));
            }
            expect::validate_expected_body(expected)?;
        }
        self.headers.iter().try_for_each(|(name, value)| {
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return Err(bad("headers", format!("{name:?}"), "this is no header's name"));
            }
            if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                return Err(bad("headers", format!("{name:?}"), "the checker sets this header itself"));
            }
            if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                return Err(bad("headers", format!("{name:?}"), "its value has a control character"));
            }
            Ok(())
        })
    }
}

/// RFC 9110 `tchar`.
fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// RFC 3986 `pchar`, `/` and `?`.
fn is_path_or_query_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%?".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_types::ExpectedBody;

    fn with(change: impl FnOnce(&mut HealthCheck, &mut HttpCheck)) -> HealthCheck {
        let (mut check, mut http) = (HealthCheck::default(), HttpCheck::default());
        change(&mut check, &mut http);
        check.kind = CheckKind::Http(http);
        check
    }

    #[test]
    fn defaults_and_edges_are_valid() {
        for good in [
            HealthCheck::default(),
            HealthCheck::tcp(),
            HealthCheck::grpc(""),
            HealthCheck::grpc("shop.v1.Cart"),
            HealthCheck::default().tls(TlsCheck::always().server_name("::1").ca("/none")),
            HealthCheck::http("/a/%20b?c=d&e=/?"),
            HealthCheck::tcp().interval(SHORTEST).timeout(LONGEST).thresholds(1, u32::MAX).jitter_percent(50),
            with(|_, h| h.expected_status = vec![100..=399, 503..=503]),
            with(|_, h| {
                h.headers = vec![("Host".into(), "a".into()), ("X-A".into(), "\tü".into())];
            }),
        ] {
            assert_eq!(good.validate(), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn each_bad_setting_is_named_with_its_value() {
        let ms = Duration::from_millis;
        type Case = (HealthCheck, &'static str, &'static str);
        #[allow(clippy::reversed_empty_ranges)] // the mistake under test
        let cases: Vec<Case> = vec![
            (with(|c, _| c.interval = ms(0)), "interval", "0ns"),
            (with(|c, _| c.interval = Duration::MAX), "interval", "s"),
            (with(|c, _| c.timeout = ms(9)), "timeout", "9ms"),
            (with(|c, _| c.unhealthy_threshold = 0), "unhealthy_threshold", "0"),
            (with(|c, _| c.healthy_threshold = 0), "healthy_threshold", "0"),
            (with(|c, _| c.jitter_percent = 51), "jitter_percent", "51"),
            (with(|c, _| c.max_concurrent = 0), "max_concurrent", "0"),
            (with(|c, _| c.max_concurrent = 4097), "max_concurrent", "4097"),
            (with(|_, h| h.path = "health".into()), "path", "\"health\""),
            (with(|_, h| h.path = "/a b".into()), "path", "\"/a b\""),
            (with(|_, h| h.path = "/a\r\nX: y".into()), "path", r#""/a\r\nX: y""#),
            (with(|_, h| h.path = "/#a".into()), "path", "\"/#a\""),
            (with(|_, h| h.path = format!("/{}", "a".repeat(4096))), "path", "4097 bytes"),
            (with(|_, h| h.method = String::new()), "method", "\"\""),
            (with(|_, h| h.method = "G T".into()), "method", "\"G T\""),
            (with(|_, h| h.method = "get".into()), "method", "\"get\""),
            (with(|_, h| h.method = "CONNECT".into()), "method", "\"CONNECT\""),
            (HealthCheck::tcp().tls(TlsCheck::always()), "tls", "enabled: Some(true)"),
            (with(|c, _| c.tls.server_name = Some("a:1".into())), "tls.server_name", "\"a:1\""),
            (HealthCheck::grpc("x".repeat(257)), "service", "257 bytes"),
            (HealthCheck::grpc("a\n"), "service", "\"a\\n\""),
            (with(|_, h| h.expected_status = vec![]), "expected_status", "[]"),
            (with(|_, h| h.expected_status = vec![300..=200]), "expected_status", "300-200"),
            (with(|_, h| h.expected_status = vec![100..=100]), "expected_status", "100-100"),
            (with(|_, h| h.expected_status = vec![200..=600]), "expected_status", "200-600"),
            (
                with(|_, h| h.expected_body = Some(ExpectedBody::Contains(String::new()))),
                "expected_body",
                "\"\"",
            ),
            (
                with(|_, h| {
                    h.method = "HEAD".into();
                    h.expected_body = Some(ExpectedBody::Exact("OK".into()));
                }),
                "expected_body",
                "OK",
            ),
            (with(|_, h| h.headers = vec![("a b".into(), "c".into())]), "headers", "\"a b\""),
            (with(|_, h| h.headers = vec![("Connection".into(), "close".into())]), "headers", "Connection"),
            (with(|_, h| h.headers = vec![("X-A".into(), "a\r\nb: c".into())]), "headers", "\"X-A\""),
        ];
        for (check, field, value) in cases {
            let error = check.validate().unwrap_err();
            assert!(
                matches!(&error, HealthCheckError::BadSetting { field: f, .. } if *f == field),
                "{error}"
            );
            assert!(error.to_string().contains(value), "{error} lacks {value}");
        }
    }
}
