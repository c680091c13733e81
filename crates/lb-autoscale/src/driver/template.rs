//! Arguments and environment with places to fill in.
//!
//! A place is `{name}`, the name of small letters; `{{name}}` stands for the text `{name}`. All other braces are themselves, so that JSON
//! needs no escapes. There is no shell: an argument stays one argument, whatever is filled in. An unknown name is an error, as it is
//! a typing mistake more often than not.

use lb_types::SettingsError;
use std::collections::BTreeMap;

/// One value for each name.
#[cfg(any(test, target_os = "linux"))]
pub(crate) type Values<'a> = [(&'a str, &'a str)];

/// Whether the places in `text` are all known.
///
/// # Errors
/// The first that is not.
fn check(field: &'static str, text: &str, known: &[&str]) -> Result<(), SettingsError> {
    if text.contains('\0') {
        return Err(SettingsError::new(field, text, "must not contain NUL"));
    }
    let mut unknown = None;
    parts(text, |part| {
        if let Part::Place(name) = part
            && !known.contains(&name)
        {
            unknown.get_or_insert_with(|| name.to_owned());
        }
    });
    match unknown {
        None => Ok(()),
        Some(name) => {
            let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
            let must =
                format!("{{{name}}} is none of {}; for that text write {{{{{name}}}}}", known.join(" "));
            Err(SettingsError::new(field, text, must))
        }
    }
}

/// Whether a command names a program, and all places in it are known.
///
/// # Errors
/// What is wrong with `command`.
pub(crate) fn check_command(command: &[String], known: &[&str]) -> Result<(), SettingsError> {
    if command.first().is_none_or(String::is_empty) {
        return Err(SettingsError::new("command", command, "must name a program"));
    }
    command.iter().try_for_each(|argument| check("command", argument, known))
}

/// Whether variables have names that can be set, and all places in their values are known.
///
/// # Errors
/// What is wrong with `environment`.
pub(crate) fn check_environment(
    environment: &BTreeMap<String, String>,
    known: &[&str],
) -> Result<(), SettingsError> {
    environment.iter().try_for_each(|(name, value)| {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(SettingsError::new("environment", name, "must be a name without = and NUL"));
        }
        check("environment", value, known)
    })
}

/// `text` with its places filled in; an unknown one stays as it is.
#[cfg(any(test, target_os = "linux"))]
pub(crate) fn fill(text: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    parts(text, |part| match part {
        Part::Text(text) => filled.push_str(text),
        Part::Place(name) => match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(value),
            None => {
                filled.push('{');
                filled.push_str(name);
                filled.push('}');
            }
        },
    });
    filled
}

enum Part<'a> {
    #[cfg_attr(not(any(test, target_os = "linux")), expect(dead_code, reason = "only drivers fill in"))]
    Text(&'a str),
    Place(&'a str),
}

fn parts<'a>(mut rest: &'a str, mut each: impl FnMut(Part<'a>)) {
    while let Some(at) = rest.find('{') {
        each(Part::Text(&rest[..at]));
        rest = &rest[at..];
        if let Some(name) = rest.strip_prefix("{{").and_then(|inner| name(inner, "}}")) {
            let end = name.len() + 4;
            each(Part::Text(&rest[1..end - 1]));
            rest = &rest[end..];
        } else if let Some(name) = name(&rest[1..], "}") {
            each(Part::Place(name));
            rest = &rest[name.len() + 2..];
        } else {
            each(Part::Text("{"));
            rest = &rest[1..];
        }
    }
    each(Part::Text(rest));
}

/// A name at the start of `text` that `end` follows.
fn name<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let length = text.find(|c: char| !c.is_ascii_lowercase())?;
    (length > 0 && text[length..].starts_with(end)).then(|| &text[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        let values = [("id", "a-1"), ("port", "80")];
        for (text, filled) in [
            ("--listen=127.0.0.1:{port}", "--listen=127.0.0.1:80"),
            ("{id}{port}{id}", "a-180a-1"),
            ("{{port}} is {port}", "{port} is 80"),
            (r#"{"port":{port},"x":{"y":{}}}"#, r#"{"port":80,"x":{"y":{}}}"#),
            ("{", "{"),
            ("{{port}", "{80"),
            ("", ""),
        ] {
            assert_eq!(fill(text, &values), filled);
        }
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        assert_eq!(fill("{id}", &[("id", "{port}"), ("port", "80")]), "{port}");
    }

    #[test]
    fn an_unknown_place_is_an_error() {
        let error = check("command", "--port={prot}", &["id", "port"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "command = \"--port={prot}\": {prot} is none of {id} {port}; for that text write {{prot}}"
        );
        assert!(check("command", "a\0b", &[]).is_err());
        assert_eq!(check("command", "{{prot}} {Prot} {}", &[]), Ok(()));
    }

    proptest! {
        /// Against replacing by text: the same where nothing is doubled and nothing filled in has braces.
        #[test]
        fn as_replacing(pieces in prop::collection::vec("([a-z ]{0,3}|\\{id\\}|\\{port\\}|\\{\\}|\\})", 0..12)) {
            let text = pieces.concat();
            prop_assume!(!text.contains("{{"));
            let replaced = text.replace("{id}", "X").replace("{port}", "Y");
            prop_assert_eq!(fill(&text, &[("id", "X"), ("port", "Y")]), replaced);
        }

        #[test]
        fn no_text_is_too_much(text: String) {
            let _ = fill(&text, &[("id", "x")]);
            let _ = check("command", &text, &["id"]);
        }
    }
}
