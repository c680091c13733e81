//! Values that are written as text: durations and sizes.

use std::time::Duration;

/// The longest duration: far beyond any use, far below where timers overflow.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Why a text is no duration or size, and what to write instead where that is clear.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) reason: String,
    pub(crate) instead: Option<String>,
}

fn bad<T>(reason: impl Into<String>, instead: Option<String>) -> Result<T, Bad> {
    Err(Bad { reason: reason.into(), instead })
}

/// `250ms`, `30s`, `5m`, `1h30m`: whole numbers with a unit each, larger units first, at most 365 days.
pub(crate) fn duration(text: &str) -> Result<Duration, Bad> {
    if text.is_empty() {
        return bad("it is empty", None);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return bad("the unit is missing", Some(format!("{text}s")));
    }
    let (mut rest, mut total, mut largest) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.split(|c: char| !c.is_ascii_alphabetic() && c != 'µ').next().unwrap_or_default();
        if number.is_empty() {
            let reason = match tail.chars().next() {
                Some('-' | '+') => "a sign is not allowed".to_owned(),
                Some(' ') => "spaces are not allowed".to_owned(),
                _ => format!("a number must stand before `{}`", crate::node::shorten(tail)),
            };
            return bad(reason, joined(text));
        }
        if tail.starts_with('.') {
            return bad("fractions are not allowed; use a smaller unit, such as \"1s500ms\" for 1.5 s", None);
        }
        if unit.is_empty() {
            return bad(format!("the unit is missing after {number}"), joined(text));
        }
        let Some(place) = UNITS.iter().position(|(name, _)| *name == unit) else {
            let instead = same_unit(unit).map(|u| format!("{}{number}{u}", &text[..text.len() - rest.len()]));
            return bad(format!("unknown unit `{unit}` (known are d, h, m, s, ms, us)"), instead);
        };
        if place < largest {
            return bad("larger units come first and each once, such as \"1m30s\"", None);
        }
        largest = place + 1;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(UNITS[place].1));
        total = match part.and_then(|p| total.checked_add(p)) {
            Some(t) if Duration::from_micros(t) <= DURATION_MAX => t,
            _ => return bad("it is longer than 365 days", None),
        };
        rest = &tail[unit.len()..];
    }
    Ok(Duration::from_micros(total))
}

/// The duration that a text with spaces was meant to be.
fn joined(text: &str) -> Option<String> {
    let joined: String = text.split_whitespace().collect();
    if joined == text {
        return None;
    }
    match duration(&joined) {
        Ok(_) => Some(joined),
        Err(bad) => bad.instead,
    }
}

/// What people also call a unit.
fn same_unit(unit: &str) -> Option<&'static str> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "s" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" | "hrs" | "h" => "h",
        "day" | "days" | "d" => "d",
        "msec" | "millis" | "milliseconds" | "ms" => "ms",
        "µs" | "usec" | "micros" | "us" => "us",
        _ => return None,
    })
}

/// A duration as the file would say it.
pub(crate) fn show_duration(d: Duration) -> String {
    let mut left = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (name, micros) in UNITS {
        if left >= micros {
            out.push_str(&format!("{}{name}", left / micros));
            left %= micros;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `512B`, `16KB` (16 000), `64KiB` (65 536), `1MiB`: a whole number of bytes with a unit in any case of letters.
pub(crate) fn size(text: &str) -> Result<u64, Bad> {
    if text.is_empty() {
        return bad("it is empty", None);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return bad("a number must come first", None);
    }
    if unit.is_empty() {
        return bad("the unit is missing", Some(format!("{text}B")));
    }
    if unit.starts_with('.') {
        return bad("fractions are not allowed; use a smaller unit", None);
    }
    let Some((_, bytes)) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        let instead = match unit.trim().to_ascii_lowercase().as_str() {
            "k" => Some(format!("{number}KiB")),
            "m" => Some(format!("{number}MiB")),
            "g" => Some(format!("{number}GiB")),
            u => SIZES.iter().find(|(n, _)| n.eq_ignore_ascii_case(u)).map(|(n, _)| format!("{number}{n}")),
        };
        let unit = crate::node::shorten(unit);
        return bad(format!("unknown unit `{unit}` (known are B, KB, MB, GB, KiB, MiB, GiB)"), instead);
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(*bytes)) {
        Some(n) => Ok(n),
        None => bad("it is too large", None),
    }
}

/// A size as the file would say it.
pub(crate) fn show_size(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    let best = SIZES.iter().filter(|(name, _)| name.len() != 2).rfind(fits);
    best.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("30s", 30_000_000),
            ("5m", 300_000_000),
            ("1h", 3_600_000_000),
            ("1m30s", 90_000_000),
            ("1d2h3m4s5ms6us", 93_784_005_006),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)));
            assert_eq!(show_duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn bad_durations_say_why_and_what_instead() {
        for (text, reason, instead) in [
            ("", "it is empty", None),
            ("30", "the unit is missing", Some("30s")),
            ("30 s", "the unit is missing after 30", Some("30s")),
            ("30secs", "unknown unit `secs`", Some("30s")),
            ("1m30", "the unit is missing after 30", None),
            ("10 seconds", "the unit is missing after 10", Some("10s")),
            ("1h5mins", "unknown unit `mins`", Some("1h5m")),
            ("30S", "unknown unit `S`", Some("30s")),
            ("1.5s", "fractions are not allowed", None),
            ("-5s", "a sign is not allowed", None),
            ("soon", "a number must stand before `soon`", None),
            ("30s1m", "larger units come first", None),
            ("1s1s", "larger units come first", None),
            ("366d", "it is longer than 365 days", None),
            ("99999999999999999999s", "it is longer than 365 days", None),
            ("1x", "unknown unit `x`", None),
            ("1é", "the unit is missing after 1", None),
        ] {
            let bad = duration(text).unwrap_err();
            assert!(bad.reason.starts_with(reason), "{text}: {bad:?}");
            assert_eq!(bad.instead.as_deref(), instead, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("512B", 512), ("16KB", 16_000), ("64KiB", 65_536), ("1mib", 1 << 20), ("0B", 0)]
        {
            assert_eq!(size(text), Ok(bytes));
        }
        assert_eq!(show_size(65_536), "64KiB");
        assert_eq!(show_size(1_000), "1000B");
        assert_eq!(show_size(0), "0B");
        for (text, reason, instead) in [
            ("", "it is empty", None),
            ("64", "the unit is missing", Some("64B")),
            ("64K", "unknown unit `K`", Some("64KiB")),
            ("64 KiB", "unknown unit ` KiB`", Some("64KiB")),
            ("KiB", "a number must come first", None),
            ("1.5MiB", "fractions are not allowed", None),
            ("99999999999GiB", "it is too large", None),
        ] {
            let bad = size(text).unwrap_err();
            assert!(bad.reason.starts_with(reason), "{text}: {bad:?}");
            assert_eq!(bad.instead.as_deref(), instead, "{text}");
        }
    }
}
