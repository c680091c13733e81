//! What an HTTP check asks and expects: the keys that a pool's check and a backend's own have in common.

use super::algorithm::is_token;
use super::set;
use crate::node::{Value, shorten};
use crate::reader::{Field, Reader};
use lb_health::{HealthCheckError, HttpCheck, OWN_HEADERS, PATH_BYTES_MAX};
use lb_types::ExpectedBody;
use std::ops::RangeInclusive;

/// The keys that only an HTTP check has.
pub(super) const KEYS: [&str; 5] = ["path", "method", "expected_status", "expected_body", "headers"];

/// The keys, each `None` where it is absent or wrong.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) path: Option<String>,
    pub(super) method: Option<String>,
    pub(super) expected_status: Option<Vec<RangeInclusive<u16>>>,
    pub(super) expected_body: Option<ExpectedBody>,
    pub(super) headers: Option<Vec<(String, String)>>,
}

pub(super) fn keys(r: &Reader<'_>) -> Keys {
    Keys {
        path: path(&r.field("path")),
        method: method(&r.field("method")),
        expected_status: statuses(&r.field("expected_status")),
        expected_body: body(&r.field("expected_body")),
        headers: headers(&r.field("headers"), r),
    }
}

/// The settings of a pool's check.
pub(super) fn check(keys: Keys) -> HttpCheck {
    let mut http = HttpCheck::default();
    set(&mut http.path, keys.path);
    set(&mut http.method, keys.method);
    set(&mut http.expected_status, keys.expected_status);
    http.expected_body = keys.expected_body;
    let own = keys.headers.unwrap_or_default();
    http.headers.retain(|(name, _)| !own.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)));
    http.headers.extend(own);
    http
}

/// Records that a body is expected of an answer to HEAD. `method` is the one that will be sent.
pub(super) fn no_body_of_head(r: &Reader<'_>, method: &str, expects_body: bool) {
    if method == "HEAD" && expects_body {
        let (body, method) = (r.field("expected_body"), r.field("method"));
        let at = if body.is_present() { body } else { method };
        let message = "an answer to HEAD has no body, and `expected_body` asks for one";
        r.sink.error(at.key_span(), message).help("use method = \"GET\"");
    }
}

fn method(field: &Field<'_>) -> Option<String> {
    let m = field.text()?;
    if m == "CONNECT" {
        field.error("method \"CONNECT\" asks for a tunnel, not for an answer");
    } else if is_token(m) && m.bytes().all(|b| !b.is_ascii_lowercase()) {
        return Some(m.to_owned());
    } else {
        let upper = m.to_ascii_uppercase();
        let help = is_token(&upper).then(|| format!("did you mean \"{upper}\"?"));
        field.error(format!("bad HTTP method \"{}\"", shorten(m))).maybe_help(help);
    }
    None
}

/// A text that must stand in the body, or a table with one of three ways to look at it.
fn body(field: &Field<'_>) -> Option<ExpectedBody> {
    if field.is_text() {
        return good_body(field, ExpectedBody::Contains(field.text()?.to_owned()));
    }
    let r = field.table()?;
    let ways = ["exact", "contains", "regex"].map(|way| (way, r.field(way))).into_iter();
    let given: Vec<_> = ways.filter(|(_, field)| field.is_present()).collect();
    let [(way, given)] = &given[..] else {
        let message = "`expected_body` must have one of `exact`, `contains` and `regex`";
        field.error(message).help("write expected_body = \"OK\" for a text that must stand in the body");
        return None;
    };
    let expected = match *way {
        "exact" => ExpectedBody::Exact(given.text_or_empty()?.to_owned()), // an empty body can be meant
        "contains" => ExpectedBody::Contains(given.text()?.to_owned()),
        _ => ExpectedBody::Regex(given.text()?.to_owned()),
    };
    good_body(given, expected)
}

fn good_body(field: &Field<'_>, expected: ExpectedBody) -> Option<ExpectedBody> {
    let Err(error) = lb_health::validate_expected_body(&expected) else { return Some(expected) };
    match error {
        HealthCheckError::BadRegex { pattern, reason } => {
            field.error(format!("bad regular expression \"{}\": {reason}", shorten(&pattern)));
        }
        HealthCheckError::BadSetting { value, reason, .. } => {
            field.error(format!("bad `expected_body` of {value}: {reason}"));
        }
        other => {
            field.error(other.to_string());
        }
    }
    None
}

/// A path with a query if wanted, as it may stand in a request line.
fn path(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !text.starts_with('/') {
        let help = format!("did you mean \"/{}\"?", shorten(text));
        field.error(format!("`path` must start with /, not \"{}\"", shorten(text))).help(help);
        return None;
    }
    // RFC 3986 `pchar`, `/` and `?`.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%?".contains(c);
    if let Some(c) = text.chars().find(|c| !fits(*c)) {
        let message = format!("`path` has the character {c:?}, which may not stand in a request");
        let mut utf8 = [0; 4];
        let escaped: String = c.encode_utf8(&mut utf8).bytes().map(|b| format!("%{b:02X}")).collect();
        field.error(message).help(format!("write it as {escaped}"));
        return None;
    }
    if text.len() > PATH_BYTES_MAX {
        field.error(format!("`path` must have at most {PATH_BYTES_MAX} bytes"));
        return None;
    }
    Some(text.to_owned())
}

/// Headers; of two that differ in case alone the last counts.
fn headers(field: &Field<'_>, r: &Reader<'_>) -> Option<Vec<(String, String)>> {
    let mut out: Vec<(String, String)> = Vec::new();
    for (name, value) in header_fields(field, r, &OWN_HEADERS, "the check")? {
        out.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        out.push((name.to_owned(), value.to_owned()));
    }
    Some(out)
}

/// Header fields that may be sent; whoever sends them sets those in `own` by itself.
pub(super) fn header_fields<'a>(
    field: &Field<'a>,
    r: &Reader<'_>,
    own: &[&str],
    whose: &str,
) -> Option<Vec<(&'a str, &'a str)>> {
    let mut out = Vec::new();
    for (name, value, span) in field.texts()? {
        let shown = shorten(name);
        if !is_token(name) {
            r.sink.error(span, format!("\"{shown}\" is no header name"));
        } else if own.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            r.sink.error(span, format!("header `{shown}` is set by {whose} itself"));
        } else if value.bytes().any(|b| b != b'\t' && (b < b' ' || b == 0x7F)) {
            r.sink.error(span, format!("the value of header `{shown}` has a control character"));
        } else {
            out.push((name, value));
        }
    }
    Some(out)
}

/// Statuses and ranges of them, sorted and merged.
fn statuses(field: &Field<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    let items = field.list()?;
    if items.is_empty() {
        field.error("`expected_status` must have at least one status");
        return None;
    }
    let mut ranges = Vec::with_capacity(items.len());
    for item in items {
        let range = match &item.value {
            Value::Integer(n) => u16::try_from(*n).ok().map(|n| (n, n)),
            Value::Text(t) => match t.split_once('-') {
                Some((low, high)) => low.trim().parse().ok().zip(high.trim().parse().ok()),
                None => t.trim().parse().ok().map(|n| (n, n)),
            },
            _ => None,
        };
        match range {
            // 1xx alone could never pass: such answers are interim.
            Some((low, high)) if low >= 100 && low <= high && (200..=599).contains(&high) => {
                ranges.push((low, high));
            }
            _ => {
                let help = "a status is a number from 200 to 599, a range is text such as \"200-299\"";
                field.error_at(item, |found| format!("bad status {found} in `expected_status`")).help(help);
            }
        }
    }
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some((_, end)) if low <= *end + 1 => *end = high.max(*end),
            _ => merged.push((low, high)),
        }
    }
    Some(merged.into_iter().map(|(low, high)| low..=high).collect())
}
