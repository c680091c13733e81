//! Reading small files again and again into one buffer.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than any of these files has: `/proc/stat`, the longest, has some ten KiB on large machines, and only its first line
/// counts.
const BYTES_MAX: u64 = 64 << 10;

/// The text of a file; `None` where there is none, or it is no text.
pub(super) fn read<'a>(path: &Path, buffer: &'a mut String) -> Option<&'a str> {
    buffer.clear();
    File::open(path).ok()?.take(BYTES_MAX).read_to_string(buffer).ok()?;
    Some(buffer)
}

/// The number that is all the file holds.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number after a key at the beginning of a line, as in `usage_usec 4711` or `MemTotal:  4711 kB`.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix([' ', '\t']))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_numbers() {
        let text =
            "usage_usec 4711\nusage 3\nMemTotal:       24684084 kB\ntotal_inactive_file 9\ninactive_file x\n";
        assert_eq!((field(text, "usage"), field(text, "usage_usec")), (Some(3), Some(4_711)));
        assert_eq!((field(text, "MemTotal:"), field(text, "MemTotal")), (Some(24_684_084), None));
        assert_eq!((field(text, "inactive_file"), field("", "a")), (None, None));
        assert_eq!((number("17\n"), number("max\n"), number("-1")), (Some(17), None, None));
    }
}
