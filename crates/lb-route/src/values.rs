//! Conditions on headers and query parameters.
//!
//! Either may be there several times (`?a=1&a=2`, two lines of one header), and servers differ in which one they take. So a condition
//! holds **if one of them fulfils it**, and `absent` holds if there is none. Header values are looked at without blanks around them;
//! names and values of query parameters are percent-decoded, `+` is a blank, and a broken encoding stands for itself.

use crate::path::encoded;
use crate::regexes::{Regexes, Whole};
use crate::route::ValueMatch;
use lb_types::{RequestInfo, SettingsError};
use std::borrow::Cow;

/// The longest name or value in a condition, in bytes.
pub const VALUE_BYTES_MAX: usize = 1_024;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The name in lower case.
    Header(Box<str>),
    /// The name decoded.
    Query(Box<str>),
}

impl Place {
    pub(crate) fn header(name: &str) -> Result<Self, SettingsError> {
        if name.len() > VALUE_BYTES_MAX || !is_token(name) {
            return Err(SettingsError::new("headers", name, "must be a header's name"));
        }
        Ok(Self::Header(name.to_ascii_lowercase().into()))
    }

    pub(crate) fn query(name: &str) -> Result<Self, SettingsError> {
        if name.is_empty() || name.len() > VALUE_BYTES_MAX {
            let must = format!("must have 1 to {VALUE_BYTES_MAX} bytes");
            return Err(SettingsError::new("query", name, must));
        }
        Ok(Self::Query(name.into()))
    }

    fn field(&self) -> &'static str {
        match self {
            Self::Header(_) => "headers",
            Self::Query(_) => "query",
        }
    }

    /// Shows every value of a request's that stands there.
    pub(crate) fn each(&self, request: &RequestInfo<'_>, see: &mut dyn FnMut(&[u8])) {
        match self {
            Self::Header(name) => request.headers.each(name, &mut |value| see(value.trim_ascii())),
            Self::Query(name) => {
                for pair in request.query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
                    let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
                    if *decoded(known) == *name.as_bytes() {
                        see(&decoded(value));
                    }
                }
            }
        }
    }
}

/// A part of a query, decoded.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let value = if byte == b'%' { encoded(bytes, at) } else { None };
        out.push(value.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if value.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

/// RFC 9110 `token`: what names of headers and methods consist of.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Exact(Box<[u8]>),
    Present,
    Absent,
    Regex(Whole),
}

/// What has to be there, or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) place: Place,
    pub(crate) test: Test,
}

impl Condition {
    pub(crate) fn new(
        place: Place,
        wanted: &ValueMatch,
        regexes: &mut Regexes,
    ) -> Result<Self, SettingsError> {
        let field = place.field();
        let test = match wanted {
            ValueMatch::Exact(value) if value.len() > VALUE_BYTES_MAX => {
                let must = format!("must have at most {VALUE_BYTES_MAX} bytes");
                return Err(SettingsError::new(field, value, must));
            }
            ValueMatch::Exact(value) => Test::Exact(match place {
                Place::Header(_) => value.trim_ascii().as_bytes().into(),
                Place::Query(_) => value.as_bytes().into(),
            }),
            ValueMatch::Present => Test::Present,
            ValueMatch::Absent => Test::Absent,
            ValueMatch::Regex(pattern) => Test::Regex(regexes.compile(field, pattern)?),
        };
        Ok(Self { place, test })
    }

    pub(crate) fn holds(&self, request: &RequestInfo<'_>) -> bool {
        let mut found = false;
        self.place.each(request, &mut |value| {
            found = found
                || match &self.test {
                    Test::Exact(wanted) => **wanted == *value,
                    Test::Present | Test::Absent => true,
                    Test::Regex(regex) => regex.is_match(value),
                };
        });
        found != (self.test == Test::Absent)
    }

    /// Does this hold whenever `other` does? May say no where it would.
    pub(crate) fn follows_from(&self, other: &Self) -> bool {
        self.place == other.place
            && match (&self.test, &other.test) {
                (Test::Present, Test::Exact(_) | Test::Regex(_)) => true,
                (Test::Regex(regex), Test::Exact(value)) => regex.is_match(value),
                (this, other) => this == other,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(place: Place, wanted: &ValueMatch, request: &RequestInfo<'_>) -> bool {
        Condition::new(place, wanted, &mut Regexes::default()).unwrap().holds(request)
    }

    #[test]
    fn one_of_several_is_enough() {
        let headers = [("X-Role", " user "), ("x-role", "admin"), ("x-empty", "")];
        let query = Some("a=1&b&a=%32&c%20d=x+y%2Bz&&%zz=%4&=e");
        let request = RequestInfo { headers: &headers, query, ..RequestInfo::default() };
        let header = |name: &str, wanted| holds(Place::header(name).unwrap(), &wanted, &request);
        assert!(header("X-ROLE", ValueMatch::exact("user")));
        assert!(header("x-role", ValueMatch::exact(" admin")));
        assert!(!header("x-role", ValueMatch::exact("adm")));
        assert!(header("x-role", ValueMatch::regex("a.*n")) && !header("x-role", ValueMatch::regex("a")));
        assert!(header("x-role", ValueMatch::Present) && !header("x-role", ValueMatch::Absent));
        assert!(header("x-empty", ValueMatch::Present) && header("x-empty", ValueMatch::exact("")));
        assert!(header("x-other", ValueMatch::Absent) && !header("x-other", ValueMatch::exact("")));

        let query = |name: &str, wanted| holds(Place::query(name).unwrap(), &wanted, &request);
        assert!(query("a", ValueMatch::exact("1")) && query("a", ValueMatch::exact("2")));
        assert!(query("b", ValueMatch::exact("")) && query("b", ValueMatch::Present));
        assert!(query("c d", ValueMatch::exact("x y+z")));
        assert!(query("%zz", ValueMatch::exact("%4")), "broken encodings stand for themselves");
        assert!(query("e", ValueMatch::Absent) && query("A", ValueMatch::Absent));
        assert!(query("a", ValueMatch::regex("[0-9]")) && !query("a", ValueMatch::regex("3")));
    }

    #[test]
    fn what_follows_from_what() {
        let mut regexes = Regexes::default();
        let mut condition =
            |name: &str, wanted| Condition::new(Place::header(name).unwrap(), &wanted, &mut regexes).unwrap();
        let exact = condition("a", ValueMatch::exact("xy"));
        let present = condition("A", ValueMatch::Present);
        let absent = condition("a", ValueMatch::Absent);
        let regex = condition("a", ValueMatch::regex("x."));
        let other = condition("b", ValueMatch::Present);
        for (this, that, follows) in [
            (&exact, &exact, true),
            (&present, &exact, true),
            (&present, &regex, true),
            (&regex, &exact, true),
            (&regex, &regex, true),
            (&absent, &absent, true),
            (&exact, &present, false),
            (&regex, &present, false),
            (&absent, &present, false),
            (&present, &absent, false),
            (&other, &exact, false),
        ] {
            assert_eq!(this.follows_from(that), follows, "{this:?} from {that:?}");
        }
    }
}
