//! Web origins (RFC 6454) as patterns: `https://app.example.com`, or `https://*.example.com` for whatever stands before it.
//!
//! A browser writes scheme and host in lower case and leaves the usual port out; so a pattern is one comparison of bytes. It lacks regular expressions.

use lb_types::SettingsError;

/// An origin, or all below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Exact(Box<str>),
    /// A scheme with `://`, and what the host ends in: `.example.com`, with its port.
    Below(Box<str>, Box<str>),
}

impl OriginPattern {
    /// Reads one.
    ///
    /// # Errors
    /// No scheme or host, capitals, a path, a port that browsers leave out; `null`, which every sandboxed page has.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let wrong = |must: &str| SettingsError::new("origins", text, must);
        if text == "null" {
            return Err(wrong("must not be null: every sandboxed page has that origin"));
        }
        let must = "must be a scheme and a host in lower case, such as https://app.example.com or https://*.example.com";
        let (scheme, host) = text.split_once("://").ok_or_else(|| wrong(must))?;
        let (wild, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        let is_scheme =
            !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let is_name = !name.is_empty()
            && !name.starts_with([':', '.'])
            && name.bytes().all(|b| is_of_host(b) || b":[]".contains(&b));
        if !is_scheme || !is_name || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(wrong(must));
        }
        let usual = match scheme {
            "http" => Some(":80"),
            "https" => Some(":443"),
            _ => None,
        };
        if usual.is_some_and(|port| name.ends_with(port)) {
            return Err(wrong("must be without its usual port, as browsers write it"));
        }
        Ok(Self(match wild {
            true => Kind::Below(format!("{scheme}://").into(), format!(".{name}").into()),
            false => Kind::Exact(text.into()),
        }))
    }

    /// Is this origin meant?
    pub fn is(&self, origin: &str) -> bool {
        match &self.0 {
            Kind::Exact(own) => **own == *origin,
            Kind::Below(scheme, end) => origin
                .strip_prefix(&**scheme)
                .and_then(|host| host.strip_suffix(&**end))
                .is_some_and(|below| !below.is_empty() && below.bytes().all(is_of_host)),
        }
    }
}

/// Nothing that ends a host.
fn is_of_host(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::OriginPattern;

    #[test]
    fn an_origin_is_meant_or_not() {
        for (pattern, origin, meant) in [
            ("https://app.example.com", "https://app.example.com", true),
            ("https://app.example.com", "https://app.example.com.evil.example", false),
            ("https://app.example.com", "http://app.example.com", false),
            ("https://app.example.com", "https://app.example.com:8443", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("http://[::1]:3000", "http://[::1]:3000", true),
            ("https://*.example.org", "https://a.b.example.org", true),
            ("https://*.example.org", "https://example.org", false),
            ("https://*.example.org", "https://evilexample.org", false),
            ("https://*.example.org", "https://evil.example/.example.org", false),
            ("https://*.example.org", "https://.example.org", false),
            ("https://*.example.org:8443", "https://a.example.org:8443", true),
            ("https://*.example.org:8443", "https://a.example.org", false),
        ] {
            assert_eq!(OriginPattern::parse(pattern).unwrap().is(origin), meant, "{pattern} {origin}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused() {
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://*.",
            "https://*",
            "https://a.*.example",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "://a.example",
        ] {
            assert_eq!(OriginPattern::parse(bad).unwrap_err().field, "origins", "{bad}");
        }
    }
}
