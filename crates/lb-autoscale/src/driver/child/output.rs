//! What a process says: the last lines of it, and a callback.
//!
//! Bounded: [`LINES`] lines are kept for each instance, of at most [`LINE_BYTES`] each; a longer line is cut into several. What is no UTF-8
//! is replaced.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::task::JoinSet;

/// How many lines are kept.
pub(crate) const LINES: usize = 100;
/// The longest line.
pub(crate) const LINE_BYTES: usize = 4 * 1024;
/// How long is waited for the last words of a process that ended: what it started may hold its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Line {
    /// Where it was said.
    pub stream: Stream,
    /// What.
    pub text: String,
}

/// Who is told of each line.
pub(crate) type LineSink = Arc<dyn Fn(&Line) + Send + Sync>;

/// Keeps lines, and tells of each.
#[derive(Clone)]
pub(crate) struct Output {
    ring: Arc<Mutex<Ring>>,
    told: Option<LineSink>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Output {
    pub(crate) fn new(told: Option<LineSink>) -> Self {
        Self { ring: Arc::default(), told }
    }

    /// The lines that are kept, oldest first.
    #[cfg(feature = "process")]
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.ring().0.iter().cloned().collect()
    }

    /// The last line, to be added to how it ended.
    pub(crate) fn last(&self) -> Option<String> {
        self.ring().0.iter().rev().map(|line| line.text.trim().to_owned()).find(|text| !text.is_empty())
    }

    fn say(&self, stream: Stream, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned();
        let line = Line { stream, text };
        if let Some(told) = &self.told {
            // One that panics has been reported by the panic hook. Reading goes on: a pipe that nobody reads stops who writes.
            let _ = catch_unwind(AssertUnwindSafe(|| told(&line)));
        }
        self.ring().push(line);
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Each critical section leaves the ring whole.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last lines.
#[derive(Debug, Default)]
pub(crate) struct Ring(VecDeque<Line>);

impl Ring {
    fn push(&mut self, line: Line) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Reads both pipes until they close.
    pub(super) fn read(output: &Output, out: Option<ChildStdout>, err: Option<ChildStderr>) -> Reading {
        let mut tasks = JoinSet::new();
        if let Some(out) = out {
            tasks.spawn(lines(out, Stream::Stdout, output.clone()));
        }
        if let Some(err) = err {
            tasks.spawn(lines(err, Stream::Stderr, output.clone()));
        }
        Reading(tasks)
    }
}

/// The tasks that read; they end with it.
#[derive(Default)]
pub(crate) struct Reading(JoinSet<()>);

impl Reading {
    /// Waits for the last words.
    pub(super) async fn finish(&mut self) {
        let all = async { while self.0.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
    }
}

async fn lines(mut from: impl AsyncRead + Unpin, stream: Stream, output: Output) {
    let (mut buffer, mut line) = (vec![0; LINE_BYTES], Vec::new());
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        for byte in &buffer[..read] {
            match byte {
                b'\n' => {
                    output.say(stream, &line);
                    line.clear();
                }
                byte => {
                    if line.len() == LINE_BYTES {
                        output.say(stream, &line);
                        line.clear();
                    }
                    line.push(*byte);
                }
            }
        }
    }
    if !line.is_empty() {
        output.say(stream, &line);
    }
}

#[cfg(all(test, feature = "process"))]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<String> {
        let output = Output::new(None);
        lines(bytes, Stream::Stdout, output.clone()).await;
        output.lines().into_iter().map(|line| line.text).collect()
    }

    #[tokio::test]
    async fn lines_are_cut_at_their_ends() {
        assert_eq!(read(b"a\nb\r\n\nc").await, ["a", "b", "", "c"]);
        assert_eq!(read(b"\xff\n").await, ["\u{fffd}"]);
        assert!(read(b"").await.is_empty());
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let long = vec![b'x'; LINE_BYTES * 2 + 1];
        let lengths: Vec<usize> = read(&long).await.iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_BYTES, LINE_BYTES, 1]);
        let many: Vec<u8> = (0..LINES + 5).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let kept = read(&many).await;
        assert_eq!((kept.len(), kept[0].as_str()), (LINES, "5"));
    }

    #[tokio::test]
    async fn the_last_line_that_says_something() {
        let output = Output::new(None);
        lines(&b"one\ntwo\n \n"[..], Stream::Stderr, output.clone()).await;
        assert_eq!(output.last().as_deref(), Some("two"));
    }
}
