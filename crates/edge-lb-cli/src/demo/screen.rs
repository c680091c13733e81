//! Where the demo is shown: drawn in place on a terminal, or line by line elsewhere.

use super::table;
use super::view::{Event, View};
use crate::style::Style;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// A frame between these appears at once on terminals that know them; others ignore them.
const BEGIN_FRAME: &str = "\x1b[?2026h";
const END_FRAME: &str = "\x1b[?2026l";

/// How the demo is shown.
pub(crate) struct Screen<W: Write> {
    out: W,
    style: Style,
    live: bool,
    size: fn() -> Option<(usize, usize)>,
    /// How many lines the last frame had.
    drawn: usize,
    /// How many events were printed, where nothing is drawn over.
    told: usize,
    /// The second of the last line, where nothing is drawn over.
    second: Option<u64>,
}

impl Screen<io::Stdout> {
    /// Stdout: live on a terminal unless `plain`.
    pub(crate) fn stdout(plain: bool) -> Self {
        let out = io::stdout();
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let live = !plain && !dumb && out.is_terminal();
        let style = if live { Style::for_stream(&out) } else { Style { color: false } };
        Self::new(out, style, live, terminal_size)
    }
}

/// Columns and rows of the terminal at stdout.
fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    (size.ws_col > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

impl<W: Write> Screen<W> {
    fn new(out: W, style: Style, live: bool, size: fn() -> Option<(usize, usize)>) -> Self {
        Self { out, style, live, size, drawn: 0, told: 0, second: None }
    }

    /// How text looks here.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// Shows a moment: over the last one, or as a line if a second has passed; new events at once.
    ///
    /// # Errors
    /// When stdout is gone.
    pub(crate) fn show(&mut self, view: &View) -> io::Result<()> {
        if self.live { self.draw(view) } else { self.log(view) }
    }

    fn draw(&mut self, view: &View) -> io::Result<()> {
        let (width, height) = (self.size)().unwrap_or((80, 24));
        let mut lines = table::render(view, width, self.style);
        // What does not fit cannot be drawn over: the cursor does not go above the screen.
        lines.truncate(height.saturating_sub(1).max(1));
        let mut frame = format!("{BEGIN_FRAME}{HIDE_CURSOR}");
        if self.drawn > 0 {
            // Writing to a string does not fail.
            let _ = write!(frame, "\x1b[{}A", self.drawn);
        }
        for line in &lines {
            let _ = write!(frame, "\r{line}\x1b[K\r\n");
        }
        // After a resize there may be remains below.
        frame.push_str("\x1b[J");
        frame.push_str(END_FRAME);
        self.drawn = lines.len();
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }

    fn log(&mut self, view: &View) -> io::Result<()> {
        if self.second.is_none() {
            writeln!(self.out, "{}\n{}\n", view.title, view.cast)?;
        }
        for Event { at, text } in &view.events[self.told.min(view.events.len())..] {
            writeln!(self.out, "{:5.1} s  {text}", at.as_secs_f64())?;
        }
        self.told = view.events.len();
        let second = view.at.as_secs();
        if self.second.replace(second) != Some(second) && second > 0 {
            writeln!(self.out, "{}", table::line(view))?;
        }
        self.out.flush()
    }

    /// Prints text under what was shown.
    ///
    /// # Errors
    /// When stdout is gone.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        self.restore()?;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn restore(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.drawn) > 0 {
            self.out.write_all(SHOW_CURSOR.as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }
}

impl<W: Write> Drop for Screen<W> {
    /// Whatever ends the demo, the terminal has its cursor back.
    fn drop(&mut self) {
        let _ = self.restore();
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;
    use std::time::Duration;

    fn view(at_ms: u64) -> View {
        View {
            title: "title".into(),
            cast: "cast".into(),
            plan: Plan::new(Duration::from_secs(20)),
            at: Duration::from_millis(at_ms),
            rows: vec![],
            rate: 0.0,
            p50: None,
            p99: None,
            lost: 0,
            events: vec![Event {
                at: Duration::from_millis(at_ms / 1_000 * 1_000),
                text: format!("event {at_ms}"),
            }],
        }
    }

    fn shown(live: bool, size: fn() -> Option<(usize, usize)>, views: &[View]) -> String {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out, Style { color: false }, live, size);
        for v in views {
            screen.show(v).unwrap();
        }
        drop(screen);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn frames_are_drawn_over_each_other_and_the_cursor_comes_back() {
        let text = shown(true, || Some((80, 50)), &[view(0), view(250)]);
        let lines = table::render(&view(0), 80, Style { color: false }).len();
        assert_eq!(text.matches(&format!("\x1b[{lines}A")).count(), 1, "{text:?}");
        assert_eq!(text.matches("\r\n").count(), 2 * lines);
        assert!(text.starts_with(BEGIN_FRAME) && text.ends_with(SHOW_CURSOR));
    }

    #[test]
    fn a_low_terminal_gets_what_fits() {
        let text = shown(true, || Some((80, 6)), &[view(0), view(250)]);
        assert_eq!(text.matches("\r\n").count(), 2 * 5);
        assert!(text.contains("\x1b[5A"));
    }

    #[test]
    fn elsewhere_it_is_a_line_a_second_and_each_event_once() {
        let text = shown(false, || None, &[view(0), view(250), view(1_000), view(1_250), view(2_100)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert_eq!(lines[..4], ["title", "cast", "", "  0.0 s  event 0"]);
        assert!(lines[4].starts_with("  1.0 s     0/s") && lines[5].starts_with("  2.1 s     0/s"), "{text}");
        assert!(text.is_ascii());
    }
}
