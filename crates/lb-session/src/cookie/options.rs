//! The attributes of the cookie, and the `Set-Cookie` header (RFC 6265bis §4.1).

use crate::key::check_name;
use lb_types::SettingsError;
use std::fmt::Write as _;
use std::time::Duration;

/// The longest `path` and `domain`, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 255;
/// The longest `max_age`: browsers cut it to 400 days (RFC 6265bis §5.5).
pub const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Whether the cookie is for TLS alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secure {
    /// On listeners with TLS.
    #[default]
    Auto,
    /// Always: browsers drop it where it comes without TLS.
    Yes,
    /// Never.
    No,
}

/// Which requests from other sites carry the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// None.
    #[default]
    Strict,
    /// Those that open a page.
    Lax,
    /// All; browsers want `secure` with it.
    None,
}

impl SameSite {
    /// Parses `strict`, `lax` or `none`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "strict" => Some(Self::Strict),
            "lax" => Some(Self::Lax),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    const fn attribute(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// `cookie_options`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CookieOptions {
    /// Scripts do not see it, default true.
    pub http_only: bool,
    /// Default by listener.
    pub secure: Secure,
    /// Default strict.
    pub same_site: SameSite,
    /// How long browsers keep it, default 3600 s (1 s – 400 days); `None`: until they are closed.
    pub max_age: Option<Duration>,
    /// Default `/`.
    pub path: String,
    /// Default none: the host that was asked, without its subdomains.
    pub domain: Option<String>,
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            http_only: true,
            secure: Secure::Auto,
            same_site: SameSite::Strict,
            max_age: Some(Duration::from_secs(3600)),
            path: "/".into(),
            domain: None,
        }
    }
}

impl CookieOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With `HttpOnly` or without.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// When to say `Secure`.
    #[must_use]
    pub fn secure(mut self, secure: Secure) -> Self {
        self.secure = secure;
        self
    }

    /// Another `SameSite`.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Another `Max-Age`; `None`: no such attribute.
    #[must_use]
    pub fn max_age(mut self, max_age: Option<Duration>) -> Self {
        self.max_age = max_age;
        self
    }

    /// Another path.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// A domain whose hosts share the cookie.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Whether a browser would take a cookie called `name` with these attributes.
    ///
    /// # Errors
    /// The first that is wrong, by field and value.
    pub fn validate(&self, name: &str) -> Result<(), SettingsError> {
        check_name("cookie_name", name)?;
        if let Some(age) = self.max_age
            && !(Duration::from_secs(1)..=MAX_AGE_MAX).contains(&age)
        {
            return Err(SettingsError::new("max_age", age, "must be from 1 s to 400 days"));
        }
        let in_attribute = |b: u8| (b' '..=b'~').contains(&b) && b != b';';
        if !self.path.starts_with('/')
            || self.path.len() > ATTRIBUTE_BYTES_MAX
            || !self.path.bytes().all(in_attribute)
        {
            let must = "must start with /, have 255 bytes at most, and neither ; nor control characters";
            return Err(SettingsError::new("path", &self.path, must));
        }
        if let Some(domain) = &self.domain {
            let label = |l: &str| {
                !l.is_empty()
                    && !l.starts_with('-')
                    && !l.ends_with('-')
                    && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if domain.len() > ATTRIBUTE_BYTES_MAX || !domain.split('.').all(label) {
                return Err(SettingsError::new(
                    "domain",
                    domain,
                    "must be a host name, without a dot in front",
                ));
            }
        }
        if self.same_site == SameSite::None && self.secure != Secure::Yes {
            let must = "must be true with same_site = none, or browsers drop the cookie";
            return Err(SettingsError::new("secure", self.secure, must));
        }
        // Browsers compare prefixes without regard to case (RFC 6265bis §5.7).
        let prefixed =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if (prefixed("__Secure-") || prefixed("__Host-")) && self.secure != Secure::Yes {
            return Err(SettingsError::new(
                "secure",
                self.secure,
                format!("must be true with cookie_name = {name:?}"),
            ));
        }
        if prefixed("__Host-") {
            if self.path != "/" {
                return Err(SettingsError::new(
                    "path",
                    &self.path,
                    format!("must be / with cookie_name = {name:?}"),
                ));
            }
            if let Some(domain) = &self.domain {
                return Err(SettingsError::new(
                    "domain",
                    domain,
                    format!("must be absent with cookie_name = {name:?}"),
                ));
            }
        }
        Ok(())
    }

    /// The value of a `Set-Cookie` header. `tls`: the client came by TLS.
    pub fn render(&self, name: &str, value: &str, tls: bool) -> String {
        let mut header = format!("{name}={value}; Path={}", self.path);
        if let Some(domain) = &self.domain {
            header.push_str("; Domain=");
            header.push_str(domain);
        }
        if let Some(age) = self.max_age {
            let _ = write!(header, "; Max-Age={}", age.as_secs()); // writing to a String never fails
        }
        header.push_str("; SameSite=");
        header.push_str(self.same_site.attribute());
        if self.secure == Secure::Yes || self.secure == Secure::Auto && tls {
            header.push_str("; Secure");
        }
        if self.http_only {
            header.push_str("; HttpOnly");
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_as_browsers_read_it() {
        let plain = CookieOptions::new();
        assert_eq!(
            plain.render("LB_SESSION", "v", false),
            "LB_SESSION=v; Path=/; Max-Age=3600; SameSite=Strict; HttpOnly"
        );
        assert_eq!(
            plain.render("LB_SESSION", "v", true),
            "LB_SESSION=v; Path=/; Max-Age=3600; SameSite=Strict; Secure; HttpOnly"
        );
        let all = CookieOptions::new()
            .http_only(false)
            .secure(Secure::Yes)
            .same_site(SameSite::None)
            .max_age(None)
            .path("/shop")
            .domain("example.com");
        assert_eq!(all.validate("s"), Ok(()));
        assert_eq!(all.render("s", "v", false), "s=v; Path=/shop; Domain=example.com; SameSite=None; Secure");
        let never = CookieOptions::new().secure(Secure::No).same_site(SameSite::Lax);
        assert!(never.render("s", "v", true).ends_with("; SameSite=Lax; HttpOnly"));
    }

    #[test]
    fn what_browsers_drop_is_refused() {
        let new = CookieOptions::new;
        let s = Duration::from_secs;
        let cases = [
            (new(), "a b", "cookie_name"),
            (new().max_age(Some(s(0))), "a", "max_age"),
            (new().max_age(Some(MAX_AGE_MAX + s(1))), "a", "max_age"),
            (new().path("shop"), "a", "path"),
            (new().path("/a; Secure"), "a", "path"),
            (new().path("/a\r\nX: y"), "a", "path"),
            (new().domain(".example.com"), "a", "domain"),
            (new().domain("a b"), "a", "domain"),
            (new().domain(""), "a", "domain"),
            (new().same_site(SameSite::None), "a", "secure"),
            (new().same_site(SameSite::None).secure(Secure::No), "a", "secure"),
            (new(), "__Secure-a", "secure"),
            (new(), "__HOST-a", "secure"),
            (new().secure(Secure::Yes).path("/a"), "__Host-a", "path"),
            (new().secure(Secure::Yes).domain("example.com"), "__host-a", "domain"),
        ];
        for (options, name, field) in cases {
            assert_eq!(options.validate(name).map_err(|e| e.field), Err(field), "{options:?} {name}");
        }
        assert_eq!(new().secure(Secure::Yes).validate("__Host-a"), Ok(()));
        assert_eq!(new().secure(Secure::Yes).domain("a.example").validate("__Secure-a"), Ok(()));
        assert_eq!(
            new().domain(".x").validate("a").unwrap_err().to_string(),
            "domain = \".x\": must be a host name, without a dot in front"
        );
    }
}
