//! How many tests passed and failed, read from the runners' closing lines.
//!
//! Understands libtest (`test result: ok. 3 passed; 0 failed; …`, one line for each binary) and cargo-nextest
//! (`Summary [ 1.2s] 30 tests run: 29 passed (1 slow), 1 failed, 2 skipped`). Ignored and skipped tests count for nothing.

use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl Tally {
    /// The tally of a runner's closing line; `None` for any other line.
    pub(crate) fn from_line(line: &str) -> Option<Tally> {
        let line = without_colour(line);
        let line = line.trim();
        let counts = if let Some(rest) = line.strip_prefix("test result: ") {
            rest.split_once(". ")?.1
        } else if let Some(rest) = line.strip_prefix("Summary [") {
            rest.split_once(" run: ")?.1
        } else {
            return None;
        };
        // "29 passed (1 slow)": what stands in brackets is part of the count before it.
        let count = |word: &str| {
            counts.split([',', ';']).find_map(|part| {
                let (number, what) = part.trim().split_once(' ')?;
                let what = what.split(" (").next()?;
                (what == word).then(|| number.parse::<u64>().ok()).flatten()
            })
        };
        let failed = ["failed", "timed out", "exec failed"].into_iter().filter_map(count).sum();
        Some(Tally { passed: count("passed")?, failed })
    }
}

/// `line` without terminal escape sequences (`ESC [ … letter`).
pub(crate) fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(passed: u64, failed: u64) -> Option<Tally> {
        Some(Tally { passed, failed })
    }

    #[test]
    fn libtest_is_understood() {
        let ok =
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Tally::from_line(ok), tally(12, 0));
        let bad = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.0s";
        assert_eq!(Tally::from_line(bad), tally(1, 2));
    }

    #[test]
    fn nextest_is_understood() {
        let ok = "     Summary [   0.005s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(Tally::from_line(ok), tally(1, 0));
        let bad = "     Summary [  10.1s] 9 tests run: 4 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 2 exec failed, 7 skipped";
        assert_eq!(Tally::from_line(bad), tally(4, 5));
        let stopped = "     Summary [   1.0s] 4/100 tests run: 3 passed, 1 failed, 0 skipped";
        assert_eq!(Tally::from_line(stopped), tally(3, 1));
    }

    #[test]
    fn colours_do_not_hide_a_count() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.005s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
        assert_eq!(Tally::from_line(line), tally(2, 0));
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in ["", "running 3 tests", "test result: ", "Summary of changes", "3 passed, 1 failed"] {
            assert_eq!(Tally::from_line(line), None, "{line:?}");
        }
    }
}
