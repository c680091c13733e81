//! What a route changes in a message's headers: removes, then sets, then adds. Values are templates of `lb-route`.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use lb_route::{Template, Values};
use lb_types::SettingsError;

/// Changes of headers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HeaderRules {
    /// These have this value alone.
    pub set: Vec<(HeaderName, Template)>,
    /// These have this value, too.
    pub add: Vec<(HeaderName, Template)>,
    /// These go.
    pub remove: Vec<HeaderName>,
}

impl HeaderRules {
    /// Is this header the proxy's own business, because it frames the message or is of one connection? Then no rule may name it.
    pub fn is_own(name: &HeaderName) -> bool {
        const OWN: [HeaderName; 8] = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TE,
            header::TRAILER,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
            header::PROXY_AUTHENTICATE,
            header::PROXY_AUTHORIZATION,
        ];
        OWN.contains(name) || ["keep-alive", "proxy-connection", "http2-settings"].contains(&name.as_str())
    }

    /// Whether all of it can be done.
    ///
    /// # Errors
    /// A header that [is the proxy's own](Self::is_own), or a second `Host`.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let named = |list: &[(HeaderName, Template)]| list.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        for (field, names) in
            [("set", named(&self.set)), ("add", named(&self.add)), ("remove", self.remove.clone())]
        {
            if let Some(own) = names.iter().find(|name| Self::is_own(name)) {
                return Err(SettingsError::new(field, own, "must not be a header that is the proxy's own"));
            }
        }
        if self.add.iter().any(|(name, _)| name == header::HOST) {
            return Err(SettingsError::new(
                "add",
                "host",
                "must not be Host: there is one, which `set` changes",
            ));
        }
        Ok(())
    }
}

/// The same, prepared: most values are the same for all requests.
#[derive(Debug)]
pub(crate) struct Rules {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, Value)]>,
    add: Box<[(HeaderName, Value)]>,
}

#[derive(Debug)]
enum Value {
    Fixed(HeaderValue),
    Made(Template),
}

/// What the values are for one request, in the rules' order.
pub(crate) type Expanded = Box<[HeaderValue]>;

impl Rules {
    pub(crate) fn new(rules: &HeaderRules) -> Self {
        let prepare = |list: &[(HeaderName, Template)]| {
            let value = |template: &Template| match template.as_literal().map(HeaderValue::from_str) {
                Some(Ok(fixed)) => Value::Fixed(fixed),
                _ => Value::Made(template.clone()),
            };
            list.iter().map(|(name, template)| (name.clone(), value(template))).collect()
        };
        Self { remove: rules.remove.clone().into(), set: prepare(&rules.set), add: prepare(&rules.add) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Do values depend on the request?
    pub(crate) fn is_made(&self) -> bool {
        self.set.iter().chain(&self.add).any(|(_, value)| matches!(value, Value::Made(_)))
    }

    /// The values for a request.
    pub(crate) fn expand(&self, values: &Values<'_>) -> Expanded {
        let value = |(_, value): &(HeaderName, Value)| match value {
            Value::Fixed(fixed) => fixed.clone(),
            // A template's text has no controls, which is all that a value may not have.
            Value::Made(template) => {
                HeaderValue::from_maybe_shared(bytes::Bytes::from(template.expand(values)))
                    .unwrap_or(HeaderValue::from_static(""))
            }
        };
        self.set.iter().chain(&self.add).map(value).collect()
    }

    /// Carries the rules out.
    pub(crate) fn apply(&self, expanded: &Expanded, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        let mut values = expanded.iter();
        for ((name, _), value) in self.set.iter().zip(values.by_ref()) {
            headers.insert(name, value.clone());
        }
        for ((name, _), value) in self.add.iter().zip(values) {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text, &[]).unwrap()
    }

    #[test]
    fn headers_are_removed_then_set_then_added() {
        let rules = HeaderRules {
            set: vec![(header::SERVER, template("a")), (header::VIA, template("{host}é"))],
            add: vec![(header::SERVER, template("b")), (header::AGE, template("{client_ip}"))],
            remove: vec![header::SERVER, header::ETAG, header::DATE],
        };
        rules.validate().unwrap();
        let rules = Rules::new(&rules);
        assert!(rules.is_made() && !rules.is_empty());
        let values = Values { host: "x", client_ip: "::1".parse().ok(), ..Values::default() };
        let mut headers = HeaderMap::new();
        for name in [header::SERVER, header::ETAG, header::ALLOW, header::VIA, header::VIA] {
            headers.append(name, HeaderValue::from_static("old"));
        }
        rules.apply(&rules.expand(&values), &mut headers);
        let mut left: Vec<_> =
            headers.iter().map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v.as_bytes()))).collect();
        left.sort();
        assert_eq!(left, ["age: ::1", "allow: old", "server: a", "server: b", "via: xé"]);
    }

    #[test]
    fn what_frames_a_message_is_nobodys_to_change() {
        for name in ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "te"] {
            let name: HeaderName = name.parse().unwrap();
            let add = HeaderRules { add: vec![(name.clone(), template("x"))], ..HeaderRules::default() };
            let remove = HeaderRules { remove: vec![name.clone()], ..HeaderRules::default() };
            let set = HeaderRules { set: vec![(name, template("x"))], ..HeaderRules::default() };
            let fields = [add, remove, set].map(|rules| rules.validate().unwrap_err().field);
            assert_eq!(fields, ["add", "remove", "set"]);
        }
        let host = || vec![(header::HOST, template("x"))];
        assert!(HeaderRules { add: host(), ..HeaderRules::default() }.validate().is_err());
        HeaderRules { set: host(), ..HeaderRules::default() }.validate().unwrap();
    }
}
