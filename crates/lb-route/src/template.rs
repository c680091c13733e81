//! Texts with variables: `"{client_ip} via {route}"`, for headers and for paths.
//!
//! A variable stands in braces, as parameters do in a route's path; a brace itself is written twice (`{{`, `}}`). `${name}` is not used: it is
//! what regular expressions put into their replacements, and shells into configuration files.
//!
//! | variable | stands for |
//! |---|---|
//! | `{client_ip}` | the client's address |
//! | `{method}`, `{scheme}`, `{host}` | of the request |
//! | `{path}` | the normalised path, as the routes saw it |
//! | `{query}` | the query, without its `?` |
//! | `{route}` | the route's name |
//! | `{request_id}` | the request's id |
//! | `{param.NAME}` | a parameter of the route's path, percent-encoded as it came |
//!
//! What is not known expands to nothing. A value's controls are left out, so no value can end a header's line; what is beyond ASCII (a host, a
//! query) stays as UTF-8. It lacks conditions, defaults, other headers' values.

use crate::found::Match;
use lb_types::RequestInfo;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 4_096;

/// A template cannot be used as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is longer than [`TEMPLATE_BYTES_MAX`].
    #[error("a template has at most {TEMPLATE_BYTES_MAX} bytes")]
    TooLong,
    /// A brace has no partner.
    #[error("the brace at {at} has no partner (a brace itself is written twice)")]
    Brace {
        /// Bytes before it.
        at: usize,
    },
    /// There is no such variable.
    #[error("there is no {{{name}}}; there are {known}")]
    Unknown {
        /// Its name.
        name: String,
        /// All that there are.
        known: String,
    },
    /// It has a control, such as the end of a line.
    #[error("the character at {at} is a control")]
    Control {
        /// Bytes before it.
        at: usize,
    },
    /// What it makes cannot be a path.
    #[error("{0}")]
    NoPath(&'static str),
}

/// What a template's text consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<V> {
    Text(Box<str>),
    Variable(V),
}

/// Cuts `text` into pieces; `resolve` knows the variables.
pub(crate) fn pieces<V>(
    text: &str,
    mut resolve: impl FnMut(&str) -> Result<V, TemplateError>,
) -> Result<Box<[Piece<V>]>, TemplateError> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(TemplateError::TooLong);
    }
    if let Some(at) = text.find(|c: char| c.is_ascii_control()) {
        return Err(TemplateError::Control { at });
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(brace) = text[at..].find(['{', '}']).map(|found| at + found) {
        literal.push_str(&text[at..brace]);
        let rest = &text[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            literal.push_str(&rest[..1]);
            at = brace + 2;
            continue;
        }
        let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
        let Some(name) = name.filter(|name| !name.contains('{')) else {
            return Err(TemplateError::Brace { at: brace });
        };
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
        }
        pieces.push(Piece::Variable(resolve(name)?));
        at = brace + name.len() + 2;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    Ok(pieces.into())
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    ClientIp,
    Method,
    Scheme,
    Host,
    Path,
    Query,
    Route,
    RequestId,
    Parameter(Box<str>),
}

const VARIABLES: [(&str, Variable); 8] = [
    ("client_ip", Variable::ClientIp),
    ("method", Variable::Method),
    ("scheme", Variable::Scheme),
    ("host", Variable::Host),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("route", Variable::Route),
    ("request_id", Variable::RequestId),
];

/// What variables stand for, for one request. Who leaves one out has it expand to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// `{client_ip}`.
    pub client_ip: Option<IpAddr>,
    /// `{method}`.
    pub method: &'a str,
    /// `{scheme}`.
    pub scheme: &'a str,
    /// `{host}`.
    pub host: &'a str,
    /// `{path}`.
    pub path: &'a str,
    /// `{query}`.
    pub query: Option<&'a str>,
    /// `{route}`.
    pub route: &'a str,
    /// `{request_id}`.
    pub request_id: &'a str,
    /// Where `{param.NAME}` is looked up.
    pub found: Option<&'a Match<'a>>,
}

impl<'a> Values<'a> {
    /// What request and match know; scheme, the route's name and the request's id are the caller's.
    pub fn of(request: &RequestInfo<'a>, found: &'a Match<'a>) -> Self {
        Self {
            client_ip: request.client_ip,
            method: request.method,
            host: request.host,
            path: found.path(),
            query: request.query,
            found: Some(found),
            ..Self::default()
        }
    }
}

/// A header's value with variables; see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[Piece<Variable>]>);

impl Template {
    /// Parses it, for a route with these parameters ([`Router::parameters`](crate::Router::parameters)).
    ///
    /// # Errors
    /// [`TemplateError`], `NoPath` excepted.
    pub fn parse(text: &str, parameters: &[Box<str>]) -> Result<Self, TemplateError> {
        pieces(text, |name| {
            if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
                return Ok(variable.clone());
            }
            let parameter = name.strip_prefix("param.");
            match parameter.and_then(|name| parameters.iter().find(|known| ***known == *name)) {
                Some(name) => Ok(Variable::Parameter(name.clone())),
                None => {
                    let fixed = VARIABLES.iter().map(|(name, _)| (*name).to_owned());
                    let known: Vec<_> =
                        fixed.chain(parameters.iter().map(|name| format!("param.{name}"))).collect();
                    Err(TemplateError::Unknown { name: name.to_owned(), known: known.join(", ") })
                }
            }
        })
        .map(Self)
    }

    /// The text, if it has no variables.
    pub fn as_literal(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one request.
    pub fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        self.expand_into(values, &mut out);
        out
    }

    /// The same, put behind what `out` has: who keeps it allocates once.
    pub fn expand_into(&self, values: &Values<'_>, out: &mut String) {
        for piece in &self.0 {
            let value = match piece {
                Piece::Text(text) => text,
                Piece::Variable(variable) => match variable {
                    Variable::ClientIp => {
                        if let Some(ip) = values.client_ip {
                            // Writing to a string cannot fail.
                            let _ = write!(out, "{ip}");
                        }
                        continue;
                    }
                    Variable::Method => values.method,
                    Variable::Scheme => values.scheme,
                    Variable::Host => values.host,
                    Variable::Path => values.path,
                    Variable::Query => values.query.unwrap_or_default(),
                    Variable::Route => values.route,
                    Variable::RequestId => values.request_id,
                    Variable::Parameter(name) => {
                        values.found.and_then(|found| found.parameter(name)).unwrap_or_default()
                    }
                },
            };
            if value.bytes().any(|b| b.is_ascii_control()) {
                out.extend(value.chars().filter(|c| !c.is_ascii_control()));
            } else {
                out.push_str(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Route, Router};

    #[test]
    fn variables_expand() {
        let router = Router::build(&[Route::new().path("/users/{id}/{*rest}")]).unwrap();
        let request = RequestInfo {
            client_ip: Some("2001:db8::1".parse().unwrap()),
            host: "shop.example",
            path: "/users/a%0ab/x//y",
            query: Some("q=1\r\nX: y"),
            ..RequestInfo::default()
        };
        let found = router.find(&request).unwrap().unwrap();
        let values =
            Values { scheme: "https", route: "users", request_id: "7f", ..Values::of(&request, &found) };
        let parse = |text: &str| Template::parse(text, router.parameters(0));
        for (text, expanded) in [
            ("", ""),
            ("plain", "plain"),
            ("{client_ip}|{method}|{scheme}|{host}", "2001:db8::1|GET|https|shop.example"),
            ("{path}?{query}", "/users/a%0Ab/x/y?q=1X: y"),
            ("{route}/{request_id}", "users/7f"),
            ("<{param.id}><{param.rest}>", "<a%0Ab><x/y>"),
            ("{{{host}}} {{}} }}{{ é", "{shop.example} {} }{ é"),
        ] {
            assert_eq!(parse(text).unwrap().expand(&values), expanded, "{text}");
        }
        let nothing = "[{client_ip}{method}{query}{param.id}]";
        assert_eq!(parse(nothing).unwrap().expand(&Values::default()), "[]");
    }

    #[test]
    fn mistakes_are_told() {
        let parse = |text: &str| Template::parse(text, &["id".into()]);
        for (text, at) in [("{", 0), ("a}", 1), ("é{host", 2), ("{ho{st}", 0), ("{{a}", 3), ("{host}}", 6)] {
            assert_eq!(parse(text), Err(TemplateError::Brace { at }), "{text}");
        }
        for name in ["", "Host", "param.", "param.x", "id", " host"] {
            let Err(error) = parse(&format!("{{{name}}}")) else { panic!("{name} is known") };
            assert!(error.to_string().ends_with("route, request_id, param.id"), "{error}");
        }
        assert_eq!(parse("a\r\nb: c"), Err(TemplateError::Control { at: 1 }));
        assert_eq!(parse(&"a".repeat(4_097)), Err(TemplateError::TooLong));
    }
}
