//! What an answer's body shall be: which expectations make sense, and the regular expression behind one.

use crate::HealthCheckError;
use crate::error::bad;
use lb_types::ExpectedBody;

/// The longest text or pattern to expect, in bytes: a health answer is a word or a line.
pub const EXPECTED_BODY_BYTES_MAX: usize = 4096;

/// What a compiled pattern may take, in bytes. The crate's own bound is ten times that; a check needs no such thing, and the time
/// of a match grows with it.
#[cfg(feature = "regex")]
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Looks at an expectation.
///
/// # Errors
/// [`HealthCheckError::BadSetting`] of `expected_body`: it is empty or longer than [`EXPECTED_BODY_BYTES_MAX`].
/// [`HealthCheckError::BadRegex`] (in builds with the `regex` feature): it is no regular expression.
pub fn validate_expected_body(expected: &ExpectedBody) -> Result<(), HealthCheckError> {
    let text = text(expected);
    if text.len() > EXPECTED_BODY_BYTES_MAX {
        return Err(bad("expected_body", format!("{} bytes", text.len()), "it must be 4096 bytes at most"));
    }
    match expected {
        ExpectedBody::Contains(text) | ExpectedBody::Regex(text) if text.is_empty() => {
            Err(bad("expected_body", "\"\"", "it is empty, so every body would pass"))
        }
        #[cfg(feature = "regex")]
        ExpectedBody::Regex(pattern) => regex(pattern).map(|_| ()),
        _ => Ok(()),
    }
}

fn text(expected: &ExpectedBody) -> &str {
    match expected {
        ExpectedBody::Exact(text) | ExpectedBody::Contains(text) | ExpectedBody::Regex(text) => text,
        // A kind that this crate does not know yet cannot come from it.
        _ => "",
    }
}

/// The regular expression of a pattern, over bytes: a body need not be UTF-8.
///
/// # Errors
/// [`HealthCheckError::BadRegex`] where it is none or takes more than 1 MiB compiled.
#[cfg(feature = "regex")]
pub(crate) fn regex(pattern: &str) -> Result<regex::bytes::Regex, HealthCheckError> {
    let built = regex::bytes::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|e| {
        let reason = match &e {
            regex::Error::CompiledTooBig(_) => "it takes more than 1 MiB when compiled".to_owned(),
            // The crate draws the pattern with a caret below; its last line says what is wrong.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
        };
        HealthCheckError::BadRegex { pattern: pattern.chars().take(80).collect(), reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let contains = |text: &str| validate_expected_body(&ExpectedBody::Contains(text.into()));
        assert_eq!(contains("OK"), Ok(()));
        assert_eq!(
            validate_expected_body(&ExpectedBody::Exact(String::new())),
            Ok(()),
            "an empty body can be meant"
        );
        for (expected, wanted) in [
            (ExpectedBody::Contains(String::new()), "every body would pass"),
            (ExpectedBody::Regex(String::new()), "every body would pass"),
            (ExpectedBody::Exact("x".repeat(4097)), "4097 bytes"),
        ] {
            let error = validate_expected_body(&expected).unwrap_err().to_string();
            assert!(error.starts_with("health_check.expected_body = ") && error.contains(wanted), "{error}");
        }
    }

    #[cfg(feature = "regex")]
    #[test]
    fn patterns_that_are_none_say_why() {
        for (pattern, wanted) in [("a(", "unclosed group"), ("[z-a]", "invalid"), (r"\w{5000}", "1 MiB")] {
            let error = validate_expected_body(&ExpectedBody::Regex(pattern.into())).unwrap_err().to_string();
            assert!(error.contains(pattern) && error.contains(wanted), "{error}");
        }
        assert_eq!(
            validate_expected_body(&ExpectedBody::Regex(r#""status"\s*:\s*"(?i:up)""#.into())),
            Ok(())
        );
    }
}
