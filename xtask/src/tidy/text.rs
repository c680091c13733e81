//! Rules for the text of files: sizes, marks of unfinished work, sleeps in tests, blanks, paths of somebody's machine.

use std::ffi::OsStr;
use std::path::{Component, Path};

use super::{Finding, whole_file};

/// A file that holds one concept fits in this.
const SOURCE_LINES_MAX: usize = 500;
/// Tests, benches and examples list cases; they may be longer.
const TEST_LINES_MAX: usize = 900;

/// Marks of unfinished work. Each is glued together here so that this file does not contain it.
const MARKS: [&str; 5] = [
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Waiting for real time to pass in a test: it fails on a slow machine and wastes time on a fast one.
const THREAD_SLEEP: &str = concat!("thread::sl", "eep(");
/// The same, unless tokio's clock is paused: then no real time passes.
const ASYNC_SLEEP: &str = concat!("time::sl", "eep(");
/// What pauses tokio's clock for a test.
const PAUSED: &str = "start_paused";

/// Where people keep their checkouts; a path below one of them exists on one machine only.
const HOMES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// What excuses a line, on it or above it: `tidy-allow: RULE: reason`.
const EXCUSE: &str = concat!("tidy-", "allow:");

pub(super) fn check(file: &Path, content: &str) -> Vec<Finding> {
    let rust = file.extension() == Some(OsStr::new("rs"));
    let in_tests = is_test(file);
    let mut findings = Vec::new();
    if rust {
        let (lines, max) =
            (content.lines().count(), if in_tests { TEST_LINES_MAX } else { SOURCE_LINES_MAX });
        if lines > max {
            findings.push(whole_file(file, format!("{lines} lines, at most {max}: split it by concept")));
        }
    }
    let mut testing = in_tests;
    let mut paused = content.contains(PAUSED); // for helpers above the first test
    let mut above = "";
    for (at, line) in content.lines().enumerate() {
        testing |= line.trim_start().starts_with("#[cfg(test)]");
        if line.trim_start().starts_with("#[test]") || line.trim_start().starts_with("#[tokio::test") {
            paused = line.contains(PAUSED);
        }
        let mut report = |rule: &str, message: String| {
            if !excused(line, rule) && !excused(above, rule) {
                findings.push(Finding { file: file.to_path_buf(), line: at + 1, message });
            }
        };
        if rust {
            if let Some(mark) = MARKS.iter().find(|mark| has_word(line, mark)) {
                report("mark", format!("`{}` marks unfinished work", mark.trim_end_matches('(')));
            }
            if testing && let Some(sleep) = real_sleep(line, paused) {
                report("sleep", format!("`{sleep}…)` in a test: wait for the event, within a bound"));
            }
            if line.contains('\t') {
                report("tab", "tab".to_owned());
            }
            if line.ends_with([' ', '\t']) {
                report("blank", "blanks at the end".to_owned());
            }
        }
        if let Some(home) = HOMES.iter().find(|home| has_path(line, home)) {
            report("path", format!("`{home}…` is a path of one machine"));
        }
        above = line;
    }
    findings
}

/// Tests, benches and examples: folders of those names and files called `tests.rs`.
fn is_test(file: &Path) -> bool {
    let named = |component: Component<'_>| {
        ["tests", "benches", "examples"].iter().any(|name| component.as_os_str() == *name)
    };
    file.components().any(named) || file.file_name() == Some(OsStr::new("tests.rs"))
}

/// The call on this line that waits for real time.
fn real_sleep(line: &str, paused: bool) -> Option<&'static str> {
    [(THREAD_SLEEP, true), (ASYNC_SLEEP, !paused)]
        .into_iter()
        .find_map(|(sleep, is_real)| (is_real && line.contains(sleep)).then_some(sleep))
}

fn excused(line: &str, rule: &str) -> bool {
    let Some((_, excuse)) = line.split_once(EXCUSE) else { return false };
    excuse
        .trim_start()
        .strip_prefix(rule)
        .and_then(|rest| rest.strip_prefix(':'))
        .is_some_and(|why| !why.trim().is_empty())
}

/// Is `word` there, and not as the end of a longer one?
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + word.len()..].chars().next());
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && (word.ends_with('(') || !joins(after))
    })
}

/// Is there an absolute path that starts with `home`? `example.org/home/` and `a/work/b` are not.
fn has_path(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| {
            c.is_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | '}' | '*' | '~' | ':')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{ASYNC_SLEEP, EXCUSE, HOMES, MARKS, PAUSED, THREAD_SLEEP, check};
    use std::path::Path;

    fn messages(file: &str, content: &str) -> Vec<String> {
        check(Path::new(file), content).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn long_files_are_found() {
        let long = "//\n".repeat(501);
        assert_eq!(
            messages("crates/a/src/lib.rs", &long),
            ["crates/a/src/lib.rs: 501 lines, at most 500: split it by concept"]
        );
        assert!(messages("crates/a/tests/all.rs", &long).is_empty());
        assert_eq!(messages("crates/a/tests/all.rs", &"//\n".repeat(901)).len(), 1);
        assert!(messages("docs/a.md", &long).is_empty());
    }

    #[test]
    fn marks_are_found_as_words() {
        for mark in MARKS {
            assert_eq!(messages("a.rs", &format!("fn a() {{ {mark}) }}")).len(), 1, "{mark}");
            assert!(messages("a.rs", &format!("let my_{mark}a")).is_empty(), "{mark}");
        }
    }

    #[test]
    fn sleeps_are_found_in_tests_only() {
        let sleep = format!("    std::{THREAD_SLEEP}x);");
        assert!(messages("crates/a/src/lib.rs", &sleep).is_empty());
        assert_eq!(messages("crates/a/tests/all.rs", &sleep).len(), 1);
        let module = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{sleep}\n}}");
        assert_eq!(
            messages("crates/a/src/lib.rs", &module)[0].split(": ").next(),
            Some("crates/a/src/lib.rs:4")
        );
    }

    #[test]
    fn virtual_time_may_pass() {
        let test = |attribute: &str, sleep: &str| {
            messages(
                "tests/a.rs",
                &format!("#[test]\nfn a() {{}}\n{attribute}\nasync fn b() {{ {sleep}x) }}"),
            )
        };
        let paused = format!("#[tokio::test({PAUSED} = true)]");
        assert!(test(&paused, ASYNC_SLEEP).is_empty());
        assert_eq!(test("#[tokio::test]", ASYNC_SLEEP).len(), 1);
        assert_eq!(test(&paused, THREAD_SLEEP).len(), 1);
    }

    #[test]
    fn an_excuse_needs_its_rule_and_a_reason() {
        let sleep = format!("std::{THREAD_SLEEP}x);");
        let excused =
            |excuse: &str| messages("tests/a.rs", &format!("// {EXCUSE} {excuse}\n{sleep}")).is_empty();
        assert!(excused("sleep: the poll of a bounded wait"));
        assert!(!excused("sleep:"));
        assert!(!excused("tab: reason"));
    }

    #[test]
    fn blanks_and_tabs_are_found() {
        assert_eq!(messages("a.rs", "a \n\tb\n"), ["a.rs:1: blanks at the end", "a.rs:2: tab"]);
        assert!(messages("a.md", "a  \n").is_empty());
    }

    #[test]
    fn paths_of_a_machine_are_found_in_any_file() {
        for home in HOMES {
            assert_eq!(messages("a.md", &format!("see {home}me/x")).len(), 1, "{home}");
            assert_eq!(messages("a.toml", &format!("path = \"{home}me/x\"")).len(), 1, "{home}");
            assert!(messages("a.md", &format!("https://example.org{home}me")).is_empty(), "{home}");
        }
    }
}
