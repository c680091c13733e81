//! Normalised paths against what they promise, and against a naive normaliser that works on lists of decoded bytes.

use lb_route::{PathError, normalise};
use proptest::prelude::*;
use std::borrow::Cow;

/// Either a character of its own, or a byte that has to stay percent-encoded.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Plain(u8),
    Encoded(u8),
}

/// The path as segments of units; `None` for whatever is wrong.
fn naive(path: &str) -> Option<String> {
    if path == "*" {
        return Some("*".to_owned());
    }
    let bytes = path.as_bytes();
    let mut units = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = path.get(at + 1..at + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            let value = u8::from_str_radix(digits, 16).ok()?;
            let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
            units.push(if unreserved { Unit::Plain(value) } else { Unit::Encoded(value) });
            at += 3;
            continue;
        }
        let byte = bytes[at];
        if byte <= b' ' || byte == 0x7f || b"\\?#".contains(&byte) {
            return None;
        }
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
        units.push(if plain { Unit::Plain(byte) } else { Unit::Encoded(byte) });
        at += 1;
    }
    if units.first() != Some(&Unit::Plain(b'/')) || units.contains(&Unit::Encoded(0)) {
        return None;
    }
    let mut segments: Vec<Vec<Unit>> =
        units.split(|u| *u == Unit::Plain(b'/')).map(<[Unit]>::to_vec).collect();
    segments.remove(0);
    let dots = |n: usize| vec![Unit::Plain(b'.'); n];
    let folder = segments.last().is_some_and(|last| last.is_empty() || *last == dots(1) || *last == dots(2));
    let mut kept: Vec<Vec<Unit>> = Vec::new();
    for segment in segments.into_iter().filter(|s| !s.is_empty() && *s != dots(1)) {
        if segment == dots(2) {
            kept.pop()?;
            continue;
        }
        for part in segment.split(|u| matches!(u, Unit::Encoded(b'/' | b'\\'))) {
            let name: Vec<Unit> = part.iter().take_while(|u| **u != Unit::Plain(b';')).copied().collect();
            if name == dots(1) || name == dots(2) {
                return None;
            }
        }
        kept.push(segment);
    }
    let mut out = String::new();
    for segment in &kept {
        out.push('/');
        for unit in segment {
            match unit {
                Unit::Plain(b) => out.push(char::from(*b)),
                Unit::Encoded(b) => out.push_str(&format!("%{b:02X}")),
            }
        }
    }
    if folder || kept.is_empty() {
        out.push('/');
    }
    Some(out)
}

/// Paths of what matters in paths.
fn tricky() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(vec![
            "/", "/", "/", ".", "..", "a", "b", "%2e", "%2E", "%2f", "%2F", "%5c", "%25", "%00", "%61", "%c3%a9", ";", "é", "{", "//",
            "/./", "/../", "/%2e%2e/", "%", "%4", "\\", " ", "?", "*", "~", ":",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    (any::<bool>(), prop::collection::vec(part, 0..16))
        .prop_map(|(rooted, parts)| format!("{}{}", if rooted { "/" } else { "" }, parts.concat()))
}

/// What each normalised path promises.
fn check(path: &str) -> Result<(), TestCaseError> {
    let normal = normalise(path);
    let model = naive(path);
    prop_assert_eq!(normal.as_deref().ok(), model.as_deref());
    let Ok(normal) = normal else { return Ok(()) };
    if normal == "*" {
        return Ok(());
    }
    prop_assert_eq!(matches!(normal, Cow::Borrowed(_)), *normal == *path, "copied only if it changes");
    prop_assert!(matches!(normalise(&normal), Ok(Cow::Borrowed(again)) if *again == *normal), "idempotent");
    prop_assert!(normal.starts_with('/') && !normal.contains("//"));
    prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
    let decoded = normal.replace("%2F", "/").replace("%5C", "/");
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        prop_assert!(segment != "." && segment != "..", "hidden dots");
    }
    prop_assert!(normal.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, ..ProptestConfig::default() })]

    #[test]
    fn tricky_paths_are_as_the_model_says(path in tricky()) {
        check(&path)?;
    }

    #[test]
    fn any_text_is_as_the_model_says(path in any::<String>()) {
        check(&path)?;
        check(&format!("/{path}"))?;
    }
}

#[test]
fn errors_say_what_was_wrong_first() {
    assert_eq!(normalise("/a/..%2f/%00"), Err(PathError::HiddenDots));
    assert_eq!(normalise("/../%00"), Err(PathError::AboveRoot));
}
