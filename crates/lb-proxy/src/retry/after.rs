//! What a backend says in `Retry-After` (RFC 9110 §10.2.3): a number of seconds, or a date.
//!
//! A date is read against the response's own `Date` where there is one, so that a backend whose clock is wrong is
//! understood all the same.

use http::{HeaderMap, header};
use std::time::{Duration, SystemTime};

/// How long the backend asks to be left alone; `None`: it does not say, or not in a way that can be understood.
pub(crate) fn retry_after(headers: &HeaderMap, wall: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // What no number can hold is longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let said = headers.get(header::DATE).and_then(|d| d.to_str().ok());
    let now = said.and_then(|d| httpdate::parse_http_date(d).ok()).unwrap_or_else(wall);
    // A date that has passed asks for nothing.
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const SEC: fn(u64) -> Duration = Duration::from_secs;

    fn wall() -> SystemTime {
        httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
    }

    fn after(value: &'static str, date: Option<&'static str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        if let Some(date) = date {
            headers.insert(header::DATE, HeaderValue::from_static(date));
        }
        retry_after(&headers, wall)
    }

    #[test]
    fn seconds() {
        assert_eq!(after("0", None), Some(SEC(0)));
        assert_eq!(after(" 120 ", None), Some(SEC(120)));
        assert_eq!(after("99999999999999999999999", None), Some(SEC(u64::MAX)));
        for bad in ["", "-1", "1.5", "+3", "soon", "0x10"] {
            assert_eq!(after(bad, None), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), wall), None);
    }

    #[test]
    fn dates_in_all_three_forms() {
        for date in
            ["Sun, 06 Nov 1994 08:49:40 GMT", "Sunday, 06-Nov-94 08:49:40 GMT", "Sun Nov  6 08:49:40 1994"]
        {
            assert_eq!(after(date, None), Some(SEC(3)), "{date}");
        }
        assert_eq!(after("Sun, 06 Nov 1994 08:49:30 GMT", None), Some(SEC(0)), "it has passed");
    }

    #[test]
    fn a_backend_s_wrong_clock_does_not_matter() {
        let (at, said) = ("Fri, 01 Jan 2100 00:00:02 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
        assert_eq!(after(at, Some(said)), Some(SEC(2)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:38 GMT", Some("nonsense")), Some(SEC(1)));
    }
}
