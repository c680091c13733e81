//! The path that the backend gets, where it is not the client's.
//!
//! | rewrite | `/api/users/7`, route `path = "/api"` or `path = "/api/users/{id}"` | becomes |
//! |---|---|---|
//! | [`strip_prefix`](Rewrite::strip_prefix) | | `/users/7` |
//! | [`replace_prefix("/v2")`](Rewrite::replace_prefix) | | `/v2/users/7` |
//! | [`regex("^/api/(.*)$", "/$1")`](Rewrite::regex) | | `/users/7` |
//! | [`path("/u/{id}")`](Rewrite::path) | | `/u/7` |
//!
//! A pure function of the [`Match`]. What comes out is normalised again: parameters put together may not become `..`. The `*` of
//! `OPTIONS *` stays, and the query is not touched.

use crate::found::Match;
use crate::path::{PathError, normalise};
use crate::regexes;
use crate::replacement::Replacement;
use crate::template::{Piece, TemplateError, pieces};
use lb_types::SettingsError;
use regex::bytes::Regex;
use std::borrow::Cow;

/// How a route changes the path.
#[derive(Clone, Debug)]
pub struct Rewrite(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Put this in the prefix's place; no slash at its end.
    Prefix(Box<str>),
    Regex(Regex, Replacement),
    Path(Box<[Piece<Box<str>>]>),
}

impl Rewrite {
    /// Takes the route's [prefix](Match::prefix) away.
    pub fn strip_prefix() -> Self {
        Self(Kind::Prefix("".into()))
    }

    /// Puts `with` in the place of the route's [prefix](Match::prefix); a slash at its end does not matter.
    ///
    /// # Errors
    /// [`SettingsError`]: `with` is no path.
    pub fn replace_prefix(with: &str) -> Result<Self, SettingsError> {
        let invalid = |must: String| SettingsError::new("replace_prefix", with, must);
        if with == "*" {
            return Err(invalid("must begin with a slash".to_owned()));
        }
        let path = normalise(with).map_err(|e| invalid(format!("is no path: {e}")))?;
        Ok(Self(Kind::Prefix(path.strip_suffix('/').unwrap_or(&path).into())))
    }

    /// Puts `with` in the place of every match of `pattern` in the path, as Envoy does. `pattern` is searched for: `^` and `$` hold it to
    /// the ends. In `with`, `$1` and `${name}` stand for groups and `$$` for a dollar, as the `regex` crate has it.
    ///
    /// # Errors
    /// [`SettingsError`]: `pattern` is no regular expression within the bounds of [`regexes`], or `with` is too long, names a group that
    /// there is not, or has what no path may have.
    pub fn regex(pattern: &str, with: &str) -> Result<Self, SettingsError> {
        let regex = regexes::compile("pattern", pattern, pattern)?;
        let with = Replacement::parse(with, &regex)?;
        Ok(Self(Kind::Regex(regex, with)))
    }

    /// Another path, in which `{id}` stands for the parameter of that name, for a route with these parameters
    /// ([`Router::parameters`](crate::Router::parameters)). One that a request lacks is empty.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn path(template: &str, parameters: &[Box<str>]) -> Result<Self, TemplateError> {
        if !template.starts_with('/') {
            return Err(TemplateError::NoPath("a path begins with a slash"));
        }
        if template.contains(['?', '#', '\\', ' ']) {
            return Err(TemplateError::NoPath("a path has neither `?`, `#`, `\\` nor blanks"));
        }
        let pieces = pieces(template, |name| match parameters.iter().find(|known| ***known == *name) {
            Some(known) => Ok(known.clone()),
            None => {
                let known = if parameters.is_empty() { "none".to_owned() } else { parameters.join(", ") };
                Err(TemplateError::Unknown { name: name.to_owned(), known })
            }
        })?;
        Ok(Self(Kind::Path(pieces)))
    }

    /// The path to forward. Borrowed where a prefix is stripped.
    ///
    /// # Errors
    /// [`PathError`]: what comes out is no path; of a client whose path brings that about.
    pub fn apply<'m>(&self, found: &'m Match<'_>) -> Result<Cow<'m, str>, PathError> {
        if found.path() == "*" {
            return Ok(Cow::Borrowed("*"));
        }
        let path = match &self.0 {
            Kind::Prefix(with) => match (&**with, found.rest()) {
                ("", "") => return Ok(Cow::Borrowed("/")),
                ("", rest) => return Ok(Cow::Borrowed(rest)), // a part of a normal path from a slash on is normal
                (with, rest) => format!("{with}{rest}"),
            },
            Kind::Regex(regex, with) => with.replace_all(regex, found.path())?,
            Kind::Path(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text,
                    Piece::Variable(name) => found.parameter(name).unwrap_or_default(),
                })
                .collect(),
        };
        match normalise(&path)? {
            Cow::Borrowed(_) => Ok(Cow::Owned(path)),
            Cow::Owned(normal) => Ok(Cow::Owned(normal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Route, Router};
    use lb_types::RequestInfo;

    fn rewritten(route: Route, path: &str, make: impl Fn(&Router) -> Rewrite) -> Result<String, PathError> {
        let router = Router::build(&[route]).unwrap();
        let request = RequestInfo { path, ..RequestInfo::default() };
        let found = router.find(&request).unwrap().expect("the route takes it");
        make(&router).apply(&found).map(Cow::into_owned)
    }

    #[test]
    fn prefixes_are_stripped_and_replaced() {
        for (route, path, stripped, replaced) in [
            (Route::new().path("/api"), "/api/users/7", "/users/7", "/v2/users/7"),
            (Route::new().path("/api/"), "/api", "/", "/v2"),
            (Route::new().path("/api"), "/api/", "/", "/v2/"),
            (Route::new().path("/"), "/x", "/x", "/v2/x"),
            (Route::new(), "/x", "/x", "/v2/x"),
            (Route::new().path("/u/{id}"), "/u/7/x", "/x", "/v2/x"),
            (Route::new().path("/f/{*rest}"), "/f/a/b", "/a/b", "/v2/a/b"),
            (Route::new().path_exact("/a/b"), "/a/b", "/", "/v2"),
            (Route::new().path_regex("/a/.*"), "/a/b", "/", "/v2"),
            (Route::new(), "*", "*", "*"),
        ] {
            assert_eq!(rewritten(route.clone(), path, |_| Rewrite::strip_prefix()).as_deref(), Ok(stripped));
            let replace = |_: &Router| Rewrite::replace_prefix("/v2/").unwrap();
            assert_eq!(rewritten(route, path, replace).as_deref(), Ok(replaced));
        }
        let root = |_: &Router| Rewrite::replace_prefix("/").unwrap();
        assert_eq!(rewritten(Route::new().path("/api"), "/api/x", root).as_deref(), Ok("/x"));
        for bad in ["", "v2", "*", "/..", "/a b", "/%00"] {
            assert_eq!(Rewrite::replace_prefix(bad).unwrap_err().field, "replace_prefix");
        }
    }

    #[test]
    fn regular_expressions_replace_every_match() {
        for (pattern, with, path, expected) in [
            ("^/api/(.*)$", "/$1", "/api/x/y", "/x/y"),
            ("/(?<a>[^/]+)/(?<b>[^/]+)", "/${b}/${a}", "/1/2/3/4", "/2/1/4/3"),
            ("a", "$$é", "/aba", "/$%C3%A9b$%C3%A9"),
            ("nothing", "x", "/a", "/a"),
            ("/x$", "/../../y", "/a/b/x", "/y"),
            ("", "/", "/a", "/a/"), // before, between and behind: slashes in a row are one
        ] {
            let rewrite = |_: &Router| Rewrite::regex(pattern, with).unwrap();
            assert_eq!(rewritten(Route::new(), path, rewrite).as_deref(), Ok(expected), "{pattern}");
        }
        let rewrite = |pattern, with| move |_: &Router| Rewrite::regex(pattern, with).unwrap();
        assert_eq!(rewritten(Route::new(), "/x", rewrite("x", "../..")), Err(PathError::AboveRoot));
        assert_eq!(rewritten(Route::new(), "/x", rewrite("^/", "")), Err(PathError::NotAbsolute));
        let (path, long) = (format!("/{}", "a".repeat(60_000)), "b".repeat(1_000));
        let explode = |_: &Router| Rewrite::regex("a", &long).unwrap();
        assert_eq!(rewritten(Route::new(), &path, explode), Err(PathError::TooLong));
        assert_eq!(Rewrite::regex("(", "").unwrap_err().field, "pattern");
        assert_eq!(Rewrite::regex("a", "/b?c").unwrap_err().field, "with");
    }

    #[test]
    fn parameters_make_another_path() {
        let route = || Route::new().path("/{a}/{b}/{*rest}");
        let path =
            |text: &'static str| move |router: &Router| Rewrite::path(text, router.parameters(0)).unwrap();
        assert_eq!(
            rewritten(route(), "/1/%2F/3/4", path("/x/{b}/{rest}.{a}")).as_deref(),
            Ok("/x/%2F/3/4.1")
        );
        assert_eq!(rewritten(route(), "/.a/.a/3", path("/{a}{b}{{")).as_deref(), Ok("/.a.a%7B"));
        let dots = Route::new().path_regex("/(?<a>.)(?<b>.)x");
        assert_eq!(rewritten(dots, "/..x", path("/{a}{b}")), Err(PathError::AboveRoot));
        let optional = Route::new().path_regex("/a(?<b>x)?");
        assert_eq!(rewritten(optional, "/a", path("/b{b}")).as_deref(), Ok("/b"));

        let error = |text: &str| Rewrite::path(text, &["a".into()]).unwrap_err();
        assert_eq!(error("/{b}"), TemplateError::Unknown { name: "b".into(), known: "a".into() });
        assert_eq!(error("/{a"), TemplateError::Brace { at: 1 });
        for bad in ["", "a", "/a?b", "/a b"] {
            assert!(matches!(error(bad), TemplateError::NoPath(_)), "{bad}");
        }
    }
}
