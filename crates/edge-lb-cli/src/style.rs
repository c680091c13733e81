//! Colours and the width of text, for terminals.

use std::io::IsTerminal;

/// Whether text gets colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// With ANSI escape sequences.
    pub(crate) color: bool,
}

impl Style {
    /// Colours where `stream` is a terminal and the user did not ask for none (`NO_COLOR`, see no-color.org; `TERM=dumb`).
    pub(crate) fn for_stream(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        Self { color: stream.is_terminal() && !refused }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }
}

/// The first `width` columns of a line, escape sequences not counted and kept. What the demo prints has one column a character.
pub(crate) fn clip(line: &str, width: usize) -> String {
    let mut out = String::with_capacity(line.len());
    let mut columns = 0;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            out.push(c);
            for c in chars.by_ref() {
                out.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            if columns < width {
                out.push(c);
            }
            columns += 1;
        }
    }
    out
}

/// How many columns a line takes.
#[cfg(test)]
pub(crate) fn columns(line: &str) -> usize {
    let plain: String = line.split('\x1b').enumerate().fold(String::new(), |text, (i, part)| {
        text + if i == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) }
    });
    plain.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_colours_and_counts_columns() {
        let s = Style { color: true };
        let line = format!("{} {}", s.red("abc"), s.bold("dëf"));
        assert_eq!(columns(&line), 7);
        for width in 0..9 {
            let clipped = clip(&line, width);
            assert_eq!(columns(&clipped), width.min(7));
            assert!(clipped.ends_with("\x1b[0m"), "{clipped:?}");
        }
        assert_eq!(clip(&line, 7), line);
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Style { color: false }.green("x"), "x");
    }
}
